//! What the memory in scope was used for, against the limit.

use super::parts::{bar, share, unknown};
use crate::incident::model::{Incident, limited};
use crate::sink::terminal::memory::{self, Breakdown};
use crate::sink::units;
use maud::{Markup, html};

/// Parts with a colour of their own. The others are one.
const COLOURS: usize = 7;

/// Nothing where no break-down was seen: `missing` says so.
pub(super) fn section(incident: &Incident) -> Markup {
    let Breakdown { machine, whole, counters, parts } = Breakdown::of(incident);
    if counters.is_empty() {
        return html! {
            section aria-labelledby="memory" {
                h2 #memory { "Memory" }
                p { "What the memory in scope was used for is " (unknown()) "." }
            }
        };
    }
    let sum: u64 = counters.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let limit = limited(incident.limits.memory_bytes).filter(|_| !machine);
    let scale = limit.or(whole).unwrap_or(0).max(sum);
    let named = |at: usize| if at < COLOURS { format!("c{at}") } else { "c7".to_owned() };
    let classes: Vec<String> = (0..counters.len()).map(named).collect();
    let drawn: Vec<(u64, &str)> = counters
        .iter()
        .zip(&classes)
        .map(|((_, bytes), class)| (share(*bytes, scale), class.as_str()))
        .collect();
    let of = match (machine, limit, whole) {
        (false, Some(limit), _) => format!("of the limit of {}", units::bytes(limit)),
        (true, _, Some(whole)) => format!("of {} that the machine can use", units::bytes(whole)),
        (false, None, Some(whole)) => format!("of {} in use; the limit is not known", units::bytes(whole)),
        (_, _, None) => format!("of {} that are accounted for", units::bytes(sum)),
    };
    html! {
        section aria-labelledby="memory" {
            h2 #memory { "Memory" }
            p { "What it was used for, " (of) "." }
            div.stack { (bar(&drawn, &format!("{of}, listed below"))) }
            ul.legend {
                @for ((name, bytes), class) in counters.iter().zip(&classes) {
                    li { span class={ "swatch " (class) } {} code { (name) } " " (units::bytes(*bytes)) span.faint { (memory::share(*bytes, whole)) } }
                }
                @if let Some(rest) = limit.or(whole).and_then(|all| all.checked_sub(sum)).filter(|rest| *rest > 0) {
                    li { span.swatch.rest {} "not in these " (units::bytes(rest)) }
                }
            }
            @if !parts.is_empty() {
                p.faint { "In these: " @for (at, (name, bytes)) in parts.iter().enumerate() {
                    @if at > 0 { ", " } code { (name) } " " (units::bytes(*bytes))
                } }
            }
        }
    }
}
