//! The picture: how memory grew, what was reclaimed, the kill, the exit, memory that is back.
//!
//! Two scales beside each other: seconds to minutes before the kernel entered its OOM path, milliseconds after it. Along, all
//! places are per cent of the width, so that letters keep their size on any screen; nothing here needs a script.
//!
//! # Layout
//! - this file: the drawing.
//! - `before`, `after`: where everything is.

mod after;
mod before;

use super::parts::{self, unknown};
use crate::incident::model::{Incident, limited};
use crate::sink::units;
use after::After;
use before::Before;
use maud::{Markup, html};

/// Where the time before ends, and where the time after begins, in per cent of the width.
const BEFORE: f64 = 62.0;
const AFTER: f64 = 66.0;
const END: f64 = 98.0;
/// Rows of the picture, in pixels.
const TOP: f64 = 22.0;
const BOTTOM: f64 = 152.0;
const LANE: f64 = 164.0;
const AXIS: f64 = 194.0;

/// Nothing where nothing is known of the time before and after: a log.
pub(super) fn section(incident: &Incident) -> Markup {
    let (before, after) = (Before::of(incident), After::of(incident));
    if before.is_none() && after.is_none() {
        return html! {};
    }
    let limit = limited(incident.limits.memory_bytes);
    let most = before.iter().flat_map(|it| &it.samples).map(|(_, bytes)| *bytes).max();
    let top = most.max(limit).max(incident.limits.usage_bytes).unwrap_or(0);
    // A little air above the limit.
    let scale = Scale { top: top.saturating_add(top / 12) };
    html! {
        section.timeline aria-labelledby="timeline" {
            h2 #timeline { "What happened" }
            figure {
                svg.time role="img" aria-labelledby="timeline-title timeline-text" width="100%" height="200" {
                    title #timeline-title { "From growth to reclaim, kill and exit" }
                    desc #timeline-text { (told(before.as_ref(), after.as_ref())) }
                    @if let Some(limit) = limit.filter(|_| scale.top > 0) { (level(scale.y(limit), limit)) }
                    @match &before { Some(before) => (draw_before(before, &scale)), None => (absent("0%", "the time before was not seen")) }
                    text.axis.middle x=(percent(f64::midpoint(BEFORE, AFTER))) y=(AXIS) { "OOM" }
                    line.now x1=(percent(BEFORE)) x2=(percent(BEFORE)) y1=(TOP - 14.0) y2=(AXIS - 12.0) {}
                    line.now x1=(percent(AFTER)) x2=(percent(AFTER)) y1=(TOP - 14.0) y2=(AXIS - 12.0) {}
                    @match &after { Some(after) => (draw_after(after, &scale)), None => (absent(&percent(AFTER + 1.0), "not seen")) }
                }
                figcaption { (legend(before.as_ref(), after.as_ref())) }
            }
        }
    }
}

/// From bytes to pixels.
struct Scale {
    top: u64,
}

impl Scale {
    fn y(&self, bytes: u64) -> f64 {
        let share = parts::share(bytes, self.top) as f64 / 1000.0;
        BOTTOM - (BOTTOM - TOP) * share
    }
}

fn percent(at: f64) -> String {
    format!("{at:.2}%")
}

/// A time after the entry into the OOM path.
fn later(ns: u64) -> String {
    if ns == 0 { "0".to_owned() } else { format!("+{}", units::nanoseconds(ns)) }
}

fn level(y: f64, limit: u64) -> Markup {
    html! {
        line.limit x1="0%" x2=(percent(END)) y1=(y) y2=(y) {}
        text.limit x="0" y=(y - 5.0) { "limit " (units::bytes(limit)) }
    }
}

fn absent(x: &str, text: &str) -> Markup {
    html! { text.unknown x=(x) y=(f64::midpoint(TOP, BOTTOM)) { (text) } }
}

fn draw_before(before: &Before, scale: &Scale) -> Markup {
    let along = |seconds: f64| (1.0 - seconds / before.seconds).clamp(0.0, 1.0);
    let points: Vec<String> = before
        .samples
        .iter()
        .map(|(seconds, bytes)| format!("{:.1},{:.1}", along(*seconds) * 1000.0, scale.y(*bytes) - TOP))
        .collect();
    let first = before.samples.first().map_or(0.0, |(seconds, _)| along(*seconds) * 1000.0);
    let last = before.samples.last().map_or(0.0, |(seconds, _)| along(*seconds) * 1000.0);
    let height = BOTTOM - TOP;
    html! {
        svg x="0" y=(TOP) width=(percent(BEFORE)) height=(height) viewBox={ "0 0 1000 " (height) } preserveAspectRatio="none" {
            @if points.len() > 1 {
                polygon.area points={ (points.join(" ")) " " (format!("{last:.1},{height} {first:.1},{height}")) } {}
                polyline.curve points=(points.join(" ")) {}
            }
        }
        @if points.is_empty() { text.unknown x="0" y=(f64::midpoint(TOP, BOTTOM)) { "growth was not sampled" } }
        @for (seconds, bytes) in &before.samples {
            circle.sample cx=(percent(along(*seconds) * BEFORE)) cy=(format!("{:.1}", scale.y(*bytes))) r="2.5" {
                title { (units::bytes(*bytes)) ", " (before::ago(*seconds)) }
            }
        }
        @for window in &before.reclaim {
            rect class={ "reclaim r" (window.strength) } x=(percent(along(window.from) * BEFORE)) y=(LANE) height="12"
                width=(percent((along(window.to) - along(window.from)) * BEFORE)) {
                title { (window.said) }
            }
        }
        line.axis x1="0%" x2=(percent(BEFORE)) y1=(LANE + 12.0) y2=(LANE + 12.0) {}
        text.axis x="0" y=(AXIS) { (before::ago(before.seconds)) }
    }
}

fn draw_after(after: &After, scale: &Scale) -> Markup {
    let along = |ns: u64| AFTER + (END - AFTER) * (ns as f64 / after.ns as f64).clamp(0.0, 1.0);
    let at = |ns: u64| percent(along(ns));
    html! {
        @if let Some(usage) = after.usage {
            @let (kept, y) = (after.falls.map_or(after.ns, |(from, ..)| from), scale.y(usage));
            line.curve x1=(percent(AFTER)) x2=(at(kept)) y1=(y) y2=(y) {}
            @if let Some((from, to, left)) = after.falls {
                line.curve.guess x1=(at(from)) y1=(y) x2=(at(to)) y2=(scale.y(left)) {}
                line.curve x1=(at(to)) x2=(percent(END)) y1=(scale.y(left)) y2=(scale.y(left)) {}
                text.left.end x=(percent(END)) y=(scale.y(left) - 6.0) { (units::bytes(left)) }
            }
        }
        @if let Some(path) = after.path_ns {
            rect.path x=(percent(AFTER)) y=(LANE) height="12" width=(percent(along(path) - AFTER)) {
                title { (units::nanoseconds(path)) " in the OOM path" }
            }
        }
        @for (index, event) in after.events.iter().enumerate() {
            @let (y, x) = (TOP + 18.0 + 22.0 * index as f64, at(event.ns));
            line class={ "event " (event.class) } x1=(x) x2=(x) y1=(TOP - 8.0) y2=(LANE + 12.0) {}
            circle class={ "event " (event.class) } cx=(x) cy=(y) r="8" {}
            text.number x=(x) y=(y + 3.8) { (index + 1) }
        }
        line.axis x1=(percent(AFTER)) x2=(percent(END)) y1=(LANE + 12.0) y2=(LANE + 12.0) {}
        text.axis.end x=(percent(END)) y=(AXIS) { (later(after.ns)) }
    }
}

/// What the numbers stand for, and what was not seen.
fn legend(before: Option<&Before>, after: Option<&After>) -> Markup {
    html! {
        @if let Some(before) = before {
            ul.key {
                @if before.samples.len() > 1 { li { span.swatch.mem {} "memory in use" } }
                @for window in &before.reclaim { li { span class={ "swatch reclaim r" (window.strength) } {} (window.said) } }
            }
        }
        @if let Some(after) = after {
            ol.events {
                @for event in &after.events { li { span.at { (later(event.ns)) } " " (event.what) } }
            }
            @for what in &after.unseen { p.faint { (what) ": " (unknown()) } }
        }
    }
}

/// The picture in words.
fn told(before: Option<&Before>, after: Option<&After>) -> String {
    let mut text = Vec::new();
    if let Some(before) = before {
        if let [(seconds, first), .., (_, last)] = before.samples[..] {
            let (first, last) = (units::bytes(first), units::bytes(last));
            text.push(format!("Memory in use: {first} {}, {last} at the end.", before::ago(seconds)));
        } else {
            text.push("Growth was not sampled.".to_owned());
        }
        text.extend(before.reclaim.iter().map(|window| format!("{}.", window.said)));
    }
    if let Some(after) = after {
        let events =
            after.events.iter().map(|event| format!("{} after {}", event.what, units::nanoseconds(event.ns)));
        text.push(format!("{}.", events.collect::<Vec<_>>().join(", ")));
    }
    text.join(" ")
}
