//! Where facts come from.
//!
//! # Layout
//! - [`kmsg`]: the running kernel's log.
//! - [`klog`]: the same by syslog(2), where that is all there is.
//! - [`sampler`]: how much memory is in use, again and again.
//! - [`counters`]: how many kills the kernel counted.
//! - [`state`]: how full cgroups and the machine are, in files.
//! - [`own`]: the agent's own process.
//! - `pause`: what they wait by.
//! - `cgroupfs`: memory cgroups' directories, for others too.

pub(crate) mod cgroupfs;
pub(crate) mod counters;
pub mod klog;
pub mod kmsg;
pub mod own;
mod pause;
pub mod sampler;
pub mod state;
