//! Reclaim before a kill.

use super::facts::*;
use crate::incident::escalation::{Compacted, Escalation};
use crate::incident::fact::{Call, Escalation as Seen, Fact, Reclaim};

/// The escalation of a kill with this call, and with this seen of reclaim.
fn escalation_of(call: Call, seen: Option<Seen>) -> Option<Escalation> {
    let mut run = Run::full();
    run.push(fact(call));
    if let Some(seen) = seen {
        run.push(Fact::Escalation(Box::new(seen)));
    }
    run.push(end(1, 0));
    run.wait(10_000);
    let incidents = run.ready();
    assert_eq!(incidents.len(), 1);
    incidents.into_iter().next().unwrap().escalation
}

fn seen() -> Seen {
    let Fact::Escalation(seen) = escalation(1) else { panic!() };
    *seen
}

#[test]
fn pages_that_were_looked_at_are_told_where_the_kernel_tells_of_any() {
    let with = |scans_told, rounds, scanned_pages| {
        let reclaim = Reclaim { rounds, scanned_pages, ..Reclaim::default() };
        let call = Call { reclaim: Some(reclaim), ..call(1, task(20, 100, 0)) };
        escalation_of(call, Some(Seen { scans_told, ..seen() })).unwrap().scanned_pages
    };
    assert_eq!(with(true, 3, 0), Some(0), "nothing was on the lists");
    assert_eq!(with(false, 3, 0), None, "or this kernel does not tell");
    assert_eq!(with(false, 3, 7), Some(7));
    assert_eq!(with(false, 0, 0), Some(0));
}

#[test]
fn compaction_is_told_where_it_can_happen() {
    let with = |order, compaction_seen, compact_retries| {
        let reclaim = Reclaim { compact_retries, ..Reclaim::default() };
        let call = Call { reclaim: Some(reclaim), ..machine(1, task(20, 100, 0), order) };
        escalation_of(call, Some(Seen { compaction_seen, ..seen() })).unwrap().compact_retries
    };
    assert_eq!(with(0, true, 0), None);
    assert_eq!(with(3, true, 0), Some(0));
    assert_eq!(with(3, true, 2), Some(2));
    assert_eq!(with(3, false, 0), None, "not hooked");
}

#[test]
fn compaction_of_the_task_is_told_where_a_block_was_asked_for() {
    let with = |order, runs: Option<u64>| {
        let compaction = runs.map(|runs| Compacted { runs, ns: 10 * runs, succeeded: Some(0) });
        let call = machine(1, task(20, 100, 0), order);
        escalation_of(call, Some(Seen { compaction, ..seen() })).unwrap().compaction.map(|it| it.runs)
    };
    assert_eq!((with(0, Some(0)), with(0, Some(2))), (None, Some(2)));
    assert_eq!((with(3, Some(0)), with(3, Some(2)), with(3, None)), (Some(0), Some(2), None));
}

#[test]
fn what_was_not_seen_is_absent() {
    let none = Call { reclaim: None, ..call(1, task(20, 100, 0)) };
    assert_eq!(escalation_of(none.clone(), None), None);
    assert_eq!(escalation_of(none.clone(), Some(Seen { call: 1, ..Seen::default() })), None, "empty");
    let windows = escalation_of(none, Some(seen())).unwrap();
    assert_eq!((windows.reclaim_rounds, windows.reclaimed_pages), (None, None), "the thread is not known");
    assert_eq!(windows.last_10s.unwrap().memcg.unwrap().rounds, 1);
    let own = escalation_of(call(1, task(20, 100, 0)), None).unwrap();
    assert_eq!((own.reclaim_rounds, own.last_10s, own.last_60s), (Some(16), None, None), "a record was lost");
}
