//! Wire records to facts.

use crate::incident::{
    fact::{
        Call, Candidate, CgroupPath, Child, Control, Decision, End, Exit, Fact, Level, MemoryBack, Reaper,
        Reaping, Reclaim, Task, Victim,
    },
    model::{Memory, ScopeKind},
};
use oom_ebpf as wire;
use std::fmt::Write as _;

/// `MMF_OOM_SKIP`, include/linux/sched/coredump.h (`mm_types.h` from 6.8): the same bit from 5.10 to 7.3.
const MMF_OOM_SKIP: u64 = 1 << 21;

/// Bytes of a page. x86-64 always, arm64 by configuration: the loader asks the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// `sysconf(_SC_PAGESIZE)`.
    pub page_size: u64,
}

/// Types that any bytes are a value of.
trait Pod: Copy {}
impl Pod for wire::Header {}
impl Pod for wire::Call {}
impl Pod for wire::Candidate {}
impl Pod for wire::CgroupName {}
impl Pod for wire::Decision {}
impl Pod for wire::Victim {}
impl Pod for wire::Exit {}
impl Pod for wire::End {}
impl Pod for wire::Level {}
impl Pod for wire::Child {}
impl Pod for wire::MemoryBack {}
impl Pod for wire::Reaper {}

fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough, and `T` is plain old data without padding whose every bit pattern is a value.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

impl Decoder {
    /// The fact in a record; `None` for one that is too short or unknown.
    pub fn fact(self, bytes: &[u8]) -> Option<Fact> {
        let header: wire::Header = read(bytes)?;
        Some(match wire::Kind::from_wire(header.kind)? {
            wire::Kind::Call => Fact::Call(Box::new(self.call(&read(bytes)?))),
            wire::Kind::Candidate => Fact::Candidate(Box::new(self.candidate(&read(bytes)?))),
            wire::Kind::CgroupName => {
                let name: wire::CgroupName = read(bytes)?;
                Fact::CgroupName { id: name.id, path: path(&name.path) }
            }
            wire::Kind::Decision => Fact::Decision(Box::new(self.decision(&read(bytes)?))),
            wire::Kind::Victim => Fact::Victim(Box::new(self.victim(&read(bytes)?))),
            wire::Kind::Exit => {
                let exit: wire::Exit = read(bytes)?;
                Fact::Exit(Exit { time_ns: header.time_ns, pid: exit.pid, start_ns: exit.start_ns })
            }
            wire::Kind::End => Fact::End(end(&read(bytes)?)),
            wire::Kind::Level => Fact::Level(Box::new(self.level(&read(bytes)?))),
            wire::Kind::Child => Fact::Child(Box::new(self.child(&read(bytes)?))),
            wire::Kind::MemoryBack => Fact::MemoryBack(self.memory_back(&read(bytes)?)),
            wire::Kind::Reaper => Fact::Reaper(reaper(&read(bytes)?)?),
        })
    }

    fn pages(self, pages: u64) -> Option<u64> {
        (pages != wire::UNKNOWN_U64).then(|| pages.saturating_mul(self.page_size))
    }

    /// A limit: `PAGE_COUNTER_MAX` (`LONG_MAX / PAGE_SIZE`) means none.
    fn limit(self, pages: u64) -> Option<u64> {
        self.pages(pages).filter(|_| pages < i64::MAX as u64 / self.page_size)
    }

    fn counter(self, pages: i64) -> Option<u64> {
        // Counters that are kept per CPU may be below zero for a moment; the kernel takes that for 0 (`get_mm_counter`).
        (pages != wire::UNKNOWN).then(|| (pages.max(0) as u64).saturating_mul(self.page_size))
    }

    fn task(self, task: &wire::Task) -> Task {
        let known = task.has_task != 0;
        let mm = task.mm != 0;
        let mm_flags = (mm && task.mm_flags != wire::UNKNOWN_U64).then_some(task.mm_flags);
        let vfork_done = (task.vfork_done != wire::UNKNOWN_U64).then_some(task.vfork_done);
        Task {
            pid: task.pid,
            tid: task.tid,
            uid: (known && task.uid != wire::UNKNOWN_U32).then_some(task.uid),
            comm: name(&task.comm),
            oom_score_adj: known.then(|| i32::from(task.adj)),
            start_ns: task.start_ns,
            mm: task.mm,
            cgroup_id: (task.cgroup_id != 0).then_some(task.cgroup_id),
            memory: Memory {
                anon_bytes: self.counter(task.anon_pages).filter(|_| mm),
                file_bytes: self.counter(task.file_pages).filter(|_| mm),
                shmem_bytes: self.counter(task.shmem_pages).filter(|_| mm),
                rss_bytes: None,
                swap_bytes: self.counter(task.swap_pages).filter(|_| mm),
                pgtables_bytes: u64::try_from(task.pgtables_bytes).ok().filter(|_| mm),
                total_vm_bytes: self.counter(task.total_vm_pages).filter(|_| mm),
            },
            has_mm: known.then_some(mm),
            kernel_thread: task.flags & wire::PF_KTHREAD != 0,
            init: task.pid == 1,
            oom_skip: mm_flags.map(|flags| flags & MMF_OOM_SKIP != 0),
            // `in_vfork`, include/linux/sched/mm.h.
            vfork: vfork_done.map(|done| done != 0 && mm && task.parent_mm == task.mm),
            exited: known && task.live == 0,
            oom_group: task.oom_group != 0,
            // Threads let go of the mm after `live` is counted down (`do_exit`): rather once too often than missed.
            shared_mm: mm && task.mm_users > task.live,
        }
    }

    fn call(self, call: &wire::Call) -> Call {
        let control = (call.has_control != 0).then(|| Control {
            gfp_mask: call.gfp_mask,
            order: call.order,
            is_memcg: call.is_memcg != 0,
            scope_cgroup: (call.is_memcg != 0).then(|| path(&call.scope_path)),
            scope_cgroup_id: (call.scope_id != 0).then_some(call.scope_id),
            usage_bytes: self.pages(call.usage_pages),
            limit_bytes: self.limit(call.limit_pages),
            swap_usage_bytes: self.pages(call.swap_usage_pages),
            swap_limit_bytes: self.limit(call.swap_limit_pages),
        });
        let wire::Reclaim { rounds, ns, reclaimed_pages, first_ns } = call.reclaim;
        Call {
            call: call.header.call,
            time_ns: call.header.time_ns,
            trigger: self.task(&call.trigger),
            trigger_cgroup: (call.trigger.cgroup_id != 0).then(|| path(&call.trigger_path)),
            control,
            reclaim: (call.has_reclaim != 0).then_some(Reclaim { rounds, ns, reclaimed_pages, first_ns }),
        }
    }

    fn candidate(self, candidate: &wire::Candidate) -> Candidate {
        Candidate {
            call: candidate.header.call,
            task: self.task(&candidate.task),
            points: (candidate.has_points != 0).then_some(candidate.points),
        }
    }

    fn decision(self, decision: &wire::Decision) -> Decision {
        Decision {
            call: decision.header.call,
            time_ns: decision.header.time_ns,
            chosen: self.task(&decision.chosen),
            points: decision.points,
            total_pages: decision.total_pages,
            constraint: constraint(decision.constraint),
            message: name(&decision.message),
        }
    }

    fn victim(self, victim: &wire::Victim) -> Victim {
        Victim {
            call: victim.header.call,
            time_ns: victim.header.time_ns,
            shares_mm: victim.how == wire::HOW_SHARES_MM,
            killed_ns: (victim.killed_ns != 0).then_some(victim.killed_ns),
            task: self.task(&victim.task),
            cgroup: (victim.task.cgroup_id != 0).then(|| path(&victim.path)),
        }
    }

    fn level(self, level: &wire::Level) -> Level {
        let root = level.root != 0;
        let own = |value: Option<u64>| value.filter(|_| !root);
        let known = |value: u32| (value != wire::UNKNOWN_U32).then_some(value);
        Level {
            call: level.header.call,
            depth: level.depth as usize,
            id: (level.id != 0).then_some(level.id),
            root,
            usage_bytes: own(self.pages(level.usage_pages)),
            max_bytes: own(self.limit(level.max_pages)),
            high_bytes: own(self.limit(level.high_pages)),
            swap_usage_bytes: own(self.pages(level.swap_usage_pages)),
            swap_max_bytes: own(self.limit(level.swap_max_pages)),
            oom_group: known(level.oom_group).map(|set| set != 0).filter(|_| !root),
            children: known(level.children).map(u64::from),
            children_sent: u64::from(level.children_sent),
            children_rest: level.children_rest != 0,
        }
    }

    fn child(self, child: &wire::Child) -> Child {
        Child {
            call: child.header.call,
            id: (child.id != 0).then_some(child.id),
            name: name(&child.name),
            cut: is_full(&child.name),
            usage_bytes: self.pages(child.usage_pages),
            max_bytes: self.limit(child.max_pages),
            swap_usage_bytes: self.pages(child.swap_usage_pages),
        }
    }

    fn memory_back(self, back: &wire::MemoryBack) -> MemoryBack {
        MemoryBack {
            call: back.header.call,
            time_ns: back.header.time_ns,
            pid: back.pid,
            start_ns: back.start_ns,
            mm: back.mm,
            scope_id: (back.scope_id != 0).then_some(back.scope_id),
            usage_bytes: self.pages(back.usage_pages),
            limit_bytes: self.limit(back.limit_pages),
        }
    }
}

/// The name fills its record: it may be longer.
fn is_full(name: &[u8; wire::NAME_LEN]) -> bool {
    name[..wire::NAME_LEN - 1].iter().all(|byte| *byte != 0)
}

fn reaper(reaper: &wire::Reaper) -> Option<Reaper> {
    let what = match reaper.what {
        wire::REAPER_STARTED => Reaping::Started,
        wire::REAPER_FINISHED => Reaping::Finished,
        wire::REAPER_SKIPPED => Reaping::Skipped,
        _ => return None,
    };
    Some(Reaper { time_ns: reaper.header.time_ns, tid: reaper.tid, what })
}

fn end(end: &wire::End) -> End {
    End {
        call: end.header.call,
        time_ns: end.header.time_ns,
        // Without `totalpages` it did not look: `oom_killer_disabled`, while the machine is suspended.
        none_killable: end.result == 0 && end.chosen == wire::CHOSEN_NONE && end.total_pages != 0,
        duration_ns: end.duration_ns,
        evaluated: u64::from(end.evaluated),
        candidates_lost: u64::from(end.candidates_lost),
        names_lost: u64::from(end.names_lost),
        levels_lost: u64::from(end.levels_lost),
        repeats: u64::from(end.repeats),
        total_pages: (end.total_pages != wire::UNKNOWN_U64 && end.total_pages != 0)
            .then_some(end.total_pages),
        constraint: constraint(end.constraint),
    }
}

/// `enum oom_constraint`, include/linux/oom.h.
const fn constraint(value: u32) -> Option<ScopeKind> {
    match value {
        0 => Some(ScopeKind::Global),
        1 => Some(ScopeKind::Cpuset),
        2 => Some(ScopeKind::MemoryPolicy),
        3 => Some(ScopeKind::Memcg),
        _ => None,
    }
}

/// Bytes up to the NUL as text: invalid UTF-8 becomes `\xNN`. A backslash stays one: systemd's cgroups have it in their
/// names.
pub(crate) fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let mut text = String::with_capacity(end);
    for chunk in bytes[..end].utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A path, root first.
fn path(path: &wire::Path) -> CgroupPath {
    let depth = path.names.iter().position(|part| part[0] == 0).unwrap_or(path.names.len());
    let mut text = String::with_capacity(64);
    if depth == 0 {
        text.push('/');
    }
    let mut cut = path.rest != 0;
    for part in path.names[..depth].iter().rev() {
        cut |= is_full(part);
        text.push('/');
        text.push_str(&name(part));
    }
    CgroupPath { path: text, cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECODER: Decoder = Decoder { page_size: 4096 };

    fn bytes_of<T: Pod>(value: &T) -> &[u8] {
        // SAFETY: plain old data without padding.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
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
        let task = wire::Task {
            has_task: 1,
            mm: 1,
            anon_pages: wire::UNKNOWN,
            file_pages: -3,
            ..wire::Task::default()
        };
        let fact = DECODER.task(&task);
        assert_eq!(fact.memory.anon_bytes, None);
        assert_eq!(fact.memory.file_bytes, Some(0));
        assert_eq!(DECODER.task(&wire::Task { mm: 0, ..task }).memory.file_bytes, None);
        let pid_only = DECODER.task(&wire::Task { has_task: 0, mm: 0, tid: 7, ..task });
        assert_eq!(
            (pid_only.tid, pid_only.has_mm, pid_only.oom_score_adj, pid_only.uid),
            (7, None, None, None)
        );
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
            swap_max_bytes: Some(0),
            oom_group: Some(true),
            ..Level::default()
        };
        assert_eq!(DECODER.fact(bytes_of(&raw)), Some(Fact::Level(Box::new(expected))));
        let root =
            wire::Level { root: 1, children: 2, children_rest: 1, oom_group: wire::UNKNOWN_U32, ..raw };
        let expected = Level {
            call: 3,
            depth: 1,
            root: true,
            children: Some(2),
            children_rest: true,
            ..Level::default()
        };
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
            swap_usage_bytes: Some(4096),
            ..Child::default()
        };
        assert_eq!(DECODER.fact(bytes_of(&child)), Some(Fact::Child(Box::new(expected))));
        child.name = [b'x'; wire::NAME_LEN];
        assert!(DECODER.child(&child).cut);
    }

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
    fn no_limit_is_none() {
        assert_eq!(DECODER.limit(i64::MAX as u64 / 4096), None);
        assert_eq!(DECODER.limit(wire::UNKNOWN_U64), None);
        assert_eq!(DECODER.limit(2), Some(8192));
    }
}
