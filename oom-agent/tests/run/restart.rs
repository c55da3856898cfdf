//! Killed and started again: nothing is missed, nothing is told twice.

use super::support::{self, Cgroup, Daemon, wait_until};
use std::path::Path;

pub(crate) const ARGS: &[&str] = &["--max-level", "tracepoint"];

/// How many incidents of this cgroup are stored.
pub(crate) fn stored(state: &Path, cgroup: &Cgroup) -> usize {
    let export = support::incidents(state, "export");
    let scope = format!("\"cgroup\":\"{}\"", cgroup.path());
    export.lines().filter(|line| line.contains(&scope)).count()
}

#[test]
fn what_happened_meanwhile_is_found_once() {
    let (Some(before), Some(daemon)) = (Cgroup::make("before"), Daemon::start(ARGS)) else { return };
    before.fill();
    wait_until("it is stored", || stored(&daemon.state, &before) == 1);
    let state = daemon.kill();

    let meanwhile = Cgroup::make("meanwhile").expect("as the one before");
    let reported = meanwhile.fill_and_report();
    // Of what is younger than 50 ms the log may have more to say: that is told after the start.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let daemon = Daemon::start_in(state, ARGS).expect("as before");
    let said = daemon.said_at_start();
    // Others may have been killed on this machine, too.
    assert!(said.contains("recovered ") && said.contains("since the last run"), "{said}");
    assert_eq!((stored(&daemon.state, &before), stored(&daemon.state, &meanwhile)), (1, reported), "{said}");
    let export = support::incidents(&daemon.state, "export");
    let found = export.lines().find(|line| line.contains(meanwhile.path())).expect("it was counted");
    assert!(
        found.contains("\"level\":\"kmsg\"") && found.contains("did not run when it happened"),
        "{found}"
    );
    let label = support::label(meanwhile.path());
    let series = format!(
        "oom_victims_total{{namespace=\"\",pod=\"\",container=\"\",cgroup=\"{label}\",role=\"selected\"}}"
    );
    assert_eq!(daemon.value(&series), Some(0.0), "to be an increase later");
    assert!(daemon.value("oom_agent_recovered_incidents") >= Some(1.0));
    assert_eq!(daemon.value("oom_agent_kmsg_overwritten_before_start_records"), Some(0.0));

    let daemon = Daemon::start_in(daemon.kill(), ARGS).expect("as before");
    assert_eq!(
        (stored(&daemon.state, &before), stored(&daemon.state, &meanwhile)),
        (1, reported),
        "never twice"
    );
}
