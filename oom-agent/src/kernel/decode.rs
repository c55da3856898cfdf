//! Wire records to facts.

use crate::incident::{
    escalation::{Compacted, RetryZone},
    fact::{
        Call, Candidate, CgroupPath, Child, Control, Decision, End, Escalation, Exit, Fact, Level,
        MemoryBack, Reaper, Reaping, Reclaim, Task, Victim,
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

/// Types that any bytes are a value of, and that have no padding: integers, and structs and arrays of nothing else.
///
/// # Safety
/// That they are. The test `records_have_no_implicit_padding` of the wire contract has the sizes.
unsafe trait Pod: Copy {}

macro_rules! pod {
    ($($record:ident)*) => {
        // SAFETY: `repr(C)`, of integers and of arrays and structs of integers; padding is written out as fields.
        $(unsafe impl Pod for wire::$record {})*
    };
}

pod! { Header Call Candidate CgroupName Decision Victim Exit End Level Child MemoryBack Reaper Escalation }

fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: as many bytes are there, at whatever address, and any are a `T` (`Pod`).
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

impl Decoder {
    /// The facts in a record: candidates come several at once, everything else alone. `None` for what is too short or unknown.
    pub fn facts(self, record: &[u8]) -> impl Iterator<Item = Option<Fact>> {
        let header = read::<wire::Header>(record);
        let batch = header.filter(|header| header.kind == wire::Kind::Candidate as u32);
        let (candidates, other) = match batch {
            Some(header) => (record.get(size_of_val(&header)..).unwrap_or_default(), None),
            None => (&[][..], Some(record)),
        };
        let call = batch.map_or(0, |header| header.call);
        let candidates = candidates
            .chunks(size_of::<wire::Candidate>())
            .map(move |bytes| Some(Fact::Candidate(Box::new(self.candidate(call, &read(bytes)?)))));
        candidates.chain(other.map(|record| self.fact(record)))
    }

    /// The fact in a record of one; `None` for one that is too short or unknown.
    pub fn fact(self, bytes: &[u8]) -> Option<Fact> {
        let header: wire::Header = read(bytes)?;
        Some(match wire::Kind::from_wire(header.kind)? {
            wire::Kind::Call => Fact::Call(Box::new(self.call(&read(bytes)?))),
            wire::Kind::Candidate => return None,
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
            wire::Kind::Escalation => Fact::Escalation(Box::new(escalation(&read(bytes)?))),
        })
    }

    /// The record that an [`Escalation`] was made of: the rest of it is in maps.
    pub fn escalation(bytes: &[u8]) -> Option<wire::Escalation> {
        read(bytes)
    }

    fn pages(self, pages: u64) -> Option<u64> {
        (pages != wire::UNKNOWN_U64).then(|| pages.saturating_mul(self.page_size))
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
            namespace_init: None,
        }
    }

    fn call(self, call: &wire::Call) -> Call {
        let is_memcg = call.is_memcg != 0;
        // Where no cgroup was full these were read from nowhere, which gives 0.
        let of_it = |pages| self.pages(pages).filter(|_| is_memcg);
        let control = (call.has_control != 0).then(|| Control {
            gfp_mask: call.gfp_mask,
            order: call.order,
            is_memcg,
            scope_cgroup: is_memcg.then(|| path(&call.scope_path)),
            scope_cgroup_id: (call.scope_id != 0).then_some(call.scope_id),
            usage_bytes: of_it(call.usage_pages),
            limit_bytes: of_it(call.limit_pages),
            swap_usage_bytes: of_it(call.swap_usage_pages),
            swap_limit_bytes: of_it(call.swap_limit_pages),
        });
        let wire::Reclaim { rounds, ns, reclaimed_pages, first_ns, scanned_pages, compact_retries } =
            call.reclaim;
        let reclaim = Reclaim { rounds, ns, reclaimed_pages, first_ns, scanned_pages, compact_retries };
        Call {
            call: call.header.call,
            time_ns: call.header.time_ns,
            trigger: self.task(&call.trigger),
            trigger_cgroup: (call.trigger.cgroup_id != 0).then(|| path(&call.trigger_path)),
            control,
            reclaim: (call.has_reclaim != 0).then_some(reclaim),
        }
    }

    fn candidate(self, call: u64, candidate: &wire::Candidate) -> Candidate {
        Candidate {
            call,
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
            task: Task { namespace_init: namespace_init(victim), ..self.task(&victim.task) },
            cgroup: (victim.task.cgroup_id != 0).then(|| path(&victim.path)),
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
            limit_bytes: self.pages(back.limit_pages),
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
            max_bytes: own(self.pages(level.max_pages)),
            high_bytes: own(self.pages(level.high_pages)),
            swap_usage_bytes: own(self.pages(level.swap_usage_pages)),
            swap_max_bytes: own(self.pages(level.swap_max_pages)),
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
            max_bytes: self.pages(child.max_pages),
            swap_usage_bytes: self.pages(child.swap_usage_pages),
        }
    }
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

/// The name fills its record: it may be longer.
fn is_full(name: &[u8; wire::NAME_LEN]) -> bool {
    name[..wire::NAME_LEN - 1].iter().all(|byte| *byte != 0)
}

/// `None`: another thread has its place.
fn compaction(record: &wire::Escalation) -> Option<Compacted> {
    let wire::Compaction { owner, begin_ns: _, end_ns, total } = record.compaction;
    if owner != record.owner && owner != 0 {
        return None;
    }
    let recent = owner == record.owner && record.header.time_ns.saturating_sub(end_ns) <= wire::SERIES_NS;
    let wire::Compacted { runs, ns, succeeded } = if recent { total } else { wire::Compacted::default() };
    Some(Compacted { runs, ns, succeeded: Some(succeeded) })
}

fn escalation(record: &wire::Escalation) -> Escalation {
    let retry = &record.retry;
    let own = retry.owner == record.owner && record.rounds_owner == record.owner;
    // After the last of `MAX_RECLAIM_RETRIES` rounds it does not look again (`should_reclaim_retry`).
    let latest = own && record.rounds.wrapping_sub(retry.rounds) <= 1;
    let count = if latest { retry.zones.len().min(usize::try_from(retry.count).unwrap_or(0)) } else { 0 };
    let zone = |zone: &wire::RetryZone| RetryZone {
        node: zone.node,
        name: name(&zone.name),
        reclaimable_pages: zone.reclaimable_pages,
        available_pages: zone.available_pages,
        min_watermark_pages: zone.min_watermark_pages,
        no_progress_loops: zone.no_progress_loops,
        enough: zone.enough != 0,
    };
    Escalation {
        call: record.header.call,
        compaction: compaction(record),
        zones: retry.zones[..count].iter().map(zone).collect(),
        ..Escalation::default()
    }
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
        repeats_elsewhere: u64::from(end.repeats_elsewhere),
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

/// Whether it is the first process of its container. That process' parent is outside; in a namespace that a container makes
/// for a part of itself (a sandbox) the parent of the first process is in the container.
fn namespace_init(victim: &wire::Victim) -> Option<bool> {
    let wire::Namespace { level, pid, reaper_cgroup_id, parent_cgroup_id } = victim.namespace;
    let own = victim.task.cgroup_id;
    if level == 0 || level == wire::UNKNOWN_U32 || own == 0 {
        return None;
    }
    match pid {
        0 => None,
        1 => (parent_cgroup_id != 0).then_some(parent_cgroup_id != own),
        // Elsewhere: a namespace that containers share, or a container with cgroups of its own.
        _ => (reaper_cgroup_id == own).then_some(false),
    }
}

#[cfg(test)]
mod tests;
