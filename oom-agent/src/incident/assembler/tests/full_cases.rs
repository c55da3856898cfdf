//! The full level: BPF tells everything.

use super::facts::*;
use crate::incident::assembler::Config;
use crate::incident::escalation::Skipped;
use crate::incident::fact::{Call, CgroupPath, Decision, End, Escalation, Fact, Task, Victim};
use crate::incident::model::{ExemptReason, Level, PointsSource, Role, Rule, ScopeKind};

#[test]
fn a_whole_call_is_told_at_its_last_fact_with_everything() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 100));
    let spared = task(12, 9000, -1000);
    let mut run = Run::full();
    run.push(Fact::CgroupName { id: 77, path: CgroupPath { path: "/a/b".to_owned(), cut: false } });
    let mut facts = whole_call(1, &small, &[big.clone(), small.clone(), spared]);
    let last = facts.pop().unwrap();
    run.push_all(facts).nothing().push(last);
    let incident = run.one();

    assert_eq!(incident.scope.kind, Some(ScopeKind::Memcg));
    assert_eq!(
        incident.scope.cgroup.as_deref(),
        Some("/a"),
        "the cgroup whose limit was hit, not the victim's"
    );
    assert_eq!(incident.scope.cgroup_id, Some(70));
    assert_eq!(incident.total_pages, Some(TOTAL));
    assert_eq!(incident.limits.memory_bytes, Some(TOTAL * PAGE));
    assert_eq!(incident.boottime_ns, Some(1000 * MS));
    assert_eq!(incident.oom_path_ns, Some(6 * MS));
    assert_eq!(incident.recovery_ns, Some(40 * MS));
    assert_eq!(incident.freed_bytes, Some(8010 * PAGE));

    let trigger = incident.trigger.unwrap();
    assert_eq!((trigger.pid, trigger.order, trigger.gfp_mask), (Some(11), Some(0), Some(0xcc0)));
    assert_eq!(trigger.cgroup.as_deref(), Some("/a/b"));

    let victim = &incident.victims[0];
    assert_eq!((victim.pid, victim.role), (10, Role::Selected));
    assert_eq!(victim.exit_after_ns, Some(40 * MS));

    let decision = incident.decision.unwrap();
    assert_eq!(decision.rule, Rule::HighestPoints);
    assert_eq!((decision.pid, decision.points), (Some(10), Some(8010)));
    // 500 + 10 + 100 * 12.
    assert_eq!((decision.runner_up_pid, decision.margin_points), (Some(11), Some(8010 - 1710)));
    assert_eq!(decision.adj_to_spare, Some(-526), "(1709 - 8010) / 12, rounded down");

    let told: Vec<_> = incident.candidates.iter().map(|c| (c.pid, c.points, c.eligible)).collect();
    assert_eq!(told, [(10, Some(8010), true), (11, Some(1710), true), (12, None, false)]);
    assert_eq!(incident.candidates[0].points_source, Some(PointsSource::Kernel));
    assert_eq!(incident.candidates[0].cgroup.as_deref(), Some("/a/b"));
    assert_eq!(incident.candidates[2].exempt_reason, Some(ExemptReason::AdjMin));
    assert_eq!((incident.candidates_evaluated, incident.candidates_lost), (Some(3), Some(0)));

    let escalation = incident.escalation.unwrap();
    assert_eq!((escalation.reclaim_rounds, escalation.reclaimed_pages), (Some(16), Some(412)));
    assert_eq!(escalation.window_seconds, Some(0.102));
    assert_eq!(incident.evidence.level, Level::Full);
    assert_eq!(incident.evidence.lost_records, 0);
    assert_eq!(bpf_notes(&incident.evidence.notes), Vec::<&str>::new());
    let totals = run.assembler.totals();
    assert_eq!((totals.incidents, totals.victims, totals.lost_records), (1, 1, 0));
}

/// The kernel prints ten reports in 5 s.
#[test]
fn large_pages_are_told_without_a_report() {
    for (size, told) in [(4 * PAGE, Some(4 * PAGE)), (PAGE, None)] {
        let mut run = Run::new(Config { page_size: size, ..Config::new(Level::Full) });
        run.push_all([fact(call(1, task(10, 8000, 0))), decided(1, task(10, 8000, 0))]);
        assert_eq!(run.assembler.finish().swap_remove(0).page_size_bytes, told);
    }
}

#[test]
fn a_group_kill_is_one_incident_and_its_first_victim_counts_once() {
    let (first, second, third) = (task(10, 8000, 0), task(11, 500, 0), task(12, 400, 0));
    let first = Task { oom_group: true, ..first };
    let mut run = Run::full();
    run.push_all([
        candidate(1, first.clone()),
        candidate(1, second.clone()),
        candidate(1, third.clone()),
        fact(call(1, second.clone())),
        decided(1, first.clone()),
        killed(1, first.clone()),
        killed(1, second.clone()),
        killed(1, third.clone()),
        killed(1, first.clone()),
        exit(1, &first),
        exit(1, &second),
        end(1, 3),
    ])
    .nothing()
    .push(exit(1, &third));
    let incident = run.one();
    let roles: Vec<_> = incident.victims.iter().map(|victim| (victim.pid, victim.role)).collect();
    assert_eq!(roles, [(10, Role::Selected), (11, Role::Group), (12, Role::Group)]);
    assert_eq!(incident.freed_bytes, Some((8010 + 510 + 410) * PAGE));
    assert_eq!(run.assembler.totals().victims, 3);
}

#[test]
fn processes_that_share_the_memory_are_victims_and_their_memory_counts_once() {
    let owner = Task { shared_mm: true, ..task(10, 8000, 0) };
    let other = Task { shared_mm: true, ..task(11, 8000, 0) };
    let mut run = Run::full();
    run.push_all([
        candidate(1, owner.clone()),
        fact(call(1, owner.clone())),
        decided(1, owner.clone()),
        killed(1, owner.clone()),
        Fact::Victim(Box::new(Victim { shares_mm: true, ..victim(1, other.clone()) })),
        end(1, 1),
        exit(1, &owner),
    ])
    .nothing()
    .push(exit(1, &other));
    let incident = run.one();
    let roles: Vec<_> = incident.victims.iter().map(|victim| (victim.pid, victim.role)).collect();
    assert_eq!(roles, [(10, Role::Selected), (11, Role::SharedMemory)]);
    assert_eq!(incident.freed_bytes, Some(8010 * PAGE));
}

#[test]
fn an_exit_may_come_before_its_mark_and_before_the_end() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    run.push_all([
        exit(1, &big),
        fact(call(1, big.clone())),
        decided(1, big.clone()),
        candidate(1, big.clone()),
        killed(1, big.clone()),
    ])
    .nothing()
    .push(end(1, 1));
    assert_eq!(run.one().victims[0].exit_after_ns, Some(40 * MS));
}

#[test]
fn an_exit_of_an_earlier_process_with_the_same_pid_is_not_the_victims() {
    let big = task(10, 8000, 0);
    let earlier = Task { start_ns: 1, ..big.clone() };
    let mut run = Run::full();
    run.push(exit(1, &earlier))
        .push_all(whole_call(1, &big, std::slice::from_ref(&big)).drain(..5))
        .nothing();
    let incident = run.until_deadline().one();
    assert_eq!(incident.victims[0].exited_boottime_ns, None);
    assert_eq!(bpf_notes(&incident.evidence.notes), ["exit of 10 not seen in time"]);
    assert_eq!((incident.recovery_ns, incident.freed_bytes), (None, None), "not seen is not zero");
}

#[test]
fn sysrq_is_told_by_its_order() {
    let big = task(10, 8000, 0);
    let kworker = Task { kernel_thread: true, ..task(5, 0, 0) };
    let mut run = Run::full();
    let mut facts = whole_call(1, &kworker, std::slice::from_ref(&big));
    facts[1] = fact(machine(1, kworker, -1));
    facts[2] = Fact::Decision(Box::new(decision(1, big, ScopeKind::Global)));
    let incident = run.push_all(facts).one();
    assert_eq!(incident.scope.kind, Some(ScopeKind::Sysrq));
    assert_eq!(incident.decision.unwrap().rule, Rule::Sysrq);
}

#[test]
fn under_oom_kill_allocating_task_nobody_was_compared() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    run.push_all([
        fact(machine(1, big.clone(), 0)),
        Fact::Decision(Box::new(Decision {
            points: 0,
            message: "Out of memory (oom_kill_allocating_task)".to_owned(),
            ..decision(1, big.clone(), ScopeKind::Global)
        })),
        killed(1, big.clone()),
        end(1, 0),
        exit(1, &big),
    ]);
    let incident = run.one();
    let decision = incident.decision.unwrap();
    assert_eq!(decision.rule, Rule::AllocatingTask);
    assert_eq!((decision.pid, decision.points, decision.runner_up_pid), (Some(10), None, None));
    assert_eq!((incident.candidates.len(), incident.candidates_evaluated), (0, Some(0)));
    assert_eq!(incident.scope.kind, Some(ScopeKind::Global));
}

#[test]
fn a_nested_limit_names_the_pod_not_the_container() {
    let big = task(10, 8000, 0);
    let incident = Run::full().push_all(whole_call(1, &big, std::slice::from_ref(&big))).one();
    assert_eq!(incident.scope.cgroup.as_deref(), Some("/a"));
    assert_eq!(incident.victims[0].cgroup.as_deref(), Some("/a/b"));
}

#[test]
fn cpuset_and_memory_policy_exempt_who_is_on_other_nodes() {
    for kind in [ScopeKind::Cpuset, ScopeKind::MemoryPolicy] {
        let (big, near, far) = (task(10, 8000, 0), task(11, 700, 0), task(12, 9000, 0));
        let mut facts = whole_call(1, &big, &[big.clone(), near]);
        facts.push(Fact::Candidate(Box::new(crate::incident::fact::Candidate {
            call: 1,
            task: far,
            points: None,
        })));
        facts[2] = fact(machine(1, big.clone(), 0));
        facts[3] = Fact::Decision(Box::new(decision(1, big, kind)));
        facts[5] = end(1, 3);

        let incident = Run::full().push_all(facts.clone()).one();
        assert_eq!(incident.scope.kind, Some(kind));
        let far = incident.candidates.iter().find(|candidate| candidate.pid == 12).unwrap();
        assert_eq!((far.eligible, far.points), (false, None));
        assert_eq!(far.exempt_reason, Some(ExemptReason::OtherNode));
        assert_eq!(incident.decision.unwrap().runner_up_pid, Some(11));

        // Where oom_badness is inlined (5.10) it cannot be told who was asked for points.
        let mut run = Run::new(Config { kernel_points: false, ..Config::new(Level::Full) });
        for fact in &mut facts {
            if let Fact::Candidate(candidate) = fact {
                candidate.points = None;
            }
        }
        let incident = run.push_all(facts).one();
        assert_eq!(incident.decision.unwrap().runner_up_pid, None);
        assert!(bpf_notes(&incident.evidence.notes)[0].contains("nodes"), "{:?}", incident.evidence.notes);
    }
}

#[test]
fn a_machine_wide_kill_too_passes_over_who_is_on_other_nodes() {
    let (big, near, far) = (task(10, 8000, 0), task(11, 700, 0), task(12, 9000, 0));
    let mut facts = whole_call(1, &big, &[big.clone(), near]);
    facts.push(Fact::Candidate(Box::new(crate::incident::fact::Candidate {
        call: 1,
        task: far,
        points: None,
    })));
    facts[2] = fact(machine(1, big.clone(), 0));
    facts[3] = Fact::Decision(Box::new(decision(1, big, ScopeKind::Global)));
    facts[5] = end(1, 3);
    let far_one = |facts: Vec<Fact>| {
        let incident = Run::full().push_all(facts).one();
        let far = incident.candidates.into_iter().find(|candidate| candidate.pid == 12).unwrap();
        (far.eligible, far.exempt_reason)
    };
    assert_eq!(far_one(facts.clone()), (false, Some(ExemptReason::OtherNode)));
    // The program that sees points may not have been run for it.
    let skipped = Skipped { kills: 1, ..Skipped::default() };
    let mut unsure = facts.clone();
    unsure.insert(3, Fact::Escalation(Box::new(Escalation { call: 1, skipped, ..Escalation::default() })));
    assert_eq!(far_one(unsure.clone()), (true, None));
    assert_eq!(Run::full().push_all(unsure).one().decision.unwrap().runner_up_pid, None);

    let chosen = decision(1, task(12, 9000, 0), ScopeKind::Global);
    facts[3] = Fact::Decision(Box::new(Decision { points: i64::MAX, ..chosen }));
    assert_eq!(far_one(facts), (true, None), "in swapoff, so it was not asked for points");
}

#[test]
fn without_the_kernels_points_they_are_computed_and_marked() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 100));
    let mut facts = whole_call(1, &big, &[big.clone(), small]);
    for fact in &mut facts {
        if let Fact::Candidate(candidate) = fact {
            candidate.points = None;
        }
    }
    let mut run = Run::new(Config { kernel_points: false, ..Config::new(Level::Full) });
    let incident = run.push_all(facts).one();
    let told: Vec<_> = incident.candidates.iter().map(|c| (c.points, c.points_source)).collect();
    let computed = Some(PointsSource::Computed);
    assert_eq!(told, [(Some(8010), computed), (Some(1710), computed)]);
    assert_eq!(incident.decision.unwrap().runner_up_pid, Some(11));
}

#[test]
fn a_thread_that_is_not_its_groups_leader() {
    let thread = Task { tid: 15, comm: "worker".to_owned(), ..task(10, 8000, 0) };
    let leader = task(10, 8000, 0);
    let mut run = Run::full();
    run.push_all([
        candidate(1, leader.clone()),
        fact(call(1, thread.clone())),
        decided(1, leader.clone()),
        killed(1, thread.clone()),
        end(1, 1),
        exit(1, &leader),
    ]);
    let incident = run.one();
    let victim = &incident.victims[0];
    assert_eq!((victim.pid, victim.tid, victim.role), (10, 15, Role::Selected));
    assert_eq!(incident.trigger.unwrap().tid, Some(15));
}

#[test]
fn old_kernels_that_mark_by_number_only_get_the_rest_from_other_facts() {
    let big = task(10, 8000, 0);
    let bare = Task { tid: 10, ..Task::default() };
    let mut run = Run::full();
    run.push_all([
        candidate(1, big.clone()),
        fact(call(1, big.clone())),
        decided(1, big.clone()),
        killed(1, bare),
        end(1, 1),
        exit(1, &big),
    ]);
    let incident = run.one();
    let victim = &incident.victims[0];
    assert_eq!((victim.pid, victim.comm.as_str(), victim.role), (10, "p10", Role::Selected));
    assert_eq!(victim.memory, big.memory);
    assert!(victim.exited_boottime_ns.is_some());
}

#[test]
fn the_chosen_one_that_was_dying_anyway_was_not_killed() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    run.push_all([
        candidate(1, big.clone()),
        fact(call(1, big.clone())),
        decided(1, big.clone()),
        dying(1, big.clone()),
        end(1, 1),
    ])
    .nothing()
    .push(exit(1, &big));
    let incident = run.one();
    assert_eq!(incident.victims[0].role, Role::AlreadyDying);
    assert_eq!(incident.decision.unwrap().rule, Rule::AlreadyDying);
    assert_eq!(incident.recovery_ns, None, "nothing was killed");
}

#[test]
fn a_trigger_that_was_dying_is_told_without_scan_or_decision() {
    let gone = Task { exited: true, ..task(10, 8000, 0) };
    let mut run = Run::full();
    let end = End { total_pages: None, constraint: Some(ScopeKind::Global), ..end_fact(1, 0) };
    run.push_all([fact(machine(1, gone.clone(), 0)), dying(1, gone), Fact::End(end)]);
    let incident = run.one();
    let decision = incident.decision.unwrap();
    assert_eq!((decision.rule, decision.pid), (Rule::AlreadyDying, Some(10)));
    assert_eq!(incident.scope.kind, None, "the kernel had not looked whose limit it was");
}

#[test]
fn a_chosen_one_that_is_gone_is_a_decision_without_victims() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    run.push_all([candidate(1, big.clone()), fact(call(1, big.clone())), decided(1, big), end(1, 1)]);
    let incident = run.one();
    assert_eq!(incident.victims, vec![]);
    assert_eq!(incident.decision.unwrap().rule, Rule::AlreadyDying);
    assert_eq!(incident.evidence.notes, ["Nothing was killed: the chosen process had exited already."]);
}

#[test]
fn a_process_in_swapoff_goes_before_all_points() {
    let (small, big) = (task(10, 100, 0), task(11, 8000, 0));
    let mut facts = whole_call(1, &big, &[small.clone(), big.clone()]);
    facts[3] =
        Fact::Decision(Box::new(Decision { points: i64::MAX, ..decision(1, small, ScopeKind::Memcg) }));
    let incident = Run::full().push_all(facts).one();
    let decision = incident.decision.unwrap();
    assert_eq!((decision.points, decision.runner_up_pid, decision.adj_to_spare), (None, None, None));
    assert!(bpf_notes(&incident.evidence.notes)[0].contains("swapoff"));
}

#[test]
fn exemptions_as_the_kernel_sees_them() {
    let big = task(10, 8000, 0);
    let reaped = Task { oom_skip: Some(true), ..task(11, 1, 0) };
    let vfork = Task { vfork: Some(true), ..task(12, 1, 0) };
    let thread = Task { kernel_thread: true, has_mm: Some(false), ..task(13, 0, 0) };
    let init = Task { init: true, ..task(1, 1, 0) };
    let no_mm = Task { has_mm: Some(false), ..task(14, 0, 0) };
    let refused = |task: &Task| {
        Fact::Candidate(Box::new(crate::incident::fact::Candidate {
            call: 1,
            task: task.clone(),
            points: Some(i64::MIN),
        }))
    };
    let changed = task(15, 1, 0);
    let all = [&reaped, &vfork, &thread, &init, &no_mm, &changed];
    let mut facts: Vec<Fact> = all.iter().map(|task| refused(task)).collect();
    facts.extend(whole_call(1, &big, std::slice::from_ref(&big)));
    let at = facts.len() - 2;
    facts[at] = end(1, 7);
    let incident = Run::full().push_all(facts).one();
    let reason = |pid| {
        incident.candidates.iter().find(|c| c.pid == pid).filter(|c| !c.eligible).unwrap().exempt_reason
    };
    assert_eq!(reason(11), Some(ExemptReason::AlreadyReaped));
    assert_eq!(reason(12), Some(ExemptReason::Vfork));
    assert_eq!(reason(13), Some(ExemptReason::KernelThread));
    assert_eq!(reason(1), Some(ExemptReason::Init));
    assert_eq!(reason(14), Some(ExemptReason::NoMm));
    assert_eq!(reason(15), None, "the kernel refused it, for a reason that has gone since");
    assert_eq!(incident.candidates[0].pid, 10, "the exempt ones come last");
}

#[test]
fn a_cut_path_is_said_to_be_cut() {
    let big = task(10, 8000, 0);
    let mut facts = whole_call(1, &big, std::slice::from_ref(&big));
    let cut = Some(CgroupPath { path: "/deep".to_owned(), cut: true });
    facts[1] = fact(Call { trigger_cgroup: cut, ..call(1, big) });
    let incident = Run::full().push_all(facts).one();
    assert_eq!(
        bpf_notes(&incident.evidence.notes),
        ["A cgroup's path was too long for its record: it is cut."]
    );
}

#[test]
fn a_call_whose_end_is_not_seen_is_over_when_its_task_has_exited() {
    let (asks, other) = (task(10, 8000, 0), task(11, 500, 100));
    let mut facts = whole_call(1, &asks, &[asks.clone(), other.clone()]);
    facts.retain(|fact| !matches!(fact, Fact::End(_)));
    let mut run = Run::full();
    let incident = run.push_all(facts).nothing().wait(300).one();
    assert_eq!(incident.victims[0].pid, 10);
    assert_eq!(incident.oom_path_ns, None);
    assert_eq!(bpf_notes(&incident.evidence.notes).len(), 1, "{:?}", incident.evidence.notes);

    // Someone else's exit says nothing: the kernel may still be printing.
    let mut facts = whole_call(1, &other, &[asks, other.clone()]);
    facts.retain(|fact| !matches!(fact, Fact::End(_)));
    Run::full().push_all(facts).wait(300).nothing();
}
