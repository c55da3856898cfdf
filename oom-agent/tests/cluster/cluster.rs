//! The cluster: one node, with all that a control plane is made of.

use crate::image;
use crate::pki;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Of the pods, and of their pause containers.
pub(crate) const IMAGE: &str = "localhost/oom-agent-guest:1";
/// As the manifests have it.
const AGENT: &str = concat!("localhost/oom-agent:", env!("CARGO_PKG_VERSION"));
/// The disk with Kubernetes' programs, by its serial number (`DISK_SERIAL` of the VM).
const SERIAL: &str = "peers";
const PROGRAMS: &str = "/opt/kubernetes";
const PKI: &str = "/etc/kubernetes/pki";
const ADMIN: &str = "/etc/kubernetes/admin.conf";
const AUDIT: &str = "/var/log/audit.log";
/// Nothing takes so long, even on an emulated machine.
const DEADLINE: Duration = Duration::from_mins(8);
const BREAK: Duration = Duration::from_millis(300);

pub(crate) struct Cluster {
    inputs: PathBuf,
    /// For kubectl.
    admin: PathBuf,
    /// Of the API server, of what the agent asks.
    audit: PathBuf,
    /// How the kubelet and runc make cgroups.
    pub(crate) driver: String,
}

impl Cluster {
    pub(crate) fn start(inputs: &Path) -> Self {
        let began = Instant::now();
        let driver = std::env::var("OOM_CGROUP_DRIVER").expect("OOM_CGROUP_DRIVER");
        fs::create_dir_all(PROGRAMS).expect("a directory");
        command("mount", &["-o", "ro", &disk().display().to_string(), PROGRAMS]);
        pki::write(Path::new(PKI));
        let work = Path::new("/tmp/images");
        fs::create_dir_all(work).expect("a directory");
        let guest = image::of_guest(work, IMAGE).expect("a program for the pods");
        let program = std::env::var_os("OOM_AGENT").expect("OOM_AGENT");
        let agent = image::of(Path::new(&program), work, AGENT);
        let script = inputs.join("start.sh").display().to_string();
        command("sh", &[&script, &driver, PROGRAMS, PKI, IMAGE]);
        for archive in [guest, agent] {
            let archive = archive.display().to_string();
            command("ctr", &["-n", "k8s.io", "images", "import", "--snapshotter", "native", &archive]);
        }
        let cluster = Self { inputs: inputs.to_owned(), admin: ADMIN.into(), audit: AUDIT.into(), driver };
        cluster.wait("the node", || {
            let nodes = cluster.json(&["get", "nodes"]);
            let conditions =
                nodes["items"][0]["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
        });
        cluster.wait("service accounts", || {
            cluster.kubectl(&["get", "serviceaccount", "default", "-n", "default"]).is_ok()
        });
        let version = cluster.json(&["version"]);
        eprintln!(
            "Kubernetes {} with the cgroup driver {} after {:.0} s",
            version["serverVersion"]["gitVersion"],
            cluster.driver,
            began.elapsed().as_secs_f64()
        );
        cluster
    }

    /// What it says, or why not.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut kubectl = Command::new("kubectl");
        let done =
            kubectl.arg("--kubeconfig").arg(&self.admin).args(arguments).output().expect("kubectl starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }

    /// Nothing, while there is no answer.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        self.kubectl(&arguments).ok().and_then(|said| serde_json::from_str(&said).ok()).unwrap_or_default()
    }

    /// As the documentation says.
    pub(crate) fn apply_overlay(&self, name: &str) {
        let path = self.inputs.join("kustomize/overlays").join(name).display().to_string();
        let said = self.kubectl(&["apply", "-k", &path]);
        eprint!("{}", said.unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < DEADLINE, "no {what}:\n{}", self.state());
            std::thread::sleep(BREAK);
        }
    }

    /// For a failure.
    fn state(&self) -> String {
        let pods = self.kubectl(&["describe", "pods", "-A"]);
        let events = self.kubectl(&["get", "events", "-A"]);
        let logs = self.kubectl(&["logs", "-n", "oom-agent", "daemonset/oom-agent"]);
        let units =
            Command::new("systemctl").args(["--no-pager", "list-units", "kube*", "containerd*"]).output();
        let units = units.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        let journal = Command::new("journalctl").args(["--no-pager", "-n", "300"]).output();
        let journal = journal.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        let all =
            [pods, events, logs, units.map_err(|it| it.to_string()), journal.map_err(|it| it.to_string())];
        all.into_iter().map(|it| it.unwrap_or_else(|error| error)).collect::<Vec<_>>().join("\n---\n")
    }

    /// What the agent asked the API server, in order.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.audit).expect("the audit log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn command(program: &str, arguments: &[&str]) {
    let done =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn disk() -> PathBuf {
    let all = fs::read_dir("/sys/class/nvme").expect("disks");
    let found = all.flatten().find(|entry| {
        fs::read_to_string(entry.path().join("serial")).is_ok_and(|serial| serial.trim() == SERIAL)
    });
    let name = found.expect("the disk with Kubernetes' programs").file_name();
    Path::new("/dev").join(format!("{}n1", name.to_string_lossy()))
}
