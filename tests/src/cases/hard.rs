//! What goes wrong around the agent while kills happen: it is stopped, its kernel data are broken, nobody reads it.

use super::actor::{PATIENCE, Script};
use super::agent::{Agent, Out, boottime_ns};
use super::daemon::{Daemon, State, scrape};
use super::machine::Setting;
use super::memcg::{self, hog, spawn, spawner};
use super::stage::Stage;
use super::survive::told;
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::process::Signal;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BTF_DIR: &str = "/sys/kernel/btf";
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Silence in which nothing may run.
const SILENCE: Duration = Duration::from_secs(20);
/// How long the kernel's log is written to.
const CHATTER: Duration = Duration::from_secs(4);
/// How long an agent may take to tell what it knows.
const TELL: Duration = Duration::from_secs(20);

/// Nothing happens, so no thread of the agent runs; with the sampler as often as it samples.
pub(super) fn idle(stage: &mut Stage<'_>) -> Result<()> {
    let agent = stage.one_more(&["--sample-every=off"], Out::Read)?;
    // What the start left behind is over when nothing has run for a second.
    let settled = Instant::now();
    let mut before = switches(agent.pid())?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = switches(agent.pid())?;
        if now == before || settled.elapsed() > PATIENCE {
            break;
        }
        before = now;
    }
    // Its start is over by the time that the silence begins.
    let sampling = stage.one_more(&["--sample-every=2s"], Out::Read)?;
    std::thread::sleep(Duration::from_secs(2));
    let samples_before = switches(sampling.pid())?;
    // Not for synchronisation: the silence is what is measured.
    std::thread::sleep(SILENCE);
    let after = switches(agent.pid())?;
    stage.measured.insert("idle_context_switches".into(), after.0 - before.0);
    stage.check("no thread of the agent runs while nothing happens", after == before, {
        format!("context switches and ticks {before:?} before {SILENCE:?} of silence, {after:?} after")
    });
    let sampled = switches(sampling.pid())?.0 - samples_before.0;
    stage.measured.insert("sampler_context_switches".into(), sampled);
    // One each 2 s, if it never rests longer, and one for where the silence begins. It looked when this did.
    let most = SILENCE.as_secs() / 2 + 1;
    stage.check("the sampler wakes the agent at most once in its interval", sampled <= most, {
        format!("{sampled} context switches in {SILENCE:?}, at most {most}")
    });
    stage.judge("sampling", Expect::All, sampling)?;
    // A log that says much and nothing about OOM.
    let before = switches(agent.pid())?;
    let begun = Instant::now();
    while begun.elapsed() < CHATTER {
        // A new file each time: the kernel limits the rate of a writer.
        fs::write("/dev/kmsg", "oom-cases: chatter\n").context("writing to /dev/kmsg")?;
        std::thread::sleep(CHATTER / 100);
    }
    let after = switches(agent.pid())?;
    let woken = after.0 - before.0;
    stage.measured.insert("chatter_context_switches".into(), woken);
    let seconds = CHATTER.as_secs();
    // Those that were not of its own will are in it.
    stage.check("a log that says much wakes the agent about once a second", woken <= 2 * seconds + 2, {
        format!("{woken} context switches in {seconds} s")
    });
    stage.judge("idle", Expect::All, agent)
}

/// Context switches of all threads, and ticks of processor time.
fn switches(pid: u32) -> Result<(u64, u64)> {
    let dir = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in fs::read_dir(&dir).with_context(|| format!("reading {dir}"))? {
        let path = task?.path().join("status");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let counts =
            text.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
        sum += counts.sum::<u64>();
    }
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // Fields 14 and 15, utime and stime; the command name is field 2 and may hold spaces.
    let after_name = stat.rsplit_once(") ").with_context(|| format!("{path}: {stat}"))?.1;
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok((sum, ticks))
}

/// More agents, each in another way: all tell the same.
pub(super) fn two_agents(stage: &mut Stage<'_>) -> Result<()> {
    let second = stage.one_more(&[], Out::Read)?;
    let kprobes = stage.one_more(&["--no-trampolines"], Out::Read)?;
    let log = stage.one_more(&["--max-level=kmsg"], Out::Read)?;
    memcg::nested(stage)?;
    for (name, expect, agent) in
        [("second", Expect::All, second), ("kprobes", Expect::All, kprobes), ("log", Expect::Log, log)]
    {
        agent.wait(1, TELL);
        stage.judge(name, expect, agent)?;
    }
    Ok(())
}

/// Other agents leave one after another, in the middle of kills.
pub(super) fn others_leave(stage: &mut Stage<'_>) -> Result<()> {
    const OTHERS: usize = 3;
    const KILLS: u64 = 40;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        others.push(stage.one_more(&[], Out::Read)?);
    }
    let group = stage.group("leave")?;
    stage.at(group)?.limit(4, 0)?;
    let spawner = spawner(stage, group, KILLS)?;
    stage.others_leave();
    stage.look()?;
    let leaving = std::thread::spawn(|| others.into_iter().map(Agent::stop).collect::<Vec<_>>());
    spawn(stage, spawner, KILLS)?;
    for left in leaving.join().map_err(|_| anyhow::anyhow!("stopping agents panicked"))? {
        let (_, stderr, trouble) = left?;
        stage.check("an agent that leaves ends well", trouble.is_none(), format!("{trouble:?}: {stderr}"));
    }
    Ok(())
}

/// Something mounted over another.
pub(super) struct Covered(PathBuf);

impl Covered {
    pub(super) fn by_nothing(path: &str) -> Result<Self> {
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), c"")
            .with_context(|| format!("covering {path}"))?;
        Ok(Self(path.into()))
    }

    fn by(path: &str, other: &Path) -> Result<Self> {
        mount_bind(other, path).with_context(|| format!("mounting {} over {path}", other.display()))?;
        Ok(Self(path.into()))
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::empty()) {
            eprintln!("unmounting {}: {error}", self.0.display());
        }
    }
}

/// The kernel's type data are missing, cut off or hostile: the agent says so and goes by the kernel's log.
pub(super) fn btf(stage: &mut Stage<'_>) -> Result<()> {
    let whole = fs::read(BTF).with_context(|| format!("reading {BTF}"))?;
    let cut = |len: usize| whole.get(..len).unwrap_or_default().to_vec();
    let mut hostile = vec![
        ("empty".to_owned(), Vec::new()),
        ("noise".to_owned(), noise(1, 64 << 10)),
        // The magic and the version are right, the rest is noise.
        ("magic".to_owned(), [&[0x9f, 0xeb, 1, 0], noise(2, 64 << 10).as_slice()].concat()),
        // The whole header is right and describes what is not there: types and strings are noise.
        ("header".to_owned(), [cut(24), noise(3, whole.len() - 24)].concat()),
        // Every type refers to others at random.
        ("links".to_owned(), garbled(&whole)),
    ];
    let lengths = [1, 8, 23, 24, 4096, whole.len() / 3, whole.len() / 2, whole.len() - 4096];
    hostile.extend(lengths.iter().map(|len| (format!("cut{len}"), cut(*len))));
    let mut agents = Vec::new();
    {
        let _no_btf = Covered::by_nothing(BTF_DIR)?;
        agents.push(("none".to_owned(), stage.one_more(&[], Out::Read)?));
    }
    for (name, bytes) in hostile {
        let path = PathBuf::from(format!("/tmp/btf-{name}"));
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        let covered = Covered::by(BTF, &path)?;
        let agent = stage.one_more(&[], Out::Read);
        drop(covered);
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        match agent {
            Ok(agent) => agents.push((name, agent)),
            Err(error) => stage.check(format!("the agent starts with the BTF {name:?}"), false, error),
        }
    }
    memcg::nested(stage)?;
    for (name, agent) in agents {
        agent.wait(1, TELL);
        let said = agent.stderr();
        let named =
            said.contains("no BPF") && said.contains(BTF) && said.contains("only what the kernel's log says");
        stage.check(format!("with the BTF {name:?} the agent names the cause and goes on"), named, said);
        stage.judge(&name, Expect::Log, agent)?;
    }
    Ok(())
}

/// Bytes without meaning, the same each time (xorshift).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// BTF in which one byte in 64 is wrong, from the first type on.
fn garbled(whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for (byte, wrong) in bytes.iter_mut().skip(24).step_by(64).zip(noise(4, whole.len() / 64)) {
        *byte = wrong;
    }
    bytes
}

/// The wall clock is stepped between kills: incidents have the time of the clock as it is.
pub(super) fn clock(stage: &mut Stage<'_>) -> Result<()> {
    const DAY: i64 = 86_400;
    let agents = [
        ("full", Expect::All, stage.one_more(&[], Out::Read)?),
        ("tracepoint", Expect::Log, stage.one_more(&["--max-level=tracepoint"], Out::Read)?),
    ];
    let group = stage.group("clock")?;
    stage.at(group)?.limit(4, 0)?;
    let steps = [0, DAY, -2 * DAY, DAY];
    let spawners: Vec<usize> = steps.iter().map(|_| spawner(stage, group, 1)).collect::<Result<_>>()?;
    stage.look()?;
    let mut walls = Vec::new();
    for (step, spawner) in steps.iter().zip(spawners) {
        let now = clock_gettime(ClockId::Realtime);
        let stepped = Timespec { tv_sec: now.tv_sec + step, ..now };
        clock_settime(ClockId::Realtime, stepped).context("stepping the clock")?;
        spawn(stage, spawner, 1)?;
        walls.push((stepped.tv_sec, clock_gettime(ClockId::Realtime).tv_sec + 1));
        for (_, _, agent) in &agents {
            // Told before the next step: the time is by the clock of the telling.
            agent.wait(walls.len(), TELL);
        }
    }
    for (name, expect, mut agent) in agents {
        let told = agent.take();
        for ((from, to), line) in walls.iter().zip(&told) {
            let incident: serde_json::Value = serde_json::from_str(line).context("an incident as JSON")?;
            let time = incident.get("time").and_then(serde_json::Value::as_str).unwrap_or_default();
            let sane = unix_seconds(time).is_some_and(|time| (*from..=*to).contains(&time));
            stage.check(format!("{name}: the time is the clock's, {from} to {to}"), sane, time);
        }
        stage.check(format!("{name}: every kill is told"), told.len() == walls.len(), told.len());
        let (_, stderr, trouble) = agent.stop()?;
        stage.check(format!("{name}: the agent ends well"), trouble.is_none(), trouble.unwrap_or_default());
        stage.tell(name, expect, told, stderr);
    }
    Ok(())
}

/// Seconds since 1970 of an RFC 3339 time in UTC, as a VM's is.
pub(super) fn unix_seconds(time: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    if !(time.ends_with("+00:00") || time.ends_with('Z')) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    // Days of the civil calendar, counted from March on: the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some(days * 86_400 + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?)
}

/// 300 small processes besides the victim: more candidates than wake the agent at once.
pub(super) fn many(stage: &mut Stage<'_>) -> Result<()> {
    const COUNT: u64 = 300;
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let group = stage.group("many")?;
    stage.at(group)?.limit(160, 0)?;
    stage.start(Some(group), Script::new("crowd").with("count", COUNT.to_string()))?;
    let grower = stage.start(Some(group), hog("grower", 0, 0, 192))?;
    stage.intend(grower, "selected");
    stage.provoke(grower)?;
    stage.measured.insert("crowd".into(), COUNT);
    Ok(())
}

/// Nobody reads the pipe while it overflows: nothing is lost, and an end in this state is said.
pub(super) fn stdout_full(stage: &mut Stage<'_>) -> Result<()> {
    const KILLS: u64 = 60;
    /// A pipe has 16 pages; a text that does not fit into the rest of one begins another, so half of them may be empty.
    const FULL: u64 = 32 << 10;
    let mut late = stage.one_more(&[], Out::Unread)?;
    let mut never = stage.one_more(&[], Out::Unread)?;
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let group = stage.group("full")?;
    stage.at(group)?.limit(4, 0)?;
    let spawner = spawner(stage, group, KILLS)?;
    stage.look()?;
    spawn(stage, spawner, KILLS)?;
    for (name, agent) in [("late", &late), ("never", &never)] {
        let begun = Instant::now();
        while agent.unread_bytes()? < FULL && begun.elapsed() < TELL {
            std::thread::yield_now();
        }
        let bytes = agent.unread_bytes()?;
        stage.check(format!("{name}: the pipe is full"), bytes >= FULL, bytes);
    }
    late.read();
    late.wait(KILLS as usize, TELL);
    stage.judge("late", Expect::All, late)?;

    never.signal(Signal::TERM)?;
    let status = never.ended()?;
    never.read();
    let (rest, said, _) = never.stop()?;
    // The last one may be cut off.
    let whole: Vec<String> =
        rest.into_iter().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).collect();
    let unwritten = KILLS - whole.len() as u64;
    let says = said.contains(&format!("{unwritten} NOT WRITTEN"));
    stage.check(format!("the end says that {unwritten} were not written"), says, &said);
    stage.check("what was not written is a failure", status.code() == Some(1), status);
    stage.tell("never", Expect::First(whole.len()), whole, said);
    Ok(())
}

/// Two agents, `trace` and the daemon, are stopped until their small rings are full, then go on.
pub(super) fn ring_full(stage: &mut Stage<'_>) -> Result<()> {
    const BEFORE: u64 = 10;
    const DURING: u64 = 290;
    const AFTER: u64 = 20;
    let binary = stage.binary()?.clone();
    let home = State::new("ring");
    let agent = stage.one_more(&[], Out::Read)?;
    let daemon = Daemon::spawn(&binary, &home.0, &[], None)?;
    let address = daemon.listens()?;
    stage.hold(Setting::new("/proc/sys/kernel/printk", "1")?);
    let group = stage.group("ring")?;
    stage.at(group)?.limit(4, 0)?;
    let [before, during, after] = [BEFORE, DURING, AFTER].map(|count| spawner(stage, group, count));
    let (before, during, after) = (before?, during?, after?);
    scrape(address)?;
    stage.look()?;
    let since = boottime_ns();
    let mut killed = spawn(stage, before, BEFORE)?;
    agent.signal(Signal::STOP)?;
    daemon.signal(Signal::STOP)?;
    killed.extend(spawn(stage, during, DURING)?);
    agent.signal(Signal::CONT)?;
    daemon.signal(Signal::CONT)?;
    // It has read everything when it says that something is missing.
    let said = agent
        .wait_for(TELL, |line| line.contains("\"lost_records\":") && !line.contains("\"lost_records\":0"));
    stage.check("an incident says that records were lost", said, agent.stderr());
    killed.extend(spawn(stage, after, AFTER)?);
    told_last(&agent, AFTER as usize);
    stage.judge("stopped", Expect::LossyUntil((BEFORE + DURING) as usize), agent)?;
    counted(stage, address)?;
    let (samples, _) = scrape(address)?;
    let sample = |name: &str| samples.get(name).copied();
    let lost = sample("oom_agent_lost_records_total{ring=\"events\"}");
    stage.check("the daemon counts that records were lost", lost > Some(0.0), format!("{lost:?}"));
    let stored = daemon.stored_since(since, &binary, &home)?;
    let told: Vec<u32> = stored.iter().flat_map(|it| it.victims.iter().map(|(pid, _)| *pid)).collect();
    let pids: BTreeSet<u32> = told.iter().copied().collect();
    stage.check("the daemon tells no victim twice", pids.len() == told.len(), told.len());
    stage.check("and none that was none", pids.is_subset(&killed), format!("{:?}", pids.difference(&killed)));
    let (missing, unexplained) = (killed.len() - pids.len(), sample("oom_kernel_kills_unexplained"));
    stage.measured.insert("daemon_untold".into(), missing as u64);
    stage.check(
        format!("the kernel's counter says that {missing} are missing"),
        unexplained == Some(missing as f64),
        format!("{unexplained:?}"),
    );
    Ok(())
}

/// Waits until the daemon tells nothing more, and has compared the kernel's counters with what it told.
fn counted(stage: &mut Stage<'_>, address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    let mut before = told(&scrape(address)?.0) as u64;
    loop {
        // It looks at the counters once a second.
        std::thread::sleep(Duration::from_millis(1100));
        let now = told(&scrape(address)?.0) as u64;
        if now == before {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            stage.check("the daemon comes to an end", false, now);
            return Ok(());
        }
        before = now;
    }
}

/// Waits for the last incidents: those of the children with these numbers come after all others.
fn told_last(agent: &Agent, count: usize) {
    let last = format!("\"comm\":\"burst-{}\"", count - 1);
    agent.wait_for(TELL, |line| line.contains(&last));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_since_1970() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00.000+00:00"), Some(0));
        assert_eq!(unix_seconds("2024-02-29T12:00:01.5Z"), Some(1_709_208_001));
        assert_eq!(unix_seconds("2024-02-29T12:00:01+01:00"), None, "not in UTC");
    }
}
