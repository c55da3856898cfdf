//! The decision in words.

use super::Page;
use super::words::{self, who};
use crate::incident::model::{Candidate, Decision, ExemptReason, Incident, Role, Rule, Victim};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::units;

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let mut prose = Prose::new();
    match &incident.decision {
        None => {
            prose.say(Tone::Plain, "? (the decision was not seen)");
        }
        Some(decision) => match decision.rule {
            Rule::HighestPoints => most_points(&mut prose, incident, decision),
            Rule::Sysrq => {
                prose.say(Tone::Plain, "An operator asked for a kill. ");
                most_points(&mut prose, incident, decision);
            }
            Rule::AllocatingTask => {
                prose.say(
                    Tone::Plain,
                    "vm.oom_kill_allocating_task is set: the kernel killed whoever had asked ",
                );
                prose.say(Tone::Plain, "and compared nobody.");
            }
            Rule::AlreadyDying => {
                prose.say(Tone::Plain, "It was exiting or killed before, so the kernel let it finish ");
                prose.say(Tone::Plain, "rather than kill another.");
            }
            Rule::NoneKillable => none_killable(&mut prose, incident),
            Rule::Panic => {
                prose.say(Tone::Plain, "vm.panic_on_oom is set, or there was nothing left to kill.");
            }
        },
    }
    child(&mut prose, incident);
    company(&mut prose, incident);
    prose.wrap(page.prose())
}

fn most_points(prose: &mut Prose, incident: &Incident, decision: &Decision) {
    let points = decision.points.map_or("?".to_owned(), units::points);
    match stands_in(incident) {
        Some((chosen, _)) => {
            prose.atom(Tone::Plain, &chosen);
            prose.say(Tone::Plain, &format!(" had most points: {points}"))
        }
        None => prose.say(Tone::Plain, &format!("Most points: {points}")),
    };
    let next = decision.runner_up_pid.and_then(|pid| incident.candidates.iter().find(|it| it.pid == pid));
    let Some(next) = next else {
        let others = || incident.candidates.iter().filter(|it| it.eligible && Some(it.pid) != decision.pid);
        let died = |pid| incident.victims.iter().any(|victim| victim.pid == pid);
        let text = match (complete(incident), others().count()) {
            (true, 0) => ". It was the only one that could be killed.",
            (true, _) if others().all(|it| died(it.pid)) => ". The others that could be killed died with it.",
            (_, 1..) => ". Which one was next is not known.",
            (false, 0) => ". The next one was not seen.",
        };
        prose.say(Tone::Plain, text);
        return;
    };
    prose.say(Tone::Plain, "; next ");
    prose.atom(Tone::Plain, &who(&next.comm, next.pid));
    prose.say(Tone::Plain, &format!(" with {}", next.points.map_or("?".to_owned(), units::points)));
    match decision.margin_points {
        Some(0) => prose.say(Tone::Plain, ", the same: the order of the scan decides."),
        Some(margin @ ..0) => {
            prose.say(Tone::Plain, &format!(", {} more.", units::count(margin.unsigned_abs())))
        }
        Some(margin) => prose.say(Tone::Plain, &format!(", {} fewer.", units::points(margin))),
        None => prose.say(Tone::Plain, "."),
    };
    if stands_in(incident).is_some() {
        return;
    }
    if incident.candidates_lost.is_some_and(|lost| lost > 0) {
        prose.say(Tone::Plain, " One that was not seen may lie between them.");
    } else {
        spare(prose, incident, decision, next);
    }
    if let Some(total) = incident.total_pages {
        let one = units::plural(total / 1000, "point", "points");
        let text =
            format!(" A step of oom_score_adj counts {one} here (totalpages {}).", units::count(total));
        prose.say(Tone::Plain, &text);
    }
}

/// What `oom_score_adj` would have changed.
fn spare(prose: &mut Prose, incident: &Incident, decision: &Decision, next: &Candidate) {
    let name = who(&next.comm, next.pid);
    if incident.victims.iter().any(|victim| victim.pid == next.pid) {
        prose.say(Tone::Plain, " If ");
        prose.atom(Tone::Plain, &name);
        prose.say(Tone::Plain, " had been chosen, both would have died all the same.");
        return;
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

/// Every process that the kernel looked at was seen.
fn complete(incident: &Incident) -> bool {
    incident.candidates_lost.unwrap_or(0) == 0
        && incident.candidates_evaluated == Some(incident.candidates.len() as u64)
}

fn none_killable(prose: &mut Prose, incident: &Incident) {
    let protected =
        incident.candidates.iter().filter(|it| it.exempt_reason == Some(ExemptReason::AdjMin)).count() as u64;
    let text = match (incident.candidates_evaluated, incident.candidates.len() as u64) {
        (Some(0), _) => "No process is in it: what fills it belongs to none.".to_owned(),
        (_, 0) => "No process in it may be killed.".to_owned(),
        (_, seen) if !complete(incident) => {
            format!("No process in it may be killed; {} of them seen.", units::count(seen))
        }
        (_, 1) => "The only process in it may not be killed.".to_owned(),
        (_, seen) => format!("None of the {} processes in it may be killed.", units::count(seen)),
    };
    prose.say(Tone::Plain, &text);
    match protected {
        0 => {}
        1 => {
            prose.say(Tone::Plain, " One is at oom_score_adj -1000; any higher value makes it killable.");
        }
        more => {
            let more = units::count(more);
            let text = format!(" {more} are at oom_score_adj -1000; any higher value makes them killable.");
            prose.say(Tone::Plain, &text);
        }
    }
}

/// The chosen one, and who died for it. Whom the kernel chooses is killed by all but kernels up to 5.0.
fn stands_in(incident: &Incident) -> Option<(String, &Victim)> {
    let decision = incident.decision.as_ref()?;
    let (pid, comm) = (decision.pid?, decision.comm.as_deref()?);
    let victim = incident.victims.iter().find(|victim| victim.role == Role::Selected)?;
    (victim.pid != pid && victim.tid != pid).then(|| (who(comm, pid), victim))
}

fn child(prose: &mut Prose, incident: &Incident) {
    let Some((_, victim)) = stands_in(incident) else { return };
    prose.say(Tone::Plain, " Kernels up to 5.0 kill a child of the chosen process instead, if it has one: ");
    prose.atom(Tone::Plain, &who(&victim.comm, victim.pid));
    prose.say(Tone::Plain, " died for it.");
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
