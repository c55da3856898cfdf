//! Running totals of reclaim, as the daemon's `/metrics` tells them.

use super::agent::{Agent, Out, boottime_ns};
use super::memcg::hog;
use super::stage::Stage;
use super::wide::{FOLLOWS, GROW_MIB, HUGE_PAGES, fill};
use crate::truth::model::{Scrape, Totals};
use anyhow::{Context, Result};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const LISTENS: &str = "listening on http://";
const START: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(10);
/// What is compared: every total of reclaim.
const NAMES: [&str; 3] = ["oom_reclaim_", "oom_kswapd_", "oom_compaction"];

/// Of incidents, and there without BPF too.
const STALL: &str = "oom_reclaim_stall_";

/// A memory cgroup and the machine reclaim and kill, between two looks at the totals.
pub(super) fn totals(stage: &mut Stage<'_>) -> Result<()> {
    // A memory cgroup's own reclaim, and the machine's. The first cgroup counts both kills.
    stage.group("totals")?;
    let (limited, other) = (stage.group("totals/limited")?, stage.group("totals/other")?);
    stage.at(limited)?.limit(24, 0)?;
    let inside = stage.start(Some(limited), hog("totals-in", 0, 0, 32))?;
    let grower = stage.start(Some(other), hog("totals-wide", 0, 4, GROW_MIB))?;
    stage.because(&[], &[HUGE_PAGES, FOLLOWS]);
    stage.intend(inside, "selected");
    stage.intend(grower, "selected");
    stage.look()?;

    let store = Path::new("/tmp/oom-totals");
    let binary = stage.binary()?;
    let mut command = binary.command("run");
    command.args(["--listen", "127.0.0.1:0", "--sample-every", "off", "--state-dir"]).arg(store);
    command.args(&binary.pass);
    let daemon = Agent::start(command, Out::Read)?;
    let said = daemon.says(START, LISTENS).context("the daemon does not say where it listens")?;
    let address = said.split_once(LISTENS).and_then(|(_, rest)| rest.split_once(": /"));
    let address = address.map(|(address, _)| address.to_owned()).context("an address")?;

    let before = scrape(&address)?;
    stage.actor(inside)?.go()?;
    stage.actor(inside)?.settle()?;
    // In every zone.
    fs::write("/proc/sys/vm/compact_memory", "1").context("compacting memory")?;
    fill(stage)?;
    stage.actor(grower)?.go()?;
    stage.actor(grower)?.settle()?;
    stage.await_deaths()?;
    let after = scrape(&address)?;
    stage.totals = Some(Totals { before, after });

    let (_, _, trouble) = daemon.stop()?;
    stage.check("the daemon ends well", trouble.is_none(), trouble.unwrap_or_default());
    fs::remove_dir_all(store).with_context(|| format!("removing {}", store.display()))
}

fn scrape(address: &str) -> Result<Scrape> {
    let asked_us = boottime_ns() / 1000;
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(ANSWER)).context("SO_RCVTIMEO")?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).context("asking for /metrics")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading /metrics")?;
    let answered_us = boottime_ns() / 1000;
    let total = |line: &&str| NAMES.iter().any(|name| line.starts_with(name)) && !line.starts_with(STALL);
    let values = answer.lines().filter(total);
    let values = values.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    Ok(Scrape { asked_us, answered_us, values: values.collect() })
}
