//! A pause between two reads of a source.
//!
//! A timer of the kernel's, not the runtime's: that one wakes up once more on its way to a time that is far off, to put it
//! where it can be found to the millisecond.

use crate::watched::Watched;
use anyhow::Context as _;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::time::Duration;
use tokio::io::Interest;

const LENGTH: &str = "the length of a pause";

/// A pause, of always the same length unless told otherwise.
#[derive(Debug)]
pub(super) struct Pause {
    timer: Watched,
    time: Itimerspec,
    /// It has begun and nobody has seen its end.
    runs: bool,
}

impl Pause {
    pub(super) fn new(length: Duration) -> anyhow::Result<Self> {
        const FAILED: &str = "cannot make a timer (timerfd_create)";
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .map_err(io::Error::from)
            .context(FAILED)?;
        let timer = Watched::new(timer, Interest::READABLE).context(FAILED)?;
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let length = Timespec::try_from(length).context(LENGTH)?;
        Ok(Self { timer, time: Itimerspec { it_interval: once, it_value: length }, runs: false })
    }

    /// Begins, or begins again.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &self.time)
            .map_err(io::Error::from)
            .context("cannot set a timer (timerfd_settime)")?;
        self.runs = true;
        Ok(())
    }

    /// Begins, from now on of this length, which is not 0.
    pub(super) fn begin_for(&mut self, length: Duration) -> anyhow::Result<()> {
        self.time.it_value = Timespec::try_from(length).context(LENGTH)?;
        self.begin()
    }

    /// Waits for its end, if it has begun. Cancel safe.
    pub(super) async fn end(&mut self) -> anyhow::Result<()> {
        while self.runs {
            let mut ready = self.timer.readable().await.context("cannot wait for a timer")?;
            let mut expirations = [0; 8];
            match rustix::io::read(ready.get_inner(), &mut expirations) {
                Ok(_) => self.runs = false,
                // It was begun again since it was ready.
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno)).context("cannot read a timer"),
            }
        }
        Ok(())
    }

    /// It has begun and not ended.
    #[cfg(test)]
    pub(super) const fn runs(&self) -> bool {
        self.runs
    }
}
