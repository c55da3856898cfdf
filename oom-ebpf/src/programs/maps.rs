//! Rings, counters and the state that programs share. Every map is preallocated.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use core::{cell::UnsafeCell, mem::MaybeUninit};
use oom_ebpf::{Candidate, Header, Machine, RING_BULK, RING_EVENTS, Work};

use crate::fields::CALLS_SEEN;

/// What must never be lost. The loader sets the size.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1024 * 1024, 0);

/// Candidates, cgroup names and how full cgroups are. The loader sets the size.
#[map]
pub(crate) static BULK: RingBuf = RingBuf::with_byte_size(1024 * 1024, 0);

/// Records that could not be sent, by ring. The agent adds the CPUs up.
#[map]
pub(crate) static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// Not 0: all hooks are in place, and calls may begin. The loader sets it.
#[map]
pub(crate) static OPEN: Array<u32> = Array::with_max_entries(1, 0);

/// Memory that every program reaches without a lookup: the object's `.bss`. Zeroes at first.
pub(crate) struct Own<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: who takes a reference says why nobody else has one.
unsafe impl<T> Sync for Own<T> {}

impl<T> Own<T> {
    const fn zeroed() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// Where it is.
    #[inline(always)]
    pub(crate) const fn get(&self) -> *mut T {
        self.0.get().cast()
    }
}

/// The one OOM call under way: the kernel serialises them with `oom_lock`.
static STATE: Own<State> = Own::zeroed();

/// Processes that were sent SIGKILL or marked, by tgid. An entry outlives its process: it may exit on another CPU
/// before it is marked, and the mark wants the time of the kill. The start tells a new process with the same tgid.
#[map]
pub(crate) static VICTIMS: LruHashMap<u32, VictimState> = LruHashMap::with_max_entries(4096, 0);

/// Memory that is waited for, by the address of its `mm_struct`. An entry goes with its mm.
#[map]
pub(crate) static MMS: LruHashMap<u64, MmState> = LruHashMap::with_max_entries(4096, 0);

/// kprobes only: the mm of [`MMS`] that a thread is giving back.
#[map]
pub(crate) static LEAVING: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1024, 0);

/// Candidates that wait to be sent together: see [`State::batched`].
pub(crate) static BATCH: Own<Batch> = Own::zeroed();

/// A record of the bulk ring.
#[repr(C)]
pub(crate) struct Batch {
    pub header: Header,
    pub candidates: [Candidate; BATCH_LEN],
}

/// Candidates of one record of the bulk ring. To reserve and submit a record costs as much as to fill it.
const BATCH_LEN: usize = 32;

/// Cgroup id -> number of the call that its path was last sent for.
#[map]
pub(crate) static NAMES: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// Scopes that are in turn without a killable process.
pub(crate) const QUIET_LEN: usize = 4;

/// A scope without a killable process.
#[repr(C)]
pub(crate) struct Quiet {
    /// `oc->memcg` (0: the machine).
    pub scope: u64,
    /// When it was last told of.
    pub told_ns: u64,
    /// Such calls that were kept quiet since.
    pub repeats: u64,
}

/// The OOM call under way, see [`crate::call`].
#[repr(C)]
pub(crate) struct State {
    /// Its number.
    pub call: u64,
    /// `bpf_get_current_pid_tgid` of the task in it.
    pub owner: u64,
    /// `struct oom_control *`, 0 if `out_of_memory` is not hooked.
    pub oc: u64,
    /// Entry.
    pub begin_ns: u64,
    /// Last mark (where calls are told apart by time).
    pub last_ns: u64,
    /// The owner's reclaim rounds at the first mark (where calls are told apart by them).
    pub rounds: u64,
    /// Between entry and return of `out_of_memory`.
    pub active: u32,
    /// The [`oom_ebpf::Call`] record was made (or lost).
    pub announced: u32,
    /// Calls of `oom_evaluate_task`.
    pub evaluated: u32,
    /// Candidate records lost.
    pub candidates_lost: u32,
    /// Name records lost.
    pub names_lost: u32,
    /// Records of [`crate::levels`] lost, in this call.
    pub levels_lost: u32,
    /// Children of the full cgroup that were looked at, told, and left. In memory, not in a register: there each value would be
    /// a path of its own to the verifier.
    pub children_looked: u32,
    pub children_sent: u32,
    pub children_rest: u32,
    /// Calls without a killable process that were kept quiet, and that no call of their scope has told of since.
    pub repeats_elsewhere: u32,
    /// Scopes without a killable process, and the place of the one under way.
    pub quiet_at: u32,
    pub quiet: [Quiet; QUIET_LEN],
    /// The cgroup to tell of next: its `cgroup_subsys_state`.
    pub level: u64,
    /// Argument of the function that has not returned yet, for kprobes; and on its way through memory (`read::through`).
    pub evaluating: u64,
    pub scoring: u64,
    /// What `oom_badness` returned last, and for whom.
    pub scored: u64,
    pub points: i64,
    /// `oc->chosen` at `oom_kill_process`.
    pub chosen: u64,
    /// Last task that the kernel sent SIGKILL to in this call. Where calls are not seen: at all.
    pub signalled: u64,
    /// An mm on its way through memory (`read::through`).
    pub looked_mm: u64,
    /// The last marked one, its mm, when it was killed, and its tgid.
    pub marked_task: u64,
    pub marked_mm: u64,
    pub marked_killed_ns: u64,
    pub marked_tgid: u64,
    /// The last candidate's `cgroup_subsys_state`, and its cgroup's id. Its path was sent in this call.
    pub css: u64,
    pub css_id: u64,
    /// Bytes of [`BATCH`] that are this call's.
    pub batched: u64,
    /// Reclaim at the entry: `css.serial_nr` of `oc->memcg`, and the entry's buckets of it and of the machine.
    pub cgroup: u64,
    pub cgroup_now: Work,
    pub machine_now: Machine,
}

/// See [`VICTIMS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct VictimState {
    /// Start of the process: tells pids apart.
    pub start_ns: u64,
    /// When SIGKILL was sent, 0 if it was not.
    pub killed_ns: u64,
    /// Who sent it (`bpf_get_current_pid_tgid`).
    pub killer: u64,
    /// Number of the call.
    pub call: u64,
    /// Not 0: its exit was told.
    pub exited: u64,
}

impl VictimState {
    /// When this killer sent SIGKILL to this process, in this call where calls are seen; 0 if it did not.
    #[inline(always)]
    pub(crate) fn killed_ns(&self, start_ns: u64, killer: u64, call: u64) -> u64 {
        let this_call = CALLS_SEEN.load() == 0 || self.call == call;
        if self.start_ns == start_ns && self.killer == killer && this_call { self.killed_ns } else { 0 }
    }
}

/// See [`MMS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct MmState {
    /// Start of the process.
    pub start_ns: u64,
    /// Number of the call.
    pub call: u64,
    /// `oc->memcg` of that call, which may be gone by now, and the id that its cgroup had.
    pub memcg: u64,
    pub scope_id: u64,
    /// `tgid` of the process.
    pub pid: u32,
    pub reserved: u32,
}

/// Whether calls may begin.
#[inline(always)]
pub(crate) fn is_open() -> bool {
    // SAFETY: a map's value, of one word, which may change under us.
    OPEN.get_ptr(0).is_some_and(|open| unsafe { open.read_volatile() } != 0)
}

/// The state. For who is in the kernel's OOM path.
#[inline(always)]
pub(crate) fn state() -> &'static mut State {
    // SAFETY: it lives as long as the program, and who is in the OOM path holds `oom_lock`: nobody else has the state
    // meanwhile, and a program asks for it once. With one exception, where calls are not seen: `signal_generate`, from anywhere.
    // That reads and writes words, each as a whole, of which a wrong one is found out (`mark_victim::task_by_tid`) or costs the
    // record of a process that only shares memory.
    unsafe { &mut *STATE.get() }
}

/// The state, if a call is under way and the running task is in it, by the task that entered it.
#[inline(always)]
pub(crate) fn state_in_call(is_in_it: impl Fn(u64) -> bool) -> Option<&'static mut State> {
    let state = STATE.get();
    // SAFETY: words of a map's value. Who is not in the call may see them change; the owner is then another one all the same.
    let (active, owner) = unsafe {
        ((&raw const (*state).active).read_volatile(), (&raw const (*state).owner).read_volatile())
    };
    if active == 0 || !is_in_it(owner) {
        return None;
    }
    // SAFETY: as in `state`.
    Some(unsafe { &mut *state })
}

/// Room for a record in the small ring, or `None` with the drop counted.
///
/// Where paths of a program come together shortly before, some fields are read first: at the condition that each of these has
/// a verifier sees that the paths are the same by now. With a reservation each, those before 6.2 do not (`refsafe`,
/// kernel/bpf/verifier.c), and all that follows is looked at for each.
#[inline(always)]
pub(crate) fn reserve_event<T: 'static>() -> Option<RingBufEntry<T>> {
    reserve(&EVENTS, RING_EVENTS)
}

/// Room for a record in the bulk ring, or `None` with the drop counted.
#[inline(always)]
pub(crate) fn reserve_bulk<T: 'static>() -> Option<RingBufEntry<T>> {
    reserve(&BULK, RING_BULK)
}

#[inline(always)]
fn reserve<T: 'static>(ring: &RingBuf, index: u32) -> Option<RingBufEntry<T>> {
    let entry = ring.reserve::<T>(0);
    if entry.is_none() {
        dropped(index);
    }
    entry
}

/// Counts a record that found no room.
#[inline(always)]
pub(crate) fn dropped(index: u32) {
    if let Some(count) = DROPS.get_ptr_mut(index) {
        // SAFETY: this CPU's own value. Another of our programs may come between and cost a count: the agent wants to
        // know that there are drops, and about how many.
        unsafe { *count += 1 };
    }
}
