//! What kernels before the `oom-kill:` line (5.0) print instead: `Task in PATH killed as a result of limit of PATH`
//! (`mem_cgroup_print_oom_info`, up to 4.20) and `Kill process` (`oom_kill_process`, up to 5.0).

use super::kill::{reason, within};
use super::scan::number;
use super::{Chosen, Invocation, OomKill};
use crate::incident::model::ScopeKind;

/// `MESSAGE: Kill process PID (NAME) score N or sacrifice child`.
pub(super) fn chosen(message: &str) -> Option<Chosen> {
    let (reason_text, rest) = message.split_once(": Kill process ")?;
    reason(reason_text)?;
    let (pid, rest) = number(rest)?;
    let (comm, score) = rest.strip_prefix(" (")?.rsplit_once(") score ")?;
    let (score, rest) = number(score)?;
    (rest == " or sacrifice child").then(|| {
        let comm = comm.to_owned();
        Some(Chosen { message: reason_text.to_owned(), pid: pid.try_into().ok()?, comm, score })
    })?
}

/// `Kill process PID (NAME) sharing same memory`.
pub(super) fn sharing(message: &str) -> Option<(u32, &str)> {
    let (pid, rest) = number(message.strip_prefix("Kill process ")?)?;
    Some((pid.try_into().ok()?, rest.strip_prefix(" (")?.strip_suffix(") sharing same memory")?))
}

/// The cgroups of `Task in TASK killed as a result of limit of LIMIT`, and of `Memory limit reached of cgroup LIMIT`,
/// which 4.x prints where nothing was chosen.
///
/// TASK is the cgroup of the task that `dump_header` is given: the chosen one, in 3.10 as in 4.20, not the one that
/// asked, and not the child that may die for it.
pub(super) fn cgroups(message: &str) -> Option<(Option<&str>, &str)> {
    const KILLED: &str = " killed as a result of limit of ";
    if let Some(limit) = message.strip_prefix("Memory limit reached of cgroup ") {
        return limit.starts_with('/').then_some((None, limit));
    }
    let rest = message.strip_prefix("Task in ").filter(|rest| rest.starts_with('/'))?;
    // A cgroup's name may hold the same words; its path may not end in them and begin with a slash again by chance only.
    let splits = || rest.match_indices(KILLED).map(|(at, _)| (&rest[..at], &rest[at + KILLED.len()..]));
    let (task, limit) =
        splits().take(16).find(|(task, limit)| within(limit, task)).or_else(|| splits().next())?;
    Some((Some(task), limit))
}

/// What the `oom-kill:` line would have said, as far as other lines do.
pub(super) fn summary(
    chosen: &Chosen,
    invocation: Option<&Invocation>,
    limit: Option<&str>,
    task: Option<&str>,
) -> OomKill {
    let memcg = reason(&chosen.message) == Some(true) || limit.is_some();
    let is = |value: Option<&String>, text| value.is_some_and(|value| value == text);
    let nodemask = invocation.and_then(|asked| asked.nodemask.clone());
    let cpuset = invocation.and_then(|asked| asked.cpuset.clone());
    // CONSTRAINT_MEMORY_POLICY needs a mask, CONSTRAINT_CPUSET a task that may not use all nodes.
    let unbound = is(nodemask.as_ref(), "(null)") && is(cpuset.as_ref(), "/");
    OomKill {
        constraint: match (memcg, unbound) {
            (true, _) => Some(ScopeKind::Memcg),
            (false, true) => Some(ScopeKind::Global),
            (false, false) => None,
        },
        nodemask,
        cpuset,
        mems_allowed: invocation.and_then(|asked| asked.mems_allowed.clone()),
        oom_memcg: limit.map(str::to_owned),
        task_memcg: task.map(str::to_owned),
        comm: chosen.comm.clone(),
        pid: chosen.pid,
        uid: None,
    }
}

/// Chosen tasks whose `Killed process` line is still to come. Before 4.0 memory cgroups' and machine-wide OOMs have
/// different locks, so there may be more than one.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<Chosen>);

/// So many CPUs kill at the same time.
const MOST_WAITING: usize = 8;

impl Waiting {
    pub(super) fn push(&mut self, chosen: Chosen) {
        if self.0.len() == MOST_WAITING {
            self.0.remove(0);
        }
        self.0.push(chosen);
    }

    /// The one that a `Killed process` line is about: that names it, or its child if there is no other.
    pub(super) fn take(&mut self, pid: u32) -> Option<Chosen> {
        if let Some(at) = self.0.iter().position(|chosen| chosen.pid == pid) {
            // Those before it were found dying.
            return self.0.drain(..=at).next_back();
        }
        let only = self.0.pop();
        let ambiguous = !self.0.is_empty();
        self.0.clear();
        only.filter(|_| !ambiguous)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests;
