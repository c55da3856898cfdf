//! The wire contract, continued: reclaim, summed up in buckets of time.
//!
//! A bucket is [`BUCKET_SHIFT`] bits of `CLOCK_BOOTTIME` long. Whoever reclaims adds to the bucket of its own moment; the
//! agent reads the buckets when a call was announced, and the call carries its own bucket as it was at its entry, so that
//! what came later does not count.

use crate::Header;

/// A bucket is 2^30 ns long: 1.07 s.
pub const BUCKET_SHIFT: u32 = 30;
/// A longer pause between two rounds of a thread, or two runs of compaction, begins a new series; nanoseconds.
pub const SERIES_NS: u64 = 10_000_000_000;
/// Buckets that are kept.
pub const BUCKETS: u32 = 64;
/// Zones that an [`Escalation`] carries. A zonelist that is longer is cut.
pub const RETRY_ZONES: usize = 8;
/// Bytes of a zone's name, with its NUL.
pub const ZONE_NAME_LEN: usize = 16;
/// Entries of the map of cgroups' buckets, besides those that each CPU keeps in hand (`LOCAL_FREE_TARGET`,
/// `kernel/bpf/bpf_lru_list.c`).
pub const CGROUP_BUCKETS: u32 = 16384;
/// `LOCAL_FREE_TARGET`.
pub const LRU_IN_HAND: u32 = 128;

/// Rounds of reclaim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Work {
    /// Rounds that ended.
    pub rounds: u64,
    /// Time in them.
    pub ns: u64,
    /// Pages looked at (`mm_vmscan_lru_shrink_inactive`).
    pub scanned_pages: u64,
    /// Pages that they freed.
    pub reclaimed_pages: u64,
}

/// Runs of compaction: each over one zone (`compact_zone`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Compacted {
    /// Runs that ended.
    pub runs: u64,
    /// Time in them.
    pub ns: u64,
    /// Those that made a block of the order (`COMPACT_SUCCESS`).
    pub succeeded: u64,
}

/// Compaction of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Compaction {
    /// `bpf_get_current_pid_tgid` of the thread.
    pub owner: u64,
    /// Begin of the run under way, 0 if none is.
    pub begin_ns: u64,
    /// End of the last one.
    pub end_ns: u64,
    /// All of them, without a long pause between two.
    pub total: Compacted,
}

/// Everything on the machine in one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Machine {
    /// Direct reclaim.
    pub direct: Work,
    /// Reclaim for memory cgroups.
    pub memcg: Work,
    /// `mm_vmscan_kswapd_wake`.
    pub kswapd_wakes: u64,
    /// `mm_vmscan_kswapd_sleep`.
    pub kswapd_sleeps: u64,
    /// Pages that kswapd looked at.
    pub kswapd_scanned_pages: u64,
    /// Pages that it freed.
    pub kswapd_reclaimed_pages: u64,
    /// `mm_vmscan_throttled`.
    pub throttled: u64,
    /// Time in that.
    pub throttled_ns: u64,
    /// Compaction by tasks whose allocation wanted a block.
    pub compaction: Compacted,
    /// By kcompactd.
    pub kcompactd: Compacted,
    /// Rounds that found no place to be counted in, or lost theirs: the sums are too small.
    pub missed: u64,
    /// Runs of compaction, likewise.
    pub compactions_missed: u64,
    /// Rounds for a memory cgroup whose cgroup was not seen.
    pub unnamed: u64,
    /// Cgroups that reclaim was done for: each has an entry of its own for this bucket.
    pub cgroups: u64,
}

/// Everything on the machine since the programs were attached. Each CPU has its own, which never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Totals {
    /// As in a bucket; `unnamed` and `cgroups` stay 0.
    pub machine: Machine,
    /// Zones that the page allocator looked at after a round (`reclaim_retry_zone`).
    pub retry_zones: u64,
    /// Times that an allocation asked whether to compact once more (`compact_retry`).
    pub compact_retries: u64,
}

/// What a cgroup's bucket is found by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CgroupBucket {
    /// `css.serial_nr`: no two cgroups ever have the same.
    pub cgroup: u64,
    /// Number of the bucket.
    pub bucket: u64,
}

/// A zone as `reclaim_retry_zone` saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RetryZone {
    /// `zone->node`.
    pub node: u32,
    /// Rounds without progress.
    pub no_progress_loops: u32,
    /// Pages that could still be reclaimed.
    pub reclaimable_pages: u64,
    /// The same with what is free.
    pub available_pages: u64,
    /// The min watermark.
    pub min_watermark_pages: u64,
    /// Whether `available` would be enough.
    pub enough: u32,
    /// Explicit padding, 0.
    pub reserved: u32,
    /// `zone->name`.
    pub name: [u8; ZONE_NAME_LEN],
}

/// What the page allocator saw of zones, after which of a thread's rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Retry {
    /// `bpf_get_current_pid_tgid` of the thread.
    pub owner: u64,
    /// Its rounds by then.
    pub rounds: u64,
    /// Address of the first zone.
    pub first: u64,
    /// How many of the zones below there are.
    pub count: u64,
    /// In the order of its zonelist.
    pub zones: [RetryZone; RETRY_ZONES],
}

/// Reclaim before a call. Follows its [`crate::Call`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Escalation {
    /// [`crate::Kind::Escalation`]; `time_ns` is the call's entry.
    pub header: Header,
    /// `css.serial_nr` of `oc->memcg`, 0 if none or unknown.
    pub cgroup: u64,
    /// The entry's bucket of that cgroup, at the entry.
    pub cgroup_now: Work,
    /// The entry's bucket of the machine, at the entry.
    pub machine_now: Machine,
    /// `bpf_get_current_pid_tgid` of the task in the call.
    pub owner: u64,
    /// Whose rounds the next field has: several threads share a place.
    pub rounds_owner: u64,
    /// Its rounds before the call.
    pub rounds: u64,
    /// Compaction, of whichever thread has this place.
    pub compaction: Compaction,
    /// Zones that the page allocator looked at last, for whichever thread has this place.
    pub retry: Retry,
}
