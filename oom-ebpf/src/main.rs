//! The BPF programs: what the agent sees of the kernel's OOM path.
//!
//! # Layout
//! - `programs`: all of them.
//! - `way`: how their loops are made, here by `bpf_loop`. There is one more object, the same but for that: `rounds.rs`.
//! - `object`: what every object needs.
//!
//! Nothing here sleeps, allocates or loops without a small bound: this is the worst moment of the machine.
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
#[path = "way/helper.rs"]
mod way;

#[cfg(target_arch = "bpf")]
use programs::*;
