//! Whole logs.

mod bounds;
mod interleaved;
mod logs;
mod mutated;
mod samples;
