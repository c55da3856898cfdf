//! The machine's memory, as far as the kernel's report tells of it (`show_mem` in `mm/show_mem.c`; before 6.3 in
//! `lib/show_mem.c` and `mm/page_alloc.c`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One zone of one memory node (`show_free_areas`). What the report does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Zone {
    /// NUMA node.
    pub node: u32,
    /// `DMA`, `DMA32`, `Normal`, `HighMem`, `Movable`, `Device`.
    pub name: String,
    /// Free memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Only the OOM killer's victims and the like may go below this watermark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u64>,
    /// Below this watermark kswapd wakes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_bytes: Option<u64>,
    /// Above this watermark kswapd sleeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_bytes: Option<u64>,
    /// What the page allocator has to give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_bytes: Option<u64>,
    /// Memory that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present_bytes: Option<u64>,
    /// Kept for high-order atomic allocations (`reserved_highatomic`): free, but not for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_highatomic_bytes: Option<u64>,
    /// Free, but for movable allocations only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_cma_bytes: Option<u64>,
    /// `lowmem_reserve[]`, pages: what is kept from allocations that could also use a higher zone, by that zone's index.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lowmem_reserve_pages: Vec<u64>,
    /// Free blocks by order (the buddy list).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub free_blocks: Vec<u64>,
    /// Migrate types that have a free block, by order: U unmovable, M movable, E reclaimable, H high-order atomic, C CMA,
    /// I isolated. Empty: no block, or not printed (before 3.8).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub free_block_types: Vec<String>,
}

impl Zone {
    /// The largest free block in bytes, 0 if there is none. `None`: the buddy list was not printed.
    pub fn largest_free_block(&self, page_size: u64) -> Option<u64> {
        if self.free_blocks.is_empty() {
            return None;
        }
        let Some(order) = self.free_blocks.iter().rposition(|blocks| *blocks > 0) else { return Some(0) };
        page_size.checked_shl(u32::try_from(order).ok()?)
    }
}

/// A slab cache that cannot be reclaimed (`dump_unreclaimable_slab` in `mm/slab_common.c`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slab {
    /// Its name.
    pub name: String,
    /// Memory in objects that are in use.
    pub used_bytes: u64,
    /// All its memory.
    pub total_bytes: u64,
}
