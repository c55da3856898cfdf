//! How full cgroups were, by call, until their call is told; and what files said of it.

use super::Assembler;
use crate::incident::fact::{Child, Files, Level, Of};
use crate::incident::state::CHILDREN;
use std::collections::BTreeMap;

/// Calls that this is kept of. The kernel tells it right before its decision, so it does not wait for long.
const MAX_CALLS: usize = 256;
/// Levels of one call: more than the kernel tells.
const MAX_LEVELS: usize = 16;

/// What came for one call.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// By depth: the full one first. Some may be missing.
    pub(super) levels: BTreeMap<usize, Level>,
    /// The largest children, largest first.
    pub(super) children: Vec<Child>,
    /// How many came.
    pub(super) received: u64,
}

/// What came for calls that are not told.
#[derive(Debug, Default)]
pub(super) struct Levels {
    by_call: BTreeMap<u64, Filled>,
}

impl Levels {
    fn of(&mut self, call: u64) -> &mut Filled {
        while self.by_call.len() >= MAX_CALLS && !self.by_call.contains_key(&call) {
            self.by_call.pop_first();
        }
        self.by_call.entry(call).or_default()
    }

    /// Takes a level.
    pub(super) fn level(&mut self, level: Level) {
        let filled = self.of(level.call);
        if filled.levels.len() < MAX_LEVELS {
            filled.levels.entry(level.depth).or_insert(level);
        }
    }

    /// Takes a child.
    pub(super) fn child(&mut self, child: Child) {
        let filled = self.of(child.call);
        filled.received += 1;
        let larger =
            |it: &Child| it.size() > child.size() || (it.size() == child.size() && it.name <= child.name);
        let at = filled.children.partition_point(larger);
        if at < CHILDREN {
            filled.children.truncate(CHILDREN - 1);
            filled.children.insert(at, child);
        }
    }

    /// Gives what came for this call.
    pub(super) fn take(&mut self, call: u64) -> Filled {
        self.by_call.remove(&call).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.by_call.len()
    }
}

impl Assembler {
    /// Takes what files said. It comes right after what they were read for.
    pub(super) fn files(&mut self, files: Box<Files>) {
        let open = |pending: &&mut super::Pending| pending.logged.files.is_none();
        let pending = match files.of {
            Of::Call(call) => self.calls.get_mut(&call).filter(open),
            Of::Report(chosen) => {
                let mine = |pending: &&mut super::Pending| {
                    let report = pending.logged.report.as_ref();
                    report.is_some_and(|report| report.kill.as_ref().map(|kill| kill.pid) == chosen)
                };
                let pending = self.calls.values_mut().chain(&mut self.journal.entries);
                pending.filter(open).filter(mine).last()
            }
        };
        // Else it was told already.
        if let Some(pending) = pending {
            pending.logged.files = Some(files);
        }
    }
}
