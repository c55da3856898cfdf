//! cgroupfs and procfs, read for one kill.

use super::{Request, Where};
use crate::{
    incident::{
        escalation::{Pressure, Pressures},
        fact::{FileCgroup, Files, Of},
        state::{CHILDREN, MachineState, upwards},
    },
    kernel::host::{meminfo, meminfo_bytes, read_file},
    source::cgroupfs::{Dir, Tree},
};
use std::{collections::BTreeMap, fs::read_dir, path::Path};

/// Levels that are read, from the full cgroup upwards.
const LEVELS: usize = 12;
/// Children that are looked at for the largest, where the kernel did not tell of them.
const LOOKED_AT: usize = 256;

/// Nothing was read.
pub(super) fn none(of: Of) -> Files {
    let (levels, children) = (Vec::new(), Vec::new());
    let pressure = Pressures::default();
    Files { of, read_ns: None, levels, children, children_total: None, machine: None, pressure }
}

/// Reads it: what is gone soonest first.
pub(super) fn read(root: &Path, tree: Option<&Tree>, request: &Request) -> Files {
    let Request { of, scope, told } = request;
    let mut files = none(*of);
    let base = match scope {
        Where::Cgroup(cgroup, _) => Some(cgroup.as_str()),
        Where::Machine => Some("/"),
        Where::Unknown => None,
    };
    // No cgroup's name is `..`: it would lead out of the tree.
    let base = base.filter(|base| base.starts_with('/') && !base.split('/').any(|part| part == ".."));
    if let (Some(tree), Some(base)) = (tree, base) {
        // Another one of that name says nothing about it.
        let same = match (scope, tree.at(base).id()) {
            (_, None) => false,
            (Where::Cgroup(_, Some(wanted)), Some(id)) => *wanted == id,
            _ => true,
        };
        let read = |cgroup: &str| file_cgroup(tree, cgroup, told.is_some());
        let levels = if matches!(scope, Where::Machine) { 0 } else { LEVELS };
        if same && levels > 0 {
            files.levels.extend(read(base));
            files.pressure.cgroup = tree.at(base).text("memory.pressure").and_then(|text| pressure(&text));
        }
        if same {
            match told {
                Some(names) => {
                    files.children.extend(names.iter().filter_map(|name| read(&below(base, name))));
                }
                None => children(tree, base, &mut files),
            }
        }
        files.levels.extend(upwards(base).take(levels).skip(1).filter_map(read));
    }
    files.machine = machine(root);
    files.pressure.machine = read_file(root, "proc/pressure/memory").ok().and_then(|text| pressure(&text));
    files
}

fn below(base: &str, name: &str) -> String {
    format!("{}/{name}", base.trim_end_matches('/'))
}

/// The largest children, and how many there are.
fn children(tree: &Tree, base: &str, files: &mut Files) {
    let Ok(entries) = read_dir(&tree.at(base).0) else { return };
    let dirs = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_dir().then(|| entry.file_name().into_string().ok())
    });
    let name = if tree.v2 { "memory.current" } else { "memory.usage_in_bytes" };
    let mut total = 0;
    let mut sizes = Vec::new();
    for dir in dirs.take(LOOKED_AT + 1) {
        total += 1;
        let Some(child) = dir.map(|child| below(base, &child)).filter(|_| total <= LOOKED_AT) else {
            continue;
        };
        sizes.extend(tree.at(&child).number(name).filter(|bytes| *bytes > 0).map(|bytes| (bytes, child)));
    }
    sizes.sort_by(|(a, name), (b, other)| b.cmp(a).then_with(|| name.cmp(other)));
    files.children_total = (total <= LOOKED_AT).then_some(total as u64);
    let largest = sizes.into_iter().take(CHILDREN);
    files.children.extend(largest.filter_map(|(_, child)| file_cgroup(tree, &child, false)));
}

/// One cgroup. `told`: the kernel told of its usage and limits.
fn file_cgroup(tree: &Tree, cgroup: &str, told: bool) -> Option<FileCgroup> {
    let dir = tree.at(cgroup);
    let found = FileCgroup {
        cgroup: cgroup.to_owned(),
        id: Some(dir.id()?),
        stat: stat(&dir, tree.v2),
        ..FileCgroup::default()
    };
    if told {
        return Some(found);
    }
    let limit = |name: &str| Some(dir.limit(name)?.bytes().unwrap_or_else(unlimited));
    Some(if tree.v2 {
        FileCgroup {
            usage_bytes: dir.number("memory.current"),
            max_bytes: limit("memory.max"),
            high_bytes: limit("memory.high"),
            swap_usage_bytes: dir.number("memory.swap.current"),
            swap_max_bytes: limit("memory.swap.max"),
            oom_group: dir.text("memory.oom.group").map(|text| text == "1"),
            ..found
        }
    } else {
        FileCgroup {
            usage_bytes: dir.number("memory.usage_in_bytes"),
            max_bytes: limit("memory.limit_in_bytes"),
            ..found
        }
    })
}

/// What the kernel counts with where there is no limit (`PAGE_COUNTER_MAX`), in bytes.
pub(super) fn unlimited() -> u64 {
    let page = rustix::param::page_size() as u64;
    i64::MAX as u64 / page * page
}

/// `memory.stat`. v1 has each counter twice: its own, and with its children's, which is what v2 counts.
fn stat(dir: &Dir, v2: bool) -> BTreeMap<String, u64> {
    let text = dir.text("memory.stat").unwrap_or_default();
    let counters = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        let name = if v2 { name } else { name.strip_prefix("total_")? };
        Some((name.to_owned(), value.parse().ok()?))
    });
    counters.collect()
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, the times in microseconds, and the same of `full` (`psi_show`). `None`:
/// it is neither.
fn pressure(text: &str) -> Option<Pressure> {
    let value = |kind: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let average = |kind: &str, name: &str| value(kind, name)?.parse().ok();
    let total = |kind: &str| value(kind, "total")?.parse::<u64>().ok()?.checked_mul(1000);
    let found = Pressure {
        some_avg10: average("some", "avg10"),
        some_avg60: average("some", "avg60"),
        some_avg300: average("some", "avg300"),
        some_total_ns: total("some"),
        full_avg10: average("full", "avg10"),
        full_avg60: average("full", "avg60"),
        full_avg300: average("full", "avg300"),
        full_total_ns: total("full"),
    };
    (found != Pressure::default()).then_some(found)
}

/// `/proc/meminfo` and `/proc/sys/vm`. `None`: there is no such thing here.
fn machine(root: &Path) -> Option<MachineState> {
    let text = read_file(root, "proc/meminfo").ok()?;
    let bytes = |name: &str| meminfo_bytes(&text, name);
    let free_pages = meminfo(&text, "HugePages_Free").and_then(|pages| pages.parse::<u64>().ok());
    let overcommit = read_file(root, "proc/sys/vm/overcommit_memory").ok();
    Some(MachineState {
        total_bytes: bytes("MemTotal"),
        available_bytes: bytes("MemAvailable"),
        swap_total_bytes: bytes("SwapTotal"),
        swap_free_bytes: bytes("SwapFree"),
        committed_bytes: bytes("Committed_AS"),
        commit_limit_bytes: bytes("CommitLimit"),
        overcommit_memory: overcommit.and_then(|text| text.trim().parse().ok()),
        hugetlb_bytes: bytes("Hugetlb"),
        hugetlb_free_bytes: free_pages
            .zip(bytes("Hugepagesize"))
            .and_then(|(pages, size)| pages.checked_mul(size)),
        shmem_bytes: bytes("Shmem"),
    })
}
