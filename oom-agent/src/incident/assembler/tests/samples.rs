//! Real kernels' logs through the parser and the assembler.

use crate::incident::assembler::{Assembler, Config};
use crate::incident::fact::{Call, Exit, Fact, Task, Victim};
use crate::incident::model::{Incident, Level, Rule};
use crate::report::parser::Parser;
use crate::report::{Event, What};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub(super) struct Sample {
    pub(super) name: String,
    text: String,
    pub(super) events: Vec<Event>,
}

pub(super) fn samples() -> Vec<Sample> {
    let samples = samples_in("src/report/testdata");
    assert!(samples.len() >= 90);
    samples
}

/// The logs of a directory.
pub(super) fn samples_in(dir: &str) -> Vec<Sample> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    logs.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let (mut parser, mut events) = (Parser::new(), Vec::new());
        for line in text.lines() {
            let line = crate::logs::line::parse(line.as_bytes());
            parser.message(line.boot_ns, line.context, &line.message, &mut events);
        }
        parser.finish(&mut events);
        Sample { name, text, events }
    })
    .collect()
}

/// What the text says in the simplest way: all killed pids, and how many kills they were (a group's are one).
fn truth(text: &str) -> (BTreeSet<u32>, usize) {
    let (mut pids, mut kills, mut group) = (BTreeSet::new(), 0, false);
    for line in text.lines() {
        group = (group || line.contains("are going to be killed")) && !line.contains("invoked oom-killer");
        if let Some((_, rest)) = line.split_once("Killed process ") {
            pids.insert(rest.split(' ').next().unwrap().parse().unwrap());
            kills += usize::from(!group);
        }
    }
    (pids, kills)
}

fn config(level: Level) -> Config {
    // More than the swap limit of the cgroups in these logs.
    Config { total_swap_bytes: Some(98_300 << 10), ..Config::new(level) }
}

pub(super) fn run(level: Level, facts: Vec<Fact>) -> Vec<Incident> {
    run_with(config(level), facts)
}

fn run_with(config: Config, facts: Vec<Fact>) -> Vec<Incident> {
    let mut assembler = Assembler::new(config);
    let mut incidents = Vec::new();
    for fact in facts {
        let now_ns = match &fact {
            Fact::Log(event) => event.time_ns.unwrap_or(0),
            _ => 0,
        };
        assembler.push(now_ns, fact);
        incidents.extend(std::iter::from_fn(|| assembler.ready(now_ns)));
    }
    incidents.extend(assembler.finish());
    incidents
}

#[test]
fn every_kill_in_the_logs_is_an_incident_with_its_reason() {
    let mut compared = 0;
    for Sample { name, text, events } in samples() {
        let mut config = config(Level::Log);
        if name.ends_with("-v1") {
            // No limit of memory and swap together: all of the machine's swap counts, and it had none.
            config.total_swap_bytes = Some(0);
        }
        let incidents = run_with(config, events.into_iter().map(Fact::Log).collect());
        let (pids, kills) = truth(&text);
        let told: Vec<u32> = incidents.iter().flat_map(|i| &i.victims).map(|victim| victim.tid).collect();
        assert_eq!(told.len(), pids.len(), "{name}: each victim once");
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), pids, "{name}");
        let killing: Vec<&Incident> = incidents.iter().filter(|i| !i.victims.is_empty()).collect();
        assert_eq!(killing.len(), kills, "{name}");
        for incident in killing {
            let decision = incident.decision.as_ref().unwrap();
            assert_eq!(decision.pid, Some(incident.victims[0].pid), "{name}");
            let rule = match name.rsplit('-').next().unwrap() {
                "alloctask" => Rule::AllocatingTask,
                "f" => Rule::Sysrq,
                _ => Rule::HighestPoints,
            };
            assert_eq!(decision.rule, rule, "{name}");
            if incident.candidates_evaluated.is_none_or(|evaluated| evaluated == 0) {
                continue;
            }
            assert_eq!(Some(incident.candidates[0].pid), decision.pid, "{name}: most points");
            // A memory policy's nodes are only told in whole for an allocation that may use all of their zones.
            let partly = name.ends_with("-mempolicy");
            if !partly || incident.total_pages.is_some() {
                assert!(incident.total_pages.is_some(), "{name}");
                let others = incident.candidates[1..].iter().any(|candidate| candidate.eligible);
                assert_eq!(decision.runner_up_pid.is_some(), others, "{name}");
                compared += usize::from(others);
            }
        }
    }
    assert!(compared >= 60, "only {compared} decisions have a runner-up");
}

/// What BPF would have told of these kills, put before their lines.
fn with_bpf(events: Vec<Event>, oom_group: bool) -> Vec<Fact> {
    let (mut facts, mut call, mut group) = (Vec::new(), 0, false);
    for event in events {
        let time_ns = event.time_ns.unwrap_or(0);
        match &event.what {
            What::Invoked(_) => group = false,
            What::GroupKill { .. } => group = true,
            What::Killed(killed) => {
                if !group {
                    call += 1;
                    facts.push(Fact::Call(Box::new(Call { call, time_ns, ..Call::default() })));
                }
                let task = Task { pid: killed.pid, tid: killed.pid, oom_group, ..Task::default() };
                let exit = Exit { time_ns, pid: killed.pid, start_ns: 0 };
                facts.push(Fact::Victim(Box::new(Victim {
                    call,
                    time_ns,
                    shares_mm: false,
                    killed_ns: Some(time_ns),
                    task,
                    cgroup: None,
                })));
                facts.push(Fact::Exit(exit));
            }
            What::Report(_)
            | What::Reaped { .. }
            | What::NotReaped { .. }
            | What::Exiting { .. }
            | What::Sharing { .. }
            | What::Suppressed { .. }
            | What::Gap { .. } => {}
        }
        facts.push(Fact::Log(event));
    }
    facts
}

#[test]
fn joined_with_bpf_the_logs_say_the_same() {
    for Sample { name, events, .. } in samples() {
        let alone = run(Level::Log, events.iter().cloned().map(Fact::Log).collect());
        let joined = run(Level::Tracepoint, with_bpf(events, name.ends_with("-group")));
        let essence = |incidents: &[Incident]| {
            let kills = incidents.iter().filter(|incident| !incident.victims.is_empty());
            let mut essence: Vec<_> = kills
                .map(|i| {
                    let mut pids: Vec<u32> = i.victims.iter().map(|victim| victim.tid).collect();
                    pids.sort_unstable();
                    (pids, i.scope.clone(), i.decision.clone(), i.candidates.clone(), i.total_pages)
                })
                .collect();
            essence.sort_by(|a, b| a.0.cmp(&b.0));
            essence
        };
        assert_eq!(essence(&alone), essence(&joined), "{name}");
        assert!(joined.iter().all(|i| i.victims.is_empty() || i.recovery_ns.is_some()), "{name}");
    }
}
