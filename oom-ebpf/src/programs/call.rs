//! One OOM call: numbered at its entry, announced when the first thing worth telling happens in it.
//!
//! `out_of_memory` runs several times for one kill: most calls find that an earlier victim is still dying. They
//! stay silent. Where `out_of_memory` cannot be hooked, a call is one mark, or what one task marks of a group
//! (`memory.oom.group`) without a reclaim round between: an allocation is always retried, with reclaim, before the
//! next OOM call of the same task. (Who lowers `memory.max` does not reclaim between: `memory_max_write`.)

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use oom_ebpf::Field::{
    MemcgMax, MemcgSwapMax, MemcgSwapUsage, MemcgUsage, OcChosen, OcConstraint, OcGfpMask, OcMemcg, OcOrder,
    OcTotalpages,
};
use oom_ebpf::{CHOSEN_ABORTED, CHOSEN_NONE, CHOSEN_TASK, Call, End, Header, Kind, UNKNOWN_U64};

use crate::{
    candidates, cgroup,
    fields::CALLS_SEEN,
    levels,
    maps::{QUIET_LEN, Quiet, State, is_open, reserve_event, state, state_in_call},
    read::{current, field, field_or, get, now, put},
    reclaim, task,
    walk::Walk,
};

/// Marks of one task further apart than this are not one kill, where calls are not seen.
const PSEUDO_CALL_GAP_NS: u64 = 1_000_000_000;
/// Loops in one scope without a killable process are told once in this time.
const QUIET_NS: u64 = 1_000_000_000;
/// Those that were kept quiet longer ago have nothing to do with the next one.
const FORGOTTEN_NS: u64 = 60_000_000_000;

/// `out_of_memory` was entered.
#[inline(always)]
pub(crate) fn enter(oc: u64) {
    if !is_open() {
        return;
    }
    let state = state();
    state.signalled = 0;
    begin(state, oc, now());
}

#[inline(always)]
fn begin(state: &mut State, oc: u64, now: u64) {
    state.call += 1;
    state.owner = bpf_get_current_pid_tgid();
    state.oc = oc;
    state.begin_ns = now;
    state.active = 1;
    state.announced = 0;
    state.evaluated = 0;
    state.candidates_lost = 0;
    state.names_lost = 0;
    state.css = 0;
    state.css_id = 0;
    state.batched = candidates::NO_CANDIDATE;
    state.levels_lost = 0;
    state.evaluating = 0;
    state.scoring = 0;
    state.scored = 0;
    state.chosen = 0;
    state.marked_mm = 0;
    state.marked_tgid = 0;
    reclaim::enter(state);
}

/// The state, if the running task is inside an OOM call.
#[inline(always)]
pub(crate) fn inside() -> Option<&'static mut State> {
    state_in_call(|owner| owner == bpf_get_current_pid_tgid())
}

/// The state, in what the kernel does only inside an OOM call: whoever holds `oom_lock` is in the call under way.
#[inline(always)]
pub(crate) fn under_way() -> Option<&'static mut State> {
    state_in_call(|_| true)
}

/// Whether the running task is inside an OOM call as it marks this victim (0: unknown). Where calls are not seen it
/// always is, and a new one begins if this mark cannot belong to the last.
#[inline(always)]
pub(crate) fn inside_or_begin<W: Walk>(state: &mut State, victim: u64) -> bool {
    let owner = bpf_get_current_pid_tgid();
    if CALLS_SEEN.load() != 0 {
        return state.active != 0 && state.owner == owner;
    }
    let now = now();
    let rounds = reclaim::rounds(owner);
    // Only a group has a second mark in one call (`oom_kill_process`).
    let single = victim != 0 && cgroup::oom_group::<W>(cgroup::memory_css(victim)) == 0;
    let pause = now.saturating_sub(state.last_ns);
    if single || state.owner != owner || state.rounds != rounds || pause > PSEUDO_CALL_GAP_NS {
        begin(state, 0, now);
        state.rounds = rounds;
    }
    state.last_ns = now;
    true
}

#[inline(always)]
pub(crate) fn header(kind: Kind, call: u64) -> Header {
    Header { kind: kind as u32, reserved: 0, call, time_ns: now() }
}

/// Tells the agent about this call, once.
#[inline(always)]
pub(crate) fn announce<W: Walk>(state: &mut State) {
    if state.announced != 0 {
        return;
    }
    state.announced = 1;
    let oc = state.oc;
    let memcg = field(oc, OcMemcg);
    let own = cgroup::memory_css(current());
    let Some(mut entry) = reserve_event::<Call>() else { return };
    let record = entry.as_mut_ptr();
    let thread = reclaim::place::<W>(state.owner);
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header =
            Header { kind: Kind::Call as u32, reserved: 0, call: state.call, time_ns: state.begin_ns };
        task::fill(current(), task::own_mm(current()), &raw mut (*record).trigger);
        cgroup::path::<W>(own, &raw mut (*record).trigger_path);
        (*record).has_control = u32::from(oc != 0);
        (*record).gfp_mask = field(oc, OcGfpMask);
        (*record).order = field(oc, OcOrder);
        (*record).is_memcg = u32::from(memcg != 0);
        (*record).reserved = 0;
        (*record).scope_id = cgroup::id(cgroup::memcg_css(memcg));
        cgroup::path::<W>(cgroup::memcg_css(memcg), &raw mut (*record).scope_path);
        (*record).usage_pages = field_or(memcg, MemcgUsage, UNKNOWN_U64);
        (*record).limit_pages = field_or(memcg, MemcgMax, UNKNOWN_U64);
        (*record).swap_usage_pages = field_or(memcg, MemcgSwapUsage, UNKNOWN_U64);
        (*record).swap_limit_pages = field_or(memcg, MemcgSwapMax, UNKNOWN_U64);
        (*record).has_reclaim = u32::from(thread.is_of(state));
        (*record).reclaim = thread.total;
    }
    entry.submit(0);
    reclaim::announce::<W>(state);
}

/// `out_of_memory` returned.
#[inline(always)]
pub(crate) fn leave<W: Walk>(result: u32) {
    let Some(state) = inside() else { return };
    state.active = 0;
    let oc = state.oc;
    let chosen = match field(oc, OcChosen) {
        0 => CHOSEN_NONE,
        u64::MAX => CHOSEN_ABORTED,
        _ => CHOSEN_TASK,
    };
    let now = now();
    let mut repeats = 0;
    if state.announced == 0 {
        // Without `totalpages` it did not get as far as looking: `oom_killer_disabled`, while the machine is suspended.
        if result != 0 || chosen != CHOSEN_NONE || field::<u64>(oc, OcTotalpages) == 0 {
            return;
        }
        // Nothing to kill: the allocation fails, is retried and comes back at once.
        let scope = field(oc, OcMemcg);
        let quiet = place_of(&mut state.quiet, &mut state.quiet_at, scope);
        let since_ns = now.saturating_sub(quiet.told_ns);
        if quiet.scope == scope && since_ns < QUIET_NS {
            quiet.repeats += 1;
            return;
        }
        repeats = quiet.repeats as u32;
        if quiet.scope != scope || since_ns > FORGOTTEN_NS {
            state.repeats_elsewhere += repeats;
            repeats = 0;
        }
        *quiet = Quiet { scope, told_ns: now, repeats: 0 };
        announce::<W>(state);
        levels::send::<W>(state);
    }
    candidates::send(state);
    let total_pages = field(oc, OcTotalpages);
    let constraint = field(oc, OcConstraint);
    let Some(mut entry) = reserve_event::<End>() else {
        state.repeats_elsewhere += repeats;
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = Header { kind: Kind::End as u32, reserved: 0, call: state.call, time_ns: now };
        (*record).result = result;
        (*record).chosen = chosen;
        (*record).duration_ns = now.saturating_sub(state.begin_ns);
        (*record).evaluated = state.evaluated;
        (*record).candidates_lost = state.candidates_lost;
        (*record).names_lost = state.names_lost;
        (*record).repeats = repeats;
        (*record).total_pages = total_pages;
        (*record).constraint = constraint;
        (*record).levels_lost = state.levels_lost;
        (*record).repeats_elsewhere = state.repeats_elsewhere;
        (*record).reserved = 0;
    }
    state.repeats_elsewhere = 0;
    entry.submit(0);
}

/// The scope's place, else the one that was told of longest ago.
#[inline(always)]
fn place_of<'a>(all: &'a mut [Quiet; QUIET_LEN], at: &mut u32, scope: u64) -> &'a mut Quiet {
    put(at, 0);
    for other in 0..QUIET_LEN {
        if all[other].scope == scope {
            put(at, other as u32);
            break;
        }
        if all[other].told_ns < all[get(at) as usize % QUIET_LEN].told_ns {
            put(at, other as u32);
        }
    }
    &mut all[get(at) as usize % QUIET_LEN]
}
