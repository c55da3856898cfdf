//! The running kernel: the only place that knows aya and BTF.
//!
//! # Layout
//! - [`btf`]: reads the kernel's type data as a stream.
//! - [`fields`]: the field table; offsets for the BPF programs.
//! - [`probes`]: the probe table; hooks and the ways to attach them.
//! - [`host`]: this machine's configuration and this process's privileges.
//! - [`load`]: loads and attaches, by trying.
//! - [`decode`]: wire records to facts.
//! - [`rings`]: the rings, asynchronously. [`ring`]: one of them. `mapping`: what is mapped of it, and of BTF.
//! - [`windows`]: sums of reclaim over the time before a call.

pub mod btf;
pub mod decode;
pub mod fields;
pub mod host;
pub mod load;
mod mapping;
pub mod probes;
mod ring;
pub mod rings;
pub mod windows;

/// The BPF object that was built with the agent.
#[cfg(not(oom_no_bpf))]
#[expect(clippy::unnecessary_wraps, reason = "without the BPF toolchain there is none")]
fn object() -> anyhow::Result<&'static [u8]> {
    Ok(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/oom-ebpf")))
}

/// The object of the program that goes first, likewise.
#[cfg(not(oom_no_bpf))]
#[expect(clippy::unnecessary_wraps, reason = "without the BPF toolchain there is none")]
fn first_object() -> anyhow::Result<&'static [u8]> {
    Ok(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/oom-first")))
}

/// A library that was built without the BPF toolchain (the binary refuses to).
#[cfg(oom_no_bpf)]
use object as first_object;

/// A library that was built without the BPF toolchain (the binary refuses to).
#[cfg(oom_no_bpf)]
fn object() -> anyhow::Result<&'static [u8]> {
    anyhow::bail!("this build has no BPF programs: {}", env!("OOM_NO_BPF"))
}
