//! Beside an API server of the test's own: pods are watched, kills in cgroups that are called as the kubelet calls them have
//! their workload, and Events say so.

mod server;

use super::support::{Cgroup, Daemon, incidents, wait_until};
use serde_json::{Value, json};
use server::{NODE, Server};

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn uid(number: u32) -> String {
    format!("{:08x}-8d1b-4c1e-9a55-{number:012x}", std::process::id())
}

/// A pod of a Deployment with one container, as the API server writes it.
fn pod(uid: &str, name: &str, container: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("{name}-7c9f8d6b5-x2x7q"), "namespace": "payments", "uid": uid,
            "creationTimestamp": "2026-11-20T10:15:03Z",
            "labels": { "team": "money", "pod-template-hash": "7c9f8d6b5" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-7c9f8d6b5"),
                "uid": "f00", "controller": true, "blockOwnerDeletion": true }],
            "managedFields": [{ "manager": "kubelet", "operation": "Update", "apiVersion": "v1",
                "fieldsV1": { "f:status": { "f:conditions": { "k:{\"type\":\"Ready\"}": { ".": {}, "f:status": {} } } } } }],
        },
        "spec": {
            "nodeName": NODE, "priority": 1000, "priorityClassName": "high",
            "containers": [{ "name": "app", "image": "app:2", "env": [{ "name": "X", "value": "y".repeat(500) }],
                "resources": { "limits": { "memory": "16Mi" }, "requests": { "memory": "8Mi" } } }],
        },
        "status": {
            "phase": "Running", "qosClass": "Burstable",
            "containerStatuses": [{ "name": "app", "ready": true, "image": "docker.io/library/app:2",
                "containerID": format!("containerd://{container}"), "lastState": {} }],
        },
    })
}

fn start(server: &Server, more: &[&str]) -> Option<Daemon> {
    let kubeconfig = server.kubeconfig();
    let args =
        ["--node-name", NODE, "--kube-api", &kubeconfig, "--kube-label", "team", "--cri-socket", "off"];
    Daemon::start(&[&args[..], more].concat())
}

/// The incidents of a pod.
fn of(daemon: &Daemon, uid: &str) -> Vec<Value> {
    let all = incidents(&daemon.state, "export");
    let all = all.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    all.filter(|it| it["victims"].as_array().is_some_and(|all| all.iter().any(|it| it["pod"]["uid"] == uid)))
        .collect()
}

fn pods(daemon: &Daemon) -> Option<f64> {
    daemon.value("oom_agent_kube_pods")
}

fn failures(daemon: &Daemon, reason: &str) -> f64 {
    daemon.value(&format!("oom_agent_kube_watch_failures_total{{reason=\"{reason}\"}}")).unwrap_or_default()
}

#[test]
fn a_kill_has_its_pods_workload_labels_and_limits_and_an_event() {
    let (uid, container) = (uid(1), id('a'));
    let Some(cgroup) = Cgroup::pod(&uid, &container) else { return };
    let server = Server::start("kill");
    server.state().put(pod(&uid, "checkout", &container));
    let Some(daemon) = start(&server, &[]) else { return };
    wait_until("the pod is known", || pods(&daemon) == Some(1.0));
    wait_until("there is a series", || daemon.get("/metrics").contains("workload=\"Deployment/checkout\""));
    // Gone at the API before it is killed: what was known stays.
    server.state().delete(&uid);
    wait_until("it is gone", || pods(&daemon) == Some(0.0));
    cgroup.fill_as_main();
    wait_until("the Event", || !server.state().events.is_empty());
    let [incident] = &of(&daemon, &uid)[..] else { panic!("one incident") };
    let victim = &incident["victims"][0];
    let expected = json!({
        "namespace": "payments", "name": "checkout-7c9f8d6b5-x2x7q", "uid": uid, "qos": "burstable",
        "workload": { "kind": "Deployment", "name": "checkout" }, "labels": { "team": "money" },
        "priority": 1000, "priority_class": "high",
    });
    assert_eq!(victim["pod"], expected, "{victim:#}");
    let expected = json!({
        "id": container, "name": "app", "image": "docker.io/library/app:2",
        "memory_request_bytes": 8 << 20, "memory_limit_bytes": 16 << 20,
    });
    assert_eq!(victim["container"], expected, "{victim:#}");

    let event = server.state().events[0].clone();
    assert_eq!(event["reason"], "OOMKilled", "{event:#}");
    let regarding = json!({ "apiVersion": "v1", "kind": "Pod", "namespace": "payments",
        "name": "checkout-7c9f8d6b5-x2x7q", "uid": uid, "fieldPath": "spec.containers{app}" });
    assert_eq!(event["regarding"], regarding);
    let note = event["note"].as_str().expect("text");
    assert!(note.contains("main process of container app in payments/checkout-7c9f8d6b5-x2x7q"), "{note}");
    assert!(note.contains(incident["id"].as_str().expect("an id")), "{note}");
    // The API server has it before the daemon has the answer.
    let written = "oom_agent_kube_events_written_total{how=\"created\"}";
    wait_until("it is counted", || daemon.value(written) == Some(1.0));
}

#[test]
fn a_child_that_is_killed_again_and_again_is_one_event() {
    let (uid, container) = (uid(2), id('b'));
    let Some(cgroup) = Cgroup::pod(&uid, &container) else { return };
    let server = Server::start("again");
    server.state().put(pod(&uid, "import", &container));
    let Some(daemon) = start(&server, &[]) else { return };
    wait_until("the pod is known", || pods(&daemon) == Some(1.0));
    let mut main = cgroup.rest_as_main();
    for _ in 0..3 {
        main.fill();
    }
    // What explains it may differ, and then it is another Event: that memory had been in use before is not known at first.
    let counted = || {
        let state = server.state();
        let count = |event: &Value| event["series"]["count"].as_u64().unwrap_or(1);
        state.events.iter().map(count).sum::<u64>()
    };
    wait_until("all are counted", || counted() == 3);
    let state = server.state();
    assert!(state.events.len() < 3, "{:#?}", state.events);
    for event in &state.events {
        assert_eq!(event["reason"], "ProcessOOMKilled", "{event:#}");
        assert!(
            event["note"].as_str().is_some_and(|note| note.contains("The container goes on")),
            "{event:#}"
        );
    }
}

#[test]
fn a_watch_outlives_what_happens_to_servers_and_there_is_only_one() {
    let mut server = Server::start("watch");
    server.state().put(pod(&uid(10), "a", &id('c')));
    let Some(daemon) = start(&server, &["--no-kube-events"]) else { return };
    wait_until("the list", || pods(&daemon) == Some(1.0));
    wait_until("the watch", || server.state().most_watches == 1);
    server.state().put(pod(&uid(11), "b", &id('d')));
    wait_until("a change", || pods(&daemon) == Some(2.0));

    server.state().break_off(false);
    server.state().put(pod(&uid(12), "c", &id('e')));
    wait_until("what came meanwhile", || pods(&daemon) == Some(3.0));
    assert_eq!(server.state().count("watch=true"), 2);

    server.state().delete(&uid(10));
    wait_until("it is gone", || pods(&daemon) == Some(2.0));
    server.state().break_off(true);
    server.state().delete(&uid(11));
    wait_until("too old: a list again", || pods(&daemon) == Some(1.0));
    assert_eq!((failures(&daemon, "gone"), server.state().count("&resourceVersion=0")), (1.0, 2));

    server.stop();
    wait_until("nobody is there", || failures(&daemon, "unreachable") >= 2.0);
    assert_eq!(daemon.value("oom_agent_kube_watching"), Some(0.0));
    server.run();
    server.state().put(pod(&uid(13), "d", &id('f')));
    wait_until("the server is there again", || pods(&daemon) == Some(2.0));

    // Tokens are replaced once an hour, and are read each time.
    server.state().token = "two".into();
    server.state().break_off(false);
    wait_until("the old token", || failures(&daemon, "unauthorized") >= 1.0);
    server.write_token("two");
    server.state().put(pod(&uid(14), "e", &id('0')));
    wait_until("the new token", || pods(&daemon) == Some(3.0));
    let state = server.state();
    assert_eq!((state.most_watches, state.reviews), (1, 0), "one watch, and no Events are asked for");
}

#[test]
fn who_may_not_is_told_so_once_and_kills_are_told_all_the_same() {
    let (uid, container) = (uid(20), id('1'));
    let Some(cgroup) = Cgroup::pod(&uid, &container) else { return };
    let server = Server::start("forbidden");
    server.state().forbidden.extend(["list", "events"]);
    let Some(mut daemon) = start(&server, &[]) else { return };
    wait_until("both were refused", || failures(&daemon, "forbidden") >= 1.0 && server.state().reviews == 1);
    cgroup.fill_as_main();
    cgroup.fill_as_main();
    wait_until("the kills are told", || of(&daemon, &uid).len() == 2);
    assert_eq!(of(&daemon, &uid)[0]["victims"][0]["pod"], json!({ "uid": uid, "qos": "burstable" }));
    assert_eq!(server.state().events.len(), 0);
    assert_eq!(server.state().count("/events"), 0, "it is not even tried");
    daemon.child.kill().expect("it runs");
    let said = daemon.said();
    for word in ["no workloads, labels and limits of pods: ", "no Events on pods: "] {
        assert_eq!(said.matches(word).count(), 1, "{said}");
    }
}

#[test]
fn two_hundred_and_fifty_pods_take_little_memory() {
    let server = Server::start("many");
    let Some(daemon) = start(&server, &[]) else { return };
    wait_until("nothing is known", || pods(&daemon) == Some(0.0));
    let resident = || {
        let path = format!("/proc/{}/status", daemon.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    let before = resident();
    for number in 0..250 {
        server.state().put(pod(&uid(1000 + number), &format!("p{number}"), &format!("{number:064x}")));
    }
    wait_until("all are known", || pods(&daemon) == Some(250.0));
    let by_watch = resident();
    server.state().break_off(true);
    wait_until("all are listed again", || server.state().count("&resourceVersion=0") == 2);
    wait_until("they are watched again", || daemon.value("oom_agent_kube_watching") == Some(1.0));
    let by_list = resident();
    eprintln!("VmRSS without pods {before} KiB, with 250 {by_watch} KiB, listed again {by_list} KiB");
    assert!(by_list.max(by_watch) < before + 4096, "{before} {by_watch} {by_list}");
    assert_eq!(server.state().most_watches, 1);
}
