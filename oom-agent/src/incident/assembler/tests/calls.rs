//! Calls, kills and losses: what is an incident, when it is told, and what it may claim.

use super::facts::*;
use crate::incident::fact::{End, Fact, Task};
use crate::incident::model::{Role, Rule};

#[test]
fn several_calls_for_one_kill_are_one_incident() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::full();
    run.push_all(whole_call(1, &small, &[big.clone(), small.clone()]).drain(..6));
    // The kernel finds the victim still dying: it looks at candidates and leaves. Nothing is announced.
    for number in 2..25 {
        run.push(candidate(number, small.clone()));
    }
    // A thread of the victim asks and gets access to the reserves: announced, but no kill.
    let thread = Task { tid: 17, ..big.clone() };
    run.push_all([fact(call(25, thread.clone())), dying(25, thread), end(25, 0)]);
    run.push(exit(1, &big));
    let incident = run.one();
    assert_eq!(incident.victims.len(), 1);
    assert_eq!(incident.victims[0].role, Role::Selected);
    assert_eq!(run.assembler.deadline(), None, "nothing of the other calls is left");
    assert_eq!(run.assembler.totals().incidents, 1);

    // The same after it was told.
    let thread = Task { tid: 18, exited: true, ..big.clone() };
    run.push_all([fact(call(26, thread.clone())), dying(26, thread), end(26, 0)]);
    assert_eq!(run.ready(), vec![]);
}

#[test]
fn candidates_of_calls_that_are_never_told_are_forgotten() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    for number in 1..1000 {
        run.push(candidate(number, big.clone()));
    }
    let incident = run.push_all(whole_call(1000, &big, std::slice::from_ref(&big))).one();
    assert_eq!((incident.candidates.len(), incident.candidates_lost), (1, Some(0)));
    assert_eq!(run.assembler.scans.kept(), 0);
}

#[test]
fn interleaved_rings() {
    let (a, b, c) = (task(10, 8000, 0), task(11, 7000, 0), task(12, 10, 0));
    let mut run = Run::full();
    let first = whole_call(1, &c, &[a.clone(), b.clone(), c.clone()]);
    let second = whole_call(2, &c, &[b.clone(), c.clone()]);
    // The small ring is ahead by a call, and the bulk ring by one candidate.
    let order = [&second[0], &first[3], &first[4], &first[5], &first[6], &second[2], &second[3], &second[4]];
    run.push_all(order.map(Clone::clone)).nothing();
    run.push(first[0].clone()).push(first[7].clone()).push(first[1].clone()).nothing();
    run.push(first[2].clone());
    let incident = run.one();
    assert_eq!((incident.candidates.len(), incident.candidates_lost), (3, Some(0)));
    assert_eq!(incident.decision.unwrap().runner_up_pid, Some(11));
    run.push_all([second[6].clone(), second[5].clone()]).nothing();
    let incident = run.push(second[1].clone()).one();
    assert_eq!((incident.candidates.len(), incident.candidates_lost), (2, Some(0)));
}

#[test]
fn a_call_with_nothing_to_kill() {
    let exempt = task(10, 8000, -1000);
    let mut run = Run::full();
    let end = End { none_killable: true, ..end_fact(1, 1) };
    run.push_all([candidate(1, exempt.clone()), fact(call(1, exempt)), Fact::End(end)]);
    let incident = run.one();
    assert_eq!(incident.decision.unwrap().rule, Rule::NoneKillable);
    assert_eq!(incident.victims, vec![]);
    assert!(!incident.candidates[0].eligible);
    assert_eq!((incident.recovery_ns, incident.freed_bytes), (None, None));
    assert_eq!(run.assembler.totals().none_killable, 1);
}

#[test]
fn a_storm_of_calls_with_nothing_to_kill_is_told_once_in_a_while() {
    let exempt = task(10, 8000, -1000);
    let mut run = Run::full();
    let mut told = Vec::new();
    for number in 1..=8 {
        // The kernel side swallows equal ones too and says how many.
        let end = End { none_killable: true, repeats: 100, ..end_fact(number, 0) };
        told.extend(run.push_all([fact(call(number, exempt.clone())), Fact::End(end)]).ready());
    }
    assert_eq!(told.len(), 2, "a call a second: the first, and the one after 5 s");
    assert!(
        bpf_notes(&told[1].evidence.notes)[0].starts_with("504 equal calls"),
        "{:?}",
        told[1].evidence.notes
    );
    assert_eq!(run.assembler.totals().none_killable, 8 * 101);
    assert_eq!(run.assembler.totals().incidents, 2);

    // Of another place, which does not tell of them any more.
    let quiet = End { repeats_elsewhere: 7, ..end_fact(20, 0) };
    run.push_all([fact(call(20, exempt)), Fact::End(quiet)]).ready();
    assert_eq!(run.assembler.totals().none_killable, 8 * 101 + 7);

    // Another task's call is another story.
    let other = task(20, 10, -1000);
    let end = End { none_killable: true, ..end_fact(9, 0) };
    run.push_all([fact(call(9, other)), Fact::End(end)]).one();
}

#[test]
fn who_has_the_same_memory_is_not_next_and_nobody_of_a_group_is_spared() {
    let [big, same, small] = [(10, 8000, 0xa), (11, 8000, 0xa), (12, 500, 0xb)]
        .map(|(pid, pages, mm)| Task { mm, ..task(pid, pages, 0) });
    let mut run = Run::full();
    let incident =
        run.push_all(whole_call(1, &small, &[big.clone(), same, small.clone()])).until_deadline().one();
    let decision = incident.decision.unwrap();
    assert_eq!((decision.pid, decision.runner_up_pid), (Some(10), Some(12)));
    assert!(decision.adj_to_spare.is_some());

    let mut run = Run::full();
    let mut facts = whole_call(1, &small, &[big, small.clone()]);
    let end = facts.iter().position(|fact| matches!(fact, Fact::End(_))).unwrap();
    facts.insert(end, killed(1, small.clone()));
    facts.push(exit(1, &small));
    let incident = run.push_all(facts).until_deadline().one();
    assert_eq!(incident.victims.len(), 2);
    let decision = incident.decision.unwrap();
    assert_eq!((decision.runner_up_pid, decision.adj_to_spare), (Some(12), None));
}

#[test]
fn lost_candidates_are_counted_and_no_runner_up_is_claimed() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::full();
    let mut facts = whole_call(1, &small, &[big, small.clone()]);
    facts[5] = Fact::End(End { candidates_lost: 3, ..end_fact(1, 5) });
    let incident = run.push_all(facts).one();
    assert_eq!((incident.candidates_evaluated, incident.candidates_lost), (Some(5), Some(3)));
    let decision = incident.decision.unwrap();
    assert_eq!(decision.points, Some(8010), "the decision itself came");
    assert_eq!((decision.runner_up_pid, decision.margin_points, decision.adj_to_spare), (None, None, None));
    assert_eq!(incident.evidence.lost_records, 3);
    assert!(bpf_notes(&incident.evidence.notes)[0].starts_with("3 of 5 candidates were lost"));
}

#[test]
fn candidates_that_are_late_are_waited_for_and_then_counted_as_lost() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::full();
    let facts = whole_call(1, &small, &[big, small.clone()]);
    run.push_all(facts.into_iter().skip(1)).nothing();
    let incident = run.until_deadline().one();
    assert_eq!(incident.candidates_lost, Some(1));
    assert_eq!(incident.decision.unwrap().runner_up_pid, None, "the missing one may be it");
}

#[test]
fn a_lost_end_is_noticed_by_the_next_call_or_the_ring() {
    let (big, other) = (task(10, 8000, 0), task(11, 500, 0));
    // The exit of the one who asked would tell as well.
    let asks = task(12, 1, 0);
    for notice in [Fact::Lost { records: 1 }, fact(call(2, other))] {
        let mut run = Run::full();
        let mut facts = whole_call(1, &asks, std::slice::from_ref(&big));
        facts.remove(4 - 1);
        facts.retain(|fact| !matches!(fact, Fact::End(_)));
        run.push_all(facts).wait(2000).nothing();
        let incident = run.push(notice).wait(250).one();
        assert_eq!((incident.candidates_evaluated, incident.candidates_lost), (None, None));
        assert_eq!((incident.oom_path_ns, incident.freed_bytes), (None, None));
        assert!(incident.evidence.notes.iter().any(|note| note.starts_with("The end of the OOM path")));
    }
}

#[test]
fn a_call_whose_end_never_comes_is_given_up() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    run.push_all([fact(call(1, big.clone())), decided(1, big)]).nothing();
    // A slow console prints the report between decision and kill.
    run.wait(10_000).nothing();
    assert_eq!(run.until_deadline().one().victims, vec![]);
}

#[test]
fn without_its_first_records_an_incident_claims_neither_trigger_nor_scope() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    run.push_all([Fact::Lost { records: 2 }, killed(1, big.clone()), end(1, 0), exit(1, &big)]);
    let incident = run.one();
    assert_eq!((incident.trigger, incident.decision), (None, None));
    assert_eq!(incident.evidence.lost_records, 2);
    assert_eq!(
        (incident.recovery_ns, incident.freed_bytes),
        (None, None),
        "there may have been more victims"
    );
    assert_eq!(run.assembler.totals().lost_records, 2);
}

#[test]
fn without_the_entry_a_machine_wide_kill_is_not_told_from_a_sysrq() {
    let big = task(10, 8000, 0);
    let mut facts = whole_call(1, &big, std::slice::from_ref(&big));
    facts.remove(1);
    facts[1] = Fact::Decision(Box::new(decision(1, big, crate::incident::model::ScopeKind::Global)));
    facts[3] =
        Fact::End(End { constraint: Some(crate::incident::model::ScopeKind::Global), ..end_fact(1, 1) });
    let incident = Run::full().push_all(facts).one();
    assert_eq!(incident.scope.kind, None);
    assert_eq!(incident.decision, None);
}

#[test]
fn a_victim_that_comes_after_its_incident_is_not_swallowed() {
    let (big, late) = (task(10, 8000, 0), task(11, 100, 0));
    let mut run = Run::full();
    run.push_all(whole_call(1, &big, std::slice::from_ref(&big))).one();
    run.push_all([killed(1, late.clone()), exit(1, &late)]).nothing();
    let incident = run.until_deadline().one();
    assert_eq!(incident.victims[0].pid, 11);
    assert!(incident.evidence.notes[0].contains("earlier incident"));
}

#[test]
fn incidents_come_in_the_order_in_which_they_are_complete() {
    let (a, b) = (task(10, 8000, 0), task(11, 7000, 0));
    let mut run = Run::full();
    let mut first = whole_call(1, &a, std::slice::from_ref(&a));
    let exit_of_a = first.pop().unwrap();
    run.push_all(first).push_all(whole_call(2, &b, std::slice::from_ref(&b)));
    assert_eq!(run.one().victims[0].pid, 11);
    assert_eq!(run.push(exit_of_a).one().victims[0].pid, 10);
}

#[test]
fn stopping_tells_what_is_pending_and_says_so() {
    let big = task(10, 8000, 0);
    let mut run = Run::full();
    let mut facts = whole_call(1, &big, std::slice::from_ref(&big));
    facts.pop();
    run.push_all(facts).nothing();
    let incidents = run.assembler.finish();
    assert_eq!(incidents.len(), 1);
    assert_eq!(
        bpf_notes(&incidents[0].evidence.notes),
        ["The agent was stopped before the incident was complete.", "exit of 10 not seen yet"]
    );
    assert_eq!(run.assembler.finish(), vec![]);
    assert_eq!(run.assembler.deadline(), None);
}
