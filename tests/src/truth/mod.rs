//! What really happened in a case, taken from the kernel and not from the agent.
//!
//! # Layout
//! - [`model`]: what `truth.json` holds.
//! - [`kmsg`], [`log`]: the kernel's report.
//! - [`ftrace`], [`trace`]: tracepoints and kprobes.
//! - [`reclaim`]: every round of reclaim.
//! - [`procfs`]: the processes before they die.
//! - [`observe`]: what all of them together say.

pub(crate) mod ftrace;
pub(crate) mod kmsg;
mod log;
pub mod model;
pub(crate) mod observe;
pub(crate) mod procfs;
pub(crate) mod reclaim;
pub(crate) mod trace;
