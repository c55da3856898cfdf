//! Zones, free blocks, huge pages and slabs of a report that is not a memory cgroup's (`show_free_areas` and
//! `hugetlb_show_meminfo_node` below `show_mem`, `dump_unreclaimable_slab`).
//!
//! Every number here that is kept has its unit or more text behind it, so none of a line that was cut is taken for whole.

use super::scan::{kb, number};
use super::{Machine, Report};
use crate::incident::machine::{Slab, Zone};

/// `zone_names` in `mm/page_alloc.c`.
const NAMES: [&str; 6] = ["DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"];
/// Zones that are kept: the kernel has at most 1,024 nodes.
const MOST_ZONES: usize = 1_024;
/// Slab caches that are kept.
const MOST_SLABS: usize = 4_096;
/// Numbers in a `lowmem_reserve[]`: one a zone of a node.
const MOST_RESERVES: usize = 16;
/// Block sizes in a buddy list: `NR_PAGE_ORDERS` is 11 on most machines.
const MOST_ORDERS: usize = 32;

/// Where in the list of zones a report is.
#[derive(Debug, Default)]
pub(super) struct Zones {
    /// The zone that a `lowmem_reserve[]` is about.
    last: Option<usize>,
}

impl Zones {
    /// Takes a line; `true` if it was one of these.
    pub(super) fn line(&mut self, message: &str, cut: bool, report: &mut Report) -> bool {
        if let Some(rest) = message.strip_prefix("lowmem_reserve[]:") {
            let zone = self.last.take().and_then(|at| report.zones.get_mut(at));
            if let Some((zone, pages)) = zone.zip(reserves(rest).filter(|_| !cut)) {
                zone.lowmem_reserve_pages = pages;
            }
            return true;
        }
        let Some((node, rest)) = node(message) else { return false };
        if let Some(pool) = rest.strip_prefix("hugepages_total=") {
            return huge_pages(pool, &mut report.machine);
        }
        let name = &rest[..rest.find([' ', ':']).unwrap_or(0)];
        if !NAMES.contains(&name) {
            // The node's own counters are the sums of its zones'.
            return message.starts_with("Node ") && rest.starts_with("active_anon:");
        }
        self.last = None;
        let rest = &rest[name.len()..];
        if let Some(fields) = rest.strip_prefix(" free:") {
            let (free, fields) = fields.split_once(' ').unwrap_or((fields, ""));
            let Some(free) = kb(free) else { return false };
            self.last = zone(report, node, name).filter(|&at| report.zones[at].free_bytes.is_none());
            if let Some(at) = self.last {
                let zone = &mut report.zones[at];
                zone.free_bytes = Some(free);
                state(fields, zone);
            }
            return true;
        }
        if let Some((blocks, types)) =
            rest.strip_prefix(": ").and_then(|list| buddy(list, &mut report.page_size))
        {
            if let Some(at) = zone(report, node, name).filter(|&at| report.zones[at].free_blocks.is_empty()) {
                report.zones[at].free_blocks = blocks;
                report.zones[at].free_block_types = types;
            }
            return true;
        }
        rest == " per-cpu:"
    }
}

/// `Node 0 `, which a kernel without NUMA does not print.
fn node(message: &str) -> Option<(u32, &str)> {
    match message.strip_prefix("Node ") {
        Some(rest) => {
            let (node, rest) = number(rest)?;
            Some((node.try_into().ok()?, rest.strip_prefix(' ')?))
        }
        None => Some((0, message)),
    }
}

/// The place of a zone, new or not.
fn zone(report: &mut Report, node: u32, name: &str) -> Option<usize> {
    let Report { zones, lost_lines, .. } = report;
    // They come in the same order again and again, so it is mostly one of the last.
    if let Some(at) = zones.iter().rposition(|zone| zone.node == node && zone.name == name) {
        return Some(at);
    }
    if zones.len() == MOST_ZONES {
        *lost_lines = lost_lines.saturating_add(1);
        return None;
    }
    zones.push(Zone { node, name: name.to_owned(), ..Zone::default() });
    Some(zones.len() - 1)
}

/// `boost:0kB min:104kB low:128kB ...`, after `free:1376kB`.
fn state(fields: &str, zone: &mut Zone) {
    for (name, value) in fields.split(' ').filter_map(|field| field.split_once(':')) {
        let place = match name {
            "min" => &mut zone.min_bytes,
            "low" => &mut zone.low_bytes,
            "high" => &mut zone.high_bytes,
            "reserved_highatomic" => &mut zone.reserved_highatomic_bytes,
            "present" => &mut zone.present_bytes,
            "managed" => &mut zone.managed_bytes,
            "free_cma" => &mut zone.free_cma_bytes,
            _ => continue,
        };
        *place = kb(value);
    }
}

/// ` 0 318 318`: pages.
fn reserves(text: &str) -> Option<Vec<u64>> {
    let numbers = text.split_ascii_whitespace().take(MOST_RESERVES + 1).map(|word| word.parse().ok());
    numbers.collect::<Option<Vec<_>>>().filter(|pages| (1..=MOST_RESERVES).contains(&pages.len()))
}

/// `2*4kB (UM) 1*8kB (M) 0*16kB = 16kB`: blocks and migrate types by order. The sum behind it must be right, so a list
/// that was cut or damaged is not believed.
fn buddy(list: &str, page_size: &mut Option<u64>) -> Option<(Vec<u64>, Vec<String>)> {
    let (list, sum) = list.rsplit_once("= ")?;
    let mut left = kb(sum)?;
    let mut blocks = Vec::new();
    let mut types: Vec<String> = Vec::new();
    let mut smallest = 0;
    for word in list.split_ascii_whitespace() {
        if let Some(letters) = word.strip_prefix('(') {
            let letters = letters.strip_suffix(')')?;
            let known =
                (1..=8).contains(&letters.len()) && letters.bytes().all(|byte| byte.is_ascii_uppercase());
            let place = types.last_mut().filter(|place| known && place.is_empty())?;
            letters.clone_into(place);
            continue;
        }
        let (count, size) = word.split_once('*')?;
        let (count, size) = (count.parse::<u64>().ok()?, kb(size)?);
        if blocks.is_empty() {
            smallest = size;
        }
        if blocks.len() == MOST_ORDERS || smallest.checked_shl(blocks.len() as u32) != Some(size) {
            return None;
        }
        left = left.checked_sub(count.checked_mul(size)?)?;
        blocks.push(count);
        types.push(String::new());
    }
    if left != 0 || !smallest.is_power_of_two() || page_size.is_some_and(|known| known != smallest) {
        return None;
    }
    *page_size = Some(smallest);
    if types.iter().all(String::is_empty) {
        types.clear();
    }
    Some((blocks, types))
}

/// `0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB`, after `hugepages_total=`.
fn huge_pages(text: &str, machine: &mut Machine) -> bool {
    let read = || {
        let (total, rest) = number(text)?;
        let (free, rest) = number(rest.strip_prefix(" hugepages_free=")?)?;
        let (_, rest) = number(rest.strip_prefix(" hugepages_surp=")?)?;
        let size = kb(rest.strip_prefix(" hugepages_size=")?)?;
        Some((total.checked_mul(size)?, free.checked_mul(size)?))
    };
    let Some((total, free)) = read() else { return false };
    let add = |sum: &mut Option<u64>, bytes: u64| *sum = Some(sum.unwrap_or(0).saturating_add(bytes));
    add(&mut machine.hugetlb_bytes, total);
    add(&mut machine.hugetlb_free_bytes, free);
    true
}

/// A row below `Unreclaimable slab info:`, `kmalloc-64   1234KB   2345KB`.
pub(super) fn slab(message: &str, slabs: &mut Vec<Slab>) -> bool {
    let read = || {
        let (rest, total) = message.rsplit_once(' ')?;
        let (name, used) = rest.trim_end_matches(' ').rsplit_once(' ')?;
        let name = name.trim_end_matches(' ');
        let known = !name.is_empty() && !name.starts_with(' ');
        Some(Slab { name: name.to_owned(), used_bytes: kb(used)?, total_bytes: kb(total)? }).filter(|_| known)
    };
    let Some(slab) = read() else { return message.starts_with("Name  ") && message.ends_with(" Total") };
    if slabs.len() < MOST_SLABS {
        slabs.push(slab);
    }
    true
}

#[cfg(test)]
mod tests;
