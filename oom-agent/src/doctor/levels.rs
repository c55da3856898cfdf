//! What can be seen at which level.

use super::{Bpf, Diagnosis, LogBy};
use crate::incident::model::Level;

/// A level and what it shows, best first.
pub(super) const LEVELS: [(Level, &str); 3] = [
    (
        Level::Full,
        "every call of the OOM killer: who asked, the limit, all candidates with the kernel's points, the \
         decision, victims, exits, reclaim before; with the kernel's report, where one is logged",
    ),
    (
        Level::Tracepoint,
        "victims, exits and reclaim by BPF; the rest from the kernel's report, where one is logged",
    ),
    (Level::Kmsg, "only the kernel's report, where one is logged (at most 10 in 5 s)"),
];

/// The level that works here. `None`: none does.
pub fn level(diagnosis: &Diagnosis) -> Option<Level> {
    match (&diagnosis.bpf, &diagnosis.kernel_log) {
        (Bpf::Attached(level), _) => Some(*level),
        (Bpf::Refused(_) | Bpf::NotTried(_), Ok(LogBy::Device)) => Some(Level::Kmsg),
        (Bpf::Refused(_) | Bpf::NotTried(_), Ok(LogBy::Syslog) | Err(_)) => None,
    }
}

/// As the JSON has it.
pub fn name(level: Option<Level>) -> &'static str {
    match level {
        Some(Level::Full) => "full",
        Some(Level::Tracepoint) => "tracepoint",
        Some(Level::Kmsg | Level::Log) => "kmsg",
        None => "none",
    }
}

/// Whether a level can be had here.
pub(super) fn here(diagnosis: &Diagnosis, wanted: Level) -> &'static str {
    let used = level(diagnosis);
    match (&diagnosis.bpf, wanted) {
        _ if used == Some(wanted) => "used",
        (_, Level::Kmsg | Level::Log) if diagnosis.kernel_log == Ok(LogBy::Device) => "yes",
        (Bpf::Attached(Level::Full), Level::Tracepoint) => "yes",
        (Bpf::NotTried(_), Level::Full | Level::Tracepoint) => "not tried",
        _ => "no",
    }
}

/// The level as a sentence.
pub(super) fn sentence(diagnosis: &Diagnosis) -> String {
    match (level(diagnosis), &diagnosis.bpf) {
        (Some(Level::Full), _) => {
            let lacking = diagnosis.hooks.iter().filter(|hook| hook.used.is_none());
            let lacking: Vec<_> = lacking.map(|hook| hook.target).collect();
            let but =
                if lacking.is_empty() { String::new() } else { format!(", but not {}", lacking.join(", ")) };
            format!("full level: the whole of every OOM can be seen{but}")
        }
        (Some(Level::Tracepoint), _) if diagnosis.kernel_log.is_ok() => {
            "tracepoint level: victims and reclaim by BPF, the rest by the kernel's log".into()
        }
        (Some(Level::Tracepoint), _) => {
            "tracepoint level without the kernel's log: only victims and reclaim".into()
        }
        (Some(Level::Kmsg | Level::Log), Bpf::NotTried(_)) => {
            "kmsg level: with these privileges only the kernel's log (trace --max-level kmsg)".into()
        }
        (Some(Level::Kmsg | Level::Log), _) => "kmsg level: only the kernel's log".into(),
        (None, Bpf::NotTried(_)) => "no level: with these privileges nothing can be seen".into(),
        (None, _) => "no level: neither BPF nor the kernel's log can be used".into(),
    }
}
