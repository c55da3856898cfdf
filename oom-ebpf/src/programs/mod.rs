//! What the objects with all programs share: everything but how their loops are made.
//!
//! # Layout
//! - [`fields`]: offsets of kernel fields, filled by the loader from the running kernel's BTF.
//! - [`maps`]: rings, counters and the little state that programs share.
//! - [`read`], [`task`], [`victim`], [`cgroup`]: kernel memory to wire records.
//! - [`reclaim`]: sums of reclaim, by thread, cgroup and time.
//! - [`compaction`]: sums of compaction.
//! - [`call`]: one OOM call: its number, its announcement, its end.
//! - [`candidates`]: who the kernel looked at, by the batch.
//! - [`levels`]: how full the memory cgroups are, once a call.
//! - [`walk`]: loops, in the ways that verifiers take; `way`, of each object: the one that it has.
//! - [`hooks`]: one hook a file, named after the kernel function or tracepoint.

pub(crate) mod call;
pub(crate) mod candidates;
pub(crate) mod cgroup;
pub(crate) mod compaction;
pub(crate) mod fields;
pub(crate) mod hooks;
pub(crate) mod levels;
pub(crate) mod maps;
pub(crate) mod read;
pub(crate) mod reclaim;
pub(crate) mod task;
pub(crate) mod victim;
pub(crate) mod walk;
