//! A kubelet with its control plane on one node: the agent is installed as the documentation says, and every kill is named
//! as Kubernetes names it. Runs in a VM that `cargo xtask test --kubernetes` makes: `OOM_CLUSTER` is the directory with what
//! it needs.

#![expect(clippy::expect_used, reason = "a test fails by panicking, also in what it is made of")]

mod agent;
mod cluster;
#[path = "../kubernetes/image.rs"]
mod image;
mod pki;
mod truth;
mod workloads;

use agent::Agent;
use cluster::Cluster;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;
use truth::{Pods, text};
use workloads::{WORKLOADS, Workload};

#[test]
fn a_cluster_has_every_kill_named_as_it_names_it() {
    let Some(inputs) = std::env::var_os("OOM_CLUSTER") else {
        eprintln!("not tested: a cluster is started in VMs only (cargo xtask test --kubernetes)");
        return;
    };
    let cluster = Cluster::start(Path::new(&inputs));
    without_access(&cluster);
    with_access(&cluster);
    while_away(&cluster);
}

/// The overlay `default`.
fn without_access(cluster: &Cluster) {
    let began = Instant::now();
    cluster.apply_overlay("default");
    let agent = Agent::ready(cluster);
    eprintln!("from apply to the first metric: {:.1} s", began.elapsed().as_secs_f64());
    for workload in WORKLOADS {
        workload.start(cluster, "plain");
    }
    for workload in WORKLOADS {
        let incident = agent.incident_of(&workload.pod("plain"));
        check(cluster, workload, "plain", &incident);
        workload.stop(cluster, "plain");
    }
    eprintln!("{} kills of the kubelet's pods, named without the API server", WORKLOADS.len());
}

/// The overlay `api-access`: workloads, Events.
fn with_access(cluster: &Cluster) {
    cluster.apply_overlay("api-access");
    cluster.wait("the agent with access", || {
        cluster
            .kubectl(&["-n", "oom-agent", "rollout", "status", "daemonset/oom-agent", "--timeout=5s"])
            .is_ok()
    });
    let agent = Agent::ready(cluster);
    cluster.wait("its watch", || agent.metric("oom_agent_kube_watching") == Some(1.0));
    for workload in WORKLOADS {
        workload.start(cluster, "told");
    }
    for workload in WORKLOADS {
        let incident = agent.incident_of(&workload.pod("told"));
        check(cluster, workload, "told", &incident);
        let of = &incident["victims"][0]["pod"]["workload"];
        assert_eq!([text(&of["kind"]), text(&of["name"])], workload.owner("told"), "{incident:#}");
        check_event(cluster, if workload.is_main { "OOMKilled" } else { "ProcessOOMKilled" }, &incident);
        workload.stop(cluster, "told");
    }
    let may = |verb: &str, what: &str| {
        let user = "--as=system:serviceaccount:oom-agent:oom-agent";
        cluster.kubectl(&["auth", "can-i", verb, what, user]).is_ok()
    };
    assert!(may("create", "events.events.k8s.io") && may("watch", "pods"), "what it is given");
    assert!(!may("get", "secrets") && !may("delete", "pods"), "what it is not given");
    check_requests(&cluster.audit());
    eprintln!("{} kills with their workload, and an Event on each pod", WORKLOADS.len());
}

/// The incident next to what the API server has.
fn check(cluster: &Cluster, workload: &Workload, run: &str, incident: &Value) {
    let what = workload.name;
    let victim = &incident["victims"][0];
    let id = text(&victim["container"]["id"]);
    let mut found = None;
    cluster.wait("the container in the pod's status", || {
        found = Pods::read(cluster).container(&id);
        found.is_some()
    });
    let truth = found.expect("it was waited for");
    assert!(truth.pod.starts_with(&workload.pod(run)), "{what}: {truth:?}");
    let named = [&victim["pod"]["namespace"], &victim["pod"]["name"], &victim["pod"]["uid"]].map(text);
    assert_eq!(named, [truth.namespace, truth.pod, truth.uid], "{what}: {victim:#}");
    assert_eq!(text(&victim["container"]["name"]), truth.name, "{what}: {victim:#}");
    assert_eq!(text(&victim["pod"]["qos"]), truth.qos.to_lowercase(), "{what}: {victim:#}");
    assert_eq!(victim["main_process"].as_bool(), Some(workload.is_main), "{what}: {victim:#}");
    let path = text(&victim["cgroup"]);
    let is_slice = path.contains("kubepods.slice/");
    assert_eq!(is_slice, cluster.driver == "systemd", "{what}: {path}");
}

/// The agent is away while a pod is killed, and writes the Event when it is back.
fn while_away(cluster: &Cluster) {
    let daemon_set = |os: &str| {
        let patch = format!(
            r#"{{"spec":{{"template":{{"spec":{{"nodeSelector":{{"kubernetes.io/os":"{os}"}}}}}}}}}}"#
        );
        let done = cluster.kubectl(&["-n", "oom-agent", "patch", "daemonset", "oom-agent", "-p", &patch]);
        done.unwrap_or_else(|error| panic!("{os}: {error}"));
    };
    daemon_set("none");
    cluster.wait("end of the agent", || {
        cluster.json(&["get", "pods", "-n", "oom-agent"])["items"].as_array().is_some_and(Vec::is_empty)
    });
    let workload = &WORKLOADS[0];
    workload.start(cluster, "away");
    let pod = workload.pod("away");
    cluster.wait("kill", || {
        let pod = cluster.json(&["get", "pod", &pod]);
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"
    });
    daemon_set("linux");
    let agent = Agent::ready(cluster);
    let incident = agent.incident_of(&pod);
    // The kernel's log does not say whether it was the main process.
    check_event(cluster, "ProcessOOMKilled", &incident);
    workload.stop(cluster, "away");
    eprintln!("a kill from while the agent was away, and its Event");
}

fn check_event(cluster: &Cluster, reason: &str, incident: &Value) {
    let victim = &incident["victims"][0];
    let (uid, container) = (text(&victim["pod"]["uid"]), text(&victim["container"]["name"]));
    let namespace = text(&victim["pod"]["namespace"]);
    let id = text(&incident["id"]);
    cluster.wait(&format!("Event {reason} of {id}"), || {
        let all = cluster.json(&["get", "events", "-n", &namespace]);
        all["items"].as_array().into_iter().flatten().any(|event| {
            event["reason"] == reason
                && event["involvedObject"]["uid"] == uid.as_str()
                && event["involvedObject"]["fieldPath"] == format!("spec.containers{{{container}}}")
                && event["message"].as_str().is_some_and(|message| message.contains(&id))
        })
    });
}

/// All that it asked: one watch at a time, nothing that is refused.
fn check_requests(requests: &[Value]) {
    let (mut open, mut most) = (0_i32, 0);
    for request in requests {
        let status = request["responseStatus"]["code"].as_u64().unwrap_or(200);
        assert!(status < 400, "{request:#}");
        if request["verb"] == "watch" {
            // Kubernetes 1.20 has no `ResponseStarted` of a watch that nothing was sent to yet.
            match text(&request["stage"]).as_str() {
                "RequestReceived" => open += 1,
                "ResponseComplete" | "Panic" => open -= 1,
                _ => {}
            }
            most = most.max(open);
        }
    }
    let mut kinds: Vec<String> = requests
        .iter()
        .map(|it| format!("{} {}", text(&it["verb"]), text(&it["objectRef"]["resource"])))
        .collect();
    kinds.sort();
    kinds.dedup();
    eprintln!("requests: {}; {most} watch at a time", kinds.join(", "));
    assert_eq!((open, most), (1, 1), "watches that are open at the end, and at most");
    let expected = ["create events", "create selfsubjectaccessreviews", "list pods", "watch pods"];
    assert!(kinds.iter().all(|kind| expected.contains(&kind.as_str())), "{kinds:?}");
}
