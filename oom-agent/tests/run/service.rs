//! The daemon as a service: its configuration, what a service manager hears of it.

use super::support::{Cgroup, Daemon, run};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, os::unix::net::UnixDatagram, path::Path, time::Duration};

/// A service manager's socket.
struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("notify-{name}-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket");
        Self { socket, path }
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    fn hears_until(&self, wanted: &str) -> Vec<String> {
        let mut heard = vec![self.hears()];
        while !heard.last().is_some_and(|last| last.starts_with(wanted)) {
            heard.push(self.hears());
        }
        heard
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn a_service_manager_hears_of_start_life_and_end() {
    let manager = Manager::new("life");
    let environment = [("NOTIFY_SOCKET", manager.path.as_os_str()), ("WATCHDOG_USEC", "400000".as_ref())];
    let Some(mut daemon) = Daemon::start_in(&["--max-level", "tracepoint"], &environment) else { return };
    let ready = manager.hears();
    assert!(
        ready.starts_with("READY=1\nSTATUS=sees victims and reclaim by BPF")
            && ready.ends_with("; 0 incidents, 0 victims"),
        "{ready}"
    );
    for _ in 0..3 {
        manager.hears_until("WATCHDOG=1");
    }
    if let Some(cgroup) = Cgroup::make("heard") {
        cgroup.fill();
        let heard = manager.hears_until("STATUS=");
        assert!(!heard.last().expect("it came").contains("; 0 incidents"), "{heard:?}");
    }
    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    manager.hears_until("STOPPING=1");
    assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_configuration_that_is_wrong_is_a_wrong_use() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wrong-{}.toml", std::process::id()));
    fs::write(&path, "keep-mib = 1\nkeep_mib = 2\n").expect("a file");
    let done = run(&["--config", path.to_str().expect("a path")]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains(".toml:2: unknown key keep_mib; keep-mib is one"), "{said}");
    fs::remove_file(path).expect("it is there");
}
