//! Where incidents go. Each takes `&Incident` and returns text; writing it is the caller's.
//!
//! # Layout
//! - [`terminal`]: for a person.
//! - [`json`]: for a machine, one line an incident.
//! - [`metrics`]: counted, for Prometheus.
//! - [`summary()`]: the last line of a trace.
//! - [`table`], [`text`], [`path`], [`units`], [`escape`]: what they are made of, pure.

pub mod escape;
pub mod json;
pub mod metrics;
pub mod path;
#[cfg(test)]
pub(crate) mod samples;
mod summary;
pub mod table;
pub mod terminal;
pub mod text;

pub use crate::units;
pub use summary::{Tally, summary};
