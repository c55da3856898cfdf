//! How much memory is in use, of the machine and in every cgroup that has a limit, again and again.
//!
//! The one thing in the agent that runs by the clock. It is cheap in that a known cgroup costs one read of a file that is
//! open already, and rests longer while nothing changes.
//!
//! # Layout
//! - [`Sampler`]: when, and what of it goes into the [`History`].
//! - `swap`: what went to swap and came back.
//! - `tree`: which cgroups there are, and their files.

mod swap;
mod tree;

use super::pause::Pause;
use crate::incident::growth::Growth;
use crate::incident::growth::history::{History, Standing};
use crate::incident::model::Incident;
use crate::kernel::host::cgroup::Memory;
use anyhow::Result;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;
use swap::Swap;
use tree::{Group, Tree};

/// Samples that are kept of each.
const SAMPLES: usize = 60;
/// Cgroups that are sampled at most.
const CGROUPS: usize = 4096;
/// The longest rest, and the time between two looks at everything, in intervals.
const LONGEST: u32 = 6;
/// Cgroups that are asked for more at a time, at most: for `memory.stat` the kernel adds up what every processor has
/// counted (`cgroup_rstat_flush`).
const STATS: usize = 16;
/// From this part of its limit on a cgroup is asked for more.
const NEARLY: f64 = 0.8;

/// Keeps a history of how much memory is in use.
#[derive(Debug)]
pub struct Sampler {
    history: History,
    tree: Option<Tree>,
    meminfo: Option<File>,
    swap: Swap,
    every: Duration,
    /// Until the next sample: `every` at least.
    rest: Duration,
    pause: Pause,
    /// When everything was looked at, `CLOCK_BOOTTIME` in nanoseconds.
    looked_ns: Option<u64>,
    /// Those that are nearly full; kept so that a sample allocates nothing.
    nearly: Vec<u64>,
    /// The last one that was asked for more.
    asked: u64,
    /// Cgroups with a limit that found no room, and whether that was said.
    unsampled: usize,
    said: bool,
    /// The last sample found cgroups that are new, or have another limit.
    came: bool,
}

impl Sampler {
    /// A sampler whose first sample is due at once, within a tokio runtime. `memory`: where memory cgroups are.
    ///
    /// # Errors
    /// If there is no timer to be had.
    pub fn start(root: &Path, memory: Option<&Memory>, every: Duration) -> Result<Self> {
        let mut pause = Pause::new(every)?;
        pause.begin_for(Duration::from_nanos(1))?;
        Ok(Self {
            history: History::new(SAMPLES, CGROUPS),
            tree: memory.and_then(|memory| Tree::find(root, memory)),
            meminfo: File::open(root.join("proc/meminfo")).ok(),
            swap: Swap::open(root),
            every,
            rest: every,
            pause,
            looked_ns: None,
            nearly: Vec::new(),
            asked: 0,
            unsampled: 0,
            said: false,
            came: false,
        })
    }

    /// Waits until a sample is due. Cancel safe.
    ///
    /// # Errors
    /// If the timer breaks.
    pub async fn due(&mut self) -> Result<()> {
        self.pause.end().await
    }

    /// Takes a sample and begins to wait for the next one. What cannot be read is not in it.
    ///
    /// # Errors
    /// If the timer breaks.
    pub fn sample(&mut self, now_ns: u64) -> Result<()> {
        self.history.tick(now_ns);
        if let Some((used, total)) = self.meminfo.as_ref().and_then(machine) {
            self.history.machine(used, total);
        }
        self.swap.sample(now_ns);
        self.cgroups(now_ns);
        self.rest = if self.history.changed() {
            self.every
        } else {
            self.rest.saturating_mul(2).min(self.every.saturating_mul(LONGEST))
        };
        self.pause.begin_for(self.rest)
    }

    fn cgroups(&mut self, now_ns: u64) {
        let Self { history, tree, nearly, .. } = self;
        let Some(tree) = tree else { return };
        let period = (self.every * LONGEST).as_nanos() as u64;
        if self.looked_ns.is_none_or(|looked| now_ns.saturating_sub(looked) >= period) {
            self.looked_ns = Some(now_ns);
            self.unsampled = 0;
            tree.look();
        } else {
            tree.glance();
        }
        // Cgroups that are new, or have another limit.
        self.came = false;
        for (id, limit) in tree.limits() {
            self.came |= limit.is_some();
            let Some(limit) = limit else {
                history.gone(id);
                continue;
            };
            if let Ok(lost) = history.admit(id, limit) {
                self.unsampled += usize::from(lost.is_some_and(|lost| tree.unwatch(lost)));
                tree.watch(id);
            } else {
                tree.unwatch(id);
                self.unsampled += 1;
            }
        }
        nearly.clear();
        tree.read(|id, group: &Group, usage| {
            history.cgroup(id, usage);
            if group.limit.is_some_and(|limit| usage as f64 > NEARLY * limit as f64) {
                nearly.push(id);
            }
        });
        // In turns, if they are many.
        let from = nearly.partition_point(|id| *id <= self.asked);
        for id in nearly[from..].iter().chain(&nearly[..from]).take(STATS) {
            self.asked = *id;
            if let Some(count) = tree.file_refaults(*id) {
                history.file_refaults(*id, count);
            }
        }
    }

    /// Whether the last sample found cgroups that are new, or have another limit.
    pub const fn cgroups_came(&self) -> bool {
        self.came
    }

    /// What an operator should know, once.
    pub fn warning(&mut self) -> Option<String> {
        if self.said || self.unsampled == 0 {
            return None;
        }
        self.said = true;
        let number = self.unsampled;
        Some(format!("{number} memory cgroups have a limit and no history: only {CGROUPS} are sampled"))
    }

    /// How every cgroup that is sampled stands to its limit: its path as the kernel writes it, and what the last sample says.
    pub fn standings(&self) -> impl Iterator<Item = (String, Standing)> {
        let watched = self.tree.iter().flat_map(Tree::watched);
        watched.filter_map(|(path, id)| Some((path, self.history.standing(id)?)))
    }

    /// How the memory in an incident's scope had grown, as far as it was sampled.
    pub fn growth(&self, incident: &Incident) -> Option<Growth> {
        let scope = &incident.scope;
        let by_path = || self.tree.as_ref()?.id(scope.cgroup.as_deref()?);
        let growth = self.history.growth(incident, scope.cgroup_id.or_else(by_path))?;
        let swapped = incident.boottime_ns.and_then(|kill_ns| self.swap.until_now(kill_ns));
        Some(Growth {
            swapped_out_pages: swapped.map(|it| it.out_pages),
            swapped_in_pages: swapped.map(|it| it.in_pages),
            ..growth
        })
    }
}

/// What is in use of the machine's memory, and how much it has, bytes.
fn machine(meminfo: &File) -> Option<(u64, u64)> {
    // Both are among the first three lines.
    let mut buffer = [0; 256];
    let length = meminfo.read_at(&mut buffer, 0).ok()?;
    let text = buffer.get(..length)?;
    let kib = |name: &str| number(text, name).and_then(|kib| kib.checked_mul(1024));
    let (total, available) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    Some((total.saturating_sub(available), total))
}

/// The number behind a name at a line's begin.
fn number(text: &[u8], name: &str) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
    let digits = line.trim_ascii_start().split(|byte| !byte.is_ascii_digit()).next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
