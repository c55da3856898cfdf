//! Facts for tests, and a driver with a clock of its own.

use crate::incident::assembler::{Assembler, Config};
use crate::incident::escalation::{Skipped, Window, Work};
use crate::incident::fact::{
    Call, Candidate, CgroupPath, Control, Decision, End, Escalation, Exit, Fact, MemoryBack, Reclaim, Task,
    Victim,
};
use crate::incident::model::{Incident, Level, Memory, ScopeKind};
use crate::report::{Event, Invocation, Killed, OomKill, Outcome, Report, TaskRow, What};

pub(super) const MS: u64 = 1_000_000;
pub(super) const PAGE: u64 = 4096;
/// Of the cgroup in these tests: 50 MiB.
pub(super) const TOTAL: u64 = 12_800;

/// An assembler and its clock. Facts are a millisecond apart.
pub(super) struct Run {
    pub(super) assembler: Assembler,
    pub(super) now_ns: u64,
    /// What the kernel has skipped.
    pub(super) skipped: Skipped,
}

impl Run {
    pub(super) fn new(config: Config) -> Self {
        Self { assembler: Assembler::new(config), now_ns: 1_000_000 * MS, skipped: Skipped::default() }
    }

    pub(super) fn full() -> Self {
        Self::new(Config::new(Level::Full))
    }

    pub(super) fn tracepoint() -> Self {
        Self::new(Config::new(Level::Tracepoint))
    }

    pub(super) fn push(&mut self, fact: Fact) -> &mut Self {
        self.now_ns += MS;
        self.assembler.push(self.now_ns, fact);
        self
    }

    pub(super) fn push_all(&mut self, facts: impl IntoIterator<Item = Fact>) -> &mut Self {
        for fact in facts {
            self.push(fact);
        }
        self
    }

    /// What is due now.
    pub(super) fn ready(&mut self) -> Vec<Incident> {
        self.answer();
        let incidents: Vec<Incident> = std::iter::from_fn(|| self.assembler.ready(self.now_ns)).collect();
        if let Some(deadline) = self.assembler.deadline() {
            assert!(deadline > self.now_ns, "a deadline that has passed would have been served");
        }
        incidents
    }

    pub(super) fn nothing(&mut self) -> &mut Self {
        assert_eq!(self.ready(), vec![]);
        self
    }

    /// The one incident that is due now.
    pub(super) fn one(&mut self) -> Incident {
        let mut incidents = self.ready();
        assert_eq!(incidents.len(), 1, "{incidents:#?}");
        incidents.remove(0)
    }

    pub(super) fn wait(&mut self, ms: u64) -> &mut Self {
        self.now_ns += ms * MS;
        self
    }

    /// Sleeps until something is due.
    pub(super) fn until_deadline(&mut self) -> &mut Self {
        loop {
            let deadline = self.assembler.deadline().expect("something is pending");
            self.now_ns = self.now_ns.max(deadline);
            self.answer();
            if self.assembler.deadline().is_some_and(|next| next <= self.now_ns) {
                return self;
            }
        }
    }

    /// Whoever asks what was skipped is told.
    fn answer(&mut self) {
        if self.assembler.asks(self.now_ns) {
            self.assembler.push(self.now_ns, Fact::Skipped(Box::new(self.skipped)));
        }
    }
}

/// The notes of an incident but the one that says that no log was there: many of these tests are about BPF alone.
pub(super) fn bpf_notes(notes: &[String]) -> Vec<&str> {
    let notes = notes.iter().map(String::as_str);
    notes.filter(|note| !note.starts_with("The kernel's log did not tell of this in time")).collect()
}

/// A process with this many anonymous pages. Page tables take 10 pages.
pub(super) fn task(pid: u32, pages: u64, adj: i32) -> Task {
    Task {
        pid,
        tid: pid,
        uid: Some(1000),
        comm: format!("p{pid}"),
        oom_score_adj: Some(adj),
        start_ns: u64::from(pid) * 1000,
        cgroup_id: Some(77),
        memory: Memory {
            anon_bytes: Some(pages * PAGE),
            file_bytes: Some(0),
            shmem_bytes: Some(0),
            swap_bytes: Some(0),
            pgtables_bytes: Some(10 * PAGE),
            ..Memory::default()
        },
        has_mm: Some(true),
        oom_skip: Some(false),
        vfork: Some(false),
        ..Task::default()
    }
}

pub(super) fn path(path: &str) -> CgroupPath {
    CgroupPath { path: path.to_owned(), cut: false }
}

/// A memory cgroup's limit is hit by `trigger`.
pub(super) fn call(call: u64, trigger: Task) -> Call {
    Call {
        call,
        time_ns: call * 1000 * MS,
        trigger,
        trigger_cgroup: Some(path("/a/b")),
        control: Some(Control {
            gfp_mask: 0xcc0,
            order: 0,
            is_memcg: true,
            scope_cgroup: Some(path("/a")),
            scope_cgroup_id: Some(70),
            usage_bytes: Some(TOTAL * PAGE),
            limit_bytes: Some(TOTAL * PAGE),
            swap_usage_bytes: Some(0),
            swap_limit_bytes: Some(0),
        }),
        reclaim: Some(Reclaim {
            rounds: 16,
            ns: 38 * MS,
            reclaimed_pages: 412,
            first_ns: call * 1000 * MS - 100 * MS,
            scanned_pages: 51_840,
            compact_retries: 0,
        }),
    }
}

/// What follows that.
pub(super) fn escalation(call: u64) -> Fact {
    let work = Work { rounds: call, ns: 5, scanned_pages: Some(4), reclaimed_pages: 3 };
    let window = Window { seconds: 9.5, memcg: Some(work), ..Window::default() };
    Fact::Escalation(Box::new(Escalation {
        call,
        scans_told: true,
        compaction_seen: true,
        last_10s: Some(window.clone()),
        last_60s: Some(Window { seconds: 59.5, ..window }),
        ..Escalation::default()
    }))
}

/// The same machine-wide.
pub(super) fn machine(number: u64, trigger: Task, order: i32) -> Call {
    let control = Control { gfp_mask: 0x0014_0dca, order, ..Control::default() };
    Call { control: Some(control), ..call(number, trigger) }
}

pub(super) fn fact(call: Call) -> Fact {
    Fact::Call(Box::new(call))
}

/// Points as the kernel would give them.
pub(super) fn candidate(call: u64, task: Task) -> Fact {
    let points =
        crate::incident::badness::points(&task.memory, task.oom_score_adj.unwrap(), Some(TOTAL), PAGE);
    let points = if task.oom_score_adj == Some(-1000) { Some(i64::MIN) } else { points };
    Fact::Candidate(Box::new(Candidate { call, task, points }))
}

pub(super) fn decision(call: u64, chosen: Task, constraint: ScopeKind) -> Decision {
    let points =
        crate::incident::badness::points(&chosen.memory, chosen.oom_score_adj.unwrap(), Some(TOTAL), PAGE);
    Decision {
        call,
        time_ns: call * 1000 * MS + MS,
        chosen,
        points: points.unwrap(),
        total_pages: TOTAL,
        constraint: Some(constraint),
        message: "Memory cgroup out of memory".to_owned(),
    }
}

pub(super) fn decided(call: u64, chosen: Task) -> Fact {
    Fact::Decision(Box::new(decision(call, chosen, ScopeKind::Memcg)))
}

/// Marked and killed 2 ms after the entry.
pub(super) fn victim(call: u64, task: Task) -> Victim {
    let time_ns = call * 1000 * MS + 2 * MS;
    Victim { call, time_ns, shares_mm: false, killed_ns: Some(time_ns), task, cgroup: Some(path("/a/b")) }
}

pub(super) fn killed(call: u64, task: Task) -> Fact {
    Fact::Victim(Box::new(victim(call, task)))
}

pub(super) fn dying(call: u64, task: Task) -> Fact {
    Fact::Victim(Box::new(Victim { killed_ns: None, ..victim(call, task) }))
}

/// 40 ms after the kill.
pub(super) fn exit(call: u64, task: &Task) -> Fact {
    let time_ns = call * 1000 * MS + 42 * MS;
    Fact::Exit(Exit { time_ns, pid: task.pid, start_ns: task.start_ns })
}

pub(super) fn end_fact(call: u64, evaluated: u64) -> End {
    End {
        call,
        time_ns: call * 1000 * MS + 6 * MS,
        duration_ns: 6 * MS,
        evaluated,
        total_pages: Some(TOTAL),
        constraint: Some(ScopeKind::Memcg),
        ..End::default()
    }
}

pub(super) fn end(call: u64, evaluated: u64) -> Fact {
    Fact::End(end_fact(call, evaluated))
}

pub(super) fn log(time_ms: u64, what: What) -> Fact {
    Fact::Log(Event { time_ns: Some(time_ms * MS), what })
}

/// What BPF tells at the tracepoint level.
pub(super) fn pseudo(number: u64, trigger: Task) -> Fact {
    fact(Call { control: None, ..call(number, trigger) })
}

pub(super) fn invocation(trigger: &Task) -> Invocation {
    Invocation {
        comm: trigger.comm.clone(),
        tid: Some(trigger.tid),
        gfp_mask: Some(0xcc0),
        gfp_flags: vec!["GFP_KERNEL".to_owned()],
        order: Some(0),
        oom_score_adj: trigger.oom_score_adj,
        kernel_release: Some("6.12.117".to_owned()),
        ..Invocation::default()
    }
}

pub(super) fn invoked(time_ms: u64, trigger: &Task) -> Fact {
    log(time_ms, What::Invoked(Box::new(invocation(trigger))))
}

pub(super) fn rows(tasks: &[Task]) -> Vec<TaskRow> {
    let row = |task: &Task| TaskRow {
        pid: task.tid,
        tgid: task.pid,
        uid: task.uid.unwrap(),
        memory: task.memory,
        oom_score_adj: task.oom_score_adj.unwrap(),
        comm: task.comm.clone(),
    };
    tasks.iter().map(row).collect()
}

/// A memory cgroup's report.
pub(super) fn report(trigger: &Task, tasks: &[Task], chosen: &Task) -> Report {
    Report {
        invocation: Some(invocation(trigger)),
        limits: crate::incident::model::Limits {
            memory_bytes: Some(TOTAL * PAGE),
            usage_bytes: Some(TOTAL * PAGE),
            swap_bytes: Some(0),
            swap_usage_bytes: Some(0),
            ..Default::default()
        },
        stats_cgroup: Some("/a".to_owned()),
        stats: [("anon".to_owned(), 1 << 20), ("pgfault".to_owned(), 7)].into(),
        has_table: true,
        tasks: rows(tasks),
        kill: Some(OomKill {
            constraint: Some(ScopeKind::Memcg),
            oom_memcg: Some("/a".to_owned()),
            task_memcg: Some("/a/b".to_owned()),
            comm: chosen.comm.clone(),
            pid: chosen.pid,
            uid: chosen.uid,
            ..OomKill::default()
        }),
        outcome: Outcome::Kill,
        text: "the kernel's words".to_owned(),
        ..Report::default()
    }
}

pub(super) fn reported(time_ms: u64, report: Report) -> Fact {
    log(time_ms, What::Report(Box::new(report)))
}

pub(super) fn killed_line(task: &Task) -> Killed {
    Killed {
        is_memcg: Some(true),
        message: "Memory cgroup out of memory".to_owned(),
        pid: task.tid,
        comm: task.comm.clone(),
        memory: Memory { swap_bytes: None, ..task.memory },
        uid: task.uid,
        oom_score_adj: task.oom_score_adj,
        chosen: None,
    }
}

pub(super) fn logged(time_ms: u64, task: &Task) -> Fact {
    log(time_ms, What::Killed(Box::new(killed_line(task))))
}

pub(super) fn group_kill(time_ms: u64) -> Fact {
    log(time_ms, What::GroupKill { cgroup: "/a/b".to_owned() })
}

/// Facts of a whole call at the full level: candidates, the first of them killed by `trigger`, its exit.
pub(super) fn whole_call(number: u64, trigger: &Task, candidates: &[Task]) -> Vec<Fact> {
    let chosen = &candidates[0];
    let mut facts: Vec<Fact> = candidates.iter().map(|task| candidate(number, task.clone())).collect();
    facts.extend([
        fact(call(number, trigger.clone())),
        decided(number, chosen.clone()),
        killed(number, chosen.clone()),
        end(number, candidates.len() as u64),
        exit(number, chosen),
    ]);
    facts
}

/// The victim's memory is given back 41 ms after its kill, which is `call` seconds after the start: `left` pages of the
/// full cgroup are still used.
pub(super) fn back(call: u64, task: &Task, left: u64) -> Fact {
    Fact::MemoryBack(MemoryBack {
        call,
        time_ns: call * 1000 * MS + 43 * MS,
        pid: task.pid,
        start_ns: task.start_ns,
        mm: task.mm,
        scope_id: Some(70),
        usage_bytes: Some(left * PAGE),
        limit_bytes: Some(TOTAL * PAGE),
    })
}
