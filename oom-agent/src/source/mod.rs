//! Where facts come from.
//!
//! # Layout
//! - [`kmsg`]: the running kernel's log.
//! - [`sampler`]: how much memory is in use, again and again.
//! - `pause`: what they wait by.
//! - [`state`]: how full cgroups and the machine are, in files. `cgroupfs`: memory cgroups' directories, for others too.
//! - [`sampler`]: how much memory is in use, again and again.
//! - `pause`: what they wait by.

pub(crate) mod cgroupfs;
pub mod kmsg;
mod pause;
pub mod sampler;
pub mod state;
