//! A follower of `/dev/kmsg` that knows when it has seen everything: it writes a mark and reads up to it.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
use rustix::io::{Errno, read};
use rustix::time::Timespec;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The kernel prints 10 reports in 5 s (`oom_rs` in `oom_kill_process`, `mm/oom_kill.c`): after so long it prints again.
pub(crate) const PRINTS_AGAIN: Duration = Duration::from_millis(5100);

const PATH: &str = "/dev/kmsg";

/// Follows the kernel's log from where it was opened.
#[derive(Debug)]
pub(crate) struct Follower {
    log: OwnedFd,
    /// Messages seen so far.
    pub(crate) messages: Vec<String>,
    /// Times that the ring overtook it.
    pub(crate) overrun: u32,
}

impl Follower {
    /// Starts at the end of what is there.
    pub(crate) fn new() -> Result<Self> {
        let log = open(PATH, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| format!("opening {PATH}"))?;
        seek(&log, SeekFrom::End(0)).with_context(|| format!("seeking to the end of {PATH}"))?;
        Ok(Self { log, messages: Vec::new(), overrun: 0 })
    }

    /// Reads everything that was logged before now.
    pub(crate) fn catch_up(&mut self) -> Result<()> {
        let mark = format!("oom-cases: mark {} {}", std::process::id(), self.messages.len());
        // A new file each time: the kernel limits the rate of a writer. A record without a newline stays open for a
        // continuation, and no reader sees it before the next one.
        std::fs::write(PATH, format!("{mark}\n")).with_context(|| format!("writing a mark to {PATH}"))?;
        self.read_until(Duration::from_secs(10), |message| message == mark)?;
        self.messages.pop();
        Ok(())
    }

    /// Reads until a message satisfies `wanted`.
    pub(crate) fn read_until(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut record = [0; 8192];
        loop {
            match read(&self.log, &mut record) {
                Ok(length) => {
                    let record = record.get(..length).unwrap_or_default();
                    let Some(message) = message(&String::from_utf8_lossy(record)) else { continue };
                    let found = wanted(&message);
                    self.messages.push(message);
                    if found {
                        return Ok(());
                    }
                }
                Err(Errno::PIPE) => self.overrun += 1,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(deadline)?,
                Err(error) => return Err(error).with_context(|| format!("reading {PATH}")),
            }
        }
    }

    fn wait(&self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).context("a waiting time")?;
        let mut polled = [PollFd::new(&self.log, PollFlags::IN)];
        if poll(&mut polled, Some(&left)).with_context(|| format!("polling {PATH}"))? == 0 {
            bail!("what was waited for did not come in {PATH}; is printk.devkmsg off?");
        }
        Ok(())
    }
}

/// The message of a record `priority,sequence,microseconds,flags;message\n KEY=value\n`.
fn message(record: &str) -> Option<String> {
    let (_, message) = record.split_once(';')?;
    message.lines().next().map(str::to_owned)
}
