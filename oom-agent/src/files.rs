//! Files that the configuration names: small, and perhaps not there.

use anyhow::{Result, ensure};
use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::Path,
};

/// All of a file of at most so many bytes.
///
/// # Errors
/// It cannot be read, or has more.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let said = |error: &std::io::Error| {
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => ": let the user that oom-agent runs as read it",
            _ => "",
        };
        format!("cannot read {}{advice}", path.display())
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    read.map_err(|error| {
        let said = said(&error);
        anyhow::Error::new(error).context(said)
    })?;
    ensure!(bytes.len() as u64 <= most, "{} is larger than {} KiB", path.display(), most >> 10);
    Ok(bytes)
}
