//! The agent under test, as a user would run it: its output comes through a pipe.

use super::machine::status_kib;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// It says so when its programs are attached.
pub(super) const ATTACHED: &str = "tracing";
const START: Duration = Duration::from_mins(1);
/// How long an agent may take to tell what it knows: an incident waits 10 s for what is not seen.
pub(crate) const TELL: Duration = Duration::from_secs(15);
const STOP: Duration = Duration::from_secs(10);

/// `CLOCK_BOOTTIME`, nanoseconds.
pub(crate) fn boottime_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// The agent's program, and how it is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    /// More arguments for `trace`.
    pub(crate) pass: Vec<String>,
}

impl Binary {
    /// Its subcommand.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(subcommand).stdin(Stdio::null());
        command
    }

    /// `trace` as JSON with everything.
    pub(crate) fn trace(&self) -> Command {
        let mut command = self.command("trace");
        command.args(["--format", "json", "--candidates", "all"]).args(&self.pass);
        command
    }
}

/// What becomes of the agent's stdout.
#[derive(Debug)]
pub(crate) enum Out {
    /// Read as it comes.
    Read,
    /// A pipe that nobody reads.
    Unread,
    /// Read up to the first line, then the reader leaves.
    Head,
    /// A file.
    File(File),
}

/// Lines of a stream with the time of their arrival (`CLOCK_BOOTTIME`), as they come.
#[derive(Debug, Default)]
struct Lines {
    seen: Mutex<(Vec<String>, bool)>,
    arrived: Mutex<Vec<u64>>,
    more: Condvar,
}

impl Lines {
    fn follow(stream: impl Read + Send + 'static, most: usize) -> (Arc<Self>, JoinHandle<()>) {
        let lines = Arc::new(Self::default());
        let writer = Arc::clone(&lines);
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').take(most).map_while(Result::ok) {
                writer.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(boottime_ns());
                writer.lock().0.push(String::from_utf8_lossy(&line).into_owned());
                writer.more.notify_all();
            }
            writer.lock().1 = true;
            writer.more.notify_all();
        });
        (lines, thread)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<String>, bool)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `enough` of the lines, the stream's end or the limit. Whether it was enough.
    fn wait(&self, limit: Duration, enough: impl Fn(&[String]) -> bool) -> bool {
        let result =
            self.more.wait_timeout_while(self.lock(), limit, |(lines, ended)| !enough(lines) && !*ended);
        enough(&result.unwrap_or_else(PoisonError::into_inner).0.0)
    }
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    out: Arc<Lines>,
    err: Arc<Lines>,
    threads: Vec<JoinHandle<()>>,
    taken: usize,
    /// Its stdout, where nobody reads it yet.
    unread: Option<PipeReader>,
    /// From its start until it was attached.
    pub(crate) attach_ms: u64,
    /// `VmRSS` once attached.
    pub(crate) rss_kib: u64,
    /// `VmHWM` once attached.
    pub(crate) hwm_kib: u64,
}

impl Agent {
    /// Starts it and waits until it is attached.
    pub(crate) fn start(mut command: Command, stdout: Out) -> Result<Self> {
        let begun = Instant::now();
        let (reader, writer) = std::io::pipe().context("making a pipe")?;
        let (most, unread, pipe) = match stdout {
            Out::Read => (usize::MAX, None, Some((reader, writer))),
            Out::Head => (1, None, Some((reader, writer))),
            Out::Unread => {
                command.stdout(writer);
                (usize::MAX, Some(reader), None)
            }
            Out::File(file) => {
                command.stdout(file);
                (usize::MAX, None, None)
            }
        };
        let (out, mut threads) = match pipe {
            Some((reader, writer)) => {
                command.stdout(writer);
                let (out, thread) = Lines::follow(reader, most);
                (out, vec![thread])
            }
            None => (Arc::default(), Vec::new()),
        };
        let spawned = command.stderr(Stdio::piped()).spawn();
        let mut child = spawned.with_context(|| format!("starting {command:?}"))?;
        // Only the agent has the pipe's other end now: it ends with it.
        drop(command);
        let (err, err_thread) = Lines::follow(child.stderr.take().context("the agent's stderr")?, usize::MAX);
        threads.push(err_thread);
        let attached = err.wait(START, |lines| lines.iter().any(|line| line.contains(ATTACHED)));
        let attach_ms = begun.elapsed().as_millis() as u64;
        let pid = child.id();
        let mut agent =
            Self { child, out, err, threads, taken: 0, unread, attach_ms, rss_kib: 0, hwm_kib: 0 };
        if !attached {
            let said = agent.err.lock().0.join("\n");
            let status = agent.child.try_wait().ok().flatten();
            let _ = agent.child.kill();
            bail!("the agent did not say {ATTACHED:?} in {START:?} (status {status:?}): {said}");
        }
        agent.rss_kib = status_kib(pid, "VmRSS")?;
        agent.hwm_kib = status_kib(pid, "VmHWM")?;
        Ok(agent)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says a line on stderr with these words in it, or the limit.
    pub(crate) fn says(&self, limit: Duration, words: &str) -> Option<String> {
        self.err.wait(limit, |lines| lines.iter().any(|line| line.contains(words)));
        self.err.lock().0.iter().find(|line| line.contains(words)).cloned()
    }

    /// Nothing was taken from it yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.taken == 0
    }

    /// Waits until it has told `count` more incidents, or the limit.
    pub(crate) fn wait(&self, count: usize, limit: Duration) -> bool {
        self.out.wait(limit, |lines| lines.len() >= self.taken + count)
    }

    /// Waits until it has told an incident like this, or the limit. Whether it did.
    pub(crate) fn wait_for(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        self.out.wait(limit, |lines| lines.iter().skip(self.taken).any(|line| wanted(line)))
    }

    /// The incidents since the last time.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let lines = self.out.lock().0.get(self.taken..).unwrap_or_default().to_vec();
        self.taken += lines.len();
        lines
    }

    /// When each of them came, `CLOCK_BOOTTIME` in nanoseconds. Ask before [`Self::take`].
    pub(crate) fn arrived(&self) -> Vec<u64> {
        let arrived = self.out.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.get(self.taken..).unwrap_or_default().to_vec()
    }

    /// Bytes that wait in the pipe that nobody reads.
    pub(crate) fn unread_bytes(&self) -> Result<u64> {
        let pipe = self.unread.as_ref().context("its stdout is read")?;
        rustix::io::ioctl_fionread(pipe).context("FIONREAD on the agent's stdout")
    }

    /// Begins to read the pipe that nobody read.
    pub(crate) fn read(&mut self) {
        if let Some(reader) = self.unread.take() {
            let (out, thread) = Lines::follow(reader, usize::MAX);
            self.out = out;
            self.threads.push(thread);
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a pid of 0")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to the agent"))
    }

    /// Waits until it ends by itself; its stderr ends with it.
    pub(crate) fn ended(&mut self) -> Result<ExitStatus> {
        if !self.err.wait(STOP, |_| false) && !self.err.lock().1 {
            bail!("the agent did not end in {STOP:?}");
        }
        self.child.wait().context("waiting for the agent")
    }

    /// What it said on stderr.
    pub(crate) fn stderr(&self) -> String {
        self.err.lock().0.join("\n")
    }

    /// Ends it as an operator would. The incidents that still came, what it said, and why it did not end well.
    pub(crate) fn stop(mut self) -> Result<(Vec<String>, String, Option<String>)> {
        let mut trouble = None;
        if let Some(status) = self.child.try_wait().context("waiting for the agent")? {
            trouble = Some(format!("the agent ended before it was told to: {status}"));
        } else {
            self.signal(Signal::TERM)?;
            match self.ended() {
                Ok(status) if status.success() => {}
                Ok(status) => trouble = Some(format!("after SIGTERM the agent ended with {status}")),
                Err(error) => {
                    trouble = Some(format!("after SIGTERM: {error:#}"));
                    self.child.kill().context("killing the agent")?;
                }
            }
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has told what it read.
            let _ = thread.join();
        }
        let rest = self.take();
        Ok((rest, self.stderr(), trouble))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It ended, or the case has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
