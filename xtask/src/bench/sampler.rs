//! What the sampler costs: the agent next to 500 cgroups with limits, a few of which change, so that it never rests longer.

use crate::process;
use anyhow::{Context as _, Result, bail, ensure};
use oom_tests::bench::processor_time;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// Cgroups with a limit.
const CGROUPS: usize = 500;
/// Of these one after the other changes.
const CHANGING: usize = 20;
/// Until everything was looked at once and nothing is new any more.
const WARM: Duration = Duration::from_secs(15);
/// What the sampler may cost, as a part of one core.
const BAR: f64 = 0.001;

/// Starts an agent and measures it.
pub(super) fn run(agent: &Path, time: Duration) -> Result<()> {
    let cgroups = Cgroups::new()?;
    let off = measure(agent, "off", &cgroups, time)?;
    let on = measure(agent, "10s", &cgroups, time)?;
    println!(
        "{CGROUPS} cgroups with limits, {} s, memory in use changing in {CHANGING} of them:",
        time.as_secs()
    );
    for (name, cost) in [("off", &off), ("10s", &on)] {
        println!("  --sample-every {name}");
        println!("    of one core      {:.4} %", cost.share * 100.0);
        println!("    wake-ups         {:.2}/s", cost.wakes);
        println!(
            "    resident         {} KiB, then {} KiB, peak {} KiB",
            cost.rss[0], cost.rss[1], cost.peak
        );
    }
    let share = on.share - off.share;
    println!("  the sampler alone  {:.4} % of one core (at most {:.1} %)", share * 100.0, BAR * 100.0);
    ensure!(share <= BAR, "the sampler costs more than it may");
    Ok(())
}

/// Cgroups below one of our own, removed when dropped.
struct Cgroups {
    top: PathBuf,
    made: Vec<PathBuf>,
}

impl Cgroups {
    fn new() -> Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (root, limit) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let mut cgroups =
            Self { top: root.join(format!("oom-bench-{}", std::process::id())), made: Vec::new() };
        cgroups.make(cgroups.top.clone())?;
        let top = cgroups.top.clone();
        for number in 0..CGROUPS {
            let group =
                cgroups.make(top.join(format!("pod-with-a-name-as-long-as-they-are-{number}.scope")))?;
            write(&group.join(limit), "67108864")?;
        }
        Ok(cgroups)
    }

    fn make(&mut self, dir: PathBuf) -> Result<PathBuf> {
        fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        self.made.push(dir.clone());
        // v2; v1 has no such file.
        if self.made.len() == 1 && dir.join("cgroup.subtree_control").exists() {
            if let Some(root) = dir.parent() {
                write(&root.join("cgroup.subtree_control"), "+memory")?;
            }
            write(&dir.join("cgroup.subtree_control"), "+memory")?;
        }
        Ok(dir)
    }

    /// Makes one use some memory: page cache of a file that a shell in it writes.
    fn change(&self, number: usize, file: &Path) -> Result<()> {
        let group = &self.made[1 + number % CHANGING];
        let mib = 1 + number / CHANGING % 8;
        let script =
            r#"echo $$ > "$1/cgroup.procs" && exec dd if=/dev/zero of="$2" bs=1M count="$3" status=none"#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(group).arg(file).arg(mib.to_string());
        ensure!(command.status()?.success(), "cannot use memory in {}", group.display());
        Ok(())
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        while let Some(dir) = self.made.pop() {
            if let Err(error) = fs::remove_dir(&dir) {
                eprintln!("cannot remove {}: {error}", dir.display());
            }
        }
    }
}

struct Cost {
    /// Of one core.
    share: f64,
    /// Voluntary context switches a second.
    wakes: f64,
    /// Before and after, KiB.
    rss: [u64; 2],
    peak: u64,
}

/// An agent that runs.
struct Agent {
    child: Child,
    /// Kept, so that it can be written to.
    _stderr: BufReader<ChildStderr>,
}

impl Agent {
    fn start(path: &Path, every: &str) -> Result<Self> {
        let mut command = Command::new(path);
        command.args(["trace", "--format", "json", "--max-level", "kmsg", "--sample-every", every]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| process::shown(&command))?;
        let mut stderr = BufReader::new(child.stderr.take().context("no pipe to it")?);
        let mut line = String::new();
        while !line.contains("tracing") {
            line.clear();
            if stderr.read_line(&mut line)? == 0 {
                bail!("the agent did not start: {:?}", child.wait()?);
            }
        }
        Ok(Self { child, _stderr: stderr })
    }

    /// Time on a processor, and voluntary context switches of all threads that live.
    fn used(&self) -> Result<(Duration, u64)> {
        let mut switches = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            switches += status(&task?.path().join("status"), "voluntary_ctxt_switches:")?;
        }
        Ok((processor_time(self.child.id()).context("asking for its time")?, switches))
    }

    fn status(&self, name: &str) -> Result<u64> {
        status(Path::new(&format!("/proc/{}/status", self.child.id())), name)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure(agent: &Path, every: &str, cgroups: &Cgroups, time: Duration) -> Result<Cost> {
    let file = std::env::temp_dir().join(format!("oom-bench-{}", std::process::id()));
    let agent = Agent::start(agent, every)?;
    let mut changes = 0;
    let mut pass = |time: Duration| -> Result<f64> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            cgroups.change(changes, &file)?;
            changes += 1;
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(begun.elapsed().as_secs_f64())
    };
    pass(WARM)?;
    let (before, rss) = (agent.used()?, agent.status("VmRSS:")?);
    let seconds = pass(time)?;
    let after = agent.used()?;
    let _ = fs::remove_file(&file);
    Ok(Cost {
        share: after.0.saturating_sub(before.0).as_secs_f64() / seconds,
        wakes: (after.1 - before.1) as f64 / seconds,
        rss: [rss, agent.status("VmRSS:")?],
        peak: agent.status("VmHWM:")?,
    })
}

fn status(path: &Path, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("no {name} in {}", path.display()))
}

/// At once, with an error that is seen.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut file =
        File::options().write(true).open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {text} to {}", path.display()))
}
