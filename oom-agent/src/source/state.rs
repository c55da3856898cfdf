//! Files that say how full everything was, read as soon as a kill is known.
//!
//! Everything fails soft: the cgroup may be gone. What the kernel's own counters tell is not read again.
//!
//! # Layout
//! - `files`: reads and parses; `zones`: of zones. Here: what is to be read when, and not too often.

mod files;
#[cfg(test)]
mod tests;
mod zones;

use super::cgroupfs::Tree;
use crate::{
    incident::{
        fact::{Child, Fact, Files, Of, Zones},
        model::ScopeKind,
        state::CHILDREN,
    },
    kernel::host::cgroup::Cgroups,
    report::{Event, Report, What},
};
use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

/// Files are read for at most so many kills in [`WINDOW_NS`].
const BUDGET: usize = 10;
const WINDOW_NS: u64 = 1_000_000_000;
/// Kills that wait to be read for, all from one look at the sources.
const WAITING: usize = 1024;

/// What is to be read for one kill.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    of: Of,
    scope: Where,
    /// The kernel told how full cgroups were, and these children.
    told: Option<Vec<String>>,
}

/// What was full.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Where {
    /// This memory cgroup; its id where known.
    Cgroup(String, Option<u64>),
    /// The machine.
    Machine,
    /// A memory cgroup, whose path is not known.
    Unknown,
}

/// Sees facts and says what files are to be read, and reads them.
#[derive(Debug)]
pub struct Watch {
    root: PathBuf,
    tree: Option<Tree>,
    /// Calls come from BPF.
    calls: bool,
    open: Option<Request>,
    /// The largest children that the kernel told of, and in which call.
    children: (u64, Vec<Child>),
    levels: u64,
    waiting: Vec<Request>,
    /// When it was read, the latest last.
    read: VecDeque<u64>,
    /// Calls in which the machine was full, the latest last, and those of them whose victims gave memory back.
    wide: VecDeque<u64>,
    recovering: BTreeSet<u64>,
    /// When zones were read, the latest last.
    looked: VecDeque<u64>,
}

/// Calls whose recovery is waited for.
const WIDE: usize = 64;

impl Watch {
    /// `root`: `/` but in tests. `calls`: the OOM path is seen by BPF, otherwise the log's reports say what to read.
    pub fn new(root: &Path, cgroups: Option<&Cgroups>, calls: bool) -> Self {
        Self {
            root: root.to_owned(),
            tree: cgroups.and_then(|cgroups| Tree::whole(root, cgroups)),
            calls,
            open: None,
            children: (0, Vec::new()),
            levels: 0,
            waiting: Vec::new(),
            read: VecDeque::new(),
            wide: VecDeque::new(),
            recovering: BTreeSet::new(),
            looked: VecDeque::new(),
        }
    }

    /// Looks at a fact on its way to the assembler.
    pub fn see(&mut self, fact: &Fact) {
        match fact {
            Fact::Call(call) if self.calls => {
                let control = call.control.as_ref();
                let scope = match control.and_then(|control| control.scope_cgroup.as_ref()) {
                    Some(path) if !path.cut => {
                        Where::Cgroup(path.path.clone(), control.and_then(|control| control.scope_cgroup_id))
                    }
                    Some(_) => Where::Unknown,
                    None => Where::Machine,
                };
                if scope == Where::Machine {
                    if self.wide.len() == WIDE {
                        self.wide.pop_front();
                    }
                    self.wide.push_back(call.call);
                }
                self.open = Some(Request { of: Of::Call(call.call), scope, told: None });
            }
            Fact::MemoryBack(back) if self.wide.contains(&back.call) => {
                self.recovering.insert(back.call);
            }
            Fact::Level(level) => self.levels = level.call,
            Fact::Child(child) => self.child(child),
            // The last that the kernel tells before it prints its report and kills.
            Fact::Decision(decision) => self.due(decision.call),
            Fact::End(end) if end.none_killable => self.due(end.call),
            Fact::Log(Event { what: What::Report(report), .. }) if !self.calls => {
                let of = Of::Report(report.kill.as_ref().map(|kill| kill.pid));
                self.wait(Request { of, scope: scope(report), told: None });
            }
            _ => {}
        }
    }

    /// Reads zones for those that gave memory back, not too often.
    pub fn zones(&mut self, now_ns: impl Fn() -> u64) -> Vec<Zones> {
        let calls = std::mem::take(&mut self.recovering);
        if calls.is_empty() || !may(&mut self.looked, now_ns()) {
            return Vec::new();
        }
        let zones = zones::read(&self.root, rustix::param::page_size() as u64);
        let read_ns = now_ns();
        calls.into_iter().map(|call| Zones { call, read_ns, zones: zones.clone() }).collect()
    }

    fn child(&mut self, child: &Child) {
        let (call, largest) = &mut self.children;
        if *call != child.call {
            *call = child.call;
            largest.clear();
        }
        let at = largest.partition_point(|it| it.size() >= child.size());
        if at < CHILDREN && !child.cut {
            largest.truncate(CHILDREN - 1);
            largest.insert(at, child.clone());
        }
    }

    fn due(&mut self, call: u64) {
        let Some(mut request) = self.open.take_if(|open| open.of == Of::Call(call)) else { return };
        if self.levels == call {
            let (of, largest) = &self.children;
            let names = largest.iter().filter(|_| *of == call).map(|child| child.name.clone());
            request.told = Some(names.collect());
        }
        self.wait(request);
    }

    fn wait(&mut self, request: Request) {
        if self.waiting.len() < WAITING {
            self.waiting.push(request);
        }
    }

    /// Reads what is to be read. `now_ns`: the clock, `CLOCK_BOOTTIME`.
    pub fn read(&mut self, now_ns: impl Fn() -> u64) -> Vec<Files> {
        let waiting = std::mem::take(&mut self.waiting);
        let read = waiting.into_iter().map(|request| {
            if !may(&mut self.read, now_ns()) {
                return files::none(request.of);
            }
            let files = files::read(&self.root, self.tree.as_ref(), &request);
            Files { read_ns: Some(now_ns()), ..files }
        });
        read.collect()
    }
}

/// Whether there is room in the budget for one more at this time. It is taken.
fn may(times: &mut VecDeque<u64>, now_ns: u64) -> bool {
    let recent = |since: &u64| now_ns.saturating_sub(*since) < WINDOW_NS;
    if times.len() >= BUDGET {
        if times.front().is_some_and(recent) {
            return false;
        }
        times.pop_front();
    }
    times.push_back(now_ns);
    true
}

/// What was full, as the log says it.
fn scope(report: &Report) -> Where {
    let kill = report.kill.as_ref();
    let named = kill.and_then(|kill| kill.oom_memcg.clone()).or_else(|| report.stats_cgroup.clone());
    let memcg = kill.is_some_and(|kill| kill.constraint == Some(ScopeKind::Memcg));
    match named {
        Some(cgroup) => Where::Cgroup(cgroup, None),
        None if memcg => Where::Unknown,
        None => Where::Machine,
    }
}
