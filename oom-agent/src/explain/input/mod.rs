//! Where the text comes from: files and pipes, packed or not.
//!
//! # Layout
//! - [`order`]: which files are one log, and which of them is older.
//! - `source`: bytes in a buffer of a fixed size.
//! - `magic`: how they are packed.
//! - `text`: unpacked.

mod magic;
pub(super) mod order;
mod source;
mod text;

#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
pub(super) use text::Text;

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// As it was given.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The name without its directory: the same on every machine.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => {
                path.file_name().map_or_else(|| self.shown(), |name| name.to_string_lossy().into_owned())
            }
        }
    }

    /// Whether something that begins like this is packed.
    pub(super) fn is_packed(bytes: &[u8]) -> bool {
        matches!(magic::head(bytes), magic::Head::Packed(_))
    }

    /// Opens it.
    ///
    /// # Errors
    /// It is not there, not readable or a directory.
    pub(super) fn open(&self) -> Result<File> {
        match self {
            Self::Stdin => {
                let stdin = io::stdin().as_fd().try_clone_to_owned().context("cannot read stdin")?;
                file(stdin.into()).context("cannot read stdin")
            }
            Self::File(path) => {
                let name = path.display();
                let open = File::open(path).map_err(|error| {
                    let who = if error.kind() == ErrorKind::PermissionDenied { " as this user" } else { "" };
                    anyhow!(error).context(format!("cannot open {name}{who}"))
                })?;
                file(open).with_context(|| format!("cannot read {name}"))
            }
        }
    }
}

fn file(file: File) -> Result<File> {
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("it is a directory; name the files in it");
    }
    Ok(file)
}

/// When the youngest line of a log may have been written, by this machine's clock and zone: its last file's last change,
/// or now.
pub(super) fn latest(files: &[Input]) -> DateTime {
    let now = Timestamp::now();
    let metadata = match files.last() {
        Some(Input::File(path)) => std::fs::metadata(path).ok(),
        // `< file`.
        Some(Input::Stdin) => Input::Stdin.open().and_then(|stdin| Ok(stdin.metadata()?)).ok(),
        None => None,
    };
    let changed = metadata
        .filter(Metadata::is_file)
        .and_then(|metadata| Timestamp::try_from(metadata.modified().ok()?).ok());
    // A file from the future has a wrong date.
    changed.filter(|changed| *changed < now).unwrap_or(now).to_zoned(TimeZone::system()).datetime()
}

/// The files as they are given, `-` being stdin; without any, stdin.
pub(super) fn inputs(files: &[PathBuf]) -> Vec<Input> {
    if files.is_empty() {
        return vec![Input::Stdin];
    }
    let input = |path: &PathBuf| {
        if path == Path::new("-") { Input::Stdin } else { Input::File(path.clone()) }
    };
    // Patterns overlap: `syslog* syslog`. What a file has twice is two, but the same file is one.
    let mut seen = HashSet::new();
    files.iter().filter(|path| file_id(path).is_none_or(|id| seen.insert(id))).map(input).collect()
}

/// What tells a file from another one, under whatever name. `None`: it may be read more than once.
fn file_id(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    Some((metadata.dev(), metadata.ino()))
}
