//! The OOM agent: every OOM kill as one incident.
//!
//! # Layout
//! - [`incident`]: PURE. The model, the kernel's arithmetic, the assembler.
//! - [`kernel`]: BTF and what the running kernel allows.
//! - [`report`]: PURE. The kernel's OOM report as text.
//! - [`source`]: where facts come from.
//! - [`sink`]: an incident as text or JSON.

pub mod incident;
pub mod kernel;
pub mod report;
pub mod sink;
pub mod source;
