//! By `bpf_loop` (from 5.17 on): the verifier looks at one round.

use aya_ebpf::helpers::generated::bpf_loop;
use core::ffi::c_void;

use crate::walk::{Round, Walk};

pub(crate) struct Loop;

/// In programs on functions.
pub(crate) type OnFunction = Loop;

/// In programs on tracepoints.
pub(crate) type OnTracepoint = Loop;

impl Walk for Loop {
    const WHOLE: bool = true;
    const ENDS: bool = true;

    #[inline(always)]
    fn rounds<R: Round, const MOST: u32>(round: &mut R) {
        let one: unsafe extern "C" fn(u32, *mut c_void) -> i64 = one::<R>;
        // SAFETY: the helper calls `one`, with what it takes, as often as it likes, and before it returns.
        unsafe { bpf_loop(MOST, one as *mut c_void, (&raw mut *round).cast(), 0) };
    }
}

/// One round. Not 0 ends the loop.
///
/// # Safety
/// `round` points to an `R` that nobody else uses meanwhile.
unsafe extern "C" fn one<R: Round>(index: u32, round: *mut c_void) -> i64 {
    // SAFETY: as here.
    let round = unsafe { &mut *round.cast::<R>() };
    i64::from(!round.next::<Loop>(index))
}
