//! A workload as the runner holds it.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use rustix::time::Timespec;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Under emulation the slowest step takes about a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Script(Vec<OsString>);

impl Script {
    /// `kind` is a subcommand of `oom-guest work`.
    pub(crate) fn new(kind: &str) -> Self {
        Self(vec!["work".into(), kind.into()])
    }

    /// Adds `--name value`.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut option = OsString::from(format!("--{name}="));
        option.push(value);
        self.0.push(option);
        self
    }
}

/// A workload that runs.
#[derive(Debug)]
pub(crate) struct Actor {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Its process, then others that it named.
    pub(crate) pids: Vec<u32>,
    exits: Vec<OwnedFd>,
    /// The signals that ended its processes, once it ended.
    pub(crate) signals: Vec<Option<i32>>,
}

impl Actor {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(script: &Script) -> Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(&script.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {:?}", script.0))?;
        let out = child.stdout.take().context("its stdout")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        let mut actor =
            Self { child, stdin, lines, pids: Vec::new(), exits: Vec::new(), signals: Vec::new() };
        let ready = actor.line().with_context(|| format!("{:?} did not get ready", script.0))?;
        let Some(pids) = ready.strip_prefix("ready ") else { bail!("{:?} said {ready}", script.0) };
        actor.pids = pids.split(' ').filter_map(|pid| pid.parse().ok()).collect();
        for pid in &actor.pids {
            let pid = Pid::from_raw(pid.cast_signed()).context("a pid of 0")?;
            actor
                .exits
                .push(pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("pidfd_open({pid:?})"))?);
        }
        Ok(actor)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it grow.
    pub(crate) fn go(&mut self) -> Result<()> {
        let stdin = self.stdin.as_mut().context("it was let go already")?;
        stdin.write_all(b"go\n").with_context(|| format!("telling {} to grow", self.child.id()))
    }

    /// Its next line. An error when it ended or the time is over.
    pub(crate) fn line(&self) -> Result<String> {
        self.lines.recv_timeout(PATIENCE).with_context(|| format!("no line from {}", self.child.id()))
    }

    /// Waits until it has grown or ended.
    pub(crate) fn settle(&self) -> Result<()> {
        match self.lines.recv_timeout(PATIENCE) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                bail!("{} neither grew nor died in {PATIENCE:?}", self.child.id())
            }
            _ => Ok(()),
        }
    }

    /// Waits until all its processes ended.
    pub(crate) fn await_death(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for (pid, exit) in self.pids.iter().zip(&self.exits) {
            let left =
                Timespec::try_from(deadline.saturating_duration_since(Instant::now())).context("a time")?;
            let ended =
                poll(&mut [PollFd::new(exit, PollFlags::IN)], Some(&left)).context("polling a pidfd")?;
            if ended == 0 {
                bail!("{pid} is still alive after {PATIENCE:?}");
            }
        }
        Ok(())
    }

    /// Sends SIGKILL to all its processes.
    pub(crate) fn kill(&self) {
        for pid in self.pids.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
            // It may have ended.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Lets go of it, waits, and notes how its processes ended. The others are killed: they hear nothing.
    pub(crate) fn end(&mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = wait(self.child.id())?;
        self.signals = vec![status];
        for pid in self.pids.iter().skip(1) {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
            self.signals.push(wait(*pid)?);
        }
        Ok(())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if self.signals.is_empty() {
            self.kill();
            let _ = self.end();
        }
    }
}

/// Waits for one process and gives the signal that ended it.
fn wait(pid: u32) -> Result<Option<i32>> {
    let pid = Pid::from_raw(pid.cast_signed()).context("a pid of 0")?;
    let ended = waitpid(Some(pid), WaitOptions::empty()).with_context(|| format!("waiting for {pid:?}"))?;
    Ok(ended.and_then(|(_, status)| status.terminating_signal()))
}
