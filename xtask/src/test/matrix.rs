//! Real OOM kills, judged against the kernel's own word.

use super::Count;
use crate::{
    kernel::{self, Wanted},
    machine::Machine,
    process,
    vm::{
        self, Cgroup, End, Pauses, Request,
        guest::{self, Program},
    },
};
use anyhow::{Context as _, Result};
use oom_tests::judge::{self, Outcome};
use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

/// The kernels: the oldest that is supported in both shapes of `mark_victim`, the long-term ones, the newest.
const KERNELS: [&str; 5] = ["5.10.218", "5.10", "6.1", "6.12", "newest"];
/// Those of arm64: without trampolines (6.1), with them, with pages of 16 KiB, the newest.
const ARM64_KERNELS: [&str; 4] = ["6.1", "6.12", "6.12-16k", "newest"];
/// It is tested while the mirror has it: only there `mark_victim` hands over no more than a pid.
const WHILE_IT_LASTS: &str = "5.10.218";
/// Series that still have the memory controller of cgroup v1.
const WITH_V1: [&str; 2] = ["5.10", "6.1"];
/// The kernel on which the ways that others need are tested too: kprobes, tracepoints only, the log only.
const FALLBACKS_ON: &str = "6.1";
/// The same of arm64, where 6.1 has nothing but kprobes.
const ARM64_FALLBACKS_ON: &str = "6.12";
/// Where pages are large, the other machine-wide cases leave too little for the kernel itself.
const LARGE_PAGES: &str = "-16k";
const WITH_LARGE_PAGES: [&str; 17] = [
    "memcg_v2",
    "nested",
    "group_kill",
    "no_table",
    "none_killable",
    "headless",
    "shared",
    "shmem",
    "removed",
    "rank_memcg",
    "rank_global",
    "swap_memcg",
    "sysrq",
    "global",
    "again",
    "burst",
    "why_group",
];
/// The kernel that takes the long storm.
const STORM_ON: &str = "6.12";
/// The kernel on which everything around the agent goes wrong.
const HARD_ON: &str = "6.12";
/// Those of them that take minutes and overload the VM: with `--only` alone.
const LONG: [&str; 2] = ["daemon_killed", "daemon_storm"];
/// The one that takes a VM that is stopped again and again.
const PAUSED: &str = "paused";
const PAUSES: Pauses = Pauses { every: Duration::from_secs(2), length: Duration::from_millis(700) };
/// Those of them that have not been seen to pass in a VM yet: with `--only` alone.
const UNPROVEN: [&str; 1] = ["suspended"];
/// The kernels on which the cases that mostly wait are run.
const SLOW_ON: [&str; 3] = ["5.10", "6.12", "newest"];
/// VMs at once, besides one that mostly waits: one has work for about one processor.
const AT_ONCE: usize = 2;

const SWAP_MIB: u32 = 96;
const LIMIT: Duration = Duration::from_mins(10);

/// One VM's work.
struct Run {
    title: String,
    machine: Machine,
    kernel: Wanted,
    cgroup: Cgroup,
    agent: &'static str,
    cases: Vec<String>,
    /// It mostly waits.
    is_slow: bool,
    /// How `out_of_memory` has to be hooked, where the agent may choose.
    way: Option<&'static str>,
}

/// The cases that this machine allows, at the level that it allows.
pub(super) fn here(only: &[String]) -> Result<Count> {
    let out = process::workspace().join("target/test/here");
    let begin = Instant::now();
    let agent = guest::build(Program::Agent)?;
    let program = guest::build(Program::Guest)?;
    if !rustix::process::geteuid().is_root() {
        eprintln!("\nthis machine: not root, so no OOM kill is provoked here; the VMs do it");
        return Ok(Count { skipped: 1, ..Count::default() });
    }
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    let mut command = Command::new(program);
    command
        .args(["cases", "--hard", "--out"])
        .arg(&out)
        .arg("--agent")
        .arg(&agent)
        .args(flags("--only", only));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().context("starting the cases")?;
    let title = format!("this machine ({:.0} s)", begin.elapsed().as_secs_f64());
    Ok(verdicts(&title, &out, (!status.success()).then(|| format!("the cases ended with {status}"))))
}

/// The cases in VMs.
pub(super) fn kernels(machine: Machine, wanted: &[Wanted], only: &[String]) -> Result<Count> {
    let all = wanted.is_empty();
    let kernels: Vec<Wanted> = if all {
        let kernels = match machine {
            Machine::Amd64 => &KERNELS[..],
            Machine::Arm64 => &ARM64_KERNELS,
        };
        kernels.iter().map(|kernel| kernel.parse().map_err(anyhow::Error::msg)).collect::<Result<_>>()?
    } else {
        wanted.to_vec()
    };
    let (slow, busy): (Vec<Run>, Vec<Run>) =
        runs(machine, &kernels, only, all).into_iter().partition(|run| run.is_slow);
    let busy = Mutex::new(busy.into_iter());
    let count = Mutex::new(Count::default());
    let next = || busy.lock().ok()?.next();
    let add = |done: Count| {
        if let Ok(mut count) = count.lock() {
            count.add(done);
        }
    };
    // Built before the first VM starts: two builds at once only slow each other down.
    guest::build_for(machine, Program::Agent)?;
    guest::build_for(machine, Program::Guest)?;
    std::thread::scope(|scope| {
        scope.spawn(|| slow.iter().for_each(|run| add(in_vm(run))));
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(run) = next() {
                    add(in_vm(&run));
                }
            });
        }
    });
    Ok(count.into_inner().unwrap_or(Count { failed: 1, ..Count::default() }))
}

fn runs(machine: Machine, kernels: &[Wanted], only: &[String], all: bool) -> Vec<Run> {
    let fallbacks_on = match machine {
        Machine::Amd64 => FALLBACKS_ON,
        Machine::Arm64 => ARM64_FALLBACKS_ON,
    };
    let mut runs = Vec::new();
    for kernel in kernels {
        let name = kernel.to_string();
        let linux = match machine {
            Machine::Amd64 => format!("Linux {name}"),
            Machine::Arm64 => format!("Linux {name} on arm64"),
        };
        let run = |title: String, cgroup, agent, cases: &[&str]| Run {
            title,
            machine,
            kernel: kernel.clone(),
            cgroup,
            agent,
            cases: cases.iter().map(ToString::to_string).collect(),
            is_slow: false,
            way: None,
        };
        let all_cases = if name.ends_with(LARGE_PAGES) { &WITH_LARGE_PAGES[..] } else { &[] };
        let mut main = run(linux.clone(), Cgroup::V2, "", all_cases);
        if !only.is_empty() {
            main.cases = only.to_vec();
        }
        main.way = only.is_empty().then(|| way(machine, &name));
        runs.push(main);
        if !only.is_empty() {
            continue;
        }
        if WITH_V1.contains(&name.as_str()) {
            runs.push(run(format!("{linux}, cgroup v1"), Cgroup::V1, "", &["memcg_v1", "nested", "removed"]));
        }
        if name == fallbacks_on {
            let basic = ["memcg_v2", "nested", "group_kill", "headless", "shared", "removed"];
            runs.push(run(format!("{linux}, kprobes"), Cgroup::V2, "--no-trampolines", &basic));
            let more =
                ["memcg_v2", "nested", "group_kill", "no_table", "headless", "shared", "removed", "burst"];
            runs.push(run(format!("{linux}, tracepoints only"), Cgroup::V2, "--max-level=tracepoint", &more));
            let log = ["memcg_v2", "nested", "global", "burst"];
            runs.push(run(format!("{linux}, the log only"), Cgroup::V2, "--max-level=kmsg", &log));
        }
        if all && name == STORM_ON {
            runs.push(run(format!("{linux}, 1,000 kills"), Cgroup::V2, "", &["burst1000"]));
        }
        // They are about what led to a kill, which is the same on every machine.
        if machine == Machine::Amd64 && SLOW_ON.contains(&name.as_str()) {
            let slow: Vec<&str> = oom_tests::cases::slow().collect();
            let run = run(format!("{linux}, slow cases"), Cgroup::V2, "", &slow);
            runs.push(Run { is_slow: true, ..run });
        }
        if name == HARD_ON {
            let apart = |case: &&str| LONG.contains(case) || UNPROVEN.contains(case) || *case == PAUSED;
            let hard: Vec<&str> = oom_tests::cases::hard().filter(|case| !apart(case)).collect();
            runs.push(run(format!("{linux}, bad input"), Cgroup::V2, "", &hard));
            runs.push(run(format!("{linux}, stopped again and again"), Cgroup::V2, "", &[PAUSED]));
        }
    }
    runs
}

/// Trampolines, except where there are none: on arm64 before 6.4.
fn way(machine: Machine, kernel: &str) -> &'static str {
    match (machine, kernel) {
        (Machine::Arm64, "6.1") => "kprobe:out_of_memory",
        _ => "fentry:out_of_memory",
    }
}

/// What is wrong with how the agent hooked the kernel, by its own incidents.
fn hooked(cases: &Path, way: &str) -> Option<String> {
    let read = |case: fs::DirEntry| fs::read_to_string(case.path().join("incidents.jsonl")).ok();
    let texts: Vec<String> = fs::read_dir(cases).ok()?.flatten().filter_map(read).collect();
    let incidents = texts.iter().flat_map(|text| text.lines());
    let mut sources = incidents.filter_map(|line| {
        let incident: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(incident.pointer("/evidence/sources")?.to_string())
    });
    let others = sources.find(|sources| !sources.contains(&format!("\"{way}\"")));
    others.map(|others| format!("not every incident is from {way}: {others}"))
}

fn in_vm(run: &Run) -> Count {
    let begin = Instant::now();
    if run.kernel.to_string() == WHILE_IT_LASTS
        && let Err(error) = kernel::get(run.machine, &run.kernel)
    {
        eprintln!("\n{}\n  skip  it cannot be had any more: {error:#}", run.title);
        return Count { skipped: 1, ..Count::default() };
    }
    let name = run.title.replace([' ', ','], "-").to_lowercase();
    let results = process::workspace().join("target/test").join(name);
    let _ = fs::remove_dir_all(&results);
    let mut command: Vec<String> =
        ["env", "OOM_GUEST=1", "oom-guest", "cases", "--out", "/results/cases", "--agent", "/bin/oom-agent"]
            .map(Into::into)
            .into();
    if !run.agent.is_empty() {
        command.push(format!("--agent-arg={}", run.agent));
        if run.agent.starts_with("--max-level") {
            command.push("--no-kprobes".into());
        }
    }
    command.extend(flags("--only", &run.cases));
    let pauses = (run.cases == [PAUSED]).then_some(PAUSES);
    let outcome = vm::run(&Request {
        machine: run.machine,
        swap_mib: SWAP_MIB,
        numa: true,
        cgroup: run.cgroup,
        append: format!("oom.guest=1{}", if pauses.is_some() { " oom.pauses=1" } else { "" }),
        pauses,
        timeout: LIMIT,
        quiet: true,
        results: Some(results.clone()),
        ..Request::new(run.kernel.clone(), command)
    });
    let (trouble, kernel) = match outcome {
        Err(error) => (Some(format!("no VM: {error:#}")), String::new()),
        Ok(outcome) => {
            let tail = || vm::console_tail(&outcome.console, 30);
            let trouble = match outcome.end {
                End::Exited(0) => None,
                End::Exited(code) => Some(format!("the cases ended with status {code}")),
                End::Down => Some(format!("the VM went down without a report; its console:\n{}", tail())),
                End::TimedOut => Some(format!(
                    "the VM was still running after {} s; its console:\n{}",
                    LIMIT.as_secs(),
                    tail()
                )),
            };
            (trouble, format!(" = {}", outcome.kernel))
        }
    };
    let title = format!("{}{kernel} ({:.0} s)", run.title, begin.elapsed().as_secs_f64());
    let cases = results.join("cases");
    let trouble = trouble.or_else(|| hooked(&cases, run.way?));
    verdicts(&title, &cases, trouble)
}

fn flags<'a>(flag: &'static str, values: &'a [String]) -> impl Iterator<Item = String> + 'a {
    values.iter().flat_map(move |value| [flag.to_owned(), value.clone()])
}

/// Prints and counts. No verdict at all is a failure.
fn verdicts(title: &str, cases: &Path, trouble: Option<String>) -> Count {
    let mut text = format!("\n{title}\n");
    let mut count = Count::default();
    match judge::judge(cases) {
        Ok(verdicts) => {
            for verdict in verdicts {
                let _ = writeln!(text, "  {verdict}");
                count.add(match verdict.outcome {
                    Outcome::Passed(_) => Count::one(true),
                    Outcome::Failed(_) => Count::one(false),
                    Outcome::Skipped(_) => Count { skipped: 1, ..Count::default() },
                });
            }
        }
        Err(error) => {
            let _ = writeln!(text, "  FAIL  {error:#}");
            count.add(Count::one(false));
        }
    }
    if let Some(trouble) = trouble {
        let _ = writeln!(text, "  FAIL  {trouble}");
        count.add(Count::one(false));
    }
    eprint!("{text}");
    count
}
