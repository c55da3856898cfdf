//! The full level: what the kernel's log adds to what BPF tells.

use super::facts::*;
use crate::incident::assembler::Config;
use crate::incident::fact::{Call, End, Fact};
use crate::incident::model::{Incident, Level, PointsSource, Role, Rule};
use crate::report::{Outcome, Report, What};

/// What the log says of a kill.
fn said(at: u64, trigger: &crate::incident::fact::Task, tasks: &[crate::incident::fact::Task]) -> Vec<Fact> {
    let chosen = &tasks[0];
    vec![invoked(at, trigger), reported(at, report(trigger, tasks, chosen)), logged(at, chosen)]
}

fn gap(records: u64) -> Fact {
    Fact::Log(crate::report::Event { time_ns: None, what: What::Gap { records: Some(records) } })
}

fn note(incident: &Incident) -> &str {
    assert_eq!(incident.evidence.notes.len(), 1, "{:?}", incident.evidence.notes);
    &incident.evidence.notes[0]
}

#[test]
fn a_report_for_the_same_call_adds_what_only_the_log_knows() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::full();
    let mut facts = whole_call(1, &small, &[big.clone(), small.clone()]);
    let last = facts.pop().unwrap();
    facts.push(invoked(1003, &small));
    facts.push(reported(1003, report(&small, &[big.clone(), small.clone()], &big)));
    facts.push(logged(1004, &big));
    run.push_all(facts).nothing().push(last);
    let incident = run.one();
    assert_eq!(incident.kernel_log.as_deref(), Some("the kernel's words"));
    assert_eq!(incident.evidence.log_ns, Some(1003 * MS), "which report of the log it is");
    assert_eq!(incident.trigger.unwrap().gfp_flags, ["GFP_KERNEL"]);
    assert_eq!(incident.memory.get("anon_bytes"), Some(&(1 << 20)));
    assert_eq!(incident.candidates[0].points_source, Some(PointsSource::Kernel));
    assert_eq!(incident.evidence.notes, Vec::<String>::new());

    // It is not waited for, and does not make a second incident when it comes late.
    run.push_all(whole_call(2, &small, &[big.clone(), small.clone()]));
    let incident = run.one();
    assert_eq!((incident.kernel_log, incident.evidence.log_ns), (None, None));
    run.push_all([
        invoked(2003, &small),
        reported(2003, report(&small, &[big.clone(), small.clone()], &big)),
        logged(2004, &big),
    ]);
    assert_eq!(run.wait(1000).ready(), vec![]);
    assert_eq!(run.assembler.deadline(), None);
}

#[test]
fn a_report_that_is_read_before_bpf_has_told_anything_is_joined_all_the_same() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let tasks = [big.clone(), small.clone()];
    let mut run = Run::full();
    run.push_all(said(1003, &small, &tasks)).push_all(whole_call(1, &small, &tasks));
    let incident = run.one();
    assert_eq!(incident.evidence.level, Level::Full);
    assert_eq!((incident.kernel_log.is_some(), incident.evidence.log_ns), (true, Some(1003 * MS)));
    assert_eq!(incident.evidence.notes, Vec::<String>::new());
    assert_eq!(run.wait(1000).ready(), vec![]);

    // The chosen one had exited already: no line follows the report, and no victim.
    let mut facts = whole_call(2, &small, &tasks);
    facts.retain(|fact| !matches!(fact, Fact::Victim(_) | Fact::Exit(_)));
    let mut run = Run::full();
    run.push(reported(2003, report(&small, &tasks, &big))).push_all(facts);
    let incident = run.one();
    assert_eq!(incident.decision.as_ref().unwrap().rule, Rule::AlreadyDying);
    assert!(incident.kernel_log.is_some());
    assert_eq!(run.wait(1000).ready(), vec![], "not told again from the log");
}

#[test]
fn a_victim_whose_record_is_lost_is_told_once_by_its_line() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let tasks = [big.clone(), small.clone()];
    let mut facts = whole_call(1, &small, &tasks);
    facts.retain(|fact| !matches!(fact, Fact::Victim(_) | Fact::Exit(_)));
    let end = facts.iter().position(|fact| matches!(fact, Fact::End(_))).unwrap();
    let line = logged(1004, &big);
    // Wherever the line comes: before BPF tells of anything, of the end, or after it.
    for at in [0, end, end + 1] {
        let mut run = Run::full();
        run.push(Fact::Lost { records: 1 });
        let mut told = Vec::new();
        for fact in facts[..at].iter().chain([&line]).chain(&facts[at..]) {
            told.extend(run.push(fact.clone()).ready());
        }
        assert_eq!(told.len(), 1, "line at {at} of {end}");
        let incident = &told[0];
        let victims: Vec<_> = incident.victims.iter().map(|victim| (victim.pid, victim.role)).collect();
        assert_eq!(victims, [(10, Role::Selected)]);
        assert_eq!(incident.decision.as_ref().unwrap().rule, Rule::HighestPoints);
        assert_eq!(incident.evidence.lost_records, 1);
        assert_eq!(run.wait(1000).ready(), vec![]);
        assert_eq!(run.assembler.deadline(), None);
    }

    // The log says nothing in time, and no second incident later.
    let mut run = Run::full();
    run.push(Fact::Lost { records: 1 }).push_all(facts).nothing();
    let incident = run.until_deadline().one();
    assert_eq!((incident.victims.len(), incident.decision), (0, None));
    run.push(line);
    assert_eq!(run.wait(1000).ready(), vec![]);
}

#[test]
fn a_line_that_is_read_before_the_record_of_its_victim_is_that_ones() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let mut facts = whole_call(1, &small, &[big.clone(), small.clone()]);
    let mark = facts.iter().position(|fact| matches!(fact, Fact::Victim(_))).unwrap();
    let last = facts.len() - 1;
    facts.insert(mark, logged(1004, &big));
    // A group's first victim is named twice.
    facts.insert(mark, logged(1004, &big));
    let mut run = Run::full();
    run.push_all(facts[..=last + 1].to_vec()).nothing();
    let incident = run.push_all(facts[last + 2..].to_vec()).until_deadline().one();
    assert_eq!(incident.victims.len(), 1);
    assert!(incident.victims[0].exited_boottime_ns.is_some(), "BPF's own record");
    assert_eq!(run.wait(1000).ready(), vec![]);
}

#[test]
fn a_kill_without_a_report_is_told_at_once_and_says_what_is_missing() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let tasks = [big.clone(), small.clone()];
    // Suppressed: only its line is there.
    let mut run = Run::full();
    run.push(logged(1004, &big)).push_all(whole_call(1, &small, &tasks));
    let incident = run.one();
    assert!(note(&incident).contains("printed no report"), "{incident:?}");
    assert_eq!(incident.evidence.lost_records, 0);
    assert_eq!(incident.candidates.len(), 2);

    let mut run = Run::new(Config { log: false, ..Config::new(Level::Full) });
    run.push_all(whole_call(1, &small, &tasks));
    assert!(note(&run.one()).contains("is not read"));

    // For a process that was dying anyway the kernel prints nothing: nothing is missing.
    let mut run = Run::full();
    run.push_all([fact(call(1, big.clone())), dying(1, big.clone()), exit(1, &big), end(1, 0)]);
    assert_eq!(run.one().evidence.notes, Vec::<String>::new());
}

#[test]
fn a_gap_matters_where_a_report_may_be_in_it() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let tasks = [big.clone(), small.clone()];
    let whole = whole_call(1, &small, &tasks);
    // It is noticed while the call goes on, and nothing came of it.
    let mut run = Run::full();
    let (begin, end) = whole.split_at(3);
    run.push_all(begin.to_vec()).push(gap(70)).push_all(end.to_vec());
    let incident = run.one();
    assert!(note(&incident).contains("gap"), "{incident:?}");
    assert_eq!(incident.evidence.lost_records, 0, "no record of BPF's");
    let totals = run.assembler.totals();
    assert_eq!((totals.lost_records, totals.lost_lines), (0, 70));

    // The report is there: the gap was elsewhere.
    let mut run = Run::full();
    run.push_all(begin.to_vec()).push(gap(70)).push_all(said(1003, &small, &tasks)).push_all(end.to_vec());
    let incident = run.one();
    assert_eq!(incident.evidence.notes, Vec::<String>::new());

    // Just before, with the line of the kill behind it; and long before.
    for (wait, expected) in [(0, "gap"), (2000, "printed no report")] {
        let mut run = Run::full();
        run.push(gap(70)).wait(wait).push(logged(1003, &big)).push_all(whole.clone());
        assert!(note(&run.one()).contains(expected), "{wait}");
    }

    // In the midst of the report.
    let mut run = Run::full();
    let cut = Report { lost_lines: 4, ..report(&small, &tasks, &big) };
    run.push_all(begin.to_vec()).push_all([gap(4), reported(1003, cut), logged(1003, &big)]);
    run.push_all(end.to_vec());
    let incident = run.one();
    assert!(note(&incident).contains("not whole"), "{incident:?}");
    assert_eq!(incident.evidence.lost_records, 0);
}

#[test]
fn a_report_without_its_end_belongs_to_the_call_of_the_task_that_asked() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let tasks = [big.clone(), small.clone()];
    let half =
        Report { kill: None, outcome: Outcome::Unknown, lost_lines: 9, ..report(&small, &tasks, &big) };
    let mut facts = whole_call(1, &small, &tasks);
    let last = facts.pop().unwrap();
    let mut run = Run::full();
    run.push_all(facts).push(reported(1003, half.clone())).push(logged(1004, &big)).push(last);
    let incident = run.one();
    assert!(note(&incident).contains("not whole"), "{incident:?}");
    assert_eq!(incident.memory.get("anon_bytes"), Some(&(1 << 20)));

    // Of a call that BPF has not told of, it is nothing: BPF will, or has.
    let mut run = Run::full();
    run.push(reported(1003, half));
    assert_eq!(run.wait(1000).ready(), vec![]);
}

fn none_killable(number: u64, trigger: &crate::incident::fact::Task) -> [Fact; 2] {
    [
        fact(Call { call: number, ..call(number, trigger.clone()) }),
        Fact::End(End { none_killable: true, ..end_fact(number, 0) }),
    ]
}

#[test]
fn a_report_of_nothing_to_kill_is_joined_and_is_none_of_its_own() {
    let asks = task(11, 500, -1000);
    let report = Report {
        kill: None,
        outcome: Outcome::NoneKillable,
        ..report(&asks, std::slice::from_ref(&asks), &asks)
    };
    for before in [true, false] {
        let mut run = Run::full();
        let [begin, end] = none_killable(1, &asks);
        let log = reported(1003, report.clone());
        // The end is told only after the report is printed, but may be read after it.
        run.push_all(if before { [log, begin, end] } else { [begin, end, log] });
        let incident = run.one();
        assert!(incident.kernel_log.is_some(), "{before}");
        assert_eq!(incident.evidence.notes, Vec::<String>::new());
    }
    // BPF tells few calls of a storm: what is left over is forgotten.
    let mut run = Run::full();
    for at in 0..100 {
        run.push(reported(at, report.clone()));
    }
    assert_eq!(run.wait(1000).ready(), vec![]);
    assert_eq!(run.assembler.deadline(), None);
    run.wait(1000).push_all(none_killable(1, &asks));
    assert_eq!(run.one().kernel_log, None, "too old to be of this call");
}

#[test]
fn a_kill_that_bpf_did_not_see_is_told_from_the_log_and_says_so() {
    let (big, small) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::full();
    run.push_all(said(1003, &small, &[big, small.clone()])).nothing();
    let incident = run.until_deadline().one();
    assert_eq!(incident.evidence.level, Level::Kmsg);
    assert_eq!(incident.evidence.sources, ["kmsg"]);
    assert!(note(&incident).contains("Only the kernel's log"));
}

/// Two processes that were killed one after the other and had the same number.
fn reused() -> [crate::incident::fact::Task; 2] {
    ["first", "second"].map(|comm| {
        let task = task(10, 8000, 0);
        crate::incident::fact::Task { comm: comm.into(), start_ns: task.start_ns + comm.len() as u64, ..task }
    })
}

#[test]
fn a_number_that_is_given_out_again_mixes_no_kills_up() {
    let small = task(11, 500, 0);
    let [first, second] = reused();
    let mut run = Run::full();
    // Whoever was stopped reads of both at once; only the second has a report.
    for (call, victim) in [(1, &first), (2, &second)] {
        run.push_all(whole_call(call, &small, &[victim.clone(), small.clone()]));
    }
    run.push(logged(1004, &first)).push_all(said(2003, &small, &[second, small.clone()]));
    let [first, second] = &run.ready()[..] else { panic!("two kills") };
    assert_eq!((first.victims[0].comm.as_str(), second.victims[0].comm.as_str()), ("first", "second"));
    assert!(first.kernel_log.is_none() && note(first).contains("printed no report"), "{first:?}");
    assert!(second.kernel_log.is_some() && second.evidence.notes.is_empty(), "{:?}", second.evidence.notes);
    assert_eq!((first.counted_kills, second.counted_kills), (Some(1), Some(1)));
}

#[test]
fn a_number_that_is_given_out_again_is_no_line_that_comes_late() {
    let small = task(11, 500, 0);
    let [first, second] = reused();
    let mut run = Run::full();
    run.push_all(whole_call(1, &small, &[first.clone(), small.clone()])).push(logged(1004, &first));
    assert!(note(&run.one()).contains("printed no report"));
    // The log is read before BPF tells of the call.
    let tasks = [second, small.clone()];
    run.push_all(said(2003, &small, &tasks)).push_all(whole_call(2, &small, &tasks));
    let second = run.one();
    assert!(second.kernel_log.is_some() && second.evidence.notes.is_empty(), "{:?}", second.evidence.notes);
}
