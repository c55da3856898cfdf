//! The page allocator's zones, where the kernel's report has them.

use super::parts::{bytes, cell};
use crate::incident::model::Incident;
use crate::incident::verdict::request::{Request, Standing};
use crate::sink::{escape, terminal::zones, units};
use maud::{Markup, html};

/// So many are shown.
const MOST: usize = 32;

/// Nothing where there are none: a memory cgroup's report has no zones.
pub(super) fn section(incident: &Incident) -> Markup {
    if incident.zones.is_empty() {
        return html! {};
    }
    let request = Request::of(incident);
    let more = incident.zones.len().saturating_sub(MOST) as u64;
    html! {
        section aria-labelledby="zones" {
            h2 #zones { "Zones" }
            div.scroll tabindex="0" role="region" aria-labelledby="zones" {
                table {
                    caption { "What the allocation found" }
                    thead { tr {
                        th scope="col" { "Zone" }
                        @for title in ["free", "min", "low", "high", "managed", "largest block"] { th.num scope="col" { (title) } }
                        th scope="col" { "State" }
                    } }
                    tbody { @for zone in incident.zones.iter().take(MOST) {
                        @let standing = request.standing(zone);
                        tr.faint[standing == Standing::OutOfReach] {
                            th scope="row" { "node " (zone.node) " " (escape::escape(&zone.name)) }
                            @for it in [zone.free_bytes, zone.min_bytes, zone.low_bytes, zone.high_bytes, zone.managed_bytes] { td.num { (bytes(it)) } }
                            td.num { (bytes(zone.largest_free_block(request.page_size))) }
                            td { (cell(zones::state(standing))) }
                        }
                    } }
                }
            }
            @if more > 0 { p.faint { "and " (units::plural(more, "more zone", "more zones")) } }
        }
    }
}
