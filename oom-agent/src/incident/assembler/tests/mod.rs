//! What the kernel does, as facts, and what must come of it.

mod calls;
mod facts;
mod full_cases;
mod history;
mod limits;
mod log_only;
mod properties;
mod samples;
mod tracepoint;
mod verdicts;
