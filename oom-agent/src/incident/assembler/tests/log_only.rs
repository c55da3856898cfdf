//! Only the kernel's log: the running kernel's, or a file.

use super::facts::*;
use crate::incident::assembler::Config;
use crate::incident::fact::{Fact, Task};
use crate::incident::model::{Level, Role, Rule};
use crate::report::{Outcome, Report, What};

fn whole(at: u64, tasks: &[Task]) -> Vec<Fact> {
    let chosen = &tasks[0];
    vec![invoked(at, chosen), reported(at, report(chosen, tasks, chosen)), logged(at, chosen)]
}

#[test]
fn a_kill_is_told_after_the_wait_or_when_the_next_begins() {
    let (a, b) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::new(Config::new(Level::Kmsg));
    run.push_all(whole(1000, &[a, b.clone()])).nothing();
    run.push(invoked(1050, &b));
    let incident = run.one();
    assert_eq!(incident.boottime_ns, Some(1000 * MS));
    assert_eq!(incident.victims[0].pid, 10);
    assert_eq!(incident.victims[0].role, Role::Selected);
    assert_eq!(incident.victims[0].cgroup.as_deref(), Some("/a/b"));
    assert_eq!((incident.recovery_ns, incident.freed_bytes), (None, None), "a log has no exits");
    assert_eq!(incident.decision.unwrap().runner_up_pid, Some(11));
    run.push_all(whole(1050, std::slice::from_ref(&b)).drain(1..)).nothing();
    assert_eq!(run.wait(250).one().victims[0].pid, 11);
}

#[test]
fn lines_without_reports_are_incidents_of_their_own() {
    let mut run = Run::new(Config::new(Level::Kmsg));
    let mut told = Vec::new();
    for pid in 10..15 {
        told.extend(run.push(logged(1000 + u64::from(pid), &task(pid, 100, 0))).ready());
    }
    told.extend(run.wait(250).ready());
    assert_eq!(told.iter().map(|incident| incident.victims[0].pid).collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    assert!(told.iter().all(|incident| incident.evidence.notes[0].contains("printed no report")));
}

#[test]
fn a_group_kill_in_the_log_is_one_incident() {
    let tasks = [task(10, 8000, 0), task(11, 500, 0), task(12, 400, 0)];
    let mut run = Run::new(Config::new(Level::Kmsg));
    run.push_all(whole(1000, &tasks));
    run.push_all([
        group_kill(1000),
        logged(1001, &tasks[1]),
        logged(1001, &tasks[2]),
        logged(1005, &tasks[0]),
    ]);
    let incident = run.wait(250).one();
    let roles: Vec<_> = incident.victims.iter().map(|victim| (victim.pid, victim.role)).collect();
    assert_eq!(roles, [(10, Role::Selected), (11, Role::Group), (12, Role::Group)]);

    // A line much later is another kill, whose report was suppressed.
    run.push_all(whole(2000, &tasks)).push_all([group_kill(2000), logged(2100, &tasks[1])]);
    assert_eq!(run.wait(250).ready().len(), 2);
}

#[test]
fn a_file_is_told_in_its_own_time_and_flushed_at_its_end() {
    let (a, b) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::new(Config::new(Level::Log));
    run.push_all(whole(1000, std::slice::from_ref(&a)));
    assert_eq!(run.wait(100_000).ready(), vec![], "a file has no clock");
    assert_eq!(run.assembler.deadline(), None);
    run.push_all(whole(9000, std::slice::from_ref(&b)));
    assert_eq!(run.one().victims[0].pid, 10);
    let rest = run.assembler.finish();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].boottime_ns, Some(9000 * MS));
}

#[test]
fn a_report_cut_off_claims_no_victim() {
    let big = task(10, 8000, 0);
    let mut run = Run::new(Config::new(Level::Log));
    run.push(invoked(1000, &big));
    let cut = Report {
        kill: None,
        outcome: Outcome::Unknown,
        lost_lines: 3,
        ..report(&big, std::slice::from_ref(&big), &big)
    };
    run.push(reported(1000, cut));
    let told = run.assembler.finish();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].victims, &told[0].decision), (&vec![], &None));
    assert_eq!(told[0].candidates_evaluated, None);
    assert_eq!(told[0].candidates.len(), 1);
    assert!(
        told[0].evidence.notes.iter().any(|note| note.contains("not whole")),
        "{:?}",
        told[0].evidence.notes
    );
}

#[test]
fn a_report_whose_line_is_missing_names_whom_the_kernel_chose_and_no_victim() {
    let (a, b) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::new(Config::new(Level::Kmsg));
    run.push_all(whole(1000, std::slice::from_ref(&a)).drain(..2));
    // Lines are missing: whose line the next one is cannot be told from its place.
    run.push(log(1001, What::Gap { records: None })).push(logged(1001, &b));
    let told = run.wait(250).ready();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].victims, vec![]);
    assert_eq!(told[1].victims[0].pid, 11);
    assert_eq!(told[1].scope.cgroup, None, "the report was another's");
}

#[test]
fn a_panic_is_an_incident() {
    let big = task(10, 8000, 0);
    let panic = Report {
        kill: None,
        outcome: Outcome::Panic,
        stats_cgroup: None,
        ..report(&big, std::slice::from_ref(&big), &big)
    };
    let mut run = Run::new(Config::new(Level::Log));
    let incident = run.push_all([invoked(1000, &big), reported(1000, panic)]).one();
    assert_eq!(incident.decision.unwrap().rule, Rule::Panic);
    assert_eq!(incident.victims, vec![]);
}

/// A clock of seconds: what is a millisecond apart may be a second apart by it.
fn by_seconds() -> Run {
    Run::new(Config { log_resolution_ns: 1000 * MS, ..Config::new(Level::Log) })
}

#[test]
fn a_group_is_not_split_by_a_clock_of_seconds() {
    let tasks = [task(10, 8000, 0), task(11, 500, 0), task(12, 400, 0)];
    for (mut run, incidents) in [(by_seconds(), 1), (Run::new(Config::new(Level::Log)), 2)] {
        run.push_all(whole(1000, &tasks));
        run.push_all([group_kill(1000), logged(1000, &tasks[1]), logged(2000, &tasks[2])]);
        assert_eq!(run.ready().len() + run.assembler.finish().len(), incidents);
    }
}

#[test]
fn a_report_keeps_its_line_by_a_clock_of_seconds() {
    let (a, b) = (task(10, 8000, 0), task(11, 500, 0));
    // The line names a thread that the table does not have: only their nearness says that it is the report's.
    for (mut run, incidents) in [(by_seconds(), 1), (Run::new(Config::new(Level::Log)), 2)] {
        run.push_all(whole(1000, std::slice::from_ref(&a)).drain(..2)).push(logged(2000, &b));
        assert_eq!(run.ready().len() + run.assembler.finish().len(), incidents);
    }
}
