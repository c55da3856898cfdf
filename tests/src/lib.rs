//! End-to-end tests: what runs inside the guest, and what judges it outside.
//!
//! # Layout
//! - [`init`]: the first process of a test VM: mounts, runs one command, hands back what it left, powers off.
//! - [`cases`]: what is provoked, one function a case, and the runner.
//! - [`workload`]: the processes that a case consists of.
//! - [`truth`]: what really happened, from the kernel's own mouth, without the agent's code.
//! - [`judge`]: the agent's incidents against the truth. Pure, runs on the host.
//! - [`bench`]: measurements: the agent next to other tools, and what it costs the kernel.

pub mod bench;
pub mod cases;
pub mod init;
pub mod judge;
pub mod truth;
pub mod workload;
