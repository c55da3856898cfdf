//! Which memory cgroups there are, v1 and v2.

use crate::kernel::{
    decode::name,
    host::cgroup::{Cgroups, Memory},
};
use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Directories that are looked at, at most.
const DIRECTORIES: usize = 16_384;
/// From here on a limit of v1 is none: `PAGE_COUNTER_MAX` in bytes.
const NO_LIMIT: u64 = 1 << 62;

/// Where memory cgroups are.
#[derive(Clone, Debug)]
pub struct Tree {
    mount: PathBuf,
    /// The file with a cgroup's limit: a directory without it is no memory cgroup.
    limit: &'static str,
}

/// A directory that was looked at.
struct Seen {
    path: String,
    /// A victim may be in it, or it is one that is likely to get full.
    wanted: bool,
    has_limit: bool,
}

impl Tree {
    /// `None`: no memory controller can be reached here.
    pub fn find(root: &Path, cgroups: &Cgroups) -> Option<Self> {
        let (mount, limit) = match &cgroups.memory {
            Memory::V1(mount) => (mount, "memory.limit_in_bytes"),
            Memory::V2(mount) => (mount, "memory.max"),
            Memory::V1NotMounted | Memory::Disabled | Memory::NotFound => return None,
        };
        Some(Self { mount: root.join(mount.strip_prefix("/").unwrap_or(mount)), limit })
    }

    /// Paths, as the kernel writes them, of those that processes are in: the root and all without memory cgroups below
    /// them; and of all with a limit.
    pub fn list(&self) -> Vec<String> {
        let root = Seen { path: "/".to_owned(), wanted: true, has_limit: false };
        let mut seen = vec![root];
        let mut stack = vec![(self.mount.clone(), 0)];
        while let Some((dir, parent)) = stack.pop() {
            // A cgroup may go at any moment.
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || seen.len() >= DIRECTORIES {
                    continue;
                }
                let dir = entry.path();
                let Some(has_limit) = self.has_limit(&dir) else { continue };
                let above = if parent == 0 { "" } else { &seen[parent].path };
                let path = format!("{above}/{}", name(entry.file_name().as_bytes()));
                if parent != 0 {
                    seen[parent].wanted = seen[parent].has_limit;
                }
                stack.push((dir, seen.len()));
                seen.push(Seen { path, wanted: true, has_limit });
            }
        }
        seen.into_iter().filter(|it| it.wanted).map(|it| it.path).collect()
    }

    /// `None`: it is no memory cgroup.
    fn has_limit(&self, dir: &Path) -> Option<bool> {
        let mut buffer = [0; 32];
        let length = File::open(dir.join(self.limit)).and_then(|mut file| file.read(&mut buffer)).ok()?;
        let text = str::from_utf8(buffer.get(..length)?).ok()?.trim_ascii();
        Some(text.parse::<u64>().is_ok_and(|bytes| bytes < NO_LIMIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::host::cgroup::Layout;
    use std::ffi::OsStr;

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
