//! A disk that is full, read-only or damaged under a daemon that real kills happen to. Needs root, for file systems of its
//! own.

use super::restart::{ARGS, stored};
use super::support::{self, Cgroup, Daemon, wait_until};
use rustix::fs::statvfs;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::{
    ffi::CString,
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

const WRITABLE: &str = "oom_agent_store_writable";
const HELD: &str = "oom_agent_store_held_incidents";

/// Kills while the disk is full.
const MORE: usize = 5;

/// A small file system in which an agent has been before, so that what the kernel's log tells of others is in it already.
/// Only this thread and what it starts see it.
fn with_disk(name: &str, test: impl FnOnce(PathBuf) + Send + 'static) {
    if !geteuid().is_root() {
        eprintln!("not tested: not root");
        return;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{name}-{}", std::process::id()));
    let run = move || {
        // SAFETY: of this thread only, which shares no descriptors with it and ends after the test.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("a namespace");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("it is ours");
        fs::create_dir_all(&dir).expect("a directory");
        mount("tmpfs", &dir, "tmpfs", MountFlags::empty(), c"size=64m").expect("a file system");
        if let Some(daemon) = Daemon::start_in(dir.clone(), ARGS) {
            end(daemon);
            test(dir.clone());
        }
        unmount(&dir, UnmountFlags::DETACH).expect("it is there");
        let _ = fs::remove_dir(&dir);
    };
    std::thread::spawn(run).join().expect("the test");
}

fn end(mut daemon: Daemon) -> String {
    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0));
    let said = daemon.said();
    std::mem::take(&mut daemon.state);
    said
}

#[test]
fn a_full_disk_is_waited_for() {
    with_disk("full", |dir| {
        let Some(cgroup) = Cgroup::make("full") else { return };
        let disk = statvfs(&dir).expect("a file system");
        let used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize;
        let size = |bytes: u64| CString::new(format!("size={bytes}")).expect("digits");
        mount_remount(&dir, MountFlags::empty(), size(used + (300 << 10)).as_c_str()).expect("smaller");
        let daemon = Daemon::start_in(dir.clone(), ARGS).expect("as before");
        let mut kills = 0;
        while daemon.value(WRITABLE) == Some(1.0) {
            assert!(kills < 200, "it is never full");
            cgroup.fill();
            kills += 1;
        }
        let before = daemon.value(HELD).expect("it is counted");
        for _ in 0..MORE {
            cgroup.fill();
        }
        kills += MORE;
        wait_until("all are held", || daemon.value(HELD) >= Some(before + MORE as f64));
        let list = daemon.get(&format!("/api/v1/incidents?limit={MORE}&cgroup={}", cgroup.path()));
        let listed = list.matches("\"scope\":{\"kind\":\"memcg\"").count();
        assert_eq!(listed, MORE, "those in memory are served too: {list}");
        assert!(daemon.get("/readyz").starts_with("HTTP/1.1 200 "), "it sees kills as before");
        mount_remount(&dir, MountFlags::empty(), c"size=64m").expect("larger");
        wait_until("it is written by itself", || daemon.value(WRITABLE) == Some(1.0));
        wait_until("nothing is held in memory", || daemon.value(HELD) == Some(0.0));
        assert_eq!(daemon.value("oom_agent_store_lost_incidents_total"), Some(0.0));
        assert_eq!(stored(&dir, &cgroup), kills);
        let said = end(daemon);
        assert!(said.contains("full"), "{said}");
        assert_eq!(said.matches("INCIDENTS CANNOT BE STORED").count(), 1, "not for each incident: {said}");
        assert!(said.contains("the store can be used again"), "{said}");
    });
}

#[test]
fn a_read_only_disk_is_waited_for_and_nothing_is_told_twice() {
    with_disk("read-only", |dir| {
        let Some(cgroup) = Cgroup::make("read-only") else { return };
        let daemon = Daemon::start_in(dir.clone(), ARGS).expect("as before");
        cgroup.fill();
        wait_until("it is stored", || stored(&dir, &cgroup) == 1);
        drop(daemon.kill());
        let reported = cgroup.fill_and_report();
        std::thread::sleep(std::time::Duration::from_millis(100));
        mount_remount(&dir, MountFlags::RDONLY, c"").expect("read-only");
        let daemon = Daemon::start_in(dir.clone(), ARGS).expect("as before");
        // Others on this machine may be killed, too.
        let meanwhile = daemon.value(HELD);
        assert_eq!((daemon.value(WRITABLE), meanwhile >= Some(1.0)), (Some(0.0), true), "{meanwhile:?}");
        cgroup.fill();
        wait_until("it is held", || daemon.value(HELD) > meanwhile);
        mount_remount(&dir, MountFlags::empty(), c"").expect("writable");
        wait_until("it is written by itself", || daemon.value(WRITABLE) == Some(1.0));
        let export = support::incidents(&dir, "export");
        assert_eq!(stored(&dir, &cgroup), 2 + reported, "{export}");
        end(daemon);
    });
}

#[test]
fn a_damaged_file_is_set_aside() {
    with_disk("damaged", |dir| {
        let (Some(cgroup), Some(after)) = (Cgroup::make("damaged"), Cgroup::make("after")) else { return };
        let daemon = Daemon::start_in(dir.clone(), ARGS).expect("as before");
        cgroup.fill();
        wait_until("it is stored", || stored(&dir, &cgroup) == 1);
        end(daemon);
        let file = fs::File::options().write(true).open(dir.join("incidents.db")).expect("the store");
        file.write_all_at(&[0x5a; 4096], 4096).expect("written to");
        let daemon = Daemon::start_in(dir.clone(), ARGS).expect("as before");
        assert_eq!(daemon.value("oom_agent_store_set_aside_total"), Some(1.0));
        assert_eq!(daemon.value(WRITABLE), Some(1.0));
        after.fill();
        wait_until("it is stored", || stored(&dir, &after) == 1);
        // As far as the kernel's log still tells of it.
        assert!(stored(&dir, &cgroup) <= 1);
        let aside = fs::read_dir(&dir).expect("the directory").flatten();
        assert!(aside.map(|it| it.file_name()).any(|it| it.to_string_lossy().contains(".damaged-")));
        let said = end(daemon);
        assert!(said.contains("THE STORE IS DAMAGED"), "{said}");
    });
}
