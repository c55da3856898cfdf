//! Memory cgroups in files, v1 and v2. Whoever reads them knows that a cgroup may be gone at any moment.

use crate::kernel::host::cgroup::{Cgroups, Memory};
use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// From here on a limit of v1 is none: `PAGE_COUNTER_MAX` in bytes.
const NO_LIMIT: u64 = 1 << 62;
/// A file is not read further than this.
const LONGEST: u64 = 64 << 10;

/// Where memory cgroups are.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// The mount point, below the root that tests replace.
    dir: PathBuf,
    /// The mount point as everybody else knows it.
    pub(crate) mount: PathBuf,
    pub(crate) v2: bool,
}

impl Tree {
    /// `None`: no memory controller can be reached here.
    pub(crate) fn find(root: &Path, cgroups: &Cgroups) -> Option<Self> {
        let (mount, v2) = match &cgroups.memory {
            Memory::V1(mount) => (mount, false),
            Memory::V2(mount) => (mount, true),
            Memory::V1NotMounted | Memory::Disabled | Memory::NotFound => return None,
        };
        let dir = root.join(mount.strip_prefix("/").unwrap_or(mount));
        Some(Self { dir, mount: mount.clone(), v2 })
    }

    /// The directory of a cgroup.
    pub(crate) fn at(&self, cgroup: &str) -> Dir {
        Dir(self.dir.join(cgroup.trim_start_matches('/')))
    }
}

/// The directory of one cgroup.
#[derive(Clone, Debug)]
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    /// The cgroup's id: its inode. `None`: it is not there.
    pub(crate) fn id(&self) -> Option<u64> {
        self.0.metadata().ok().map(|it| it.ino())
    }

    /// There is such a file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    /// A file's text, without the line's end.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let bytes = bytes(&self.0.join(name)).ok()?;
        Some(str::from_utf8(&bytes).ok()?.trim().to_owned())
    }

    /// A number in a file of its own.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// A limit: `Some(None)` is none.
    pub(crate) fn limit(&self, name: &str) -> Option<Option<u64>> {
        match self.text(name)?.as_str() {
            "max" => Some(None),
            bytes => bytes.parse().ok().map(|bytes| Some(bytes).filter(|bytes| *bytes < NO_LIMIT)),
        }
    }
}

/// What a file holds, as far as it is not too long.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
