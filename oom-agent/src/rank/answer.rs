//! Everything that `rank` says, and its shape as JSON. Absent: unknown.

use super::{
    facts::{Facts, Unread},
    ranking::{CrossCheck, Ranking, cross_check, rank},
    what_if::{self, Change, Changed},
};
use crate::report::PAGE_SIZE;
use schemars::JsonSchema;
use serde::Serialize;

/// What `oom-agent rank --format json` prints, one line each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Answer {
    /// Version of this shape: 1.
    pub schema: u32,
    /// When it was read, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Name of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `uname -r`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_release: Option<String>,
    /// The cgroup that was asked about (`--cgroup`). Absent: the machine was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_cgroup: Option<String>,
    /// Bytes of a page (points are pages), where they are not 4096.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size_bytes: Option<u64>,
    /// Every process that the kernel would look at was seen, and its points are known.
    pub complete: bool,
    /// As it is.
    pub now: Ranking,
    /// As it would be (`--what-if`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_if: Option<WhatIf>,
    /// Memory that the machine could still give (`MemAvailable`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
    /// Swap that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_free_bytes: Option<u64>,
    /// Processes that are missing.
    pub unread: Unread,
    /// How far the points agree with the kernel's own `oom_score`.
    pub cross_check: CrossCheck,
    /// What is missing and what to know about it, in words.
    pub notes: Vec<String>,
}

/// A ranking of what is not.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhatIf {
    /// What would be different.
    pub changes: Vec<Changed>,
    /// Who would be killed then.
    pub then: Ranking,
}

impl Answer {
    /// Ranks.
    ///
    /// # Errors
    /// A change to what is not there, in words.
    pub fn new(
        facts: &Facts,
        time: Option<String>,
        asked_cgroup: Option<&str>,
        changes: &[Change],
    ) -> Result<Self, String> {
        let now = rank(facts);
        let what_if = if changes.is_empty() {
            None
        } else {
            let (then, changes) = what_if::apply(facts, changes)?;
            Some(WhatIf { changes, then: rank(&then) })
        };
        let cross_check = cross_check(facts);
        let mut answer = Self {
            schema: 1,
            time,
            node: facts.node.clone(),
            kernel_release: facts.kernel_release.clone(),
            asked_cgroup: asked_cgroup.map(str::to_owned),
            page_size_bytes: Some(facts.page_size).filter(|size| *size != PAGE_SIZE),
            complete: facts.all_seen() && now.unknown_points == 0,
            now,
            what_if,
            available_bytes: facts.available_bytes,
            swap_free_bytes: facts.swap_free_bytes,
            unread: facts.unread,
            cross_check,
            notes: Vec::new(),
        };
        answer.notes = notes(&answer, facts);
        Ok(answer)
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u64 {
        self.page_size_bytes.unwrap_or(PAGE_SIZE).max(1)
    }
}

fn notes(answer: &Answer, facts: &Facts) -> Vec<String> {
    let mut notes = facts.hidden.clone();
    let Answer { now, cross_check, unread, .. } = answer;
    let many = |number: u64| if number == 1 { "1 process".to_owned() } else { format!("{number} processes") };
    if unread.unreadable > 0 {
        notes
            .push(format!("{} could not be read: any of them may have more points", many(unread.unreadable)));
    }
    if now.unknown_points > 0 {
        notes.push(format!(
            "the points of {} are not known: any of them may have more",
            many(now.unknown_points)
        ));
    }
    if !cross_check.disagree.is_empty() {
        let most: Vec<String> = cross_check.disagree.iter().take(5).map(u32::to_string).collect();
        let more = if cross_check.disagree.len() > most.len() { " and more" } else { "" };
        notes.push(format!(
            "the kernel's oom_score of {} does not agree with these points (pid {}{more}): its counters lag, or they changed in between",
            many(cross_check.disagree.len() as u64),
            most.join(", ")
        ));
    } else if cross_check.compared == 0 {
        notes.push("no points could be compared with the kernel's own oom_score".to_owned());
    }
    for (what, known) in [
        ("vm.panic_on_oom", facts.panic_on_oom.is_some()),
        ("vm.oom_kill_allocating_task", facts.oom_kill_allocating_task.is_some()),
        ("the memory that oom_score_adj is a share of", now.total_pages.is_some()),
    ] {
        if !known {
            notes.push(format!("{what} is not known"));
        }
    }
    notes
}
