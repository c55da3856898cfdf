//! Many small processes that fill the memory together.

use super::{Setting, heard, say, set_adj, sys};
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitOptions, waitpid};
use rustix::time::Timespec;
use std::hint::black_box;
use std::io::{PipeReader, Read, Write};

/// Forks on command, one process after the other, until the kernel kills one.
///
/// It should be exempt itself: if it died, so would they.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Bomb {
    #[command(flatten)]
    setting: Setting,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    count: u32,
    /// Each holds that much.
    #[arg(long, default_value_t = 64)]
    each_kib: usize,
}

impl Bomb {
    /// Says `done` when one was killed or all are there. They go with this one.
    pub(super) fn run(&self) -> Result<()> {
        self.setting.apply()?;
        // The children wait for the end of a pipe whose other end only this process has.
        let (reader, writer) = std::io::pipe().context("making a pipe")?;
        let (mut told, tell) = std::io::pipe().context("making a pipe")?;
        let mut writer = Some(writer);
        say(format_args!("ready {}", std::process::id()))?;
        if !heard()? {
            return Ok(());
        }
        for _ in 0..self.count {
            if sys::fork().context("fork")?.is_none() {
                drop(writer.take());
                // Whatever fails here: the parent sees by the byte that is missing that it is not there.
                if set_adj(0).is_ok() {
                    let held = black_box(vec![1_u8; self.each_kib << 10]);
                    let _ = (&tell).write_all(b".");
                    let _ = (&reader).read(&mut [0]);
                    drop(held);
                }
                std::process::exit(0);
            }
            if !is_there(&mut told)? {
                break;
            }
        }
        say("done")?;
        heard()?;
        drop(writer);
        while waitpid(None, WaitOptions::empty()).is_ok() {}
        Ok(())
    }
}

/// Waits until the newest child is there; false if any has ended.
fn is_there(told: &mut PipeReader) -> Result<bool> {
    let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    loop {
        if waitpid(None, WaitOptions::NOHANG).context("waitpid")?.is_some() {
            return Ok(false);
        }
        if poll(&mut [PollFd::new(told, PollFlags::IN)], Some(&moment)).context("polling a pipe")? > 0 {
            told.read_exact(&mut [0]).context("reading a pipe")?;
            return Ok(true);
        }
    }
}
