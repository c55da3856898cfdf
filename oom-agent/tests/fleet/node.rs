//! What one node sends: bytes and series of a scrape by the number of containers, bytes of a log record.

use crate::{
    collector::{Collector, Protocol, attribute},
    support::{Cgroup, Daemon, wait_until},
};
use flate2::{Compression, write::GzEncoder};
use prost::Message as _;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Memory cgroups called as Kubernetes calls them, with limits. They go with this.
struct Pods {
    made: Vec<PathBuf>,
}

impl Pods {
    /// Pods of two containers each.
    fn make(containers: usize) -> Option<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (mount, limit) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let mut pods = Self { made: Vec::new() };
        let root = mount.join(format!("kubepods-{}", std::process::id()));
        pods.add(root.clone())?;
        for at in 0..containers {
            let uid = format!("{:08x}_8d1b_4c1e_9a55_0a1b2c3d4e5f", at / 2);
            let pod = root.join(format!("kubepods-burstable-pod{uid}.slice"));
            if at % 2 == 0 {
                pods.add(pod.clone())?;
            }
            let container = pod.join(format!("cri-containerd-{at:064x}.scope"));
            pods.add(container.clone())?;
            fs::write(container.join(limit), "268435456").ok()?;
        }
        Some(pods)
    }

    fn add(&mut self, dir: PathBuf) -> Option<()> {
        fs::create_dir(&dir).ok()?;
        // On cgroup v2 children have memory controllers where the parent says so.
        let _ = fs::write(dir.join("cgroup.subtree_control"), "+memory");
        self.made.push(dir);
        Some(())
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        for dir in self.made.iter().rev() {
            let _ = fs::remove_dir(dir);
        }
    }
}

fn packed(bytes: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory").len()
}

#[test]
#[ignore = "two minutes, since growth is known after three samples: for docs/fleet.md"]
fn a_scrape_by_the_number_of_containers() {
    println!("containers   series   bytes   gzip");
    let mut before = 0;
    for containers in [0, 30, 110, 250] {
        let (Some(_pods), Some(daemon)) =
            (Pods::make(containers), Daemon::start(&["--max-level", "tracepoint", "--sample-every", "1s"]))
        else {
            eprintln!("not tested: no memory cgroups can be made here");
            return;
        };
        let limits = |text: &str| {
            text.lines().filter(|line| line.starts_with("oom_cgroup_memory_limit_bytes{")).count()
        };
        wait_until("the limits are sampled", || {
            let text = daemon.get("/metrics");
            limits(&text) >= containers && (containers == 0 || text.contains("oom_cgroup_memory_growth"))
        });
        let answer = daemon.get("/metrics");
        let text = answer.split_once("\r\n\r\n").expect("a body").1;
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        println!("{containers:>10} {series:>8} {:>7} {:>6}", text.len(), packed(text.as_bytes()));
        assert!(series > before && series < 250 + 20 * (containers + 20), "{series}");
        before = series;
    }
}

#[test]
fn a_record_by_what_is_in_it() {
    for (more, what) in [("48", "with its JSON"), ("0", "without")] {
        let collector = Collector::start(Protocol::Http);
        let url = collector.url();
        let args = ["--max-level", "tracepoint", "--otlp-endpoint", &url, "--otlp-json-kib", more];
        let (Some(cgroup), Some(daemon)) = (Cgroup::make("record"), Daemon::start(&args)) else { return };
        cgroup.fill_and_report();
        let is_it = |record: &&opentelemetry_proto::tonic::logs::v1::LogRecord| {
            attribute(&record.attributes, "oom.cgroup") == Some(cgroup.path())
        };
        wait_until("it is sent", || {
            collector.shared().got.iter().any(|got| got.records().any(|it| is_it(&it)))
        });
        drop(daemon);
        let shared = collector.shared();
        let got = shared.got.iter().find(|got| got.records().any(|it| is_it(&it))).expect("it came");
        let record = got.records().find(is_it).expect("it came").encode_to_vec();
        let mut whole = got.request.clone();
        whole.resource_logs[0].scope_logs[0].log_records.truncate(1);
        let resource =
            whole.encoded_len() - whole.resource_logs[0].scope_logs[0].log_records[0].encoded_len();
        println!(
            "a record {what}: {} bytes, {} packed; the resource, once a request: {resource}",
            record.len(),
            packed(&record)
        );
        assert!((500..60_000).contains(&record.len()));
    }
}
