//! Reading kernel memory: every read may fail and says so.

use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_task, bpf_ktime_get_boot_ns, bpf_probe_read_kernel},
};
use oom_ebpf::ABSENT;

/// The address of a field, `None` if the base is NULL or this kernel has no such field.
#[inline(always)]
pub(crate) fn address(base: u64, offset: &Global<u32>) -> Option<u64> {
    let offset = offset.load();
    if base == 0 || offset == ABSENT { None } else { Some(base + u64::from(offset)) }
}

/// The value at an address.
#[inline(always)]
pub(crate) fn at<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address and fails for one that is not mapped.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}

/// The value of a field.
#[inline(always)]
pub(crate) fn field<T: Copy>(base: u64, offset: &Global<u32>) -> Option<T> {
    at(address(base, offset)?)
}

/// A pointer field; 0 if NULL, absent or unreadable.
#[inline(always)]
pub(crate) fn pointer(base: u64, offset: &Global<u32>) -> u64 {
    field::<u64>(base, offset).unwrap_or(0)
}

/// Nanoseconds since boot, suspended time included.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// `current`.
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_get_current_task() }
}
