//! `cargo xtask fuzz`: any bytes where others may write them, by libFuzzer, for as long as one likes.
//!
//! What is fed is `oom-agent/src/fuzz.rs`; `tests/fuzz` is the program. No nightly compiler is needed: coverage without a
//! sanitizer is an option of the stable one. What is found belongs into `tests/fuzz/kept`, which a unit test feeds too.

use crate::process;
use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use std::{
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

/// An optimised build from nothing.
const BUILD: Duration = Duration::from_mins(20);
/// A rest that is not worth another run.
const LEFT: Duration = Duration::from_secs(2);
/// As `cargo fuzz` has them.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// Feed random bytes to what reads what others write: logs, type data, records, paths, files, requests.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  cargo xtask fuzz --minutes 20        20 minutes of processor time for each target\n  cargo xtask fuzz log http            these two, for a minute each\n\nWhat is found is kept in target/fuzz/found; copy it to tests/fuzz/kept/TARGET, where a unit test feeds it for ever."
)]
pub(crate) struct FuzzArgs {
    /// Targets, of those in oom-agent/src/fuzz.rs. Without one: all.
    targets: Vec<String>,
    /// Processor time for each, however long that takes.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
}

/// Runs the command.
pub(crate) fn main(args: &FuzzArgs) -> Result<ExitCode> {
    let root = process::workspace();
    let kept = root.join("tests/fuzz/kept");
    let known = names(&kept)?;
    for target in &args.targets {
        ensure!(known.contains(target), "{target} is no target: {}", known.join(", "));
    }
    let targets = if args.targets.is_empty() { &known } else { &args.targets };
    let work = root.join("target/fuzz");
    let program = build(&work)?;
    let mut found = Vec::new();
    for target in targets {
        let corpus = work.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
        seed(&root, target, &corpus)?;
        let finds = work.join("found").join(target);
        fs::create_dir_all(&finds).with_context(|| format!("cannot create {}", finds.display()))?;
        let log = work.join(format!("{target}.log"));
        let run = || {
            let mut run = Command::new(&program);
            run.env("OOM_FUZZ", target).arg(&corpus).arg(kept.join(target));
            run.arg(format!("-artifact_prefix={}/", finds.display()));
            run.args(["-max_len=65536", "-timeout=60", "-rss_limit_mb=2048", "-print_final_stats=1"]);
            run
        };
        let done = spend(run, Duration::from_mins(args.minutes), &log)?;
        let verdict = if done.found { "FOUND" } else { "ok" };
        let Done { cpu, inputs, edges, .. } = &done;
        println!(
            "{verdict:5} {target:12} {} s, {inputs} inputs, {} edges",
            cpu.as_secs(),
            edges.as_deref().unwrap_or("?")
        );
        if done.found {
            found.push(format!("{target}: see {} and {}", log.display(), finds.display()));
        }
    }
    for line in &found {
        println!("{line}");
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a target.
#[derive(Debug, Default)]
struct Done {
    /// Processor time it took.
    cpu: Duration,
    inputs: u64,
    edges: Option<String>,
    found: bool,
}

/// Feeds a target until it has had so much processor time. libFuzzer itself goes by the clock on the wall: it is run again
/// for what is left, on the corpus that it has found.
fn spend(run: impl Fn() -> Command, time: Duration, log: &Path) -> Result<Done> {
    let mut done = Done::default();
    while let Some(left) = time.checked_sub(done.cpu).filter(|left| *left > LEFT && !done.found) {
        let errors = fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut run = run();
        run.arg(format!("-max_total_time={}", left.as_secs()));
        let before = children()?;
        let status = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).status();
        done.found = !status.context("cannot run the fuzzer")?.success();
        done.cpu += children()?.saturating_sub(before);
        let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        let inputs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        done.inputs += inputs.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
        let edges = text.lines().rev().find_map(|line| line.split(" cov: ").nth(1)?.split(' ').next());
        done.edges = edges.map(str::to_owned).or(done.edges);
    }
    Ok(done)
}

/// Processor time of this process's children that have ended: `cutime` and `cstime` in `/proc/PID/stat`.
fn children() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
    let fields = text.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(13).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>();
    let ticks = ticks.context("/proc/self/stat has other fields")?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// Each target has inputs that are kept.
fn names(kept: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(kept).with_context(|| format!("cannot read {}", kept.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn build(work: &Path) -> Result<std::path::PathBuf> {
    // Named, so that the flags are not those of build scripts.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = process::cargo();
    command.current_dir(process::workspace().join("tests/fuzz"));
    command.args(["build", "--release", "--target", &target, "--target-dir"]).arg(work.join("build"));
    command.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    process::run("build the fuzzer", &mut command, BUILD, &work.join("build.log"))?;
    Ok(work.join("build").join(target).join("release/fuzz"))
}

/// Real input to begin with, besides what is kept.
fn seed(root: &Path, target: &str, corpus: &Path) -> Result<()> {
    // The first byte of a log says in which pieces it is read.
    let (dir, extension, before): (_, _, &[u8]) = match target {
        "log" => ("oom-agent/src/report/testdata", "txt", b"\xff"),
        "btf" => ("oom-agent/src/kernel/btf/testdata", "btf", b""),
        _ => return Ok(()),
    };
    let dir = root.join(dir);
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|it| it == extension))
        else {
            continue;
        };
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let seed = corpus.join(name);
        fs::write(&seed, [before, &text].concat())
            .with_context(|| format!("cannot write {}", seed.display()))?;
    }
    Ok(())
}
