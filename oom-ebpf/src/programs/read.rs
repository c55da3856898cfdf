//! Reading kernel memory without branches.
//!
//! A read that fails leaves zeroes (`bpf_probe_read_kernel` clears its destination), and a chain of pointers that
//! begins with NULL stays NULL, so nothing here has an error to return. Every branch would double what the verifier
//! has to walk: with them, loading these programs took seconds.

use aya_ebpf::helpers::{bpf_get_current_task, bpf_ktime_get_boot_ns, generated};
use core::mem::MaybeUninit;
use oom_ebpf::{ABSENT, Field};

use crate::fields::offset;

/// Integers, and several side by side, of which any bytes are a value.
pub(crate) trait Word: Copy {}
impl Word for u8 {}
impl Word for u32 {}
impl Word for u64 {}
impl Word for i16 {}
impl Word for i32 {}
impl Word for i64 {}
impl<T: Word, const N: usize> Word for [T; N] {}

/// How kernel memory is read.
pub(crate) trait Reader {
    /// The value at an address, 0 if it cannot be read.
    fn at<T: Word>(address: u64) -> T;

    /// The value of a field.
    #[inline(always)]
    fn field<T: Word>(base: u64, wanted: Field) -> T {
        Self::at(base.wrapping_add(offset(wanted)))
    }

    /// The value of a field, `absent` if this kernel has no such field.
    #[inline(always)]
    fn field_or<T: Word>(base: u64, wanted: Field, absent: T) -> T {
        let offset = offset(wanted);
        if offset == ABSENT { absent } else { Self::at(base.wrapping_add(offset)) }
    }

    /// Reads bytes.
    ///
    /// # Safety
    /// `out` may be written.
    unsafe fn bytes<const N: usize>(address: u64, out: *mut [u8; N]);
}

/// By the helper: any address.
pub(crate) struct Probe;

/// By a load, which costs a tenth of the helper: an address within a struct of which the verifier knows the type, from an
/// argument of a BTF program along fields that hold pointers. None of these may be NULL: not every kernel reads 0 there.
pub(crate) struct Typed;

impl Reader for Probe {
    #[inline(always)]
    fn at<T: Word>(address: u64) -> T {
        at(address)
    }

    #[inline(always)]
    unsafe fn bytes<const N: usize>(address: u64, out: *mut [u8; N]) {
        // SAFETY: as here. The helper checks the address and writes N bytes.
        unsafe { generated::bpf_probe_read_kernel(out.cast(), N as u32, address as *const _) };
    }
}

impl Reader for Typed {
    #[inline(always)]
    fn at<T: Word>(address: u64) -> T {
        // SAFETY: the verifier lets no other address pass, and the kernel catches the fault of one that is gone.
        unsafe { (address as *const T).read_volatile() }
    }

    #[inline(always)]
    unsafe fn bytes<const N: usize>(address: u64, out: *mut [u8; N]) {
        const { assert!(N % 8 == 0) };
        for word in 0..N / 8 {
            let at = Self::at::<u64>(address + 8 * word as u64);
            // SAFETY: within `out`, which may be written; not every record has it at a multiple of 8.
            unsafe { out.cast::<u64>().add(word).write_unaligned(at) };
        }
    }
}

/// The value at an address, 0 if it cannot be read.
#[inline(always)]
pub(crate) fn at<T: Word>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address and writes as many bytes as `value` has, whatever comes of it; any bytes are a
    // `Word`.
    unsafe {
        generated::bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        );
        value.assume_init()
    }
}

/// Whether this kernel has no such field.
#[inline(always)]
pub(crate) fn is_absent(wanted: Field) -> bool {
    offset(wanted) == ABSENT
}

/// The value of a field, 0 if it cannot be read or this kernel has no such field.
#[inline(always)]
pub(crate) fn field<T: Word>(base: u64, wanted: Field) -> T {
    Probe::field(base, wanted)
}

/// The value of a field, 0 if it cannot be read, `absent` if this kernel has no such field.
#[inline(always)]
pub(crate) fn field_or<T: Word>(base: u64, wanted: Field, absent: T) -> T {
    Probe::field_or(base, wanted, absent)
}

/// Reads a NUL-terminated string, cut to N - 1 bytes; zeroes if it cannot be read. What comes after the NUL stays as it was.
///
/// # Safety
/// `out` may be written.
#[inline(always)]
pub(crate) unsafe fn string<const N: usize>(address: u64, out: *mut [u8; N]) {
    // SAFETY: as here. The helper checks the address and writes at most N bytes.
    unsafe { generated::bpf_probe_read_kernel_str(out.cast(), N as u32, address as *const _) };
}

/// Zeroes, a word after the other: what the compiler makes a call of `memset` goes byte by byte, and the verifier with it.
#[inline(always)]
pub(crate) fn clear<T>(to: *mut T) {
    const { assert!(size_of::<T>() % size_of::<u64>() == 0) };
    for word in 0..size_of::<T>() / size_of::<u64>() {
        // SAFETY: callers pass what is theirs to write, a struct of words; zeroes are a value of it.
        unsafe { to.cast::<u64>().add(word).write_volatile(0) };
    }
}

/// The value, through memory of a map: in a register or on the stack each way to it, and each value, would be a path of its own
/// to the verifier, through all that follows.
#[inline(always)]
pub(crate) fn through<T: Word>(place: &mut T, value: T) -> T {
    put(place, value);
    get(place)
}

/// Writes to memory of a map, at once.
#[inline(always)]
pub(crate) fn put<T: Word>(place: &mut T, value: T) {
    // SAFETY: it is a reference's.
    unsafe { core::ptr::from_mut(place).write_volatile(value) }
}

/// Reads what is there in a map.
#[inline(always)]
pub(crate) fn get<T: Word>(place: &T) -> T {
    // SAFETY: it is a reference's.
    unsafe { core::ptr::from_ref(place).read_volatile() }
}

/// Nanoseconds since boot, suspended time included. It may go back a little (`ktime_get_boot_fast_ns` while the clock is
/// adjusted, other CPUs): differences saturate.
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
