//! What is stored, kept and found.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn what_was_put_is_there_and_once() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    assert_eq!(store.put(&number(1)), Outcome::Stored);
    assert_eq!(store.put(&number(1)), Outcome::Known);
    let mut renamed = number(1);
    renamed.id = number(7).id;
    assert_eq!(store.put(&renamed), Outcome::Known, "another id, the same boot, time and process");
    let both = store.put_all(&[number(2), number(1), number(3)]);
    assert_eq!(both, [Outcome::Stored, Outcome::Known, Outcome::Stored]);
    assert_eq!(stored(&dir), [1, 2, 3], "beside the writer");
    drop(store);
    let store = open(&dir);
    let json = store.get(&number(2).id).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Incident>(&json).unwrap(), number(2));
    assert_eq!(store.get(&number(2).id[20..]).unwrap(), None, "only whole ids");
    assert_eq!(store.status(), &Status::default());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path(dir.path())) & 0o037, 0, "others may not read it");
}

#[test]
fn incidents_without_a_victim_are_told_apart_by_their_ids() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    let nobody = |id: u32| Incident { id: number(id).id, ..samples::none_killable() };
    assert_eq!(store.put(&nobody(1)), Outcome::Stored);
    assert_eq!(store.put(&nobody(2)), Outcome::Stored);
    assert_eq!(store.put(&nobody(2)), Outcome::Known);
    for (_, mut incident) in samples::all() {
        incident.id = number(100 + incident.victims.len() as u32).id + "x";
        store.put(&incident);
    }
}

#[test]
fn lists_are_newest_first_and_go_on_where_they_ended() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put_all(&(0..10).map(number).collect::<Vec<_>>());
    let pids = |page: &Page| page.incidents.iter().map(|it| it.victims[0].pid - 1).collect::<Vec<_>>();
    let first = store.list(None, Most::incidents(4), &mut |_| true).unwrap();
    assert_eq!((pids(&first), first.next.is_some()), (vec![9, 8, 7, 6], true));
    store.put(&number(10));
    let next = store.list(Some(&first.incidents[3].id), Most::incidents(4), &mut |_| true).unwrap();
    assert_eq!((pids(&next), next.next.is_some()), (vec![5, 4, 3, 2], true), "what is new moves nothing");
    let even = store.list(None, Most::incidents(5), &mut |it| it.victims[0].pid % 2 == 0).unwrap();
    assert_eq!((pids(&even), even.next.is_some()), (vec![9, 7, 5, 3, 1], false));
    // It ends early where it would cost too much, and goes on from there.
    let some = Most { incidents: 5, rows: 3, bytes: usize::MAX };
    let nobody = store.list(None, some, &mut |_| false).unwrap();
    assert_eq!((pids(&nobody), nobody.next.as_ref()), (vec![], Some(&number(8).id)));
    let rest = store.list(nobody.next.as_deref(), some, &mut |_| true).unwrap();
    assert_eq!((pids(&rest), rest.next.as_ref()), (vec![7, 6, 5], Some(&number(5).id)));
    let end = store.list(Some(&number(3).id), some, &mut |_| true).unwrap();
    assert_eq!((pids(&end), end.next), (vec![2, 1, 0], None));
    let small = store.list(None, Most { bytes: 1, ..some }, &mut |_| true).unwrap();
    assert_eq!((pids(&small), small.next.as_ref()), (vec![10], Some(&number(10).id)));
    let brief = &even.incidents[0];
    assert!(brief.candidates.is_empty() && brief.kernel_log.is_none() && !brief.victims.is_empty());
    let database = Database::read(&path(dir.path())).unwrap();
    let id = number(3).id;
    assert!(matches!(database.find(&id[18..]).unwrap(), Lookup::One(json) if json.contains(&id)));
    assert_eq!(database.find("0000").unwrap(), Lookup::None);
    assert_eq!(database.latest().unwrap().unwrap().0, number(10).id);
    let same_end = |at| Incident { id: number(at).id[..22].to_owned() + "SAME", ..number(at) };
    store.put_all(&[same_end(20), same_end(21)]);
    assert_eq!(database.find("SAME").unwrap(), Lookup::Several);
    assert!(matches!(database.find(&same_end(20).id).unwrap(), Lookup::One(_)));
}

#[test]
fn what_the_log_tells_again_is_known() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put_all(&[number(1), number(2), Incident { id: number(9).id, ..samples::none_killable() }]);
    let mut again = number(2);
    again.id = "another".into();
    again.boottime_ns = again.boottime_ns.map(|ns| ns + 17_000_000);
    assert!(store.is_known(&again, 0).unwrap());
    again.boottime_ns = again.boottime_ns.map(|ns| ns + 30_000_000_000);
    assert!(!store.is_known(&again, 0).unwrap());
    assert!(store.is_known(&again, 60_000_000_000).unwrap(), "it was suspended");
    assert!(!store.is_known(&number(3), 0).unwrap());
    let mut nobody = samples::none_killable();
    nobody.boottime_ns = nobody.boottime_ns.map(|ns| ns - 6_000_000);
    assert!(store.is_known(&nobody, 0).unwrap());
    nobody.boot_id = Some("another".into());
    assert!(!store.is_known(&nobody, 0).unwrap());
}

#[test]
fn what_is_too_old_goes() {
    let dir = TestRoot::new();
    let day = Retention { max_age: Duration::from_hours(24), ..Retention::default() };
    let (mut store, _) = Store::open(dir.path(), day).unwrap();
    let yesterday = now_ms() - 25 * 3_600_000;
    for old in 0..3 {
        assert_eq!(store.put(&at(yesterday, old)), Outcome::Stored, "the newest stays");
    }
    store.put(&at(start_ms(), 5));
    assert_eq!(stored(&dir), [5]);
    assert_eq!(store.status().expired, 3);
}

#[test]
fn what_is_too_much_goes_oldest_first() {
    let dir = TestRoot::new();
    let small = Retention { max_bytes: 3 << 20, ..Retention::default() };
    let (mut store, _) = Store::open(dir.path(), small).unwrap();
    let start = start_ms();
    let incident = |at_ms| Incident { kernel_log: Some("x".repeat(20_000)), ..at(start, at_ms) };
    for number in 0..300 {
        assert_eq!(store.put(&incident(number)), Outcome::Stored);
    }
    let kept = stored(&dir);
    assert_eq!(kept, (300 - kept.len() as u32..300).collect::<Vec<_>>());
    assert!((70..150).contains(&kept.len()), "{}", kept.len());
    assert_eq!(store.status().expired + kept.len() as u64, 300);
    let bytes = |suffix| fs::metadata(file::beside(&path(dir.path()), suffix)).map_or(0, |it| it.len());
    assert!(bytes("") + bytes("-wal") < (3 << 20) + (1 << 19), "{} {}", bytes(""), bytes("-wal"));
    drop(store);
    let less = Retention { max_bytes: 2 << 20, ..Retention::default() };
    let (store, _) = Store::open(dir.path(), less).unwrap();
    assert!(store.bytes().unwrap() <= 1 << 20);
    drop(store);
    assert!(bytes("") <= (1 << 20) + (1 << 18), "the file shrinks too: {}", bytes(""));
    let (mut store, _) = Store::open(dir.path(), Retention { max_bytes: 0, ..less }).unwrap();
    store.put(&incident(1000));
    assert_eq!(stored(&dir), [1000], "the newest one is never dropped");
}

#[test]
fn a_store_has_one_writer() {
    let dir = TestRoot::new();
    let store = open(&dir);
    assert!(matches!(Store::open(dir.path(), Retention::default()), Err(Error::InUse(_))));
    drop(store);
    open(&dir);
}

#[test]
fn what_is_not_known_is_not_touched() {
    let dir = TestRoot::new();
    drop(open(&dir));
    let raw = || rusqlite::Connection::open(path(dir.path())).unwrap();
    raw().pragma_update(None, "user_version", 2).unwrap();
    let error = Store::open(dir.path(), Retention::default()).unwrap_err();
    assert!(matches!(error, Error::Newer(2)) && error.to_string().contains("later version"), "{error}");
    assert!(matches!(Database::read(&path(dir.path())), Err(Error::Newer(2))));
    raw().pragma_update(None, "application_id", 7).unwrap();
    assert!(matches!(Store::open(dir.path(), Retention::default()), Err(Error::Foreign(_))));
    assert!(aside(&dir).is_empty());
}

#[test]
fn without_a_store_there_is_nothing_to_read() {
    let dir = TestRoot::new();
    assert!(matches!(Database::read(&path(dir.path())), Err(Error::Missing(_))));
    fs::write(path(dir.path()), "").unwrap();
    assert!(matches!(Database::read(&path(dir.path())), Err(Error::Missing(_))), "it is just begun");
}

#[test]
fn who_may_read_the_file_needs_no_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // Named so that an URI must be escaped.
    let dir = TestRoot::new().file("a dir?%/x", "");
    let state = dir.path().join("a dir?%");
    mode(dir.path(), 0o755);
    let (mut store, _) = Store::open(&state, Retention::default()).unwrap();
    store.put(&number(1));
    mode(&state, 0o755);
    // Only of this thread.
    let as_nobody = || {
        let state = state.clone();
        let read = move || {
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_gid(rustix::fs::Gid::from_raw(65_534)).unwrap();
            rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(65_534)).unwrap();
            Database::read(&path(&state)).map(|database| numbers(&database))
        };
        std::thread::spawn(read).join().unwrap()
    };
    let error = as_nobody().unwrap_err();
    assert!(error.is_denied(), "{error}");
    for suffix in ["", "-wal", "-shm"] {
        mode(&file::beside(&path(&state), suffix), 0o644);
    }
    assert_eq!(as_nobody().unwrap(), [1], "beside the agent");
    store.put(&number(2));
    assert_eq!(as_nobody().unwrap(), [1, 2]);
    drop(store);
    assert!(!file::beside(&path(&state), "-wal").exists());
    assert_eq!(as_nobody().unwrap(), [1, 2], "the agent has ended");
}

#[test]
fn a_reader_that_waits_does_not_stop_the_writer() {
    let dir = TestRoot::new();
    let mut store = open(&dir);
    store.put_all(&(0..5).map(number).collect::<Vec<_>>());
    let reader = Database::read(&path(dir.path())).unwrap();
    let (first, _) = reader.after("").unwrap().unwrap();
    for next in 5..50 {
        assert_eq!(store.put(&number(next)), Outcome::Stored);
    }
    let (mut last, mut count) = (first, 1);
    while let Some((id, _)) = reader.after(&last).unwrap() {
        (last, count) = (id, count + 1);
    }
    assert_eq!(count, 50, "each step sees what is there then");
    assert_eq!(unix_ms(&last), unix_ms(&number(49).id));
}
