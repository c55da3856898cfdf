//! The daemon as a case holds it: its log, its metrics, what it stores.

use super::agent::Binary;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No answer takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    said: Arc<Said>,
    reader: Option<JoinHandle<()>>,
}

/// Lines of its stderr, and whether it has ended.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, (Vec<String>, bool)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Daemon {
    /// Starts it on a port of its own, and does not wait. `procs`: the cgroup that it is put into first.
    pub(super) fn spawn(binary: &Binary, state: &Path, args: &[&str], procs: Option<&Path>) -> Result<Self> {
        let within = |command: Command| match procs {
            None => command,
            Some(procs) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$1\" && shift && exec \"$@\"", "sh"]).arg(procs);
                shell.arg(command.get_program()).args(command.get_args());
                shell
            }
        };
        Self::spawn_as(within, binary, state, args)
    }

    /// The same. `within`: what its command becomes.
    pub(super) fn spawn_as(
        within: impl FnOnce(Command) -> Command,
        binary: &Binary,
        state: &Path,
        args: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(&binary.path);
        command.args(["run", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state).args(args);
        let mut command = within(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let stderr = child.stderr.take().context("its stderr")?;
        let said = Arc::new(Said::default());
        let writer = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                writer.lock().0.push(String::from_utf8_lossy(&line).into_owned());
                writer.more.notify_all();
            }
            writer.lock().1 = true;
            writer.more.notify_all();
        });
        Ok(Self { child, said, reader: Some(reader) })
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("sending {signal:?} to the daemon"))
    }

    /// Whether it runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has said so far.
    pub(super) fn said(&self) -> String {
        self.said.lock().0.join("\n")
    }

    /// Where it listens, as soon as it does. `None`: not in this time.
    pub(super) fn address(&self, limit: Duration) -> Option<SocketAddr> {
        let found = |lines: &[String]| lines.iter().find_map(|line| address(line));
        let waiting = |(lines, ended): &mut (Vec<String>, bool)| found(lines).is_none() && !*ended;
        let (lines, _) = self
            .said
            .more
            .wait_timeout_while(self.said.lock(), limit, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        found(&lines.0)
    }

    /// Where it listens; an error if it does not come to that.
    pub(super) fn listens(&self) -> Result<SocketAddr> {
        self.address(PATIENCE).with_context(|| format!("the daemon does not listen: {}", self.said()))
    }

    /// Kills it as nothing else ends: what it said.
    pub(super) fn kill(mut self) -> Result<Vec<String>> {
        self.child.kill().context("killing the daemon")?;
        self.child.wait().context("waiting for the daemon")?;
        Ok(self.lines())
    }

    /// Ends it as an operator does: what it said.
    pub(super) fn end(mut self) -> Result<Vec<String>> {
        self.signal(Signal::TERM)?;
        let begun = Instant::now();
        while self.is_alive() {
            if begun.elapsed() > PATIENCE {
                bail!("the daemon did not end after SIGTERM: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = self.child.wait().context("waiting for the daemon")?;
        let lines = self.lines();
        if !status.success() {
            bail!("the daemon ended with {status}: {}", lines.join("\n"));
        }
        Ok(lines)
    }

    /// Ends it: what is stored of kills since then.
    pub(super) fn stored_since(self, since_ns: u64, binary: &Binary, state: &State) -> Result<Vec<Stored>> {
        self.end()?;
        let mut stored = export(binary, &state.0)?;
        stored.retain(|it| it.boottime_ns >= since_ns);
        Ok(stored)
    }

    fn lines(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            // A thread that panicked has told what it read.
            let _ = reader.join();
        }
        std::mem::take(&mut self.said.lock().0)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(line: &str) -> Option<SocketAddr> {
    line.split_once("listening on http://")?.1.split(": /").next()?.parse().ok()
}

/// Samples of `/metrics` by their names with labels, and how long the answer took.
pub(super) fn scrape(address: SocketAddr) -> Result<(BTreeMap<String, f64>, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting to the daemon")?;
    stream.set_read_timeout(Some(PATIENCE)).context("a time limit")?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .context("asking the daemon")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading the daemon's answer")?;
    let took = begun.elapsed();
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("/metrics: {}", answer.lines().next().unwrap_or_default());
    }
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok((answer.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect(), took))
}

/// An incident as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) level: String,
    pub(super) boottime_ns: u64,
    /// Process id and name of each victim.
    pub(super) victims: Vec<(u32, String)>,
}

/// All that is stored, read as a user does.
pub(super) fn export(binary: &Binary, state: &Path) -> Result<Vec<Stored>> {
    let mut command = binary.command("incidents");
    command.args(["export", "--state-dir"]).arg(state);
    let done = command.output().with_context(|| format!("running {command:?}"))?;
    if !done.status.success() {
        bail!("{command:?}: {} {}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    String::from_utf8_lossy(&done.stdout).lines().map(stored).collect()
}

fn stored(line: &str) -> Result<Stored> {
    let told: Value = serde_json::from_str(line).context("an incident as JSON")?;
    let text = |pointer: &str| told.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let victim = |victim: &Value| {
        let pid = victim.get("pid").and_then(Value::as_u64).unwrap_or_default();
        let comm = victim.get("comm").and_then(Value::as_str).unwrap_or_default();
        (pid as u32, comm.to_owned())
    };
    let victims = told.get("victims").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(Stored {
        id: text("/id"),
        level: text("/evidence/level"),
        boottime_ns: told.get("boottime_ns").and_then(Value::as_u64).unwrap_or_default(),
        victims: victims.iter().map(victim).collect(),
    })
}

/// A directory for its state that goes with this.
#[derive(Debug)]
pub(super) struct State(pub(super) PathBuf);

impl State {
    pub(super) fn new(name: &str) -> Self {
        Self(PathBuf::from(format!("/tmp/oom-cases-{name}-{}", std::process::id())))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // There is none if no daemon was started.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
