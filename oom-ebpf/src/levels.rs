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
};

/// Tells how full everything is. The small ring's record that follows wakes the agent.
#[inline(always)]
pub(crate) fn send(state: &mut State) {
    if MEMCG_CSS.load() == ABSENT || CSS_PARENT.load() == ABSENT {
        return;
    }
    let memcg = pointer(state.oc, &OC_MEMCG);
    let css = if memcg != 0 { cgroup::memcg_css(memcg) } else { root(cgroup::memory_css(current())) };
    if css == 0 {
        return;
    }
    let children = children(state, css);
    levels(state, css, children);
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

/// Tells of every child that uses anything (`css_for_each_child`).
#[inline(always)]
fn children(state: &mut State, css: u64) -> Seen {
    let mut seen = Seen { looked: 0, sent: 0, rest: 0 };
    let (list, link) = (CSS_CHILDREN.load(), CSS_SIBLING.load());
    if list == ABSENT || link == ABSENT {
        return Seen { looked: UNKNOWN_U32, ..seen };
    }
    let head = css + u64::from(list);
    let sent = &raw mut state.children_sent;
    // SAFETY: as below.
    unsafe { sent.write_volatile(0) };
    // `list_head.next` is its first word.
    let mut node = at::<u64>(head);
    for _ in 0..CHILDREN {
        if node == head || node == 0 {
            break;
        }
        seen.looked += 1;
        let child = node.wrapping_sub(u64::from(link));
        let memcg = cgroup::memcg(child);
        let usage = field(memcg, &MEMCG_USAGE, UNKNOWN_U64);
        let swap = field(memcg, &MEMCG_SWAP_USAGE, UNKNOWN_U64);
        node = at(node);
        if usage == 0 && (swap == 0 || swap == UNKNOWN_U64) {
            continue;
        }
        // SAFETY: a field of the state, through its own reference.
        unsafe { sent.write_volatile(sent.read_volatile() + 1) };
        let Some(mut entry) = reserve_bulk::<Child>() else {
            state.levels_lost += 1;
            continue;
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
    }
    // One that went away meanwhile may point to nothing.
    seen.rest = u32::from(node != head && node != 0);
    // SAFETY: as above.
    seen.sent = unsafe { sent.read_volatile() };
    seen
}

/// Tells of the cgroup and of those above it.
#[inline(always)]
fn levels(state: &mut State, css: u64, children: Seen) {
    let mut css = css;
    let mut children = children;
    for depth in 0..LEVELS {
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
                (*record).depth = depth as u32;
                (*record).root = u32::from(parent == 0);
                (*record).oom_group = match MEMCG_OOM_GROUP.load() {
                    ABSENT => UNKNOWN_U32,
                    _ => u32::from(field::<u8>(memcg, &MEMCG_OOM_GROUP, 0)),
                };
                (*record).children = children.looked;
                (*record).children_sent = children.sent;
                (*record).children_rest = children.rest;
            }
            entry.submit(u64::from(BPF_RB_NO_WAKEUP));
        } else {
            state.levels_lost += 1;
        }
        if parent == 0 {
            return;
        }
        css = parent;
        children = Seen { looked: UNKNOWN_U32, sent: 0, rest: 0 };
    }
}
