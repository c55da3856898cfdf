use super::*;
use crate::incident::identity::Workload;
use serde_json::{Value, json};

const ID: &str = "9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766";
const OLD: &str = "34186d9bd07706222bd427bb647ceed81e8e108eb653ff73c7137099fca1cab6";
const UID: &str = "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";

fn seen(pod: &Value) -> Option<Seen> {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    pod.seen(&["team".to_owned(), "app.kubernetes.io/name".to_owned()])
}

fn checkout() -> Value {
    json!({
        "metadata": {
            "name": "checkout-7c9f8d6b5-x2x7q", "namespace": "payments", "uid": UID, "resourceVersion": "4711",
            "creationTimestamp": "2026-11-20T10:15:03Z",
            "labels": { "team": "money", "pod-template-hash": "7c9f8d6b5", "secret": "x" },
            "annotations": { "kubernetes.io/config.hash": "0123" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-7c9f8d6b5",
                "uid": "u", "controller": true, "blockOwnerDeletion": true }],
            "managedFields": [{ "manager": "kubelet", "fieldsV1": { "f:status": {} } }],
        },
        "spec": {
            "containers": [
                { "name": "app", "image": "app:2", "resources":
                    { "limits": { "cpu": "1", "memory": "512Mi" }, "requests": { "memory": "256Mi" } } },
                { "name": "envoy", "resources": {} },
            ],
            "initContainers": [{ "name": "init", "resources": { "limits": { "memory": "1G" } } }],
            "nodeName": "node-7", "priority": 1000, "priorityClassName": "high",
        },
        "status": {
            "phase": "Running", "qosClass": "Burstable",
            "containerStatuses": [
                { "name": "app", "containerID": format!("containerd://{ID}"), "image": "docker.io/library/app:2",
                    "lastState": { "terminated": { "containerID": format!("containerd://{OLD}"), "reason": "OOMKilled" } } },
                { "name": "envoy", "containerID": "containerd://short" },
            ],
        },
    })
}

#[test]
fn of_a_pod_is_kept_what_an_incident_needs() {
    let Seen { uid, name, containers, described } = seen(&checkout()).unwrap();
    assert_eq!(
        (&*uid, name.namespace.as_str(), name.name.as_str()),
        (UID, "payments", "checkout-7c9f8d6b5-x2x7q")
    );
    let named: Vec<_> = containers.iter().map(|(id, it)| (id.as_str(), it.name.as_deref())).collect();
    assert_eq!(named, [(ID, Some("app")), (OLD, Some("app"))], "also the one that was killed just now");
    assert_eq!(containers[0].1.image.as_deref(), Some("docker.io/library/app:2"));
    let memory = |request_bytes, limit_bytes| Memory { request_bytes, limit_bytes };
    let expected = Described {
        workload: Some(Workload { kind: "Deployment".into(), name: "checkout".into() }),
        labels: [("team".into(), "money".into())].into(),
        qos: Some(Qos::Burstable),
        priority: Some(1000),
        priority_class: Some("high".into()),
        memory: Memory::default(),
        containers: [
            ("app".into(), memory(Some(256 << 20), Some(512 << 20))),
            ("envoy".into(), Memory::default()),
            ("init".into(), memory(None, Some(1_000_000_000))),
        ]
        .into(),
    };
    assert_eq!(described, expected);
}

#[test]
fn what_is_in_force_goes_before_what_is_wanted() {
    let mut pod = checkout();
    pod["status"]["containerStatuses"][0]["resources"] = json!({ "limits": { "memory": "1Gi" } });
    pod["spec"]["resources"] = json!({ "limits": { "memory": "2Gi" } });
    let described = seen(&pod).unwrap().described;
    assert_eq!(described.containers[0].1, Memory { request_bytes: None, limit_bytes: Some(1 << 30) });
    assert_eq!(described.memory.limit_bytes, Some(2 << 30));
}

#[test]
fn a_static_pod_is_called_as_its_cgroup_is() {
    let mut pod = checkout();
    pod["metadata"]["annotations"] = json!({
        "kubernetes.io/config.hash": "99dcb84d2a34f7e338778606703258c4",
        "kubernetes.io/config.mirror": "99dcb84d2a34f7e338778606703258c4",
    });
    pod["metadata"]["ownerReferences"][0] = json!({ "kind": "Node", "name": "node-7", "controller": true });
    let seen = seen(&pod).unwrap();
    assert_eq!((&*seen.uid, seen.described.workload), ("99dcb84d2a34f7e338778606703258c4", None));
}

#[test]
fn null_is_nothing() {
    let pod = json!({
        "metadata": { "name": "p", "namespace": "n", "uid": UID, "labels": null, "annotations": null, "ownerReferences": null,
            "creationTimestamp": null },
        "spec": { "containers": [{ "name": "app", "resources": { "limits": null } }, { "name": "b", "resources": null }],
            "initContainers": null, "priority": null, "resources": null },
        "status": { "qosClass": null, "containerStatuses": null },
    });
    let Seen { name, containers, described, .. } = seen(&pod).unwrap();
    assert_eq!((name.name.as_str(), containers.len(), described.containers.len()), ("p", 0, 2));
}

#[test]
fn what_kubernetes_does_not_write_is_left_out() {
    for (path, value) in [
        ("/metadata/name", json!("\u{1b}[2J")),
        ("/metadata/namespace", json!("a/b")),
        ("/metadata/uid", json!("../x")),
    ] {
        let mut pod = checkout();
        *pod.pointer_mut(path).unwrap() = value;
        assert_eq!(seen(&pod), None, "{path}");
    }
    let mut pod = checkout();
    pod["metadata"]["labels"]["team"] = json!("x".repeat(64));
    pod["spec"]["containers"][0]["name"] = json!("a\nb");
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("lots");
    pod["status"]["containerStatuses"][0]["name"] = json!("a\nb");
    pod["spec"]["priorityClassName"] = json!("<b>");
    let Seen { containers, described, .. } = seen(&pod).unwrap();
    assert!(containers.is_empty() && described.labels.is_empty() && described.priority_class.is_none());
    assert_eq!(described.containers.len(), 2);
    assert!(seen(&json!({})).is_none());
}
