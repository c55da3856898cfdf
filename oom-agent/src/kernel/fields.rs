//! The field table: one row for each offset that the BPF programs want, resolved from the running kernel's BTF.
//!
//! To add a field: its place in `oom-ebpf/src/field.rs` and a row here.

use super::btf::{Answers, Wanted};
use oom_ebpf::{ABSENT, FIELDS, Field, Offsets};

/// Whether the programs can do without a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Without it no BPF program makes sense.
    Required,
    /// Without it something is missing in the evidence.
    Optional,
}
use Need::{Optional, Required};

/// Field, path in BTF (`|` between names of different kernels), need.
const TABLE: &[(Field, &str, Need)] = &[
    (Field::TaskMm, "task_struct.mm", Required),
    (Field::TaskPid, "task_struct.pid", Required),
    (Field::TaskTgid, "task_struct.tgid", Required),
    (Field::TaskComm, "task_struct.comm", Required),
    (Field::TaskSignal, "task_struct.signal", Required),
    (Field::TaskFlags, "task_struct.flags", Required),
    (Field::TaskRealCred, "task_struct.real_cred", Optional),
    (Field::TaskGroupLeader, "task_struct.group_leader", Required),
    (Field::TaskStartBoottime, "task_struct.start_boottime|real_start_time", Required),
    (Field::TaskCgroups, "task_struct.cgroups", Optional),
    (Field::TaskThreadNode, "task_struct.thread_node", Optional),
    (Field::TaskVforkDone, "task_struct.vfork_done", Optional),
    (Field::TaskRealParent, "task_struct.real_parent", Optional),
    (Field::TaskThreadPid, "task_struct.thread_pid", Optional),
    (Field::PidLevel, PID_LEVEL, Optional),
    (Field::UpidNs, "upid.ns", Optional),
    (Field::PidNsChildReaper, "pid_namespace.child_reaper", Optional),
    (Field::SignalOomScoreAdj, "signal_struct.oom_score_adj", Required),
    (Field::SignalLive, "signal_struct.live", Required),
    (Field::SignalThreadHead, "signal_struct.thread_head", Optional),
    (Field::MmPgtablesBytes, "mm_struct.pgtables_bytes", Optional),
    (Field::MmTotalVm, "mm_struct.total_vm", Optional),
    (Field::MmFlags, "mm_struct.flags", Optional),
    (Field::MmUsers, "mm_struct.mm_users", Optional),
    (Field::CredUid, "cred.uid", Optional),
    (Field::CssCgroup, "cgroup_subsys_state.cgroup", Optional),
    (Field::CssParent, "cgroup_subsys_state.parent", Optional),
    (Field::CssChildren, "cgroup_subsys_state.children", Optional),
    (Field::CssSibling, "cgroup_subsys_state.sibling", Optional),
    (Field::CgroupKn, "cgroup.kn", Optional),
    (Field::KernfsParent, "kernfs_node.__parent|parent", Optional),
    (Field::KernfsName, "kernfs_node.name", Optional),
    (Field::KernfsId, "kernfs_node.id", Optional),
    (Field::MemcgCss, "mem_cgroup.css", Optional),
    (Field::MemcgUsage, "mem_cgroup.memory.usage", Optional),
    (Field::MemcgMax, "mem_cgroup.memory.max", Optional),
    (Field::MemcgHigh, "mem_cgroup.memory.high", Optional),
    (Field::MemcgOomGroup, "mem_cgroup.oom_group", Optional),
    (Field::OcMemcg, "oom_control.memcg", Required),
    (Field::OcGfpMask, "oom_control.gfp_mask", Required),
    (Field::OcOrder, "oom_control.order", Required),
    (Field::OcTotalpages, "oom_control.totalpages", Required),
    (Field::OcChosen, "oom_control.chosen", Required),
    (Field::OcChosenPoints, "oom_control.chosen_points", Required),
    (Field::OcConstraint, "oom_control.constraint", Required),
    (Field::CssSerialNr, "cgroup_subsys_state.serial_nr", Optional),
    (Field::ZonerefZone, "zoneref.zone", Optional),
    (Field::ZoneNode, "zone.node", Optional),
    (Field::ZoneName, "zone.name", Optional),
];

/// Swap counters; on cgroup v1 the same place counts memory and swap together, so they are left absent there.
const SWAP_FIELDS: &[(Field, &str)] =
    &[(Field::MemcgSwapUsage, "mem_cgroup.swap.usage"), (Field::MemcgSwapMax, "mem_cgroup.swap.max")];

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// For the programs.
    pub offsets: Offsets,
    /// Required fields that this kernel does not have.
    pub missing_required: Vec<&'static str>,
    /// Optional fields that it does not have.
    pub missing_optional: Vec<&'static str>,
}

/// What to ask BTF for, besides functions and tracepoints.
pub fn paths() -> Vec<&'static str> {
    let table = TABLE.iter().map(|(_, path, _)| *path).chain(SWAP_FIELDS.iter().map(|(_, path)| *path));
    table.chain([RSS_STAT, PID_NUMBERS, PERCPU_COUNT, CSS_SET_SUBSYS]).collect()
}

/// Questions about the fields, with functions and tracepoints of the probe table.
pub fn wanted<'a>(paths: &'a [&'a str], funcs: &'a [&'a str], tracepoints: &'a [&'a str]) -> Wanted<'a> {
    Wanted { fields: paths, funcs, tracepoints, enums: &[MEMORY_CGRP_ID, COMPACT_SUCCESS] }
}

/// The table's rows with this kernel's answers. `cgroup_v2`: the memory controller is on the v2 hierarchy.
pub fn resolve(answers: &Answers, cgroup_v2: bool) -> Resolved {
    let nothing = [ABSENT; FIELDS];
    let mut resolved =
        Resolved { offsets: nothing, missing_required: Vec::new(), missing_optional: Vec::new() };
    for (field, path, need) in TABLE {
        let found = answers.field(path).map(|field| field.offset);
        resolved.put(*field, path, found, *need);
    }
    for (field, path) in SWAP_FIELDS {
        let found = answers.field(path).map(|field| field.offset).filter(|_| cgroup_v2);
        resolved.set(*field, found);
    }
    let css = answers.field(CSS_SET_SUBSYS).zip(answers.enumerator(MEMORY_CGRP_ID.0, MEMORY_CGRP_ID.1));
    let css = css.and_then(|(subsys, id)| u32::try_from(id).ok()?.checked_mul(8)?.checked_add(subsys.offset));
    resolved.put(Field::CssSetMemory, "css_set.subsys[memory_cgrp_id]", css, Optional);
    let rss = rss_stat(answers);
    resolved.put(Field::MmRssStat, RSS_STAT, rss.map(|(first, _)| first), Optional);
    resolved.set(Field::MmRssStride, rss.map(|(_, stride)| stride));
    // Without a level none of them is the process' own.
    let numbers = answers.field(PID_LEVEL).and_then(|_| answers.field(PID_NUMBERS));
    let numbers = numbers.and_then(|field| Some((field.offset, field.elem.as_ref()?.size)));
    resolved.put(Field::PidNumbers, PID_NUMBERS, numbers.map(|(first, _)| first), Optional);
    resolved.set(Field::PidNumbersStride, numbers.map(|(_, stride)| stride));
    resolved
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

impl Resolved {
    fn set(&mut self, field: Field, offset: Option<u32>) {
        self.offsets[field as usize] = offset.map_or(ABSENT, u64::from);
    }

    fn put(&mut self, field: Field, path: &'static str, offset: Option<u32>, need: Need) {
        self.set(field, offset);
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
            let resolved = resolve(&answers, true);
            assert_eq!(resolved.missing_required, Vec::<&str>::new(), "{kernel}");
            assert_eq!(resolved.missing_optional, Vec::<&str>::new(), "{kernel}");
            assert!(!resolved.offsets.contains(&ABSENT), "a field has no row: {kernel}");
            let stride = if kernel.starts_with("5.10") || kernel.starts_with("6.1.") { 8 } else { 40 };
            assert_eq!(resolved.offsets[Field::MmRssStride as usize], stride, "{kernel}");
            assert_eq!(resolved.offsets[Field::PidNumbersStride as usize], 16, "{kernel}");
        }
    }

    #[test]
    fn swap_of_cgroup_v1_is_left_out() {
        let paths = paths();
        let btf = btf_of(KERNELS[0]);
        let answers = btf::read(btf, &wanted(&paths, &[], &[])).unwrap();
        assert_ne!(resolve(&answers, true).offsets[Field::MemcgSwapMax as usize], ABSENT);
        assert_eq!(resolve(&answers, false).offsets[Field::MemcgSwapMax as usize], ABSENT);
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
        let resolved = resolve(&Answers::default(), true);
        assert!(resolved.missing_required.contains(&"oom_control.chosen"));
        assert!(resolved.offsets.iter().all(|offset| *offset == ABSENT));
    }
}
