//! What was measured, as Markdown, and whether the bars hold.

use oom_tests::bench::measured::{Costs, Peers, Score};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

const AGENT: &str = "oom-agent";
const LIBBPF: &str = "libbpf-tools oomkill";
const BPFTRACE: &str = "bpftrace oomkill.bt";
const MIB: f64 = 1024.0;
/// Kills after which memory must be as before.
const STORM: usize = 10_000;
const GROWTH_KIB: u64 = 1024;

/// With sizes on disk, in bytes.
#[derive(Debug, Serialize)]
pub(super) struct Sized {
    pub(super) measured: Peers,
    pub(super) sizes: BTreeMap<String, u64>,
}

/// The tables of one kernel.
pub(super) fn of(sized: &Sized) -> String {
    let Sized { measured: Peers { kernel, tools, scenarios }, sizes } = sized;
    let mut text = format!("\n### Linux {kernel}\n\n");
    row(&mut text, "victims told, of those who really died", tools.iter().map(|costs| costs.tool.clone()));
    rule(&mut text, tools.len());
    for outcome in scenarios {
        let title = format!("{}: {}", outcome.scenario, outcome.truth.len());
        let cell = |costs: &Costs| outcome.tools.get(&costs.tool).map_or_else(|| "-".to_owned(), cell);
        row(&mut text, &title, tools.iter().map(cell));
    }
    text.push('\n');
    row(&mut text, "cost", tools.iter().map(|costs| costs.tool.clone()));
    rule(&mut text, tools.len());
    let mut line = |title: &str, value: &dyn Fn(&Costs) -> Option<String>| {
        let value = |costs: &Costs| {
            let value = if costs.error.is_some() { None } else { value(costs) };
            value.unwrap_or_else(|| "-".to_owned())
        };
        row(&mut text, title, tools.iter().map(value));
    };
    let spread = |[median, most]: [f64; 2]| format!("{:.2} ({:.2})", median / 1000.0, most / 1000.0);
    line("start to ready, cold (warm), s", &|it| {
        Some(format!("{:.2} ({:.2})", it.cold_ms / 1000.0, it.warm_ms / 1000.0))
    });
    line("decision to line, median (most), ms", &|it| it.to_line_us.map(spread));
    line("of which until the memory is back, ms", &|it| {
        it.wait_us.filter(|_| it.tool == AGENT).map(|us| format!("{:.2}", us / 1000.0))
    });
    line("from there to the line, ms", &|it| it.after_wait_us.filter(|_| it.tool == AGENT).map(spread));
    line("resident once attached, MiB", &|it| Some(format!("{:.1}", it.attached_kib? as f64 / MIB)));
    line("resident after 230 kills, MiB", &|it| Some(format!("{:.1}", it.end_kib as f64 / MIB)));
    line("peak, MiB", &|it| Some(format!("{:.1}", it.peak_kib as f64 / MIB)));
    line("processor while idle, ms a minute", &|it| Some(format!("{:.2}", it.idle_us_per_s * 0.06)));
    line("processor for a kill, ms", &|it| Some(format!("{:.2}", it.us_per_kill / 1000.0)));
    line("on disk with all that it needs, MiB", &|it| {
        sizes.get(&it.tool).map(|bytes| format!("{:.1}", *bytes as f64 / MIB / MIB))
    });
    for costs in tools {
        if let Some(error) = &costs.error {
            let error: String = error.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(text, "\n{}: {error}", costs.tool);
        }
    }
    text.push('\n');
    for (bar, held) in bars(sized) {
        let _ = writeln!(text, "- {}: {bar}", if held { "held" } else { "NOT HELD" });
    }
    text
}

/// Whether all bars hold.
pub(super) fn held(sized: &Sized) -> bool {
    bars(sized).iter().all(|(_, held)| *held)
}

/// What has to hold, with the figures.
fn bars(sized: &Sized) -> Vec<(String, bool)> {
    let Peers { tools, scenarios, .. } = &sized.measured;
    let tool = |name: &str| tools.iter().find(|costs| costs.tool == name && costs.error.is_none());
    let mut bars = Vec::new();
    for outcome in scenarios {
        if let Some(error) = &outcome.error {
            bars.push((format!("{}: {error}", outcome.scenario), false));
        }
        if let Some(ours) = outcome.tools.get(AGENT) {
            let Score { found, false_ones, doubled, placed, .. } = ours;
            let all = outcome.truth.len();
            let held = *found == all && *placed == Some(all) && *false_ones == 0 && *doubled == 0;
            let title = &outcome.scenario;
            bars.push((format!("{title}: {found} of {all}, {false_ones} false, {doubled} doubled"), held));
            // What the first kills take is not growth: the agent that was measured alone has seen some.
            let warm = tool(AGENT).map(|costs| costs.end_kib);
            if let Some(warm) = warm.filter(|_| all >= STORM) {
                let grown = ours.resident_kib[1].saturating_sub(warm);
                bars.push((
                    format!(
                        "{title}: {grown} KiB more memory than after the first kills, {GROWTH_KIB} at most"
                    ),
                    grown <= GROWTH_KIB,
                ));
            }
        }
    }
    let Some(ours) = tool(AGENT) else {
        bars.push(("the agent runs".into(), false));
        return bars;
    };
    if let Some(libbpf) = tool(LIBBPF) {
        let text =
            format!("ready after {:.0} ms, twice libbpf-tools' {:.0} at most", ours.cold_ms, libbpf.cold_ms);
        bars.push((text, ours.cold_ms <= 2.0 * libbpf.cold_ms));
        let [mine, theirs] = [ours, libbpf].map(attached);
        let peak = libbpf.peak_kib as f64 / MIB;
        let text =
            format!("{mine:.1} MiB attached, libbpf-tools' {theirs:.1} (peak {peak:.1}) and 4 at most");
        bars.push((text, mine <= theirs + 4.0));
    }
    if let Some(bpftrace) = tool(BPFTRACE) {
        let [mine, theirs] = [ours, bpftrace].map(attached);
        let text = format!("{mine:.1} MiB attached, a tenth of bpftrace's {theirs:.1} at most");
        bars.push((text, mine <= theirs / 10.0));
    }
    let others = tools.iter().filter(|costs| costs.tool != AGENT).filter_map(|costs| costs.to_line_us);
    let fastest = others.map(|[median, _]| median / 1000.0).min_by(f64::total_cmp);
    if let (Some(fastest), Some([median, _])) = (fastest, ours.after_wait_us) {
        let mine = median / 1000.0;
        let text =
            format!("line {mine:.2} ms after the wait, 3 ms behind the fastest peer's {fastest:.2} at most");
        bars.push((text, mine <= fastest + 3.0));
    }
    bars
}

/// MiB. What is not known holds no bar.
fn attached(costs: &Costs) -> f64 {
    costs.attached_kib.map_or(f64::NAN, |kib| kib as f64 / MIB)
}

fn cell(score: &Score) -> String {
    let Score { found, false_ones, doubled, placed, counted, resident_kib: _ } = score;
    if let Some(counted) = counted {
        return format!("counts {counted}");
    }
    let mut text = found.to_string();
    for (count, name) in [(false_ones, "false"), (doubled, "doubled")] {
        if *count > 0 {
            let _ = write!(text, ", {count} {name}");
        }
    }
    match placed {
        Some(placed) if placed == found => {}
        Some(placed) => {
            let _ = write!(text, ", cgroup right of {placed}");
        }
        None if *found > 0 => text.push_str(", no cgroup"),
        None => {}
    }
    text
}

fn row(text: &mut String, title: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(text, "| {title} |");
    for cell in cells {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
}

fn rule(text: &mut String, columns: usize) {
    text.push_str("|---|");
    text.push_str(&"---:|".repeat(columns));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_what_is_wrong() {
        let score =
            Score { found: 4, false_ones: 0, doubled: 1, placed: None, counted: None, resident_kib: [0; 2] };
        assert_eq!(cell(&score), "4, 1 doubled, no cgroup");
        assert_eq!(cell(&Score { placed: Some(4), doubled: 0, ..score }), "4");
        let score = Score { found: 10, false_ones: 8, doubled: 0, placed: Some(9), counted: None, ..score };
        assert_eq!(cell(&score), "10, 8 false, cgroup right of 9");
        assert_eq!(cell(&Score { counted: Some(5), ..score }), "counts 5");
    }
}
