//! Memory is bounded, and what does not fit is counted.

use super::facts::*;
use crate::incident::assembler::{MAX_CALLS, journal, recent, scans, storm};
use crate::incident::fact::{End, Fact};

#[test]
fn too_many_calls_at_once_are_told_early() {
    let mut run = Run::full();
    let mut told = 0;
    for number in 1..=3000 {
        // Nobody exits.
        let big = task(number, 1, 0);
        run.now_ns -= MS;
        run.push(killed(u64::from(number), big));
        assert!(run.assembler.calls.len() <= MAX_CALLS);
        told += run.ready().len();
    }
    told += run.assembler.finish().len();
    assert_eq!(told, 3000);
    assert_eq!(run.assembler.totals().victims, 3000);
}

#[test]
fn more_candidates_than_fit_are_counted_as_lost() {
    let mut run = Run::full();
    let evaluated = scans::MAX_CANDIDATES as u64 + 10;
    run.push(fact(call(1, task(1, 1, 0))));
    for pid in 1..=evaluated {
        run.push(candidate(1, task(pid as u32, 1, 0)));
    }
    let end = End { none_killable: true, ..end_fact(1, evaluated) };
    run.push(Fact::End(end));
    let incident = run.wait(250).one();
    assert_eq!(incident.candidates_lost, Some(10));
    assert_eq!(incident.candidates.len(), scans::MAX_CANDIDATES);
    assert_eq!(run.assembler.scans.kept(), 0);
}

#[test]
fn candidates_of_forgotten_calls_make_room() {
    let mut run = Run::full();
    for number in 1..=200_000 {
        run.push(candidate(number, task(1, 1, 0)));
        assert!(run.assembler.scans.kept() <= scans::MAX_CANDIDATES);
    }
    assert_eq!(run.assembler.totals().lost_records, 0, "nobody will ask for them");
}

#[test]
fn exits_that_belong_to_nobody_are_dropped() {
    let mut run = Run::full();
    for pid in 1..=5000 {
        run.push(exit(1, &task(pid, 1, 0)));
        assert!(run.assembler.exits.len() <= recent::MAX_EXITS);
    }
}

#[test]
fn exits_of_what_else_the_kernel_kills_are_not_lost_records() {
    let lost = |mut run: Run| {
        for pid in 1..=2 * recent::MAX_EXITS as u32 {
            run.push(exit(1, &task(pid, 1, 0)));
        }
        run.assembler.totals().lost_records
    };
    assert_eq!(lost(Run::tracepoint()), 0);
    assert!(lost(Run::full()) > 0);
}

#[test]
fn a_log_that_floods_is_told_early() {
    let mut run = Run::tracepoint();
    for pid in 1..=2000 {
        run.now_ns -= MS;
        run.push(logged(u64::from(pid) * 1000, &task(pid, 1, 0)));
        assert!(run.assembler.journal.entries.len() <= journal::MAX_ENTRIES);
    }
    let told = run.ready().len() + run.assembler.finish().len();
    let lost = run.assembler.totals().lost_records as usize;
    assert_eq!(told + lost, 2000, "nobody fetched them: what did not fit is counted");
}

#[test]
fn storms_of_many_tasks_are_bounded() {
    let mut run = Run::full();
    for number in 1..=1000_u32 {
        let end = End { none_killable: true, ..end_fact(number.into(), 0) };
        run.push_all([fact(call(number.into(), task(number, 1, -1000))), Fact::End(end)]).one();
        assert!(run.assembler.storms.len() <= storm::MAX_STORMS);
    }
}
