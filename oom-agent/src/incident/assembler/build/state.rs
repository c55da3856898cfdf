//! How full everything was: the kernel's own counters, else its report's, else files'.

use super::{Parts, memory};
use crate::incident::assembler::levels::Filled;
use crate::incident::fact::{Child, FileCgroup, Files, Level};
use crate::incident::model::{Limits, Scope, ScopeKind};
use crate::incident::state::{CgroupState, Counters, Source, State, upwards};

/// What of `memory.stat` is told of cgroups that are not the full one.
const BREAK_DOWN: [&str; 11] = [
    "anon_bytes",
    "file_bytes",
    "kernel_bytes",
    "kernel_stack_bytes",
    "pagetables_bytes",
    "percpu_bytes",
    "shmem_bytes",
    "slab_reclaimable_bytes",
    "slab_unreclaimable_bytes",
    "sock_bytes",
    "unevictable_bytes",
];

/// The state, as far as it came. `None`: nothing did.
pub(super) fn state(parts: &Parts<'_>, scope: &Scope, limits: &Limits) -> Option<State> {
    let files = parts.pending.logged.files.as_deref().filter(|files| files.read_ns.is_some());
    let memcg = scope.kind == Some(ScopeKind::Memcg);
    let base = if memcg { scope.cgroup.as_deref() } else { Some("/") };
    let cgroups = if memcg { cgroups(parts, scope, limits, files) } else { Vec::new() };
    let (children, children_total) = children(parts, base, files);
    let machine = files.and_then(|files| files.machine.clone());
    if cgroups.is_empty() && children.is_empty() && children_total.is_none() && machine.is_none() {
        return None;
    }
    let entered = super::begin(parts);
    let read_ns = files.and_then(|files| files.read_ns);
    Some(State {
        cgroups,
        children,
        children_total,
        machine,
        files_read_after_ns: read_ns.zip(entered).map(|(read, entered)| read.saturating_sub(entered)),
    })
}

/// The break-down of the full cgroup from its files, where the kernel printed none. What is wrong with them, if it is not
/// told: the kernel adds up its processors' parts one after the other (`css_rstat_flush`, kernel/cgroup/rstat.c), and what
/// is freed and charged meanwhile may be in the sum twice.
pub(super) fn memory(parts: &Parts<'_>, scope: &Scope, limits: &Limits) -> (Counters, Option<&'static str>) {
    let files = parts.pending.logged.files.as_deref();
    let full = files.and_then(|files| files.levels.first()).filter(|_| scope.kind == Some(ScopeKind::Memcg));
    let told = full
        .filter(|full| Some(full.cgroup.as_str()) == scope.cgroup.as_deref())
        .map(|full| memory::named(&full.stat))
        .unwrap_or_default();
    let part = |name: &str| told.get(name).copied().unwrap_or(0);
    let sum = part("anon_bytes").saturating_add(part("file_bytes"));
    // With a limit that was lowered more is in use (`memory_max_write`).
    let most = limits.memory_bytes.map(|limit| limit.max(limits.usage_bytes.unwrap_or(0)));
    if most.is_some_and(|most| sum > most.saturating_add(most / 100)) {
        let doubt = "The full cgroup's files tell of more memory than was in use: it changed while they were read, so what they \
                     say is not shown.";
        return (Counters::new(), Some(doubt));
    }
    (told, None)
}

/// The full one and those above it. It ends where one is missing.
fn cgroups(parts: &Parts<'_>, scope: &Scope, limits: &Limits, files: Option<&Files>) -> Vec<CgroupState> {
    let Filled { levels, .. } = parts.filled;
    let Some(path) = scope.cgroup.as_deref() else { return Vec::new() };
    let mut found = Vec::new();
    for (depth, cgroup) in upwards(path).enumerate() {
        let file = files.and_then(|files| files.levels.iter().find(|file| file.cgroup == cgroup));
        let id = |level: Option<u64>| level.or_else(|| file.and_then(|file| file.id));
        let told = match levels.get(&depth) {
            Some(level) => from_kernel(cgroup, level),
            // Without the kernel's counters the report tells of the full one, and files of the rest.
            None if depth == 0 && !limits.is_empty() && files.is_some() && levels.is_empty() => CgroupState {
                usage_bytes: limits.usage_bytes,
                max_bytes: limits.memory_bytes,
                swap_usage_bytes: limits.swap_usage_bytes,
                swap_max_bytes: limits.swap_bytes,
                high_bytes: file.and_then(|file| file.high_bytes),
                oom_group: file.and_then(|file| file.oom_group),
                ..CgroupState::new(cgroup, id(scope.cgroup_id), Source::Report)
            },
            None => match file.filter(|_| levels.is_empty()) {
                Some(file) => from_file(file),
                None => break,
            },
        };
        // Of the full one it is the incident's own.
        let file = file.filter(|_| depth > 0);
        found.push(with_memory(told, file));
    }
    found
}

fn children(parts: &Parts<'_>, base: Option<&str>, files: Option<&Files>) -> (Vec<CgroupState>, Option<u64>) {
    let Filled { levels, children, .. } = parts.filled;
    let Some(base) = base else { return (Vec::new(), None) };
    let file = |path: &str| files.and_then(|files| files.children.iter().find(|file| file.cgroup == path));
    if let Some(first) = levels.get(&0).filter(|first| first.children.is_some()) {
        let told = children.iter().map(|child| {
            let path = below(base, &child.name);
            let told = of_child(&path, child);
            with_memory(told, file(&path))
        });
        return (told.collect(), first.children.filter(|_| !first.children_rest));
    }
    let told = files.map(|files| files.children.iter().map(|file| with_memory(from_file(file), Some(file))));
    (told.into_iter().flatten().collect(), files.and_then(|files| files.children_total))
}

/// What is missing of it, in words.
pub(super) fn notes(parts: &Parts<'_>, notes: &mut Vec<String>) {
    let Filled { levels, received, children, .. } = parts.filled;
    let lost = parts.pending.end.map_or(0, |end| end.levels_lost);
    if lost > 0 {
        notes.push(format!("{lost} records of how full cgroups were are lost."));
    }
    if let Some(first) = levels.get(&0) {
        let missing = first.children_sent.saturating_sub(*received);
        if missing > 0 {
            notes.push(format!("{missing} child cgroups are not known, perhaps large ones."));
        }
        if let Some(looked) = first.children.filter(|_| first.children_rest) {
            notes.push(format!("Only the first {looked} child cgroups were looked at."));
        }
    }
    if children.iter().any(|child| child.cut) {
        notes.push("The name of a child cgroup was too long for its record: it is cut.".to_owned());
    }
    let files = parts.pending.logged.files.as_deref();
    if files.is_some_and(|files| files.read_ns.is_none()) {
        notes.push(
            "Too many kills at once: files of the cgroups and of the machine were not read.".to_owned(),
        );
    }
}

fn from_kernel(cgroup: &str, level: &Level) -> CgroupState {
    CgroupState {
        usage_bytes: level.usage_bytes,
        max_bytes: level.max_bytes,
        high_bytes: level.high_bytes,
        swap_usage_bytes: level.swap_usage_bytes,
        swap_max_bytes: level.swap_max_bytes,
        oom_group: level.oom_group,
        ..CgroupState::new(cgroup, level.id, Source::Kernel)
    }
}

fn of_child(cgroup: &str, child: &Child) -> CgroupState {
    CgroupState {
        usage_bytes: child.usage_bytes,
        max_bytes: child.max_bytes,
        swap_usage_bytes: child.swap_usage_bytes,
        ..CgroupState::new(cgroup, child.id, Source::Kernel)
    }
}

fn from_file(file: &FileCgroup) -> CgroupState {
    CgroupState {
        usage_bytes: file.usage_bytes,
        max_bytes: file.max_bytes,
        high_bytes: file.high_bytes,
        swap_usage_bytes: file.swap_usage_bytes,
        swap_max_bytes: file.swap_max_bytes,
        oom_group: file.oom_group,
        ..CgroupState::new(&file.cgroup, file.id, Source::Files)
    }
}

/// What it is made of, from its files, as far as they are the same cgroup's: a new one may have its name.
fn with_memory(mut told: CgroupState, file: Option<&FileCgroup>) -> CgroupState {
    let same = |file: &&FileCgroup| file.id.zip(told.cgroup_id).is_none_or(|(file, told)| file == told);
    if let Some(file) = file.filter(same) {
        told.memory = memory::named(&file.stat);
        told.memory.retain(|name, _| BREAK_DOWN.contains(&name.as_ref()));
        told.memory_source = (!told.memory.is_empty()).then_some(Source::Files);
    }
    told
}

/// The path of a child.
fn below(base: &str, name: &str) -> String {
    format!("{}/{name}", base.trim_end_matches('/'))
}
