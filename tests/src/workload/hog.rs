//! A process that holds memory.

use super::{Setting, heard, say, sys};
use anyhow::{Context, Result};
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What it holds.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Touch {
    /// Anonymous pages.
    Anon,
    /// Shared anonymous pages: shmem, mapped.
    Shmem,
    /// Pages of a file that it maps nowhere (in `--file`).
    File,
    /// Anonymous pages that are locked (`mlock`).
    Locked,
}

/// A process that holds memory and grows on command.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Hog {
    #[command(flatten)]
    pub(super) setting: Setting,
    /// Held before `ready`.
    #[arg(long, default_value_t = 0)]
    base_mib: usize,
    /// Taken on command.
    #[arg(long, default_value_t = 0)]
    grow_mib: usize,
    /// What it takes.
    #[arg(long, value_enum, default_value = "anon")]
    touch: Touch,
    /// Time between one MiB and the next that it takes on command.
    #[arg(long, default_value_t = 0)]
    pace_ms: u64,
    /// Where `--touch file` writes.
    #[arg(long, default_value = "/tmp/oom-hog")]
    file: PathBuf,
}

impl Hog {
    /// Takes the base, says so, grows on command, holds until the runner lets go.
    pub(super) fn run(&self) -> Result<()> {
        self.setting.apply()?;
        self.run_set_up(&[])
    }

    /// As [`Self::run`], after the caller's own setting up. `others`: more processes that the runner should know.
    pub(super) fn run_set_up(&self, others: &[u32]) -> Result<()> {
        let all: Vec<u32> = [std::process::id()].iter().chain(others).copied().collect();
        self.run_as(&all)
    }

    /// The same, with these process ids.
    pub(super) fn run_as(&self, pids: &[u32]) -> Result<()> {
        let mut held = Vec::new();
        self.take(self.base_mib, &mut held)?;
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        say(format_args!("ready {}", pids.join(" ")))?;
        self.grow(&mut held)
    }

    fn grow(&self, held: &mut Vec<Vec<u8>>) -> Result<()> {
        if !heard()? {
            return Ok(());
        }
        let pace = Duration::from_millis(self.pace_ms);
        let step = if pace.is_zero() { self.grow_mib } else { 1 };
        for _ in 0..self.grow_mib / step.max(1) {
            self.take(step, held)?;
            // Not for synchronisation: how fast it grows is what the case is about.
            std::thread::sleep(pace);
        }
        say("done")?;
        heard()?;
        black_box(held);
        Ok(())
    }

    fn take(&self, mib: usize, held: &mut Vec<Vec<u8>>) -> Result<()> {
        match self.touch {
            // A value other than zero: zeroes would come untouched from the kernel.
            Touch::Anon => held.extend((0..mib).map(|_| black_box(vec![1; 1 << 20]))),
            Touch::Locked => {
                for _ in 0..mib {
                    let memory = black_box(vec![1; 1 << 20]);
                    sys::lock(&memory).context("mlock")?;
                    held.push(memory);
                }
            }
            Touch::Shmem if mib > 0 => sys::touch_shared(mib << 20).context("mapping shared memory")?,
            Touch::Shmem => {}
            Touch::File => {
                let path = &self.file;
                let mut file = std::fs::File::options().append(true).create(true).open(path)?;
                for _ in 0..mib {
                    file.write_all(&vec![1; 1 << 20])
                        .with_context(|| format!("writing {}", path.display()))?;
                }
            }
        }
        Ok(())
    }
}
