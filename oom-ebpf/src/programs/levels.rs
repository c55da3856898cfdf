//! How full the memory cgroups are: the full one, those above it, and its children. Machine-wide: the root's children.
//!
//! Read as the kernel decides, before anything is killed. Nothing is locked: a child that comes or goes meanwhile is
//! seen or not (programs run within an RCU read section, so that what was in the list can still be read).

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use oom_ebpf::Field::{
    CssChildren, CssParent, CssSibling, MemcgCss, MemcgHigh, MemcgMax, MemcgOomGroup, MemcgSwapMax,
    MemcgSwapUsage, MemcgUsage, OcMemcg,
};
use oom_ebpf::{CHILDREN, Child, Kind, LEVELS, Level, UNKNOWN_U32, UNKNOWN_U64};

use crate::{
    call::header,
    cgroup,
    fields::offset,
    maps::{State, reserve_bulk},
    read::{at, current, field, field_or, get, is_absent, put, through},
    walk::{Round, Walk},
};

/// Tells how full everything is. The small ring's record that follows wakes the agent.
#[inline(always)]
pub(crate) fn send<W: Walk>(state: &mut State) {
    if is_absent(MemcgCss) || is_absent(CssParent) {
        return;
    }
    let memcg = field(state.oc, OcMemcg);
    let css = if memcg != 0 { cgroup::memcg_css(memcg) } else { root::<W>(cgroup::memory_css(current())) };
    let css = through(&mut state.level, css);
    if css == 0 {
        return;
    }
    children::<W>(state, css);
    W::rounds::<_, { LEVELS as u32 }>(&mut Upwards { state });
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
        let parent = field(self.css, CssParent);
        if parent == 0 {
            self.top = self.css;
        } else {
            self.css = parent;
        }
        parent != 0
    }
}

/// A walk along the list of a cgroup's children.
pub(crate) struct Children<'a> {
    state: &'a mut State,
    /// The list's head, and the node to look at next.
    head: u64,
    node: u64,
}

/// Tells of every child that uses anything (`css_for_each_child`).
#[inline(always)]
fn children<W: Walk>(state: &mut State, css: u64) {
    if is_absent(CssChildren) || is_absent(CssSibling) {
        return begin_children(state, UNKNOWN_U32);
    }
    begin_children(state, 0);
    let head = css.wrapping_add(offset(CssChildren));
    // `list_head.next` is its first word.
    let mut walk = Children { state, head, node: at(head) };
    W::rounds::<_, { CHILDREN as u32 }>(&mut walk);
    let Children { state, node, .. } = walk;
    // One that went away meanwhile may point to nothing.
    put(&mut state.children_rest, u32::from(node != head && node != 0));
}

/// Nothing is known of children but how many were looked at.
#[inline(always)]
fn begin_children(state: &mut State, looked: u32) {
    put(&mut state.children_looked, looked);
    put(&mut state.children_sent, 0);
    put(&mut state.children_rest, 0);
}

impl Round for Children<'_> {
    /// Tells of the next child, if it uses anything.
    #[inline(always)]
    fn next<W: Walk>(&mut self, index: u32) -> bool {
        let state = &mut *self.state;
        if self.node == self.head || self.node == 0 {
            return false;
        }
        put(&mut state.children_looked, index + 1);
        let child = self.node.wrapping_sub(offset(CssSibling));
        self.node = at(self.node);
        let memcg = cgroup::memcg(child);
        let usage = field_or(memcg, MemcgUsage, UNKNOWN_U64);
        let swap = field_or(memcg, MemcgSwapUsage, UNKNOWN_U64);
        if usage == 0 && (swap == 0 || swap == UNKNOWN_U64) {
            return true;
        }
        let sent = get(&state.children_sent) + 1;
        put(&mut state.children_sent, sent);
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
            (*record).max_pages = field_or(memcg, MemcgMax, UNKNOWN_U64);
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
}

impl Round for Upwards<'_> {
    /// Tells of this cgroup, and goes to its parent.
    #[inline(always)]
    fn next<W: Walk>(&mut self, index: u32) -> bool {
        let state = &mut *self.state;
        let css = get(&state.level);
        let parent = field(css, CssParent);
        let memcg = cgroup::memcg(css);
        if let Some(mut entry) = reserve_bulk::<Level>() {
            let record = entry.as_mut_ptr();
            // SAFETY: the record is ours; every field is written.
            unsafe {
                (*record).header = header(Kind::Level, state.call);
                (*record).id = cgroup::id(css);
                (*record).usage_pages = field_or(memcg, MemcgUsage, UNKNOWN_U64);
                (*record).max_pages = field_or(memcg, MemcgMax, UNKNOWN_U64);
                (*record).high_pages = field_or(memcg, MemcgHigh, UNKNOWN_U64);
                (*record).swap_usage_pages = field_or(memcg, MemcgSwapUsage, UNKNOWN_U64);
                (*record).swap_max_pages = field_or(memcg, MemcgSwapMax, UNKNOWN_U64);
                (*record).depth = index;
                (*record).root = u32::from(parent == 0);
                (*record).oom_group = if is_absent(MemcgOomGroup) {
                    UNKNOWN_U32
                } else {
                    u32::from(field::<u8>(memcg, MemcgOomGroup))
                };
                (*record).children = get(&state.children_looked);
                (*record).children_sent = get(&state.children_sent);
                (*record).children_rest = get(&state.children_rest);
            }
            entry.submit(u64::from(BPF_RB_NO_WAKEUP));
        } else {
            state.levels_lost += 1;
        }
        put(&mut state.level, parent);
        // They are the first one's.
        begin_children(state, UNKNOWN_U32);
        parent != 0
    }
}
