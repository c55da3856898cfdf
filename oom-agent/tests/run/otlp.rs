//! Real kills, sent to a collector of the test's own, and to real ones.

mod real;

use crate::{
    collector::{BOTH, Collector, Got, Protocol, Reply, attribute},
    restart::{ARGS, stored},
    support::{self, Cgroup, Daemon, wait_until},
};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;

/// As for the daemon, with a collector.
fn args<'a>(endpoint: &'a str, protocol: &'a str) -> Vec<&'a str> {
    [ARGS, &["--otlp-endpoint", endpoint, "--otlp-protocol", protocol]].concat()
}

/// Ids of the incidents of a cgroup that a collector has, each as often as it came.
fn told(collector: &Collector, cgroup: &Cgroup) -> Vec<String> {
    let shared = collector.shared();
    let records = shared.got.iter().filter(|got| got.taken).flat_map(Got::records);
    let of = records.filter(|record| attribute(&record.attributes, "oom.cgroup") == Some(cgroup.path()));
    of.filter_map(|record| attribute(&record.attributes, "log.record.uid").map(str::to_owned)).collect()
}

fn once(ids: &[String]) -> bool {
    ids.iter().collect::<HashSet<_>>().len() == ids.len()
}

#[test]
fn a_kill_is_sent_from_within_the_sandbox() {
    for protocol in BOTH {
        let collector = Collector::start(protocol);
        let url = collector.url();
        let (Some(cgroup), Some(mut daemon)) =
            (Cgroup::make("sent"), Daemon::start(&args(&url, protocol.name())))
        else {
            return;
        };
        cgroup.fill();
        wait_until("it is sent", || !told(&collector, &cgroup).is_empty());
        // The collector has it before the daemon has the answer.
        wait_until("it is counted", || daemon.value("oom_agent_otlp_sent_incidents_total") >= Some(1.0));
        wait_until("it is acknowledged", || daemon.value("oom_agent_otlp_waiting_incidents") == Some(0.0));
        {
            let shared = collector.shared();
            let of = |record: &&opentelemetry_proto::tonic::logs::v1::LogRecord| {
                attribute(&record.attributes, "oom.cgroup") == Some(cgroup.path())
            };
            let got = shared.got.iter().find(|got| got.records().any(|it| of(&it))).expect("it came");
            let record = got.records().find(of).expect("it came");
            assert_eq!(attribute(&record.attributes, "process.executable.name"), Some("tail"));
            assert_eq!(attribute(&record.attributes, "process.linux.cgroup"), Some(cgroup.path()));
            let json = attribute(&record.attributes, "oom.incident").expect("JSON");
            let id = attribute(&record.attributes, "log.record.uid").expect("an id");
            let shown = support::incidents(&daemon.state, "export");
            assert!(shown.lines().any(|line| line == json && line.contains(id)), "{json}\n{shown}");
        }
        kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
        assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0));
        let said = daemon.said();
        assert!(said.contains(&format!("incidents are sent to {url} ({})", protocol.name())), "{said}");
    }
}

#[test]
fn an_outage_and_a_killed_agent_lose_nothing_and_repeat_nothing() {
    let mut collector = Collector::start(Protocol::Grpc);
    let url = collector.url();
    let args = args(&url, "grpc");
    let (Some(cgroup), Some(daemon)) = (Cgroup::make("outage"), Daemon::start(&args)) else { return };
    cgroup.fill_and_report();
    wait_until("it is sent", || !told(&collector, &cgroup).is_empty());
    collector.stop();
    cgroup.fill_and_report();
    wait_until("it waits", || daemon.value("oom_agent_otlp_waiting_incidents") >= Some(1.0));
    let failed = "oom_agent_otlp_failed_requests_total{reason=\"unreachable\"}";
    wait_until("it was tried", || daemon.value(failed) >= Some(1.0));
    let state = daemon.kill();
    // While the agent does not run.
    cgroup.fill_and_report();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let daemon = Daemon::start_in(state, &args).expect("as before");
    cgroup.fill_and_report();
    wait_until("all are stored", || stored(&daemon.state, &cgroup) >= 4);
    collector.resume();
    wait_until("all are sent", || told(&collector, &cgroup).len() >= stored(&daemon.state, &cgroup));
    wait_until("nothing waits", || daemon.value("oom_agent_otlp_waiting_incidents") == Some(0.0));
    let ids = told(&collector, &cgroup);
    assert!(once(&ids) && ids.len() == stored(&daemon.state, &cgroup), "{ids:?}");
}

#[test]
fn a_kill_right_before_the_end_is_sent() {
    let collector = Collector::start(Protocol::Http);
    let url = collector.url();
    let (Some(cgroup), Some(mut daemon)) =
        (Cgroup::make("last"), Daemon::start(&args(&url, "http/protobuf")))
    else {
        return;
    };
    cgroup.fill();
    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0));
    let said = daemon.said();
    assert!(!told(&collector, &cgroup).is_empty(), "{said}");
}

#[test]
fn whom_the_collector_refuses_says_so_and_keeps_what_it_has() {
    let collector = Collector::start(Protocol::Http);
    collector.plan(&[Reply::Status(401, None)]);
    let url = collector.url();
    let (Some(cgroup), Some(mut daemon)) =
        (Cgroup::make("refused"), Daemon::start(&args(&url, "http/protobuf")))
    else {
        return;
    };
    cgroup.fill();
    let refused = "oom_agent_otlp_failed_requests_total{reason=\"refused\"}";
    wait_until("it is refused", || daemon.value(refused) == Some(1.0));
    assert!(daemon.value("oom_agent_otlp_waiting_incidents") >= Some(1.0));
    assert!(daemon.value("oom_agent_otlp_oldest_waiting_seconds") > Some(0.0));
    assert!(daemon.get("/").contains("incidents cannot be sent to"), "a person is told");
    kill_process(Pid::from_child(&daemon.child), Signal::TERM).expect("it runs");
    assert_eq!(daemon.child.wait().expect("it ends").code(), Some(0), "it does not wait for a change");
    let said = daemon.said();
    assert!(said.contains("INCIDENTS CANNOT BE SENT") && said.contains("HTTP status 401"), "{said}");
    assert!(said.contains("could not be sent"), "{said}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_attached() {
    for (flag, value, code) in [
        ("--otlp-endpoint", "collector:4317", 2),
        ("--otlp-header", "secret", 2),
        ("--otlp-endpoint", "https://localhost:4318", 1),
    ] {
        let missing = ["--otlp-ca-file", "/nonexistent/ca.pem"];
        let more: &[&str] = if code == 1 { &missing } else { &[] };
        let args = [&["--listen", "127.0.0.1:0", "--max-level", "tracepoint", flag, value], more].concat();
        let ended = support::run(&args);
        let says = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!([Some(code), Some(3)].contains(&ended.status.code()), "{flag} {value}: {says}");
        assert!(
            ended.status.code() == Some(3)
                || says.contains(if code == 1 { "/nonexistent/ca.pem" } else { flag }),
            "{says}"
        );
        assert!(!says.contains("tracing OOM kills"), "{says}");
    }
}
