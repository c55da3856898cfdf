//! The daemon as a service: its configuration, what a service manager hears of it.

use super::support::{Cgroup, Daemon, run, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, io::Read as _, os::unix::net::UnixDatagram, path::Path, time::Duration};

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
    let Some(mut daemon) = Daemon::start_with(&["--max-level", "tracepoint"], &environment) else { return };
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

#[test]
fn a_reload_changes_what_can_change_and_a_broken_file_nothing() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reload-{}.toml", std::process::id()));
    let write = |text: &str| {
        // As editors do: another file of the same name.
        let other = path.with_extension("new");
        fs::write(&other, text).and_then(|()| fs::rename(&other, &path)).expect("a file");
    };
    write("max-level = \"tracepoint\"\nlog-format = \"json\"\n");
    let manager = Manager::new("reload");
    let environment = [("NOTIFY_SOCKET", manager.path.as_os_str())];
    let file = path.to_str().expect("a path");
    let Some(mut daemon) = Daemon::start_with(&["--config", file], &environment) else { return };
    manager.hears_until("READY=1");
    let reload = |text: &str| {
        write(text);
        kill_process(Pid::from_child(&daemon.child), Signal::HUP).expect("it runs");
        let heard = manager.hears_until("RELOADING=1\nMONOTONIC_USEC=");
        assert!(heard.len() <= 2, "{heard:?}");
        manager.hears_until("READY=1");
    };
    let collector = "otlp-endpoint = \"http://127.0.0.1:9\"\n";
    reload(&format!(
        "max-level = \"kmsg\"\nlog-format = \"text\"\nkeep = \"1h\"\nsample-every = \"off\"\n{collector}"
    ));
    reload("max-level = \"kmsg\"\nlog-format = \"text\"\nkeep = \"soon\"\n");
    reload("max-level = \"kmsg\"\nlog-format = \"text\"\nkeep = \"1h\"\nsample-every = \"2s\"\n");
    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0));
    let said = daemon.said();
    fs::remove_file(&path).expect("it is there");
    let lines: Vec<&str> = said.lines().collect();
    let at = |words: &str| {
        lines.iter().position(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {said}"))
    };
    let first = at(": keep, log-format, sample-every changed; max-level, otlp-endpoint at the next start");
    assert!(lines[first - 1].starts_with('{') && !lines[first].starts_with('{'), "{said}");
    let second = at(".toml:3: keep = \"soon\" cannot be: not a time");
    let third = at(": sample-every changed; max-level at the next start");
    assert!(first < second && second < third && lines[second].contains("not reloaded"), "{said}");
}

#[test]
fn a_token_that_was_replaced_holds_after_a_reload_without_privileges() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("token-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("token");
    let write = |token: &str| {
        let other = dir.join("new");
        fs::write(&other, token).and_then(|()| fs::rename(&other, &file)).expect("a file");
    };
    let (old, new) = ("old-token-0123456789", "new-token-0123456789");
    write(old);
    let args = ["--max-level", "tracepoint", "--api-token-file", file.to_str().expect("a path")];
    let Some(daemon) = Daemon::start(&args) else { return };
    assert!(daemon.get("/readyz").contains("confined: no capabilities"));
    let status = |token: &str| {
        let request = format!(
            "GET /api/v1/incidents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let mut answer = String::new();
        daemon.connect(request.as_bytes()).read_to_string(&mut answer).expect("an answer");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!([status(old), status(new)], ["200", "401"]);
    write(new);
    kill_process(Pid::from_child(&daemon.child), Signal::HUP).expect("it runs");
    wait_until("the new token holds", || status(new) == "200");
    assert_eq!(status(old), "401");
    fs::remove_dir_all(&dir).expect("it is there");
}
