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

/// The BPF objects that were built with the agent.
struct Objects {
    /// All programs: with `bpf_loop`, and with loops of their own, for kernels without it.
    all: [&'static [u8]; 2],
    /// The program that goes first.
    first: &'static [u8],
}

#[cfg(not(oom_no_bpf))]
#[expect(clippy::unnecessary_wraps, reason = "without the BPF toolchain there are none")]
fn objects() -> anyhow::Result<Objects> {
    Ok(Objects {
        all: [
            aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/oom-ebpf")),
            aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/oom-rounds")),
        ],
        first: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/oom-first")),
    })
}

/// A library that was built without the BPF toolchain (the binary refuses to).
#[cfg(oom_no_bpf)]
fn objects() -> anyhow::Result<Objects> {
    anyhow::bail!("this build has no BPF programs: {}", env!("OOM_NO_BPF"))
}
