//! Memory cgroups: id and path, captured here since the container may be gone before user space looks.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use oom_ebpf::{ABSENT, NAME_LEN, PATH_DEPTH, Path};

use crate::{
    fields::{
        CGROUP_KN, CSS_CGROUP, CSS_PARENT, CSS_SET_MEMORY, KERNFS_ID, KERNFS_NAME, KERNFS_PARENT, MEMCG_CSS,
        MEMCG_OOM_GROUP, TASK_CGROUPS,
    },
    read::{field, pointer},
};

/// Ancestors that are looked at for `memory.oom.group`.
const MAX_LEVELS: usize = 12;

/// The task's `cgroup_subsys_state` of the memory controller (`task_css(task, memory_cgrp_id)`).
#[inline(always)]
pub(crate) fn memory_css(task: u64) -> u64 {
    pointer(pointer(task, &TASK_CGROUPS), &CSS_SET_MEMORY)
}

/// The `cgroup_subsys_state` of a `mem_cgroup`.
#[inline(always)]
pub(crate) fn memcg_css(memcg: u64) -> u64 {
    let offset = MEMCG_CSS.load();
    if memcg == 0 || offset == ABSENT { 0 } else { memcg + u64::from(offset) }
}

#[inline(always)]
fn node(css: u64) -> u64 {
    pointer(pointer(css, &CSS_CGROUP), &CGROUP_KN)
}

/// Inode of the cgroup's directory, 0 if unknown.
#[inline(always)]
pub(crate) fn id(css: u64) -> u64 {
    pointer(node(css), &KERNFS_ID)
}

/// Writes the path of a cgroup, leaf first, without the root (whose name is empty).
///
/// Names that are not used are left as they are in the ring: `depth` says how many mean anything.
///
/// # Safety
/// `path` points into a reserved ring record.
#[inline(always)]
pub(crate) unsafe fn path(css: u64, path: *mut Path) {
    let mut node = node(css);
    let mut depth = 0;
    let mut cut = 0;
    for slot in 0..PATH_DEPTH {
        // `__parent` of the root is NULL: its own name is not part of the path.
        let parent = pointer(node, &KERNFS_PARENT);
        if parent == 0 {
            break;
        }
        // SAFETY: `slot` is within the array; the record is ours.
        let name = unsafe { &mut (*path).names[slot] };
        // SAFETY: the helper checks the address.
        match unsafe { bpf_probe_read_kernel_str_bytes(pointer(node, &KERNFS_NAME) as *const u8, name) } {
            Ok(bytes) => {
                if bytes.len() == NAME_LEN - 1 {
                    cut = 1;
                }
            }
            Err(_) => {
                name[0] = 0;
                cut = 1;
            }
        }
        depth = slot as u32 + 1;
        node = parent;
    }
    if depth == PATH_DEPTH as u32 && pointer(node, &KERNFS_PARENT) != 0 {
        cut = 1;
    }
    // SAFETY: as above.
    unsafe {
        (*path).depth = depth;
        (*path).cut = cut;
    }
}

/// Whether the cgroup or one above it has `memory.oom.group` set (`mem_cgroup_get_oom_group` stops at the cgroup that is out of memory).
#[inline(always)]
pub(crate) fn has_oom_group(css: u64) -> bool {
    let base = MEMCG_CSS.load();
    let mut css = css;
    for _ in 0..MAX_LEVELS {
        if css == 0 || base == ABSENT {
            return false;
        }
        if field::<u8>(css - u64::from(base), &MEMCG_OOM_GROUP).unwrap_or(0) != 0 {
            return true;
        }
        css = pointer(css, &CSS_PARENT);
    }
    false
}
