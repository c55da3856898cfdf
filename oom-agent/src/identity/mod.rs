//! Whose a cgroup is: the container, its pod and their names.
//!
//! # Layout
//! - [`path`]: PURE. What a path says.
//! - [`names`]: PURE. Names by id, within bounds; `files`: names of the kubelet's log files.
//! - [`fill`]: PURE. An incident with all that is known.
//! - [`logs`]: follows the kubelet's log directories.
//! - [`cri`]: asks the container runtime.
//! - [`Namer`]: sources and names put together.

pub mod cri;
pub mod fill;
pub mod logs;
mod namer;
pub mod names;
pub mod path;

pub use namer::{Labels, Namer, UnresolvedCounts};
