//! Offsets of kernel fields and what else differs between kernels.
//!
//! Rust cannot emit CO-RE relocations, so the loader looks [`Field`]s up in `/sys/kernel/btf/vmlinux` before the verifier
//! sees the programs: to it they are constants. What an absent field guards is dead code, which costs it time: most guard
//! nothing, and read as 0 if they are absent ([`ABSENT`]).

use aya_ebpf::Global;
use oom_ebpf::{ABSENT, FIELDS, Field, Offsets};

/// All in one place: a program that reads many fields has its address in a register.
#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new([ABSENT; FIELDS]);

/// Offset of a field, [`ABSENT`] if this kernel has no such field.
#[inline(always)]
pub(crate) fn offset(field: Field) -> u64 {
    // SAFETY: one of its words: a field is a place among as many. (`Global::load` reads all.)
    unsafe { (&raw const OFFSETS).cast::<u64>().add(field as usize).read_volatile() }
}

/// 1 if entry and return of `out_of_memory` are hooked, so calls have a true begin and end.
#[unsafe(no_mangle)]
pub(crate) static CALLS_SEEN: Global<u64> = Global::new(0);

/// 1 if `mark_victim` hands over the task (from 6.9, backported to 5.10.262 and others), 0 if only its pid.
#[unsafe(no_mangle)]
pub(crate) static MARK_HAS_TASK: Global<u64> = Global::new(0);

/// `COMPACT_SUCCESS`, and the argument of `mm_compaction_end` that is compared with it; [`ABSENT`] if it is not known.
#[unsafe(no_mangle)]
pub(crate) static COMPACT_SUCCESS: Global<u64> = Global::new(ABSENT);
#[unsafe(no_mangle)]
pub(crate) static COMPACT_STATUS_ARG: Global<u64> = Global::new(ABSENT);
