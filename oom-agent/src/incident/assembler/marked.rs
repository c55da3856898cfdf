//! A process that dies of a call, as far as it is known yet.

use crate::incident::fact::{CgroupPath, Exit, MemoryBack, Task, Victim};
use crate::report::Killed;

/// What tells one process from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// tgid, 0 if the kernel gave only the thread.
    pub(super) pid: u32,
    /// Thread.
    pub(super) tid: u32,
    /// 0 if unknown.
    pub(super) start_ns: u64,
}

impl Process {
    pub(super) fn of(task: &Task) -> Self {
        Self { pid: task.pid, tid: task.tid, start_ns: task.start_ns }
    }

    /// The process id, as well as it is known: a thread that is alone is its process.
    pub(super) fn pid(self) -> u32 {
        if self.pid == 0 { self.tid } else { self.pid }
    }

    /// Both name the same process, as far as they say.
    pub(super) fn is(self, other: Self) -> bool {
        let starts = self.start_ns == 0 || other.start_ns == 0 || self.start_ns == other.start_ns;
        starts && (self.pid() == other.pid() || (self.pid.min(other.pid) == 0 && self.tid == other.tid))
    }

    /// The log names this process by that number: it prints the thread that has the memory, or the leader.
    pub(super) fn logged_as(self, pid: u32) -> bool {
        self.tid == pid || self.pid == pid
    }
}

/// A victim.
#[derive(Clone, Debug)]
pub(super) struct Marked {
    pub(super) task: Task,
    pub(super) cgroup: Option<CgroupPath>,
    pub(super) time_ns: u64,
    pub(super) killed_ns: Option<u64>,
    /// The kernel marked it as OOM victim (and did not only signal it).
    pub(super) by_mark: bool,
    /// The kernel signalled it for its memory being another victim's.
    pub(super) shares_mm: bool,
    pub(super) exited_ns: Option<u64>,
    /// Its memory was given back.
    pub(super) back: Option<MemoryBack>,
    /// What the log says of it.
    pub(super) line: Option<Box<Killed>>,
}

impl Marked {
    pub(super) fn new(victim: Victim) -> Self {
        let Victim { call: _, time_ns, shares_mm, killed_ns, task, cgroup } = victim;
        Self {
            task,
            cgroup,
            time_ns,
            killed_ns,
            by_mark: !shares_mm,
            shares_mm,
            exited_ns: None,
            back: None,
            line: None,
        }
    }

    /// A victim that only the log tells of.
    pub(super) fn logged(time_ns: Option<u64>, killed: Killed) -> Self {
        let task = Task {
            tid: killed.pid,
            uid: killed.uid,
            comm: killed.comm.clone(),
            oom_score_adj: killed.oom_score_adj,
            memory: killed.memory,
            ..Task::default()
        };
        Self {
            task,
            cgroup: None,
            time_ns: time_ns.unwrap_or(0),
            killed_ns: time_ns,
            by_mark: true,
            shares_mm: false,
            exited_ns: None,
            back: None,
            line: Some(Box::new(killed)),
        }
    }

    /// One that only the log tells of, killed with the victim whose memory it shares.
    pub(super) fn sharing(time_ns: Option<u64>, pid: u32, comm: String) -> Self {
        Self {
            task: Task { tid: pid, comm, ..Task::default() },
            cgroup: None,
            time_ns: time_ns.unwrap_or(0),
            killed_ns: time_ns,
            by_mark: false,
            shares_mm: true,
            exited_ns: None,
            back: None,
            line: None,
        }
    }

    pub(super) fn process(&self) -> Process {
        Process::of(&self.task)
    }

    /// The same process is told again: the kernel signals a group's first victim twice.
    pub(super) fn merge(&mut self, again: Self) {
        let Self { task, cgroup, time_ns, killed_ns, by_mark, shares_mm, exited_ns, back, line } = again;
        if by_mark && !self.by_mark {
            // The thread that was marked is the one to name.
            self.task = task;
            self.time_ns = time_ns;
        }
        self.by_mark |= by_mark;
        self.shares_mm |= shares_mm;
        self.cgroup = self.cgroup.take().or(cgroup);
        self.killed_ns = self.killed_ns.or(killed_ns);
        self.exited_ns = self.exited_ns.or(exited_ns);
        self.back = self.back.or(back);
        self.line = self.line.take().or(line);
    }

    /// It was killed in this call, so it was not dying before. The log prints nothing for those that were.
    pub(super) fn was_killed(&self) -> bool {
        // The log's lines may have no time.
        self.killed_ns.is_some() || self.line.is_some() || self.shares_mm
    }

    /// No live thread is left, whether or not its exit was seen.
    pub(super) fn is_gone(&self) -> bool {
        self.exited_ns.is_some() || self.task.exited
    }

    /// Its exit is still to come.
    pub(super) fn exit_expected(&self) -> bool {
        self.exited_ns.is_none() && !(self.killed_ns.is_none() && self.task.exited)
    }

    /// Its memory is still to come back: some process had it when it was marked.
    pub(super) fn back_expected(&self) -> bool {
        self.task.mm != 0 && self.back.is_none()
    }

    /// The log will name it.
    pub(super) fn line_expected(&self) -> bool {
        self.by_mark && self.killed_ns.is_some() && self.line.is_none()
    }

    /// Others may follow it: members of its group, processes with the same memory, or that cannot be told.
    pub(super) fn may_have_company(&self) -> bool {
        self.task.oom_group || self.task.shared_mm || self.task.pid == 0
    }

    pub(super) fn exit(&mut self, exit: &Exit) -> bool {
        let process = Process { pid: exit.pid, tid: exit.pid, start_ns: exit.start_ns };
        let mine = self.process().is(process);
        if mine && self.exited_ns.is_none() {
            self.exited_ns = Some(exit.time_ns);
        }
        mine
    }
}
