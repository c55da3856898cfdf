//! The store on real files, with real faults.
//!
//! # Layout
//! - `basics`: what is stored, kept and found. `damage`: files that are not whole. `faults`: disks that refuse.
//! - `queue`: what is still to be sent. `resume`: where a restarted agent goes on. `killed`: a process that is killed while it writes.

mod basics;
mod damage;
mod faults;
mod killed;
mod queue;
mod resume;

use super::*;
use crate::incident::id::{incident_id, unix_ms};
use crate::kernel::host::test_root::TestRoot;
use crate::sink::samples;

/// A second ago, so that nothing is too old.
fn start_ms() -> u64 {
    now_ms() - 1_000
}

/// The `number`th incident: a process of that id was killed, so many milliseconds after `start_ms`.
fn at(start_ms: u64, number: u32) -> Incident {
    let mut incident = samples::memcg();
    let ns = 1_000_000_000 + u64::from(number) * 1_000_000;
    incident.id = incident_id(start_ms + u64::from(number), "boot", ns, u64::from(number));
    incident.boottime_ns = Some(ns);
    let victim = &mut incident.victims[0];
    (victim.pid, victim.tid, victim.killed_boottime_ns) = (number + 1, number + 1, None);
    incident.decision = None;
    incident
}

/// With ids that do not depend on when the test runs.
fn number(number: u32) -> Incident {
    at(4_000_000_000_000, number)
}

fn open(dir: &TestRoot) -> Store {
    let (store, messages) = Store::open(dir.path(), Retention::default()).unwrap();
    assert_eq!(messages, [""; 0]);
    store
}

/// The numbers of all incidents, oldest first, as somebody else reads them.
fn stored(dir: &TestRoot) -> Vec<u32> {
    numbers(&Database::read(&path(dir.path())).unwrap())
}

fn numbers(database: &Database) -> Vec<u32> {
    let page = database.list(None, Most::incidents(usize::MAX), &mut |_| true).unwrap();
    assert_eq!(page.unreadable, 0);
    page.incidents.iter().rev().map(|incident| incident.victims[0].pid - 1).collect()
}

/// As if the pause were over.
fn wait(store: &mut Store) {
    if let Some((at, _)) = &mut store.again {
        *at = 0;
    }
}

/// Files that were set aside, without their logs.
fn aside(dir: &TestRoot) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut aside: Vec<_> = files
        .filter(|path| {
            path.to_string_lossy().contains(".damaged-") && !path.to_string_lossy().ends_with("-wal")
        })
        .collect();
    aside.sort();
    aside
}
