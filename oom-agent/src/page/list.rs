//! The incidents, newest first.

use super::frame::{About, Part, document};
use super::parts::{self, bytes, encoded, known, unknown};
use crate::incident::diagnosis::Code;
use crate::incident::model::{Incident, Rule};
use crate::sink::terminal::{headline, main_victim, resident, words};
use crate::sink::{escape, path, units};
use maud::{Markup, html};
use std::fmt::Write as _;

/// Kills in one place that make it a loop.
const LOOP: u64 = 3;
/// Columns of a cgroup.
const PATH: usize = 44;

/// What is listed.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// What lists show of them, newest first.
    pub incidents: &'a [Incident],
    /// There are older ones that may match, before this id.
    pub next: Option<&'a str>,
    /// Rows that cannot be read.
    pub unreadable: u64,
    /// What was searched for. Empty: nothing.
    pub query: &'a str,
    /// The list begins before this id: it is not the newest part.
    pub before: Option<&'a str>,
}

/// The page.
pub fn page(about: &About, list: &List<'_>) -> String {
    let main = html! {
        h1 { "OOM incidents" }
        (search(list))
        div #incidents {
            (loops(list.incidents))
            @if list.incidents.is_empty() { (nothing(about, list)) } @else { (table(about, list)) }
            (pages(list))
        }
    };
    document(about, Part::Incidents, "OOM incidents", &main)
}

fn search(list: &List<'_>) -> Markup {
    html! {
        form.search role="search" method="get" action="/" {
            label for="q" { "Filter" }
            input #q type="search" name="q" value=(escape::escape(list.query)) autocomplete="off" spellcheck="false" maxlength="200"
                placeholder="victim, pod, cgroup, cause, id" aria-keyshortcuts="/";
            button { "Filter" }
        }
    }
}

/// How many there are of how many.
fn summary(about: &About, list: &List<'_>) -> String {
    let shown = units::plural(list.incidents.len() as u64, "incident", "incidents");
    let mut text = match (list.query.is_empty(), list.before, list.next.is_some()) {
        (true, None, false) => shown,
        (true, None, true) => format!("The last {shown}"),
        (true, Some(_), _) => format!("{shown}, earlier ones"),
        (false, None, false) => format!("{shown} that match"),
        (false, None, true) => format!("The last {shown} that match"),
        (false, Some(_), _) => format!("{shown} that match, earlier ones"),
    };
    if let Some(stored) =
        about.stored.filter(|_| list.next.is_some() || list.before.is_some() || !list.query.is_empty())
    {
        let _ = write!(text, ", of {} in the store", units::count(stored));
    }
    if list.unreadable > 0 {
        let damaged = units::plural(list.unreadable, "incident is", "incidents are");
        let _ = write!(text, "; {damaged} damaged in the store, and not listed");
    }
    text
}

fn table(about: &About, list: &List<'_>) -> Markup {
    let machine = list.incidents.first().and_then(|first| first.node.as_deref());
    let several = list.incidents.iter().any(|it| it.node.as_deref() != machine);
    html! {
        table.incidents role="table" {
            caption { (summary(about, list)) }
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "Time" }
                    th role="columnheader" scope="col" { "Victim" }
                    th.num role="columnheader" scope="col" { "Held" }
                    th role="columnheader" scope="col" { "Where it was full" }
                    th role="columnheader" scope="col" { "Scope" }
                    th role="columnheader" scope="col" { "Diagnosis" }
                }
            }
            tbody role="rowgroup" { @for incident in list.incidents { (row(incident, several)) } }
        }
    }
}

fn row(incident: &Incident, several: bool) -> Markup {
    let held = main_victim(incident).and_then(|victim| resident(&victim.memory));
    let none = nobody(incident);
    html! {
        tr role="row" class=[again(incident).map(|_| "again")] {
            td.when role="cell" {
                (parts::time(incident, headline::when(incident).map(|when| short(&when))))
                @if several { " " span.machine.faint { (known(incident.node.as_deref().map(|it| escape::escape(it).into_owned()))) } }
            }
            td.who role="cell" {
                a.row href={ "/incidents/" (encoded(&incident.id)) } { (victim(incident)) }
                @if let Some(number) = again(incident) { " " span.badge.again { (number) } }
            }
            td.held.num role="cell" { @if none { span.faint { "–" span.vh { "nothing was killed" } } } @else { (bytes(held)) } }
            td.where role="cell" { (parts::place(incident, PATH)) }
            td.scope role="cell" { (known(incident.scope.kind.map(|kind| words::scope(kind).to_owned()))) }
            td.why role="cell" { (diagnosis(incident)) }
        }
    }
}

/// A time without its fractions of a second.
fn short(when: &str) -> String {
    let Some((before, after)) = when.split_once('.') else { return when.to_owned() };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{rest}")
}

/// Nobody was killed, and that is known.
fn nobody(incident: &Incident) -> bool {
    incident.victims.is_empty()
        && matches!(
            incident.decision.as_ref().map(|it| it.rule),
            Some(Rule::NoneKillable | Rule::Panic | Rule::AlreadyDying)
        )
}

/// Who was killed, in little room. Names of processes are set as code: they are not words of ours.
pub(super) fn victim(incident: &Incident) -> Markup {
    let others = incident.victims.len().saturating_sub(1) as u64;
    html! {
        @if let Some(victim) = main_victim(incident) {
            code { (words::who(&victim.comm, victim.pid)) }
            @if others > 0 { " " span.badge { "+" (units::count(others)) span.vh { " more" } } }
        } @else if nobody(incident) {
            (headline::title(incident).trim_start_matches("OOM, "))
        } @else {
            "victim " (unknown())
        }
    }
}

/// Which kill it is where somebody is killed again and again.
fn again(incident: &Incident) -> Option<String> {
    let number = incident.recovery.as_ref()?.kill_number.filter(|number| *number >= LOOP)?;
    Some(format!("{} in a row", units::count(number)))
}

/// The first explanation. That one is killed again and again has a mark of its own.
fn diagnosis(incident: &Incident) -> Markup {
    let first = incident.diagnosis.first();
    html! {
        @match first {
            Some(first) if first.code == Code::NotEnoughEvidence => span.faint { (escape::escape(&first.title)) },
            Some(first) => (words::sure(first.confidence, &escape::escape(&first.title))),
            None => (unknown()),
        }
    }
}

/// Places in which something is killed again and again, the latest first.
fn loops(incidents: &[Incident]) -> Markup {
    let mut seen: Vec<(Option<&str>, String)> = Vec::new();
    let mut found: Vec<(&Incident, u64, String)> = Vec::new();
    for incident in incidents {
        let Some(recovery) = &incident.recovery else { continue };
        let Some(number) = recovery.kill_number.filter(|number| *number >= LOOP) else { continue };
        let cgroup = incident.scope.cgroup.as_deref();
        let cgroup = cgroup.or_else(|| main_victim(incident)?.cgroup.as_deref());
        let place = cgroup.map_or_else(String::new, |it| path::without_ids(&path::shown(it)));
        let key = (incident.node.as_deref(), place.clone());
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let seconds = recovery.kills_seconds.filter(|seconds| *seconds >= 0.0);
        let within = seconds.map(|it| format!(" in {}", units::nanoseconds((it * 1e9) as u64)));
        let text = format!("{} kills{}", units::count(number), within.unwrap_or_default());
        found.push((incident, number, text));
    }
    html! {
        @if !found.is_empty() {
            section.loops aria-labelledby="loops" {
                h2 #loops { "Again and again" }
                ul {
                    @for (incident, _, text) in found.iter().take(5) {
                        li {
                            a href={ "/incidents/" (encoded(&incident.id)) } { strong { (text) } ", last " (victim(incident)) }
                            " in " (parts::place(incident, PATH))
                        }
                    }
                }
                @if let more @ 1.. = found.len().saturating_sub(5) { p.faint { "and in " (units::plural(more as u64, "more place", "more places")) } }
            }
        }
    }
}

/// Why there is nothing.
fn nothing(about: &About, list: &List<'_>) -> Markup {
    html! {
        section.empty {
            @if !list.query.is_empty() {
                h2 { "Nothing matches" }
                p { @if list.next.is_some() { "So far no" } @else { "No" } " incident in the store has all of these words: " code { (escape::escape(list.query)) } ". " a href="/" { "Show all" } }
            } @else if list.before.is_some() {
                h2 { "Nothing earlier" }
                p { "That was the oldest one. " a href="/" { "Back to the newest" } }
            } @else {
                h2 { "No OOM incident so far" }
                p { "Nothing was killed for want of memory on this machine since the agent keeps its store. New ones appear here as they happen." }
                p { "To see one, fill a memory cgroup of your own:" }
                pre tabindex="0" { code { "systemd-run --wait -p MemoryMax=32M -p MemorySwapMax=0 \\\n  sh -c 'head -c 256M /dev/zero | tail'" } }
                p { "Who would be killed if memory ran out now: " a href="/rank" { "who is next" } "." }
            }
            @if list.unreadable > 0 { p { (summary(about, list)) } }
        }
    }
}

fn pages(list: &List<'_>) -> Markup {
    let query = if list.query.is_empty() { String::new() } else { format!("q={}", encoded(list.query)) };
    html! {
        @if list.before.is_some() || list.next.is_some() {
            nav.pages aria-label="Parts of the list" {
                @if list.before.is_some() { a href={ "/?" (query) } { "Newest" } }
                @if let Some(next) = list.next {
                    a rel="next" href={ "/?" (query) @if !query.is_empty() { "&" } "before=" (encoded(next)) } { "Earlier" }
                }
            }
        }
    }
}
