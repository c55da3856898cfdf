//! Plausible histories of a machine, with the truth beside the facts.

use super::facts::*;
use crate::incident::badness;
use crate::incident::fact::{Child, Decision, End, Fact, Level, Task, Victim};
use crate::incident::model::{Rule, ScopeKind};
use crate::report::{Outcome, Report};
use proptest::prelude::*;

/// What happens in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Kill,
    Sysrq,
    AllocatingTask,
    Group,
    Shared,
    ChosenDying,
    CurrentDying,
    NoneKillable,
    /// An earlier victim is still dying: not told.
    Aborted,
}

pub(super) const KINDS: [Kind; 9] = [
    Kind::Kill,
    Kind::Sysrq,
    Kind::AllocatingTask,
    Kind::Group,
    Kind::Shared,
    Kind::ChosenDying,
    Kind::CurrentDying,
    Kind::NoneKillable,
    Kind::Aborted,
];

/// One call. Pids are its number times 100 and up, so that every pid names its call.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) tasks: Vec<Task>,
    /// Some kernels and some kills have no report.
    suppressed: bool,
    early_exit: bool,
}

pub(super) fn call_of(pid: u32) -> u64 {
    u64::from(pid / 100)
}

impl Step {
    fn evaluates(&self) -> bool {
        !matches!(self.kind, Kind::AllocatingTask | Kind::CurrentDying)
    }

    pub(super) fn evaluated(&self) -> u64 {
        if self.evaluates() { self.tasks.len() as u64 } else { 0 }
    }

    fn points(task: &Task) -> i64 {
        badness::points(&task.memory, task.oom_score_adj.unwrap(), Some(TOTAL), PAGE).unwrap()
    }

    fn chosen(&self) -> &Task {
        self.tasks.iter().max_by_key(|task| Self::points(task)).unwrap()
    }

    pub(super) fn rule(&self) -> Rule {
        match self.kind {
            Kind::Kill | Kind::Group | Kind::Shared | Kind::Aborted => Rule::HighestPoints,
            Kind::Sysrq => Rule::Sysrq,
            Kind::AllocatingTask => Rule::AllocatingTask,
            Kind::ChosenDying | Kind::CurrentDying => Rule::AlreadyDying,
            Kind::NoneKillable => Rule::NoneKillable,
        }
    }

    pub(super) fn scope(&self) -> ScopeKind {
        match self.kind {
            Kind::Sysrq => ScopeKind::Sysrq,
            Kind::AllocatingTask => ScopeKind::Global,
            _ => ScopeKind::Memcg,
        }
    }

    /// Points of the next one, where somebody was compared.
    pub(super) fn runner_up_points(&self) -> Option<i64> {
        let chosen = self.chosen().pid;
        self.tasks.iter().filter(|task| task.pid != chosen).map(Self::points).max()
    }

    /// Who dies, the selected one first.
    pub(super) fn victims(&self) -> Vec<Victim> {
        let chosen = victim(self.number, self.chosen().clone());
        let first = chosen.task.pid;
        let others = self.tasks.iter().filter(|task| task.pid != first);
        let mut victims = match self.kind {
            Kind::NoneKillable | Kind::Aborted => return Vec::new(),
            Kind::ChosenDying | Kind::CurrentDying => return vec![Victim { killed_ns: None, ..chosen }],
            Kind::Kill | Kind::Sysrq | Kind::AllocatingTask => return vec![chosen],
            Kind::Group | Kind::Shared => vec![chosen],
        };
        for other in others.take(2) {
            let shares_mm = self.kind == Kind::Shared;
            victims.push(Victim { shares_mm, ..victim(self.number, other.clone()) });
        }
        for victim in &mut victims {
            victim.task.oom_group = self.kind == Kind::Group;
            victim.task.shared_mm = self.kind == Kind::Shared;
            victim.task.mm = if self.kind == Kind::Shared { u64::from(first) } else { victim.task.mm };
        }
        victims
    }

    /// Pages of the cgroup that are used afterwards.
    pub(super) fn left(&self) -> u64 {
        self.number
    }

    pub(super) fn freed_bytes(&self) -> u64 {
        let owners = self.victims().into_iter().filter(|victim| !victim.shares_mm);
        owners.map(|v| v.task.memory.anon_bytes.unwrap() + v.task.memory.pgtables_bytes.unwrap()).sum()
    }

    /// The small ring, in its order; the bulk ring; exits; the log.
    pub(super) fn full(&self) -> [Vec<Fact>; 3] {
        let number = self.number;
        let bulk = self.tasks.iter().take(self.evaluated() as usize).map(|t| candidate(number, t.clone()));
        let mut small = Vec::new();
        if self.kind != Kind::Aborted {
            let trigger = self.trigger();
            small.push(fact(match self.kind {
                Kind::Sysrq => machine(number, trigger, -1),
                Kind::AllocatingTask => machine(number, trigger, 0),
                _ => call(number, trigger),
            }));
            let constraint =
                if self.scope() == ScopeKind::Memcg { ScopeKind::Memcg } else { ScopeKind::Global };
            if !matches!(self.kind, Kind::NoneKillable | Kind::CurrentDying) {
                let made = decision(number, self.chosen().clone(), constraint);
                small.push(Fact::Decision(Box::new(if self.kind == Kind::AllocatingTask {
                    let message = "Out of memory (oom_kill_allocating_task)".to_owned();
                    Decision { points: 0, message, ..made }
                } else {
                    made
                })));
            }
            small.extend(self.victims().into_iter().map(|victim| Fact::Victim(Box::new(victim))));
            let none_killable = self.kind == Kind::NoneKillable;
            let end = end_fact(number, self.evaluated());
            small.push(Fact::End(End { none_killable, constraint: Some(constraint), ..end }));
        }
        let backs = self.victims().into_iter().filter(|victim| !victim.shares_mm);
        let backs = backs.map(|victim| back(self.number, &victim.task, self.left()));
        [small, bulk.chain(self.filled()).collect(), self.exits().into_iter().chain(backs).collect()]
    }

    /// How full the cgroup and the root were, and two children.
    fn filled(&self) -> Vec<Fact> {
        if matches!(self.kind, Kind::Aborted | Kind::CurrentDying) {
            return Vec::new();
        }
        let call = self.number;
        let level = |depth: usize| {
            let (children, children_sent) = if depth == 0 { (Some(2), 2) } else { (None, 0) };
            let usage_bytes = Some(usage(call, depth as u64));
            Fact::Level(Box::new(Level {
                call,
                depth,
                usage_bytes,
                children,
                children_sent,
                ..Level::default()
            }))
        };
        let child = |n: u64| {
            let usage_bytes = Some(usage(call, n));
            Fact::Child(Box::new(Child { call, name: format!("c{n}"), usage_bytes, ..Child::default() }))
        };
        // Machine-wide only the root is told.
        let levels = if self.scope() == ScopeKind::Memcg { 2 } else { 1 };
        (2..4).map(child).chain((0..levels).map(level)).collect()
    }

    fn exits(&self) -> Vec<Fact> {
        self.victims().iter().map(|victim| exit(self.number, &victim.task)).collect()
    }

    fn trigger(&self) -> Task {
        if matches!(self.kind, Kind::CurrentDying | Kind::AllocatingTask) {
            self.chosen().clone()
        } else {
            self.tasks[0].clone()
        }
    }

    /// BPF at the tracepoint level, exits, the log.
    pub(super) fn tracepoint(&self) -> [Vec<Fact>; 3] {
        let victims = self.victims();
        let mut bpf = Vec::new();
        if !victims.is_empty() {
            bpf.push(pseudo(self.number, self.trigger()));
            bpf.extend(victims.into_iter().map(|victim| Fact::Victim(Box::new(victim))));
        }
        [bpf, self.exits(), self.log()]
    }

    pub(super) fn log(&self) -> Vec<Fact> {
        let at = self.number * 1000 + 7;
        let (trigger, chosen) = (self.trigger(), self.chosen().clone());
        let mut whole = report(&trigger, &self.tasks, &chosen);
        let killed: Vec<Victim> =
            self.victims().into_iter().filter(|v| v.killed_ns.is_some() && !v.shares_mm).collect();
        match self.kind {
            Kind::Aborted | Kind::ChosenDying | Kind::CurrentDying => return Vec::new(),
            Kind::NoneKillable => whole = Report { kill: None, outcome: Outcome::NoneKillable, ..whole },
            Kind::Sysrq | Kind::AllocatingTask => {
                whole.stats_cgroup = None;
                whole.kill.as_mut().unwrap().constraint = Some(ScopeKind::Global);
                let order = if self.kind == Kind::Sysrq { -1 } else { 0 };
                let asked = whole.invocation.as_mut().unwrap();
                (asked.order, asked.gfp_mask) = (Some(order), Some(0x0014_0dca));
                whole.machine.ram_bytes = Some(TOTAL * PAGE);
                whole.machine.reserved_bytes = Some(0);
                whole.machine.swap_total_bytes = Some(0);
            }
            Kind::Kill | Kind::Group | Kind::Shared => {}
        }
        let mut log = Vec::new();
        if !self.suppressed || self.kind == Kind::NoneKillable {
            let asked = crate::report::What::Invoked(Box::new(whole.invocation.clone().unwrap()));
            log.extend([super::facts::log(at, asked), reported(at, whole)]);
        }
        for (index, victim) in killed.iter().enumerate() {
            let mut line = killed_line(&victim.task);
            if self.scope() != ScopeKind::Memcg {
                line.is_memcg = Some(false);
                line.message = match self.kind {
                    Kind::AllocatingTask => "Out of memory (oom_kill_allocating_task)".to_owned(),
                    _ => "Out of memory".to_owned(),
                };
            }
            log.push(super::facts::log(at, crate::report::What::Killed(Box::new(line))));
            if index == 0 && self.kind == Kind::Group {
                log.push(group_kill(at));
            }
        }
        if self.kind == Kind::Group {
            log.push(logged(at, &killed[0].task));
        }
        log
    }

    /// Exits may overtake everything of their call.
    pub(super) fn early_exit(&self) -> bool {
        self.early_exit
    }
}

prop_compose! {
    fn step()(
        kind in proptest::sample::select(&KINDS[..]),
        held in proptest::collection::vec((1..2000_u64, -3..4_i32), 1..6),
        suppressed in any::<bool>(),
        early_exit in any::<bool>(),
    ) -> (Kind, Vec<(u64, i32)>, bool, bool) {
        (kind, held, suppressed, early_exit)
    }
}

/// Some calls, one after the other.
pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..7).prop_map(|steps| {
        let number = |(index, (kind, held, suppressed, early_exit)): (usize, (_, Vec<(u64, i32)>, _, _))| {
            let number = index as u64 + 1;
            let tasks = held.into_iter().enumerate().map(|(index, (pages, adj))| {
                let pid = number as u32 * 100 + index as u32;
                let adj = if kind == Kind::NoneKillable { -1000 } else { adj * 100 };
                Task { mm: u64::from(pid), ..task(pid, pages, adj) }
            });
            Step { number, kind, tasks: tasks.collect(), suppressed, early_exit }
        };
        steps.into_iter().enumerate().map(number).collect()
    })
}

/// Bytes that tell calls and cgroups apart: levels are 0 and 1, children 2 and 3.
pub(super) fn usage(call: u64, which: u64) -> u64 {
    (call * 10 + which) * PAGE
}
