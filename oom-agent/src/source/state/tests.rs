//! A cgroupfs and a /proc in files.

use super::{files::unlimited, *};
use crate::incident::fact::{Call, CgroupPath, Control, Decision, End, Level, MemoryBack, Task};
use crate::kernel::host::test_root::TestRoot;
use crate::report::OomKill;
use std::{fs, os::unix::fs::MetadataExt as _};

const MIB: u64 = 1 << 20;
const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
const V1: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";

fn machine(mounts: &str) -> TestRoot {
    TestRoot::new()
        .file("proc/self/mounts", mounts)
        .file("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
        .file("proc/sys/vm/overcommit_memory", "2\n")
        .file(
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemAvailable: 10 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nShmem: 3 kB\nCommitLimit: 500 kB\n\
             Committed_AS: 499 kB\nHugePages_Free:      2\nHugepagesize:    2048 kB\nHugetlb:   8192 kB\n",
        )
}

fn v2(root: TestRoot, cgroup: &str, mib: u64, max: &str) -> TestRoot {
    let at = |name: &str| format!("sys/fs/cgroup{cgroup}/{name}");
    root.file(&at("memory.current"), &format!("{}\n", mib * MIB))
        .file(&at("memory.max"), &format!("{max}\n"))
        .file(&at("memory.high"), "max\n")
        .file(&at("memory.oom.group"), "1\n")
        .file(&at("memory.stat"), &format!("anon {}\nfile 4096\npgfault 7\nodd\n", mib * MIB))
}

fn watch(root: &TestRoot, calls: bool) -> Watch {
    let cgroups = Cgroups::read(root.path()).unwrap();
    Watch::new(root.path(), Some(&cgroups), calls)
}

/// The kernel was at `path` in that call.
fn full(call: u64, path: &str, id: Option<u64>) -> Fact {
    let control = Control {
        is_memcg: true,
        scope_cgroup: Some(CgroupPath { path: path.into(), cut: false }),
        scope_cgroup_id: id,
        ..Control::default()
    };
    Fact::Call(Box::new(Call { call, control: Some(control), ..Call::default() }))
}

fn decided(call: u64) -> Fact {
    Fact::Decision(Box::new(Decision {
        call,
        time_ns: 0,
        chosen: Task::default(),
        points: 0,
        total_pages: 0,
        constraint: None,
        message: String::new(),
    }))
}

fn child(call: u64, name: &str, mib: u64) -> Fact {
    let usage_bytes = Some(mib * MIB);
    Fact::Child(Box::new(Child { call, name: name.into(), usage_bytes, ..Child::default() }))
}

fn read(watch: &mut Watch) -> Files {
    let mut files = watch.read(|| 77);
    assert_eq!(files.len(), 1);
    files.remove(0)
}

fn names(cgroups: &[crate::incident::fact::FileCgroup]) -> Vec<&str> {
    cgroups.iter().map(|it| it.cgroup.as_str()).collect()
}

#[test]
fn what_the_kernel_told_is_not_read_again() {
    let root = v2(v2(v2(machine(V2), "/a/b", 20, "max"), "/a", 30, "31457280"), "/a/c", 10, "max");
    let mut watch = watch(&root, true);
    for fact in [child(1, "gone", 99), child(3, "b", 20), child(3, "c", 10), child(3, "gone", 5)] {
        watch.see(&fact);
    }
    watch.see(&Fact::Level(Box::new(Level { call: 3, ..Level::default() })));
    watch.see(&full(3, "/a", None));
    assert_eq!(watch.read(|| 1), vec![], "the kernel is still telling");
    watch.see(&decided(3));
    let files = read(&mut watch);
    assert_eq!((files.of, files.read_ns), (Of::Call(3), Some(77)));
    assert_eq!(names(&files.levels), ["/a", "/"]);
    assert_eq!(names(&files.children), ["/a/b", "/a/c"]);
    let first = &files.levels[0];
    assert_eq!((first.usage_bytes, first.max_bytes), (None, None));
    assert_eq!(first.stat["anon"], 30 * MIB);
    assert_eq!(first.stat["file"], 4096);
    let machine = files.machine.unwrap();
    assert_eq!((machine.total_bytes, machine.overcommit_memory), (Some(1_024_000), Some(2)));
    assert_eq!((machine.hugetlb_bytes, machine.hugetlb_free_bytes), (Some(8 * MIB), Some(4 * MIB)));
    assert_eq!(watch.read(|| 1), vec![]);
}

#[test]
fn without_the_kernel_files_tell_of_limits_and_children() {
    let mut root = v2(v2(machine(V2), "/a", 30, "31457280"), "", 50, "max");
    for n in 0..12 {
        root = v2(root, &format!("/a/c{n}"), n, "max");
    }
    let mut watch = watch(&root, false);
    let kill = OomKill {
        constraint: Some(ScopeKind::Memcg),
        oom_memcg: Some("/a".into()),
        pid: 9,
        ..OomKill::default()
    };
    let report = Report { kill: Some(kill), ..Report::default() };
    watch.see(&Fact::Log(Event { time_ns: None, what: What::Report(Box::new(report)) }));
    watch.see(&full(1, "/a", None));
    watch.see(&decided(1));
    let files = read(&mut watch);
    assert_eq!(files.of, Of::Report(Some(9)));
    let first = &files.levels[0];
    assert_eq!(
        (first.usage_bytes, first.max_bytes, first.high_bytes),
        (Some(30 * MIB), Some(30 * MIB), Some(unlimited()))
    );
    assert_eq!(first.oom_group, Some(true));
    assert_eq!(files.children_total, Some(12));
    assert_eq!(files.children.len(), 10);
    assert_eq!(names(&files.children)[..2], ["/a/c11", "/a/c10"]);
}

#[test]
fn v1_counts_what_is_below_under_another_name() {
    let root = machine(V1)
        .file("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "4096\n")
        .file("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n")
        .file("sys/fs/cgroup/memory/a/memory.stat", "cache 1\nrss 2\ntotal_cache 3\ntotal_rss 4\n");
    let mut watch = watch(&root, false);
    let report = Report { stats_cgroup: Some("/a".into()), ..Report::default() };
    watch.see(&Fact::Log(Event { time_ns: None, what: What::Report(Box::new(report)) }));
    let files = read(&mut watch);
    let first = &files.levels[0];
    assert_eq!((first.usage_bytes, first.max_bytes), (Some(4096), Some(unlimited())));
    assert_eq!(first.stat, [("cache".to_owned(), 3), ("rss".to_owned(), 4)].into());
}

#[test]
fn what_is_gone_or_another_ones_is_not_told() {
    let root = v2(v2(machine(V2), "/a", 30, "max"), "/a/b", 20, "max");
    let id = fs::metadata(root.path().join("sys/fs/cgroup/a/b")).unwrap().ino();
    for (path, id, expected) in [
        ("/a/b", Some(id), vec!["/a/b", "/a", "/"]),
        ("/a/b", Some(id + 1), vec!["/a", "/"]),
        ("/a/gone", None, vec!["/a", "/"]),
        ("/a/../../a", None, vec![]),
        ("a", None, vec![]),
    ] {
        let mut watch = watch(&root, true);
        watch.see(&full(1, path, id));
        watch.see(&decided(1));
        let files = read(&mut watch);
        assert_eq!(names(&files.levels), expected, "{path} {id:?}");
        assert!(files.machine.is_some());
    }
    let mut nothing = Watch::new(Path::new("/nonexistent"), None, true);
    nothing.see(&full(1, "/a", None));
    nothing.see(&Fact::End(End { call: 1, none_killable: true, ..End::default() }));
    let files = read(&mut nothing);
    assert_eq!((files.levels, files.children, files.machine), (vec![], vec![], None));
}

#[test]
fn a_storm_is_read_ten_times_a_second() {
    let root = v2(machine(V2), "/a", 30, "max");
    let mut watch = watch(&root, true);
    let mut at = |now: u64, first: u64, kills: u64| {
        for call in first..first + kills {
            watch.see(&full(call, "/a", None));
            watch.see(&decided(call));
        }
        watch.read(|| now).iter().filter(|files| files.read_ns.is_some()).count()
    };
    assert_eq!(at(1_000_000_000, 1, 30), 10);
    assert_eq!(at(1_500_000_000, 31, 5), 0);
    assert_eq!(at(2_000_000_000, 36, 5), 5);
}

#[test]
fn pressure_is_the_full_cgroups_and_the_machines() {
    const PSI: &str = "some avg10=43.21 avg60=1.50 avg300=0.00 total=12345\nfull avg10=7.00 avg60=0.20 avg300=0.00 total=99\n";
    let root = v2(v2(machine(V2), "/a", 30, "31457280"), "", 50, "max");
    let root = root
        .file("sys/fs/cgroup/a/memory.pressure", PSI)
        .file("proc/pressure/memory", "some avg10=0.00 total=x\n");
    let mut watch = watch(&root, true);
    watch.see(&full(1, "/a", None));
    watch.see(&decided(1));
    let pressure = read(&mut watch).pressure;
    let cgroup = pressure.cgroup.unwrap();
    assert_eq!(
        (cgroup.some_avg10, cgroup.some_avg60, cgroup.some_avg300),
        (Some(43.21), Some(1.5), Some(0.0))
    );
    assert_eq!((cgroup.full_avg10, cgroup.full_avg60), (Some(7.0), Some(0.2)));
    assert_eq!((cgroup.some_total_ns, cgroup.full_total_ns), (Some(12_345_000), Some(99_000)));
    let all = pressure.machine.unwrap();
    assert_eq!(
        (all.some_avg10, all.some_avg60, all.some_total_ns, all.full_avg10),
        (Some(0.0), None, None, None)
    );

    // None was full, and this kernel has no PSI (it may refuse to read it).
    let root = root.file("proc/pressure/memory", "");
    watch.see(&Fact::Call(Box::new(Call { call: 2, ..Call::default() })));
    watch.see(&decided(2));
    assert_eq!(read(&mut watch).pressure, crate::incident::escalation::Pressures::default());
    drop(root);
}

#[test]
fn zones_are_read_when_a_full_machines_victim_gave_its_memory_back() {
    let zoneinfo = "Node 0, zone Normal\n  pages free 90\n        min 10\n        protection: (0, 0)\n";
    let root = machine(V2).file("proc/zoneinfo", zoneinfo);
    let mut watch = watch(&root, true);
    let back = |call| Fact::MemoryBack(MemoryBack { call, ..MemoryBack::default() });
    let wide = |call| Fact::Call(Box::new(Call { call, ..Call::default() }));
    for fact in [full(1, "/a", None), wide(2), wide(3), back(1), back(3), back(3), back(9)] {
        watch.see(&fact);
    }
    let found = watch.zones(|| 500);
    let calls: Vec<_> = found.iter().map(|zones| (zones.call, zones.read_ns, zones.zones.len())).collect();
    assert_eq!(calls, [(3, 500, 1)], "once for what came at once, and not for a cgroup's");
    assert_eq!(watch.zones(|| 500), vec![]);
    let mut read = 0;
    for _ in 0..20 {
        watch.see(&back(2));
        read += watch.zones(|| 600).len();
    }
    assert_eq!(read, BUDGET - 1, "not without end");
    watch.see(&back(2));
    assert_eq!(watch.zones(|| 600 + 2 * WINDOW_NS).len(), 1);
}
