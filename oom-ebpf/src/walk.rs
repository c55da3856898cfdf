//! Loops, in the ways that verifiers take.

use aya_ebpf::helpers::generated::bpf_loop;
use core::ffi::c_void;

/// How a loop is made.
pub(crate) trait Walk: Sized {
    /// Whether the same program clears and copies by helpers. What 5.10's verifier makes of loops within BTF programs hangs on
    /// small things: there they do so as the compiler has it, byte by byte, and like that it takes them.
    const WHOLE: bool;
    /// Whether a loop ends early where going on does no harm. To a verifier that looks at every round each of these ends is
    /// another path through all that follows.
    const ENDS: bool;

    /// A round after the other, `MOST` of them, until one says that there are no more.
    #[inline(always)]
    fn rounds<R: Round, const MOST: u32>(round: &mut R) {
        for index in 0..MOST {
            if !round.next::<Self>(index) {
                break;
            }
        }
    }
}

/// What to walk along.
pub(crate) trait Round {
    /// Goes on by one, the `index`-th time. Whether there may be more.
    fn next<W: Walk>(&mut self, index: u32) -> bool;
}

/// By `bpf_loop` (from 5.17 on): the verifier looks at one round. The names of programs that need it begin with `l`.
pub(crate) struct Loop;

/// By a loop of the program, of which the verifier looks at every round: for kernels before.
pub(crate) struct Rounds;

/// The same in programs on tracepoints.
pub(crate) struct TracepointRounds;

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

/// One round of [`Loop`]. Not 0 ends it.
///
/// # Safety
/// `round` points to an `R` that nobody else uses meanwhile.
unsafe extern "C" fn one<R: Round>(index: u32, round: *mut c_void) -> i64 {
    // SAFETY: as here.
    let round = unsafe { &mut *round.cast::<R>() };
    i64::from(!round.next::<Loop>(index))
}

impl Walk for Rounds {
    const WHOLE: bool = false;
    const ENDS: bool = false;
}

impl Walk for TracepointRounds {
    const WHOLE: bool = true;
    const ENDS: bool = false;
}
