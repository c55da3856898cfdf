//! An incident as it is stored. Pure.

use crate::incident::diagnosis::Diagnosis;
use crate::incident::id;
use crate::incident::model::Incident;
use crate::incident::same::processes;
use crate::sink::{escape, json, terminal::main_victim};
use serde::Serialize;

/// Bytes of an incident's JSON, about. Tables of thousands of processes are cut: one incident must not push all others
/// out, nor need so much memory when it is read.
const MOST: usize = 1 << 20;

/// One row.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) unix_ms: Option<i64>,
    pub(super) boot_id: Option<String>,
    pub(super) boottime_ns: Option<i64>,
    pub(super) scope: Option<String>,
    pub(super) cgroup: Option<String>,
    pub(super) comm: Option<String>,
    pub(super) pid: Option<u32>,
    pub(super) diagnosis: Option<String>,
    pub(super) level: Option<String>,
    /// JSON of [`brief`].
    pub(super) brief: String,
    /// The incident's JSON, one line without its line feed.
    pub(super) json: String,
    /// See [`processes`].
    pub(super) processes: Vec<u32>,
    /// It is to be sent, where incidents are.
    pub(super) unsent: bool,
}

impl Record {
    /// Names in columns are escaped: somebody will look at them with SQLite's own shell.
    pub(super) fn of(incident: &Incident) -> Self {
        let victim = main_victim(incident);
        Self {
            id: incident.id.clone(),
            unix_ms: id::unix_ms(&incident.id).map(|ms| ms as i64),
            boot_id: incident.boot_id.clone(),
            boottime_ns: incident.boottime_ns.and_then(|ns| ns.try_into().ok()),
            scope: incident.scope.kind.and_then(name),
            cgroup: incident.scope.cgroup.as_deref().map(|path| escape::escape(path).into_owned()),
            comm: victim.map(|victim| escape::escape(&victim.comm).into_owned()),
            pid: victim.map(|victim| victim.pid),
            diagnosis: incident.diagnosis.first().and_then(|first| name(first.code)),
            level: name(incident.evidence.level),
            brief: json::compact(&brief(incident)),
            json: json::limited(incident, MOST, "The store"),
            processes: processes(incident),
            unsent: true,
        }
    }
}

/// What lists show of an incident, and what it is recognised by.
fn brief(incident: &Incident) -> Incident {
    let Incident { schema, id, node, boot_id, time, log_time, boottime_ns, kernel_release, scope, .. } =
        incident;
    let mut evidence = incident.evidence.clone();
    evidence.notes.clear();
    evidence.sources.clear();
    let mut diagnosis = incident.diagnosis.clone();
    // Of the others the code, for who looks for it.
    for Diagnosis { because, advice, docs, title, .. } in diagnosis.iter_mut().skip(1) {
        because.clear();
        [advice, docs, title].into_iter().for_each(String::clear);
    }
    Incident {
        schema: *schema,
        id: id.clone(),
        node: node.clone(),
        boot_id: boot_id.clone(),
        time: time.clone(),
        log_time: log_time.clone(),
        boottime_ns: *boottime_ns,
        kernel_release: kernel_release.clone(),
        scope: scope.clone(),
        trigger: incident.trigger.clone(),
        limits: incident.limits.clone(),
        candidates_evaluated: incident.candidates_evaluated,
        candidates_lost: incident.candidates_lost,
        decision: incident.decision.clone(),
        victims: incident.victims.clone(),
        oom_path_ns: incident.oom_path_ns,
        recovery_ns: incident.recovery_ns,
        counted_kills: incident.counted_kills,
        freed_bytes: incident.freed_bytes,
        // Which kill in a row it is.
        recovery: incident.recovery.clone(),
        diagnosis,
        evidence,
        ..Incident::default()
    }
}

/// An enum's name in JSON.
fn name(value: impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    #[test]
    fn columns_say_what_the_incident_says() {
        let record = Record::of(&samples::memcg());
        assert_eq!(
            (record.scope.as_deref(), record.cgroup.as_deref(), record.comm.as_deref(), record.pid),
            (Some("memcg"), Some("/demo"), Some("java"), Some(81_234))
        );
        assert_eq!(record.level.as_deref(), Some("full"));
        assert_eq!(serde_json::from_str::<Incident>(&record.json).unwrap(), samples::memcg());
        for (name, incident) in samples::all() {
            let record = Record::of(&incident);
            assert!(!record.json.contains('\n') && !record.brief.contains('\n'), "{name}");
            let brief: Incident = serde_json::from_str(&record.brief).unwrap();
            assert_eq!(brief.victims, incident.victims, "{name}");
            assert!([record.cgroup, record.comm].iter().flatten().all(|it| !it.contains(escape::is_unsafe)));
        }
    }

    #[test]
    fn an_incident_of_thousands_of_processes_is_cut_and_says_so() {
        let mut incident = samples::memcg();
        let candidate = incident.candidates[0].clone();
        incident.candidates = vec![candidate; 50_000];
        incident.kernel_log = Some("[ 1] é\n".repeat(300_000));
        let record = Record::of(&incident);
        assert!(record.json.len() <= MOST + MOST / 16, "{}", record.json.len());
        let cut: Incident = serde_json::from_str(&record.json).unwrap();
        assert!(cut.candidates.len() > 1000);
        assert_eq!(cut.candidates_lost.unwrap() + cut.candidates.len() as u64, 50_000);
        assert_eq!(cut.evidence.notes.len(), incident.evidence.notes.len() + 2);
    }
}
