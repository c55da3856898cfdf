//! By a loop of the program, of which the verifier looks at every round: for kernels without `bpf_loop`.

use crate::walk::{Round, Walk};

/// In programs on functions.
pub(crate) struct OnFunction;

/// In programs on tracepoints.
pub(crate) struct OnTracepoint;

impl Walk for OnFunction {
    const WHOLE: bool = false;
    const ENDS: bool = false;

    #[inline(always)]
    fn rounds<R: Round, const MOST: u32>(round: &mut R) {
        rounds::<Self, R, MOST>(round);
    }
}

impl Walk for OnTracepoint {
    const WHOLE: bool = true;
    const ENDS: bool = false;

    #[inline(always)]
    fn rounds<R: Round, const MOST: u32>(round: &mut R) {
        rounds::<Self, R, MOST>(round);
    }
}

#[inline(always)]
fn rounds<W: Walk, R: Round, const MOST: u32>(round: &mut R) {
    for index in 0..MOST {
        if !round.next::<W>(index) {
            break;
        }
    }
}
