//! The same BPF programs as in `main.rs`, with loops of their own: for kernels without `bpf_loop` (before 5.17).
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
#[path = "way/rounds.rs"]
mod way;
