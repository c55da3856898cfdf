//! Sums of reclaim: by thread, by memory cgroup and for the machine, the latter two in buckets of time; and for the machine
//! since the start.
//!
//! The hot paths: a round has a begin and an end, and in between `mm_vmscan_lru_shrink_inactive` for every 32 pages.
//! Threads stand in an array, since looking there costs next to nothing; only the end of a round goes to the hash maps.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated},
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use core::{arch::asm, mem::MaybeUninit};
use oom_ebpf::Field::{CssSerialNr, OcMemcg};
use oom_ebpf::{
    BUCKET_SHIFT, BUCKETS, CGROUP_BUCKETS, CgroupBucket, Escalation, Header, Kind, Machine, RETRY_ZONES,
    Reclaim, Retry, RetryZone, SERIES_NS, Totals, Work,
};

use crate::{
    cgroup, compaction,
    maps::{State, reserve_event},
    read::{clear, field, now, through},
    walk::Walk,
    way::OnTracepoint,
};

/// A round, or a run of compaction, that began longer ago is taken for over: its end was not seen, since the kernel skipped the
/// program there (from 7.0 on).
pub(crate) const STALE_NS: u64 = 60_000_000_000;
/// Places for threads. Two that share one and are in a round at the same time: the second is not counted, which is.
const THREADS_LEN: u32 = 8192;
/// Places for what the page allocator saw of zones.
const RETRIES_LEN: u32 = 256;
/// `BPF_NOEXIST`: insert, never overwrite.
const NOEXIST: u64 = 1;

/// Reclaim by thread, at its id modulo the length.
#[map]
static THREADS: Array<Thread> = Array::with_max_entries(THREADS_LEN, 0);

/// The machine's buckets by number. One that is too old is removed when another takes its [`PLACES`].
#[map]
static MACHINE: HashMap<u64, Machine> = HashMap::with_max_entries(4 * BUCKETS, 0);

/// Numbers of the buckets that are in [`MACHINE`].
#[map]
static PLACES: Array<u64> = Array::with_max_entries(BUCKETS, 0);

/// Cgroups' buckets. The loader sets the size.
#[map]
static CGROUPS: LruHashMap<CgroupBucket, Work> = LruHashMap::with_max_entries(CGROUP_BUCKETS, 0);

/// Since the start, on this CPU. Nothing that is counted happens in an interrupt. Up to 6.19 no task is preempted within a
/// tracepoint's program, so nothing comes between a sum and its new value; later another task may, in another program, and
/// cost a count (`__DECLARE_TRACE`, include/linux/tracepoint.h).
#[map]
static TOTALS: PerCpuArray<Totals> = PerCpuArray::with_max_entries(1, 0);

/// Zones by the thread that looks for memory in them, at its id modulo the length.
#[map]
static RETRIES: Array<Retry> = Array::with_max_entries(RETRIES_LEN, 0);

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Round {
    /// No round.
    None = 0,
    /// Direct reclaim.
    Direct = 1,
    /// Reclaim for a memory cgroup.
    Memcg = 2,
}

/// See [`THREADS`].
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Thread {
    /// `bpf_get_current_pid_tgid`.
    pub owner: u64,
    /// A [`Round`].
    round: u64,
    /// Begin of the round under way.
    begin_ns: u64,
    /// End of the last one.
    end_ns: u64,
    /// Pages that it looked at in this round.
    scanned_pages: u64,
    /// `css.serial_nr` of the cgroup that it reclaims for, 0 if unknown.
    cgroup: u64,
    /// As on the wire.
    pub total: Reclaim,
}

impl Thread {
    /// It holds the rounds that led to this call: the thread's, which may have done others long before (a kworker).
    #[inline(always)]
    pub(crate) fn is_of(&self, state: &State) -> bool {
        self.owner == state.owner && state.begin_ns.saturating_sub(self.end_ns) <= SERIES_NS
    }
}

/// [`add`] or [`add_own`].
type Add = unsafe fn(*mut u64, u64);

/// Adds, whoever else does on other CPUs.
///
/// # Safety
/// `sum` is a word of a map's value.
#[inline(always)]
unsafe fn add(sum: *mut u64, value: u64) {
    // The one atomic operation that 5.10 has. The compiler offers none for this target, since it has no compare and swap.
    // SAFETY: as here, and the words of maps' values are aligned.
    unsafe {
        asm!("lock *(u64 *)({sum} + 0) += {value}", sum = in(reg) sum, value = in(reg) value, options(nostack));
    }
}

/// Adds where nobody else does on other CPUs.
///
/// # Safety
/// `sum` is a word of this CPU's value of a map. What may come between is said at [`TOTALS`].
#[inline(always)]
pub(crate) unsafe fn add_own(sum: *mut u64, value: u64) {
    // SAFETY: as here.
    unsafe { *sum += value };
}

/// Adds to what is counted since the start: the closure gets this CPU's value of [`TOTALS`].
#[inline(always)]
pub(crate) fn total(add_to: impl FnOnce(*mut Totals)) {
    if let Some(totals) = TOTALS.get_ptr_mut(0) {
        add_to(totals);
    }
}

#[inline(always)]
fn thread(owner: u64) -> Option<&'static mut Thread> {
    let thread = THREADS.get_ptr_mut(owner as u32 % THREADS_LEN)?;
    // SAFETY: the map lives as long as the program. Two threads may have one place: only its owner writes to it while it is
    // in a round, and two that claim a free one at once lose a round at worst.
    Some(unsafe { &mut *thread })
}

/// The running thread's place, taken over from another that is in no round. What another loses is counted.
#[inline(always)]
fn claim(owner: u64) -> Option<&'static mut Thread> {
    let thread = thread(owner)?;
    if thread.owner != owner {
        if thread.round != Round::None as u64 {
            if now().saturating_sub(thread.begin_ns) < STALE_NS {
                return None;
            }
            thread.round = Round::None as u64;
            missed();
        }
        thread.owner = owner;
        thread.cgroup = 0;
        thread.end_ns = 0;
        clear(&raw mut thread.total);
    }
    Some(thread)
}

/// A round is not counted.
#[inline(always)]
fn missed() {
    // SAFETY: a field of a map's value.
    count(|machine, add| unsafe { add(&raw mut (*machine).missed, 1) });
}

/// The running thread begins to reclaim for a cgroup.
#[inline(always)]
pub(crate) fn for_cgroup(memcg: u64) {
    if let Some(thread) = claim(bpf_get_current_pid_tgid()) {
        // Not the typed argument itself: the verifier adds no absent offset to that (`check_reg_sane_offset`,
        // kernel/bpf/verifier.c).
        let memcg = through(&mut thread.cgroup, memcg);
        thread.cgroup = field(cgroup::memcg_css(memcg), CssSerialNr);
    }
}

/// A round begins.
#[inline(always)]
pub(crate) fn begin(round: Round) {
    let now = now();
    let Some(thread) = claim(bpf_get_current_pid_tgid()) else { return missed() };
    if now.saturating_sub(thread.end_ns) > SERIES_NS {
        clear(&raw mut thread.total);
        thread.total.first_ns = now;
    }
    thread.round = round as u64;
    thread.begin_ns = now;
    thread.scanned_pages = 0;
}

/// The round ends.
#[inline(always)]
pub(crate) fn end(reclaimed_pages: u64) {
    let owner = bpf_get_current_pid_tgid();
    let Some(thread) = thread(owner) else { return };
    let round = thread.round;
    if thread.owner != owner || round == Round::None as u64 {
        return;
    }
    let now = now();
    let work = Work {
        rounds: 1,
        ns: now.saturating_sub(thread.begin_ns),
        scanned_pages: thread.scanned_pages,
        reclaimed_pages,
    };
    let cgroup = thread.cgroup;
    thread.total.rounds += 1;
    thread.total.ns += work.ns;
    thread.total.scanned_pages += work.scanned_pages;
    thread.total.reclaimed_pages += reclaimed_pages;
    thread.round = Round::None as u64;
    thread.end_ns = now;
    thread.cgroup = 0;
    let direct = round == Round::Direct as u64;
    // SAFETY: fields of a map's value.
    total(|totals| unsafe {
        let machine = &raw mut (*totals).machine;
        sum(if direct { &raw mut (*machine).direct } else { &raw mut (*machine).memcg }, &work, add_own);
    });
    let Some(machine) = machine(now) else { return };
    if direct {
        // SAFETY: a field of a map's value.
        unsafe { sum(&raw mut (*machine).direct, &work, add) };
        return;
    }
    // SAFETY: as above.
    unsafe { sum(&raw mut (*machine).memcg, &work, add) };
    if cgroup == 0 {
        // SAFETY: as above.
        unsafe { add(&raw mut (*machine).unnamed, 1) };
        return;
    }
    let key = CgroupBucket { cgroup, bucket: now >> BUCKET_SHIFT };
    if let Some(known) = CGROUPS.get_ptr_mut(key) {
        // SAFETY: a map's value.
        unsafe { sum(known, &work, add) };
    } else if CGROUPS.insert(key, work, NOEXIST).is_ok() {
        // SAFETY: as above.
        unsafe { add(&raw mut (*machine).cgroups, 1) };
    } else if let Some(known) = CGROUPS.get_ptr_mut(key) {
        // Another CPU was faster.
        // SAFETY: a map's value.
        unsafe { sum(known, &work, add) };
    }
}

/// # Safety
/// `total` is in a map's value that `add` may add to.
#[inline(always)]
unsafe fn sum(total: *mut Work, work: &Work, add: Add) {
    // SAFETY: as here.
    unsafe {
        add(&raw mut (*total).rounds, work.rounds);
        add(&raw mut (*total).ns, work.ns);
        add(&raw mut (*total).scanned_pages, work.scanned_pages);
        add(&raw mut (*total).reclaimed_pages, work.reclaimed_pages);
    }
}

/// The machine's bucket of this moment.
#[inline(always)]
pub(crate) fn machine(now: u64) -> Option<*mut Machine> {
    let bucket = now >> BUCKET_SHIFT;
    if let Some(machine) = MACHINE.get_ptr_mut(bucket) {
        return Some(machine);
    }
    let mut empty = MaybeUninit::uninit();
    clear(empty.as_mut_ptr());
    // SAFETY: zeroes are a `Machine`.
    let empty = unsafe { empty.assume_init_ref() };
    // Only one CPU opens a bucket, so the place has one writer.
    if MACHINE.insert(bucket, empty, NOEXIST).is_ok()
        && let Some(place) = PLACES.get_ptr_mut(bucket as u32 % BUCKETS)
    {
        // SAFETY: a word of a map's value; the next to write it is the one that opens a bucket in 68 s.
        unsafe {
            let old = *place;
            if old != bucket {
                let _ = MACHINE.remove(old);
            }
            *place = bucket;
        }
    }
    MACHINE.get_ptr_mut(bucket)
}

/// Pages were looked at. `true`: the running thread is in a round, and they are counted there.
#[inline(always)]
pub(crate) fn scanned(pages: u64) -> bool {
    let owner = bpf_get_current_pid_tgid();
    let Some(thread) = thread(owner) else { return true };
    if thread.owner != owner || thread.round == Round::None as u64 {
        return false;
    }
    thread.scanned_pages += pages;
    true
}

/// Something to add to the machine's sums: the closure gets a map's value, and by which way it is added to.
#[inline(always)]
pub(crate) fn count(add_to: impl Fn(*mut Machine, Add)) {
    // SAFETY: a field of a map's value.
    total(|totals| add_to(unsafe { &raw mut (*totals).machine }, add_own));
    if let Some(machine) = machine(now()) {
        add_to(machine, add);
    }
}

/// The allocation of the running thread asks for compaction once more, or gives up.
#[inline(always)]
pub(crate) fn compact_retry() {
    // SAFETY: a field of a map's value.
    total(|totals| unsafe { add_own(&raw mut (*totals).compact_retries, 1) });
    let owner = bpf_get_current_pid_tgid();
    if let Some(thread) = thread(owner)
        && thread.owner == owner
    {
        thread.total.compact_retries += 1;
    }
}

/// The page allocator looks at a zone after a round of the running thread.
#[inline(always)]
pub(crate) fn retry_zone(zone: u64, seen: &RetryZone) {
    // SAFETY: a field of a map's value.
    total(|totals| unsafe { add_own(&raw mut (*totals).retry_zones, 1) });
    let owner = bpf_get_current_pid_tgid();
    let rounds = rounds(owner);
    let Some(retry) = RETRIES.get_ptr_mut(owner as u32 % RETRIES_LEN) else { return };
    // SAFETY: the map lives as long as the program. Two threads that share a place may both write: then the zones of one are
    // told as the other's, or not at all. The index is checked in the copy that is used.
    let retry = unsafe { &mut *retry };
    if retry.owner != owner || retry.rounds != rounds || retry.first == zone {
        retry.owner = owner;
        retry.rounds = rounds;
        retry.first = zone;
        retry.count = 0;
    }
    let count = retry.count as usize;
    if count < RETRY_ZONES {
        retry.zones[count] = *seen;
        retry.count += 1;
    }
}

/// What is in a thread's place, whosever it is.
#[inline(always)]
pub(crate) fn place<W: Walk>(owner: u64) -> Thread {
    let mut thread = if W::WHOLE { MaybeUninit::uninit() } else { MaybeUninit::new(Thread::default()) };
    // SAFETY: a map's value, which may change under us. Its parts may not, any bytes are a `Thread`, and all are written.
    unsafe {
        copy(THREADS.get_ptr(owner as u32 % THREADS_LEN), thread.as_mut_ptr());
        thread.assume_init()
    }
}

/// Rounds of a thread, 0 if they are not known.
#[inline(always)]
pub(crate) fn rounds(owner: u64) -> u64 {
    let thread = place::<OnTracepoint>(owner);
    if thread.owner == owner { thread.total.rounds } else { 0 }
}

/// Copies a map's value without a branch; zeroes if there is none.
///
/// # Safety
/// Any bytes have to be a `T`, and `to` has to be valid.
#[inline(always)]
unsafe fn copy<T>(from: Option<*const T>, to: *mut T) {
    let from = from.unwrap_or(core::ptr::null());
    // SAFETY: the helper checks `from` and writes as many bytes as `to` has.
    unsafe { generated::bpf_probe_read_kernel(to.cast(), size_of::<T>() as u32, from.cast()) };
}

/// A call is entered: keeps its buckets as they are now.
#[inline(always)]
pub(crate) fn enter(state: &mut State) {
    let bucket = state.begin_ns >> BUCKET_SHIFT;
    state.cgroup = field(cgroup::memcg_css(field(state.oc, OcMemcg)), CssSerialNr);
    let key = CgroupBucket { cgroup: state.cgroup, bucket };
    // SAFETY: the values may change under us, their parts may not, and any bytes are one.
    unsafe {
        copy(MACHINE.get_ptr(bucket), &raw mut state.machine_now);
        copy(CGROUPS.get_ptr(key), &raw mut state.cgroup_now);
    }
}

/// Tells of reclaim before a call.
#[inline(always)]
pub(crate) fn announce<W: Walk>(state: &State) {
    let Some(mut entry) = reserve_event::<Escalation>() else { return };
    let record = entry.as_mut_ptr();
    let thread = place::<W>(state.owner);
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header =
            Header { kind: Kind::Escalation as u32, reserved: 0, call: state.call, time_ns: state.begin_ns };
        (*record).cgroup = state.cgroup;
        if W::WHOLE {
            copy(Some(&raw const state.cgroup_now), &raw mut (*record).cgroup_now);
            copy(Some(&raw const state.machine_now), &raw mut (*record).machine_now);
        } else {
            (*record).cgroup_now = state.cgroup_now;
            (*record).machine_now = state.machine_now;
        }
        (*record).owner = state.owner;
        (*record).rounds_owner = if thread.is_of(state) { state.owner } else { 0 };
        (*record).rounds = thread.total.rounds;
        copy(compaction::place(state.owner), &raw mut (*record).compaction);
        copy(RETRIES.get_ptr(state.owner as u32 % RETRIES_LEN), &raw mut (*record).retry);
    }
    entry.submit(0);
}
