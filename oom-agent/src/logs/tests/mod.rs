//! Whole logs.

mod bounds;
