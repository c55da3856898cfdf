//! Which level of the hierarchy was full, and who filled it.

use super::parts::{bar, bytes, share, unknown};
use crate::incident::identity::Identity;
use crate::incident::model::{Incident, NO_LIMIT, ScopeKind, limited};
use crate::incident::state::{CgroupState, State};
use crate::sink::terminal::whose;
use crate::sink::{path, units};
use maud::{Markup, html};

/// Levels that are indented.
const DEPTH: usize = 6;

/// Nothing where there is nothing to show.
pub(super) fn section(incident: &Incident) -> Markup {
    let Some(state) = &incident.state else { return html! {} };
    if state.cgroups.is_empty() && state.children.is_empty() {
        return html! {};
    }
    let memcg = incident.scope.kind == Some(ScopeKind::Memcg);
    html! {
        section aria-labelledby="hierarchy" {
            h2 #hierarchy { @if memcg { "Which level was full" } @else { "Who used the memory" } }
            @if memcg { (levels(state)) } @else { (children(state, None)) }
        }
    }
}

/// From the root down to the full one, and its children.
fn levels(state: &State) -> Markup {
    let full = state.cgroups.first();
    html! {
        ol.levels {
            @for (depth, level) in state.cgroups.iter().rev().enumerate() {
                (row(level, depth, full.is_some_and(|full| std::ptr::eq(full, level))))
            }
        }
        @if !state.children.is_empty() {
            h3 { "Filled by" }
            (children(state, full))
        }
    }
}

fn row(level: &CgroupState, depth: usize, full: bool) -> Markup {
    let depth = format!("d{}", depth.min(DEPTH));
    let max = limited(level.max_bytes);
    let root = level.cgroup == "/";
    html! {
        li class=(depth) {
            div.level.full[full] {
                span.name {
                    @if root { "root" } @else { code.path title=(path::shown(&level.cgroup)) { (name(level)) } }
                    @if full { " " span.badge.mark-alarm { "full" } }
                    @if level.oom_group == Some(true) { " " span.badge { "memory.oom.group" } }
                }
                @if !root {
                    span.of {
                        (bytes(level.usage_bytes)) " of "
                        @match level.max_bytes { Some(NO_LIMIT..) => "no limit", max => (bytes(max)) }
                        @if let Some(swap @ 1..) = level.swap_usage_bytes { ", swap " (units::bytes(swap)) }
                    }
                    @if let (Some(usage), Some(max)) = (level.usage_bytes, max) {
                        (bar(&[(share(usage, max), if full { "full" } else { "mem" })], &format!("{} per cent", share(usage, max) / 10)))
                    }
                }
            }
        }
    }
}

/// A container or a pod by its name, else the end of the path.
fn name(level: &CgroupState) -> String {
    let named = whose::cell(&level.identity, &Identity::default());
    named.unwrap_or_else(|| path::shorten(path::leaf(&path::shown(&level.cgroup)), 60))
}

/// The largest below the full one.
fn children(state: &State, full: Option<&CgroupState>) -> Markup {
    let total = full.and_then(|full| full.usage_bytes);
    let largest = state.children.iter().filter_map(|child| child.usage_bytes).max().unwrap_or(0);
    let scale = total.unwrap_or(largest);
    let more = state.children_total.map(|all| all.saturating_sub(state.children.len() as u64));
    html! {
        ol.levels.children {
            @for child in &state.children {
                li {
                    div.level {
                        span.name { code.path title=(path::shown(&child.cgroup)) { (name(child)) } }
                        span.of {
                            (bytes(child.usage_bytes))
                            @if let Some(max) = limited(child.max_bytes) { " of its own " (units::bytes(max)) }
                            @if let Some(swap @ 1..) = child.swap_usage_bytes { ", swap " (units::bytes(swap)) }
                        }
                        @match child.usage_bytes {
                            Some(usage) => (bar(&[(share(usage, scale), "mem")], &format!("{} per cent", share(usage, scale) / 10))),
                            None => (bar(&[], "unknown")),
                        }
                    }
                }
            }
        }
        @match more {
            Some(0) => {},
            Some(more) => p.faint { "and " (units::count(more)) " smaller ones" },
            None => p.faint { "How many more there are is " (unknown()) "." },
        }
    }
}
