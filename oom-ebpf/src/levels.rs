//! How full the memory cgroups are: the full one, those above it, and its children. Machine-wide: the root's children.
//!
//! Read as the kernel decides, before anything is killed. Nothing is locked: a child that comes or goes meanwhile is
//! seen or not (programs run within an RCU read section, so that what was in the list can still be read).

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
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
    walk::{Round, Walk},
};

/// Tells how full everything is. The small ring's record that follows wakes the agent.
#[inline(always)]
pub(crate) fn send<W: Walk>(state: &mut State) {
    if MEMCG_CSS.load() == ABSENT || CSS_PARENT.load() == ABSENT {
        return;
    }
    let memcg = pointer(state.oc, &OC_MEMCG);
    let css = if memcg != 0 { cgroup::memcg_css(memcg) } else { root::<W>(cgroup::memory_css(current())) };
    if css == 0 {
        return;
    }
    let children = children::<W>(state, css);
    W::rounds::<_, { LEVELS as u32 }>(&mut Upwards { state, css, depth: 0, children });
}

/// The topmost `cgroup_subsys_state`; 0 if it is not within reach.
#[inline(always)]
fn root<W: Walk>(css: u64) -> u64 {
    let mut walk = Topmost { css, top: 0 };
    W::rounds::<_, { 2 * LEVELS as u32 }>(&mut walk);
    walk.top
}

/// The way up to the root, of which only the end is wanted.
struct Topmost {
    css: u64,
    top: u64,
}

impl Round for Topmost {
    #[inline(always)]
    fn next<W: Walk>(&mut self, _index: u32) -> bool {
        let parent = pointer(self.css, &CSS_PARENT);
        if parent == 0 {
            self.top = self.css;
        } else {
            self.css = parent;
        }
        parent != 0
    }
}

/// What [`children`] came to.
struct Seen {
    looked: u32,
    sent: u32,
    rest: u32,
}

/// A walk along the list of a cgroup's children.
pub(crate) struct Children<'a> {
    state: &'a mut State,
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
    // SAFETY: a field of the state, through its own reference.
    unsafe { (&raw mut state.children_sent).write_volatile(0) };
    // `list_head.next` is its first word.
    let mut walk = Children { state, head, node: at(head), looked: 0 };
    W::rounds::<_, { CHILDREN as u32 }>(&mut walk);
    let Children { state, node, looked, .. } = walk;
    // One that went away meanwhile may point to nothing.
    let rest = u32::from(node != head && node != 0);
    // SAFETY: as above.
    Seen { looked, sent: unsafe { (&raw const state.children_sent).read_volatile() }, rest }
}

impl Round for Children<'_> {
    /// Tells of the next child, if it uses anything.
    #[inline(always)]
    fn next<W: Walk>(&mut self, _index: u32) -> bool {
        let state = &mut *self.state;
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
struct Upwards<'a> {
    state: &'a mut State,
    css: u64,
    depth: u32,
    /// Of the first one.
    children: Seen,
}

impl Round for Upwards<'_> {
    /// Tells of this cgroup, and goes to its parent.
    #[inline(always)]
    fn next<W: Walk>(&mut self, _index: u32) -> bool {
        let state = &mut *self.state;
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
