//! Many kills in a row.

use super::{Setting, heard, say, set_adj, set_comm, sys};
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::time::Timespec;
use std::ffi::OsString;
use std::hint::black_box;
use std::path::PathBuf;

/// Starts small hogs one after the other, each of which has to be killed before the next one starts.
///
/// It should be a member of the cgroup itself, and exempt: joining costs an RCU grace period, which a kill does not.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Burst {
    #[command(flatten)]
    setting: Setting,
    /// `cgroup.procs` that each child joins, where the spawner cannot be exempt and stays outside.
    #[arg(long)]
    join_children: Option<PathBuf>,
    /// How many.
    #[arg(long, default_value_t = 200)]
    count: u32,
    /// Each tries to take that much.
    #[arg(long, default_value_t = 8)]
    mib: usize,
    /// Time between one and the next. A line meanwhile says that these were enough.
    #[arg(long)]
    pace_ms: Option<u32>,
    /// Each has this process id, as far as nobody else takes it in between.
    #[arg(long)]
    pid: Option<u32>,
}

/// The process id that the last process of this namespace got.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

impl Burst {
    /// Says `child PID SIGNAL` (0: it exited) for each.
    pub(super) fn run(&self) -> Result<()> {
        self.setting.apply()?;
        say(format_args!("ready {}", std::process::id()))?;
        if !heard()? {
            return Ok(());
        }
        for number in 0..self.count {
            if let Some(pid) = self.pid {
                std::fs::write(LAST_PID, (pid - 1).to_string())
                    .with_context(|| format!("writing {LAST_PID}"))?;
            }
            let Some(child) = sys::fork().context("fork")? else { self.child(number) };
            let pid = Pid::from_raw(child.cast_signed()).context("fork gave 0")?;
            let status = waitpid(Some(pid), WaitOptions::empty()).context("waitpid")?;
            let signal = status.and_then(|(_, status)| status.terminating_signal()).unwrap_or(0);
            say(format_args!("child {child} {signal}"))?;
            if self.enough()? {
                break;
            }
        }
        say("done")?;
        heard()?;
        Ok(())
    }

    fn enough(&self) -> Result<bool> {
        let Some(pace_ms) = self.pace_ms else { return Ok(false) };
        let pace = Timespec { tv_sec: 0, tv_nsec: i64::from(pace_ms) * 1_000_000 };
        let input = std::io::stdin();
        let ready = poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&pace)).context("polling stdin")?;
        Ok(ready > 0 && heard().is_ok())
    }

    fn child(&self, number: u32) -> ! {
        let joined = self.join_children.as_ref().map_or(Ok(()), |procs| Ok(std::fs::write(procs, "0")?));
        let grown = joined
            .and_then(|()| set_adj(0))
            .and_then(|()| set_comm(&OsString::from(format!("burst-{number}"))));
        if grown.is_ok() {
            for _ in 0..self.mib {
                std::mem::forget(black_box(vec![1_u8; 1 << 20]));
            }
        }
        // Not killed: the runner sees it by the signal that is missing.
        std::process::exit(1)
    }
}
