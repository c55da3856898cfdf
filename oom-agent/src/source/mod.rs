//! Where facts come from.
//!
//! # Layout
//! - [`cgroups`]: which memory cgroups there are.
//! - [`kmsg`]: the running kernel's log.

pub mod cgroups;
pub mod kmsg;
