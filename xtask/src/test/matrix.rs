//! Real OOM kills, judged against the kernel's own word.

use super::Count;
use crate::{
    kernel::{self, Wanted},
    process,
    vm::{
        self, Cgroup, End, Request,
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
/// It is tested while the mirror has it: only there `mark_victim` hands over no more than a pid.
const WHILE_IT_LASTS: &str = "5.10.218";
/// Series that still have the memory controller of cgroup v1.
const WITH_V1: [&str; 2] = ["5.10", "6.1"];
/// The kernel on which the ways that others need are tested too: kprobes, tracepoints only, the log only.
const FALLBACKS_ON: &str = "6.1";
/// The kernel that takes the long storm.
const STORM_ON: &str = "6.12";
/// The kernel on which everything around the agent goes wrong.
const HARD_ON: &str = "6.12";
/// Those of them that take minutes and overload the VM: with `--only` alone.
const LONG: [&str; 2] = ["daemon_killed", "daemon_storm"];
/// Those of them that have not been seen to pass in a VM yet: with `--only` alone.
const UNPROVEN: [&str; 4] = ["namespaces", "log_wrapped", "cpu_limit", "suspended"];
/// The kernels on which the cases that mostly wait are run.
const SLOW_ON: [&str; 3] = ["5.10", "6.12", "newest"];
/// VMs at once, besides one that mostly waits: one has work for about one processor.
const AT_ONCE: usize = 2;

const SWAP_MIB: u32 = 96;
const LIMIT: Duration = Duration::from_mins(6);

/// One VM's work.
struct Run {
    title: String,
    kernel: Wanted,
    cgroup: Cgroup,
    agent: &'static str,
    cases: Vec<String>,
    /// It mostly waits.
    is_slow: bool,
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
pub(super) fn kernels(wanted: &[Wanted], only: &[String]) -> Result<Count> {
    let all = wanted.is_empty();
    let kernels: Vec<Wanted> = if all {
        KERNELS.iter().map(|kernel| kernel.parse().map_err(anyhow::Error::msg)).collect::<Result<_>>()?
    } else {
        wanted.to_vec()
    };
    let (slow, busy): (Vec<Run>, Vec<Run>) =
        runs(&kernels, only, all).into_iter().partition(|run| run.is_slow);
    let busy = Mutex::new(busy.into_iter());
    let count = Mutex::new(Count::default());
    let next = || busy.lock().ok()?.next();
    let add = |done: Count| {
        if let Ok(mut count) = count.lock() {
            count.add(done);
        }
    };
    // Built before the first VM starts: two builds at once only slow each other down.
    guest::build(Program::Agent)?;
    guest::build(Program::Guest)?;
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

fn runs(kernels: &[Wanted], only: &[String], all: bool) -> Vec<Run> {
    let mut runs = Vec::new();
    for kernel in kernels {
        let name = kernel.to_string();
        let run = |title: String, cgroup, agent, cases: &[&str]| Run {
            title,
            kernel: kernel.clone(),
            cgroup,
            agent,
            cases: cases.iter().map(ToString::to_string).collect(),
            is_slow: false,
        };
        let mut main = run(format!("Linux {name}"), Cgroup::V2, "", &[]);
        main.cases = only.to_vec();
        runs.push(main);
        if !only.is_empty() {
            continue;
        }
        if WITH_V1.contains(&name.as_str()) {
            runs.push(run(
                format!("Linux {name}, cgroup v1"),
                Cgroup::V1,
                "",
                &["memcg_v1", "nested", "removed"],
            ));
        }
        if name == FALLBACKS_ON {
            let basic = ["memcg_v2", "nested", "group_kill", "headless", "shared", "removed"];
            runs.push(run(format!("Linux {name}, kprobes"), Cgroup::V2, "--no-trampolines", &basic));
            let more =
                ["memcg_v2", "nested", "group_kill", "no_table", "headless", "shared", "removed", "burst"];
            runs.push(run(
                format!("Linux {name}, tracepoints only"),
                Cgroup::V2,
                "--max-level=tracepoint",
                &more,
            ));
            let log = ["memcg_v2", "nested", "global", "burst"];
            runs.push(run(format!("Linux {name}, the log only"), Cgroup::V2, "--max-level=kmsg", &log));
        }
        if all && name == STORM_ON {
            runs.push(run(format!("Linux {name}, 1,000 kills"), Cgroup::V2, "", &["burst1000"]));
        }
        if SLOW_ON.contains(&name.as_str()) {
            let slow: Vec<&str> = oom_tests::cases::slow().collect();
            let run = run(format!("Linux {name}, slow cases"), Cgroup::V2, "", &slow);
            runs.push(Run { is_slow: true, ..run });
        }
        if name == HARD_ON {
            let on_demand = |case: &&str| LONG.contains(case) || UNPROVEN.contains(case);
            let hard: Vec<&str> = oom_tests::cases::hard().filter(|case| !on_demand(case)).collect();
            runs.push(run(format!("Linux {name}, bad input"), Cgroup::V2, "", &hard));
        }
    }
    runs
}

fn in_vm(run: &Run) -> Count {
    let begin = Instant::now();
    if run.kernel.to_string() == WHILE_IT_LASTS
        && let Err(error) = kernel::get(&run.kernel)
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
    let outcome = vm::run(&Request {
        swap_mib: SWAP_MIB,
        numa: true,
        cgroup: run.cgroup,
        append: "oom.guest=1".into(),
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
    verdicts(&title, &results.join("cases"), trouble)
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
