//! A real Prometheus that scrapes the daemon every second. Says so where it is not installed (Debian: `prometheus`).

use crate::support::{Cgroup, Daemon, get, label, wait_until};
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Ends with the test.
pub(crate) struct Prometheus {
    child: Child,
    pub(crate) address: String,
    dir: PathBuf,
}

impl Prometheus {
    /// With these files of rules. `None`: not installed.
    pub(crate) fn start(target: &str, rules: &[PathBuf]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("prometheus-{}-{number}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).expect("a directory");
        let config = dir.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: {rules:?}\n\
             scrape_configs:\n- job_name: oom-agent\n  static_configs:\n  - targets: ['{target}']\n"
        );
        fs::write(&config, text).expect("a file");
        // It cannot be told to take a free port and say which.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
        let log = File::create(dir.join("log")).expect("a file");
        let started = Command::new("prometheus")
            .arg("--config.file")
            .arg(&config)
            .arg("--storage.tsdb.path")
            .arg(dir.join("data"))
            .args(["--web.listen-address", &free.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let Ok(child) = started else {
            eprintln!("not tested: prometheus is not installed");
            let _ = fs::remove_dir_all(&dir);
            return None;
        };
        let mut prometheus = Self { child, address: free.to_string(), dir };
        wait_until("Prometheus is ready", || {
            let ended = prometheus.child.try_wait().expect("it can be waited for");
            assert_eq!(ended, None, "{}", fs::read_to_string(prometheus.dir.join("log")).expect("its log"));
            get(&prometheus.address, "/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200 "))
        });
        Some(prometheus)
    }

    /// The one value that an expression has, now or at a time. `None`: it has none.
    pub(crate) fn value(&self, expression: &str, at: Option<f64>) -> Option<f64> {
        let encoded = encoded(expression);
        let time = at.map(|at| format!("&time={at:.3}")).unwrap_or_default();
        let answer = get(&self.address, &format!("/api/v1/query?query={encoded}{time}"))?;
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let answer: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let found = answer["data"]["result"].as_array().expect("a vector");
        assert!(found.len() < 2, "{expression}: {answer}");
        found.first()?["value"][1].as_str()?.parse().ok()
    }
}

/// As a parameter of a query.
pub(crate) fn encoded(expression: &str) -> String {
    let mut encoded = String::new();
    for byte in expression.bytes() {
        let _ = write!(encoded, "%{byte:02X}");
    }
    encoded
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn prometheus_counts_every_kill_of_a_containers_life() {
    const KILLS: u8 = 3;
    let (Some(cgroup), Some(daemon)) =
        (Cgroup::make("prometheus"), Daemon::start(&["--max-level", "tracepoint", "--sample-every", "1s"]))
    else {
        return;
    };
    let Some(prometheus) = Prometheus::start(&daemon.address, &[]) else { return };
    let of = |name: &str, more: &str| format!("{name}{{cgroup=\"{}\"{more}}}", label(cgroup.path()));
    let victims = of("oom_victims_total", ",role=\"selected\"");
    let now = |expression: &str| prometheus.value(expression, None);
    // Seen.
    wait_until("the cgroup is scraped", || now(&victims) == Some(0.0));
    let limit = of("oom_cgroup_memory_limit_bytes", "");
    wait_until("its limit is scraped", || now(&limit) == Some(16_777_216.0));
    assert!(now(&of("oom_cgroup_memory_usage_bytes", "")).is_some_and(|bytes| bytes <= 16_777_216.0));
    // Killed.
    for _ in 0..KILLS {
        cgroup.fill();
    }
    wait_until("the kills are scraped", || now(&victims) == Some(KILLS.into()));
    // Gone.
    let gauges = [limit, of("oom_cgroup_memory_growth_bytes_per_second", "")];
    drop(cgroup);
    wait_until("the gauges end", || gauges.iter().all(|gauge| now(gauge).is_none()));
    let gone = now(&format!("timestamp({victims})")).expect("the counter stays");
    wait_until("it stays", || now(&format!("timestamp({victims})")) >= Some(gone + 3.0));

    // At the time of a sample nothing is extrapolated.
    let last = now(&format!("timestamp({victims})"));
    let at = |expression: &str| prometheus.value(expression, last);
    assert_eq!(at(&format!("increase({victims}[1h])")), Some(KILLS.into()));
    assert_eq!(at(&format!("min_over_time({victims}[1h])")), Some(0.0));
    assert_eq!(at("resets(oom_incidents_total{scope=\"memcg\"}[1h])"), Some(0.0));
    assert!(at("increase(oom_incidents_total{scope=\"memcg\"}[1h])") >= Some(KILLS.into()));
    // Those who were killed had reclaimed before.
    assert!(at("increase(oom_reclaim_rounds_total{kind=\"memcg\"}[1h])") >= Some(KILLS.into()));
    assert!(at("oom_next_victim_points").is_none_or(|points| points > 0.0));
    assert!(at("process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    assert_eq!(at("min_over_time(up[1h])"), Some(1.0), "no scrape failed");
}

#[test]
fn promtool_finds_nothing_in_what_is_scraped() {
    let Some(daemon) = Daemon::start(&["--max-level", "tracepoint"]) else { return };
    let answer = daemon.get("/metrics");
    let text = answer.split_once("\r\n\r\n").expect("a body").1;
    let started = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    let Ok(mut promtool) = started else {
        eprintln!("not tested: promtool is not installed");
        return;
    };
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    assert!(promtool.wait().expect("it ends").success());
}
