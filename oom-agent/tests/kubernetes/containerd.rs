//! A containerd of its own, with an image of its own.

use crate::image;
use oom_agent::identity::cri;
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The pause container and the others are made of the same image.
pub(crate) const IMAGE: &str = "localhost/oom-agent-guest:1";
/// Nothing takes so long, even on a slow machine with other work.
const DEADLINE: Duration = Duration::from_mins(1);

/// A running containerd. Ends with the test, and its files go with it.
pub(crate) struct Containerd {
    child: Child,
    dir: PathBuf,
    runtime: Runtime,
}

impl Containerd {
    /// `None`: not to be had here.
    pub(crate) fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tested: root is needed for pods");
            return None;
        }
        for program in ["containerd", "containerd-shim-runc-v2", "ctr", "runc"] {
            if !has(program) {
                eprintln!("not tested: {program} is not installed (Debian: containerd, runc)");
                return None;
            }
        }
        if !["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.stat"]
            .iter()
            .any(|it| Path::new(it).exists())
        {
            eprintln!("not tested: no memory controller");
            return None;
        }
        // A socket's path is short.
        let dir = std::env::temp_dir().join(format!("oom-cri-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory");
        let Some(image) = image::of_guest(&dir, IMAGE) else {
            eprintln!("not tested: this compiler cannot make a static program for the pods");
            return None;
        };
        let at = dir.display();
        let config = format!(
            "version = 2\nroot = \"{at}/root\"\nstate = \"{at}/state\"\n[grpc]\n  address = \"{at}/cri.sock\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n  sandbox_image = \"{IMAGE}\"\n\
             disable_apparmor = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n  SystemdCgroup = {}\n",
            systemd()
        );
        fs::write(dir.join("config.toml"), config).expect("a file");
        let log = fs::File::create(dir.join("log")).expect("a file");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(dir.join("config.toml"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("starts");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let containerd = Self { child, dir, runtime };
        containerd.import(&image);
        Some(containerd)
    }

    fn import(&self, image: &Path) {
        let began = Instant::now();
        loop {
            let mut ctr = Command::new("ctr");
            ctr.arg("--address").arg(self.socket()).args([
                "--namespace",
                "k8s.io",
                "images",
                "import",
                "--snapshotter",
                "native",
            ]);
            let done = ctr.arg(image).output().expect("starts");
            if done.status.success() {
                return;
            }
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(began.elapsed() < DEADLINE, "containerd takes no image: {said}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub(crate) fn socket(&self) -> String {
        self.dir.join("cri.sock").display().to_string()
    }

    /// Calls a method.
    pub(crate) fn call<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> A {
        let answer = self.runtime.block_on(async {
            cri::ask(&mut cri::connect(Path::new(&self.socket())).await?, method, question).await
        });
        answer.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Whether runc asks systemd for cgroups: where systemd is the first process, and it is wanted.
pub(crate) fn systemd() -> bool {
    std::env::var("OOM_CGROUP_DRIVER").is_ok_and(|driver| driver == "systemd")
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
