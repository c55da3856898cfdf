//! The decision in words.

use super::Page;
use super::words::{self, who};
use crate::incident::model::{Decision, ExemptReason, Incident, Role, Rule};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::units;

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut prose = Prose::new();
    match &incident.decision {
        None => {
            prose.say(Tone::Plain, "? (the decision was not seen)");
        }
        Some(decision) => {
            match decision.rule {
                Rule::HighestPoints => most_points(&mut prose, incident, decision),
                Rule::Sysrq => {
                    prose.say(Tone::Plain, "An operator asked for a kill. ");
                    most_points(&mut prose, incident, decision);
                }
                Rule::AllocatingTask => {
                    let why = "vm.oom_kill_allocating_task is set: the kernel killed whoever had asked and compared nobody.";
                    prose.say(Tone::Plain, why);
                }
                Rule::AlreadyDying => {
                    prose.say(Tone::Plain, "It was exiting or killed before, so the kernel let it finish rather than kill another.");
                }
                Rule::NoneKillable => none_killable(&mut prose, incident),
                Rule::Panic => {
                    prose.say(Tone::Plain, "vm.panic_on_oom is set, or there was nothing left to kill.");
                }
            }
        }
    }
    company(&mut prose, incident);
    let mut lines = prose.wrap(page.prose());
    if let Some(total) = incident.total_pages
        && incident.candidates.iter().any(|candidate| candidate.oom_score_adj.is_some_and(|adj| adj != 0))
    {
        let one = units::plural(total / 1000, "point", "points");
        let mut scale = Prose::new();
        scale.say(
            Tone::Plain,
            &format!("1 of oom_score_adj is {one} here (totalpages {}).", units::count(total)),
        );
        lines.extend(scale.wrap(page.prose()));
    }
    lines
}

fn most_points(prose: &mut Prose, incident: &Incident, decision: &Decision) {
    let points = decision.points.map_or("?".to_owned(), units::points);
    prose.say(Tone::Plain, &format!("Most points: {points}"));
    let next = decision
        .runner_up_pid
        .and_then(|pid| incident.candidates.iter().find(|candidate| candidate.pid == pid));
    let Some(next) = next else {
        let complete = incident.candidates_lost == Some(0)
            && incident.candidates_evaluated == Some(incident.candidates.len() as u64)
            && incident.candidates.iter().filter(|candidate| candidate.eligible).count() == 1;
        prose.say(
            Tone::Plain,
            if complete {
                ". It was the only one that could be killed."
            } else {
                ". The next one was not seen."
            },
        );
        return;
    };
    let name = who(&next.comm, next.pid);
    prose.say(Tone::Plain, "; next ");
    prose.atom(Tone::Plain, &name);
    prose.say(Tone::Plain, &format!(" with {}", next.points.map_or("?".to_owned(), units::points)));
    match decision.margin_points {
        Some(0) => prose.say(Tone::Plain, ", the same: the last one scanned wins."),
        Some(margin) => prose.say(Tone::Plain, &format!(", {} fewer.", units::points(margin))),
        None => prose.say(Tone::Plain, "."),
    };
    if incident.candidates_lost.is_some_and(|lost| lost > 0) {
        prose.say(Tone::Plain, " (Among those that were seen.)");
    }
    let own =
        incident.candidates.iter().find(|it| Some(it.pid) == decision.pid).and_then(|it| it.oom_score_adj);
    let own = own.or_else(|| words::main_victim(incident).and_then(|victim| victim.oom_score_adj));
    match decision.adj_to_spare {
        Some(adj) if adj > -1000 => {
            prose.say(Tone::Plain, &format!(" With an oom_score_adj of {adj} or less"));
            if let Some(own) = own {
                prose.say(Tone::Plain, &format!(" (it had {own})"));
            }
            prose.say(Tone::Plain, " it would have been spared and ");
            prose.atom(Tone::Plain, &name);
            prose.say(Tone::Plain, " killed.");
        }
        Some(_) => {
            prose.say(Tone::Plain, " Only an oom_score_adj of -1000 would have spared it.");
        }
        None => {
            prose.say(Tone::Plain, " Which oom_score_adj would have spared it is not known.");
        }
    }
}

fn none_killable(prose: &mut Prose, incident: &Incident) {
    let exempt = incident.candidates.iter().filter(|candidate| !candidate.eligible).count();
    let protected = incident
        .candidates
        .iter()
        .filter(|candidate| candidate.exempt_reason == Some(ExemptReason::AdjMin))
        .count();
    match (incident.candidates_evaluated, exempt) {
        (Some(0), _) => prose
            .say(Tone::Plain, "There was no process in it to kill: its memory belongs to no process there."),
        (_, 0) => prose.say(Tone::Plain, "No process in it may be killed."),
        (_, exempt) => prose.say(
            Tone::Plain,
            &format!(
                "None of the {} in it may be killed.",
                units::plural(exempt as u64, "process", "processes")
            ),
        ),
    };
    if protected > 0 {
        let number = units::count(protected as u64);
        prose.say(
            Tone::Plain,
            &format!(" {number} at oom_score_adj -1000: any higher value makes it killable."),
        );
    }
}

/// Why the others died, and which thread was meant.
fn company(prose: &mut Prose, incident: &Incident) {
    let of = |role: Role| incident.victims.iter().filter(|victim| victim.role == role).count() as u64;
    if let group @ 1.. = of(Role::Group) {
        let text = format!(" memory.oom.group is set: {} more died with it.", units::count(group));
        prose.say(Tone::Plain, &text);
    }
    match of(Role::SharedMemory) {
        0 => {}
        1 => {
            prose.say(Tone::Plain, " One more shares its memory and had to die too.");
        }
        more => {
            prose.say(
                Tone::Plain,
                &format!(" {} more share its memory and had to die too.", units::count(more)),
            );
        }
    }
    if let Some(victim) = words::main_victim(incident)
        && victim.tid != victim.pid
    {
        prose.say(Tone::Plain, &format!(" The kernel marked its thread {}, not the main one.", victim.tid));
    }
}
