//! The page allocator's zones.

use super::Page;
use super::style::Show;
use crate::incident::machine::Zone;
use crate::incident::model::Incident;
use crate::incident::verdict::request::{Request, Standing};
use crate::sink::table::{Column, Fit, Table};
use crate::sink::text::{Line, Tone};
use crate::sink::{escape, units};

/// So many zones are shown.
const SHOWN: usize = 12;

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    if incident.zones.is_empty() {
        return Vec::new();
    }
    let request = Request::of(incident);
    let mut zones: Vec<(&Zone, Standing)> =
        incident.zones.iter().map(|zone| (zone, request.standing(zone))).collect();
    let most = if page.candidates == Show::All { usize::MAX } else { SHOWN };
    if zones.len() > most {
        // Those that might have been used first.
        zones.sort_by_key(|(_, standing)| *standing == Standing::OutOfReach);
    }
    let mut table = Table::new(vec![
        Column::right("NODE"),
        Column::left("ZONE").fit(Fit::Cut(7)),
        Column::right("FREE"),
        Column::right("MIN"),
        Column::right("LOW").rank(3),
        Column::right("HIGH").rank(2),
        Column::right("MANAGED").rank(1),
        Column::right("LARGEST").rank(1),
        Column::left("STATE").fit(Fit::Cut(9)),
    ]);
    for (zone, standing) in zones.iter().take(most) {
        let tone = if *standing == Standing::OutOfReach { Tone::Faint } else { Tone::Plain };
        table.row(
            tone,
            vec![
                zone.node.to_string(),
                escape::escape(&zone.name).into_owned(),
                units::maybe_bytes(zone.free_bytes),
                units::maybe_bytes(zone.min_bytes),
                units::maybe_bytes(zone.low_bytes),
                units::maybe_bytes(zone.high_bytes),
                units::maybe_bytes(zone.managed_bytes),
                units::maybe_bytes(zone.largest_free_block(request.page_size)),
                state(*standing).to_owned(),
            ],
        );
    }
    let mut lines = table.lines(page.room());
    if let more @ 1.. = zones.len().saturating_sub(most) as u64 {
        let text = format!("and {}", units::plural(more, "more zone", "more zones"));
        lines.push(Line::new(Tone::Plain, text));
    }
    lines
}

/// What the allocation could have had of it.
pub(crate) fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::OutOfReach => "not for it",
        Standing::BelowMin => "below min",
        Standing::BelowReserve => "kept back",
        Standing::NoBlock => "no block",
        Standing::BelowHigh => "below high",
        Standing::AboutHigh | Standing::Enough => "free",
        Standing::Unknown => units::UNKNOWN,
    }
}
