//! What many incidents have in common: when, where, who, how often. Pure, and its memory does not grow with their number.
//!
//! # Layout
//! - [`Summary`]: takes incidents, one after the other.
//! - `groups`: counts by cgroup and by command, no more than so many.
//! - `often`: how many there were in a short time.
//! - `text`: for a person.

mod groups;
mod often;
mod text;

#[cfg(test)]
mod tests;

use super::moment::{Moment, Told};
use crate::incident::diagnosis::Code;
use crate::incident::identity::Identity;
use crate::incident::model::{Incident, Memory, Rule, ScopeKind, Victim};
use crate::sink::{Tally, path, terminal::whose};
use groups::Groups;
use often::Often;
use std::collections::{BTreeMap, VecDeque};
pub(crate) use text::rows;

/// Incidents in the list: the last ones by time, as far as times can be compared.
const LISTED: usize = 20;
/// Machines that are told apart by name.
const MACHINES: usize = 64;
/// Bytes of a cgroup's path or a machine's name that are kept.
const NAME: usize = 4096;

/// Counts what is shown of many incidents.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    tally: Tally,
    span: Option<(Moment, Moment)>,
    /// Those without a time.
    undated: u64,
    /// Not all times can be compared: several logs with only the kernel's clock.
    unordered: bool,
    machines: Vec<String>,
    more_machines: bool,
    cgroups: Groups<Place, Often>,
    commands: Groups<String, Killed>,
    listed: VecDeque<Entry>,
    /// How often each was the first explanation.
    diagnoses: BTreeMap<Code, u64>,
}

/// Where an incident was. The scope's cgroup with what is another one after each start of a container as `*`: so a
/// container that is restarted is one place, and the text is a glob for `--cgroup`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    machine: Option<String>,
    scope: String,
}

/// The victims of one command name.
#[derive(Clone, Debug, Default)]
struct Killed {
    /// The most that one of them held.
    largest: Option<u64>,
    last: Moment,
}

/// One incident in a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What it is asked for by.
    label: String,
    moment: Moment,
    machine: Option<String>,
    /// Escaped.
    scope: String,
    /// Name and process id of the victim that it is called after.
    victim: Option<(String, u32)>,
    others: usize,
    held: Option<u64>,
    /// Nobody was killed. Else a victim may be missing because the log is cut.
    none: bool,
}

impl Summary {
    /// Adds an incident.
    pub fn add(&mut self, told: &Told) {
        let Told { number, incident, moment } = told;
        self.tally.count(incident);
        self.extend_span(moment);
        if let Some(first) = incident.diagnosis.first() {
            *self.diagnoses.entry(first.code).or_default() += 1;
        }
        let machine = incident.node.as_deref().map(clipped);
        if let Some(machine) = &machine
            && !self.machines.contains(machine)
        {
            if self.machines.len() < MACHINES {
                self.machines.push(machine.clone());
            } else {
                self.more_machines = true;
            }
        }
        let place = Place { machine: machine.clone(), scope: scope(incident, true) };
        self.cgroups.count(place, |often| often.add(moment, is_one_place(incident)));
        for victim in &incident.victims {
            self.commands.count(victim.comm.clone(), |killed| {
                killed.largest = killed.largest.max(held(&victim.memory));
                if !moment.is_before(&killed.last) {
                    killed.last = moment.clone();
                }
            });
        }
        self.enter(Entry::new(number.to_string(), moment.clone(), incident));
    }

    /// Several files, and several machines in one, do not have their incidents in the order of time.
    fn enter(&mut self, entry: Entry) {
        let later = |other: &&Entry| entry.moment.is_before(&other.moment);
        let at = self.listed.len() - self.listed.iter().rev().take_while(later).count();
        self.listed.insert(at, entry);
        if self.listed.len() > LISTED {
            self.listed.pop_front();
        }
    }

    fn extend_span(&mut self, moment: &Moment) {
        if moment.wall.is_none() && moment.boot_ns.is_none() {
            self.undated += 1;
            return;
        }
        let Some((first, last)) = &mut self.span else {
            self.span = Some((moment.clone(), moment.clone()));
            return;
        };
        match (moment.since(first), moment.since(last)) {
            (Some(..0), _) => *first = moment.clone(),
            (_, Some(1..)) => *last = moment.clone(),
            (Some(_), Some(_)) => {}
            (None, _) | (_, None) => self.unordered = true,
        }
    }

    /// Incidents so far.
    pub fn incidents(&self) -> u64 {
        self.tally.incidents
    }
}

impl Entry {
    /// An incident's row. `label`: what it is asked for by.
    pub(crate) fn new(label: String, moment: Moment, incident: &Incident) -> Self {
        let victim = main_victim(incident);
        Self {
            label,
            moment,
            machine: incident.node.as_deref().map(clipped),
            scope: scope(incident, false),
            victim: victim.map(|victim| (victim.comm.clone(), victim.pid)),
            others: incident.victims.len().saturating_sub(1),
            held: victim.and_then(|victim| held(&victim.memory)),
            none: is_none(incident),
        }
    }
}

/// Whether all incidents of this scope are of one place.
fn is_one_place(incident: &Incident) -> bool {
    incident.scope.kind == Some(ScopeKind::Global) || incident.scope.cgroup.is_some()
}

/// Whether it is known that nobody was killed.
fn is_none(incident: &Incident) -> bool {
    matches!(incident.decision.as_ref().map(|it| it.rule), Some(Rule::NoneKillable | Rule::Panic))
}

/// What was full, escaped.
fn scope(incident: &Incident, without_ids: bool) -> String {
    let named = match (incident.scope.kind, incident.scope.cgroup.as_deref()) {
        (Some(ScopeKind::Global), _) => "(whole machine)",
        (Some(ScopeKind::Cpuset), _) => "(nodes of a cpuset)",
        (Some(ScopeKind::MemoryPolicy), _) => "(nodes of a NUMA policy)",
        (Some(ScopeKind::Sysrq), _) => "(sysrq-f)",
        (Some(ScopeKind::Memcg) | None, Some(cgroup)) => {
            let shown = path::shown(&clipped(cgroup));
            return if without_ids {
                path::without_ids(&shown)
            } else {
                whose::cell(&incident.scope.identity, &Identity::default()).unwrap_or(shown)
            };
        }
        (Some(ScopeKind::Memcg), None) => "(a memory cgroup)",
        (None, None) => "(not known)",
    };
    named.to_owned()
}

/// The victim that the incident is named after.
fn main_victim(incident: &Incident) -> Option<&Victim> {
    crate::sink::terminal::main_victim(incident)
}

/// What it held in memory and swap, as far as it is known.
fn held(memory: &Memory) -> Option<u64> {
    let resident = crate::sink::terminal::resident(memory)?;
    Some(resident.saturating_add(memory.swap_bytes.unwrap_or(0)))
}

/// A name that is not longer than a name is.
fn clipped(name: &str) -> String {
    let end = (0..=NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    name[..end].to_owned()
}
