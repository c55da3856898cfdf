//! The daemon as it is run: a real kill in a memory cgroup of its own, seen through `/metrics`. Needs root and a memory
//! controller; says so where they are not to be had.

#![expect(clippy::expect_used, reason = "a test fails by panicking, also in what it is made of")]

#[path = "../otlp/collector.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod collector;
mod crowd;
mod dashboards;
mod disk;
mod kube;
mod otlp;
mod prometheus;
mod restart;
mod service;
mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use support::{Cgroup, Daemon, wait_until};

#[test]
fn a_kill_is_an_increase_from_zero_and_the_end_is_clean() {
    let (Some(cgroup), Some(mut daemon)) =
        (Cgroup::make("kill"), Daemon::start(&["--max-level", "tracepoint"]))
    else {
        return;
    };
    let victims = format!(
        "oom_victims_total{{namespace=\"\",pod=\"\",container=\"\",cgroup=\"{}\",role=\"selected\"}}",
        support::label(cgroup.path())
    );
    let memcg = "oom_incidents_total{scope=\"memcg\"}";
    // The agent looks at the tree once a second at most.
    wait_until("the cgroup is seen", || daemon.value(&victims) == Some(0.0));
    let before = daemon.value(memcg).expect("it is there from the start");
    cgroup.fill();
    wait_until("the kill is counted", || daemon.value(&victims) == Some(1.0));
    // Others on this machine may have been killed meanwhile.
    assert!(daemon.value(memcg) > Some(before));
    let path = cgroup.path().to_owned();
    drop(cgroup);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(daemon.value(&victims), Some(1.0), "it stays when the cgroup is gone");

    // Stored before it was counted, and read beside the daemon.
    let export = support::incidents(&daemon.state, "export");
    assert!(export.contains(&path), "{export}");
    assert_eq!(daemon.value("oom_agent_store_writable"), Some(1.0));

    assert!(daemon.get("/healthz").ends_with("\r\n\r\nok\n"));
    let ready = daemon.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("mark_victim: raw_tracepoint\n"), "{ready}");

    let second = support::run(&["--listen", &daemon.address, "--max-level", "tracepoint"]);
    assert_eq!(second.status.code(), Some(1));
    let says = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(says.contains("cannot listen on") && says.contains("another oom-agent may be running"), "{says}");
    assert!(!says.contains("tracing OOM kills"), "it has attached nothing: {says}");

    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0));
    let said = daemon.said();
    assert!(said.contains(" was killed: "), "a line for the kill: {said}");
    assert!(said.lines().last().is_some_and(|line| line.contains("ended: ")), "{said}");
}

#[test]
fn a_kill_right_before_the_end_is_told() {
    let (Some(cgroup), Some(mut daemon)) =
        (Cgroup::make("end"), Daemon::start(&["--max-level", "tracepoint"]))
    else {
        return;
    };
    cgroup.fill();
    // Within the time that an incident waits for what may still come.
    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0));
    let said = daemon.said();
    // Where many are killed meanwhile, it may have no line of its own.
    assert!(said.contains("ended: ") && !said.contains("ended: 0 incidents"), "{said}");
}

#[test]
fn who_does_not_read_does_not_keep_others_waiting() {
    let Some(daemon) = Daemon::start(&["--max-level", "tracepoint"]) else { return };
    let slow: Vec<_> =
        (0..40).map(|_| daemon.connect(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    for _ in 0..20 {
        assert!(daemon.get("/metrics").contains("oom_agent_build_info"));
    }
    drop(slow);
}
