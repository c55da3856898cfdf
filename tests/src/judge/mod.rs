//! The agent's incidents against the truth. Pure but for reading the files; shares no code with the agent.
//!
//! # Layout
//! - [`compare`]: one case: every kill has its incident and nothing else has one.
//! - [`incident`]: one incident against one kill.
//! - [`telling`]: what another agent made of the same.
//! - [`diagnosis`]: what led to it.
//! - [`recovery`]: what it gave back.
//! - [`reclaim`]: sums of reclaim, counted again.
//! - [`totals`]: and as the daemon tells them.
//! - [`points`]: candidates and what their points are made of.
//! - [`state`]: how full everything was.
//!
//! Nothing passes for lack of evidence: a case that is missing, empty or doubts itself has failed.

mod compare;
mod diagnosis;
mod incident;
mod points;
mod reclaim;
mod recovery;
mod state;
mod sum;
mod telling;
#[cfg(test)]
mod tests;
mod totals;

use crate::cases::MANIFEST;
use crate::truth::model::Truth;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Differences of a case that are printed.
const SHOWN: usize = 20;

/// What is wrong, and what is worth knowing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) wrong: Vec<String>,
    pub(crate) kills: usize,
    /// What had to hold besides.
    pub(crate) checks: usize,
    /// More agents that told the same.
    pub(crate) agents: usize,
    /// Figures of how full things were that the truth has, too.
    pub(crate) filled: usize,
    /// Largest difference of such a figure, in thousandths.
    pub(crate) filled_off: u64,
    /// Candidates whose points the kernel gave, too.
    pub(crate) points_compared: usize,
    /// Largest difference in pages between an incident's points and the formula over its memory.
    pub(crate) formula_off: Option<u64>,
    /// Sums of reclaim that were counted again, and how many of them have an event at the edge of their window.
    pub(crate) sums_compared: usize,
    pub(crate) sums_at_edge: usize,
    /// Windows that are right only if the machine stood still between two looks at the clock.
    pub(crate) windows_stalled: usize,
    /// Incidents that do not believe the full cgroup's files.
    pub(crate) files_doubted: usize,
    /// Where the kernel's points are not seen: largest difference from the formula over the rows of its report.
    pub(crate) table_off: Option<u64>,
    /// What the diagnosis of the first incident begins with, and how sure it is.
    pub(crate) diagnosis: Option<String>,
}

impl Findings {
    fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every check held. In words: how much was checked.
    Passed(String),
    /// It does not apply on this machine, for this reason.
    Skipped(String),
    /// What did not hold.
    Failed(Vec<String>),
}

/// The verdict on one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Name of the case.
    pub case: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Its files.
    pub dir: PathBuf,
}

impl Verdict {
    /// Something did not hold.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, outcome, dir } = self;
        match outcome {
            Outcome::Passed(what) => write!(f, "ok    {case:<16} {what}"),
            Outcome::Skipped(why) => write!(f, "skip  {case:<16} {why}"),
            Outcome::Failed(wrong) => {
                write!(f, "FAIL  {case:<16} {} differences; files: {}", wrong.len(), dir.display())?;
                wrong.iter().take(SHOWN).try_for_each(|what| write!(f, "\n      {what}"))?;
                if wrong.len() > SHOWN {
                    write!(f, "\n      and {} more", wrong.len() - SHOWN)
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// Prints the verdicts on a directory (`args[1]`) by hand. An error if any case has failed.
pub fn main(args: &[OsString]) -> Result<()> {
    let dir = args.get(1).context("usage: oom-guest judge DIR")?;
    let verdicts = judge(Path::new(dir))?;
    for verdict in &verdicts {
        println!("{verdict}");
    }
    match verdicts.iter().filter(|verdict| verdict.has_failed()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} cases failed", verdicts.len()),
    }
}

/// Judges what `oom-guest cases` left in `dir`.
///
/// # Errors
/// When `dir` holds no cases at all.
pub fn judge(dir: &Path) -> Result<Vec<Verdict>> {
    let path = dir.join(MANIFEST);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {}: did the cases run at all?", path.display()))?;
    let names: Vec<String> =
        serde_json::from_str(&text).with_context(|| format!("reading {} as JSON", path.display()))?;
    if names.is_empty() {
        bail!("{} names no case", path.display());
    }
    Ok(names.into_iter().map(|name| verdict(dir, name)).collect())
}

fn verdict(dir: &Path, case: String) -> Verdict {
    let dir = dir.join(&case);
    let outcome = read(&dir, &case).unwrap_or_else(|error| Outcome::Failed(vec![format!("{error:#}")]));
    Verdict { case, outcome, dir }
}

fn read(dir: &Path, case: &str) -> Result<Outcome> {
    let text = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let truth: Truth = serde_json::from_str(&text("truth.json")?).context("reading truth.json as JSON")?;
    if truth.case != case {
        bail!("truth.json is of the case {:?}", truth.case);
    }
    if let Some(reason) = truth.skip {
        return Ok(Outcome::Skipped(reason));
    }
    let incidents = |name: &str| {
        text(name)?
            .lines()
            .map(|line| {
                serde_json::from_str(line).with_context(|| format!("an incident is not JSON: {line}"))
            })
            .collect::<Result<Vec<Value>>>()
    };
    let mut findings = compare::compare(&truth, &incidents("incidents.jsonl")?);
    if truth.sources.iter().any(|source| source == "reclaim") {
        let trace = reclaim::Trace::parse(&text("reclaim.txt")?);
        let incidents = incidents("incidents.jsonl")?;
        for incident in &incidents {
            reclaim::compare(&truth, &trace, incident, &mut findings);
        }
        let level = incidents.first().and_then(|it| it.pointer("/evidence/level")).and_then(Value::as_str);
        totals::compare(&truth, &trace, level.unwrap_or_default(), &mut findings);
    }
    let mut said = vec![text("agent.stderr")?];
    for told in &truth.tellings {
        let stderr = text(&format!("agent.{}.stderr", told.name))?;
        let its = incidents(&format!("incidents.{}.jsonl", told.name))?;
        telling::compare(&truth, told, &its, &stderr, &mut findings);
        said.push(stderr);
    }
    for line in said.iter().flat_map(|said| said.lines()).filter(|line| line.contains("panicked at")) {
        findings.wrong(format!("the agent panicked: {line}"));
    }
    if let Ok(trouble) = text("agent.trouble") {
        findings.wrong(trouble);
    }
    Ok(outcome(&truth, findings))
}

/// What an incident says of itself.
pub(crate) fn notes(incident: &Value) -> impl Iterator<Item = &str> {
    let notes = incident.pointer("/evidence/notes").and_then(Value::as_array);
    notes.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether one of its notes has these words.
fn says(incident: &Value, words: &str) -> bool {
    notes(incident).any(|note| note.contains(words))
}

/// So often files may be caught in the middle, in a case of any length.
const DOUBTED: usize = 2;

/// The findings as an outcome.
fn outcome(truth: &Truth, findings: Findings) -> Outcome {
    let Findings {
        mut wrong,
        kills,
        checks,
        agents,
        filled,
        filled_off,
        points_compared,
        formula_off,
        sums_compared,
        sums_at_edge,
        windows_stalled,
        files_doubted,
        table_off,
        diagnosis,
    } = findings;
    if files_doubted > DOUBTED.max(kills / 10) {
        wrong.push(format!("the full cgroup's files are not believed {files_doubted} times"));
    }
    if !wrong.is_empty() {
        return Outcome::Failed(wrong);
    }
    let mut words = vec![format!("{kills} kills")];
    if truth.none_killable > 0 {
        words.push(format!("{} times nobody to kill", truth.none_killable));
    }
    if checks > 0 {
        words.push(format!("{checks} checks"));
    }
    if agents > 0 {
        words.push(format!("{agents} more agents"));
    }
    if filled > 0 {
        words.push(format!("{filled} figures of the state off by {filled_off} ‰ at most"));
    }
    if points_compared > 0 {
        words.push(format!("{points_compared} points equal"));
    }
    if sums_compared > 0 {
        words.push(format!("{sums_compared} sums of reclaim, {sums_at_edge} with an event at the edge"));
    }
    if windows_stalled > 0 {
        words.push(format!("{windows_stalled} windows right if the VM stood still"));
    }
    if files_doubted > 0 {
        words.push(format!("files not believed {files_doubted} times"));
    }
    words.extend(diagnosis.map(|first| format!("because {first}")));
    words.extend(formula_off.map(|off| format!("formula off by {off} pages at most")));
    words.extend(table_off.map(|off| format!("off the kernel's table by {off} pages at most")));
    words.extend(truth.measured.iter().map(|(name, value)| format!("{name} {value}")));
    Outcome::Passed(words.join(", "))
}
