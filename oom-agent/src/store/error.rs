//! Why the store cannot be used.

use rusqlite::ErrorCode;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why the store cannot be used.
#[derive(Debug)]
pub enum Error {
    /// There is none here.
    Missing(PathBuf),
    /// It was written by a later version of the agent, which has this schema.
    Newer(i64),
    /// A database, but not the agent's.
    Foreign(PathBuf),
    /// Another agent has it open for writing.
    InUse(PathBuf),
    /// Its file is damaged; how.
    Damaged(String),
    /// The file system refused; what was tried.
    Io(String, io::Error),
    /// SQLite refused.
    Sqlite(rusqlite::Error),
}

impl Error {
    /// For the map of an error of the file system.
    pub(super) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::Io(format!("cannot {what} {path}"), error)
    }

    /// The file's content cannot be trusted any more. Else it is only out of reach.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }

    /// To try again changes nothing: somebody has to decide what to do.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Newer(_) | Self::Foreign(_) | Self::InUse(_))
    }

    /// This process may not read it.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Io(_, error) => error.kind() == ErrorKind::PermissionDenied,
            // A reader would have to make files beside the database (`SQLITE_READONLY_DIRECTORY`).
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::ReadOnly)
            ),
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "there is no store at {}", path.display()),
            Self::Newer(version) => write!(
                f,
                "the store was written by a later version of oom-agent (schema {version}, this one knows {})",
                super::database::VERSION
            ),
            Self::Foreign(path) => write!(f, "{} is a database, but not one of oom-agent", path.display()),
            Self::InUse(dir) => write!(f, "another oom-agent writes to {}", dir.display()),
            Self::Damaged(how) => f.write_str(how),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Sqlite(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
