//! Raw records to facts.

use super::*;
use crate::incident::model::NO_LIMIT;

const DECODER: Decoder = Decoder { page_size: 4096 };

fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: as many bytes as it has, all of them written: there is no padding (`Pod`).
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

#[test]
fn candidates_come_together_and_all_else_alone() {
    let header = |kind: wire::Kind| wire::Header { kind: kind as u32, reserved: 0, call: 7, time_ns: 5 };
    let candidate = |pid| wire::Candidate {
        task: wire::Task { pid, has_task: 1, ..wire::Task::default() },
        points: -3,
        has_points: u32::from(pid != 2),
        reserved: 0,
    };
    let batch = bytes_of(&header(wire::Kind::Candidate)).to_vec();
    let batch = (1..=3).fold(batch, |batch, pid| [batch, bytes_of(&candidate(pid)).to_vec()].concat());
    let told = |bytes: &[u8]| -> Vec<_> {
        let facts = DECODER.facts(bytes).map(|fact| match fact {
            Some(Fact::Candidate(candidate)) => Some((candidate.call, candidate.task.pid, candidate.points)),
            _ => None,
        });
        facts.collect()
    };
    let [first, second, third] = [Some((7, 1, Some(-3))), Some((7, 2, None)), Some((7, 3, Some(-3)))];
    assert_eq!(told(&batch), [first, second, third]);
    // What is cut short is none.
    assert_eq!(told(&batch[..batch.len() - 1]), [first, second, None]);
    assert_eq!(told(bytes_of(&header(wire::Kind::Candidate))), []);
    // Too short for a header, and another kind.
    assert_eq!((told(&[]), told(&[2, 0, 0])), (vec![None], vec![None]));
    assert_eq!(DECODER.facts(bytes_of(&header(wire::Kind::CgroupName))).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_short_or_unknown_record_is_no_fact() {
    let exit = wire::Exit {
        header: wire::Header { kind: wire::Kind::Exit as u32, reserved: 0, call: 1, time_ns: 5 },
        pid: 7,
        reserved: 0,
        start_ns: 3,
    };
    let bytes = bytes_of(&exit);
    for length in 0..bytes.len() {
        assert_eq!(DECODER.fact(&bytes[..length]), None);
    }
    assert_eq!(DECODER.fact(bytes), Some(Fact::Exit(Exit { time_ns: 5, pid: 7, start_ns: 3 })));
    let unknown = wire::Exit { header: wire::Header { kind: 99, ..exit.header }, ..exit };
    assert_eq!(DECODER.fact(bytes_of(&unknown)), None);
}

#[test]
fn names_keep_invalid_bytes_apart() {
    assert_eq!(name(b"ok\0rest"), "ok");
    assert_eq!(name(b"a\xffb\xfe\0"), "a\\xffb\\xfe");
    assert_eq!(name("größe\0".as_bytes()), "größe");
    assert_eq!(name(b"0123456789abcdef"), "0123456789abcdef");
}

#[test]
fn paths_are_turned_root_first() {
    let mut raw = wire::Path { rest: 0, names: [[0; wire::NAME_LEN]; wire::PATH_DEPTH] };
    assert_eq!(path(&raw), CgroupPath { path: "/".into(), cut: false });
    raw.names[0][..4].copy_from_slice(b"leaf");
    raw.names[1][..3].copy_from_slice(b"top");
    raw.names[3][..4].copy_from_slice(b"junk");
    assert_eq!(path(&raw), CgroupPath { path: "/top/leaf".into(), cut: false });
    raw.rest = 1;
    assert!(path(&raw).cut);
    raw.rest = 0;
    raw.names[1] = [b'a'; wire::NAME_LEN];
    raw.names[1][wire::NAME_LEN - 1] = 0;
    assert!(path(&raw).cut);
    raw.names[1] = [0; wire::NAME_LEN];
    raw.names[1][..50].copy_from_slice(&[0xff; 50]);
    assert!(!path(&raw).cut, "longer only as text");
}

#[test]
fn unknown_counters_are_not_zero() {
    let task =
        wire::Task { has_task: 1, mm: 1, anon_pages: wire::UNKNOWN, file_pages: -3, ..wire::Task::default() };
    let fact = DECODER.task(&task);
    assert_eq!(fact.memory.anon_bytes, None);
    assert_eq!(fact.memory.file_bytes, Some(0));
    assert_eq!(DECODER.task(&wire::Task { mm: 0, ..task }).memory.file_bytes, None);
    let pid_only = DECODER.task(&wire::Task { has_task: 0, mm: 0, tid: 7, ..task });
    assert_eq!((pid_only.tid, pid_only.has_mm, pid_only.oom_score_adj, pid_only.uid), (7, None, None, None));
}

#[test]
fn a_call_that_did_not_look_found_nothing_unkillable() {
    let looked = wire::End { total_pages: 9, ..wire::End::default() };
    assert!(end(&looked).none_killable);
    assert!(!end(&wire::End { total_pages: 0, ..looked }).none_killable, "oom_killer_disabled");
    assert!(!end(&wire::End { chosen: wire::CHOSEN_ABORTED, ..looked }).none_killable);
    assert!(!end(&wire::End { result: 1, ..looked }).none_killable);
}

#[test]
fn a_child_in_vfork_has_its_parents_memory() {
    let child = wire::Task { has_task: 1, mm: 5, parent_mm: 5, vfork_done: 9, ..wire::Task::default() };
    assert_eq!(DECODER.task(&child).vfork, Some(true));
    assert_eq!(DECODER.task(&wire::Task { parent_mm: 6, ..child }).vfork, Some(false));
    assert_eq!(DECODER.task(&wire::Task { vfork_done: 0, ..child }).vfork, Some(false));
    assert_eq!(DECODER.task(&wire::Task { vfork_done: wire::UNKNOWN_U64, ..child }).vfork, None);
}

#[test]
fn usage_of_a_cgroup_that_is_gone_is_unknown() {
    let back = wire::MemoryBack {
        header: wire::Header { kind: wire::Kind::MemoryBack as u32, reserved: 0, call: 3, time_ns: 5 },
        pid: 7,
        reserved: 0,
        start_ns: 2,
        mm: 0xffff,
        scope_id: 9,
        usage_pages: 3,
        limit_pages: 4,
    };
    let fact = MemoryBack {
        call: 3,
        time_ns: 5,
        pid: 7,
        start_ns: 2,
        mm: 0xffff,
        scope_id: Some(9),
        usage_bytes: Some(3 * 4096),
        limit_bytes: Some(4 * 4096),
    };
    assert_eq!(DECODER.fact(bytes_of(&back)), Some(Fact::MemoryBack(fact)));
    let unknown = wire::UNKNOWN_U64;
    let gone = wire::MemoryBack { scope_id: 0, usage_pages: unknown, limit_pages: unknown, ..back };
    let fact = MemoryBack { scope_id: None, usage_bytes: None, limit_bytes: None, ..fact };
    assert_eq!(DECODER.fact(bytes_of(&gone)), Some(Fact::MemoryBack(fact)));
}

#[test]
fn the_reaper_is_told_by_thread() {
    let header = wire::Header { kind: wire::Kind::Reaper as u32, reserved: 0, call: 0, time_ns: 5 };
    for (what, fact) in [
        (wire::REAPER_STARTED, Some(Reaping::Started)),
        (wire::REAPER_FINISHED, Some(Reaping::Finished)),
        (wire::REAPER_SKIPPED, Some(Reaping::Skipped)),
        (99, None),
    ] {
        let record = wire::Reaper { header, tid: 8, what };
        let fact = fact.map(|what| Fact::Reaper(Reaper { time_ns: 5, tid: 8, what }));
        assert_eq!(DECODER.fact(bytes_of(&record)), fact);
    }
}

#[test]
fn how_full_a_cgroup_is() {
    let none = i64::MAX as u64 / 4096;
    let raw = wire::Level {
        header: wire::Header { kind: wire::Kind::Level as u32, reserved: 0, call: 3, time_ns: 5 },
        usage_pages: 10,
        max_pages: 12,
        high_pages: none,
        swap_usage_pages: wire::UNKNOWN_U64,
        swap_max_pages: 0,
        depth: 1,
        oom_group: 1,
        children: wire::UNKNOWN_U32,
        ..wire::Level::default()
    };
    let expected = Level {
        call: 3,
        depth: 1,
        usage_bytes: Some(40_960),
        max_bytes: Some(49_152),
        high_bytes: Some(none * 4096),
        swap_max_bytes: Some(0),
        oom_group: Some(true),
        ..Level::default()
    };
    assert_eq!(DECODER.fact(bytes_of(&raw)), Some(Fact::Level(Box::new(expected))));
    let root = wire::Level { root: 1, children: 2, children_rest: 1, oom_group: wire::UNKNOWN_U32, ..raw };
    let expected =
        Level { call: 3, depth: 1, root: true, children: Some(2), children_rest: true, ..Level::default() };
    assert_eq!(DECODER.level(&root), expected, "the root has nothing of its own");
    let mut child = wire::Child {
        header: wire::Header { kind: wire::Kind::Child as u32, ..raw.header },
        id: 7,
        usage_pages: 2,
        max_pages: none,
        swap_usage_pages: 1,
        name: [0; wire::NAME_LEN],
    };
    child.name[..3].copy_from_slice(b"a\xffb");
    let expected = Child {
        call: 3,
        id: Some(7),
        name: "a\\xffb".into(),
        usage_bytes: Some(8192),
        max_bytes: Some(none * 4096),
        swap_usage_bytes: Some(4096),
        ..Child::default()
    };
    assert_eq!(DECODER.fact(bytes_of(&child)), Some(Fact::Child(Box::new(expected))));
    child.name = [b'x'; wire::NAME_LEN];
    assert!(DECODER.child(&child).cut);
}

#[test]
fn limits_are_those_of_a_memory_cgroup_and_none_is_not_unknown() {
    let path = wire::Path { rest: 0, names: [[0; wire::NAME_LEN]; wire::PATH_DEPTH] };
    let call = |is_memcg, [usage_pages, limit_pages, swap_limit_pages]: [u64; 3]| {
        let call = DECODER.call(&wire::Call {
            header: wire::Header::default(),
            trigger: wire::Task::default(),
            has_control: 1,
            gfp_mask: 0,
            order: 0,
            is_memcg,
            reserved: 0,
            has_reclaim: 0,
            scope_id: 0,
            usage_pages,
            limit_pages,
            swap_usage_pages: 0,
            swap_limit_pages,
            reclaim: wire::Reclaim::default(),
            trigger_path: path,
            scope_path: path,
        });
        let control = call.control.unwrap();
        (control.usage_bytes, control.limit_bytes, control.swap_usage_bytes, control.swap_limit_bytes)
    };
    // Read from a cgroup that is not there.
    assert_eq!(call(0, [0, 0, 0]), (None, None, None, None));
    let none = i64::MAX as u64 / 4096;
    let (usage, limit, swap_usage, swap_limit) = call(1, [wire::UNKNOWN_U64, 2, none]);
    assert_eq!((usage, limit, swap_usage), (None, Some(8192), Some(0)));
    assert!(swap_limit >= Some(NO_LIMIT));
}

#[test]
fn the_main_process_of_a_container_is_the_first_of_its_namespace() {
    let of = |level, pid, reaper, parent| {
        let path = wire::Path { rest: 0, names: [[0; wire::NAME_LEN]; wire::PATH_DEPTH] };
        namespace_init(&wire::Victim {
            header: wire::Header::default(),
            how: wire::HOW_MARKED,
            reserved: 0,
            namespace: wire::Namespace { level, pid, reaper_cgroup_id: reaper, parent_cgroup_id: parent },
            killed_ns: 0,
            task: wire::Task { cgroup_id: 7, ..wire::Task::default() },
            path,
        })
    };
    assert_eq!(of(1, 1, 7, 3), Some(true), "its parent is the runtime");
    assert_eq!(of(1, 12, 7, 7), Some(false));
    assert_eq!(of(2, 1, 7, 7), Some(false), "a sandbox within it");
    assert_eq!(of(2, 5, 7, 7), Some(false));
    assert_eq!(of(1, 12, 5, 7), None, "a namespace that the pod's containers share");
    assert_eq!(of(0, 4711, 1, 7), None, "the machine's namespace");
    for (level, pid) in [(wire::UNKNOWN_U32, 0), (1, 0), (0, 0)] {
        assert_eq!(of(level, pid, 0, 0), None);
    }
    assert_eq!(of(1, 1, 7, 0), None);
}

#[test]
fn compaction_is_the_threads_own_and_of_late() {
    let told = |owner, end_s: u64| {
        let mut record = wire::Escalation { owner: 7, ..wire::Escalation::default() };
        record.header.time_ns = 100_000_000_000;
        let total = wire::Compacted { runs: 3, ns: 40, succeeded: 1 };
        record.compaction = wire::Compaction { owner, begin_ns: 0, end_ns: end_s * 1_000_000_000, total };
        escalation(&record).compaction.map(|it| it.runs)
    };
    assert_eq!(told(7, 95), Some(3));
    assert_eq!(told(7, 89), Some(0), "long ago");
    assert_eq!(told(0, 0), Some(0), "nobody did");
    assert_eq!(told(8, 95), None, "another thread has its place");
}
