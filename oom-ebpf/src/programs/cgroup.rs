//! Memory cgroups: id and path, captured here since the container may be gone before user space looks.

use oom_ebpf::Field::{
    CgroupKn, CssCgroup, CssParent, CssSetMemory, KernfsId, KernfsName, KernfsParent, MemcgCss,
    MemcgOomGroup, TaskCgroups,
};
use oom_ebpf::{NAME_LEN, PATH_DEPTH, Path};

use crate::{
    fields::offset,
    read::{Probe, Reader, field, is_absent, string},
    walk::{Round, Walk},
};

/// The task's `cgroup_subsys_state` of the memory controller (`task_css(task, memory_cgrp_id)`).
#[inline(always)]
pub(crate) fn memory_css(task: u64) -> u64 {
    memory_css_by::<Probe>(task)
}

/// The same, read in this way.
#[inline(always)]
pub(crate) fn memory_css_by<R: Reader>(task: u64) -> u64 {
    R::field(R::field(task, TaskCgroups), CssSetMemory)
}

/// The `cgroup_subsys_state` of a `mem_cgroup` that is not NULL.
#[inline(always)]
pub(crate) fn memcg_css(memcg: u64) -> u64 {
    memcg.wrapping_add(offset(MemcgCss))
}

/// The `mem_cgroup` of a `cgroup_subsys_state` (`mem_cgroup_from_css`).
#[inline(always)]
pub(crate) fn memcg(css: u64) -> u64 {
    css.wrapping_sub(offset(MemcgCss))
}

/// Its own name.
///
/// # Safety
/// `out` may be written.
#[inline(always)]
pub(crate) unsafe fn name(css: u64, out: *mut [u8; NAME_LEN]) {
    // SAFETY: as here.
    unsafe { string(field(node::<Probe>(css), KernfsName), out) };
}

#[inline(always)]
fn node<R: Reader>(css: u64) -> u64 {
    R::field(R::field(css, CssCgroup), CgroupKn)
}

/// Inode of the cgroup's directory, 0 if unknown.
#[inline(always)]
pub(crate) fn id(css: u64) -> u64 {
    id_by::<Probe>(css)
}

/// The same, read in this way.
#[inline(always)]
pub(crate) fn id_by<R: Reader>(css: u64) -> u64 {
    R::field(node::<R>(css), KernfsId)
}

/// Writes the path of a cgroup, leaf first. The root's name is empty, and what is above it cannot be read: the slots
/// that the path does not need end up empty, or are not looked at.
///
/// # Safety
/// `path` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn path<W: Walk>(css: u64, path: *mut Path) {
    let mut names = Names { node: node::<Probe>(css), path };
    W::rounds::<_, { PATH_DEPTH as u32 }>(&mut names);
    // The node that is left is the root at most: its parent is NULL.
    // SAFETY: as here.
    unsafe { (*path).rest = field(names.node, KernfsParent) };
}

/// A path that is being written.
struct Names {
    node: u64,
    path: *mut Path,
}

impl Round for Names {
    #[inline(always)]
    fn next<W: Walk>(&mut self, index: u32) -> bool {
        let slot = index as usize;
        if slot >= PATH_DEPTH {
            return false;
        }
        // SAFETY: `slot` is within the array; the record is ours.
        unsafe { string(field(self.node, KernfsName), &raw mut (*self.path).names[slot]) };
        // After the root once more: NULL empties a slot, which ends the path.
        let more = self.node != 0;
        self.node = field(self.node, KernfsParent);
        !W::ENDS || more
    }
}

/// Not 0 if the cgroup or one of those above it has `memory.oom.group` (`mem_cgroup_get_oom_group` stops at the
/// one that is out of memory).
#[inline(always)]
pub(crate) fn oom_group<W: Walk>(css: u64) -> u32 {
    if is_absent(MemcgCss) {
        return 0;
    }
    let mut groups = Groups { css, any: 0 };
    W::rounds::<_, { PATH_DEPTH as u32 }>(&mut groups);
    groups.any
}

/// The way up, and whether one was a group.
struct Groups {
    css: u64,
    any: u32,
}

impl Round for Groups {
    #[inline(always)]
    fn next<W: Walk>(&mut self, _index: u32) -> bool {
        self.any |= u32::from(field::<u8>(memcg(self.css), MemcgOomGroup));
        self.css = field(self.css, CssParent);
        !W::ENDS || self.css != 0
    }
}
