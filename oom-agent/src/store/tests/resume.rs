//! Where a restarted agent goes on.

use super::*;
use crate::incident::counted::Within;
use crate::incident::model::Level;

fn at(seq: u64) -> Resume {
    let counted = Counted { base: 3, told: Within { least: seq, most: seq + 1 } };
    Resume { boot_id: "boot".into(), seq, unix_ms: 1_000 + seq, counted: Some(counted).filter(|_| seq > 7) }
}

#[test]
fn it_is_written_with_the_incident_that_it_follows() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    assert_eq!(store.resume(), None);
    store.resume_at(at(7));
    assert_eq!(store.resume(), None, "not yet");
    assert_eq!(store.put(&number(1)), Outcome::Stored);
    assert_eq!(store.resume(), Some(at(7)));
    store.resume_at(at(9));
    store.remember();
    assert_eq!(open_again(store, &dir).resume(), Some(at(9)));
}

fn open_again(store: Store, dir: &TestRoot) -> Store {
    drop(store);
    open(dir)
}

#[test]
fn a_new_file_in_place_of_a_damaged_one_has_it_too() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.resume_at(at(7));
    store.put(&number(1));
    std::fs::remove_file(path(dir.path())).unwrap();
    store.resume_at(at(8));
    store.put(&number(2));
    assert_eq!(open_again(store, &dir).resume(), Some(at(8)));
}

/// What is in memory only is lost with the agent: the log must be read again then.
#[test]
fn it_does_not_overtake_what_is_held_in_memory() {
    let dir = TestRoot::new().file("file", "");
    let state = dir.path().join("file/state");
    let (mut store, _) = Store::open(&state, Retention::default()).unwrap();
    store.resume_at(at(7));
    assert_eq!(store.put(&number(1)), Outcome::Held);
    store.remember();
    std::fs::remove_file(dir.path().join("file")).unwrap();
    wait(&mut store);
    store.retry();
    assert_eq!((store.resume(), store.status().held), (None, 0));
    store.remember();
    assert_eq!(store.resume(), Some(at(7)));
}

/// The log told it again while the disk could not be asked.
#[test]
fn what_is_held_and_known_is_not_stored_twice() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put(&number(1));
    let mut again = number(1);
    (again.id, again.boottime_ns) = (number(9).id, again.boottime_ns.map(|ns| ns + 3_000_000));
    again.evidence.level = Level::Kmsg;
    store.hold(&[Record::of(&again), Record::of(&number(2))]);
    store.again = Some((0, 1));
    store.retry();
    assert_eq!(stored(&dir), [1, 2]);
}

/// A file of before there was such a table.
#[test]
fn an_older_file_is_gone_on_with() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put(&number(1));
    drop(store);
    rusqlite::Connection::open(path(dir.path()))
        .unwrap()
        .execute_batch("DROP TABLE resume; DROP TABLE unseen")
        .unwrap();
    let mut store = open(&dir);
    assert_eq!(store.resume(), None);
    store.resume_at(at(3));
    store.remember();
    assert_eq!((store.resume(), stored(&dir)), (Some(at(3)), vec![1]));
}

#[test]
fn what_no_scrape_has_seen_is_known_after_a_restart() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    let unseen = |store: &Store, since| {
        let mut numbers = Vec::new();
        store.unseen(since, &mut |incident| numbers.push(incident.victims[0].pid - 1));
        numbers
    };
    store.put_all(&[number(1), number(2)]);
    store.seen(true);
    store.put_all(&[number(2), number(3), number(4)]);
    let mut store = open_again(store, &dir);
    assert_eq!(unseen(&store, 0), [3, 4]);
    assert_eq!(unseen(&store, unix_ms(&number(4).id).unwrap()), [4], "the others are too old");
    // They are counted later; what happens meanwhile is not.
    store.wait();
    store.put(&number(5));
    store.seen(false);
    store.put(&number(6));
    let mut store = open_again(store, &dir);
    assert_eq!(unseen(&store, 0), [3, 4, 6]);
    store.wait();
    store.seen(true);
    assert_eq!(unseen(&store, 0), [0; 0]);
}
