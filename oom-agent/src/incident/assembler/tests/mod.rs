//! What the kernel does, as facts, and what must come of it.

mod calls;
mod crosscheck;
mod diagnoses;
mod facts;
mod full_cases;
mod full_log;
mod history;
mod levels;
mod limits;
mod log_only;
mod log_words;
mod properties;
mod recovery;
mod samples;
mod tracepoint;
mod verdicts;
