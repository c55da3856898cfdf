//! Files that are not whole.

use super::*;
use std::fs;

/// A store of 200 incidents, closed.
fn filled() -> (TestRoot, Vec<u8>) {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put_all(&(0..200).map(number).collect::<Vec<_>>());
    drop(store);
    let bytes = fs::read(path(dir.path())).unwrap();
    assert!(bytes.len() > 100 * 4096);
    (dir, bytes)
}

/// Opens what is damaged, puts one, and gives what was said.
fn goes_on(dir: &TestRoot) -> Vec<String> {
    let (mut store, mut messages) = Store::open(dir.path(), Retention::default()).unwrap();
    assert_eq!(store.put(&number(1000)), Outcome::Stored);
    messages.extend(store.messages());
    assert!(store.list(None, Most::incidents(10_000), &mut |_| true).is_ok());
    messages
}

#[test]
fn a_damaged_file_is_set_aside_and_not_changed() {
    let (dir, whole) = filled();
    let cases: [(&str, Vec<u8>); 4] = [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("cut within a page", whole[..5000].to_vec()),
        ("no header", [&[0xa5; 100], &whole[100..]].concat()),
        ("not a database", b"incidents\n".repeat(1000)),
    ];
    for (index, (name, bytes)) in cases.iter().enumerate() {
        fs::write(path(dir.path()), bytes).unwrap();
        let messages = goes_on(&dir);
        assert!(messages.len() == 1 && messages[0].contains("DAMAGED"), "{name}: {messages:?}");
        let aside = aside(&dir);
        assert_eq!(aside.len(), index + 1, "{name}");
        assert_eq!(&fs::read(aside.last().unwrap()).unwrap(), bytes, "{name}");
        assert_eq!(stored(&dir), [1000], "{name}");
    }
    for _ in 0..10 {
        fs::write(path(dir.path()), "damaged again").unwrap();
        let _ = Store::open(dir.path(), Retention::default()).unwrap();
    }
    assert_eq!(aside(&dir).len(), 8, "a disk is not filled with them");
    let (mut store, messages) = Store::open(dir.path(), Retention::default()).unwrap();
    assert!(messages[0].contains("8 damaged files are set aside"), "{messages:?}");
    assert_eq!(store.put(&number(1)), Outcome::Held);
}

#[test]
fn random_damage_stops_nothing() {
    let (dir, whole) = filled();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below
    };
    let mut set_aside = 0;
    for _ in 0..60 {
        let mut bytes = whole.clone();
        let from = next(bytes.len());
        let to = (from + 1 + next(3 * 4096)).min(bytes.len());
        for byte in &mut bytes[from..to] {
            *byte = next(256) as u8;
        }
        fs::write(path(dir.path()), &bytes).unwrap();
        goes_on(&dir);
        for file in aside(&dir) {
            assert_eq!(fs::read(&file).unwrap(), bytes);
            fs::remove_file(file).unwrap();
            set_aside += 1;
        }
    }
    assert!(set_aside > 20, "{set_aside}");
}

#[test]
fn damage_under_a_running_agent_is_found() {
    let (dir, whole) = filled();
    let mut store = open(&dir);
    // The file's pages, not those that SQLite has in memory.
    let mut bytes = whole;
    bytes[4096..].fill(0xa5);
    fs::write(path(dir.path()), bytes).unwrap();
    store.disk.as_ref().unwrap().database.forget_pages();
    let outcomes: Vec<_> = (300..320).map(|it| store.put(&number(it))).collect();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Stored), "{outcomes:?}");
    assert_eq!(store.status().set_aside, 1);
    assert_eq!(aside(&dir).len(), 1);
    drop(store);
    assert_eq!(stored(&dir).last(), Some(&319));
}

#[test]
fn a_log_without_its_file_is_kept() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put(&number(1));
    let wal = file::beside(&path(dir.path()), "-wal");
    let log = fs::read(&wal).unwrap();
    drop(store);
    fs::write(path(dir.path()), "").unwrap();
    fs::write(&wal, &log).unwrap();
    assert!(goes_on(&dir)[0].contains("write-ahead log"));
    assert_eq!(fs::read(file::beside(&aside(&dir)[0], "-wal")).unwrap(), log);
    assert_eq!(stored(&dir), [1000]);
}

#[test]
fn a_torn_log_loses_only_what_was_not_whole() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put(&number(1));
    let wal = file::beside(&path(dir.path()), "-wal");
    let whole = fs::metadata(&wal).unwrap().len();
    store.put(&number(2));
    let copy = TestRoot::new();
    for (name, end) in [("", ""), ("-wal", "-wal")] {
        let from = file::beside(&path(dir.path()), name);
        fs::copy(from, file::beside(&path(copy.path()), end)).unwrap();
    }
    let log = fs::OpenOptions::new().write(true).open(file::beside(&path(copy.path()), "-wal")).unwrap();
    log.set_len(whole + 1000).unwrap();
    drop(open(&copy));
    assert_eq!(stored(&copy), [1]);
}

#[test]
fn a_file_that_is_taken_away_is_begun_anew() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put(&number(1));
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(file::beside(&path(dir.path()), suffix)).unwrap();
    }
    assert_eq!(store.put(&number(2)), Outcome::Stored);
    assert_eq!(stored(&dir), [2]);
    assert!(store.messages()[0].contains("was taken away"));
}
