//! A tool that runs: when it was ready, what it said and when, and what it costs.

use super::processor_time;
use crate::cases::agent::boottime_ns;
use crate::cases::machine::status_kib;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// bcc compiles for half a minute under emulation.
const START: Duration = Duration::from_mins(3);
const STOP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(1);

/// A victim that a tool told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) pid: u32,
    pub(super) cgroup: Option<String>,
    /// When its line came, `CLOCK_BOOTTIME`.
    pub(super) time_ns: u64,
}

/// A process id, and a cgroup if the tool names one.
pub(super) type Named = (u32, Option<String>);

/// How a tool tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tells {
    /// A line holds these victims.
    Lines(fn(&str) -> Vec<Named>),
    /// A counter of this name, at this port of the machine.
    Counter(&'static str, u16),
}

/// A tool.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// The command line.
    pub(super) command: Vec<String>,
    /// What it says when it is ready.
    pub(super) ready: &'static str,
    pub(super) tells: Tells,
    /// It writes to a terminal: into a pipe it would hold its lines back.
    pub(super) terminal: bool,
}

type Lines = Arc<Mutex<Vec<(u64, String)>>>;

/// A tool that runs.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) tool: &'a Tool,
    child: Child,
    lines: Lines,
    taken: usize,
    counted: u64,
    threads: Vec<JoinHandle<()>>,
    /// From its start until it said that it was ready.
    pub(super) ready_ms: f64,
}

impl Tool {
    /// Starts it and waits until it is ready.
    pub(super) fn start(&self) -> Result<Running<'_>> {
        let begun = Instant::now();
        let [program, args @ ..] = self.command.as_slice() else { bail!("no program") };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stderr(Stdio::piped());
        let lines = Lines::default();
        let mut threads = Vec::new();
        if self.terminal {
            let (master, slave) = terminal()?;
            command.stdout(slave);
            threads.push(follow(master, &lines));
        } else {
            command.stdout(Stdio::piped());
        }
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        // The tool alone holds the terminal now: it ends with it.
        drop(command);
        threads.extend(child.stdout.take().map(|out| follow(out, &lines)));
        threads.extend(child.stderr.take().map(|err| follow(err, &lines)));
        let mut running = Running { tool: self, child, lines, taken: 0, counted: 0, threads, ready_ms: 0.0 };
        while !running.is_ready() {
            let ended = running.child.try_wait().context("waiting for a tool")?;
            if ended.is_some() || begun.elapsed() > START {
                let said = running.said();
                let said: Vec<&str> = said.lines().rev().take(4).collect();
                bail!("{} did not get ready ({ended:?}): {}", self.name, said.join(" | "));
            }
            std::thread::sleep(POLL);
        }
        running.ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
        running.take();
        running.counted = running.counter().unwrap_or(0);
        Ok(running)
    }
}

impl Running<'_> {
    fn is_ready(&self) -> bool {
        match self.tool.tells {
            Tells::Lines(_) => self.lock().iter().any(|(_, line)| line.contains(self.tool.ready)),
            Tells::Counter(..) => self.counter().is_ok(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that it wrote.
    pub(super) fn said(&self) -> String {
        self.lock().iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// How many lines it wrote.
    pub(super) fn lines(&self) -> usize {
        self.lock().len()
    }

    /// The victims that it told since the last time; nothing of a counter.
    pub(super) fn take(&mut self) -> Vec<Told> {
        let Tells::Lines(parse) = self.tool.tells else { return Vec::new() };
        let new: Vec<(u64, String)> = self.lock().get(self.taken..).unwrap_or_default().to_vec();
        self.taken += new.len();
        let told = |(time_ns, line): &(u64, String)| {
            let time_ns = *time_ns;
            parse(line).into_iter().map(move |(pid, cgroup)| Told { pid, cgroup, time_ns })
        };
        new.iter().flat_map(told).collect()
    }

    /// The lines since the last [`Self::take`].
    pub(super) fn new_lines(&self) -> Vec<String> {
        self.lock().iter().skip(self.taken).map(|(_, line)| line.clone()).collect()
    }

    /// By how much its counter grew since the last time.
    pub(super) fn grown(&mut self) -> Result<u64> {
        let now = self.counter()?;
        Ok(now.saturating_sub(std::mem::replace(&mut self.counted, now)))
    }

    fn counter(&self) -> Result<u64> {
        let Tells::Counter(name, port) = self.tool.tells else { bail!("it has no counter") };
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Ok(value.context("the counter is missing")? as u64)
    }

    /// The most that was ever resident.
    pub(super) fn peak_kib(&self) -> Result<u64> {
        status_kib(self.child.id(), "VmHWM")
    }

    /// Resident memory, counted page by page: up to 6.1 `VmRSS` lags by up to 64 pages a thread.
    pub(super) fn resident_kib(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
        line.and_then(|kib| kib.trim().parse().ok()).with_context(|| format!("{path} has no Rss"))
    }

    /// On a processor, since its start.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        processor_time(self.child.id()).with_context(|| format!("asking for the time of {}", self.tool.name))
    }

    /// Ends it as a user would.
    pub(super) fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a pid of 0")?;
        kill_process(pid, Signal::INT).with_context(|| format!("ending {}", self.tool.name))?;
        let begun = Instant::now();
        while self.child.try_wait().context("waiting for a tool")?.is_none() {
            if begun.elapsed() > STOP {
                self.child.kill().context("killing a tool")?;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has told what it read.
            let _ = thread.join();
        }
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It was stopped, or the measurement has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A terminal that passes bytes on as they are: what it is read by, and what a program writes to.
fn terminal() -> Result<(File, File)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("openpt")?;
    grantpt(&master).context("grantpt")?;
    unlockpt(&master).context("unlockpt")?;
    let name = ptsname(&master, Vec::new()).context("ptsname")?;
    let path = OsStr::from_bytes(name.to_bytes());
    let slave = File::options().read(true).write(true).open(path);
    let slave = slave.with_context(|| format!("opening {}", path.display()))?;
    let mut settings = tcgetattr(&slave).context("tcgetattr")?;
    settings.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &settings).context("tcsetattr")?;
    Ok((File::from(master), slave))
}

fn follow(stream: impl Read + Send + 'static, lines: &Lines) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let time_ns = boottime_ns();
            let line = String::from_utf8_lossy(&line).into_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push((time_ns, line));
        }
    })
}
