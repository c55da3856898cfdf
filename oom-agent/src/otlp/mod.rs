//! Incidents for a collector of OpenTelemetry, as logs (OTLP).
//!
//! The queue is the store: what waits is on the disk, and is taken from there when the collector has acknowledged it.
//! Each incident arrives at least once, with an id by which a second time can be told (`log.record.uid`).
//!
//! # Layout
//! - [`record`], [`resource`], [`answer`]: PURE. An incident as a record, where it is from, what an answer means. [`messages`]: what of OTLP is used.
//! - [`settings`]: flags; [`environment`]: OpenTelemetry's variables.
//! - [`sender`]: the loop. [`client`]: a request and its answer. [`connect`], [`resolve`], [`tls`]: what it goes over.

pub mod answer;
pub mod client;
pub mod connect;
pub mod environment;
pub mod messages;
pub mod record;
pub mod resolve;
pub mod resource;
pub mod sender;
pub mod settings;
pub mod tls;

pub use answer::Reason;
pub use connect::Target;
pub use environment::Environment;
pub use sender::{Ask, Report, Sender};
pub use settings::{OtlpArgs, Settings};
