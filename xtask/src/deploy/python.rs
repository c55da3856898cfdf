//! Which Python there is.

use crate::process;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const QUESTION: Duration = Duration::from_secs(10);
/// The oldest that the packages take.
const OLDEST: (u32, u32) = (3, 9);
const NAMES: [&str; 6] = ["python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3"];

/// A Python.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Python {
    /// The program.
    pub(crate) path: PathBuf,
    version: (u32, u32),
}

impl Python {
    /// `3.12`.
    pub(crate) fn version(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }
}

/// The one that `OOM_PYTHON` names, or the newest of those in PATH and of pyenv. `None`: none is new enough.
pub(crate) fn newest() -> Option<Python> {
    if let Some(path) = env::var_os("OOM_PYTHON") {
        return ask(Path::new(&path));
    }
    let of_path = NAMES.iter().map(PathBuf::from);
    let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let of_pyenv = pyenv.and_then(|root| fs::read_dir(root.join("versions")).ok()).into_iter().flatten();
    let of_pyenv = of_pyenv.filter_map(|entry| Some(entry.ok()?.path().join("bin/python3")));
    of_path.chain(of_pyenv).filter_map(|path| ask(&path)).max_by_key(|python| python.version)
}

fn ask(path: &Path) -> Option<Python> {
    let question = "import sys, venv; print(*sys.version_info[:2])";
    let answer = process::capture(Command::new(path).args(["-c", question]), QUESTION).ok()?;
    let version = parse(&answer.ok("python").ok()?)?;
    (version >= OLDEST).then(|| Python { path: path.to_owned(), version })
}

fn parse(answer: &str) -> Option<(u32, u32)> {
    let (major, minor) = answer.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(parse("3 12\n"), Some((3, 12)));
        assert!(parse("3 9") < parse("3 12"), "not compared as text");
        assert_eq!(parse("pyenv: python3.12: command not found"), None);
    }

    #[test]
    fn what_is_no_python_is_none() {
        assert_eq!(ask(Path::new("/bin/true")), None);
        assert_eq!(ask(Path::new("/nonexistent/python3")), None);
    }
}
