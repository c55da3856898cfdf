//! What is still to be sent.

use super::*;

fn open_queue(dir: &TestRoot, most: u64) -> Store {
    let (store, messages) = Store::open_with(dir.path(), Retention::default(), Some(most)).unwrap();
    assert_eq!(messages, [""; 0]);
    store
}

fn ids(store: &Store) -> Vec<String> {
    store.unsent(100, usize::MAX).unwrap().into_iter().map(|stored| stored.id).collect()
}

fn ids_of(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|at| number(at).id).collect()
}

#[test]
fn what_is_stored_waits_until_it_was_sent_over_restarts() {
    let dir = TestRoot::new();
    let mut store = open_queue(&dir, 100);
    for at in 0..5 {
        store.put(&number(at));
    }
    assert_eq!(store.put(&number(3)), Outcome::Known);
    assert_eq!(ids(&store), ids_of(0..5));
    let first = store.unsent(2, usize::MAX).unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(serde_json::from_str::<Incident>(&first[0].json).unwrap(), number(0));
    assert_eq!(store.unsent(100, 1).unwrap().len(), 1, "one always fits");
    store.sent(ids_of(0..2));
    store.sent(vec!["nobody".into()]);
    let waits = store.waits().unwrap();
    assert_eq!((waits.incidents, waits.oldest_unix_ms), (3, unix_ms(&number(2).id)));
    drop(store);
    assert_eq!(ids(&open_queue(&dir, 100)), ids_of(2..5));
    // Nothing new waits while nobody is to be told; what waited goes on to.
    let mut store = open(&dir);
    store.put(&number(9));
    assert_eq!(store.waits(), None);
    drop(store);
    let mut store = open_queue(&dir, 100);
    assert_eq!(ids(&store), ids_of(2..5));
    store.sent(ids_of(2..5));
    let waits = store.waits().unwrap();
    assert_eq!((waits.incidents, waits.oldest_unix_ms), (0, None));
    assert_eq!(store.count().unwrap(), 6, "the store keeps them all");
}

#[test]
fn a_queue_that_is_full_drops_the_oldest_and_counts_them() {
    let dir = TestRoot::new();
    let mut store = open_queue(&dir, 3);
    for at in 0..5 {
        store.put(&number(at));
    }
    assert_eq!(ids(&store), ids_of(2..5));
    let waits = store.waits().unwrap();
    assert_eq!((waits.full, waits.expired, store.count().unwrap()), (2, 0, 5));
    drop(store);
    let store = open_queue(&dir, 1);
    assert_eq!((ids(&store), store.waits().unwrap().full), (ids_of(4..5), 2), "also one that is smaller now");
}

#[test]
fn what_the_store_drops_unsent_is_counted() {
    let dir = TestRoot::new();
    let mut store = open_queue(&dir, 1000);
    let now = start_ms();
    for number in 0..4 {
        store.put(&at(now - 10_000, number));
    }
    store.sent(vec![at(now - 10_000, 0).id]);
    store.retain(Retention { max_age: Duration::from_secs(5), ..Retention::default() });
    let waits = store.waits().unwrap();
    assert_eq!((waits.incidents, waits.expired, waits.full), (0, 3, 0));
    // Row numbers begin again; what comes then waits all the same.
    assert_eq!(store.count().unwrap(), 0);
    store.put(&at(now, 9));
    assert_eq!(ids(&store), [at(now, 9).id]);
    drop(store);

    // At the start too.
    let retention = Retention { max_age: Duration::from_millis(1), ..Retention::default() };
    std::thread::sleep(Duration::from_millis(20));
    let (store, _) = Store::open_with(dir.path(), retention, Some(1000)).unwrap();
    assert_eq!(store.waits().unwrap().expired, 1);
}

#[test]
fn what_is_held_in_memory_is_sent_and_not_again_from_the_disk() {
    let dir = TestRoot::new();
    let mut store = open_queue(&dir, 100);
    store.put(&number(0));
    // The disk refuses.
    let file = path(dir.path());
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!((store.put(&number(1)), store.put(&number(2))), (Outcome::Held, Outcome::Held));
    assert_eq!(ids(&store), ids_of(1..3), "what is on the disk could not be noted");
    assert_eq!(store.waits().unwrap().incidents, 3);
    store.sent(ids_of(1..2));
    assert_eq!(ids(&store), ids_of(2..3));
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    wait(&mut store);
    store.retry();
    assert_eq!(store.status().problem, None);
    assert_eq!((ids(&store), store.count().unwrap()), ([number(0).id, number(2).id].into(), 3));
}

#[test]
fn what_was_sent_is_noted_when_the_disk_can_be_used_again() {
    let dir = TestRoot::new();
    let mut store = open_queue(&dir, 100);
    for at in 0..3 {
        store.put(&number(at));
    }
    let other = rusqlite::Connection::open(path(dir.path())).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    store.sent(ids_of(0..2));
    assert!(store.status().problem.is_some());
    assert_eq!(ids(&store), [""; 0], "nothing is sent twice");
    assert_eq!(store.waits().unwrap().incidents, 1);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    wait(&mut store);
    store.retry();
    assert_eq!(ids(&store), ids_of(2..3));
}
