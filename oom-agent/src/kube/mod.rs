//! Kubernetes' API server: what it says of this node's pods, and what it is told of kills. Optional: everything works without.
//!
//! # Layout
//! - [`Cluster`]: where it is and who the agent is to it. [`Client`]: requests.
//! - [`Pods`]: one watch of this node's pods. Pure: `watch` (what to ask next), `parts` (answers cut into objects), `pod`,
//!   `workload`, `quantity` (what of them is kept), [`Failure`].
//! - [`events`]: kills as Events.
//! - [`stats`]: what is counted.

mod client;
mod config;
pub mod events;
mod failure;
mod parts;
mod pod;
mod quantity;
pub mod stats;
mod watch;
mod watcher;
mod workload;

pub use client::Client;
pub use config::Cluster;
pub use failure::Failure;
pub use pod::Seen;
pub use watch::Update;
pub use watcher::Pods;
