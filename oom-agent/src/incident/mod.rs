//! Pure: what an incident is and how facts become one. No I/O, no clock; time is an argument.
//!
//! # Layout
//! - [`model`]: the incident, as every sink gets it.
//! - [`fact`]: what sources tell.
//! - [`id`]: names of incidents.
//! - [`badness`]: the kernel's arithmetic.
//! - [`machine`]: the machine's memory, as far as the kernel's report tells of it.
//! - [`verdict`]: why the allocation failed.
//! - [`assembler`]: facts to incidents.

pub mod assembler;
pub mod badness;
pub mod fact;
pub mod id;
pub mod machine;
pub mod model;
pub mod verdict;
