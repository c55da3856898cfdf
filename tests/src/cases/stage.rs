//! Where one case plays: its cgroups, its processes, and everything that watches them.

use super::actor::{Actor, Script};
use super::agent::{Agent, Binary, Out, boottime_ns};
use super::group::{Group, Hierarchy};
use super::machine::Swap;
use super::rank::Foretold;
use crate::truth::ftrace::Tracer;
use crate::truth::kmsg::Follower;
use crate::truth::model::{Afterwards, Check, Expect, Kill, Level, Telling, Totals, Truth, Why};
use crate::truth::observe::{Seen, Told, tell};
use crate::truth::procfs::{self, Processes};
use crate::truth::reclaim::ReclaimTracer;
use anyhow::{Context, Result};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// What is the same for all cases.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) tracer: Option<Tracer>,
    pub(crate) reclaim: Option<ReclaimTracer>,
    pub(crate) kernel: String,
    pub(crate) cpus: u32,
    /// The agent's program, unless the truth alone is wanted.
    pub(crate) agent: Option<Binary>,
}

/// Cgroups, which go in the reverse order: children first.
#[derive(Debug, Default)]
struct Groups(Vec<Group>);

impl Drop for Groups {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

/// One case's stage. Fields are dropped in this order: processes before their cgroups, settings last.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) machine: &'a Machine,
    /// The agent's process, where one runs.
    pub(crate) agent: Option<u32>,
    pub(crate) log: Follower,
    pub(crate) actors: Vec<Actor>,
    groups: Groups,
    held: Vec<Box<dyn Any>>,
    swap: Option<Swap>,
    before: Processes,
    /// What contradicts the intention.
    pub(crate) doubts: Vec<String>,
    /// Who has to die: index of the actor, of its process, role.
    intended: Vec<(usize, usize, &'static str)>,
    spared: BTreeSet<u32>,
    ids: BTreeMap<String, u64>,
    born: BTreeMap<String, u64>,
    levels: BTreeMap<String, Level>,
    meminfo: BTreeMap<String, u64>,
    /// Figures.
    pub(crate) measured: BTreeMap<String, u64>,
    /// What was found after each kill.
    pub(crate) afterwards: Vec<Afterwards>,
    /// What the daemon's totals of reclaim were.
    pub(crate) totals: Option<Totals>,
    checks: Vec<Check>,
    told: Vec<Words>,
    why: Why,
    /// What `rank` said before anything was provoked.
    foretold: Option<Foretold>,
}

/// What one more agent said.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) telling: Telling,
    pub(crate) incidents: Vec<String>,
    pub(crate) stderr: String,
}

/// What a case left behind.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) truth: Truth,
    pub(crate) messages: Vec<String>,
    pub(crate) trace: Option<String>,
    pub(crate) reclaim: Option<String>,
    pub(crate) told: Vec<Words>,
    /// See [`Stage::swap`].
    pub(crate) swap: Option<Swap>,
}

impl<'a> Stage<'a> {
    /// An empty one.
    pub(crate) fn new(machine: &'a Machine, agent: Option<u32>) -> Result<Self> {
        if let Some(tracer) = &machine.tracer {
            tracer.clear()?;
        }
        if let Some(reclaim) = &machine.reclaim {
            reclaim.begin()?;
        }
        Ok(Self {
            machine,
            agent,
            log: Follower::new()?,
            actors: Vec::new(),
            groups: Groups::default(),
            held: Vec::new(),
            swap: None,
            before: Processes::new(),
            doubts: Vec::new(),
            intended: Vec::new(),
            spared: BTreeSet::new(),
            ids: BTreeMap::new(),
            born: BTreeMap::new(),
            levels: BTreeMap::new(),
            meminfo: BTreeMap::new(),
            measured: BTreeMap::new(),
            afterwards: Vec::new(),
            totals: None,
            checks: Vec::new(),
            told: Vec::new(),
            why: Why::default(),
            foretold: None,
        })
    }

    /// Creates a cgroup below the tests' own. The outermost with a limit has to be the first.
    pub(crate) fn group(&mut self, name: &str) -> Result<usize> {
        let born_us = boottime_ns() / 1000;
        let group = Group::new(self.machine.hierarchy, &format!("/oomcases/{name}"))?;
        self.ids.insert(group.path.clone(), group.id()?);
        self.born.insert(group.path.clone(), born_us);
        self.groups.0.push(group);
        Ok(self.groups.0.len() - 1)
    }

    /// One of the cgroups.
    pub(crate) fn at(&mut self, group: usize) -> Result<&mut Group> {
        self.groups.0.get_mut(group).with_context(|| format!("no cgroup {group}"))
    }

    /// Keeps something until the case is over.
    pub(crate) fn hold(&mut self, what: impl Any) {
        self.held.push(Box::new(what));
    }

    /// Keeps swap space until the agents have told of the case: they read how much there is.
    pub(crate) fn swap(&mut self, swap: Swap) {
        self.swap = Some(swap);
    }

    /// Starts a process, in a cgroup if one is given.
    pub(crate) fn start(&mut self, group: Option<usize>, script: Script) -> Result<usize> {
        let script = match group {
            Some(group) => script.with("join", self.at(group)?.procs()),
            None => script,
        };
        self.actors.push(Actor::start(&script)?);
        Ok(self.actors.len() - 1)
    }

    /// One of the processes.
    pub(crate) fn actor(&mut self, actor: usize) -> Result<&mut Actor> {
        self.actors.get_mut(actor).with_context(|| format!("no actor {actor}"))
    }

    /// The agent's program.
    pub(crate) fn binary(&self) -> Result<&Binary> {
        self.machine.agent.as_ref().context("this case is about the agent, and none is wanted (--no-agent)")
    }

    /// Starts one more agent beside the one that traces all cases.
    pub(crate) fn one_more(&self, args: &[&str], stdout: Out) -> Result<Agent> {
        let mut command = self.binary()?.trace();
        command.args(args);
        Agent::start(command, stdout)
    }

    /// Ends one more agent. The judge compares what it told.
    pub(crate) fn judge(&mut self, name: &str, expect: Expect, agent: Agent) -> Result<()> {
        let (rest, stderr, trouble) = agent.stop()?;
        self.check(format!("the agent {name:?} ends well"), trouble.is_none(), trouble.unwrap_or_default());
        self.tell(name, expect, rest, stderr);
        Ok(())
    }

    /// Leaves to the judge what an agent told.
    pub(crate) fn tell(&mut self, name: &str, expect: Expect, incidents: Vec<String>, stderr: String) {
        self.told.push(Words { telling: Telling { name: name.into(), expect }, incidents, stderr });
    }

    /// Something that has to hold, whether it did, and what was found.
    pub(crate) fn check(&mut self, what: impl Into<String>, held: bool, found: impl Display) {
        self.checks.push(Check { what: what.into(), held, found: found.to_string() });
    }

    /// Asks the agent who would be killed now, in a cgroup or on the machine. The first kill has to be just that.
    pub(crate) fn foretell(&mut self, group: Option<usize>) -> Result<()> {
        let cgroup = group.map(|group| self.at(group).map(|group| group.path.clone())).transpose()?;
        // Without an agent the truth alone is wanted.
        if let Some(binary) = &self.machine.agent {
            self.foretold = Some(Foretold::ask(binary, cgroup.as_deref(), &[])?);
        }
        Ok(())
    }

    /// Says who has to die for the case to be what it claims.
    pub(crate) fn intend(&mut self, actor: usize, role: &'static str) {
        self.intended.push((actor, 0, role));
    }

    /// Says what leads to the kill: what a diagnosis has to begin with (one of these), and what besides it holds without
    /// doubt.
    pub(crate) fn because(&mut self, first: &[&str], also: &[&str]) {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        self.why.first = words(first);
        self.why.certain = words(&[first, also].concat());
    }

    /// Says that the machine has more to do than it can.
    pub(crate) fn overloads(&mut self) {
        self.why.overloads = true;
    }

    /// Says that other agents detach while it happens.
    pub(crate) fn others_leave(&mut self) {
        self.why.others_leave = true;
    }

    /// Says when the machine stood still.
    pub(crate) fn stood_still(&mut self, spans: Vec<[u64; 2]>) {
        self.why.stood_still = spans;
    }

    /// Says that only one more agent, of this name, can have seen it.
    pub(crate) fn seen_by(&mut self, agent: &str) {
        self.why.agent = Some(agent.to_owned());
    }

    /// Looks at all processes as they are now. The last thing before something is provoked.
    pub(crate) fn look(&mut self) -> Result<()> {
        self.before = procfs::all()?;
        self.meminfo = procfs::meminfo()?;
        for group in &self.groups.0 {
            self.levels.extend(group.levels()?);
        }
        if let Some(tracer) = self.machine.tracer.as_ref().filter(|tracer| tracer.has_kprobes) {
            tracer.map_tasks(&procfs::pids()?);
        }
        Ok(())
    }

    /// Looks, lets one process grow, and waits until it has grown or died and everyone who is meant to die did.
    pub(crate) fn provoke(&mut self, grower: usize) -> Result<()> {
        self.look()?;
        self.actor(grower)?.go()?;
        self.actor(grower)?.settle()?;
        self.await_deaths()
    }

    /// Waits for everyone who is meant to die.
    pub(crate) fn await_deaths(&mut self) -> Result<()> {
        for (actor, ..) in self.intended.clone() {
            self.actor(actor)?.await_death()?;
        }
        Ok(())
    }

    /// Kills a process that the kernel will not kill.
    pub(crate) fn give_up(&mut self, actor: usize) -> Result<()> {
        let actor = self.actor(actor)?;
        actor.kill();
        let pid = actor.pid();
        self.spared.insert(pid);
        Ok(())
    }

    /// Ends everything that still lives and puts the truth together.
    pub(crate) fn finish(mut self, case: &str) -> Result<Left> {
        for actor in &mut self.actors {
            actor.end()?;
        }
        // What took the machine's memory away goes before this process needs some itself: it is exempt, and with
        // nobody left to kill the kernel panics.
        self.held.clear();
        self.log.catch_up()?;
        let read = self.machine.tracer.as_ref().map(Tracer::read).transpose()?;
        let reclaim = self.machine.reclaim.as_ref().map(ReclaimTracer::read).transpose()?;
        let has_kprobes = self.machine.tracer.as_ref().is_some_and(|tracer| tracer.has_kprobes);
        let sharers = self.actors.iter().filter_map(|a| Some((*a.pids.first()?, *a.pids.get(1)?))).collect();
        let seen = Seen {
            messages: &self.log.messages,
            trace: read.as_ref().map(|(text, _)| text.as_str()),
            has_kprobes,
            before: std::mem::take(&mut self.before),
            sharers,
        };
        let Told { mut kills, none_killable, already_dying, doubts } = tell(&seen);
        self.doubts.extend(doubts);
        for kill in &mut kills {
            // Its report was suppressed; there is only one limit that it can have hit.
            if let ("memcg", None, [only]) =
                (kill.scope.kind.as_str(), &kill.scope.cgroup, self.groups.0.as_slice())
            {
                kill.scope.cgroup = Some(only.path.clone());
            }
            if let ("memcg", None, Some(victim)) =
                (kill.scope.kind.as_str(), &kill.scope.cgroup, kill.victims.first())
            {
                kill.scope.cgroup = victim.cgroup.as_deref().and_then(|path| limited(&self.levels, path));
            }
            kill.scope.cgroup_id = kill.scope.cgroup.as_ref().and_then(|path| self.ids.get(path).copied());
        }
        if !self.afterwards.is_empty() && self.afterwards.len() != kills.len() {
            self.doubts.push(format!("{} kills, but {} were looked at", kills.len(), self.afterwards.len()));
        }
        for (kill, afterwards) in kills.iter_mut().zip(&self.afterwards) {
            kill.afterwards = Some(*afterwards);
        }
        self.agree(&kills, [&read, &reclaim].into_iter().flatten().any(|(_, lost)| *lost));
        if let Some(foretold) = self.foretold.take() {
            self.checks.extend(foretold.checks(kills.first()));
        }
        let mut sources = vec!["kmsg".to_owned(), "waitpid".to_owned()];
        sources.extend(read.is_some().then(|| "ftrace".to_owned()));
        sources.extend(reclaim.is_some().then(|| "reclaim".to_owned()));
        sources.extend(has_kprobes.then(|| "kprobes".to_owned()));
        sources.extend((!self.groups.0.is_empty()).then(|| "memory.events".to_owned()));
        let truth = Truth {
            case: case.to_owned(),
            skip: None,
            kernel: self.machine.kernel.clone(),
            cpus: self.machine.cpus,
            page_bytes: rustix::param::page_size() as u64,
            sources,
            kills,
            none_killable,
            already_dying,
            doubts: std::mem::take(&mut self.doubts),
            measured: std::mem::take(&mut self.measured),
            born: std::mem::take(&mut self.born),
            checks: std::mem::take(&mut self.checks),
            levels: std::mem::take(&mut self.levels),
            meminfo: std::mem::take(&mut self.meminfo),
            enclosed: false,
            tellings: self.told.iter().map(|words| words.telling.clone()).collect(),
            why: std::mem::take(&mut self.why),
            totals: self.totals.take(),
        };
        let told = std::mem::take(&mut self.told);
        let messages = std::mem::take(&mut self.log.messages);
        Ok(Left {
            truth,
            messages,
            trace: read.map(|(text, _)| text),
            reclaim: reclaim.map(|(text, _)| text),
            told,
            swap: self.swap.take(),
        })
    }

    /// Everything that has to agree.
    fn agree(&mut self, kills: &[Kill], trace_lost: bool) {
        let mut doubts = Vec::new();
        if trace_lost {
            doubts.push("the trace lost events".to_owned());
        }
        if self.log.overrun > 0 {
            doubts.push(format!("the kernel's log overtook its reader {} times", self.log.overrun));
        }
        let victims: BTreeMap<u32, &str> =
            kills.iter().flat_map(|kill| &kill.victims).map(|v| (v.pid, v.role.as_str())).collect();
        for (index, process, role) in &self.intended {
            let pid = self.actors.get(*index).and_then(|actor| actor.pids.get(*process)).copied();
            let found = pid.and_then(|pid| victims.get(&pid));
            if found != Some(role) {
                doubts.push(format!("actor {index} ({pid:?}) was to die as {role}, but: {found:?}"));
            }
        }
        for actor in &self.actors {
            let (pid, killed) = (actor.pid(), actor.signals.first() == Some(&Some(9)));
            if !self.spared.contains(&pid) && killed != victims.contains_key(&pid) {
                doubts
                    .push(format!("waitpid says that {pid} was killed: {killed}; the kernel says otherwise"));
            }
        }
        if let Some(counted) = self.counted_kills() {
            // Who only shares memory is not counted. The first victim of a group kill is counted twice
            // (`oom_kill_process`, then `oom_kill_memcg_member`) unless it has let go of its memory by then.
            let marked: usize =
                kills.iter().flat_map(|kill| &kill.victims).filter(|v| v.role != "shared_memory").count();
            let groups = kills.iter().filter(|kill| kill.victims.iter().any(|v| v.role == "group")).count();
            if !(marked..=marked + groups).contains(&(counted as usize)) {
                doubts.push(format!("the cgroup counted {counted} kills, the log and the trace {marked}"));
            }
        }
        self.doubts.append(&mut doubts);
    }

    /// `oom_kill` of the case's cgroups. v2 counts it in every cgroup above, v1 only in the victim's own.
    fn counted_kills(&self) -> Option<u64> {
        let groups = &self.groups.0;
        let below = |group: &Group| {
            let own = group.dir();
            groups.iter().map(Group::dir).any(|other| own != other && own.starts_with(other))
        };
        let counting = groups.iter().filter(|group| self.machine.hierarchy == Hierarchy::V1 || !below(group));
        counting.map(|group| group.killed().ok()).sum::<Option<u64>>().filter(|_| !groups.is_empty())
    }
}

/// The only cgroup with a limit that a process in this one can hit.
fn limited(levels: &BTreeMap<String, Level>, path: &str) -> Option<String> {
    let has_limit = |path: &&str| levels.get(*path).is_some_and(|level| level.max_bytes.is_some());
    let mut full = std::iter::successors(Some(path), |path| Some(path.rsplit_once('/')?.0)).filter(has_limit);
    full.next().filter(|_| full.next().is_none()).map(str::to_owned)
}
