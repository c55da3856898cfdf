//! Pure: what an incident is and how facts become one. No I/O, no clock; time is an argument.
//!
//! # Layout
//! - [`model`]: the incident, as every sink gets it.
//! - [`fact`]: what sources tell (`filled`: of how full everything was).
//! - [`id`]: names of incidents. [`same`]: whether two tell of the same.
//! - [`identity`]: whose a cgroup is.
//! - [`badness`]: the kernel's arithmetic.
//! - [`machine`]: the machine's memory, as far as the kernel's report tells of it.
//! - [`verdict`]: why the allocation failed.
//! - [`escalation`], [`growth`], [`state`], [`recovery`]: what came before the kill, at it and after it.
//! - [`diagnosis`]: what led to it and what helps. [`story`]: the last step, with the kills before.
//! - [`counted`]: the kernel's own counters of kills.
//! - [`assembler`]: facts to incidents.

pub mod assembler;
pub mod badness;
pub mod counted;
pub mod diagnosis;
pub mod escalation;
pub mod fact;
mod filled;
pub mod growth;
pub mod id;
pub mod identity;
pub mod machine;
pub mod model;
pub mod recovery;
pub mod same;
pub mod state;
pub mod story;
pub mod verdict;
