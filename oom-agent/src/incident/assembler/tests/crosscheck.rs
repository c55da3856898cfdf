//! What the log and BPF tell of the same call, and what of it is said.

use super::facts::*;
use crate::incident::assembler::{Assembler, Config};
use crate::incident::fact::{Decision, Fact, Task};
use crate::incident::model::{Level, Memory, ScopeKind};
use crate::report::{Killed, Report};

const DISAGREE: &str = "The kernel's log and BPF disagree";
const CPUS: u32 = 2;
/// 64 pages on each of two CPUs, in four counters.
const SLACK: u64 = 512 * PAGE;

/// What both tell.
struct Both {
    bpf: Vec<Fact>,
    report: Report,
    line: Killed,
}

fn both() -> Both {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 100));
    let tasks = [big.clone(), small.clone()];
    let report = report(&small, &tasks, &big);
    Both { bpf: whole_call(1, &small, &tasks), report, line: killed_line(&big) }
}

/// The same, machine-wide.
fn global(order: i32) -> Both {
    let mut both = both();
    let (big, small) = (task(10, 8000, 0), task(11, 500, 100));
    both.bpf[2] = fact(machine(1, small, order));
    let made = decision(1, big, ScopeKind::Global);
    both.bpf[3] = Fact::Decision(Box::new(Decision { message: "Out of memory".to_owned(), ..made }));
    let asked = both.report.invocation.as_mut().unwrap();
    (asked.order, asked.gfp_mask) = (Some(order), Some(0x0014_0dca));
    let kill = both.report.kill.as_mut().unwrap();
    (kill.constraint, kill.oom_memcg) = (Some(ScopeKind::Global), None);
    both.report.stats_cgroup = None;
    both.report.machine.ram_bytes = Some((TOTAL + 40) * PAGE);
    both.report.machine.reserved_bytes = Some(40 * PAGE);
    both.report.machine.swap_total_bytes = Some(0);
    both
}

fn disagreements(both: Both) -> Vec<String> {
    let Both { bpf, report, line } = both;
    let mut assembler = Assembler::new(Config { cpus: CPUS, ..Config::new(Level::Full) });
    let line = log(1004, crate::report::What::Killed(Box::new(line)));
    for fact in bpf.into_iter().chain([reported(1003, report), line]) {
        assembler.push(0, fact);
    }
    let incident = assembler.ready(0).expect("an incident");
    assert!(incident.kernel_log.is_some(), "joined");
    let notes = incident.evidence.notes.into_iter();
    notes.filter(|note| note.starts_with(DISAGREE)).collect()
}

fn told(fact: &mut Fact) -> &mut Task {
    match fact {
        Fact::Candidate(candidate) => &mut candidate.task,
        Fact::Decision(decision) => &mut decision.chosen,
        Fact::Victim(victim) => &mut victim.task,
        other => panic!("{other:?} has no task"),
    }
}

type Change = fn(&mut Both);

#[test]
fn what_differs_is_told_in_both_ways() {
    let cases: &[(&str, Change)] = &[
        ("the thread that asked: 99 in the log, 11 by BPF", |it| {
            it.report.invocation.as_mut().unwrap().tid = Some(99);
        }),
        ("the name of the one that asked: other in the log, p11 by BPF", |it| {
            it.report.invocation.as_mut().unwrap().comm = "other".to_owned();
        }),
        ("the gfp flags: 0x1 in the log, 0xcc0 by BPF", |it| {
            it.report.invocation.as_mut().unwrap().gfp_mask = Some(1);
        }),
        ("the order: 3 in the log, 0 by BPF", |it| {
            it.report.invocation.as_mut().unwrap().order = Some(3);
        }),
        ("the oom_score_adj of the one that asked: 7 in the log, 100 by BPF", |it| {
            it.report.invocation.as_mut().unwrap().oom_score_adj = Some(7);
        }),
        ("the constraint: cpuset in the log, memcg by BPF", |it| {
            it.report.kill.as_mut().unwrap().constraint = Some(ScopeKind::Cpuset);
        }),
        ("the cgroup whose limit was hit: /z in the log, /a by BPF", |it| {
            it.report.kill.as_mut().unwrap().oom_memcg = Some("/z".to_owned());
        }),
        ("the chosen one's cgroup: /a/c in the log, /a/b by BPF", |it| {
            it.report.kill.as_mut().unwrap().task_memcg = Some("/a/c".to_owned());
        }),
        ("the user of the chosen process: 7 in the log, 1000 by BPF", |it| {
            it.report.kill.as_mut().unwrap().uid = Some(7);
        }),
        ("the memory limit: 4096 in the log, 52428800 by BPF", |it| {
            it.report.limits.memory_bytes = Some(PAGE);
        }),
        ("the swap limit: 4096 in the log, 0 by BPF", |it| it.report.limits.swap_bytes = Some(PAGE)),
        ("anonymous bytes of victim 10: 34869248 in the log, 32768000 by BPF", |it| {
            it.line.memory.anon_bytes = Some(8000 * PAGE + SLACK + PAGE);
        }),
        ("file bytes of victim 10: 2101248 in the log, 0 by BPF", |it| {
            it.line.memory.file_bytes = Some(SLACK + PAGE);
        }),
        ("shared memory bytes of victim 10: 2101248 in the log, 0 by BPF", |it| {
            it.line.memory.shmem_bytes = Some(SLACK + PAGE);
        }),
        ("page table bytes of victim 10: 65536 in the log, 40960 by BPF", |it| {
            it.line.memory.pgtables_bytes = Some(16 * PAGE);
        }),
        ("the oom_score_adj of victim 10: 5 in the log, 0 by BPF", |it| it.line.oom_score_adj = Some(5)),
        ("the user of victim 10: 5 in the log, 1000 by BPF", |it| it.line.uid = Some(5)),
        ("1 of 2 candidates. The first is 11: oom_score_adj: 1 in the log, 100 by BPF", |it| {
            it.report.tasks[1].oom_score_adj = 1;
        }),
        ("2 of 2 candidates. The first is 10: resident bytes: 0 in the log, 32768000 by BPF", |it| {
            for row in &mut it.report.tasks {
                row.memory = Memory { rss_bytes: Some(0), ..Memory::default() };
            }
            // Within what counters can be apart.
            *told(&mut it.bpf[1]) = task(11, 513, 100);
        }),
        ("1 of 2 candidates. The first is 11: swap bytes: 2101248 in the log, 0 by BPF", |it| {
            it.report.tasks[1].memory.swap_bytes = Some(SLACK + PAGE);
        }),
    ];
    for (expected, change) in cases {
        let mut both = both();
        change(&mut both);
        let many = expected.contains(" candidates");
        let why = if many { " Processes run on while the kernel prints." } else { "" };
        assert_eq!(disagreements(both), [format!("{DISAGREE} about {expected}.{why}")]);
    }
    let mut both = global(0);
    both.report.machine.swap_total_bytes = Some(PAGE);
    let expected = format!("{DISAGREE} about totalpages: 12801 in the log, 12800 by BPF.");
    assert_eq!(disagreements(both), [expected]);
}

#[test]
fn what_is_the_same_or_cannot_be_compared_is_no_disagreement() {
    let cases: &[(&str, Change)] = &[
        ("nothing changed", |_| {}),
        ("the counters are apart as far as they can be", |it| {
            it.line.memory.anon_bytes = Some(8000 * PAGE + SLACK);
            it.line.memory.pgtables_bytes = Some(15 * PAGE);
            it.report.tasks[1].memory.anon_bytes = Some(0);
        }),
        ("only the sum in the table of an old kernel", |it| {
            for row in &mut it.report.tasks {
                let rss_bytes = row.memory.anon_bytes;
                row.memory = Memory { rss_bytes, ..Memory::default() };
            }
        }),
        ("BPF could not read counters", |it| {
            for fact in &mut it.bpf[..2] {
                told(fact).memory = Memory::default();
            }
        }),
        ("the report begins in the middle", |it| it.report.invocation = None),
        ("the log's path is the kernel's word for one that is too long", |it| {
            it.report.kill.as_mut().unwrap().oom_memcg = Some("(too long)".to_owned());
        }),
        ("printk cut the path", |it| {
            it.report.kill.as_mut().unwrap().oom_memcg = Some(format!("/{}", "x".repeat(950)));
        }),
        ("usage goes on changing", |it| it.report.limits.usage_bytes = Some(1)),
        ("a row of somebody whom BPF did not tell of", |it| it.report.tasks[1].tgid = 12),
        ("the line names a thread of the victim", |it| {
            told(&mut it.bpf[4]).tid = 19;
            it.line.pid = 19;
        }),
        ("a row's name is its thread's", |it| it.report.tasks[0].comm = "worker".to_owned()),
    ];
    for (what, change) in cases {
        let mut both = both();
        change(&mut both);
        assert_eq!(disagreements(both), Vec::<String>::new(), "{what}");
    }
    assert_eq!(disagreements(global(0)), Vec::<String>::new(), "machine-wide");
    // In a sysrq-f the kernel prints a constraint that it did not decide by.
    assert_eq!(disagreements(global(-1)), Vec::<String>::new(), "sysrq");
}
