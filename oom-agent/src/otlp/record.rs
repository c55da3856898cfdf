//! An incident as a log record. Pure.
//!
//! The body is the one sentence that the terminal begins with; what backends look for are attributes, by OpenTelemetry's
//! semantic conventions where they have a name for it, else `oom.*`; the whole incident is the attribute
//! `oom.incident`, as JSON, cut so that it fits where attributes have to be small. Names that a process chose are escaped:
//! in an attribute nothing else stands between them and somebody's terminal.

use super::messages::{
    AnyValue, ExportRequest, KeyValue, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs,
};
use crate::incident::id;
use crate::incident::identity::{Identity, Runtime, Workload};
use crate::incident::model::{Incident, Rule, Victim, limited};
use crate::sink::{escape, json, terminal};
use serde::Serialize;

/// `LogRecord.event_name` of all of them.
pub const EVENT: &str = "oom.incident";
/// Who makes them.
const SCOPE: &str = "oom-agent";

/// What is stored of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: String,
    /// JSON of what lists show of it.
    pub brief: String,
    /// Its JSON.
    pub json: String,
}

/// The request that sends these records from this resource.
pub fn request(resource: &Resource, log_records: Vec<LogRecord>) -> ExportRequest {
    let scope = Scope { name: SCOPE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records }];
    ExportRequest { resource_logs: vec![ResourceLogs { resource: Some(resource.clone()), scope_logs }] }
}

/// The record of what is stored. `most`: bytes of the incident's JSON in it, 0: none. `now_ns`: nanoseconds since 1970,
/// for an incident whose time is not known. `None`: what is stored is damaged.
pub fn record(stored: &Stored, most: usize, now_ns: u64) -> Option<LogRecord> {
    let brief: Incident = serde_json::from_str(&stored.brief).ok()?;
    let whole = whole(&stored.json, most)?;
    let at_ns = id::unix_ms(&brief.id).filter(|ms| *ms > 0).map(|ms| ms.saturating_mul(1_000_000));
    let (severity_number, severity_text) = severity(&brief);
    Some(LogRecord {
        time_unix_nano: at_ns.unwrap_or(0),
        observed_time_unix_nano: at_ns.unwrap_or(now_ns),
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(terminal::headline(&brief).into()),
        attributes: attributes(&brief, whole),
        event_name: EVENT.to_owned(),
    })
}

/// The JSON, with less in it if it is longer than `most`; empty if that does not do.
fn whole(json: &str, most: usize) -> Option<String> {
    if json.len() <= most || most == 0 {
        return Some(if most == 0 { String::new() } else { json.to_owned() });
    }
    let incident: Incident = serde_json::from_str(json).ok()?;
    let cut = json::limited(&incident, most, "What is sent");
    Some(if cut.len() <= most { cut } else { String::new() })
}

/// `SeverityNumber`: a panic is FATAL, a kill ERROR, and where nobody was killed WARN.
fn severity(incident: &Incident) -> (i32, &'static str) {
    match incident.decision.as_ref().map(|decision| decision.rule) {
        Some(Rule::Panic) => (21, "FATAL"),
        Some(Rule::NoneKillable | Rule::AlreadyDying) => (13, "WARN"),
        Some(Rule::HighestPoints | Rule::AllocatingTask | Rule::Sysrq) | None => (17, "ERROR"),
    }
}

/// Attributes in the order of being added. What is not known is left out.
#[derive(Debug, Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &str, value: Option<impl Into<AnyValue>>) {
        if let Some(value) = value {
            self.0.push(KeyValue { key: key.to_owned(), value: Some(value.into()) });
        }
    }

    fn name(&mut self, key: &str, value: Option<&str>) {
        self.add(key, value.map(|value| escape::escape(value).into_owned()));
    }
}

fn attributes(incident: &Incident, whole: String) -> Vec<KeyValue> {
    let Incident { id, boot_id, scope, limits, decision, victims, diagnosis, evidence, .. } = incident;
    let victim = terminal::main_victim(incident);
    let mut all = Attributes::default();
    all.name("log.record.uid", Some(id));
    all.name("oom.boot_id", boot_id.as_deref());
    all.add("oom.scope", scope.kind.and_then(word));
    all.name("oom.cgroup", scope.cgroup.as_deref());
    all.add("oom.limit_bytes", limited(limits.memory_bytes));
    all.add("oom.usage_bytes", limits.usage_bytes);
    all.add("oom.rule", decision.as_ref().and_then(|decision| word(decision.rule)));
    all.add("oom.victims", Some(victims.len() as u64));
    // Whose container it was: the victim's, else the one that was full.
    identity(&mut all, victim.map_or(&scope.identity, |victim| &victim.identity));
    if let Some(victim) = victim {
        process(&mut all, victim);
    }
    all.name("oom.trigger.executable.name", incident.trigger.as_ref().map(|trigger| trigger.comm.as_str()));
    all.add("oom.trigger.pid", incident.trigger.as_ref().and_then(|trigger| trigger.pid).map(i64::from));
    let first = diagnosis.first();
    all.add("oom.diagnosis", first.and_then(|first| word(first.code)));
    all.add("oom.diagnosis.confidence", first.and_then(|first| word(first.confidence)));
    all.add("oom.freed_bytes", incident.freed_bytes);
    all.add("oom.evidence.level", word(evidence.level));
    all.add("oom.incident", Some(whole).filter(|whole| !whole.is_empty()));
    all.0
}

fn identity(all: &mut Attributes, identity: &Identity) {
    let Identity { container, pod, unit } = identity;
    if let Some(pod) = pod {
        all.name("k8s.namespace.name", pod.namespace.as_deref());
        all.name("k8s.pod.name", pod.name.as_deref());
        all.name("k8s.pod.uid", Some(&pod.uid));
        if let Some(Workload { kind, name }) = &pod.workload {
            all.name(workload(kind), Some(name));
        }
        for (label, value) in &pod.labels {
            all.name(&format!("k8s.pod.label.{label}"), Some(value));
        }
    }
    if let Some(container) = container {
        let key = if pod.is_some() { "k8s.container.name" } else { "container.name" };
        all.name(key, container.name.as_deref());
        all.name("container.id", Some(&container.id));
        all.name("container.image.name", container.image.as_deref());
        all.add("container.runtime.name", container.runtime.map(Runtime::name));
    }
    all.name("systemd.unit", unit.as_ref().map(|unit| unit.name.as_str()));
}

/// The attribute that has the name of a workload of this kind.
fn workload(kind: &str) -> &'static str {
    match kind {
        "Deployment" => "k8s.deployment.name",
        "StatefulSet" => "k8s.statefulset.name",
        "DaemonSet" => "k8s.daemonset.name",
        "ReplicaSet" => "k8s.replicaset.name",
        "Job" => "k8s.job.name",
        "CronJob" => "k8s.cronjob.name",
        // The conventions know no others.
        _ => "oom.workload.name",
    }
}

fn process(all: &mut Attributes, victim: &Victim) {
    let Victim { pid, comm, uid, role, main_process, cgroup, memory, oom_score_adj, .. } = victim;
    all.add("process.pid", Some(i64::from(*pid)));
    all.name("process.executable.name", Some(comm));
    all.add("process.user.id", uid.map(i64::from));
    all.name("process.linux.cgroup", cgroup.as_deref());
    all.add("oom.victim.role", word(*role));
    all.add("oom.victim.main_process", *main_process);
    all.add("oom.victim.resident_bytes", terminal::resident(memory));
    all.add("oom.victim.oom_score_adj", oom_score_adj.map(i64::from));
}

/// An enum's name in JSON.
fn word(value: impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
