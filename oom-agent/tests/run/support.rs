//! A daemon, a memory cgroup, and HTTP by hand.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Nothing takes so long, even on a slow machine with other work.
const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The agent: that of this build, or the one that `OOM_AGENT` names.
fn agent() -> Command {
    Command::new(std::env::var_os("OOM_AGENT").unwrap_or_else(|| env!("CARGO_BIN_EXE_oom-agent").into()))
}

fn command(args: &[&str]) -> Command {
    let mut command = agent();
    command.arg("run").args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().expect("starts")
}

/// What `incidents` says of a state directory.
pub(crate) fn incidents(state: &Path, what: &str) -> String {
    let said = agent().args(["incidents", what, "--state-dir"]).arg(state).output().expect("starts");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// The whole answer to a request. `None`: nobody listens.
pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    Some(answer)
}

/// As a label's value.
pub(crate) fn label(path: &str) -> String {
    path.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A running daemon on a port of its own. Ends with the test.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// Its state directory.
    pub(crate) state: PathBuf,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Daemon {
    /// `None`: not permitted here.
    pub(crate) fn start(args: &[&str]) -> Option<Self> {
        Self::start_with(args, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(args: &[&str], environment: &[(&str, &OsStr)]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("run-{}-{number}", std::process::id());
        Self::spawn(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), args, environment)
    }

    /// The same with this state directory, which goes with it.
    pub(crate) fn start_in(state: PathBuf, args: &[&str]) -> Option<Self> {
        Self::spawn(state, args, &[])
    }

    fn spawn(state: PathBuf, args: &[&str], environment: &[(&str, &OsStr)]) -> Option<Self> {
        let mut command = command(&[&["--listen", "127.0.0.1:0"], args].concat());
        command.envs(environment.iter().copied());
        let mut child = command.arg("--state-dir").arg(&state).spawn().expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut daemon = Self { child, address: String::new(), state, stderr, said: String::new() };
        loop {
            let begin = daemon.said.len();
            if daemon.stderr.read_line(&mut daemon.said).expect("text") == 0 {
                let said = &daemon.said;
                assert_eq!(daemon.child.wait().expect("it ended").code(), Some(3), "{said}");
                eprintln!("not tested: {said}");
                return None;
            }
            if let Some((_, rest)) = daemon.said[begin..].split_once("listening on http://") {
                daemon.address = rest.split(": /").next().expect("an address").to_owned();
                return Some(daemon);
            }
        }
    }

    /// Kills it as the kernel or an operator would, and gives its state directory to the next one.
    pub(crate) fn kill(mut self) -> PathBuf {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        std::mem::take(&mut self.state)
    }

    /// Sends something and reads nothing.
    pub(crate) fn connect(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        stream.write_all(request).expect("it reads");
        stream
    }

    /// The whole answer.
    pub(crate) fn get(&self, path: &str) -> String {
        get(&self.address, path).expect("it listens")
    }

    /// A sample's value now.
    pub(crate) fn value(&self, sample: &str) -> Option<f64> {
        let metrics = self.get("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
    }

    /// What it said until it listened.
    pub(crate) fn said_at_start(&self) -> &str {
        &self.said
    }

    /// Everything that it said, when it has ended.
    pub(crate) fn said(&mut self) -> String {
        self.stderr.read_to_string(&mut self.said).expect("text");
        self.said.clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.state.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.state);
        }
    }
}

/// A memory cgroup with a small limit.
pub(crate) struct Cgroup {
    dir: PathBuf,
    path: String,
}

impl Cgroup {
    /// `None`: there can be none here.
    pub(crate) fn make(name: &str) -> Option<Self> {
        let made = Self::try_make(name);
        if made.is_none() {
            eprintln!("not tested: no memory cgroup can be made here");
        }
        made
    }

    /// The same, called as that of a pod's container (kubelet with its cgroupfs driver).
    pub(crate) fn pod(uid: &str, id: &str) -> Option<Self> {
        let made = Self::make_at(format!("/kubepods/burstable/pod{uid}/{id}"));
        if made.is_none() {
            eprintln!("not tested: no memory cgroup can be made here");
        }
        made
    }

    fn try_make(name: &str) -> Option<Self> {
        Self::make_at(format!("/oom-agent-run-{name}-{}", std::process::id()))
    }

    fn make_at(path: String) -> Option<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (mount, limit, swap) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max", "memory.swap.max")
        };
        let dir = mount.join(path.trim_start_matches('/'));
        let mut above = mount.to_owned();
        for name in path.trim_start_matches('/').split('/') {
            if limit == "memory.max" {
                let _ = fs::write(above.join("cgroup.subtree_control"), "+memory");
            }
            above.push(name);
            let made = fs::create_dir(&above);
            // Those above it may be there.
            if above == dir {
                made.ok()?;
            }
        }
        let cgroup = Self { dir, path };
        fs::write(cgroup.dir.join(limit), "16777216").ok()?;
        // Missing where the kernel does not count swap.
        let none = if swap == "memory.swap.max" { "0" } else { "16777216" };
        let _ = fs::write(cgroup.dir.join(swap), none);
        Some(cgroup)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Uses more memory in it than it may have, and comes back when that was killed: `tail` keeps a line until it ends.
    /// Where the limit does not hold, that is no more than 256 MiB.
    pub(crate) fn fill(&self) {
        let procs = self.dir.join("cgroup.procs");
        // Nobody else is in it, whom the kernel could take as well.
        let script = r#"head -c 256M /dev/zero | sh -c 'echo $$ > "$1" && exec tail' sh "$1""#;
        let mut hog = Command::new("sh");
        hog.args(["-c", script, "sh"]).arg(procs).stdout(Stdio::null()).stderr(Stdio::null());
        let status = hog.status().expect("a shell");
        assert!(!status.success(), "it was not killed");
    }

    /// As [`Self::fill`], by the main process of a container: the first of its PID namespace.
    pub(crate) fn fill_as_main(&self) {
        let mut hog = self.unshared(r#"echo $$ > "$1" && exec tail /dev/zero"#);
        assert!(!hog.status().expect("unshare").success(), "it was not killed");
    }

    /// A main process that takes little, and whose children can be told to take more than there is.
    pub(crate) fn rest_as_main(&self) -> Main {
        let script = r#"echo $$ > "$1"; while read line; do tail /dev/zero; echo done; done"#;
        let mut main = self.unshared(script);
        let mut child = main.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        Main { child, said }
    }

    fn unshared(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "sh", "-c", script, "sh"]).arg(self.dir.join("cgroup.procs"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// As [`Self::fill`], until the kernel has printed a report of it: of all that are killed on this machine it prints 10
    /// in 5 s (`dump_header`, `mm/oom_kill.c`), and without one its log does not say where somebody was killed.
    /// How many it printed.
    pub(crate) fn fill_and_report(&self) -> usize {
        let before = self.reports();
        wait_until("the kernel has printed a report", || {
            self.fill();
            self.reports() > before
        });
        self.reports() - before
    }

    /// How many reports of it the kernel's log has.
    fn reports(&self) -> usize {
        let mut options = fs::File::options();
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let mut log = options.read(true).custom_flags(flags as i32).open("/dev/kmsg").expect("as the daemon");
        let place = format!("oom_memcg={},", self.path);
        let (mut found, mut record) = (0, [0; 8192]);
        loop {
            // One record each time.
            match log.read(&mut record) {
                Ok(length) => {
                    found += usize::from(String::from_utf8_lossy(&record[..length]).contains(&place));
                }
                // Overwritten meanwhile.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return found,
            }
        }
    }

    /// Something that uses more and more memory in it, half a megabyte a second, for as long as it may.
    /// It ends with the cgroup, and is waited for by then.
    pub(crate) fn grow(&self) -> Child {
        let procs = self.dir.join("cgroup.procs");
        let script = r#"echo $$ > "$1" && while sleep 1; do head -c 512K /dev/zero; done | tail"#;
        let mut grows = Command::new("sh");
        grows.args(["-c", script, "sh"]).arg(procs).stdout(Stdio::null()).stderr(Stdio::null());
        grows.spawn().expect("a shell")
    }
}

/// See [`Cgroup::rest_as_main`]. Ends with the test.
pub(crate) struct Main {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Main {
    /// A child takes more memory than there is. Comes back when it was killed.
    pub(crate) fn fill(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"go\n").expect("it reads");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("text");
        assert_eq!(line, "done\n");
    }
}

impl Drop for Main {
    fn drop(&mut self) {
        // It ends when there is nothing to read any more.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.remove();
        // A pod's own.
        if let Some(pod) = self.dir.parent().filter(|_| self.path.starts_with("/kubepods/")) {
            let _ = fs::remove_dir(pod);
        }
    }
}

impl Cgroup {
    fn remove(&self) {
        // A cgroup whose last process is still exiting is busy.
        let began = Instant::now();
        while fs::remove_dir(&self.dir).is_err() && began.elapsed() < DEADLINE {
            let procs = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
            for pid in procs.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
