//! Names and phrases that several sections share.

use crate::incident::escalation::Escalation;
use crate::incident::model::{
    ExemptReason, Incident, Level, Memory, NO_LIMIT, Role, ScopeKind, Trigger, Victim,
};
use crate::incident::verdict::Confidence;
use crate::sink::text::{Prose, Tone};
use crate::sink::{escape, units};

/// `java[81234]`: a process.
pub(crate) fn who(comm: &str, pid: u32) -> String {
    format!("{}[{pid}]", escape::name(comm))
}

/// The task that asked: `curl[81377]`, or by its thread where only that is known.
pub(super) fn asker(trigger: &Trigger) -> String {
    match (trigger.pid, trigger.tid) {
        (Some(pid), _) => who(&trigger.comm, pid),
        (None, Some(tid)) => format!("{}[thread {tid}]", escape::name(&trigger.comm)),
        (None, None) => escape::name(&trigger.comm),
    }
}

/// Whether the task that asked belongs to this process. Thread ids are unique, so one of them is enough. Nobody asked
/// where an operator did (sysrq, order -1): the trigger is a kworker then.
pub(crate) fn asked(incident: &Incident, pid: u32, tid: u32) -> bool {
    incident.trigger.as_ref().filter(|trigger| trigger.order != Some(-1)).is_some_and(|trigger| {
        match (trigger.pid, trigger.tid) {
            (Some(asker), _) => asker == pid,
            (None, Some(asker)) => asker == pid || asker == tid,
            (None, None) => false,
        }
    })
}

/// Reclaim before it was seen.
pub(super) fn saw_reclaim(incident: &Incident) -> bool {
    incident.escalation.as_ref().is_some_and(Escalation::saw_reclaim)
}

/// Only the kernel's log tells of it, and it says nothing of what comes before and after.
pub(crate) fn log_alone(incident: &Incident) -> bool {
    let Incident { oom_path_ns, recovery_ns, freed_bytes, .. } = incident;
    matches!(incident.evidence.level, Level::Log | Level::Kmsg)
        && !saw_reclaim(incident)
        && oom_path_ns.or(*recovery_ns).or(*freed_bytes).is_none()
        && incident.victims.iter().all(|victim| victim.exited_boottime_ns.is_none())
}

/// The victim that the incident is named after.
pub(crate) fn main_victim(incident: &Incident) -> Option<&Victim> {
    incident.victims.iter().find(|victim| victim.role == Role::Selected).or_else(|| incident.victims.first())
}

/// Memory in RAM. `None` if a part of it is unknown.
pub(crate) fn resident(memory: &Memory) -> Option<u64> {
    memory.rss_bytes.or_else(|| {
        let (anon, file, shmem) = (memory.anon_bytes?, memory.file_bytes?, memory.shmem_bytes?);
        Some(anon.saturating_add(file).saturating_add(shmem))
    })
}

/// What `oom_badness` counts of a process: memory in RAM, swap, page tables.
pub(crate) fn counted(memory: &Memory) -> Option<u64> {
    Some(resident(memory)?.saturating_add(memory.swap_bytes?).saturating_add(memory.pgtables_bytes?))
}

/// `one page`, `8 contiguous pages`.
pub(super) fn pages(order: i32) -> String {
    match order {
        0 => "one page".to_owned(),
        1..=32 => format!("{} contiguous pages", units::count(1 << order)),
        _ => format!("memory of order {order}"),
    }
}

/// A limit in bytes.
pub(crate) fn limit(bytes: Option<u64>) -> String {
    match bytes {
        Some(NO_LIMIT..) => "no limit".to_owned(),
        bytes => units::maybe_bytes(bytes),
    }
}

/// The kind of a limit in a word.
pub(crate) fn scope(kind: ScopeKind) -> &'static str {
    match kind {
        ScopeKind::Global => "machine",
        ScopeKind::Memcg => "memcg",
        ScopeKind::Cpuset => "cpuset",
        ScopeKind::MemoryPolicy => "NUMA policy",
        ScopeKind::Sysrq => "sysrq",
    }
}

/// Why a process was passed over, after "exempt:".
pub(crate) fn exempt(reason: ExemptReason) -> &'static str {
    match reason {
        ExemptReason::AdjMin => "oom_score_adj -1000",
        ExemptReason::AlreadyReaped => "already reaped",
        ExemptReason::Vfork => "in vfork",
        ExemptReason::KernelThread => "kernel thread",
        ExemptReason::Init => "init",
        ExemptReason::OtherNode => "memory on other nodes",
        ExemptReason::NoMm => "no memory, exiting",
    }
}

/// The reason for several at once: `61 kernel threads`.
pub(super) fn exempt_count(reason: Option<ExemptReason>, number: u64) -> String {
    let with = |text: &str| format!("{} {text}", units::count(number));
    match reason {
        Some(ExemptReason::AdjMin) => with("more at oom_score_adj -1000"),
        Some(ExemptReason::AlreadyReaped) => with("reaped already"),
        Some(ExemptReason::Vfork) => with("in vfork"),
        Some(ExemptReason::KernelThread) => units::plural(number, "kernel thread", "kernel threads"),
        Some(ExemptReason::Init) => "init".to_owned(),
        Some(ExemptReason::OtherNode) => with("on other nodes"),
        Some(ExemptReason::NoMm) => with("without memory"),
        None => with("for a reason that was not seen"),
    }
}

/// A sentence with how sure it is: `Likely: swap was full`, `Swap was full`.
pub(crate) fn sure(confidence: Confidence, title: &str) -> String {
    let mut text = match confidence {
        Confidence::Certain => "",
        Confidence::Likely => "Likely: ",
        Confidence::Possible => "Possibly: ",
    }
    .to_owned();
    let mut title = title.chars();
    match title.next() {
        Some(first) if !text.is_empty() => text.extend(first.to_lowercase()),
        Some(first) => text.extend(first.to_uppercase()),
        None => {}
    }
    text.push_str(title.as_str());
    text
}

/// The same as [`Prose::say`], but no line ends between a number and its unit.
pub(super) fn say_whole(prose: &mut Prose, text: &str) {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_unit = |word: &str| {
        ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter().any(|unit| word.starts_with(unit))
    };
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        prose.say(Tone::Plain, " ");
        match words.next_if(|unit| is_number(word) && is_unit(unit)) {
            Some(unit) => prose.atom(Tone::Plain, &format!("{word} {unit}")),
            None => prose.atom(Tone::Plain, word),
        };
    }
}
