//! What an allocation may use, and how each zone stands to it: the page allocator's rules (`__zone_watermark_ok` and
//! `gfp_zone`, `mm/page_alloc.c` and `include/linux/gfp.h`), compared with 5.10, 6.1, 6.12 and 7.3.
//!
//! Before 4.4 `__zone_watermark_ok` also asked for a share of free memory in the larger blocks: such a kernel may fail where
//! this sees enough, and nothing is said then. Before 5.8 `lowmem_reserve[]` was taken at the index of the first zone that
//! the allocation tries (`classzone_idx`), not of the highest that it may use: zones between the two are empty on that
//! node, so both are the same value. From 6.12 on `free_highatomic` counts, before it `reserved_highatomic`, which is
//! more. Real-time tasks and those with `__GFP_HIGH` may go below `min`, never above it.

use crate::incident::machine::Zone;
use crate::incident::model::Incident;

/// What the allocation may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The highest kind of zone that it may use, by [`rank`]. `None`: the flags' names are not known.
    highest: Option<usize>,
    /// It may use CMA blocks (`ALLOC_CMA`: movable pages). `None`: not known.
    movable: Option<bool>,
    /// It may go below the watermark by half (`__GFP_HIGH`).
    high: bool,
    /// A cpuset keeps it to its own nodes (`__GFP_HARDWALL`, which all of user space's have). The kernel's own may use those
    /// of the next cpuset above with `mem_hardwall` or `mem_exclusive` (`cpuset_node_allowed`).
    hardwall: bool,
    /// log2 of the pages.
    pub order: Option<u32>,
    /// Nodes in the kernel's list format. `None`: all of the report's.
    pub nodes: Option<&'a str>,
    /// Bytes of a page.
    pub page_size: u64,
}

/// How a zone stands to an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The allocation may not use it.
    OutOfReach,
    /// Its free pages are not above the `min` watermark.
    BelowMin,
    /// They are above it, but not above what is also kept for others: `lowmem_reserve` and the high-order atomic reserve.
    BelowReserve,
    /// There are enough, but no block of the order.
    NoBlock,
    /// There are enough, but not more than the `high` watermark: the kernel's last try before its OOM killer wants more
    /// (`ALLOC_WMARK_HIGH` in `__alloc_pages_may_oom`).
    BelowHigh,
    /// A little more than that. The report is printed after that try.
    AboutHigh,
    /// There is memory in it.
    Enough,
    /// The report does not say enough.
    Unknown,
}

/// More than any kernel's `MAX_ORDER` (`MAX_PAGE_ORDER`).
const NO_ORDER: u32 = 20;

/// log2 of the pages that were asked for.
pub(super) fn order(incident: &Incident) -> Option<u32> {
    let order = incident.trigger.as_ref()?.order?;
    u32::try_from(order).ok().filter(|&order| order < NO_ORDER)
}

/// Kinds of zones from the lowest (`enum zone_type`).
pub fn rank(name: &str) -> Option<usize> {
    ["DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"].iter().position(|known| *known == name)
}

impl<'a> Request<'a> {
    /// What the task asked for. The values of flags differ between kernels, their names do not: only those decide.
    pub fn of(incident: &'a Incident) -> Self {
        let trigger = incident.trigger.as_ref();
        let flags = trigger.map(|trigger| trigger.gfp_flags.as_slice()).unwrap_or_default();
        let has = |names: &[&str]| flags.iter().any(|flag| names.contains(&flag.as_str()));
        // GFP_TRANSHUGE is GFP_HIGHUSER_MOVABLE and more.
        let huge = has(&["GFP_TRANSHUGE", "GFP_TRANSHUGE_LIGHT", "GFP_HIGHUSER_MOVABLE"]);
        let highmem = huge || has(&["GFP_HIGHUSER", "__GFP_HIGHMEM"]);
        let movable = huge || has(&["__GFP_MOVABLE"]);
        // GFP_ZONE_TABLE: movable alone is Normal.
        let highest = if has(&["GFP_DMA", "__GFP_DMA"]) {
            0
        } else if has(&["GFP_DMA32", "__GFP_DMA32"]) {
            1
        } else if movable && highmem {
            4
        } else if highmem {
            3
        } else {
            2
        };
        let known = !flags.is_empty();
        let mask = |list: &'a Option<String>| list.as_deref().filter(|list| *list != "(null)");
        Self {
            highest: known.then_some(highest),
            movable: known.then_some(movable),
            high: has(&["__GFP_HIGH", "GFP_ATOMIC"]),
            hardwall: huge || has(&["GFP_USER", "GFP_HIGHUSER", "__GFP_HARDWALL"]),
            order: order(incident),
            page_size: super::page_size(incident),
            nodes: mask(&incident.scope.nodemask).or_else(|| mask(&incident.scope.mems_allowed)),
        }
    }

    /// Which zones it may use is known.
    pub fn is_known(&self) -> bool {
        self.highest.is_some() && self.order.is_some()
    }

    /// It may use every zone of its nodes.
    pub fn takes_any_zone(&self) -> bool {
        self.highest == rank("Movable")
    }

    /// The nodes of its cpuset are all that it may use.
    pub fn kept_to_its_cpuset(&self) -> bool {
        self.hardwall
    }

    /// A node that it may use. `None`: the list cannot be read.
    pub fn allows(&self, node: u32) -> Option<bool> {
        self.nodes.map_or(Some(true), |list| in_list(list, node))
    }

    /// Where the zone stands.
    pub fn standing(&self, zone: &Zone) -> Standing {
        let Some(kind) = rank(&zone.name) else { return Standing::Unknown };
        // Device memory is its driver's.
        if kind == 5 || self.highest.is_some_and(|highest| kind > highest) {
            return Standing::OutOfReach;
        }
        match self.allows(zone.node) {
            Some(true) => self.watermark(zone).unwrap_or(Standing::Unknown),
            Some(false) => Standing::OutOfReach,
            None => Standing::Unknown,
        }
    }

    fn watermark(&self, zone: &Zone) -> Option<Standing> {
        let order = self.order?;
        let rest_of_block = (self.page_size << order) - self.page_size;
        let cma = if self.movable == Some(false) { zone.free_cma_bytes.unwrap_or(0) } else { 0 };
        let free = zone.free_bytes?.saturating_sub(rest_of_block).saturating_sub(cma);
        let min = zone.min_bytes?;
        let min = if self.high { min - min / 2 } else { min };
        if free <= min {
            return Some(Standing::BelowMin);
        }
        let (least, most) = self.reserve(zone);
        if free <= min.saturating_add(least) {
            return Some(Standing::BelowReserve);
        }
        let usable = free.saturating_sub(zone.reserved_highatomic_bytes.unwrap_or(0));
        if usable <= min.saturating_add(least) {
            return Some(Standing::BelowReserve);
        }
        // Between the two it depends on what the report does not say.
        let most = most?;
        if usable <= min.saturating_add(most) {
            // Most allocations may use the highest zone.
            return self.highest.is_none().then_some(Standing::BelowReserve);
        }
        if order > 0 && !zone.free_blocks.is_empty() && !self.has_block(zone, order) {
            return Some(Standing::NoBlock);
        }
        let high = zone.high_bytes?.saturating_add(most);
        Some(match usable {
            usable if usable <= high => Standing::BelowHigh,
            usable if usable <= high.saturating_mul(2) => Standing::AboutHigh,
            _ => Standing::Enough,
        })
    }

    /// The least and the most that `lowmem_reserve[]` keeps of the zone from this allocation, in bytes. The values grow with
    /// the index; which index a kind of zone has depends on the kernel's configuration.
    fn reserve(&self, zone: &Zone) -> (u64, Option<u64>) {
        let Some(last) = zone.lowmem_reserve_pages.last() else { return (0, None) };
        let most = last.saturating_mul(self.page_size);
        let Some(highest) = self.highest else { return (0, Some(most)) };
        // DMA, DMA32, Normal, Movable, Device are five: the usual one of 64-bit machines.
        let index = match (highest, zone.lowmem_reserve_pages.len()) {
            (4, len) => Some(len - 1),
            (0..=2, 5) if rank(&zone.name).is_some_and(|kind| kind <= 2) => Some(highest),
            (3, 5) => Some(2),
            _ if rank(&zone.name) == Some(highest) => return (0, Some(0)),
            _ => None,
        };
        match index.and_then(|index| zone.lowmem_reserve_pages.get(index)) {
            Some(pages) => (pages.saturating_mul(self.page_size), Some(pages.saturating_mul(self.page_size))),
            None => (0, Some(most)),
        }
    }

    /// There is a free block of the order of a migrate type that any allocation falls back to (`MIGRATE_PCPTYPES`), or of CMA
    /// for movable pages. Blocks of the high-order atomic reserve and isolated ones are not for it.
    fn has_block(&self, zone: &Zone, order: u32) -> bool {
        let blocks = zone.free_blocks.iter().enumerate().skip(order as usize);
        blocks.filter(|(_, number)| **number > 0).any(|(order, _)| match zone.free_block_types.get(order) {
            // Not printed before 3.8.
            None => true,
            Some(types) => {
                types.contains(['U', 'M', 'E']) || (types.contains('C') && self.movable != Some(false))
            }
        })
    }
}

/// Whether a number is in `0-1,4,6-7` (`bitmap_print_list`). `None`: that is no list.
fn in_list(list: &str, number: u32) -> Option<bool> {
    let mut found = false;
    for part in list.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let range: std::ops::RangeInclusive<u32> = low.parse().ok()?..=high.parse().ok()?;
        found |= range.contains(&number);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_lists_are_the_kernels() {
        for (list, number, expected) in [
            ("0", 0, Some(true)),
            ("0-1,4,6-7", 1, Some(true)),
            ("0-1,4,6-7", 5, Some(false)),
            ("0-4294967295", 77, Some(true)),
            ("", 0, None),
            ("0-", 0, None),
            ("0,x", 0, None),
        ] {
            assert_eq!(in_list(list, number), expected, "{list}");
        }
    }
}
