//! Where facts come from.
//!
//! # Layout
//! - [`kmsg`]: the running kernel's log.

pub mod kmsg;
