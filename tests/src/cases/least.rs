//! The daemon with exactly the privileges that are documented: what it has before, what it has after, and what a kill is
//! worth then.

use super::agent::{Agent, Out, TELL};
use super::hard_input::ends;
use super::machine::Setting;
use super::memcg::hog;
use super::stage::Stage;
use crate::workload::sys::BpfArray;
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const NOBODY: u32 = 65534;
/// What docs/privileges.md names, with the numbers of `include/uapi/linux/capability.h`.
const NEEDED: [(&str, &str); 4] =
    [("CAP_BPF", "39"), ("CAP_PERFMON", "38"), ("CAP_SYSLOG", "34"), ("CAP_SYS_RESOURCE", "24")];

/// The daemon as a user of its own, and as root; then without each of what it needs.
pub(super) fn privilege(stage: &mut Stage<'_>) -> Result<()> {
    stage.hold(Setting::new("/proc/sys/kernel/dmesg_restrict", "1")?);
    let kept = if reads_maps_without_privileges()? { 0 } else { 1 << 39 };
    stage.measured.insert("kept_capabilities".into(), kept);
    let numbers = NEEDED.map(|(_, number)| number);
    let daemons = [
        ("user", Some(NOBODY), Daemon::start(stage, "user", Some((NOBODY, &numbers)))?),
        ("root", None, Daemon::start(stage, "root", None)?),
    ];
    for (name, _, daemon) in &daemons {
        daemon.has_given_up(stage, name, kept)?;
    }
    let group = stage.group("least")?;
    stage.at(group)?.limit(8, 0)?;
    let grower = stage.start(Some(group), hog("least-victim", 0, 0, 16))?;
    stage.intend(grower, "selected");
    stage.provoke(grower)?;
    for (name, _, daemon) in daemons {
        daemon.has_the_kill(stage, name)?;
    }
    for (missing, number) in NEEDED {
        let rest: Vec<&str> = numbers.into_iter().filter(|it| *it != number).collect();
        let what = format!("without {missing}");
        match missing {
            "CAP_BPF" | "CAP_PERFMON" => {
                let says = format!("not permitted: {missing} missing.");
                let mut command =
                    command(stage, Some((NOBODY, &rest)), &directory(&what, Some(NOBODY))?, &[])?;
                ends(stage, &what, &mut command, 3, &says)?;
            }
            // At the full level it gives more, so only that is missing.
            "CAP_SYSLOG" => {
                let level = ["--max-level=kmsg"];
                let says = format!("not permitted: {missing} missing.");
                let mut command =
                    command(stage, Some((NOBODY, &rest)), &directory(&what, Some(NOBODY))?, &level)?;
                ends(stage, &what, &mut command, 3, &says)?;
                names(stage, &what, &rest, "nothing from before: cannot open /dev/kmsg", missing)?;
            }
            // Without it, it is not protected.
            _ => {
                names(stage, &what, &rest, "oom_score_adj is 0", missing)?;
                names(stage, &what, &rest, "memory is not locked", missing)?;
            }
        }
    }
    Ok(())
}

/// It runs without something, and a line names it.
fn names(stage: &mut Stage<'_>, what: &str, only: &[&str], lacks: &str, missing: &str) -> Result<()> {
    let daemon = Daemon::start(stage, what, Some((NOBODY, only)))?;
    let said = daemon.agent.stderr();
    let named = said.lines().any(|line| line.contains(lacks) && line.contains(missing));
    stage.check(format!("{what} it says {lacks:?}, and what is missing"), named, &said);
    daemon.end(stage, what)
}

/// A state directory of its own.
fn directory(name: &str, uid: Option<u32>) -> Result<String> {
    let dir = format!("/tmp/least-{}", name.replace(' ', "-"));
    fs::create_dir_all(&dir).with_context(|| format!("making {dir}"))?;
    chown(&dir, uid, uid).with_context(|| format!("giving {dir} away"))?;
    Ok(dir)
}

fn command(stage: &Stage<'_>, user: Option<(u32, &[&str])>, dir: &str, args: &[&str]) -> Result<Command> {
    let mut command = Command::new("/proc/self/exe");
    // The runner, and whoever it starts, may be protected already.
    command.args(["work", "bare", "--adj=0"]);
    if let Some((uid, only)) = user {
        command.arg(format!("--uid={uid}")).args(only.iter().map(|number| format!("--only={number}")));
    }
    command.arg("--").arg(&stage.binary()?.path);
    command.args(["run", "--listen=127.0.0.1:0", "--state-dir", dir]).args(args);
    Ok(command)
}

struct Daemon {
    agent: Agent,
    address: String,
    dir: String,
}

impl Daemon {
    fn start(stage: &Stage<'_>, name: &str, user: Option<(u32, &[&str])>) -> Result<Self> {
        let dir = directory(name, user.map(|(uid, _)| uid))?;
        let agent = Agent::start(command(stage, user, &dir, &[])?, Out::Read)?;
        let begun = Instant::now();
        loop {
            let said = agent.stderr();
            if let Some((_, rest)) = said.split_once("listening on http://") {
                let address = rest.split(": /").next().unwrap_or_default().to_owned();
                return Ok(Self { agent, address, dir });
            }
            anyhow::ensure!(begun.elapsed() < TELL, "the daemon does not listen: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Nothing is left but what this kernel demands.
    fn has_given_up(&self, stage: &mut Stage<'_>, name: &str, kept: u64) -> Result<()> {
        let pid = self.agent.pid();
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim)
        };
        let set = |name| u64::from_str_radix(field(name), 16).ok();
        for (name_of_set, expected) in [("CapEff", kept), ("CapPrm", kept), ("CapInh", 0), ("CapAmb", 0)] {
            let found = set(name_of_set);
            stage.check(
                format!("{name}: {name_of_set} is {expected:#x}"),
                found == Some(expected),
                format!("{found:x?}"),
            );
        }
        if name == "root" {
            // Who has no CAP_SETPCAP cannot leave it.
            stage.check("root: CapBnd is 0", set("CapBnd") == Some(0), field("CapBnd"));
        }
        for (name_of_field, expected) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Threads", "2")] {
            let found = field(name_of_field);
            stage.check(format!("{name}: {name_of_field} is {expected}"), found == expected, found);
        }
        // What takes long over HTTP has a thread of its own, which began after the privileges were given up.
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("reading its threads")? {
            let status = fs::read_to_string(task.context("reading a thread")?.path().join("status"))?;
            let left = status.lines().find_map(|line| line.strip_prefix("CapEff:")).map_or("", str::trim);
            let none = u64::from_str_radix(left, 16) == Ok(kept) && status.contains("Seccomp:\t2");
            stage.check(format!("{name}: each thread has given it up"), none, left);
        }
        let locked = field("VmLck").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        stage.check(format!("{name}: its memory is locked"), locked > 1024, locked);
        let adj =
            fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).context("reading oom_score_adj")?;
        stage.check(format!("{name}: oom_score_adj is -1000"), adj.trim() == "-1000", adj.trim());
        let ready = self.get("/readyz")?;
        let said = self.agent.stderr();
        let confined =
            said.lines().find(|line| line.contains("confined: no capabilities")).unwrap_or_default();
        let landlock = Path::new("/sys/kernel/security/lsm");
        let has = fs::read_to_string(landlock).map(|lsm| lsm.contains("landlock"));
        stage.check(format!("{name}: it says what is in force"), !confined.is_empty(), &said);
        stage.check(
            format!("{name}: /readyz says it too"),
            ready.contains("confined: no capabilities"),
            &ready,
        );
        match has {
            Ok(has) => {
                let tells = confined.contains("Landlock ");
                stage.check(format!("{name}: Landlock is in force: {has}"), tells == has, confined);
            }
            // The kernel has no list of security modules, or securityfs is not mounted: it is what the daemon says.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("reading /sys/kernel/security/lsm"),
        }
        Ok(())
    }

    /// The kill is counted, stored with everything, and told.
    fn has_the_kill(self, stage: &mut Stage<'_>, name: &str) -> Result<()> {
        let begun = Instant::now();
        let counted = loop {
            let metrics = self.get("/metrics")?;
            let mine = |line: &&str| {
                line.starts_with("oom_victims_total{")
                    && line.contains("/least\"")
                    && line.contains("\"selected\"")
            };
            let found = metrics.lines().find(mine).unwrap_or_default().to_owned();
            if found.ends_with(" 1") || begun.elapsed() > TELL {
                break found;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        stage.check(format!("{name}: the kill is counted"), counted.ends_with(" 1"), &counted);
        let mut list = Command::new(&stage.binary()?.path);
        let list = list.args(["incidents", "export", "--state-dir", &self.dir]).output();
        let stored = String::from_utf8_lossy(&list.context("running incidents export")?.stdout).into_owned();
        // Those of before the first start are stored as well.
        let mine = stored.lines().find(|line| line.contains("/oomcases/least\"")).unwrap_or_default();
        let incident: serde_json::Value = serde_json::from_str(mine).unwrap_or_default();
        let victim = incident.pointer("/victims/0/comm").and_then(serde_json::Value::as_str);
        stage.check(format!("{name}: the kill is stored"), victim == Some("least-victim"), &stored);
        // What is read after the start, with what is left: the log, maps, files of the cgroup.
        for evidence in ["/memory", "/escalation/last_60s/cgroup", "/state/machine", "/recovery"] {
            let there = incident.pointer(evidence).is_some();
            stage.check(format!("{name}: it has {evidence}"), there, "not there");
        }
        let notes = incident.pointer("/evidence/notes").and_then(serde_json::Value::as_array);
        stage.check(
            format!("{name}: nothing is missing"),
            notes.is_none_or(Vec::is_empty),
            format!("{notes:?}"),
        );
        self.end(stage, name)
    }

    fn end(self, stage: &mut Stage<'_>, name: &str) -> Result<()> {
        let (_, said, trouble) = self.agent.stop()?;
        stage.check(format!("{name}: it ends well"), trouble.is_none(), format!("{trouble:?}: {said}"));
        Ok(())
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream =
            TcpStream::connect(&self.address).with_context(|| format!("connecting to {}", self.address))?;
        stream.set_read_timeout(Some(TELL)).context("a timeout")?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .context("asking")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).with_context(|| format!("reading {path}"))?;
        Ok(answer)
    }
}

/// Whether an open map can be read without a capability here: tried without the agent.
fn reads_maps_without_privileges() -> Result<bool> {
    // Up to 5.10 a map's memory counts against it (`bpf_map_charge_init`, kernel/bpf/syscall.c).
    let limit = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).context("RLIMIT_MEMLOCK")?;
    let map = BpfArray::new();
    setrlimit(Resource::Memlock, limit).context("RLIMIT_MEMLOCK")?;
    let map = map.context("making a BPF map")?;
    let had = capabilities(None).context("capget")?;
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..had }).context("capset")?;
    let read = map.look_up();
    set_capabilities(None, had).context("capset")?;
    match read {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error).context("reading a BPF map"),
    }
}
