//! The BPF programs: what the agent sees of the kernel's OOM path.
//!
//! # Layout
//! - [`fields`]: offsets of kernel fields, filled by the loader from the running kernel's BTF.
//! - [`maps`]: rings, counters and the little state that programs share.
//! - [`read`], [`task`], [`cgroup`]: kernel memory to wire records.
//! - [`reclaim`]: sums of reclaim, by thread, cgroup and time.
//! - [`compaction`]: sums of compaction.
//! - [`call`]: one OOM call: its number, its announcement, its end.
//! - [`candidates`]: who the kernel looked at, by the batch.
//! - [`levels`]: how full the memory cgroups are, once a call.
//! - [`walk`]: loops, in the ways that verifiers take; `way`: the one of this object. There is one more object, of the same
//!   modules: `rounds.rs`, for kernels without `bpf_loop`.
//! - [`hooks`]: one hook a file, named after the kernel function or tracepoint.
//!
//! Nothing here sleeps, allocates or loops without a small bound: this is the worst moment of the machine.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// For the one instruction that adds to shared memory, see `reclaim`.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod call;
#[cfg(target_arch = "bpf")]
mod candidates;
#[cfg(target_arch = "bpf")]
mod cgroup;
#[cfg(target_arch = "bpf")]
mod compaction;
#[cfg(target_arch = "bpf")]
mod fields;
#[cfg(target_arch = "bpf")]
mod hooks;
#[cfg(target_arch = "bpf")]
mod levels;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod object;
#[cfg(target_arch = "bpf")]
mod read;
#[cfg(target_arch = "bpf")]
mod reclaim;
#[cfg(target_arch = "bpf")]
mod task;
#[cfg(target_arch = "bpf")]
mod walk;
#[cfg(target_arch = "bpf")]
#[path = "way/helper.rs"]
mod way;
