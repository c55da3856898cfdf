//! Limits and counters of a report (`mem_cgroup_print_oom_meminfo`, `memory_stat_format`, `show_mem`).

use super::scan::{kb, kilobytes, number};
use super::{PAGE_SIZE, Report};

/// `PAGE_COUNTER_MAX` in kB, rounded down so that it holds for pages of up to 64 KiB.
const UNLIMITED_KB: u64 = i64::MAX as u64 / 1024 - 1023;

/// `memory: usage 51200kB, limit 51200kB, failcnt 20`, or the same of `swap:`, `memory+swap:`, `kmem:`.
///
/// No limit is `None`.
pub(super) fn limits(message: &str, report: &mut Report) -> bool {
    let Some((what, rest)) = message.split_once(": usage ") else { return false };
    if !matches!(what, "memory" | "swap" | "memory+swap" | "kmem") {
        return false;
    }
    let Some((usage, limit)) = usage_and_limit(rest) else { return false };
    let limit = if limit >= UNLIMITED_KB { None } else { kilobytes(limit) };
    let Report { limits, memsw, kmem, .. } = report;
    let (usage_place, limit_place) = match what {
        "memory" => (&mut limits.usage_bytes, &mut limits.memory_bytes),
        "swap" => (&mut limits.swap_usage_bytes, &mut limits.swap_bytes),
        "memory+swap" => (&mut memsw.usage_bytes, &mut memsw.limit_bytes),
        _ => (&mut kmem.usage_bytes, &mut kmem.limit_bytes),
    };
    (*usage_place, *limit_place) = (kilobytes(usage), limit);
    true
}

/// Whether [`limits`] would take it.
pub(super) fn is_limits(message: &str) -> bool {
    limits(message, &mut Report::default())
}

fn usage_and_limit(rest: &str) -> Option<(u64, u64)> {
    let (usage, rest) = number(rest)?;
    let (limit, rest) = number(rest.strip_prefix("kB, limit ")?)?;
    // Nothing of what follows is kept, so it may be cut.
    rest.starts_with("kB, failcnt ").then_some((usage, limit))
}

/// `Memory cgroup stats for PATH:`, and the counters that kernels before 5.2 print on the same line.
pub(super) fn stats_header(message: &str, cut: bool) -> Option<(&str, &str)> {
    let mut rest = message.strip_prefix("Memory cgroup stats for ")?.trim_end_matches(' ');
    if cut {
        // Part of a counter, or of the path, which then has no end.
        let (before, last) = rest.rsplit_once(' ')?;
        rest = if old_counter(last).is_some() { rest } else { before };
        old_counter(rest.rsplit_once(' ')?.1)?;
    }
    // From the right, as a path may hold anything but a line feed.
    let mut path = rest;
    while let Some((before, last)) = path.rsplit_once(' ') {
        if old_counter(last).is_none() {
            break;
        }
        path = before;
    }
    Some((path.strip_suffix(':')?, &rest[path.len()..]))
}

/// `name value` (v2, and v1 since 5.2): memory in bytes, events as counts.
pub(super) fn counter(message: &str) -> Option<(&str, u64)> {
    let is_name = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
    let end = message.bytes().position(|byte| !is_name(&byte))?;
    let (name, value) = message.split_at(end);
    let value = value.strip_prefix(' ')?;
    if !name.as_bytes().first()?.is_ascii_lowercase() {
        return None;
    }
    let (value, rest) = number(value)?;
    rest.is_empty().then_some((name, value))
}

/// `name:123KB` (v1 before 5.2), in bytes.
pub(super) fn old_counter(word: &str) -> Option<(&str, u64)> {
    let (name, value) = word.split_once(':')?;
    let (value, rest) = number(value)?;
    if name.is_empty() || rest != "KB" {
        return None;
    }
    Some((name, kilobytes(value)?))
}

/// `98165 pages RAM`, `Total swap = 0kB` and their kin, of a report that is not a memory cgroup's.
pub(super) fn machine(message: &str, report: &mut Report) -> bool {
    let page_size = report.page_size.unwrap_or(PAGE_SIZE);
    let machine = &mut report.machine;
    if let Some((pages, rest)) = number(message) {
        let place = match rest {
            " pages RAM" => &mut machine.ram_bytes,
            " pages reserved" => &mut machine.reserved_bytes,
            " pages in swap cache" => &mut machine.swap_cache_bytes,
            " pages cma reserved" => &mut machine.cma_bytes,
            " pages hwpoisoned" => &mut machine.hwpoisoned_bytes,
            rest => return matches!(rest, " total pagecache pages" | " pages HighMem/MovableOnly"),
        };
        *place = pages.checked_mul(page_size);
        return true;
    }
    if let Some(free) = message.strip_prefix("Free swap  = ").and_then(kb) {
        machine.swap_free_bytes = Some(free);
    } else if let Some(total) = message.strip_prefix("Total swap = ").and_then(kb) {
        machine.swap_total_bytes = Some(total);
    } else {
        return message.starts_with("Swap cache stats: ");
    }
    true
}

/// A line of the machine's counters below `Mem-Info:`, `active_anon:470 inactive_anon:71944 isolated_anon:0`, in bytes
/// and by the names that `memory.stat` has for them. The line is one if its words all look like this and the first is
/// the kernel's.
pub(super) fn mem_info(message: &str) -> Option<impl Iterator<Item = (&str, u64)>> {
    const FIRST: [&str; 10] = [
        "active_anon",
        "active_file",
        "unevictable",
        "slab_reclaimable",
        "mapped",
        "sec_pagetables",
        "kernel_misc_reclaimable",
        "free",
        "free_cma",
        "balloon_pages",
    ];
    let counters = || {
        message.split_ascii_whitespace().map(|word| {
            let (name, pages) = word.split_once(':')?;
            Some((name, pages.parse::<u64>().ok()?.checked_mul(PAGE_SIZE)?))
        })
    };
    let known = counters().next()?.is_some_and(|(name, _)| FIRST.contains(&name));
    if !known || !counters().all(|counter| counter.is_some()) {
        return None;
    }
    Some(counters().flatten().map(|(name, bytes)| match name {
        "dirty" => ("file_dirty", bytes),
        "mapped" => ("file_mapped", bytes),
        "writeback" => ("file_writeback", bytes),
        name => (name, bytes),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Counter, Machine};
    use super::*;
    use crate::incident::model::Limits;

    #[test]
    fn usage_and_limit_are_bytes() {
        let mut read = Report::default();
        assert!(limits("memory: usage 51200kB, limit 61440kB, failcnt 20", &mut read));
        assert!(limits("swap: usage 4kB, limit 0kB, failcnt 0", &mut read));
        let expected = Limits {
            memory_bytes: Some(61440 * 1024),
            usage_bytes: Some(51200 * 1024),
            swap_bytes: Some(0),
            swap_usage_bytes: Some(4096),
            ..Limits::default()
        };
        assert_eq!(read.limits, expected);
    }

    /// `PAGE_COUNTER_MAX` (4.0) with pages of 4 and 64 KiB, `RES_COUNTER_MAX` (3.10), and RHEL 7's.
    #[test]
    fn no_limit_is_none() {
        for limit in
            [9_007_199_254_740_988_u64, 9_007_199_254_740_928, 9_007_199_254_740_991, 18_014_398_509_481_983]
        {
            let mut read = Report::default();
            assert!(limits(&format!("memory: usage 4kB, limit {limit}kB, failcnt 0"), &mut read));
            assert_eq!(read.limits, Limits { usage_bytes: Some(4096), ..Limits::default() });
        }
    }

    #[test]
    fn limits_of_memory_and_swap_together_are_not_swap() {
        let mut read = Report::default();
        assert!(limits("memory+swap: usage 51200kB, limit 51204kB, failcnt 0", &mut read));
        assert!(limits("kmem: usage 136kB, limit 9007199254740988kB, failcnt 0", &mut read));
        let memsw = Counter { usage_bytes: Some(51200 * 1024), limit_bytes: Some(51204 * 1024) };
        let kmem = Counter { usage_bytes: Some(136 * 1024), limit_bytes: None };
        assert_eq!((read.limits, read.memsw, read.kmem), (Limits::default(), memsw, kmem));
    }

    #[test]
    fn a_limit_that_was_cut_is_none() {
        for line in ["memory: usage 51200kB, limit 512", "memory: usage 51200kB, limit 51200kB, fail"] {
            let mut read = Report::default();
            assert!(!limits(line, &mut read) && read == Report::default(), "{line}");
        }
    }

    #[test]
    fn a_path_may_look_like_counters() {
        assert_eq!(stats_header("Memory cgroup stats for /a: b:1KB:", false), Some(("/a: b:1KB", "")));
        assert_eq!(
            stats_header("Memory cgroup stats for /a b:1KB: cache:0KB rss:8KB ", false),
            Some(("/a b:1KB", " cache:0KB rss:8KB"))
        );
        assert_eq!(stats_header("Memory cgroup stats for /a", false), None);
    }

    #[test]
    fn a_header_that_was_cut_has_its_path_if_a_counter_follows() {
        let read = |text| stats_header(text, true);
        let expected = Some(("/a", " cache:0KB rss:8KB"));
        assert_eq!(read("Memory cgroup stats for /a: cache:0KB rss:8KB"), expected);
        assert_eq!(read("Memory cgroup stats for /a: cache:0KB rss:8KB mapp"), expected);
        assert_eq!(read("Memory cgroup stats for /a: cache:0KB rss:8KB mapped_file:1234"), expected);
        for other in ["Memory cgroup stats for /a:", "Memory cgroup stats for /a: cache:0K"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn counters_are_a_name_and_a_number() {
        assert_eq!(counter("anon_thp 46137344"), Some(("anon_thp", 46_137_344)));
        assert_eq!(old_counter("mapped_file:12KB"), Some(("mapped_file", 12 * 1024)));
        for other in ["anon", "anon x", "anon 1 2", "Anon 1", " 1", "9 1", "anon 99999999999999999999"] {
            assert_eq!(counter(other), None, "{other}");
        }
    }

    #[test]
    fn the_machines_counters_are_bytes_by_the_names_of_memory_stat() {
        let counters = mem_info(" mapped:578 shmem:665 pagetables:182").unwrap();
        assert_eq!(
            counters.collect::<Vec<_>>(),
            [("file_mapped", 578 * 4096), ("shmem", 665 * 4096), ("pagetables", 182 * 4096)]
        );
        for other in
            ["", " ", "Node 0 active_anon:1880kB", "a: b", "lowmem_reserve[]: 0 318", "a:1", "free:1 b"]
        {
            assert!(mem_info(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_machine_has_ram_and_swap() {
        let mut read = Report::default();
        for line in [
            "121 pages in swap cache",
            "Swap cache stats: add 0, delete 0, find 0/0",
            "Free swap  = 4kB",
            "Total swap = 8kB",
            "98165 pages RAM",
            "0 pages HighMem/MovableOnly",
            "10167 pages reserved",
            "16 pages cma reserved",
            "1 pages hwpoisoned",
        ] {
            assert!(machine(line, &mut read), "{line}");
        }
        for line in ["98165 pages RA", "Total swap = 8", "8 pages", "x"] {
            assert!(!machine(line, &mut read), "{line}");
        }
        let expected = Machine {
            ram_bytes: Some(98165 * 4096),
            reserved_bytes: Some(10167 * 4096),
            swap_total_bytes: Some(8192),
            swap_free_bytes: Some(4096),
            swap_cache_bytes: Some(121 * 4096),
            cma_bytes: Some(16 * 4096),
            hwpoisoned_bytes: Some(4096),
            ..Machine::default()
        };
        assert_eq!(read.machine, expected);
    }

    #[test]
    fn pages_may_be_larger() {
        let mut read = Report { page_size: Some(65_536), ..Report::default() };
        assert!(machine("10 pages RAM", &mut read));
        assert_eq!(read.machine.ram_bytes, Some(655_360));
    }
}
