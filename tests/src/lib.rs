//! End-to-end tests.
//!
//! # Layout
//! - [`init`]: the first process of a test VM: mounts, runs one command, hands back what it left, powers off.

pub mod init;
