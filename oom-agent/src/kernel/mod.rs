//! The only place that knows the kernel's own structures.
//!
//! # Layout
//! - [`btf`]: offsets, type ids and signatures from the kernel's BTF, read as a stream.
//! - [`host`]: what this machine's configuration and this process's privileges allow.

pub mod btf;
pub mod host;
