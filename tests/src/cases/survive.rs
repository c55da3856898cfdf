//! What the daemon has to survive: its own death, again and again, and the whole machine's lack of memory.

use super::actor::{Actor, Script};
use super::agent::{Binary, TELL, boottime_ns};
use super::daemon::{Daemon, State, Stored, export, scrape};
use super::faults::settled;
use super::group::Group;
use super::machine::{Setting, ballast, memory_nodes, status_kib};
use super::memcg::{hog, spawner_of};
use super::stage::Stage;
use super::wide::{FOLLOWS, GROW_MIB, HUGE_PAGES};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the daemon is killed.
const KILLS: u64 = 200;
/// Between two kills of the storm: the log's ring must hold what happens while no daemon runs.
const PACE_MS: u32 = 25;
/// The daemon is killed within this time after it was started, or after it listens.
const LIVES_MS: u64 = 400;
/// More than the storm has.
const ENDLESS: u64 = 1_000_000;
/// So often is looked at what is stored.
const ROUNDS: u64 = 10;

/// Numbers without meaning, the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What the daemon has announced until now.
#[derive(Default)]
struct Announced {
    /// Ids of incidents that it wrote on stderr or listed.
    ids: BTreeSet<String>,
    /// Those that were counted by `/metrics` of the daemons that are dead.
    counted: u64,
    recovered: u64,
    overwritten: Vec<String>,
    listened: u64,
}

impl Announced {
    fn lines(&mut self, lines: &[String]) {
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["oom-agent:", id, ..] = words[..]
                && id.len() == 26
            {
                self.ids.insert(id.to_owned());
            }
            if let ["oom-agent:", "recovered", count, ..] = words[..] {
                self.recovered += count.replace(',', "").parse::<u64>().unwrap_or(0);
            }
            if line.contains("OVERWRITTEN") || line.contains("LOST") {
                self.overwritten.push(line.clone());
            }
        }
    }
}

/// Killed at any moment of its life, with processes being killed all the time: nothing that was announced is lost, nothing
/// is told twice, and what happened between its lives is found in the kernel's log.
pub(super) fn killed(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let binary = stage.binary()?.clone();
    let home = State::new("killed");
    let group = stage.group("killed")?;
    stage.at(group)?.limit(4, 0)?;
    stage.because(&[], &["storm", "restart_loop"]);
    stage.overloads();
    let script = Script::new("burst").with("name", "spawner").with("count", ENDLESS.to_string());
    let spawner = spawner_of(stage, group, script.with("pace-ms", PACE_MS.to_string()))?;
    // What the log holds of earlier cases is recovered now, and not looked at.
    Daemon::spawn(&binary, &home.0, &["--max-level=kmsg"], None)?.listens_and_ends()?;
    let before: BTreeSet<String> = export(&binary, &home.0)?.into_iter().map(|it| it.id).collect();
    stage.look()?;
    stage.actor(spawner)?.go()?;
    let mut announced = Announced::default();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let begun = Instant::now();
    for round in 0..KILLS {
        life(&binary, &home, level(round), &mut random, &mut announced)?;
        stage.log.catch_up()?;
        if round % ROUNDS == ROUNDS - 1 {
            let listed = export(&binary, &home.0)?;
            announced.ids.extend(listed.into_iter().map(|it| it.id));
        }
    }
    stage.measured.insert("killed_ms".into(), begun.elapsed().as_millis() as u64);
    stage.actor(spawner)?.go()?;
    let killed = children(stage, spawner)?;
    // Whatever is left.
    let end = Daemon::spawn(&binary, &home.0, &["--max-level=kmsg"], None)?.listens_and_ends()?;
    announced.lines(&end);
    let stored = export(&binary, &home.0)?;
    let new: Vec<Stored> = stored.iter().filter(|it| !before.contains(&it.id)).cloned().collect();
    compare(stage, &killed, &new);
    let ids: BTreeSet<&String> = stored.iter().map(|it| &it.id).collect();
    let missing: Vec<&String> = announced.ids.iter().filter(|id| !ids.contains(id)).collect();
    stage.check("no incident that was announced is lost", missing.is_empty(), format!("{missing:?}"));
    let counted = announced.counted;
    stage.check("no incident that was counted is lost", counted <= new.len() as u64, counted);
    let overwritten = announced.overwritten.join("; ");
    stage.check("the kernel's log kept everything meanwhile", overwritten.is_empty(), overwritten);
    let seen = |level: &str| new.iter().filter(|it| it.level == level).count() as u64;
    for (name, value) in [
        ("daemon_killed", KILLS),
        ("daemon_listened", announced.listened),
        ("daemon_recovered", announced.recovered),
        ("announced", announced.ids.len() as u64),
        ("counted", counted),
        ("stored_full", seen("full")),
        ("stored_tracepoint", seen("tracepoint")),
        ("stored_kmsg", seen("kmsg")),
    ] {
        stage.measured.insert(name.into(), value);
    }
    Ok(())
}

/// Attaching takes seconds under emulation: most daemons go by the log. Trampolines are left alone, as changing them
/// makes other agents miss what is under way.
fn level(round: u64) -> &'static [&'static str] {
    match round {
        _ if round % 64 == 10 => &["--no-trampolines"],
        _ if round % 64 == 30 || round % 64 == 50 => &["--max-level=tracepoint"],
        _ => &["--max-level=kmsg"],
    }
}

/// One daemon's. Half of them die while they start, if that takes long enough.
fn life(
    binary: &Binary,
    home: &State,
    args: &[&str],
    random: &mut Random,
    announced: &mut Announced,
) -> Result<()> {
    let daemon = Daemon::spawn(binary, &home.0, args, None)?;
    let by_log = args.contains(&"--max-level=kmsg");
    // Who takes seconds to start is not killed before: there are few of them.
    if by_log && random.below(2) == 0 {
        std::thread::sleep(Duration::from_millis(random.below(LIVES_MS / 2)));
    } else {
        let address = daemon.listens()?;
        announced.listened += 1;
        std::thread::sleep(Duration::from_millis(random.below(LIVES_MS)));
        if random.below(2) == 0 {
            let (samples, _) = scrape(address)?;
            announced.counted +=
                samples.get("oom_incidents_total{scope=\"memcg\"}").copied().unwrap_or(0.0) as u64;
        }
    }
    announced.lines(&daemon.kill()?);
    Ok(())
}

/// What the spawner says of its children until it is done: the process ids of those that the kernel killed.
fn children(stage: &mut Stage<'_>, spawner: usize) -> Result<BTreeSet<u32>> {
    children_for(stage, spawner, Duration::MAX)
}

/// The same. After this time it is told that these were enough.
pub(super) fn children_for(stage: &mut Stage<'_>, spawner: usize, most: Duration) -> Result<BTreeSet<u32>> {
    let mut killed = BTreeSet::new();
    let begun = Instant::now();
    let mut enough = false;
    loop {
        let line = stage.actor(spawner)?.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["done"] => break,
            ["child", pid, "9"] => drop(killed.insert(pid.parse().context("a process id")?)),
            _ => stage.doubts.push(format!("the spawner says {line:?}")),
        }
        // The log's ring holds what happens meanwhile.
        if killed.len().is_multiple_of(8) {
            stage.log.catch_up()?;
        }
        if !enough && begun.elapsed() >= most {
            stage.actor(spawner)?.go()?;
            enough = true;
        }
    }
    stage.measured.insert("storm_killed".into(), killed.len() as u64);
    Ok(killed)
}

/// Each that was killed is stored once, and nothing else is.
pub(super) fn compare(stage: &mut Stage<'_>, killed: &BTreeSet<u32>, stored: &[Stored]) {
    let mut times: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for incident in stored {
        for (pid, _) in &incident.victims {
            times.entry(*pid).or_default().push(&incident.id);
        }
    }
    let missing: Vec<&u32> = killed.iter().filter(|pid| !times.contains_key(pid)).collect();
    stage.check(
        "every victim is stored",
        missing.is_empty(),
        format!("{} of {}: {missing:?}", missing.len(), killed.len()),
    );
    let twice: Vec<_> = times.iter().filter(|(_, ids)| ids.len() > 1).collect();
    stage.check("no victim is stored twice", twice.is_empty(), format!("{twice:?}"));
    let others: Vec<_> = times.keys().filter(|pid| !killed.contains(pid)).collect();
    let more = stored.len().abs_diff(killed.len());
    stage.check("nothing else is stored", others.is_empty() && more == 0, format!("{others:?}, {more} more"));
}

impl Daemon {
    /// Lets it start and ends it: what it said.
    fn listens_and_ends(self) -> Result<Vec<String>> {
        self.listens()?;
        self.end()
    }
}

/// The kernel's counters and what was told agree, where a group is killed (the kernel counts its first victim twice) and
/// where memory is shared (who only shares it is not counted).
pub(super) fn counted(stage: &mut Stage<'_>) -> Result<()> {
    const AGREE: [&str; 3] =
        ["oom_kernel_kills_unexplained", "oom_kernel_kills_open", "oom_kernel_kills_differing_cgroups"];
    let binary = stage.binary()?.clone();
    let home = State::new("counted");
    // Its events are those of both below it.
    stage.group("counted")?;
    let group = stage.group("counted/group")?;
    stage.at(group)?.limit(32, 0)?;
    stage.at(group)?.set("memory.oom.group", "1")?;
    let other = stage.group("counted/shared")?;
    stage.at(other)?.limit(16, 0)?;
    let first = stage.start(Some(group), hog("first", 600, 6, 0))?;
    let member = stage.start(Some(group), hog("member", 0, 8, 0))?;
    let grower = stage.start(Some(group), hog("grower", 0, 0, 24))?;
    let sharer = Script::new("sharer").with("name", "owner").with("base-mib", "6").with("grow-mib", "16");
    let sharer = stage.start(Some(other), sharer)?;
    stage.intend(first, "selected");
    stage.intend(member, "group");
    stage.intend(grower, "group");
    let daemon = Daemon::spawn(&binary, &home.0, &[], None)?;
    let address = daemon.listens()?;
    let value = |samples: &BTreeMap<String, f64>, name: &str| samples.get(name).copied();
    // The cgroups are seen before anything happens in them.
    let (before, _) = scrape(address)?;
    let counted = vmstat_kills()?;
    stage.look()?;
    stage.actor(grower)?.go()?;
    stage.await_deaths()?;
    stage.actor(sharer)?.go()?;
    stage.actor(sharer)?.await_death()?;
    let begun = Instant::now();
    let after = loop {
        // It looks at the counters once a second, and only while nothing is in the making.
        std::thread::sleep(Duration::from_millis(1100));
        let (after, _) = scrape(address)?;
        if told(&after) - told(&before) >= 2.0 || begun.elapsed() > Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(1100));
            break scrape(address)?.0;
        }
    };
    let kills = vmstat_kills()? - counted;
    let rise = value(&after, "oom_kernel_kills_total")
        .zip(value(&before, "oom_kernel_kills_total"))
        .map(|(after, before)| after - before);
    stage.check("the kernel's count is shown", rise == Some(kills as f64), format!("{rise:?}, {kills}"));
    stage.check("it is not that of the victims", (4..=5).contains(&kills), kills);
    for name in AGREE {
        let (one, other) = (value(&before, name), value(&after, name));
        stage.check(
            format!("{name} is 0"),
            one == Some(0.0) && other == one,
            format!("{one:?}, then {other:?}"),
        );
    }
    stage.measured.insert("kernel_kills".into(), kills);
    daemon.end()?;
    Ok(())
}

/// A kill while the daemon is away is recovered by the next one, and by no other: where the log has numbers, and where there is
/// no `/dev/kmsg`, as in a pod.
pub(super) fn away(stage: &mut Stage<'_>) -> Result<()> {
    const ENCLOSED: &str = "mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && exec \"$@\"";
    let binary = stage.binary()?.clone();
    let group = stage.group("away")?;
    stage.at(group)?.limit(12, 0)?;
    let ways = ["by its numbers", "by syslog(2)"];
    let growers = [(); 4].map(|()| stage.start(Some(group), hog("away", 0, 0, 24)));
    stage.look()?;
    let mut growers = growers.into_iter();
    for (name, has_log) in ways.into_iter().zip([true, false]) {
        let home = State::new("away");
        let enclosed = |command: Command| {
            if has_log {
                return command;
            }
            let mut outer = Command::new("unshare");
            outer
                .args(["-m", "sh", "-c", ENCLOSED, "sh"])
                .arg(command.get_program())
                .args(command.get_args());
            outer
        };
        let since_ns = boottime_ns();
        let mut killed = BTreeSet::new();
        let mut kill = |stage: &mut Stage<'_>| -> Result<()> {
            let grower = growers.next().context("one more")??;
            stage.intend(grower, "selected");
            killed.insert(stage.actor(grower)?.pid());
            stage.actor(grower)?.go()?;
            stage.await_deaths()
        };
        let daemon = Daemon::spawn_as(enclosed, &binary, &home.0, &[])?;
        let address = daemon.listens()?;
        kill(stage)?;
        settled(stage, address, 1, TELL)?;
        daemon.end()?;
        kill(stage)?;
        // What the log has just said is told as it happens.
        std::thread::sleep(Duration::from_millis(200));
        let recovered = "recovered 1 incident with 1 victim from the kernel's log";
        let nothing = "tells of no other incident";
        for (wanted, words) in [(1.0, recovered), (0.0, nothing)] {
            let daemon = Daemon::spawn_as(enclosed, &binary, &home.0, &[])?;
            let address = daemon.listens()?;
            // It looks at the kernel's counters once a second.
            std::thread::sleep(Duration::from_millis(1100));
            let (samples, _) = scrape(address)?;
            for (sample, wanted) in
                [("oom_agent_recovered_incidents", wanted), ("oom_kernel_kills_unexplained", 0.0)]
            {
                let found = samples.get(sample).copied();
                stage.check(
                    format!("log {name}: {sample} is {wanted}"),
                    found == Some(wanted),
                    format!("{found:?}"),
                );
            }
            let said = daemon.said();
            // Those of before its first start are only stored.
            let knows = said.contains(words) && said.contains("since the last run");
            stage.check(format!("log {name}: it knows that it ran before"), knows, said);
            let stored = daemon.stored_since(since_ns, &binary, &home)?;
            compare(stage, &killed, &stored);
        }
    }
    Ok(())
}

/// Kills of the storm of the whole machine.
const STORM: u64 = 300;
/// What the daemon may use.
const LIMIT_MIB: u64 = 64;
/// Free memory that each victim fills: the less the faster.
const LEAVE_MIB: u64 = 80;
/// Nobody who scrapes waits for longer.
const ANSWER: Duration = Duration::from_secs(1);
/// Between two scrapes.
const SCRAPE_EVERY: Duration = Duration::from_millis(200);

/// The whole machine is out of memory 300 times, and so is everybody on it, but the daemon in its small cgroup goes on.
pub(super) fn storm(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    stage.hold(Setting::new("/proc/sys/vm/min_free_kbytes", "8192")?);
    let binary = stage.binary()?.clone();
    let home = State::new("storm");
    let group = Group::new(stage.machine.hierarchy, "/oomdaemon")?;
    group.limit(LIMIT_MIB, 0)?;
    let mut daemon = Daemon::spawn(&binary, &home.0, &["--no-trampolines"], Some(&group.procs()))?;
    let address = daemon.listens()?;
    let script = Script::new("burst").with("name", "spawner").with("adj", "-1000");
    let script = script.with("count", STORM.to_string()).with("mib", GROW_MIB.to_string());
    let spawner = stage.start(None, script)?;
    let nodes = memory_nodes()?;
    for node in &nodes {
        stage.hold(ballast(*node, LEAVE_MIB / nodes.len().max(1) as u64)?);
    }
    stage.because(&[], &[HUGE_PAGES, FOLLOWS, "restart_loop"]);
    stage.overloads();
    stage.look()?;
    let counted = vmstat_kills()?;
    let since = boottime_ns();
    let begun = Instant::now();
    let over = AtomicBool::new(false);
    let (killed, answers) = std::thread::scope(|scope| {
        let scraper = scope.spawn(|| scrape_until(address, &over));
        let killed = stage.actor(spawner).and_then(Actor::go).and_then(|()| children(stage, spawner));
        over.store(true, Ordering::Relaxed);
        (killed, scraper.join())
    });
    let killed = killed?;
    stage.measured.insert("storm_ms".into(), begun.elapsed().as_millis() as u64);
    let answers = answers.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let begun = Instant::now();
    while scrape(address).is_ok_and(|(samples, _)| told(&samples) < STORM as f64)
        && begun.elapsed() < Duration::from_secs(10)
    {
        std::thread::sleep(SCRAPE_EVERY);
    }
    stage.check("the daemon is alive", daemon.is_alive(), daemon.said());
    let own = group.killed()?;
    stage.check("nothing was killed in its cgroup", own == 0, own);
    let counted = vmstat_kills()? - counted;
    stage.check("the kernel counted as many kills", counted == STORM, counted);
    let slow =
        answers.iter().filter(|answer| !answer.as_ref().is_ok_and(|took| *took < ANSWER)).collect::<Vec<_>>();
    stage.check("every scrape was answered within a second", slow.is_empty(), format!("{slow:?}"));
    stage.check("it was scraped throughout", answers.len() > 10, answers.len());
    let most = answers.iter().flatten().max().copied().unwrap_or_default();
    for (name, value) in [
        ("scrapes", answers.len() as u64),
        ("scrape_max_ms", most.as_millis() as u64),
        ("daemon_rss_kib", status_kib(daemon.pid(), "VmRSS")?),
        ("daemon_hwm_kib", status_kib(daemon.pid(), "VmHWM")?),
    ] {
        stage.measured.insert(name.into(), value);
    }
    if let Ok(peak) = fs::read_to_string("/sys/fs/cgroup/oomdaemon/memory.peak") {
        stage.measured.insert("daemon_cgroup_peak_kib".into(), peak.trim().parse::<u64>().unwrap_or(0) >> 10);
    }
    let new = daemon.stored_since(since, &binary, &home)?;
    compare(stage, &killed, &new);
    Ok(())
}

pub(super) fn told(samples: &BTreeMap<String, f64>) -> f64 {
    samples.iter().filter(|(name, _)| name.starts_with("oom_incidents_total")).map(|(_, value)| value).sum()
}

/// How long each answer took, or why there was none.
fn scrape_until(address: SocketAddr, over: &AtomicBool) -> Vec<Result<Duration, String>> {
    let mut answers = Vec::new();
    while !over.load(Ordering::Relaxed) {
        answers.push(scrape(address).map(|(_, took)| took).map_err(|error| format!("{error:#}")));
        // What goes on between scrapes is not waited for.
        std::thread::sleep(SCRAPE_EVERY);
    }
    answers
}

fn vmstat_kills() -> Result<u64> {
    let text = fs::read_to_string("/proc/vmstat").context("reading /proc/vmstat")?;
    let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    kills.context("/proc/vmstat has no oom_kill")
}
