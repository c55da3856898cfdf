use super::*;
use crate::identity::fill;
use crate::sink::samples;

const UID: &str = "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";

/// A kill in a pod's container.
fn incident(main_process: Option<bool>) -> Incident {
    let mut incident = samples::memcg();
    let container = format!("/kubepods/burstable/pod{UID}/{}", "a".repeat(64));
    incident.scope.cgroup = Some(container.clone());
    let victim = &mut incident.victims[0];
    victim.cgroup = Some(container);
    victim.main_process = main_process;
    samples::build::named(&mut incident, "payments", "checkout-7c9f", "app");
    incident.id = "01M7ZE4XBGWZCDK9T8XC81JPRM".to_owned();
    incident.time = Some("2026-11-20T10:15:03.214+01:00".to_owned());
    incident.node = Some("node-7".to_owned());
    incident
}

fn bodies(incident: &Incident) -> Vec<Value> {
    drafts(incident, 0).0.iter().map(|draft| draft.body(1, 0)).collect()
}

#[test]
fn the_main_process_of_a_container() {
    let [body] = &bodies(&incident(Some(true)))[..] else { panic!() };
    let note = body["note"].as_str().unwrap();
    assert!(note.starts_with("java[81234], main process of container app in payments/checkout-7c9f, holding 474 MiB, was killed: its container had reached the limit of 512 MiB."), "{note}");
    assert!(note.ends_with(" Incident 01M7ZE4XBGWZCDK9T8XC81JPRM."), "{note}");
    let mut rest = body.clone();
    rest.as_object_mut().unwrap().remove("note");
    let expected = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "namespace": "payments", "name": "checkout-7c9f.01m7ze4xbgwzcdk9t8xc81jprm0" },
        "eventTime": "2026-11-20T09:15:03.214000Z",
        "reportingController": "oom-agent",
        "reportingInstance": "node-7",
        "action": "Killing",
        "reason": "OOMKilled",
        "type": "Warning",
        "regarding": { "apiVersion": "v1", "kind": "Pod", "namespace": "payments", "name": "checkout-7c9f", "uid": UID,
            "fieldPath": "spec.containers{app}" },
    });
    assert_eq!(rest, expected);
}

#[test]
fn a_child_is_killed_and_the_container_goes_on() {
    let [body] = &bodies(&incident(Some(false)))[..] else { panic!() };
    assert_eq!(body["reason"], "ProcessOOMKilled");
    assert!(body["note"].as_str().unwrap().contains(" The container goes on without it."), "{body}");
    let [body] = &bodies(&incident(None))[..] else { panic!() };
    assert_eq!(body["reason"], "ProcessOOMKilled");
    assert!(!body["note"].as_str().unwrap().contains("goes on"), "not known: {body}");
}

#[test]
fn a_full_machine_is_the_nodes_matter_too() {
    let mut told = incident(Some(true));
    told.scope.kind = Some(ScopeKind::Global);
    let [pod, node] = &bodies(&told)[..] else { panic!() };
    assert_eq!((&pod["reason"], &node["reason"]), (&"OOMKilled".into(), &"NodeOOM".into()));
    assert_eq!(node["metadata"]["namespace"], "default");
    assert_eq!(
        node["regarding"],
        json!({ "apiVersion": "v1", "kind": "Node", "name": "node-7", "uid": "node-7" })
    );
    told.victims.clear();
    assert!(bodies(&told).is_empty(), "nothing was killed");
}

#[test]
fn several_victims_of_a_container_are_one_event_and_the_main_process_goes_first() {
    let mut told = incident(Some(false));
    let mut main = told.victims[0].clone();
    (main.pid, main.main_process) = (1, Some(true));
    told.victims.push(main);
    let [body] = &bodies(&told)[..] else { panic!() };
    assert_eq!(body["reason"], "OOMKilled");
    let mut other = told.victims[0].clone();
    other.cgroup = Some(format!("/kubepods/burstable/pod{UID}/{}", "b".repeat(64)));
    told.victims.push(other);
    samples::build::named(&mut told, "payments", "checkout-7c9f", "app");
    for victim in &mut told.victims[2..] {
        let container = std::sync::Arc::make_mut(victim.identity.container.as_mut().unwrap());
        container.name = Some("envoy".into());
    }
    let names: Vec<_> = bodies(&told).iter().map(|it| it["metadata"]["name"].to_string()).collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
}

#[test]
fn what_is_no_pod_has_no_event_and_a_pod_without_a_name_is_counted() {
    assert_eq!(drafts(&samples::memcg(), 0), (vec![], 0));
    let mut told = incident(Some(true));
    fill::paths(&mut told);
    assert_eq!(drafts(&told, 0), (vec![], 1));
}

#[test]
fn hostile_names_are_escaped_and_notes_are_short() {
    for (_, mut told) in samples::all() {
        let container = format!("/kubepods/burstable/pod{UID}/{}", "a".repeat(64));
        for victim in &mut told.victims {
            victim.cgroup = Some(container.clone());
            victim.comm = "\u{1b}]0;\u{7}\"\n".repeat(40);
        }
        samples::build::named(&mut told, &"n".repeat(253), &"p".repeat(253), &"c".repeat(253));
        told.node = Some("é".repeat(200));
        for body in bodies(&told) {
            let note = body["note"].as_str().unwrap();
            assert!(note.len() <= 1024 && !note.contains(['\u{1b}', '\n', '\u{7}']), "{note}");
            assert!(note.contains("Incident "), "{note}");
            assert!(body["metadata"]["name"].as_str().unwrap().len() <= 253);
            assert!(body["reportingInstance"].as_str().unwrap().len() <= 128);
        }
    }
}

#[test]
fn times_have_six_digits() {
    assert_eq!(micro_time(0), "1970-01-01T00:00:00.000000Z");
    assert_eq!(
        again(3, 1_500_000),
        json!({ "series": { "count": 3, "lastObservedTime": "1970-01-01T00:00:01.500000Z" } })
    );
}
