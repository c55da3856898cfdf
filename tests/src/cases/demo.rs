//! `oom-guest demo`: one OOM kill in a throwaway memory cgroup, told by the agent.

use super::actor::Actor;
use super::agent::{ATTACHED, TELL};
use super::group::{Group, Hierarchy};
use super::machine::may_lower_adj;
use super::memcg::hog;
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT_MIB: u64 = 64;

/// Provokes one OOM kill in a throwaway memory cgroup and shows the incident.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Args {
    /// The agent.
    #[arg(long, default_value = "/bin/oom-agent")]
    agent: PathBuf,
    /// The incident as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it. `args[0]` is the subcommand's name.
///
/// # Errors
/// If no kill could be provoked or the agent did not tell it. Everything that was made is removed also then.
pub fn main(args: &[OsString]) -> Result<()> {
    let args = Args::parse_from(args);
    // Ctrl-C reaches the processes and the agent too; here it only has to leave time for the clean-up.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("cannot catch signals")?;
    }
    let told = play(&args);
    if interrupted.load(Ordering::Relaxed) {
        bail!("interrupted; the cgroup and its processes are removed");
    }
    told
}

fn play(args: &Args) -> Result<()> {
    let group = Group::new(Hierarchy::detect()?, &format!("oom-demo-{}", std::process::id()))?;
    group.limit(LIMIT_MIB, 0)?;
    let sidecar_adj = if may_lower_adj() {
        -1000
    } else {
        eprintln!("demo: this machine does not let oom_score_adj be lowered, so no process is exempt");
        0
    };
    let start = |name: &str, adj, base_mib, grow_mib| {
        Actor::start(&hog(name, adj, base_mib, grow_mib).with("join", group.procs()))
    };
    let _sidecar = start("sidecar", sidecar_adj, 4, 0)?;
    let _cache = start("cache", 0, 6, 0)?;
    let batch = start("batch", 600, 12, 0)?;
    let mut web = start("web", 0, 20, 30)?;
    eprintln!(
        "demo: a cgroup with a limit of {LIMIT_MIB} MiB: web (20 MiB, about to take 30 more), batch (12 MiB, \
         oom_score_adj 600),\ndemo: cache (6 MiB), sidecar (4 MiB, oom_score_adj {sidecar_adj})"
    );
    let mut agent = Agent::start(args)?;
    web.go()?;
    batch.await_death().context("waiting for the kernel to kill batch")?;
    agent.end()
}

struct Agent(Child);

impl Agent {
    /// Starts it and waits until it is attached.
    fn start(args: &Args) -> Result<Self> {
        let mut command = Command::new(&args.agent);
        command.args(["trace", "--count", "1", "--candidates", "all"]);
        command.args(["--format", if args.json { "json" } else { "text" }]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot start {}", args.agent.display()))?;
        let stderr = child.stderr.take().context("the agent's stderr")?;
        let mut agent = Self(child);
        let mut lines = BufReader::new(stderr);
        let mut line = String::new();
        while lines.read_line(&mut line).context("reading the agent's stderr")? > 0 {
            eprint!("{line}");
            if line.contains(ATTACHED) {
                // The rest of what it says is passed on as it comes.
                std::thread::spawn(move || {
                    for line in lines.lines().map_while(Result::ok) {
                        eprintln!("{line}");
                    }
                });
                return Ok(agent);
            }
            line.clear();
        }
        bail!("the agent ended before it was attached: {}", agent.0.wait().context("waiting for the agent")?)
    }

    fn end(&mut self) -> Result<()> {
        let limit = Instant::now() + TELL;
        while Instant::now() < limit {
            match self.0.try_wait().context("waiting for the agent")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the agent ended with {status}"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        bail!("the kernel killed a process and the agent told nothing in {} s", TELL.as_secs())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
