//! The agent under test, as a user would run it: its output comes through a pipe.

use super::machine::status_kib;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// It says so when its programs are attached.
const ATTACHED: &str = "tracing";
const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// Lines of a stream, as they come.
#[derive(Debug, Default)]
struct Lines {
    seen: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    fn follow(stream: impl Read + Send + 'static) -> (Arc<Self>, JoinHandle<()>) {
        let lines = Arc::new(Self::default());
        let writer = Arc::clone(&lines);
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
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
    /// From its start until it was attached.
    pub(crate) attach_ms: u64,
    /// `VmRSS` once attached.
    pub(crate) rss_kib: u64,
    /// `VmHWM` once attached.
    pub(crate) hwm_kib: u64,
}

impl Agent {
    /// Starts it and waits until it is attached.
    pub(crate) fn start(binary: &Path, more: &[String]) -> Result<Self> {
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args(["trace", "--format", "json", "--candidates", "all"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let (out, out_thread) = Lines::follow(child.stdout.take().context("the agent's stdout")?);
        let (err, err_thread) = Lines::follow(child.stderr.take().context("the agent's stderr")?);
        let attached = err.wait(START, |lines| lines.iter().any(|line| line.contains(ATTACHED)));
        let attach_ms = begun.elapsed().as_millis() as u64;
        let pid = child.id();
        let mut agent = Self {
            child,
            out,
            err,
            threads: vec![out_thread, err_thread],
            taken: 0,
            attach_ms,
            rss_kib: 0,
            hwm_kib: 0,
        };
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

    /// Nothing was taken from it yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.taken == 0
    }

    /// Waits until it has told `count` more incidents, or the limit.
    pub(crate) fn wait(&self, count: usize, limit: Duration) -> bool {
        self.out.wait(limit, |lines| lines.len() >= self.taken + count)
    }

    /// The incidents since the last time.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let lines = self.out.lock().0.get(self.taken..).unwrap_or_default().to_vec();
        self.taken += lines.len();
        lines
    }

    /// What it said on stderr.
    pub(crate) fn stderr(&self) -> String {
        self.err.lock().0.join("\n")
    }

    /// Ends it as an operator would. The incidents that still came, what it said, and why it did not end well.
    pub(crate) fn stop(mut self) -> Result<(Vec<String>, String, Option<String>)> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a pid of 0")?;
        let mut trouble = None;
        if let Some(status) = self.child.try_wait().context("waiting for the agent")? {
            trouble = Some(format!("the agent ended before it was told to: {status}"));
        } else {
            kill_process(pid, Signal::TERM).context("sending SIGTERM to the agent")?;
            // Its streams end with it.
            if !self.out.wait(STOP, |_| false) && !self.out.lock().1 {
                trouble = Some(format!("the agent did not end in {STOP:?} after SIGTERM"));
                self.child.kill().context("killing the agent")?;
            }
            let status = self.child.wait().context("waiting for the agent")?;
            if !status.success() && trouble.is_none() {
                trouble = Some(format!("after SIGTERM the agent ended with {status}"));
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
