//! Runs cases one after the other and saves what they leave.

use super::agent::{Agent, Binary, Out, TELL};
use super::group::Hierarchy;
use super::machine::{Swap, is_throwaway, status_kib};
use super::stage::{Machine, Stage};
use super::table::{CASES, Case};
use super::{Args, latency};
use crate::truth::ftrace::Tracer;
use crate::truth::model::Truth;
use crate::truth::reclaim::ReclaimTracer;
use crate::workload::sys;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The cases that a directory has to have, in `cases.json` beside them.
pub(crate) const MANIFEST: &str = "cases.json";

/// And for each incident more.
const TELL_EACH: Duration = Duration::from_millis(20);

fn machine(kprobes: bool, agent: Option<Binary>) -> Result<Machine> {
    Ok(Machine {
        hierarchy: Hierarchy::detect()?,
        tracer: Tracer::new(kprobes)?,
        reclaim: ReclaimTracer::new(kprobes)?,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().context("counting CPUs")?.get() as u32,
        agent,
    })
}

/// Prints the cases.
pub(super) fn list() -> Result<()> {
    let machine = machine(true, None)?;
    for case in CASES {
        let missing = case.needs.iter().find_map(|need| need.missing(&machine));
        println!("{:<16} {}", case.name, missing.unwrap_or("can run"));
    }
    Ok(())
}

/// Runs them. An error if any of them proves nothing.
pub(super) fn all(args: &Args) -> Result<()> {
    // The runner and the agent shall outlive a machine-wide OOM.
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "-1000")
        && is_throwaway()
    {
        return Err(error).context("writing -1000 to /proc/self/oom_score_adj");
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("PR_SET_CHILD_SUBREAPER")?;
    if is_throwaway()
        && let Some(disk) = Swap::disk()
    {
        // Whoever set the machine up may use it; here each case that wants swap starts it. Off is as good.
        let _ = sys::swap_off(&disk);
    }
    let binary = Binary { path: args.agent.clone(), pass: args.pass.clone() };
    let machine = machine(!args.no_kprobes, Some(binary).filter(|_| !args.no_agent))?;
    let chosen: Vec<&Case> = CASES
        .iter()
        .filter(|case| !case.heavy || args.heavy || !args.only.is_empty())
        .filter(|case| !case.hard || args.hard || !args.only.is_empty())
        .filter(|case| !case.slow || !args.only.is_empty())
        .filter(|case| args.only.is_empty() || args.only.iter().any(|name| name == case.name))
        .filter(|case| args.except.iter().all(|name| name != case.name))
        .collect();
    fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    let names: Vec<&str> = chosen.iter().map(|case| case.name).collect();
    save(&args.out.join(MANIFEST), &serde_json::to_string(&names)?)?;
    let mut runner = Runner { args, machine: &machine, agent: None, doubtful: 0, last: None };
    for case in chosen {
        runner.case(case)?;
    }
    runner.stop_agent()?;
    if runner.doubtful > 0 {
        bail!("{} cases prove nothing: see the doubts in their truth.json", runner.doubtful);
    }
    Ok(())
}

struct Runner<'a> {
    args: &'a Args,
    machine: &'a Machine,
    agent: Option<Agent>,
    doubtful: usize,
    /// Directory of the case that ran last: late incidents belong there.
    last: Option<std::path::PathBuf>,
}

impl Runner<'_> {
    fn case(&mut self, case: &Case) -> Result<()> {
        let dir = self.args.out.join(case.name);
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        if let Some(reason) = case.needs.iter().find_map(|need| need.missing(self.machine)) {
            println!("{:<16} skip: {reason}", case.name);
            let truth = Truth { case: case.name.into(), skip: Some(reason.into()), ..Truth::default() };
            return save(&dir.join("truth.json"), &serde_json::to_string_pretty(&truth)?);
        }
        if case.heavy {
            // It measures the agent.
            self.stop_agent()?;
        }
        if let (Some(binary), None) = (&self.machine.agent, &self.agent) {
            self.agent = Some(Agent::start(binary.trace(), Out::Read)?);
        }
        let begun = Instant::now();
        let truth = self.run(case, &dir)?;
        let took = begun.elapsed().as_secs_f64();
        println!("{:<16} {} kills, {took:.1} s", case.name, truth.kills.len());
        for doubt in &truth.doubts {
            println!("{:<16} DOUBT: {doubt}", "");
        }
        self.doubtful += usize::from(!truth.doubts.is_empty());
        self.last = Some(dir);
        if case.heavy { self.stop_agent() } else { Ok(()) }
    }

    fn run(&mut self, case: &Case, dir: &Path) -> Result<Truth> {
        let mut stage = Stage::new(self.machine, self.agent.as_ref().map(Agent::pid))?;
        let result = (case.run)(&mut stage);
        if let Err(error) = result {
            stage.doubts.push(format!("{error:#}"));
        }
        let mut left = stage.finish(case.name)?;
        save(&dir.join("kmsg.txt"), &left.messages.join("\n"))?;
        if let Some(trace) = &left.trace {
            save(&dir.join("trace.txt"), trace)?;
        }
        if let Some(reclaim) = &left.reclaim {
            save(&dir.join("reclaim.txt"), reclaim)?;
        }
        let expected = left.truth.kills.len() + usize::from(left.truth.none_killable > 0);
        if let Some(agent) = &mut self.agent {
            let measured = &mut left.truth.measured;
            if agent.is_fresh() {
                measured.insert("agent_attach_ms".into(), agent.attach_ms);
                measured.insert("agent_rss_attached_kib".into(), agent.rss_kib);
                measured.insert("agent_hwm_attached_kib".into(), agent.hwm_kib);
            }
            agent.wait(expected, TELL + TELL_EACH * expected as u32);
            drop(left.swap.take());
            for (name, field) in [("agent_rss_after_kib", "VmRSS"), ("agent_hwm_after_kib", "VmHWM")] {
                if let Ok(kib) = status_kib(agent.pid(), field) {
                    measured.insert(name.into(), kib);
                }
            }
            let (arrived, told) = (agent.arrived(), agent.take());
            latency::measure(&told, &arrived, measured);
            save(&dir.join("incidents.jsonl"), &lines(&told))?;
            save(&dir.join("agent.stderr"), &agent.stderr())?;
        }
        for words in &left.told {
            save(&dir.join(format!("incidents.{}.jsonl", words.telling.name)), &lines(&words.incidents))?;
            save(&dir.join(format!("agent.{}.stderr", words.telling.name)), &words.stderr)?;
        }
        save(&dir.join("truth.json"), &serde_json::to_string_pretty(&left.truth)?)?;
        Ok(left.truth)
    }

    /// Stops the agent. What it still says belongs to the case before.
    fn stop_agent(&mut self) -> Result<()> {
        let Some(agent) = self.agent.take() else { return Ok(()) };
        let (rest, said, trouble) = agent.stop()?;
        let Some(dir) = &self.last else { return Ok(()) };
        let path = dir.join("incidents.jsonl");
        let told = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        save(&path, &(told + &lines(&rest)))?;
        save(&dir.join("agent.stderr"), &said)?;
        if let Some(trouble) = trouble {
            println!("{:<16} AGENT: {trouble}", "");
            save(&dir.join("agent.trouble"), &trouble)?;
        }
        Ok(())
    }
}

fn lines(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
