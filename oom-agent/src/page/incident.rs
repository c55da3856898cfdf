//! One incident: what happened, what to do, then everything that is known.

use super::frame::{About, Part, document};
use super::parts::{self, bytes, encoded, known, span, unknown};
use super::{candidates, hierarchy, memory, ticket, timeline};
use crate::incident::diagnosis::{Code, Diagnosis};
use crate::incident::model::{Incident, ScopeKind};
use crate::incident::verdict::Confidence;
use crate::sink::terminal::{Sentences, diagnosis, headline, main_victim, resident, victims, whose, words};
use crate::sink::{escape, path, units};
use maud::{Markup, html};

/// Victims that are listed.
const VICTIMS: usize = 100;

/// The page.
pub fn page(about: &About, incident: &Incident) -> String {
    let Sentences { headline: what, facts, missing, evidence } = Sentences::of(incident);
    let main = html! {
        article.incident {
            header.what {
                p.kind {
                    strong { (headline::title(incident)) }
                    " " (parts::time(incident, headline::when(incident)))
                    @if let Some(node) = &incident.node { " " span.faint { "on " (escape::escape(node)) } }
                }
                h1 { @for it in &what { (parts::line(it)) } }
                (figures(incident))
            }
            div.columns {
                div {
                    (timeline::section(incident))
                    (diagnoses(incident))
                    (candidates::section(incident))
                    (died(incident))
                    (super::zones::section(incident))
                }
                div {
                    section aria-labelledby="facts" {
                        h2 #facts { "In words" }
                        dl.facts { @for (label, lines) in &facts { dt { (label) } dd { (parts::paragraphs(lines)) } } }
                    }
                    (memory::section(incident))
                    (hierarchy::section(incident))
                    section aria-labelledby="missing" {
                        h2 #missing { "Not seen" }
                        (parts::paragraphs(&missing))
                        p.evidence { "Evidence: " @for it in &evidence { (parts::line(it)) } }
                        p.evidence { (identity(incident)) }
                    }
                }
            }
            (take_away(incident))
        }
    };
    let title = match main_victim(incident) {
        Some(victim) => format!("{} killed", words::who(&victim.comm, victim.pid)),
        None => headline::title(incident).to_owned(),
    };
    document(about, Part::Other, &title, &main)
}

/// The numbers that are asked for first.
fn figures(incident: &Incident) -> Markup {
    let victim = main_victim(incident);
    let held = victim.and_then(|victim| resident(&victim.memory));
    let memcg = incident.scope.kind == Some(ScopeKind::Memcg);
    let recovery = incident.recovery.clone().unwrap_or_default();
    let back = recovery.given_back_bytes.or(incident.freed_bytes);
    let rate = incident.growth.as_ref().and_then(|growth| growth.bytes_per_second);
    html! {
        dl.figures {
            @if victim.is_some() { div { dt { "Victim held" } dd { (bytes(held)) } } }
            @if memcg {
                div { dt { "Limit" } dd { (known(incident.limits.memory_bytes.map(|limit| words::limit(Some(limit))))) } }
            } @else if let Some(total) = incident.state.as_ref().and_then(|state| state.machine.as_ref()?.total_bytes) {
                div { dt { "Machine" } dd { (units::bytes(total)) } }
            }
            div { dt { "Growth" } dd { (known(rate.map(|rate| format!("{}/s", units::bytes(rate.max(0.0) as u64))))) } }
            div { dt { "In OOM path" } dd { (span(incident.oom_path_ns)) } }
            @if victim.is_some() {
                div { dt { "Kill to exit" } dd { (span(incident.recovery_ns)) } }
                div { dt { "Given back" } dd { (bytes(back)) } }
            }
        }
    }
}

fn diagnoses(incident: &Incident) -> Markup {
    html! {
        section.diagnoses aria-labelledby="diagnosis" {
            h2 #diagnosis { "Diagnosis" }
            @if incident.diagnosis.is_empty() { p { (unknown()) } }
            ol.diagnoses { @for it in &incident.diagnosis { (one(incident, it)) } }
        }
    }
}

fn one(incident: &Incident, it: &Diagnosis) -> Markup {
    let (title, because) = diagnosis::parts(incident, it);
    let sure = match it.confidence {
        _ if it.code == Code::NotEnoughEvidence => "",
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    };
    // The badge says how sure it is.
    let title = title.trim_start_matches("Likely: ").trim_start_matches("Possibly: ");
    let mut letters = title.chars();
    let title: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    html! {
        li.diagnosis {
            h3 { (title) @if !sure.is_empty() { " " span class={ "badge " (sure) } { (sure) } } }
            @if let Some(because) = because { p { (because) "." } }
            p.advice { strong { "What helps: " } (escape::escape(&it.advice)) }
            (docs(&it.docs))
        }
    }
}

/// A link to the section that explains it.
fn docs(docs: &str) -> Markup {
    let section = docs
        .strip_prefix("docs/oom-killer.md#")
        .filter(|it| it.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
    html! {
        p.docs {
            @match section {
                Some(section) => a href={ "/docs/oom-killer#" (section) } { "How the kernel does it: " (section.replace('-', " ")) },
                None => (escape::escape(docs)),
            }
        }
    }
}

fn died(incident: &Incident) -> Markup {
    if incident.victims.is_empty() {
        return html! {};
    }
    let base = incident.scope.cgroup.as_deref().map(path::shown);
    let count = units::plural(incident.victims.len() as u64, "process", "processes");
    let columns = ["Victim", "Role", "anon", "file", "shmem", "swap", "tables", "adj", "Exit"];
    let parts_known = incident.victims.iter().any(|it| it.memory.anon_bytes.is_some());
    html! {
        section aria-labelledby="victims" {
            h2 #victims { "Victims" }
            div.scroll tabindex="0" role="region" aria-labelledby="victims" {
                table.victims {
                    caption { (count) " that died of it" }
                    thead { tr { @for (at, title) in columns.iter().enumerate() {
                        @if parts_known || !(2..5).contains(&at) { th.num[at > 1] scope="col" { (title) } }
                        @if at == 4 && !parts_known { th.num scope="col" { "rss" } }
                    } } }
                    tbody { @for victim in incident.victims.iter().take(VICTIMS) {
                        tr {
                            th scope="row" {
                                code { (words::who(&victim.comm, victim.pid)) }
                                @if victim.tid != victim.pid { " " span.faint { "thread " (victim.tid) } }
                                @if let Some(home) = victim.cgroup.as_deref().filter(|home| Some(*home) != incident.scope.cgroup.as_deref()) {
                                    br;
                                    @match whose::cell(&victim.identity, &incident.scope.identity) {
                                        Some(name) => (parts::named(&name, &path::shown(home))),
                                        None => (parts::short_path(&path::relative(&path::shown(home), base.as_deref()), 48)),
                                    }
                                }
                            }
                            td { (victims::role(victim.role)) }
                            @if parts_known {
                                @for it in [victim.memory.anon_bytes, victim.memory.file_bytes, victim.memory.shmem_bytes] { td.num { (bytes(it)) } }
                            } @else {
                                td.num { (bytes(resident(&victim.memory))) }
                            }
                            td.num { (bytes(victim.memory.swap_bytes)) }
                            td.num { (bytes(victim.memory.pgtables_bytes)) }
                            td.num { (known(victim.oom_score_adj.map(|adj| adj.to_string()))) }
                            td.num { @if victim.exit_after_ns.is_none() && victim.exited_boottime_ns.is_some() { "exited" } @else { (span(victim.exit_after_ns)) } }
                        }
                    } }
                }
            }
            @if let more @ 1.. = incident.victims.len().saturating_sub(VICTIMS) as u64 { p.faint { "and " (units::count(more)) " more: the JSON has all" } }
        }
    }
}

/// What identifies it.
fn identity(incident: &Incident) -> Markup {
    html! {
        "Incident " code { (escape::escape(&incident.id)) }
        @if let Some(kernel) = &incident.kernel_release { ", Linux " (escape::escape(kernel)) }
        @if let Some(boot) = &incident.boot_id { ", boot " code { (escape::escape(boot)) } }
        @if let Some(cgroup) = &incident.scope.cgroup { ", memory cgroup " (parts::whole_path(cgroup))
            @if let Some(id) = incident.scope.cgroup_id { " (id " (id) ")" }
        }
    }
}

/// For a ticket, a colleague, a machine.
fn take_away(incident: &Incident) -> Markup {
    let here = format!("/incidents/{}", encoded(&incident.id));
    html! {
        section.take aria-labelledby="take" {
            h2 #take { "Take it with you" }
            p.actions {
                a href=(here) { "Link to this incident" }
                " " button.script type="button" data-copy="link" hidden { "Copy the link" }
                " " button.script type="button" data-copy="ticket" hidden { "Copy as Markdown" }
                " " a href={ "/api/v1/incidents/" (encoded(&incident.id)) } { "JSON" }
                @if let Some(cgroup) = incident.scope.cgroup.as_deref().filter(|_| incident.scope.kind == Some(ScopeKind::Memcg)) {
                    " " a href={ "/rank?cgroup=" (encoded(cgroup)) } { "Who is next in this cgroup" }
                }
            }
            details {
                summary { "Markdown for a ticket" }
                label.vh for="ticket" { "Markdown of this incident, to be copied" }
                textarea #ticket readonly rows="14" spellcheck="false" { "\n" (ticket::markdown(incident)) }
            }
            @if let Some(log) = &incident.kernel_log {
                details {
                    summary { "The kernel's own text" }
                    pre.log tabindex="0" { (parts::text(log)) }
                }
            }
        }
    }
}
