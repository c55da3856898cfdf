//! The store's files: made, locked, recognised, set aside.

use super::error::Error;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Name of the database in the state directory.
pub(super) const NAME: &str = "incidents.db";
/// Damaged files that are kept. A disk that damages each new one must not be filled with them.
const MOST_ASIDE: usize = 8;

/// The file with something behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Makes the directory and an empty file where there is none. Incidents name processes: others may not read them unless
/// the administrator says so.
pub(super) fn prepare(path: &Path) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(Error::at("make", dir))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o640).open(path) {
        Ok(file) => {
            file.sync_all().map_err(Error::at("write", path))?;
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::at("write", dir))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // SQLite takes the log of an empty file for left over and deletes it.
            let empty = fs::metadata(path).is_ok_and(|file| file.len() == 0);
            let log = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
            if empty && log {
                return Err(Error::Damaged("the file is empty, its write-ahead log is not".into()));
            }
            Ok(())
        }
        Err(error) => Err(Error::at("make", path)(error)),
    }
}

/// Locks the directory for one agent, unless `held` does so already. `None` where the file system has no locks.
///
/// It waits a moment: for an agent that is just ending, or a process that inherited the lock and is just starting another
/// program.
pub(super) fn lock(path: &Path, held: Option<File>) -> Result<Option<File>, Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let same = |held: &File| held.metadata().is_ok_and(|it| Some((it.dev(), it.ino())) == identity(dir));
    if held.as_ref().is_some_and(same) {
        return Ok(held);
    }
    let open = File::open(dir).map_err(Error::at("open", dir))?;
    for _ in 0..10 {
        match flock(&open, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(open)),
            Err(Errno::WOULDBLOCK) => thread::sleep(Duration::from_millis(20)),
            Err(_) => return Ok(None),
        }
    }
    Err(Error::InUse(dir.to_owned()))
}

/// What tells a file from another one of the same name.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Renames a damaged database and what belongs to it. `stamp`: when.
pub(super) fn set_aside(path: &Path, stamp: &str) -> Result<PathBuf, Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let before = fs::read_dir(dir).map_err(Error::at("read", dir))?;
    let prefix = format!("{NAME}.damaged-");
    let is_aside = |name: &str| name.starts_with(&prefix) && !name.ends_with("-wal");
    let count = before.flatten().filter(|entry| is_aside(&entry.file_name().to_string_lossy())).count();
    if count >= MOST_ASIDE {
        let what = format!("{count} damaged files are set aside in {} already", dir.display());
        return Err(Error::Io(what, ErrorKind::QuotaExceeded.into()));
    }
    let aside = beside(path, &format!(".damaged-{stamp}"));
    let to = |from: &Path, to: &Path| match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::at("rename", from)(error)),
        _ => Ok(()),
    };
    // The log first: left beside a new file it would be taken for that one's.
    to(&beside(path, "-wal"), &beside(&aside, "-wal"))?;
    // It has nothing that is not in the log.
    let _ = fs::remove_file(beside(path, "-shm"));
    to(path, &aside)?;
    Ok(aside)
}
