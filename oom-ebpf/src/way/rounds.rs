//! By a loop of the program ([`Walk::rounds`] as it is), of which the verifier looks at every round: for kernels without `bpf_loop`.

use crate::walk::Walk;

/// In programs on functions.
pub(crate) struct OnFunction;

/// In programs on tracepoints.
pub(crate) struct OnTracepoint;

impl Walk for OnFunction {
    const WHOLE: bool = false;
    const ENDS: bool = false;
}

impl Walk for OnTracepoint {
    const WHOLE: bool = true;
    const ENDS: bool = false;
}
