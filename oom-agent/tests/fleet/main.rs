//! What a fleet costs: docs/fleet.md has the figures that these print. `cargo test -p oom-agent --test fleet -- --nocapture
//! --include-ignored`.

#![expect(clippy::expect_used, reason = "a test fails by panicking, also in what it is made of")]

#[path = "../otlp/collector.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod collector;
mod node;
mod storm;
#[path = "../run/support.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod support;
