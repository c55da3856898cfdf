//! Victims and agents in namespaces of their own, as those of containers are.

use super::actor::Script;
use super::agent::{Agent, Out, TELL};
use super::daemon::{Daemon, State, scrape};
use super::faults::{settled, taken};
use super::stage::Stage;
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A victim in namespaces of its own, for processes, users, mounts and cgroups. An agent on the machine, one in namespaces
/// for processes, mounts and cgroups, and a daemon in such: all name it as the machine does. Where the enclosed ones see a
/// cgroup of the same path as the full one, they take nothing from its files.
pub(super) fn namespaces(stage: &mut Stage<'_>) -> Result<()> {
    let root = stage.group("root")?;
    let root = stage.at(root)?.dir();
    let (one, other) = (root.join("agent"), root.join("daemon"));
    for home in [&one, &other] {
        fs::create_dir(home).with_context(|| format!("creating {}", home.display()))?;
    }
    let store = State::new("enclosed");
    let binary = stage.binary()?.clone();
    let agent = Agent::start(enclosed(&root, &one, &binary.trace()), Out::Read)?;
    let daemon = Daemon::spawn_as(|command| enclosed(&root, &other, &command), &binary, &store.0, &[])?;
    let address = daemon.listens()?;
    // Nobody is in the root itself any more, so it may hand its controllers down.
    stage.group("root/oomcases")?;
    let same = stage.group("root/oomcases/apart")?;
    stage.at(same)?.limit(64, 0)?;
    let group = stage.group("apart")?;
    stage.at(group)?.limit(16, 0)?;
    let script = Script::new("apart").with("name", "apart").with("uid", "1000").with("grow-mib", "24");
    let victim = stage.start(Some(group), script.with("base-mib", "2"))?;
    scrape(address)?;
    stage.intend(victim, "selected");
    stage.provoke(victim)?;
    agent.wait(1, TELL);
    let (lines, stderr) = taken(stage, agent)?;
    stage.tell("enclosed", Expect::Enclosed, lines.clone(), stderr);
    settled(stage, address, 1, TELL)?;
    let (samples, _) = scrape(address)?;
    let next: Vec<&String> = samples.keys().filter(|name| name.starts_with("oom_next_victim")).collect();
    stage.check(
        "a daemon that does not see all processes names no next victim",
        next.is_empty(),
        format!("{next:?}"),
    );
    let unexplained = samples.get("oom_kernel_kills_unexplained").copied();
    stage.check("what the kernel counted is explained", unexplained == Some(0.0), format!("{unexplained:?}"));
    let differing = samples.get("oom_kernel_kills_differing_cgroups").copied();
    stage.check("no cgroup is taken for another", differing == Some(0.0), format!("{differing:?}"));
    let series =
        |name: &&String| name.starts_with("oom_cgroup_memory_limit") && name.contains("/oomcases/apart");
    let limits: Vec<_> = samples.iter().filter(|(name, _)| series(name)).collect();
    stage.check("its limit is not that of the other one", limits.is_empty(), format!("{limits:?}"));
    let growth = lines.iter().filter(|line| line.contains("\"growth\"")).count();
    stage.check("nor is what it used", growth == 0, growth);
    daemon.end()?;
    for home in [one, other] {
        fs::remove_dir(&home).with_context(|| format!("removing {}", home.display()))?;
    }
    Ok(())
}

/// A command in namespaces of its own.
fn enclosed(root: &Path, home: &Path, command: &Command) -> Command {
    let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut outer = Command::new("/proc/self/exe");
    outer.args(["work", "enclosed", &option("root", root), &option("home", home), "--"]);
    outer.arg(command.get_program()).args(command.get_args());
    outer
}
