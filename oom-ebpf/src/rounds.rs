//! The same BPF programs as in `main.rs`, with loops of their own: for kernels without `bpf_loop` (before 5.17).
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// For the one instruction that adds to shared memory, see `reclaim`.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod object;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
#[path = "way/rounds.rs"]
mod way;

#[cfg(target_arch = "bpf")]
use programs::*;
