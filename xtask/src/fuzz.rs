//! `cargo xtask fuzz`: any bytes as a log, for as long as one likes. Begins with the real reports.

use crate::process;
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// A question that is answered at once.
const SHORT: Duration = Duration::from_mins(1);
/// An optimised build from nothing, with the sanitizer.
const BUILD: Duration = Duration::from_mins(20);

/// Feed random logs to the reader of `explain` (needs a nightly toolchain and cargo-fuzz).
#[derive(Debug, Parser)]
pub(crate) struct FuzzArgs {
    /// How long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

/// Runs the command.
pub(crate) fn main(args: &FuzzArgs) -> Result<ExitCode> {
    let root = process::workspace();
    let work = root.join("target/fuzz");
    let available = process::capture(fuzz().arg("--version"), SHORT)?;
    if !available.status.success() {
        bail!(
            "cargo-fuzz or the nightly toolchain is missing: `rustup toolchain install nightly` and \
             `cargo install cargo-fuzz` install them"
        );
    }
    let corpus = work.join("corpus");
    seed(&root.join("oom-agent/src/report/testdata"), &corpus)?;
    let log = work.join("fuzz.log");
    let common = |verb: &str| {
        let mut command = fuzz();
        command.args([verb, "--fuzz-dir", "tests/fuzz", "--target-dir", "target/fuzz", "logs"]);
        command.current_dir(&root);
        command
    };
    process::run("build the fuzz target", &mut common("build"), BUILD, &log)?;
    let mut run = common("run");
    run.arg(&corpus).arg("--").arg(format!("-max_total_time={}", args.seconds)).args([
        "-max_len=65536",
        "-timeout=5",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]);
    run.arg(format!("-artifact_prefix={}/", work.display()));
    process::run("run it", &mut run, Duration::from_secs(args.seconds) + BUILD, &log)?;
    let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    for line in text.lines().filter(|line| line.starts_with("stat::") || line.starts_with("Done ")) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

fn fuzz() -> Command {
    let mut command = Command::new("cargo");
    // The toolchain that this program was built with does not matter here.
    command.args(["+nightly", "fuzz"]).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

/// Real reports to begin with. The first byte says in which pieces the target reads them.
fn seed(samples: &Path, corpus: &Path) -> Result<()> {
    fs::create_dir_all(corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    for entry in fs::read_dir(samples).with_context(|| format!("cannot read {}", samples.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|it| it == "txt")) else {
            continue;
        };
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let seed = corpus.join(name);
        fs::write(&seed, [&b"\xff"[..], &text].concat())
            .with_context(|| format!("cannot write {}", seed.display()))?;
    }
    Ok(())
}
