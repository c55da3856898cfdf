//! `cargo xtask bench --cost`: what the agent adds to the time inside `out_of_memory`, next to what the kernel's own task
//! dump adds, by number of candidates, in a VM of each kernel.

use super::in_vm;
use crate::{
    kernel::Wanted,
    process,
    vm::{Clock, Request},
};
use anyhow::{Context as _, Result};
use oom_tests::bench::measured::{Cost, Stats};
use std::{collections::BTreeMap, fmt::Write as _, fs, process::ExitCode, time::Duration};

const LIMIT: Duration = Duration::from_mins(20);
/// For 50,000 processes of a static program.
const MEMORY_MIB: u32 = 8192;
/// What the agent may add, as a part of what the kernel's own dump adds.
const BAR: f64 = 0.25;

/// What is measured, how a thousandth of it is called, and a thousandth of that.
struct Unit {
    whole: &'static str,
    micro: &'static str,
    nano: &'static str,
}

const TIME: Unit = Unit { whole: "milliseconds", micro: "µs", nano: "ns" };
const INSTRUCTIONS: Unit =
    Unit { whole: "millions of instructions", micro: "thousand instructions", nano: "instructions" };

/// Measures and prints; the status says whether the bars hold.
pub(super) fn main(kernels: &[Wanted], tasks: &[u32], clock: Clock) -> Result<ExitCode> {
    let unit = match clock {
        Clock::Host => &TIME,
        Clock::Instructions => &INSTRUCTIONS,
    };
    let mut text = String::new();
    let mut all = BTreeMap::new();
    let mut held = true;
    for kernel in kernels {
        let (release, measured) = measure(kernel, tasks, clock)?;
        let (table, good) = table(&release, &measured, unit);
        print!("{table}");
        text.push_str(&table);
        held &= good;
        all.insert(release, measured);
    }
    let directory = process::workspace().join("target/bench");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    for (name, content) in [("cost.md", text), ("cost.json", serde_json::to_string_pretty(&all)?)] {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(kernel: &Wanted, tasks: &[u32], clock: Clock) -> Result<(String, Vec<Cost>)> {
    let tasks: Vec<String> = tasks.iter().map(u32::to_string).collect();
    let command = ["oom-guest", "bench", "cost", "--out", "/results/bench", "--tasks", &tasks.join(",")];
    in_vm(
        "cost",
        Request {
            memory_mib: MEMORY_MIB,
            clock,
            cpus: match clock {
                Clock::Host => 2,
                // With two, what the agent does meanwhile would be counted too.
                Clock::Instructions => 1,
            },
            append: "transparent_hugepage=never".into(),
            timeout: LIMIT,
            ..Request::new(kernel.clone(), command.map(str::to_owned).to_vec())
        },
    )
}

/// A line `y = slope x + base` through the points, and how much of the variation it explains (R²).
fn fit(points: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let (xx, xy) = (sum(&|p| (p.0 - x).powi(2)), sum(&|p| (p.0 - x) * (p.1 - y)));
    let slope = xy / xx;
    let base = y - slope * x;
    let (rest, all) = (sum(&|p| (p.1 - base - slope * p.0).powi(2)), sum(&|p| (p.1 - y).powi(2)));
    (points.len() > 2).then_some((slope, base, 1.0 - rest / all))
}

fn table(release: &str, all: &[Cost], unit: &Unit) -> (String, bool) {
    let Unit { whole, micro, nano } = unit;
    let mut text = format!("\nLinux {release}: {whole} in `out_of_memory`, the fastest of 7 kills\n\n");
    text.push_str(
        "| processes | neither | kernel's dump | agent | both | dump adds | agent adds | part | candidates lost |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut held = true;
    let (mut dumps, mut agents) = (Vec::new(), Vec::new());
    for Cost { tasks, us, evaluated, lost, listed, .. } in all {
        let ms = |name: &str| us.get(name).copied().unwrap_or(f64::NAN) / 1000.0;
        let [neither, dump, agent, both] = ["nothing", "dump", "agent", "agent and dump"].map(ms);
        let part = (agent - neither) / (dump - neither);
        dumps.push((f64::from(*tasks), (dump - neither) * 1000.0));
        agents.push((f64::from(*tasks), (agent - neither) * 1000.0));
        let _ = writeln!(
            text,
            "| {tasks} | {neither:.1} | {dump:.1} | {agent:.1} | {both:.1} | {:.1} | {:.1} | {part:.2} | {lost} of {evaluated} |",
            dump - neither,
            agent - neither,
        );
        held &= *tasks != 5000 || part <= BAR;
        held &= *tasks > 20_000 || (*lost == 0 && listed == evaluated && *evaluated > 0);
    }
    for (name, points) in [("the kernel's dump", &dumps), ("the agent", &agents)] {
        if let Some((slope, base, r2)) = fit(points) {
            let _ = writeln!(
                text,
                "\n{name}: {slope:.2} {micro} a candidate and {base:.0} {micro} a kill (R² {r2:.4})"
            );
        }
    }
    if let Some(most) = all.last() {
        let _ = writeln!(text, "\nPrograms in one kill with {} processes:\n", most.tasks);
        let _ = writeln!(text, "| program | runs | {nano} a run |\n|---|---:|---:|");
        for (name, Stats { run_time_ns, run_cnt }) in &most.programs {
            let _ = writeln!(text, "| {name} | {run_cnt} | {} |", run_time_ns / run_cnt.max(&1));
        }
    }
    (text, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let points = [(10.0, 25.0), (1000.0, 2005.0), (5000.0, 10_005.0)];
        let (slope, base, r2) = fit(&points).unwrap();
        assert!((slope - 2.0).abs() < 1e-9 && (base - 5.0).abs() < 1e-6 && r2 > 0.999_999);
        assert_eq!(fit(&points[..2]), None);
    }
}
