//! What a list shows of incidents.

use crate::{
    incident::{
        diagnosis::Diagnosis,
        model::{Decision, Incident, Level, Limits, Scope, Trigger, Victim},
    },
    sink::terminal,
    store::Page,
};
use schemars::JsonSchema;
use serde::Serialize;

/// Incidents, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Listed<'a> {
    /// They.
    incidents: Vec<Brief<'a>>,
    /// Where the list goes on: the value of `before` for the next request. Absent: this is the end. There may be fewer than
    /// `limit` before it, even none: an answer is bounded in bytes and in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    /// Incidents that are damaged in the store, and left out.
    unreadable: u64,
}

/// The most of an incident that is short; all of it: `/api/v1/incidents/{id}`. Names and meanings are the incident's.
#[derive(Debug, Serialize, JsonSchema)]
struct Brief<'a> {
    /// Unique and sortable by time.
    id: &'a str,
    /// It in a sentence.
    headline: String,
    /// Name of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    /// Boot id of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<&'a str>,
    /// Wall-clock time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    /// Begin of the OOM path in nanoseconds since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    boottime_ns: Option<u64>,
    /// Which limit was hit.
    scope: &'a Scope,
    /// Who asked for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'a Trigger>,
    /// The memory cgroup's limits and what was used of them.
    #[serde(skip_serializing_if = "Limits::is_empty")]
    limits: &'a Limits,
    /// How many processes the kernel looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_evaluated: Option<u64>,
    /// What the kernel decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a Decision>,
    /// Every process that died of it.
    victims: &'a [Victim],
    /// Memory and swap that went with the victims.
    #[serde(skip_serializing_if = "Option::is_none")]
    freed_bytes: Option<u64>,
    /// The first explanation.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<&'a Diagnosis>,
    /// How much the kernel let us see.
    level: Level,
}

impl<'a> Listed<'a> {
    pub(super) fn of(page: &'a Page) -> Self {
        Self {
            incidents: page.incidents.iter().map(Brief::of).collect(),
            next: page.next.as_deref(),
            unreadable: page.unreadable,
        }
    }
}

impl<'a> Brief<'a> {
    fn of(incident: &'a Incident) -> Self {
        Self {
            id: &incident.id,
            headline: terminal::headline(incident),
            node: incident.node.as_deref(),
            boot_id: incident.boot_id.as_deref(),
            time: incident.time.as_deref(),
            boottime_ns: incident.boottime_ns,
            scope: &incident.scope,
            trigger: incident.trigger.as_ref(),
            limits: &incident.limits,
            candidates_evaluated: incident.candidates_evaluated,
            decision: incident.decision.as_ref(),
            victims: &incident.victims,
            freed_bytes: incident.freed_bytes,
            diagnosis: incident.diagnosis.first(),
            level: incident.evidence.level,
        }
    }
}
