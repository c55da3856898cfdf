//! `oom-agent rank`: who would be killed now.
//!
//! # Layout
//! - [`RankArgs`]: its arguments.
//! - [`facts`]: what is known of processes and cgroups.
//! - [`read`]: reads them; the only part that asks the system.
//! - [`ranking`]: facts to a ranking, by the kernel's arithmetic; pure.
//! - [`what_if`]: the same with another `oom_score_adj` or limit; pure.
//! - [`answer`]: all of it, as it is shown.
//! - [`text`]: for a person. As JSON: `docs/rank.schema.json`.
//! - [`watch`]: again and again.

pub mod answer;
mod args;
pub mod facts;
pub mod ranking;
pub mod read;
pub mod text;
mod watch;
pub mod what_if;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use crate::{
    clock,
    identity::{fill::Known, logs::Logs, names::Names},
    sink::{
        json,
        terminal::{Show, Style},
    },
};
use answer::Answer;
use anyhow::{Context as _, Result, anyhow};
pub use args::{Format, RankArgs};
use ranking::Ranking;
use std::{
    borrow::Cow,
    io::{self, ErrorKind, Write as _},
    path::Path,
};
use what_if::Change;

/// Runs the command.
///
/// # Errors
/// [`crate::startup::NotPermitted`] where /proc or the memory controller cannot be read; a cgroup or a process that does not
/// exist; stdout cannot be written.
pub fn run(args: &RankArgs) -> Result<()> {
    let question = Question::new(args)?;
    if let Some(every) = args.watch {
        return watch::run(args, &question, every);
    }
    let answer = question.ask()?;
    let out = shown(args, &answer);
    let mut stdout = io::stdout().lock();
    match stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever read the pipe has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

/// Who would be killed now, of the machine or in a memory cgroup.
///
/// # Errors
/// The cgroup does not exist; /proc or the memory controller cannot be read.
pub fn now(cgroup: Option<&str>) -> Result<Answer> {
    let cgroup = cgroup.map(|asked| read::cgroup_path(Path::new("/"), asked)).transpose()?;
    Question { cgroup, changes: Vec::new() }.ask()
}

/// An answer as `--format json` prints it, with `top` candidates.
pub fn json(answer: &Answer, top: usize) -> String {
    json::any_line(&limited(answer, Some(top)))
}

fn shown(args: &RankArgs, answer: &Answer) -> String {
    match args.format {
        Format::Json => json::any_line(&limited(answer, args.top)),
        Format::Text => text::render(answer, &Style::detect(Show::Top(args.top.unwrap_or(10)))),
    }
}

/// What is asked.
struct Question {
    cgroup: Option<String>,
    changes: Vec<Change>,
}

impl Question {
    /// Cgroups by their paths. A limit that is changed asks about its cgroup, unless another one is.
    fn new(args: &RankArgs) -> Result<Self> {
        let path = |asked: &str| read::cgroup_path(Path::new("/"), asked);
        let mut cgroup = args.cgroup.as_deref().map(path).transpose()?;
        let mut changes = args.what_if.clone();
        for change in &mut changes {
            if let Change::Limit { cgroup: limited, .. } = change {
                *limited = path(limited)?;
                cgroup.get_or_insert_with(|| limited.clone());
            }
        }
        Ok(Self { cgroup, changes })
    }

    fn ask(&self) -> Result<Answer> {
        let facts = read::read(Path::new("/"), self.cgroup.as_deref(), rustix::param::page_size() as u64)?;
        let time = clock::wall(clock::boottime_ns()).map(|(_, text)| text);
        let mut answer =
            Answer::new(&facts, time, self.cgroup.as_deref(), &self.changes).map_err(|why| anyhow!(why))?;
        name(&mut answer);
        Ok(answer)
    }
}

/// Says of everybody whose it is.
fn name(answer: &mut Answer) {
    let mut names = Names::default();
    names.has_source = Logs::list(Path::new("/"), &mut names);
    let mut known = Known::default();
    let Answer { now, what_if, .. } = answer;
    for ranking in std::iter::once(now).chain(what_if.iter_mut().map(|it| &mut it.then)) {
        let Ranking { scope, candidates, .. } = ranking;
        let candidates = candidates.iter_mut().map(|it| (it.cgroup.as_deref(), &mut it.identity));
        for (cgroup, identity) in candidates.chain([(scope.cgroup.as_deref(), &mut scope.identity)]) {
            if let Some(cgroup) = cgroup {
                *identity = known.whose(cgroup, &mut |identity| names.name(identity));
            }
        }
    }
}

/// With so many candidates, those with the most points first.
fn limited(answer: &Answer, top: Option<usize>) -> Cow<'_, Answer> {
    let Some(top) = top else { return Cow::Borrowed(answer) };
    let mut answer = answer.clone();
    answer.now.candidates.truncate(top);
    if let Some(what_if) = &mut answer.what_if {
        what_if.then.candidates.truncate(top);
    }
    Cow::Owned(answer)
}
