//! Limits and counters of a report (`mem_cgroup_print_oom_meminfo`, `memory_stat_format`, `show_mem`).

use super::scan::{kilobytes, number};
use super::{Machine, PAGE_SIZE};
use crate::incident::model::Limits;

/// `PAGE_COUNTER_MAX` in kB, rounded down so that it holds for pages of up to 64 KiB.
const UNLIMITED_KB: u64 = i64::MAX as u64 / 1024 - 1023;

/// `memory: usage 51200kB, limit 51200kB, failcnt 20`, or the same of `swap:`, `memory+swap:`, `kmem:`.
///
/// Only what `limits` has a place for is kept; `true` if the line was one of these. No limit is `None`.
pub(super) fn limits(message: &str, limits: &mut Limits) -> bool {
    let Some((what, rest)) = message.split_once(": usage ") else { return false };
    if !matches!(what, "memory" | "swap" | "memory+swap" | "kmem") {
        return false;
    }
    let Some((usage, limit)) = usage_and_limit(rest) else { return false };
    let limit = if limit >= UNLIMITED_KB { None } else { kilobytes(limit) };
    match what {
        "memory" => (limits.usage_bytes, limits.memory_bytes) = (kilobytes(usage), limit),
        "swap" => (limits.swap_usage_bytes, limits.swap_bytes) = (kilobytes(usage), limit),
        // cgroup v1 limits memory and swap together, which is no limit of swap.
        _ => (),
    }
    true
}

fn usage_and_limit(rest: &str) -> Option<(u64, u64)> {
    let (usage, rest) = number(rest)?;
    let (limit, rest) = number(rest.strip_prefix("kB, limit ")?)?;
    let (_, rest) = number(rest.strip_prefix("kB, failcnt ")?)?;
    rest.is_empty().then_some((usage, limit))
}

/// `Memory cgroup stats for PATH:`, and the counters that kernels before 5.2 print on the same line.
pub(super) fn stats_header(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("Memory cgroup stats for ")?;
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
    let (name, value) = message.split_once(' ')?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) || !name.as_bytes()[0].is_ascii_lowercase() {
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
pub(super) fn machine(message: &str, machine: &mut Machine) -> bool {
    let swap = |prefix| {
        let (value, rest) = number(message.strip_prefix(prefix)?)?;
        if rest == "kB" { kilobytes(value) } else { None }
    };
    if let Some(bytes) = swap("Free swap  = ") {
        machine.swap_free_bytes = Some(bytes);
    } else if let Some(bytes) = swap("Total swap = ") {
        machine.swap_total_bytes = Some(bytes);
    } else {
        let Some((pages, rest)) = number(message) else { return false };
        match rest {
            " pages RAM" => machine.ram_bytes = pages.checked_mul(PAGE_SIZE),
            " pages reserved" => machine.reserved_bytes = pages.checked_mul(PAGE_SIZE),
            _ => return false,
        }
    }
    true
}

/// A line of the machine's counters below `Mem-Info:`, `active_anon:470 inactive_anon:71944 isolated_anon:0`, in bytes
/// and by the names that `memory.stat` has for them.
pub(super) fn mem_info(message: &str) -> Option<Vec<(&str, u64)>> {
    let counters = message.split_ascii_whitespace().map(|word| {
        let (name, pages) = word.split_once(':')?;
        let name = match name {
            "dirty" => "file_dirty",
            "mapped" => "file_mapped",
            "writeback" => "file_writeback",
            name => name,
        };
        Some((name, pages.parse::<u64>().ok()?.checked_mul(PAGE_SIZE)?))
    });
    counters.collect::<Option<Vec<_>>>().filter(|counters| !counters.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_limit_are_bytes() {
        let mut read = Limits::default();
        assert!(limits("memory: usage 51200kB, limit 61440kB, failcnt 20", &mut read));
        assert!(limits("swap: usage 4kB, limit 0kB, failcnt 0", &mut read));
        let expected = Limits {
            memory_bytes: Some(61440 * 1024),
            usage_bytes: Some(51200 * 1024),
            swap_bytes: Some(0),
            swap_usage_bytes: Some(4096),
            ..Limits::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn no_limit_is_none() {
        for limit in [9_007_199_254_740_988_u64, 9_007_199_254_740_928] {
            let mut read = Limits::default();
            assert!(limits(&format!("memory: usage 4kB, limit {limit}kB, failcnt 0"), &mut read));
            assert_eq!(read, Limits { usage_bytes: Some(4096), ..Limits::default() });
        }
    }

    #[test]
    fn limits_of_memory_and_swap_together_are_not_swap() {
        let mut read = Limits::default();
        assert!(limits("memory+swap: usage 51200kB, limit 51200kB, failcnt 0", &mut read));
        assert!(limits("kmem: usage 136kB, limit 9007199254740988kB, failcnt 0", &mut read));
        assert_eq!(read, Limits::default());
    }

    #[test]
    fn a_path_may_look_like_counters() {
        assert_eq!(stats_header("Memory cgroup stats for /a: b:1KB:"), Some(("/a: b:1KB", "")));
        assert_eq!(
            stats_header("Memory cgroup stats for /a b:1KB: cache:0KB rss:8KB"),
            Some(("/a b:1KB", " cache:0KB rss:8KB"))
        );
        assert_eq!(stats_header("Memory cgroup stats for /a"), None);
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
            counters,
            [("file_mapped", 578 * 4096), ("shmem", 665 * 4096), ("pagetables", 182 * 4096)]
        );
        for other in ["", " ", "Node 0 active_anon:1880kB", "a: b", "lowmem_reserve[]: 0 318"] {
            assert_eq!(mem_info(other), None, "{other}");
        }
    }

    #[test]
    fn the_machine_has_ram_and_swap() {
        let mut read = Machine::default();
        for line in ["Free swap  = 4kB", "Total swap = 8kB", "98165 pages RAM", "10167 pages reserved"] {
            assert!(machine(line, &mut read), "{line}");
        }
        assert!(!machine("0 pages HighMem/MovableOnly", &mut read));
        let expected = Machine {
            ram_bytes: Some(98165 * 4096),
            reserved_bytes: Some(10167 * 4096),
            swap_total_bytes: Some(8192),
            swap_free_bytes: Some(4096),
        };
        assert_eq!(read, expected);
    }
}
