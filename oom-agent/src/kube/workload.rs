//! What a pod belongs to, from what the pod itself says: nothing else is asked for. Pure.

use super::pod::Owner;
use crate::identity::names::files::is_name;
use crate::incident::identity::Workload;
use jiff::Timestamp;
use std::collections::HashMap;

/// Bytes of a kind, at most.
const KIND: usize = 63;
/// A job is made soon after its time (`startingDeadlineSeconds` apart), its pods may come again and again.
const DAY_MINUTES: i64 = 24 * 60;

/// Of its controller. What a Deployment makes has the hash in its name and as a label (`pod-template-hash`); what a `CronJob`
/// makes ends with the minute it was due, since 1970 (`getJobName` in `pkg/controller/cronjob/utils.go`), and that has to be
/// shortly before the pod. `None`: nobody makes it again.
pub(super) fn of(
    owners: &[Owner],
    labels: &HashMap<String, String>,
    created: Option<&str>,
) -> Option<Workload> {
    let owner = owners.iter().find(|owner| owner.controller)?;
    let Owner { kind, name, controller: _ } = owner;
    let is_kind = (1..=KIND).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // A static pod belongs to its node.
    if kind == "Node" || !is_kind || !is_name(name) {
        return None;
    }
    let by_hash = |label: &str| name.strip_suffix(labels.get(label)?.as_str())?.strip_suffix('-');
    let above = match kind.as_str() {
        // Argo Rollouts make them too.
        "ReplicaSet" => by_hash("pod-template-hash")
            .map(|name| ("Deployment", name))
            .or_else(|| by_hash("rollouts-pod-template-hash").map(|name| ("Rollout", name))),
        "Job" => created.and_then(|created| cron_job(name, created)).map(|name| ("CronJob", name)),
        _ => None,
    };
    let (kind, name) = above.unwrap_or((kind, name));
    Some(Workload { kind: kind.to_owned(), name: name.to_owned() })
}

fn cron_job<'a>(name: &'a str, created: &str) -> Option<&'a str> {
    let (name, minute) = name.rsplit_once('-')?;
    let minute: i64 = minute.parse().ok()?;
    let created = created.parse::<Timestamp>().ok()?.as_second() / 60;
    (!name.is_empty() && (0..=DAY_MINUTES).contains(&created.checked_sub(minute)?)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, name: &str, labels: &[(&str, &str)]) -> Option<(String, String)> {
        let owners = [
            Owner { kind: "Other".into(), name: "x".into(), controller: false },
            Owner { kind: kind.into(), name: name.into(), controller: true },
        ];
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        of(&owners, &labels, Some("2026-11-20T10:15:03Z")).map(|it| (it.kind, it.name))
    }

    #[test]
    fn who_makes_a_pod_again() {
        let hash = ("pod-template-hash", "7c9f8d6b5");
        // 2026-11-20T10:15:00Z in minutes.
        let due = 29_919_495;
        for (kind, name, labels, expected) in [
            ("ReplicaSet", "checkout-7c9f8d6b5", &[hash][..], Some(("Deployment", "checkout"))),
            ("ReplicaSet", "checkout-7c9f8d6b5", &[], Some(("ReplicaSet", "checkout-7c9f8d6b5"))),
            ("ReplicaSet", "by-hand", &[hash], Some(("ReplicaSet", "by-hand"))),
            ("ReplicaSet", "7c9f8d6b5", &[hash], Some(("ReplicaSet", "7c9f8d6b5"))),
            ("ReplicaSet", "api-5d", &[("rollouts-pod-template-hash", "5d")], Some(("Rollout", "api"))),
            ("StatefulSet", "db", &[hash], Some(("StatefulSet", "db"))),
            ("DaemonSet", "logs", &[], Some(("DaemonSet", "logs"))),
            ("Job", "import", &[], Some(("Job", "import"))),
            ("Job", "report-20261120", &[], Some(("Job", "report-20261120"))),
            ("Job", &format!("report-{due}"), &[], Some(("CronJob", "report"))),
            ("Job", &format!("report-{}", due + 1), &[], Some(("Job", &*format!("report-{}", due + 1)))),
            ("Job", &format!("-{due}"), &[], Some(("Job", &*format!("-{due}")))),
            ("Node", "node-7", &[], None),
            ("Evil\u{1b}[2J", "x", &[], None),
            ("Job", "x\ny", &[], None),
        ] {
            let expected = expected.map(|(kind, name)| (kind.to_owned(), name.to_owned()));
            assert_eq!(told(kind, name, labels), expected, "{kind} {name}");
        }
        assert_eq!(of(&[], &HashMap::new(), None), None);
    }
}
