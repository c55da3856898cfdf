//! Disks that refuse.

use super::*;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::fs;

/// Runs `test` with a small file system at a path that only its thread sees. Needs root.
fn with_disk(size: &str, test: impl FnOnce(&TestRoot) + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let size = std::ffi::CString::new(format!("size={size}")).unwrap();
    let run = move || {
        // SAFETY: of this thread only, which shares no descriptors with it and ends after the test.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let dir = TestRoot::new();
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), size.as_c_str()).unwrap();
        test(&dir);
        unmount(dir.path(), UnmountFlags::DETACH).unwrap();
    };
    std::thread::spawn(run).join().unwrap();
}

fn big(at: u32) -> Incident {
    Incident { kernel_log: Some("x".repeat(10_000)), ..number(at) }
}

#[test]
fn a_full_disk_is_waited_for_in_memory() {
    with_disk("600k", |dir| {
        let mut store = open(dir);
        let mut next = 0;
        while store.put(&big(next)) == Outcome::Stored {
            next += 1;
        }
        assert!((5..60).contains(&next), "{next}");
        assert_eq!(store.put(&big(next + 1)), Outcome::Held);
        let messages = store.messages();
        assert!(messages.len() == 1 && messages[0].contains("CANNOT BE STORED"), "{messages:?}");
        assert!(messages[0].contains("full"), "{messages:?}");
        assert_eq!(store.status().held, 2);
        assert!(store.retry_after().is_some_and(|pause| pause <= Duration::from_secs(1)));
        // What is on the disk and what is in memory is one list.
        let page = store.list(None, Most::incidents(3), &mut |_| true).unwrap();
        let pids: Vec<_> = page.incidents.iter().map(|it| it.victims[0].pid - 1).collect();
        assert_eq!((pids, page.next.is_some()), (vec![next + 1, next, next - 1], true));
        assert!(store.get(&number(next).id).unwrap().is_some());
        assert!(store.is_known(&number(next), 0).unwrap());
        wait(&mut store);
        assert_eq!(store.put(&big(next + 2)), Outcome::Held, "still full");
        assert_eq!(store.messages(), [""; 0], "and said already");

        mount_remount(dir.path(), MountFlags::empty(), "size=20m").unwrap();
        wait(&mut store);
        store.retry();
        assert_eq!(stored(dir), (0..next + 3).collect::<Vec<_>>());
        assert!(store.messages()[0].contains("3 incidents from memory"));
        assert_eq!(store.status(), &Status::default());
        assert_eq!(store.put(&big(next + 2)), Outcome::Known);
        assert_eq!(store.put(&big(next + 3)), Outcome::Stored);
    });
}

#[test]
fn a_disk_becomes_read_only_and_writable_again() {
    with_disk("20m", |dir| {
        let mut store = open(dir);
        store.put(&number(1));
        drop(store);
        mount_remount(dir.path(), MountFlags::RDONLY, "").unwrap();
        let (mut store, messages) = Store::open(dir.path(), Retention::default()).unwrap();
        assert!(messages.len() == 1 && messages[0].contains("CANNOT BE STORED"), "{messages:?}");
        assert_eq!(stored(dir), [1], "it can be read");
        for next in 2..10 {
            assert_eq!(store.put(&number(next)), Outcome::Held);
        }
        mount_remount(dir.path(), MountFlags::empty(), "").unwrap();
        assert_eq!(store.put(&number(10)), Outcome::Held, "not before the pause is over");
        wait(&mut store);
        assert_eq!(store.put(&number(11)), Outcome::Stored);
        assert_eq!(stored(dir), (1..12).collect::<Vec<_>>());
        assert_eq!(store.status().problem, None);
    });
}

#[test]
fn where_there_can_be_no_directory_memory_is_used_and_bounded() {
    let dir = TestRoot::new().file("file", "");
    let state = dir.path().join("file/state");
    let (mut store, messages) = Store::open(&state, Retention::default()).unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(store.again.unwrap().1, PAUSE_NS.0);
    let big = |at| Incident { kernel_log: Some("x".repeat(100_000)), ..number(at) };
    for next in 0..60 {
        assert_eq!(store.put(&big(next)), Outcome::Held);
    }
    let Status { held, lost, .. } = *store.status();
    assert!(held + lost == 60 && (20..40).contains(&held), "{held} {lost}");
    assert!(store.messages().iter().any(|it| it.contains("LOST")));
    for _ in 0..10 {
        wait(&mut store);
        store.retry();
    }
    assert_eq!(store.again.unwrap().1, PAUSE_NS.1);
    fs::remove_file(dir.path().join("file")).unwrap();
    wait(&mut store);
    store.retry();
    let kept = numbers(&Database::read(&path(&state)).unwrap());
    assert_eq!(kept, (60 - held as u32..60).collect::<Vec<_>>(), "the last ones");
}
