//! The break-down of the memory in scope, as the kernel's report has it.

use crate::report::{Machine, Report};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Counters of `memory.stat` (`memory_stats` in `mm/memcontrol.c`, and v1's before 5.2) and of `show_mem` that are
/// bytes, sorted, and what they are called in an incident: as v2 calls them (v1's are `memcg1_stats` in
/// `mm/memcontrol-v1.c`), with the unit. The others count events.
const BYTE_COUNTERS: [(&str, &str); 43] = [
    ("active_anon", "active_anon_bytes"),
    ("active_file", "active_file_bytes"),
    ("anon", "anon_bytes"),
    ("anon_thp", "anon_thp_bytes"),
    ("bounce", "bounce_bytes"),
    ("cache", "file_bytes"),
    ("dirty", "file_dirty_bytes"),
    ("file", "file_bytes"),
    ("file_dirty", "file_dirty_bytes"),
    ("file_mapped", "file_mapped_bytes"),
    ("file_thp", "file_thp_bytes"),
    ("file_writeback", "file_writeback_bytes"),
    ("free", "free_bytes"),
    ("free_cma", "free_cma_bytes"),
    ("free_pcp", "free_pcp_bytes"),
    ("hugetlb", "hugetlb_bytes"),
    ("inactive_anon", "inactive_anon_bytes"),
    ("inactive_file", "inactive_file_bytes"),
    ("isolated_anon", "isolated_anon_bytes"),
    ("isolated_file", "isolated_file_bytes"),
    ("kernel", "kernel_bytes"),
    ("kernel_misc_reclaimable", "kernel_misc_reclaimable_bytes"),
    ("kernel_stack", "kernel_stack_bytes"),
    ("mapped_file", "file_mapped_bytes"),
    ("pagetables", "pagetables_bytes"),
    ("percpu", "percpu_bytes"),
    ("rss", "anon_bytes"),
    ("rss_huge", "anon_thp_bytes"),
    ("sec_pagetables", "sec_pagetables_bytes"),
    ("shmem", "shmem_bytes"),
    ("shmem_thp", "shmem_thp_bytes"),
    ("slab", "slab_bytes"),
    ("slab_reclaimable", "slab_reclaimable_bytes"),
    ("slab_unreclaimable", "slab_unreclaimable_bytes"),
    ("sock", "sock_bytes"),
    ("swap", "swap_bytes"),
    ("swapcached", "swapcached_bytes"),
    ("unevictable", "unevictable_bytes"),
    ("vmalloc", "vmalloc_bytes"),
    ("writeback", "file_writeback_bytes"),
    ("zswap", "zswap_bytes"),
    ("zswap_incomp", "zswap_incomp_bytes"),
    ("zswapped", "zswapped_bytes"),
];

/// The break-down under v2's names, with the unit, and what the machine has.
pub(super) fn memory(report: &Report) -> BTreeMap<Cow<'static, str>, u64> {
    let Machine {
        ram_bytes,
        reserved_bytes,
        swap_total_bytes,
        swap_free_bytes,
        swap_cache_bytes,
        cma_bytes,
        hwpoisoned_bytes,
        hugetlb_bytes,
        hugetlb_free_bytes,
    } = report.machine;
    let machine = [
        ("ram_bytes", ram_bytes),
        ("reserved_bytes", reserved_bytes),
        ("swap_total_bytes", swap_total_bytes),
        ("swap_free_bytes", swap_free_bytes),
        ("swapcached_bytes", swap_cache_bytes),
        ("cma_bytes", cma_bytes),
        ("hwpoisoned_bytes", hwpoisoned_bytes),
        ("hugetlb_bytes", hugetlb_bytes),
        ("hugetlb_free_bytes", hugetlb_free_bytes),
    ];
    let mut memory = named(&report.stats);
    memory.extend(machine.into_iter().filter_map(|(name, value)| Some((Cow::Borrowed(name), value?))));
    memory
}

/// Counters of `memory.stat` that are bytes, under v2's names, with the unit.
pub(super) fn named(stats: &BTreeMap<String, u64>) -> BTreeMap<Cow<'static, str>, u64> {
    // Both are in order.
    let mut known = BYTE_COUNTERS.iter().peekable();
    let counters = stats.iter().filter_map(|(name, value)| {
        while known.next_if(|(known, _)| *known < name.as_str()).is_some() {}
        let (_, shown) = known.peek().filter(|(known, _)| known == name)?;
        Some((Cow::Borrowed(*shown), *value))
    });
    counters.collect()
}
