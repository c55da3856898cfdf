//! `/dev/kmsg`: the running kernel's log, one record a read (`kernel/printk/printk.c:devkmsg_read`).

mod follower;

use super::pause::Pause;
use crate::report::Event;
use crate::watched::Watched;
use anyhow::{Context as _, ensure};
use follower::{Drained, Follower};
use rustix::fs::{Mode, OFlags, SeekFrom};
use std::fs::File;
use std::io;
use std::time::Duration;
use tokio::io::Interest;
use tokio::runtime::Handle;

const PATH: &str = "/dev/kmsg";

/// Where in the log to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the next record.
    Now,
    /// With the oldest record that the ring still holds.
    Start,
}

/// Records that are read without a pause, at most: more than a ring of a megabyte holds. Whoever floods the log must
/// not keep incidents from being told.
const MOST_BATCHES: usize = 16;

/// Follows the kernel's log and tells what it says about OOM.
///
/// Sleeps until the kernel logs something; while it logs nothing, there is no timer.
#[derive(Debug)]
pub struct Kmsg {
    file: File,
    follower: Follower,
    /// The same open file, registered: only then does a record wake the agent.
    watch: Option<Watched>,
    /// Between reading everything and waiting for more.
    pause: Option<Pause>,
}

impl Kmsg {
    /// Opens `/dev/kmsg`.
    ///
    /// # Errors
    /// If it is missing, if the log is restricted (`kernel.dmesg_restrict`), or outside of a tokio runtime. The error
    /// says what to do.
    pub fn open(from: From) -> anyhow::Result<Self> {
        ensure!(Handle::try_current().is_ok(), "cannot follow {PATH}: not in a tokio runtime");
        Ok(Self { file: open(from)?, follower: Follower::new(), watch: None, pause: None })
    }

    /// From now on it does not wake the agent within this time after it was read. For where something else tells of kills
    /// and the log is read at once then: between, it is only read so that it does not overflow.
    ///
    /// # Errors
    /// If there is no timer to be had.
    pub fn pause_between_reads(&mut self, time: Duration) -> anyhow::Result<()> {
        self.pause = Some(Pause::new(time)?);
        Ok(())
    }

    /// Waits until the log says something about OOM and adds it to `out`, together with all that follows and can be
    /// read at once.
    ///
    /// Cancel safe: what was read before is kept.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn next(&mut self, out: &mut Vec<Event>) -> anyhow::Result<()> {
        let before = out.len();
        loop {
            if let Some(pause) = &mut self.pause {
                pause.end().await?;
            }
            let watch = match &mut self.watch {
                Some(watch) => watch,
                none => none.insert(register(&self.file)?),
            };
            let mut ready = watch.readable().await.context("cannot wait for /dev/kmsg")?;
            let drained = self.follower.drain(&mut &self.file, out).map_err(read_error)?;
            if drained == Drained::All {
                ready.clear_ready();
                self.rest()?;
            }
            if out.len() > before {
                return Ok(());
            }
            if drained == Drained::More {
                // Someone floods the log: other tasks want to run as well.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Adds what can be read now to `out`, without waiting.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read_available(&mut self, out: &mut Vec<Event>) -> anyhow::Result<()> {
        for _ in 0..MOST_BATCHES {
            if self.follower.drain(&mut &self.file, out).map_err(read_error)? == Drained::All {
                return self.rest();
            }
        }
        Ok(())
    }

    /// Adds what the next records say to `out`, without waiting. Whether there may be more.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read_some(&mut self, out: &mut Vec<Event>) -> anyhow::Result<bool> {
        Ok(self.follower.drain(&mut &self.file, out).map_err(read_error)? == Drained::More)
    }

    /// What records before this one say is not told.
    pub fn skip_before(&mut self, seq: u64) {
        self.follower.skip_before(seq);
    }

    /// Begins anew with the oldest record that the ring still holds, and skips none.
    ///
    /// # Errors
    /// If it is another file than the kernel's log.
    pub fn rewind(&mut self) -> anyhow::Result<()> {
        rustix::fs::seek(&self.file, SeekFrom::Start(0))
            .map_err(io::Error::from)
            .with_context(|| format!("cannot go to the begin of {PATH}"))?;
        self.follower = Follower::new();
        Ok(())
    }

    /// Everything was read: what comes now may wait for a while.
    fn rest(&mut self) -> anyhow::Result<()> {
        if let Some(pause) = &mut self.pause {
            self.watch = None;
            pause.begin()?;
        }
        Ok(())
    }

    /// Number of the first record that was read: more than 0 if the ring had overwritten older ones by then.
    pub fn first_seq(&self) -> Option<u64> {
        self.follower.first_seq()
    }

    /// Number of the next record, once one was read.
    pub fn next_seq(&self) -> Option<u64> {
        self.follower.next_seq()
    }

    /// The same, unless it is in the middle of a report.
    pub fn settled_seq(&self) -> Option<u64> {
        self.follower.settled_seq()
    }

    /// Tells a report whose end has not come as far as it goes.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        self.follower.finish(out);
    }
}

fn register(file: &File) -> anyhow::Result<Watched> {
    let failed = || format!("cannot wait for {PATH}: registering it with epoll failed");
    let same = file.try_clone().with_context(failed)?;
    // The kernel reports what it has overwritten as an error too, always together with "readable".
    Watched::new(same.into(), Interest::READABLE).with_context(failed)
}

fn open(from: From) -> anyhow::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(PATH, flags, Mode::empty())
        .map_err(|errno| anyhow::Error::new(io::Error::from(errno)).context(open_advice(errno)))?;
    if from == From::Now {
        rustix::fs::seek(&file, SeekFrom::End(0)).map_err(io::Error::from).with_context(|| {
            format!("cannot go to the end of {PATH}: is it the kernel's log and not another file?")
        })?;
    }
    Ok(File::from(file))
}

/// What could not be done and what helps.
fn open_advice(errno: rustix::io::Errno) -> String {
    use rustix::io::Errno;

    let advice = match errno {
        Errno::PERM => {
            "kernel.dmesg_restrict is set, so run as root or with CAP_SYSLOG, or set it to 0 with \
             `sysctl kernel.dmesg_restrict=0`; or the container's list of devices forbids it: with BPF CAP_SYSLOG will \
             do, without only a privileged one"
        }
        Errno::ACCESS => "its permissions or a security module (AppArmor, SELinux) forbid it; run as root",
        Errno::NOENT => {
            "there is no such file; in a container CAP_SYSLOG will do with BPF, without hand in the host's (docker: \
             --device=/dev/kmsg, Kubernetes: a privileged one), elsewhere the kernel needs CONFIG_PRINTK and a mounted /dev"
        }
        _ => "without it the kernel's own report is missing",
    };
    format!("cannot open {PATH} to read the kernel's log: {advice}")
}

fn read_error(error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot read the kernel's log from {PATH}"))
}

#[cfg(test)]
mod tests;
