//! Where downloads and VM runs are kept, and the lock that keeps two commands from fetching the same thing.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The workspace's root directory.
pub(crate) fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The directory of everything that is kept between runs: `$OOM_CACHE`, or `target/vm` of the workspace.
pub(crate) fn root() -> Result<PathBuf> {
    let root = env::var_os("OOM_CACHE").map_or_else(|| workspace().join("target/vm"), PathBuf::from);
    directory(&root)
}

/// `path`, made with its parents if it does not exist, as an absolute path.
pub(crate) fn directory(path: &Path) -> Result<PathBuf> {
    fs::create_dir_all(path).with_context(|| format!("making the directory {}", path.display()))?;
    path.canonicalize().with_context(|| format!("resolving {}", path.display()))
}

/// A lock on `<cache>/<name>.lock` that is held until it is dropped, also against other processes.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its drop, which releases the lock")] File);

/// Takes the lock called `name`, and waits for whoever holds it.
pub(crate) fn lock(name: &str) -> Result<Lock> {
    let path = root()?.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("making the lock {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(Lock(file))
}
