//! Many cgroups that are full at once.

use super::{Setting, heard, say, set_adj, set_comm, sys};
use anyhow::{Context, Result};
use rustix::process::{WaitOptions, waitpid};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::PathBuf;

/// Processes in cgroups of their own. All fill them at the same moment, and each cgroup goes as soon as nobody is in it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Together {
    #[command(flatten)]
    setting: Setting,
    /// The directory of a cgroup that one process fills.
    #[arg(long)]
    single: Vec<PathBuf>,
    /// The directory of a cgroup with two processes, of which one fills it.
    #[arg(long)]
    pair: Vec<PathBuf>,
    /// What they try to take.
    #[arg(long, default_value_t = 8)]
    mib: usize,
}

impl Together {
    /// Says `child PID SIGNAL` (0: it exited) for each, and `removed PATH` for each cgroup.
    pub(super) fn run(&self) -> Result<()> {
        self.setting.apply()?;
        // The children wait for the end of a pipe whose other end only this process has.
        let (reader, writer) = std::io::pipe().context("making a pipe")?;
        let (told, tell) = std::io::pipe().context("making a pipe")?;
        let mut writer = Some(writer);
        let mut homes = BTreeMap::new();
        let one = self.single.iter().map(|dir| (dir, true));
        let two = self.pair.iter().flat_map(|dir| [(dir, true), (dir, false)]);
        for (number, (dir, grows)) in one.chain(two).enumerate() {
            let Some(child) = sys::fork().context("fork")? else {
                drop(writer.take());
                // Whatever fails here: the parent counts those that are there.
                let there = std::fs::write(dir.join("cgroup.procs"), "0").is_ok()
                    && set_adj(0).is_ok()
                    && set_comm(&OsString::from(format!("together-{number}"))).is_ok();
                if there {
                    let _ = (&tell).write_all(b".");
                    let _ = (&reader).read(&mut [0]);
                    if grows {
                        (0..self.mib).for_each(|_| std::mem::forget(black_box(vec![1_u8; 1 << 20])));
                    } else {
                        loop {
                            std::thread::park();
                        }
                    }
                }
                std::process::exit(1);
            };
            homes.insert(child, dir);
        }
        let mut there = vec![0; homes.len()];
        (&told).read_exact(&mut there).context("waiting for all to be in their cgroups")?;
        say(format_args!("ready {}", std::process::id()))?;
        if !heard()? {
            return Ok(());
        }
        drop(writer.take());
        while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::empty()) {
            let pid = pid.as_raw_nonzero().get().cast_unsigned();
            say(format_args!("child {pid} {}", status.terminating_signal().unwrap_or(0)))?;
            let Some(dir) = homes.remove(&pid) else { continue };
            if homes.values().all(|other| *other != dir) && std::fs::remove_dir(dir).is_ok() {
                say(format_args!("removed {}", dir.display()))?;
            }
        }
        say("done")?;
        heard()?;
        Ok(())
    }
}
