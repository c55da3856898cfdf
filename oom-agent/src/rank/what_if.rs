//! What would be if: an `oom_score_adj` or a limit were another one. Pure.

use super::facts::{Bound, Facts};
use crate::incident::badness::{OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MIN};
use schemars::JsonSchema;
use serde::Serialize;

/// A change to the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A process's `oom_score_adj`.
    Adj {
        /// The process.
        pid: u32,
        /// -1000 to 1000.
        adj: i32,
    },
    /// A cgroup's `memory.max`.
    Limit {
        /// Its path.
        cgroup: String,
        /// Bytes or none.
        limit: Bound,
    },
}

/// A change as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Changed {
    /// A process's `oom_score_adj`.
    Adj {
        /// The process.
        pid: u32,
        /// Its command name.
        comm: String,
        /// What it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        oom_score_adj_now: Option<i32>,
        /// What it would be.
        oom_score_adj: i32,
    },
    /// A cgroup's limit.
    Limit {
        /// Its path.
        cgroup: String,
        /// What it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        memory_max_bytes_now: Option<Bound>,
        /// What it would be.
        memory_max_bytes: Bound,
        /// Whether what is used is more than that: memory would be reclaimed at once, and then somebody killed.
        #[serde(skip_serializing_if = "Option::is_none")]
        exceeded: Option<bool>,
    },
}

/// `PID:ADJ` or `CGROUP:LIMIT`. A cgroup whose name is a number is written with a slash before it.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<Change, String> {
    const SHAPE: &str = "neither PID:ADJ (1234:-500) nor CGROUP:LIMIT (/system.slice/app.service:512M)";
    let (what, value) = text.rsplit_once(':').ok_or(SHAPE)?;
    if what.is_empty() {
        return Err(SHAPE.to_owned());
    }
    if what.bytes().all(|byte| byte.is_ascii_digit()) {
        let pid = what.parse().map_err(|_| format!("{what} is no process id"))?;
        let adj = value.parse().ok().filter(|adj| (OOM_SCORE_ADJ_MIN..=OOM_SCORE_ADJ_MAX).contains(adj));
        let adj = adj.ok_or_else(|| format!("{value} is no oom_score_adj: -1000 to 1000"))?;
        return Ok(Change::Adj { pid, adj });
    }
    let limit = limit(value).ok_or_else(|| format!("{value} is no limit: bytes, 512M, 2G, max"))?;
    Ok(Change::Limit { cgroup: what.to_owned(), limit })
}

/// As `memory.max` takes it (`page_counter_memparse`): bytes with K, M, G, T in binary units, or `max`.
fn limit(text: &str) -> Option<Bound> {
    if text == "max" {
        return Some(Bound::NONE);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().trim_end_matches("ib") {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).map(Bound::Bytes)
}

/// The facts as they would be, and what was changed.
///
/// # Errors
/// A process that was not seen, a cgroup that is not the one that is asked about or above it: in words.
pub fn apply(facts: &Facts, changes: &[Change]) -> Result<(Facts, Vec<Changed>), String> {
    let mut facts = facts.clone();
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        done.push(match change {
            Change::Adj { pid, adj } => {
                let process = facts.processes.iter_mut().find(|process| process.task.pid == *pid);
                let process = process.ok_or_else(|| format!("--what-if {pid}: no such process was seen"))?;
                // What the kernel says of it is about what it is, not about what it would be.
                process.oom_score = None;
                let now = process.task.oom_score_adj.replace(*adj);
                Changed::Adj {
                    pid: *pid,
                    comm: process.task.comm.clone(),
                    oom_score_adj_now: now,
                    oom_score_adj: *adj,
                }
            }
            Change::Limit { cgroup, limit } => {
                let asked = facts.levels.first().map_or("the machine", |level| level.cgroup.as_str());
                let why = format!(
                    "--what-if {cgroup}: its limit decides nothing here: it is neither {asked} nor above it (--cgroup {cgroup} asks about it)"
                );
                let level = facts.levels.iter_mut().find(|level| level.cgroup == *cgroup).ok_or(why)?;
                let now = level.memory_max_bytes.replace(*limit);
                Changed::Limit {
                    cgroup: cgroup.clone(),
                    memory_max_bytes_now: now,
                    memory_max_bytes: *limit,
                    exceeded: level.usage_bytes.map(|used| limit.bytes().is_some_and(|limit| used > limit)),
                }
            }
        });
    }
    Ok((facts, done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_processes_or_cgroups() {
        let adj = |pid, adj| Ok(Change::Adj { pid, adj });
        let limit = |cgroup: &str, limit| Ok(Change::Limit { cgroup: cgroup.into(), limit });
        for (text, expected) in [
            ("12:-500", adj(12, -500)),
            ("12:1000", adj(12, 1000)),
            ("/a/b:512M", limit("/a/b", Bound::Bytes(512 << 20))),
            ("/a:b:1g", limit("/a:b", Bound::Bytes(1 << 30))),
            ("/12:4096", limit("/12", Bound::Bytes(4096))),
            ("a:2GiB", limit("a", Bound::Bytes(2 << 30))),
            ("/a:max", limit("/a", Bound::NONE)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for wrong in [
            "",
            "12",
            ":5",
            "12:",
            "12:1001",
            "12:-1001",
            "12:1.5",
            "/a:",
            "/a:lots",
            "/a:-1",
            "/a:99999999999T",
            "99999999999:1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
