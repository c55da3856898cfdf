//! The field table: one row for each offset that the BPF programs want, resolved from the running kernel's BTF.
//!
//! To add a field: a name in `oom-ebpf/src/programs/fields.rs` and a row here.

use super::btf::{Answers, Wanted};
use oom_ebpf::ABSENT;
use std::collections::BTreeMap;

/// Whether the programs can do without a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Without it no BPF program makes sense.
    Required,
    /// Without it something is missing in the evidence.
    Optional,
}
use Need::{Optional, Required};

/// Global of the BPF object, path in BTF (`|` between names of different kernels), need.
const FIELDS: &[(&str, &str, Need)] = &[
    ("TASK_MM", "task_struct.mm", Required),
    ("TASK_PID", "task_struct.pid", Required),
    ("TASK_TGID", "task_struct.tgid", Required),
    ("TASK_COMM", "task_struct.comm", Required),
    ("TASK_SIGNAL", "task_struct.signal", Required),
    ("TASK_FLAGS", "task_struct.flags", Required),
    ("TASK_REAL_CRED", "task_struct.real_cred", Optional),
    ("TASK_GROUP_LEADER", "task_struct.group_leader", Required),
    ("TASK_START_BOOTTIME", "task_struct.start_boottime|real_start_time", Required),
    ("TASK_CGROUPS", "task_struct.cgroups", Optional),
    ("TASK_THREAD_NODE", "task_struct.thread_node", Optional),
    ("TASK_VFORK_DONE", "task_struct.vfork_done", Optional),
    ("TASK_REAL_PARENT", "task_struct.real_parent", Optional),
    ("TASK_THREAD_PID", "task_struct.thread_pid", Optional),
    ("PID_LEVEL", PID_LEVEL, Optional),
    ("UPID_NS", "upid.ns", Optional),
    ("PID_NS_CHILD_REAPER", "pid_namespace.child_reaper", Optional),
    ("SIGNAL_OOM_SCORE_ADJ", "signal_struct.oom_score_adj", Required),
    ("SIGNAL_LIVE", "signal_struct.live", Required),
    ("SIGNAL_THREAD_HEAD", "signal_struct.thread_head", Optional),
    ("MM_PGTABLES_BYTES", "mm_struct.pgtables_bytes", Optional),
    ("MM_TOTAL_VM", "mm_struct.total_vm", Optional),
    ("MM_FLAGS", "mm_struct.flags", Optional),
    ("MM_USERS", "mm_struct.mm_users", Optional),
    ("CRED_UID", "cred.uid", Optional),
    ("CSS_CGROUP", "cgroup_subsys_state.cgroup", Optional),
    ("CSS_PARENT", "cgroup_subsys_state.parent", Optional),
    ("CSS_CHILDREN", "cgroup_subsys_state.children", Optional),
    ("CSS_SIBLING", "cgroup_subsys_state.sibling", Optional),
    ("CGROUP_KN", "cgroup.kn", Optional),
    ("KERNFS_PARENT", "kernfs_node.__parent|parent", Optional),
    ("KERNFS_NAME", "kernfs_node.name", Optional),
    ("KERNFS_ID", "kernfs_node.id", Optional),
    ("MEMCG_CSS", "mem_cgroup.css", Optional),
    ("MEMCG_USAGE", "mem_cgroup.memory.usage", Optional),
    ("MEMCG_MAX", "mem_cgroup.memory.max", Optional),
    ("MEMCG_HIGH", "mem_cgroup.memory.high", Optional),
    ("MEMCG_OOM_GROUP", "mem_cgroup.oom_group", Optional),
    ("OC_MEMCG", "oom_control.memcg", Required),
    ("OC_GFP_MASK", "oom_control.gfp_mask", Required),
    ("OC_ORDER", "oom_control.order", Required),
    ("OC_TOTALPAGES", "oom_control.totalpages", Required),
    ("OC_CHOSEN", "oom_control.chosen", Required),
    ("OC_CHOSEN_POINTS", "oom_control.chosen_points", Required),
    ("OC_CONSTRAINT", "oom_control.constraint", Required),
    ("CSS_SERIAL_NR", "cgroup_subsys_state.serial_nr", Optional),
    ("ZONEREF_ZONE", "zoneref.zone", Optional),
    ("ZONE_NODE", "zone.node", Optional),
    ("ZONE_NAME", "zone.name", Optional),
];

/// Swap counters; on cgroup v1 the same place counts memory and swap together, so they are left absent there.
const SWAP_FIELDS: &[(&str, &str)] =
    &[("MEMCG_SWAP_USAGE", "mem_cgroup.swap.usage"), ("MEMCG_SWAP_MAX", "mem_cgroup.swap.max")];

const PID_LEVEL: &str = "pid.level";
const RSS_STAT: &str = "mm_struct.rss_stat";
/// One number for each PID namespace, from the machine's to the process' own.
const PID_NUMBERS: &str = "pid.numbers";
const PERCPU_COUNT: &str = "percpu_counter.count";
const CSS_SET_SUBSYS: &str = "css_set.subsys";
const MEMORY_CGRP_ID: (&str, &str) = ("cgroup_subsys_id", "memory_cgrp_id");
/// What a run of compaction ends with if it made a block.
pub const COMPACT_SUCCESS: (&str, &str) = ("compact_result", "COMPACT_SUCCESS");
/// Counters in `mm_struct.rss_stat` (`NR_MM_COUNTERS`).
const RSS_COUNTERS: u32 = 4;

/// What the programs are told about the running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Global of the BPF object -> its value.
    pub values: BTreeMap<&'static str, u64>,
    /// Required fields that this kernel does not have.
    pub missing_required: Vec<&'static str>,
    /// Optional fields that it does not have.
    pub missing_optional: Vec<&'static str>,
}

/// What to ask BTF for, besides functions and tracepoints.
pub fn paths() -> Vec<&'static str> {
    let table = FIELDS.iter().map(|(_, path, _)| *path).chain(SWAP_FIELDS.iter().map(|(_, path)| *path));
    table.chain([RSS_STAT, PID_NUMBERS, PERCPU_COUNT, CSS_SET_SUBSYS]).collect()
}

/// Questions about the fields, with functions and tracepoints of the probe table.
pub fn wanted<'a>(paths: &'a [&'a str], funcs: &'a [&'a str], tracepoints: &'a [&'a str]) -> Wanted<'a> {
    Wanted { fields: paths, funcs, tracepoints, enums: &[MEMORY_CGRP_ID, COMPACT_SUCCESS] }
}

/// The table's rows with this kernel's answers. `cgroup_v2`: the memory controller is on the v2 hierarchy.
pub fn resolve(answers: &Answers, cgroup_v2: bool) -> Offsets {
    let mut offsets = Offsets::default();
    for (global, path, need) in FIELDS {
        let found = answers.field(path).map(|field| field.offset);
        offsets.put(global, path, found, *need);
    }
    for (global, path) in SWAP_FIELDS {
        let found = answers.field(path).map(|field| field.offset).filter(|_| cgroup_v2);
        offsets.values.insert(global, found.map_or(ABSENT, u64::from));
    }
    let css = answers.field(CSS_SET_SUBSYS).zip(answers.enumerator(MEMORY_CGRP_ID.0, MEMORY_CGRP_ID.1));
    let css = css.and_then(|(subsys, id)| u32::try_from(id).ok()?.checked_mul(8)?.checked_add(subsys.offset));
    offsets.put("CSS_SET_MEMORY", "css_set.subsys[memory_cgrp_id]", css, Optional);
    let rss = rss_stat(answers);
    offsets.put("MM_RSS_STAT", RSS_STAT, rss.map(|(first, _)| first), Optional);
    offsets.values.insert("MM_RSS_STRIDE", rss.map_or(ABSENT, |(_, stride)| stride.into()));
    // Without a level none of them is the process' own.
    let numbers = answers.field(PID_LEVEL).and_then(|_| answers.field(PID_NUMBERS));
    let numbers = numbers.and_then(|field| Some((field.offset, field.elem.as_ref()?.size)));
    offsets.put("PID_NUMBERS", PID_NUMBERS, numbers.map(|(first, _)| first), Optional);
    offsets.values.insert("PID_NUMBERS_STRIDE", numbers.map_or(ABSENT, |(_, stride)| stride.into()));
    offsets
}

/// First counter and the distance to the next: an array of `percpu_counter`, or `struct mm_rss_stat` with one of
/// `atomic_long_t` (up to 6.1).
fn rss_stat(answers: &Answers) -> Option<(u32, u32)> {
    let field = answers.field(RSS_STAT)?;
    match &field.elem {
        Some(elem) => Some((field.offset.checked_add(answers.field(PERCPU_COUNT)?.offset)?, elem.size)),
        None => Some((field.offset, field.size? / RSS_COUNTERS)),
    }
}

impl Offsets {
    fn put(&mut self, global: &'static str, path: &'static str, offset: Option<u32>, need: Need) {
        self.values.insert(global, offset.map_or(ABSENT, u64::from));
        match (offset, need) {
            (Some(_), _) => {}
            (None, Required) => self.missing_required.push(path),
            (None, Optional) => self.missing_optional.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::{
        self,
        fixtures::{KERNELS, btf_of},
    };

    #[test]
    fn every_field_is_there_on_every_kernel() {
        for kernel in KERNELS {
            let paths = paths();
            let answers = btf::read(btf_of(kernel), &wanted(&paths, &[], &[])).unwrap();
            let offsets = resolve(&answers, true);
            assert_eq!(offsets.missing_required, Vec::<&str>::new(), "{kernel}");
            assert_eq!(offsets.missing_optional, Vec::<&str>::new(), "{kernel}");
            let stride = if kernel.starts_with("5.10") || kernel.starts_with("6.1.") { 8 } else { 40 };
            assert_eq!(offsets.values["MM_RSS_STRIDE"], stride, "{kernel}");
            assert_eq!(offsets.values["PID_NUMBERS_STRIDE"], 16, "{kernel}");
        }
    }

    #[test]
    fn swap_of_cgroup_v1_is_left_out() {
        let paths = paths();
        let btf = btf_of(KERNELS[0]);
        let answers = btf::read(btf, &wanted(&paths, &[], &[])).unwrap();
        assert_ne!(resolve(&answers, true).values["MEMCG_SWAP_MAX"], ABSENT);
        assert_eq!(resolve(&answers, false).values["MEMCG_SWAP_MAX"], ABSENT);
    }

    /// Whether something could be at an address in a half of the address space, all ones above `bits` or all zeroes. `ignored`:
    /// bits that arm64 may not look at (top byte ignore).
    fn is_in_a_half(address: u64, bits: u32, ignored: u64) -> bool {
        (address | ignored) as i64 >> bits == -1 || (address & !ignored) >> bits == 0
    }

    #[test]
    fn nothing_is_at_an_absent_offset() {
        // x86_64 with 4 and with 5 levels of page tables; arm64 with 48 and with 52 bits.
        for (bits, is_arm) in [(47, false), (56, false), (48, true), (52, true)] {
            let lowest = u64::MAX << bits;
            let within = [0, 1, 1 << 20, 1 << (bits - 2), 1 << (bits - 1), (1 << bits) - 1];
            let bases = within.map(|offset| lowest + offset).into_iter().chain([0, 64, 4096]);
            for base in bases {
                for address in [base.wrapping_add(ABSENT), base.wrapping_sub(ABSENT)] {
                    let is_there = if is_arm {
                        is_in_a_half(address, bits, 0) || is_in_a_half(address, bits, 0xff << 56)
                    } else {
                        // What is the user's is refused.
                        address as i64 >> bits == -1
                    };
                    assert!(!is_there, "{base:#x} with {bits} bits: {address:#x}");
                }
            }
        }
        assert!(is_in_a_half(u64::MAX << 48, 48, 0) && is_in_a_half(1 << 47, 48, 0));
    }

    #[test]
    fn a_kernel_without_a_required_field_is_told() {
        let offsets = resolve(&Answers::default(), true);
        assert!(offsets.missing_required.contains(&"oom_control.chosen"));
        assert!(offsets.values.values().all(|offset| *offset == ABSENT));
    }
}
