//! Candidates: collected in the object's own memory, sent by the batch.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE};
use core::slice;
use oom_ebpf::{Candidate, CgroupName, Header, Kind, RING_BULK};

use crate::{
    call::header,
    cgroup,
    maps::{BATCH, BULK, Batch, NAMES, State, dropped, reserve_bulk},
    read::{Reader, get, put},
    task,
    walk::Walk,
};

/// Bytes of a whole batch, and of one without a candidate.
const BATCH_BYTES: u64 = size_of::<Batch>() as u64;
pub(crate) const NO_CANDIDATE: u64 = size_of::<Header>() as u64;

/// In place of a cgroup's address: none is there.
const NOT_NAMED: u64 = u64::MAX;

/// The kernel looked at this task.
#[inline(always)]
pub(crate) fn evaluated<R: Reader, W: Walk>(state: &mut State, task: u64) {
    state.evaluated += 1;
    let css = cgroup::memory_css_by::<R>(task);
    // Most follow another one of their cgroup. None leaves its address to another one from one candidate to the next: it is freed
    // after an RCU grace period (`css_release_work_fn`, kernel/cgroup/cgroup.c).
    if css != state.css {
        let id = cgroup::id_by::<R>(css);
        put(&mut state.css, css);
        put(&mut state.css_id, id);
        name::<W>(state, css, id);
    }
    let cgroup_id = get(&state.css_id);
    let batched = state.batched;
    // Never: for the verifier.
    if batched > BATCH_BYTES - size_of::<Candidate>() as u64 {
        return;
    }
    // SAFETY: within the batch, which `oom_lock` leaves to one at a time; every field is written.
    unsafe {
        let record = BATCH.get().cast::<u8>().add(batched as usize).cast::<Candidate>();
        task::fill_by::<R, W>(task, cgroup_id, &raw mut (*record).task);
        (*record).has_points = u32::from(state.scored == task);
        (*record).points = state.points;
        (*record).reserved = 0;
    }
    state.scored = 0;
    let batched = batched + size_of::<Candidate>() as u64;
    put(&mut state.batched, batched);
    if batched == BATCH_BYTES {
        send(state);
    }
}

/// Sends the candidates that wait.
#[inline(always)]
pub(crate) fn send(state: &mut State) {
    let batched = state.batched;
    state.batched = NO_CANDIDATE;
    // More it never is: for the verifier.
    if batched <= NO_CANDIDATE || batched > BATCH_BYTES {
        return;
    }
    let batch = BATCH.get();
    // SAFETY: ours alone, as in `evaluated`, and not smaller.
    let bytes = unsafe {
        // Thousands of them: none asks for the time.
        (*batch).header =
            Header { kind: Kind::Candidate as u32, reserved: 0, call: state.call, time_ns: state.begin_ns };
        slice::from_raw_parts(batch.cast::<u8>(), batched as usize)
    };
    if BULK.output::<[u8]>(bytes, wake()).is_err() {
        state.candidates_lost += ((batched - NO_CANDIDATE) / size_of::<Candidate>() as u64) as u32;
        dropped(RING_BULK);
    }
}

/// How to submit one more record to the bulk ring. The agent is woken early once a quarter of the ring waits: most calls
/// end without a word, and what they left may not outrun the ring. Not before: where the agent gets the processor of the
/// task that is out of memory, the kill waits for it.
#[inline(always)]
fn wake() -> u64 {
    let waits = BULK.query(BPF_RB_AVAIL_DATA.into());
    let room = BULK.query(BPF_RB_RING_SIZE.into());
    u64::from(if waits >= room / 4 { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

/// Sends the path of a memory cgroup, once a call.
#[inline(always)]
fn name<W: Walk>(state: &mut State, css: u64, id: u64) {
    if id == 0 {
        return;
    }
    // SAFETY: the value may change under us, it is one word.
    if unsafe { NAMES.get(id) }.is_some_and(|call| *call == state.call) {
        return;
    }
    let Some(mut entry) = reserve_bulk::<CgroupName>() else {
        // The next one may have room.
        put(&mut state.css, NOT_NAMED);
        state.names_lost += 1;
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::CgroupName, state.call);
        (*record).id = id;
        cgroup::path::<W>(css, &raw mut (*record).path);
    }
    entry.submit(wake());
    // Fails only for a full map, and an LRU map makes room: then the name is sent again.
    let _ = NAMES.insert(id, state.call, 0);
}
