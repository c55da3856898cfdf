//! A /proc and a cgroupfs in files.

use super::*;
use crate::{
    kernel::host::test_root::TestRoot,
    rank::{facts::Bound, ranking::rank},
};
use std::{fs, os::unix::fs::symlink};

const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
const V1: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";

pub(super) fn machine(mounts: &str) -> TestRoot {
    TestRoot::new()
        .file(
            "proc/meminfo",
            "MemTotal:  16000000 kB\nMemAvailable: 8000000 kB\nSwapTotal: 1000 kB\nSwapFree: 500 kB\n",
        )
        .file("proc/self/mounts", mounts)
        .file("proc/sys/vm/swappiness", "60\n")
        .file("proc/sys/vm/panic_on_oom", "0\n")
        .file("proc/sys/vm/oom_kill_allocating_task", "0\n")
        .file("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
}

fn stat(pid: u32, comm: &str, flags: u32, threads: u32, start: u32) -> String {
    format!("{pid} ({comm}) S 1 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 {start} 0 0\n")
}

pub(super) fn status(kib: u64) -> String {
    format!(
        "Name:\tx\nUid:\t1000\t0\t0\t0\nVmSize:\t{kib} kB\nRssAnon:\t{kib} kB\nRssFile:\t0 kB\nRssShmem:\t0 kB\nVmPTE:\t8 kB\nVmSwap:\t0 kB\n"
    )
}

pub(super) fn with(root: TestRoot, pid: u32, comm: &str, kib: u64, adj: i32, cgroup: &str) -> TestRoot {
    root.file(&format!("proc/{pid}/stat"), &stat(pid, comm, 0, 1, pid))
        .file(&format!("proc/{pid}/status"), &status(kib))
        .file(&format!("proc/{pid}/oom_score_adj"), &format!("{adj}\n"))
        .file(&format!("proc/{pid}/oom_score"), "667\n")
        .file(&format!("proc/{pid}/cgroup"), &format!("4:memory:{cgroup}\n0::{cgroup}\n"))
}

fn ask(root: &TestRoot, cgroup: Option<&str>) -> Facts {
    read(root.path(), cgroup, 4096).unwrap()
}

fn found(facts: &Facts, pid: u32) -> &super::super::facts::Process {
    facts.processes.iter().find(|process| process.task.pid == pid).unwrap()
}

#[test]
fn processes_are_read_as_the_kernel_sees_them() {
    let root = with(machine(V2), 1, "systemd", 4000, 0, "/init.scope");
    let root = with(root, 12, "we ird)[1] 5", 400, -5, "/a b");
    let root = root
        .file("proc/2/stat", &stat(2, "kthreadd", 0x0020_8040, 1, 0))
        // Its first thread exited, the third one has the memory.
        .file("proc/20/stat", &stat(20, "headless", 0, 3, 20))
        .file("proc/20/status", "Name:\theadless\nState:\tZ (zombie)\n")
        .file("proc/20/task/20/status", "Name:\theadless\nState:\tZ (zombie)\n")
        .file("proc/20/task/21/status", "Name:\tx\nState:\tX (dead)\n")
        .file("proc/20/task/22/status", &status(800))
        .file("proc/20/task/22/cgroup", "0::/of/thread\n")
        .file("proc/20/oom_score_adj", "7\n")
        // A zombie.
        .file("proc/30/stat", &stat(30, "defunct", 0, 1, 30))
        .file("proc/30/status", "Name:\tdefunct\nState:\tZ (zombie)\n")
        .file("proc/30/oom_score_adj", "0\n")
        // Gone since the directory was listed, and one that is not to be read.
        .file("proc/40/other", "")
        .file("proc/50/stat/file", "")
        .file("proc/60/stat", "60 (broken\n")
        .file("proc/acpi/file", "");
    let facts = ask(&root, None);
    let pids: Vec<_> = {
        let mut pids: Vec<_> = facts.processes.iter().map(|process| process.task.pid).collect();
        pids.sort_unstable();
        pids
    };
    // 20 and 30 have no oom_score, which is unknown, not gone: see below.
    assert_eq!((pids, facts.unread.vanished, facts.unread.unreadable), (vec![1, 2, 12], 3, 2));
    assert!(found(&facts, 1).task.init);
    assert!(found(&facts, 2).task.kernel_thread && found(&facts, 2).task.has_mm == Some(false));
    let odd = found(&facts, 12);
    assert_eq!(
        (odd.task.comm.as_str(), odd.task.uid, odd.task.oom_score_adj),
        ("we ird)[1] 5", Some(1000), Some(-5))
    );
    assert_eq!((odd.cgroup.as_deref(), odd.start_ticks, odd.oom_score), (Some("/a b"), 12, Some(667)));
    assert_eq!(
        (odd.task.memory.anon_bytes, odd.task.memory.pgtables_bytes),
        (Some(400 << 10), Some(8 << 10))
    );
    for pid in [20, 30] {
        fs::write(root.path().join(format!("proc/{pid}/oom_score")), "0\n").unwrap();
        fs::write(root.path().join(format!("proc/{pid}/cgroup")), "0::/\n").unwrap();
    }
    let facts = ask(&root, None);
    let headless = found(&facts, 20);
    assert_eq!((headless.task.tid, headless.task.has_mm), (22, Some(true)));
    assert_eq!(headless.task.memory.anon_bytes, Some(800 << 10));
    assert_eq!(headless.cgroup.as_deref(), Some("/of/thread"));
    assert_eq!(found(&facts, 30).task.has_mm, Some(false));
    assert_eq!((facts.ram_bytes, facts.swap_bytes), (Some(16_000_000 << 10), Some(1000 << 10)));
    assert_eq!((facts.panic_on_oom, facts.swappiness, facts.hidden.len()), (Some(0), Some(60), 0));
}

#[test]
fn a_container_sees_no_init_and_says_what_it_does_not_see() {
    let root = with(machine(V2), 1, "app", 4000, 0, "/");
    fs::create_dir_all(root.path().join("proc/self/ns")).unwrap();
    symlink("pid:[4026532999]", root.path().join("proc/self/ns/pid")).unwrap();
    let facts = ask(&root, None);
    assert!(!found(&facts, 1).task.init);
    assert!(facts.hidden[0].contains("outside of this pid namespace"), "{:?}", facts.hidden);
}

#[test]
fn levels_of_v2_go_up_to_where_there_is_no_limit_file() {
    let root = with(machine(V2), 11, "b", 400, 0, "/pod/b");
    let root = with(root, 10, "a", 400, 0, "/pod/a")
        .file("sys/fs/cgroup/cgroup.procs", "")
        .file("sys/fs/cgroup/pod/memory.max", "1048576\n")
        .file("sys/fs/cgroup/pod/memory.current", "4096\n")
        .file("sys/fs/cgroup/pod/memory.swap.max", "max\n")
        .file("sys/fs/cgroup/pod/memory.oom.group", "1\n")
        .file("sys/fs/cgroup/pod/cgroup.procs", "")
        .file("sys/fs/cgroup/pod/a/memory.max", "max\n")
        .file("sys/fs/cgroup/pod/a/cgroup.procs", "12\n10\n")
        .file("sys/fs/cgroup/pod/a/deep/cgroup.procs", "13\n")
        .file("sys/fs/cgroup/pod/b/cgroup.procs", "11\n");
    for asked in ["/pod/a", "pod/a/", "/sys/fs/cgroup/pod/a", "//pod/./a"] {
        let facts = ask(&root, Some(asked));
        let names: Vec<_> = facts.levels.iter().map(|level| level.cgroup.as_str()).collect();
        assert_eq!(names, ["/pod/a", "/pod"], "{asked}");
        assert_eq!(facts.levels[0].memory_max_bytes, Some(Bound::NONE));
        assert_eq!((facts.levels[0].usage_bytes, facts.levels[0].swap_max_bytes), (None, Some(Bound::NONE)));
        assert_eq!(facts.levels[1].headroom_bytes(), Some(1_044_480));
        assert_eq!(facts.oom_groups.iter().collect::<Vec<_>>(), ["/pod"]);
        // Down the tree, siblings by inode, and in the order of the file.
        assert!(facts.places[&12] < facts.places[&10] && facts.places[&10] < facts.places[&13]);
        assert_eq!(facts.places[&13].0 + facts.places[&11].0, if facts.places[&11].0 == 1 { 4 } else { 5 });
        assert_eq!(rank(&facts).scope.cgroup.as_deref(), Some("/pod"));
        assert_eq!(rank(&facts).candidates.len(), 2);
    }
    // Whose cgroup is not known may be in it.
    let root = with(root, 14, "c", 400, 0, "/pod/a");
    assert!(ask(&root, Some("/pod/a")).all_seen());
    fs::write(root.path().join("proc/14/cgroup"), "").unwrap();
    assert_eq!(ask(&root, Some("/pod/a")).unread.unreadable, 1);
    assert!(ask(&root, None).all_seen(), "which does not matter for the machine");
    // The controller is not enabled there: the one above it is the memory cgroup.
    assert_eq!(ask(&root, Some("/pod/b")).levels[0].cgroup, "/pod");
    assert_eq!(ask(&root, Some("/")).levels.len(), 0);
    for (wrong, says) in [("/none", "no cgroup /none here"), ("/pod/../pod", "..")] {
        let error = read(root.path(), Some(wrong), 4096).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn levels_of_v1_have_a_limit_of_memory_and_swap_together() {
    let dir = "sys/fs/cgroup/memory";
    let root = with(machine(V1), 10, "a", 400, 0, "/x/y")
        .file(&format!("{dir}/memory.limit_in_bytes"), "9223372036854771712\n")
        .file(&format!("{dir}/cgroup.procs"), "")
        .file(&format!("{dir}/x/memory.limit_in_bytes"), "1048576\n")
        .file(&format!("{dir}/x/memory.usage_in_bytes"), "4096\n")
        .file(&format!("{dir}/x/memory.memsw.limit_in_bytes"), "2097152\n")
        .file(&format!("{dir}/x/memory.memsw.usage_in_bytes"), "2093056\n")
        .file(&format!("{dir}/x/memory.swappiness"), "0\n")
        .file(&format!("{dir}/x/memory.oom_control"), "oom_kill_disable 1\nunder_oom 0\noom_kill 3\n")
        .file(&format!("{dir}/x/cgroup.procs"), "")
        .file(&format!("{dir}/x/y/memory.limit_in_bytes"), "9223372036854771712\n")
        .file(&format!("{dir}/x/y/memory.use_hierarchy"), "1\n")
        .file(&format!("{dir}/x/y/cgroup.procs"), "10\n");
    let facts = ask(&root, Some("/x/y"));
    let names: Vec<_> = facts.levels.iter().map(|level| level.cgroup.as_str()).collect();
    assert_eq!(names, ["/x/y", "/x", "/"]);
    let [y, x, top] = &facts.levels[..] else { panic!() };
    assert_eq!((y.memory_max_bytes, top.memory_max_bytes), (Some(Bound::NONE), Some(Bound::NONE)));
    assert_eq!((x.headroom_bytes(), x.oom_kill_disable, x.swappiness), (Some(4096), Some(true), Some(0)));
    assert_eq!(rank(&facts).scope.cgroup.as_deref(), Some("/x"));
    assert_eq!(found(&facts, 10).cgroup.as_deref(), Some("/x/y"));
    assert!(facts.places.contains_key(&10));
    // 5.10 without memory.use_hierarchy: nothing above counts.
    let root = root.file(&format!("{dir}/x/memory.use_hierarchy"), "0\n");
    assert_eq!(ask(&root, Some("/x/y")).levels.len(), 1);
}

#[test]
fn nothing_that_can_be_read_is_said_and_is_not_permitted() {
    let none = TestRoot::new();
    for (root, cgroup, says) in [
        (&none, None, "reading /proc"),
        (&none, Some("/x"), "no hierarchy with the memory controller"),
        (&machine("proc /proc proc rw 0 0\n"), None, "no process can be seen"),
    ] {
        let error = read(root.path(), cgroup, 4096).unwrap_err();
        assert!(error.is::<NotPermitted>() && error.to_string().contains(says), "{error}");
    }
}

#[test]
fn members_that_have_other_names_in_proc_are_missed_loudly() {
    let root = with(machine(V2), 10, "a", 400, 0, "/../../x")
        .file("sys/fs/cgroup/x/memory.max", "1048576\n")
        .file("sys/fs/cgroup/x/cgroup.procs", "10\n");
    let facts = ask(&root, Some("/x"));
    assert!(facts.hidden.iter().any(|note| note.contains("another cgroup namespace")), "{:?}", facts.hidden);
}
