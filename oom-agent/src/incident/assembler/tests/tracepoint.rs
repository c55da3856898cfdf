//! The tracepoint level: victims from BPF, the rest from the kernel's log.

use super::facts::*;
use crate::incident::assembler::Config;
use crate::incident::fact::{Fact, Task, Victim};
use crate::incident::model::{Level, PointsSource, Role, Rule, ScopeKind};
use crate::report::{Invocation, Killed, Machine, Outcome, Report, What};

/// The two streams of one kill: BPF's and the log's.
fn streams(number: u64, trigger: &Task, tasks: &[Task]) -> (Vec<Fact>, Vec<Fact>) {
    let chosen = &tasks[0];
    let bpf = vec![pseudo(number, trigger.clone()), killed(number, chosen.clone()), exit(number, chosen)];
    let at = number * 1000 + 9;
    let log = vec![invoked(at, trigger), reported(at, report(trigger, tasks, chosen)), logged(at, chosen)];
    (bpf, log)
}

/// All ways to merge two streams, each in its order.
fn merges(a: &[Fact], b: &[Fact]) -> Vec<Vec<Fact>> {
    let (Some(first), Some(second)) = (a.first(), b.first()) else {
        return vec![[a, b].concat()];
    };
    let with = |head: &Fact, rest: Vec<Vec<Fact>>| {
        rest.into_iter().map(|rest| [vec![head.clone()], rest].concat()).collect::<Vec<_>>()
    };
    [with(first, merges(&a[1..], b)), with(second, merges(a, &b[1..]))].concat()
}

#[test]
fn report_and_victim_are_joined_however_the_streams_interleave() {
    let (big, small, spared) = (task(10, 8000, 0), task(11, 500, 100), task(12, 9000, -1000));
    let tasks = [big, small.clone(), spared];
    let (bpf, log) = streams(1, &small, &tasks);
    let mut told = Vec::new();
    for facts in merges(&bpf, &log) {
        let mut run = Run::tracepoint();
        for fact in &facts[..5] {
            run.push(fact.clone()).nothing();
        }
        told.push(run.push(facts[5].clone()).one());
        assert_eq!(run.assembler.deadline(), None);
    }
    assert_eq!(told.len(), 20);
    let incident = &told[0];
    assert!(told.iter().all(|other| other == incident), "the order makes no difference");
    assert_eq!(incident.scope.kind, Some(ScopeKind::Memcg));
    assert_eq!(incident.scope.cgroup.as_deref(), Some("/a"));
    assert_eq!(incident.total_pages, Some(TOTAL));
    assert_eq!(incident.boottime_ns, Some(1000 * MS), "BPF's clock, not the log's");
    let trigger = incident.trigger.as_ref().unwrap();
    assert_eq!((trigger.pid, trigger.order, trigger.gfp_mask), (Some(11), Some(0), Some(0xcc0)));
    let decision = incident.decision.as_ref().unwrap();
    assert_eq!((decision.rule, decision.pid, decision.points), (Rule::HighestPoints, Some(10), Some(8010)));
    assert_eq!((decision.runner_up_pid, decision.adj_to_spare), (Some(11), Some(-526)));
    assert!(incident.candidates.iter().take(2).all(|c| c.points_source == Some(PointsSource::Computed)));
    assert_eq!((incident.candidates_evaluated, incident.candidates_lost), (Some(3), Some(0)));
    assert_eq!(incident.victims[0].role, Role::Selected);
    assert_eq!((incident.recovery_ns, incident.freed_bytes), (Some(40 * MS), Some(8010 * PAGE)));
    assert_eq!(incident.kernel_release.as_deref(), Some("6.12.117"));
    assert_eq!(incident.evidence.notes, Vec::<String>::new());
}

#[test]
fn a_suppressed_report_leaves_the_incident_standing() {
    let big = task(10, 8000, 0);
    let mut run = Run::tracepoint();
    run.push_all([pseudo(1, big.clone()), killed(1, big.clone()), logged(1009, &big), exit(1, &big)]);
    let incident = run.one();
    assert_eq!(incident.scope.kind, Some(ScopeKind::Memcg), "the line says so");
    assert_eq!(incident.scope.cgroup, None);
    assert_eq!(incident.decision.unwrap().rule, Rule::HighestPoints);
    assert_eq!((incident.candidates_evaluated, incident.total_pages), (None, None));
    assert!(incident.evidence.notes[0].contains("printed no report"), "{:?}", incident.evidence.notes);
    assert_eq!(incident.evidence.lost_records, 0);
}

#[test]
fn a_report_that_the_reader_lost_is_not_called_suppressed() {
    let big = task(10, 8000, 0);
    let mut run = Run::tracepoint();
    run.push_all([
        pseudo(1, big.clone()),
        killed(1, big.clone()),
        log(1009, What::Gap { records: Some(60) }),
        logged(1009, &big),
        exit(1, &big),
    ]);
    let incident = run.one();
    assert!(incident.evidence.notes[0].contains("gap"), "{:?}", incident.evidence.notes);
    assert_eq!(incident.evidence.lost_records, 60);
}

#[test]
fn a_report_without_its_line_is_still_joined() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let (bpf, mut log) = streams(1, &small, &[big, small.clone()]);
    log.pop();
    for facts in merges(&bpf, &log) {
        let mut run = Run::tracepoint();
        run.push_all(facts).nothing();
        let incident = run.until_deadline().one();
        assert_eq!(incident.scope.cgroup.as_deref(), Some("/a"));
        assert_eq!(incident.victims.len(), 1);
        assert_eq!(run.assembler.deadline(), None);
    }
}

#[test]
fn without_a_word_from_the_log_it_is_told_after_the_wait() {
    let big = task(10, 8000, 0);
    let mut run = Run::tracepoint();
    run.push_all([pseudo(1, big.clone()), killed(1, big.clone()), exit(1, &big)]).nothing();
    let incident = run.wait(250).one();
    assert_eq!((incident.decision, incident.scope.kind), (None, None));
    assert!(incident.evidence.notes[0].contains("did not tell of this kill in time"));
    // What comes too late makes no second incident.
    run.push_all([invoked(1009, &big), reported(1009, report(&big, &[], &big)), logged(1009, &big)]);
    assert_eq!(run.wait(1000).ready(), vec![]);
}

#[test]
fn a_group_kill_gathers_its_members_and_their_lines() {
    let first = Task { oom_group: true, ..task(10, 8000, 0) };
    let (second, third) = (task(11, 500, 0), task(12, 400, 0));
    let tasks = [first.clone(), second.clone(), third.clone()];
    let bpf = [
        pseudo(1, second.clone()),
        killed(1, first.clone()),
        killed(1, second.clone()),
        killed(1, third.clone()),
        exit(1, &first),
        exit(1, &second),
        exit(1, &third),
    ];
    let lines = [
        invoked(1009, &second),
        reported(1009, report(&second, &tasks, &first)),
        logged(1009, &first),
        group_kill(1009),
        logged(1009, &second),
        logged(1009, &third),
        logged(1010, &first),
    ];
    for facts in [[&bpf[..], &lines[..]].concat(), [&lines[..], &bpf[..]].concat()] {
        let mut run = Run::tracepoint();
        run.push_all(facts).nothing();
        let incident = run.until_deadline().one();
        let roles: Vec<_> = incident.victims.iter().map(|victim| (victim.pid, victim.role)).collect();
        assert_eq!(roles, [(10, Role::Selected), (11, Role::Group), (12, Role::Group)]);
        assert_eq!(incident.evidence.notes, Vec::<String>::new());
        assert_eq!(run.assembler.deadline(), None);
        assert_eq!(run.assembler.totals().victims, 3);
    }
}

#[test]
fn a_process_that_shares_the_memory_has_no_line_and_is_not_waited_for() {
    let owner = Task { shared_mm: true, ..task(10, 8000, 0) };
    let other = task(11, 8000, 0);
    let mut run = Run::tracepoint();
    run.push_all([
        pseudo(1, owner.clone()),
        killed(1, owner.clone()),
        Fact::Victim(Box::new(Victim { shares_mm: true, ..victim(1, other.clone()) })),
        logged(1009, &owner),
        exit(1, &owner),
        exit(1, &other),
    ])
    .nothing();
    let incident = run.wait(20).one();
    assert_eq!(incident.victims[1].role, Role::SharedMemory);
    assert_eq!(incident.freed_bytes, Some(8010 * PAGE));
}

#[test]
fn who_was_dying_anyway_has_neither_report_nor_line() {
    let big = Task { exited: true, ..task(10, 8000, 0) };
    let incident = Run::tracepoint().push_all([pseudo(1, big.clone()), dying(1, big)]).one();
    assert_eq!(incident.decision.unwrap().rule, Rule::AlreadyDying);
    assert_eq!(incident.evidence.notes, Vec::<String>::new());
}

#[test]
fn a_thread_in_the_line_and_its_leader_in_the_report_are_one_process() {
    let thread = Task { tid: 15, ..task(10, 8000, 0) };
    let leader = task(10, 8000, 0);
    let (mut bpf, mut lines) = streams(1, &leader, std::slice::from_ref(&leader));
    bpf[1] = killed(1, thread.clone());
    lines[2] = logged(1009, &thread);
    for facts in merges(&bpf, &lines) {
        let mut run = Run::tracepoint();
        let incident = run.push_all(facts).one();
        assert_eq!((incident.victims[0].pid, incident.victims[0].tid), (10, 15));
        assert_eq!(incident.scope.cgroup.as_deref(), Some("/a"));
        assert_eq!(run.assembler.deadline(), None);
    }
}

#[test]
fn sysrq_and_the_allocating_task_are_told_from_the_log() {
    let big = task(10, 8000, 0);
    let global = |order| {
        let mut report = report(&big, std::slice::from_ref(&big), &big);
        report.invocation = Some(Invocation { order: Some(order), ..invocation(&big) });
        report.kill.as_mut().unwrap().constraint = Some(ScopeKind::Global);
        report.stats_cgroup = None;
        report.machine = Machine {
            ram_bytes: Some(98_165 * PAGE),
            reserved_bytes: Some(11_531 * PAGE),
            swap_total_bytes: Some(1024 * PAGE),
            ..Machine::default()
        };
        report
    };
    let mut run = Run::tracepoint();
    run.push_all([pseudo(1, big.clone()), killed(1, big.clone()), exit(1, &big)]);
    let incident = run.push_all([reported(1009, global(-1)), logged(1009, &big)]).one();
    assert_eq!(incident.scope.kind, Some(ScopeKind::Sysrq));
    assert_eq!(incident.decision.unwrap().rule, Rule::Sysrq);
    assert_eq!(incident.total_pages, Some(98_165 - 11_531 + 1024));

    let other = task(20, 8000, 0);
    let message = "Out of memory (oom_kill_allocating_task)".to_owned();
    let line = Killed { is_memcg: Some(false), message, ..killed_line(&other) };
    let mut report = global(0);
    report.kill.as_mut().unwrap().pid = 20;
    run.push_all([
        pseudo(2, other.clone()),
        killed(2, other.clone()),
        exit(2, &other),
        reported(2009, report),
    ]);
    let incident = run.push(log(2009, What::Killed(Box::new(line)))).one();
    let decision = incident.decision.unwrap();
    assert_eq!((decision.rule, decision.runner_up_pid), (Rule::AllocatingTask, None));
    assert_eq!((incident.candidates.len(), incident.candidates_evaluated), (0, Some(0)));
    assert_eq!(incident.scope.kind, Some(ScopeKind::Global));
}

#[test]
fn a_report_that_nothing_could_be_killed_is_an_incident_of_its_own() {
    let exempt = task(10, 8000, -1000);
    let report = Report {
        kill: None,
        outcome: Outcome::NoneKillable,
        ..report(&exempt, std::slice::from_ref(&exempt), &exempt)
    };
    let mut run = Run::tracepoint();
    let incident = run.push_all([invoked(1009, &exempt), reported(1009, report.clone())]).one();
    assert_eq!(incident.decision.unwrap().rule, Rule::NoneKillable);
    assert_eq!(incident.scope.cgroup.as_deref(), Some("/a"));
    assert_eq!(incident.candidates_evaluated, Some(1));
    run.push_all([invoked(1100, &exempt), reported(1100, report.clone())]).nothing();
    let again = run.push_all([invoked(7000, &exempt), reported(7000, report)]).one();
    assert!(again.evidence.notes.iter().any(|note| note.starts_with("1 equal calls")), "{again:?}");
}

#[test]
fn a_kill_that_only_the_log_tells_of_is_told_after_the_wait() {
    let big = task(10, 8000, 0);
    let mut run = Run::tracepoint();
    run.push_all([reported(1009, report(&big, std::slice::from_ref(&big), &big)), logged(1009, &big)])
        .nothing();
    let incident = run.wait(250).one();
    assert_eq!(incident.victims[0].pid, 10);
    assert!(incident.evidence.notes[0].contains("Only the kernel's log"));
}

#[test]
fn a_burst_with_ten_reports_keeps_every_kill() {
    let mut run = Run::tracepoint();
    let mut told = Vec::new();
    for number in 1..=25_u64 {
        let big = task(100 + number as u32, 8000, 0);
        let (bpf, mut lines) = streams(number, &big, std::slice::from_ref(&big));
        if number > 10 {
            lines.drain(..2);
        }
        // The log runs ahead for odd ones.
        let facts = if number % 2 == 0 { [bpf, lines].concat() } else { [lines, bpf].concat() };
        told.extend(run.push_all(facts).ready());
    }
    assert_eq!(told.len(), 25);
    let with_report = told.iter().filter(|incident| incident.scope.cgroup.is_some()).count();
    assert_eq!(with_report, 10);
    for (index, incident) in told.iter().enumerate() {
        assert_eq!(incident.victims[0].pid as usize, 101 + index);
    }
}

#[test]
fn without_the_log_nothing_of_it_is_waited_for() {
    let big = task(10, 8000, 0);
    let mut run = Run::new(Config { log: false, ..Config::new(Level::Tracepoint) });
    let incident = run.push_all([pseudo(1, big.clone()), killed(1, big.clone()), exit(1, &big)]).one();
    assert_eq!(incident.decision, None);
    assert!(incident.evidence.notes[0].contains("not read"));
}

#[test]
fn a_number_that_is_given_out_again_is_told_from_a_line_that_comes_late() {
    let small = task(11, 500, 100);
    let mut run = Run::tracepoint();
    for (number, comm) in [(1, "first"), (2, "second")] {
        let victim = task(10, 8000, 0);
        let victim = Task { comm: comm.into(), start_ns: victim.start_ns + number, ..victim };
        let (bpf, log) = streams(number, &small, &[victim, small.clone()]);
        // The kernel prints the report before it marks the victim.
        run.push_all(log).push_all(bpf);
        let incident = run.one();
        assert_eq!(incident.victims[0].comm, comm);
        assert!(incident.kernel_log.is_some(), "{:?}", incident.evidence.notes);
        assert_eq!(incident.evidence.notes, Vec::<String>::new());
    }
    assert_eq!(run.wait(1000).ready(), vec![]);
}
