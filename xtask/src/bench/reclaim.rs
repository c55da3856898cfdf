//! What the agent costs a workload that reclaims all the time, and never runs out of memory.
//!
//! The workload reads a file without holes' contents on the disk, page by page, in a cgroup that holds a fraction of it:
//! each page that comes in drives one out. It runs with and without the agent attached, in turns.

use super::measure::{Measured, measure, spread};
use crate::process;
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Of the file.
const FILE: u64 = 1024 * MIB;
/// Of the cgroup.
const LIMIT: u64 = 32 * MIB;

/// A memory cgroup that goes when it is dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (root, limit) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let group = Self(root.join("oom-agent-bench"));
        fs::create_dir_all(&group.0).with_context(|| format!("creating {}", group.0.display()))?;
        let limit = group.0.join(limit);
        fs::write(&limit, LIMIT.to_string()).with_context(|| format!("writing to {}", limit.display()))?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What still lives in it is what is being measured: nothing then.
        let _ = fs::remove_dir(&self.0);
    }
}

/// What attaching and detaching leave to be done, in the agent and in the kernel, is over by then.
const SETTLED: Duration = Duration::from_millis(300);

/// An agent that is attached until it is dropped.
struct Attached {
    child: Child,
    /// Open, so that it may go on to say something.
    stderr: BufReader<ChildStderr>,
}

impl Attached {
    fn start(agent: &Path) -> Result<Self> {
        let mut command = Command::new(agent);
        command.arg("trace").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", agent.display()))?;
        let stderr = child.stderr.take().context("no pipe to it")?;
        let mut attached = Self { child, stderr: BufReader::new(stderr) };
        // It says how much it sees once it is attached.
        let mut line = String::new();
        while !line.contains("tracing OOM kills") {
            line.clear();
            let length = attached.stderr.read_line(&mut line)?;
            ensure!(length > 0, "the agent ended before it was attached");
        }
        sleep(SETTLED);
        Ok(attached)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        sleep(SETTLED);
    }
}

/// Time in the agent's programs, counted by the kernel while it is asked to (`bpf_stats_enabled`).
struct Stats {
    before: String,
}

impl Stats {
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

    fn on() -> Result<Self> {
        let before = fs::read_to_string(Self::SWITCH).with_context(|| format!("reading {}", Self::SWITCH))?;
        fs::write(Self::SWITCH, "1").with_context(|| format!("writing to {}", Self::SWITCH))?;
        Ok(Self { before })
    }

    /// Runs, and nanoseconds in them, of all programs that a process has open.
    fn of(pid: u32) -> Result<(u64, u64)> {
        let dir = format!("/proc/{pid}/fdinfo");
        let mut sum = (0, 0);
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {dir}"))? {
            // It may have been closed meanwhile.
            let text = fs::read_to_string(entry?.path()).unwrap_or_default();
            let value = |key: &str| -> u64 {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
            };
            sum = (sum.0 + value("run_cnt:"), sum.1 + value("run_time_ns:"));
        }
        Ok(sum)
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        if let Err(error) = fs::write(Self::SWITCH, self.before.trim()) {
            eprintln!("cannot put back {}: {error}", Self::SWITCH);
        }
    }
}

/// Measures in pairs and prints.
pub(super) fn main(agent: &Path, directory: &Path, rounds: u32) -> Result<()> {
    let group = Group::new()?;
    let path = directory.join("sparse");
    File::create(&path)?.set_len(FILE).with_context(|| format!("creating {}", path.display()))?;
    let program = std::env::current_exe().context("the path of this program")?;
    let run = || -> Result<Measured> {
        let mut command = Command::new(&program);
        command.args(["bench", "--reclaim-reader"]).arg(&path).arg("--reclaim-group").arg(&group.0);
        measure(&mut command).with_context(|| process::shown(&command))
    };
    run()?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut attached = || -> Result<()> {
            let _agent = Attached::start(agent)?;
            with.push(run()?);
            Ok(())
        };
        // Who comes second finds a machine that is warm: both do.
        if round % 2 == 0 {
            without.push(run()?);
            attached()?;
        } else {
            attached()?;
            without.push(run()?);
        }
    }
    let mib = FILE / MIB;
    println!("{mib} MiB of a file read through a cgroup of {} MiB, {rounds} pairs:", LIMIT / MIB);
    let each = |name: &str, of: fn(&Measured) -> f64| {
        let ratios = with.iter().zip(&without).map(|(with, without)| of(with) / of(without));
        println!("  {name} without     {} s", spread(without.iter().map(of), 3));
        println!("  {name} with agent  {} s", spread(with.iter().map(of), 3));
        println!("  ratio             {}", spread(ratios, 4));
    };
    each("CPU ", |it| it.cpu_seconds);
    each("wall", |it| it.seconds);
    // Free of the machine's other work, as the ratios are not; what calling a program costs is not in it.
    let agent = Attached::start(agent)?;
    let stats = Stats::on()?;
    let mut shares = Vec::new();
    for _ in 0..rounds {
        let (runs, ns) = Stats::of(agent.child.id())?;
        let seconds = run()?.seconds;
        let now = Stats::of(agent.child.id())?;
        shares.push(((now.0 - runs) as f64, (now.1 - ns) as f64 / 1e9 / seconds * 100.0));
    }
    drop(stats);
    println!("  in its programs   {} % of the wall time", spread(shares.iter().map(|it| it.1), 2));
    println!("  runs of them      {}", spread(shares.iter().map(|it| it.0), 0));
    Ok(())
}

/// The workload: reads the file once, in the cgroup.
pub(super) fn read(path: &Path, group: &Path) -> Result<()> {
    let procs = group.join("cgroup.procs");
    fs::write(&procs, std::process::id().to_string())
        .with_context(|| format!("writing to {}", procs.display()))?;
    let mut file = OpenOptions::new().read(true).open(path)?;
    // Without read-ahead the page cache grows by single pages, so that reclaim has the most to do.
    fadvise(&file, 0, None, Advice::Random).context("posix_fadvise")?;
    let mut buffer = vec![0; MIB as usize];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}
