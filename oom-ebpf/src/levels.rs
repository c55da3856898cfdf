//! How full the memory cgroups are: the full one, those above it, and its children. Machine-wide: the root's children.
//!
//! Read as the kernel decides, before anything is killed. Nothing is locked: a child that comes or goes meanwhile is
//! seen or not (programs run within an RCU read section, so that what was in the list can still be read).

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated::bpf_loop};
use core::ffi::c_void;
use oom_ebpf::{ABSENT, CHILDREN, Child, Kind, LEVELS, Level, UNKNOWN_U32, UNKNOWN_U64};

use crate::{
    call::header,
    cgroup,
    fields::{
        CSS_CHILDREN, CSS_PARENT, CSS_SIBLING, MEMCG_CSS, MEMCG_HIGH, MEMCG_MAX, MEMCG_OOM_GROUP,
        MEMCG_SWAP_MAX, MEMCG_SWAP_USAGE, MEMCG_USAGE, OC_MEMCG,
    },
    maps::{State, reserve_bulk},
    read::{at, current, field, pointer},
};

/// How a list is walked.
pub(crate) trait Walk {
    /// Whether the same program clears and copies by helpers. With loops of its own it does so byte by byte, as the compiler has
    /// it: 5.10's verifier takes it like that, and not in any other way.
    const WHOLE: bool;

    /// A round after the other, `MOST` of them, until one says that there are no more.
    fn rounds<R: Round, const MOST: u32>(round: &mut R, state: &mut State);
}

/// What to walk along.
pub(crate) trait Round {
    /// Goes on by one. Whether there may be more.
    fn next(&mut self, state: &mut State) -> bool;
}

/// By `bpf_loop` (from 5.17 on): the verifier looks at one round.
pub(crate) struct Loop;

/// By a loop of the program, of which the verifier looks at every round: most of the time that loading takes.
pub(crate) struct Rounds;

impl Walk for Loop {
    const WHOLE: bool = true;

    #[inline(always)]
    fn rounds<R: Round, const MOST: u32>(round: &mut R, state: &mut State) {
        let one: unsafe extern "C" fn(u32, *mut c_void) -> i64 = one::<R>;
        let mut both = Both { round, state };
        // SAFETY: the helper calls `one`, with what it takes, as often as it likes, and before it returns.
        unsafe { bpf_loop(MOST, one as *mut c_void, (&raw mut both).cast(), 0) };
    }
}

/// What [`one`] is called with. The state goes along: one that it got from the map itself would be a second reference to it,
/// and whoever has the first may keep what they read in registers.
struct Both<'a, R> {
    round: &'a mut R,
    state: &'a mut State,
}

/// One round of [`Loop`]. Not 0 ends it.
///
/// # Safety
/// `both` points to a [`Both`] that nobody else uses meanwhile.
unsafe extern "C" fn one<R: Round>(_index: u32, both: *mut c_void) -> i64 {
    // SAFETY: as here.
    let Both { round, state } = unsafe { &mut *both.cast::<Both<'_, R>>() };
    i64::from(!round.next(state))
}

impl Walk for Rounds {
    const WHOLE: bool = false;

    #[inline(always)]
    fn rounds<R: Round, const MOST: u32>(round: &mut R, state: &mut State) {
        for _ in 0..MOST {
            if !round.next(state) {
                break;
            }
        }
    }
}

/// Tells how full everything is. The small ring's record that follows wakes the agent.
#[inline(always)]
pub(crate) fn send<W: Walk>(state: &mut State) {
    if MEMCG_CSS.load() == ABSENT || CSS_PARENT.load() == ABSENT {
        return;
    }
    let memcg = pointer(state.oc, &OC_MEMCG);
    let css = if memcg != 0 { cgroup::memcg_css(memcg) } else { root(cgroup::memory_css(current())) };
    if css == 0 {
        return;
    }
    let children = children::<W>(state, css);
    W::rounds::<_, { LEVELS as u32 }>(&mut Upwards { css, depth: 0, children }, state);
}

/// The topmost `cgroup_subsys_state`; 0 if it is not within reach.
#[inline(always)]
fn root(css: u64) -> u64 {
    let mut css = css;
    for _ in 0..2 * LEVELS {
        let parent = pointer(css, &CSS_PARENT);
        if parent == 0 {
            return css;
        }
        css = parent;
    }
    0
}

/// What [`children`] came to.
struct Seen {
    looked: u32,
    sent: u32,
    rest: u32,
}

/// A walk along the list of a cgroup's children.
pub(crate) struct Children {
    /// The list's head, and the node to look at next.
    head: u64,
    node: u64,
    looked: u32,
}

/// Tells of every child that uses anything (`css_for_each_child`).
#[inline(always)]
fn children<W: Walk>(state: &mut State, css: u64) -> Seen {
    let list = CSS_CHILDREN.load();
    if list == ABSENT || CSS_SIBLING.load() == ABSENT {
        return Seen { looked: UNKNOWN_U32, sent: 0, rest: 0 };
    }
    let head = css + u64::from(list);
    let sent = &raw mut state.children_sent;
    // SAFETY: a field of the state, through its own reference.
    unsafe { sent.write_volatile(0) };
    // `list_head.next` is its first word.
    let mut walk = Children { head, node: at(head), looked: 0 };
    W::rounds::<_, { CHILDREN as u32 }>(&mut walk, state);
    let Children { node, looked, .. } = walk;
    // One that went away meanwhile may point to nothing.
    let rest = u32::from(node != head && node != 0);
    // SAFETY: as above.
    Seen { looked, sent: unsafe { sent.read_volatile() }, rest }
}

impl Round for Children {
    /// Tells of the next child, if it uses anything.
    #[inline(always)]
    fn next(&mut self, state: &mut State) -> bool {
        if self.node == self.head || self.node == 0 {
            return false;
        }
        self.looked += 1;
        let child = self.node.wrapping_sub(u64::from(CSS_SIBLING.load()));
        self.node = at(self.node);
        let memcg = cgroup::memcg(child);
        let usage = field(memcg, &MEMCG_USAGE, UNKNOWN_U64);
        let swap = field(memcg, &MEMCG_SWAP_USAGE, UNKNOWN_U64);
        if usage == 0 && (swap == 0 || swap == UNKNOWN_U64) {
            return true;
        }
        let sent = &raw mut state.children_sent;
        // SAFETY: a field of the state, through its own reference.
        unsafe { sent.write_volatile(sent.read_volatile() + 1) };
        let Some(mut entry) = reserve_bulk::<Child>() else {
            state.levels_lost += 1;
            return true;
        };
        let record = entry.as_mut_ptr();
        // SAFETY: the record is ours; every field is written.
        unsafe {
            (*record).header = header(Kind::Child, state.call);
            (*record).id = cgroup::id(child);
            (*record).usage_pages = usage;
            (*record).max_pages = field(memcg, &MEMCG_MAX, UNKNOWN_U64);
            (*record).swap_usage_pages = swap;
            cgroup::name(child, &raw mut (*record).name);
        }
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
        true
    }
}

/// The way from a cgroup up to the root.
struct Upwards {
    css: u64,
    depth: u32,
    /// Of the first one.
    children: Seen,
}

impl Round for Upwards {
    /// Tells of this cgroup, and goes to its parent.
    #[inline(always)]
    fn next(&mut self, state: &mut State) -> bool {
        let css = self.css;
        let parent = pointer(css, &CSS_PARENT);
        let memcg = cgroup::memcg(css);
        if let Some(mut entry) = reserve_bulk::<Level>() {
            let record = entry.as_mut_ptr();
            // SAFETY: the record is ours; every field is written.
            unsafe {
                (*record).header = header(Kind::Level, state.call);
                (*record).id = cgroup::id(css);
                (*record).usage_pages = field(memcg, &MEMCG_USAGE, UNKNOWN_U64);
                (*record).max_pages = field(memcg, &MEMCG_MAX, UNKNOWN_U64);
                (*record).high_pages = field(memcg, &MEMCG_HIGH, UNKNOWN_U64);
                (*record).swap_usage_pages = field(memcg, &MEMCG_SWAP_USAGE, UNKNOWN_U64);
                (*record).swap_max_pages = field(memcg, &MEMCG_SWAP_MAX, UNKNOWN_U64);
                (*record).depth = self.depth;
                (*record).root = u32::from(parent == 0);
                (*record).oom_group = match MEMCG_OOM_GROUP.load() {
                    ABSENT => UNKNOWN_U32,
                    _ => u32::from(field::<u8>(memcg, &MEMCG_OOM_GROUP, 0)),
                };
                (*record).children = self.children.looked;
                (*record).children_sent = self.children.sent;
                (*record).children_rest = self.children.rest;
            }
            entry.submit(u64::from(BPF_RB_NO_WAKEUP));
        } else {
            state.levels_lost += 1;
        }
        self.css = parent;
        self.depth += 1;
        self.children = Seen { looked: UNKNOWN_U32, sent: 0, rest: 0 };
        parent != 0
    }
}
