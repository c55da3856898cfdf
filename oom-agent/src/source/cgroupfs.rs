//! Memory cgroups in files, v1 and v2. Whoever reads them knows that a cgroup may be gone at any moment.

use crate::{
    incident::model::NO_LIMIT,
    kernel::{
        decode::name,
        host::cgroup::{Cgroups, Memory},
    },
    rank::facts::Bound,
};
use std::{
    fs::{File, read_dir},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// A file is not read further than this.
const LONGEST: u64 = 64 << 10;
/// Directories that are listed, at most.
const DIRECTORIES: usize = 16_384;

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

    /// The same, if paths in it are the kernel's: the whole hierarchy is mounted there.
    pub(crate) fn whole(root: &Path, cgroups: &Cgroups) -> Option<Self> {
        Self::find(root, cgroups).filter(|tree| is_whole(&tree.dir))
    }

    /// The directory of a cgroup.
    pub(crate) fn at(&self, cgroup: &str) -> Dir {
        Dir(self.dir.join(cgroup.trim_start_matches('/')))
    }

    /// Paths, as the kernel writes them, of those that processes are in: the root and all without memory cgroups below
    /// them; and of all with a limit.
    pub(crate) fn list(&self) -> Vec<String> {
        let root = Seen { path: "/".to_owned(), wanted: true, has_limit: false };
        let mut seen = vec![root];
        let mut stack = vec![(self.dir.clone(), 0)];
        while let Some((dir, parent)) = stack.pop() {
            for entry in read_dir(&dir).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || seen.len() >= DIRECTORIES {
                    continue;
                }
                let dir = Dir(entry.path());
                // Without a limit's file it is no memory cgroup.
                let limit = if self.v2 { "memory.max" } else { "memory.limit_in_bytes" };
                let Some(limit) = dir.limit(limit) else { continue };
                let above = if parent == 0 { "" } else { &seen[parent].path };
                let path = format!("{above}/{}", name(entry.file_name().as_bytes()));
                if parent != 0 {
                    seen[parent].wanted = seen[parent].has_limit;
                }
                stack.push((dir.0, seen.len()));
                seen.push(Seen { path, wanted: true, has_limit: limit.bytes().is_some() });
            }
        }
        seen.into_iter().filter(|it| it.wanted).map(|it| it.path).collect()
    }
}

/// Whether the whole hierarchy is mounted here. Mounted in a cgroup namespace it is a part of it: paths in there are not those
/// that the kernel tells. The root's inode is the first that its file system gives out (`kernfs_create_root`).
pub(crate) fn is_whole(mount: &Path) -> bool {
    // `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` (include/uapi/linux/magic.h).
    const CGROUP_FILE_SYSTEMS: [u64; 2] = [0x0027_e0eb, 0x6367_7270];
    let kind = rustix::fs::statfs(mount).map(|file_system| file_system.f_type as u64);
    !kind.is_ok_and(|kind| CGROUP_FILE_SYSTEMS.contains(&kind))
        || mount.metadata().is_ok_and(|it| it.ino() == 1)
}

/// A directory that was listed.
struct Seen {
    path: String,
    /// A victim may be in it, or it is one that is likely to get full.
    wanted: bool,
    has_limit: bool,
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

    /// A limit.
    pub(crate) fn limit(&self, name: &str) -> Option<Bound> {
        match self.text(name)?.as_str() {
            "max" => Some(Bound::NONE),
            bytes => bytes
                .parse()
                .ok()
                .map(|bytes| if bytes < NO_LIMIT { Bound::Bytes(bytes) } else { Bound::NONE }),
        }
    }
}

/// What a file holds, as far as it is not too long.
pub(crate) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Most are shorter: one read, and one that says so.
    let mut bytes = Vec::with_capacity(4096);
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::host::cgroup::Layout;
    use std::{ffi::OsStr, fs};

    #[test]
    fn leaves_and_those_with_a_limit_are_listed() {
        let root = std::env::temp_dir().join(format!("oom-agent-cgroups-{}", std::process::id()));
        let mount = root.join("sys/fs/cgroup");
        let make = |path: &[u8], limit: Option<&str>| {
            let dir = mount.join(OsStr::from_bytes(path));
            fs::create_dir_all(&dir).unwrap();
            if let Some(limit) = limit {
                fs::write(dir.join("memory.max"), limit).unwrap();
            }
        };
        make(b"", None);
        make(b"a.slice", Some("max\n"));
        make(b"a.slice/x.service", Some("max\n"));
        make(b"a.slice/y\xff.service", Some("max\n"));
        make(b"pod", Some("1048576\n"));
        make(b"pod/container", Some("max\n"));
        make(b"pod/container/no-controller", None);
        make(b"no-controller", None);
        let cgroups = |memory| Cgroups { layout: Layout::Unified, memory };
        let tree = Tree::find(&root, &cgroups(Memory::V2("/sys/fs/cgroup".into()))).unwrap();
        let mut list = tree.list();
        list.sort();
        let expected = ["/", "/a.slice/x.service", "/a.slice/y\\xff.service", "/pod", "/pod/container"];
        assert_eq!(list, expected);
        assert!(Tree::find(&root, &cgroups(Memory::Disabled)).is_none());
        fs::remove_dir_all(&root).unwrap();
    }
}
