use super::*;

fn read(message: &str) -> OomKill {
    summary(message, false, &[], None).unwrap()
}

#[test]
fn a_memory_cgroup_kill_names_both_cgroups() {
    let line = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
                oom_memcg=/p,task_memcg=/p/c2,task=hog,pid=119,uid=1000";
    let expected = OomKill {
        constraint: Some(ScopeKind::Memcg),
        nodemask: Some("(null)".into()),
        cpuset: Some("/".into()),
        mems_allowed: Some("0".into()),
        oom_memcg: Some("/p".into()),
        task_memcg: Some("/p/c2".into()),
        comm: "hog".into(),
        pid: 119,
        uid: Some(1000),
    };
    assert_eq!(read(line), expected);
}

#[test]
fn node_lists_hold_commas() {
    let line = "oom-kill:constraint=CONSTRAINT_MEMORY_POLICY,nodemask=1,3-4,cpuset=a,mems_allowed=0-1,5,\
                global_oom,task_memcg=/,task=hog,pid=1,uid=-2";
    let kill = read(line);
    assert_eq!(kill.nodemask.as_deref(), Some("1,3-4"));
    assert_eq!(kill.mems_allowed.as_deref(), Some("0-1,5"));
    assert_eq!((kill.oom_memcg.as_deref(), kill.task_memcg.as_deref()), (None, Some("/")));
    assert_eq!(kill.uid, Some(4_294_967_294));
}

#[test]
fn kernels_without_cpusets_or_cgroups_print_less() {
    let kill = read("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=hog,pid=1,uid=0");
    assert_eq!((kill.constraint, kill.comm.as_str(), kill.pid), (Some(ScopeKind::Global), "hog", 1));
    assert_eq!((kill.cpuset, kill.mems_allowed, kill.task_memcg), (None, None, None));
}

#[test]
fn a_name_may_hold_fields() {
    for comm in [",pid=1,uid=0", ",task=b,pid=7", "a,uid=5", "", ",task=", "a\n,uid=9"] {
        let line = format!(
            "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
             task_memcg=/,task={comm},pid=42,uid=3"
        );
        let kill = read(&line);
        assert_eq!((kill.comm.as_str(), kill.pid, kill.uid), (comm, 42, Some(3)));
        assert_eq!(kill.task_memcg.as_deref(), Some("/"), "{comm}");
    }
}

#[test]
fn a_cgroup_may_hold_fields() {
    for path in ["/a,b", "/a,task_memcg=/a", "/x,pid=1,uid=0", "/x,task=looks-like-a-name", "/a,global_oom"] {
        let line = format!(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,\
             oom_memcg={path},task_memcg={path}/c,task=hog,pid=42,uid=3"
        );
        let kill = summary(&line, false, &[], Some(path)).unwrap();
        assert_eq!(kill.oom_memcg.as_deref(), Some(path));
        assert_eq!(kill.task_memcg, Some(format!("{path}/c")));
        assert_eq!((kill.comm.as_str(), kill.pid), ("hog", 42));
    }
}

#[test]
fn the_task_table_settles_what_is_ambiguous() {
    let line = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
                task_memcg=/x,task=y,task=z,pid=42,uid=3";
    let row = |comm: &str| [TaskRow { pid: 42, comm: comm.into(), ..TaskRow::default() }];
    let kill = summary(line, false, &row("z"), None).unwrap();
    assert_eq!((kill.task_memcg.as_deref(), kill.comm.as_str()), (Some("/x,task=y"), "z"));
    let kill = summary(line, false, &row("y,task=z"), None).unwrap();
    assert_eq!((kill.task_memcg.as_deref(), kill.comm.as_str()), (Some("/x"), "y,task=z"));
}

#[test]
fn a_cpuset_may_hold_fields() {
    let line = "oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=a,mems_allowed=9,b,mems_allowed=1,\
                global_oom,task_memcg=/cs,task=hog,pid=1,uid=0";
    let kill = read(line);
    assert_eq!(
        (kill.cpuset.as_deref(), kill.mems_allowed.as_deref()),
        (Some("a,mems_allowed=9,b"), Some("1"))
    );
}

#[test]
fn a_kill_has_the_victims_memory() {
    let line = "Memory cgroup out of memory: Killed process 119 (hog) total-vm:6120kB, anon-rss:5168kB, \
                file-rss:4kB, shmem-rss:648kB, UID:7 pgtables:44kB oom_score_adj:-500";
    let expected = Killed {
        is_memcg: Some(true),
        message: "Memory cgroup out of memory".into(),
        pid: 119,
        comm: "hog".into(),
        memory: Memory {
            anon_bytes: Some(5168 * 1024),
            file_bytes: Some(4096),
            shmem_bytes: Some(648 * 1024),
            pgtables_bytes: Some(44 * 1024),
            total_vm_bytes: Some(6120 * 1024),
            rss_bytes: None,
            swap_bytes: None,
        },
        uid: Some(7),
        oom_score_adj: Some(-500),
        chosen: None,
    };
    assert_eq!(killed(line, false), Some(expected));
}

/// The line of 3.10, of 4.9 to 5.0, of RHEL 6 and 7, of 5.1 to 5.3 and RHEL 8.0, and of later ones (`__oom_kill_process`,
/// before 4.19 `oom_kill_process`).
#[test]
fn a_kill_has_had_many_shapes() {
    let read = |line: &str| {
        let Killed { message, pid, comm, memory, uid, oom_score_adj, .. } = killed(line, false).unwrap();
        assert_eq!((pid, comm.as_str(), memory.total_vm_bytes), (9, "a b", Some(8192)), "{line}");
        assert_eq!((memory.anon_bytes, memory.file_bytes), (Some(4096), Some(0)), "{line}");
        let page_tables = memory.pgtables_bytes;
        (message, memory.shmem_bytes.is_some(), uid, page_tables, oom_score_adj)
    };
    let none = String::new;
    let global = || "Out of memory".to_owned();
    for (line, expected) in [
        (
            "Killed process 9 (a b) total-vm:8kB, anon-rss:4kB, file-rss:0kB",
            (none(), false, None, None, None),
        ),
        (
            "Killed process 9 (a b) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB",
            (none(), true, None, None, None),
        ),
        (
            "Killed process 9, UID 5, (a b) total-vm:8kB, anon-rss:4kB, file-rss:0kB",
            (none(), false, Some(5), None, None),
        ),
        (
            "Killed process 9 (a b), UID 5, total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB",
            (none(), true, Some(5), None, None),
        ),
        (
            "Out of memory: Killed process 9 (a b) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB",
            (global(), true, None, None, None),
        ),
        (
            "Out of memory: Killed process 9 (a b) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:5",
            (global(), true, Some(5), None, None),
        ),
        (
            "Out of memory: Killed process 9 (a b) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:5 \
             pgtables:4kB oom_score_adj:-1",
            (global(), true, Some(5), Some(4096), Some(-1)),
        ),
    ] {
        assert_eq!(read(line), expected, "{line}");
    }
}

#[test]
fn the_last_number_of_a_line_that_was_cut_is_not_believed() {
    const LINE: &str = "Out of memory: Killed process 9 (a) total-vm:80kB, anon-rss:40kB, file-rss:10kB, \
                        shmem-rss:20kB, UID:500 pgtables:40kB oom_score_adj:900";
    let whole = killed(LINE, false).unwrap();
    let known = |part: Option<u64>, whole: Option<u64>| part.is_none() || part == whole;
    for end in 0..=LINE.len() {
        let Some(part) = killed(&LINE[..end], true) else { continue };
        assert_eq!((part.pid, part.comm.as_str()), (9, "a"));
        let (cut, all) = (part.memory, whole.memory);
        assert!(
            known(cut.total_vm_bytes, all.total_vm_bytes) && known(cut.anon_bytes, all.anon_bytes),
            "{end}"
        );
        assert!(known(cut.file_bytes, all.file_bytes) && known(cut.shmem_bytes, all.shmem_bytes), "{end}");
        assert!(known(cut.pgtables_bytes, all.pgtables_bytes), "{end}");
        assert!(part.uid.is_none_or(|uid| uid == 500) && part.oom_score_adj.is_none(), "{end}");
    }
    let rhel = "Killed process 9 (a), UID 500, total-vm:80kB";
    for end in 0..rhel.len() {
        let uid = killed(&rhel[..end], true).and_then(|part| part.uid);
        assert!(uid.is_none_or(|uid| uid == 500), "{end}");
    }
    let line = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=hog,pid=1,uid=10";
    assert_eq!(summary(line, true, &[], None).unwrap().uid, None);
}

#[test]
fn a_name_may_hold_the_end_of_a_name() {
    for comm in [") total-vm:1kB", "we ird)[1] 5", "x), UID 7", "a (b) c", ")", ""] {
        let line = format!(
            "Out of memory: Killed process 5 ({comm}) total-vm:8kB, anon-rss:4kB, file-rss:0kB, \
             shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
        );
        let kill = killed(&line, false).unwrap();
        assert_eq!((kill.comm.as_str(), kill.memory.total_vm_bytes), (comm, Some(8192)));
        assert_eq!((kill.is_memcg, kill.uid), (Some(false), Some(0)));
    }
}

#[test]
fn another_text_before_it_is_no_kill() {
    for line in
        ["foo: Killed process 5 (a) total-vm:8kB", "Killed process x (a) total-vm:8kB", "Killed process 5"]
    {
        assert_eq!(killed(line, false), None, "{line}");
    }
}

#[test]
fn group_kills_and_the_reaper_are_told() {
    let line = "Tasks in /g are going to be killed are going to be killed due to memory.oom.group set";
    assert_eq!(group(line), Some("/g are going to be killed"));
    let line = "oom_reaper: reaped process 81 (a), now b), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB";
    assert_eq!(reaped(line), Some((81, "a), now b")));
    assert_eq!(not_reaped("oom_reaper: unable to reap pid:81 (a) b)"), Some((81, "a) b")));
    let line = "Memory cgroup out of memory: OOM victim 81 (a) b) is already exiting. Skip killing the task";
    assert_eq!(exiting(line), Some((81, "a) b")));
    assert_eq!(exiting("x: OOM victim 81 (a) is already exiting. Skip killing the task"), None);
    assert_eq!(suppressed("oom_kill_process: 132 callbacks suppressed"), Some(132));
    assert_eq!(suppressed("__alloc_pages_slowpath: 66566 callbacks suppressed"), None);
}
