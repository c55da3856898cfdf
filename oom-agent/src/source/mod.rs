//! Where facts come from.
//!
//! # Layout
//! - [`kmsg`]: the running kernel's log.
//! - [`sampler`]: how much memory is in use, again and again.
//! - `pause`: what they wait by.

pub mod kmsg;
mod pause;
pub mod sampler;
