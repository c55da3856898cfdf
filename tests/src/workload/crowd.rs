//! Many processes at once.

use super::{Setting, heard, say, set_comm, sys};
use anyhow::{Context, Result};
use rustix::process::{WaitOptions, waitpid};
use std::ffi::OsString;

/// Processes that only wait.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Crowd {
    #[command(flatten)]
    setting: Setting,
    /// How many.
    #[arg(long, default_value_t = 300)]
    count: u32,
}

impl Crowd {
    /// Says `ready` when all are there; they go with this one.
    pub(super) fn run(&self) -> Result<()> {
        self.setting.apply()?;
        // The children wait for the end of a pipe whose other end only this process has.
        let (reader, writer) = std::io::pipe().context("making a pipe")?;
        let (told, tell) = std::io::pipe().context("making a pipe")?;
        let mut writer = Some(writer);
        for number in 0..self.count {
            if sys::fork().context("fork")?.is_none() {
                drop(writer.take());
                // Whatever fails here: the parent counts those that are there.
                if set_comm(&OsString::from(format!("crowd-{number}"))).is_ok() {
                    let _ = std::io::Write::write_all(&mut &tell, b".");
                    let _ = std::io::Read::read(&mut &reader, &mut [0]);
                }
                std::process::exit(0);
            }
        }
        let mut there = vec![0; self.count as usize];
        std::io::Read::read_exact(&mut &told, &mut there).context("waiting for the crowd")?;
        say(format_args!("ready {}", std::process::id()))?;
        heard()?;
        drop(writer);
        while waitpid(None, WaitOptions::empty()).is_ok() {}
        Ok(())
    }
}
