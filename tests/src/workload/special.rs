//! Processes of unusual shape: memory without its leader, two processes in one memory.

use super::hog::Hog;
use super::{say, set_comm, sys};
use anyhow::{Context, Result, bail};
use std::ffi::{CString, OsStr};
use std::time::{Duration, Instant};

/// A hog with a second process in its memory. `ready` names both.
pub(super) fn sharer(hog: &Hog) -> Result<()> {
    hog.setting.apply()?;
    let name = CString::new("sharer").context("a C string")?;
    let other = sys::spawn_in_own_memory(name).context("clone(CLONE_VM)")?;
    hog.run_set_up(&[other])
}

/// A hog in a thread; the group's leader has exited before it says `ready`.
pub(super) fn headless(hog: Hog) -> Result<()> {
    hog.setting.apply()?;
    std::thread::spawn(move || {
        let tail = || -> Result<()> {
            set_comm(OsStr::new("tail"))?;
            wait_for_dead_leader()?;
            hog.run_set_up(&[])
        };
        if let Err(error) = tail() {
            // The runner waits for `ready` and shows whatever else comes.
            let _ = say(format_args!("failed: {error:#}"));
        }
        std::process::exit(0);
    });
    sys::exit_thread()
}

fn wait_for_dead_leader() -> Result<()> {
    let stat = format!("/proc/self/task/{}/stat", std::process::id());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let text = std::fs::read(&stat).with_context(|| format!("reading {stat}"))?;
        // The state follows the last parenthesis: the command name before it may hold others.
        let after = text.iter().rposition(|b| *b == b')').and_then(|end| text.get(end + 2));
        if after == Some(&b'Z') {
            return Ok(());
        }
        std::thread::yield_now();
    }
    bail!("the leader did not exit in 10 s: {stat}")
}
