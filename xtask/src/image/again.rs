//! The agent, built a second time from a copy of its sources in another directory: it has to be the same file.

use super::QUESTION;
use crate::{cache, machine::Machine, process, static_build};
use anyhow::{Context as _, Result, ensure};
use std::{fs, path::Path, process::Command};

/// Builds it in `directory`, which is made anew and removed again, and compares it with `agent`.
///
/// # Errors
/// It differs: then both are kept. Or there is no git to say which files are sources.
pub(super) fn check(machine: Machine, agent: &Path, directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    let sources = cache::directory(&directory.join("another/name/of/the/sources"))?;
    copy(&sources)?;
    let again = static_build::build_in(&sources, "oom-agent", "oom-agent", machine, &sources.join("target"))?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let (first, second) = (read(agent)?, read(&again)?);
    ensure!(
        first == second,
        "built in two directories it differs: {} and {}",
        agent.display(),
        again.display()
    );
    fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))
}

/// Copies what is not ignored, as it is now.
fn copy(to: &Path) -> Result<()> {
    let workspace = process::workspace();
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&workspace);
    let files = process::capture(&mut git, QUESTION)?.ok("git ls-files")?;
    for name in files.split_terminator('\0') {
        let (from, to) = (workspace.join(name), to.join(name));
        // Removed, and that is not committed yet.
        if !from.exists() {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(())
}
