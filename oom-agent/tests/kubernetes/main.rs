//! Every kill is named by pod and container, with a real containerd and pods made through CRI as the kubelet makes them.
//! Needs root, a memory controller, containerd and runc; says so where they are not to be had.
//!
//! `OOM_PODS` says how many pods there are to be (default 8); `cargo xtask test --kubernetes` makes 100, and in a VM where
//! systemd is the first process as many with each cgroup driver (`OOM_CGROUP_DRIVER=systemd`, else cgroupfs).

#![expect(clippy::expect_used, reason = "a test fails by panicking, also in what it is made of")]

mod agent;
mod cgroup;
mod containerd;
mod image;
mod pod;
mod requests;

use agent::Agent;
use containerd::{Containerd, IMAGE, systemd};
use pod::{Limit, NAMESPACE, Parent, Pod, Who};
use serde_json::Value;
use std::time::{Duration, Instant};

/// All that may differ.
fn cases() -> Vec<(Limit, Who, Parent)> {
    let mut cases = Vec::new();
    for parent in [Parent::Directory, Parent::Slice] {
        for limit in [Limit::Container, Limit::Pod] {
            for who in [Who::Main, Who::Child] {
                let fits = match parent {
                    Parent::Directory => !systemd(),
                    // Where runc is told of a slice and makes a directory of it, it is not below the pod's.
                    Parent::Slice => systemd() || limit == Limit::Container,
                };
                if fits {
                    cases.push((limit, who, parent));
                }
            }
        }
    }
    cases
}

fn number() -> usize {
    std::env::var("OOM_PODS").ok().and_then(|number| number.parse().ok()).unwrap_or(8)
}

#[test]
fn every_kill_has_the_names_of_its_pod_and_container() {
    let Some(containerd) = Containerd::start() else { return };
    by_log_files(&containerd);
    by_the_runtime(&containerd);
}

/// The pod is deleted as soon as its process is gone: its files, and then itself with its cgroup.
fn by_log_files(containerd: &Containerd) {
    let Some(mut agent) = Agent::start(&["--cri-socket", "off"]) else { return };
    let mut late = Vec::new();
    let cases = cases();
    for index in 0..number() {
        let (limit, who, parent) = cases[index % cases.len()];
        let what = format!("pod {index} of {limit:?}, {who:?}, {parent:?}");
        let pod = Pod::run(containerd, limit, who, parent);
        pod.make_link();
        pod.wait_for_the_kill();
        let killed = Instant::now();
        pod.remove_files();
        late.push(killed.elapsed());
        pod.delete();
        check(&agent.incident_of(pod.uid(), &what), &pod, &what);
    }
    assert_eq!(agent.unnamed(), 0, "names that were not known");
    let soon = late.iter().filter(|late| **late < Duration::from_millis(10)).count();
    eprintln!("{} pods, of {soon} the files were gone within 10 ms of the kill", number());
}

/// The kubelet has not made its link yet: the runtime knows the container, and what it was made of.
fn by_the_runtime(containerd: &Containerd) {
    let Some(mut agent) = Agent::start(&["--cri-socket", &containerd.socket()]) else { return };
    for (limit, who, parent) in cases() {
        let what = format!("{limit:?}, {who:?}, {parent:?}, by the runtime");
        let pod = Pod::run(containerd, limit, who, parent);
        let incident = agent.incident_of(pod.uid(), &what);
        check(&incident, &pod, &what);
        assert_eq!(incident["victims"][0]["container"]["image"], IMAGE, "{what}");
        pod.delete();
    }
    assert_eq!(agent.unnamed(), 0, "names that were not known");
}

fn check(incident: &Value, pod: &Pod, what: &str) {
    let [victim] = incident["victims"].as_array().expect("victims").as_slice() else {
        panic!("{what}: one victim, not {:#}", incident["victims"]);
    };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let named = [&victim["pod"]["namespace"], &victim["pod"]["name"], &victim["container"]["name"]].map(text);
    assert_eq!(named, [NAMESPACE, pod.name(), "app"].map(str::to_owned), "{what}: {victim:#}");
    assert_eq!(text(&victim["container"]["id"]), pod.container(), "{what}: {victim:#}");
    assert_eq!(victim["main_process"].as_bool(), Some(pod.who == Who::Main), "{what}: {victim:#}");
    let scope = &incident["scope"];
    if scope["cgroup"].is_null() {
        eprintln!("{what}: without the kernel's report");
        return;
    }
    assert_eq!(text(&scope["pod"]["uid"]), pod.uid(), "{what}: {scope:#}");
    assert_eq!(scope.get("container").is_some(), pod.limit == Limit::Container, "{what}: {scope:#}");
}
