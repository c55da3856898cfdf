//! How many kills the kernel counted: on the machine since boot, and in a memory cgroup since it was made.

use super::cgroupfs::{Dir, Tree};
use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// `/proc/vmstat` has about 200 lines, these files a few.
const LONGEST: u64 = 32 << 10;

/// Where they are.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    vmstat: PathBuf,
}

/// Those of one cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    /// The file's inode: a cgroup that was made anew under the same name has another one, and counts from 0.
    pub(crate) inode: u64,
    /// `oom_kill`: of its own processes, not of those below it.
    pub(crate) kills: u64,
}

impl Counters {
    pub(crate) fn new(root: &Path) -> Self {
        Self { vmstat: root.join("proc/vmstat") }
    }

    /// `oom_kill` of `/proc/vmstat`.
    pub(crate) fn machine(&self) -> Option<u64> {
        Some(read(&self.vmstat)?.kills)
    }
}

impl Tree {
    /// `oom_kill` of `memory.events.local`, which unlike `memory.events` does not count what is below; of v1
    /// `memory.oom_control`, which never does. `None`: it is gone, or the kernel has no such file.
    pub(crate) fn kills(&self, cgroup: &str) -> Option<Counter> {
        let Dir(dir) = self.at(cgroup);
        read(&dir.join(if self.v2 { "memory.events.local" } else { "memory.oom_control" }))
    }
}

fn read(path: &Path) -> Option<Counter> {
    let file = File::open(path).ok()?;
    let inode = file.metadata().ok()?.ino();
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())?;
    Some(Counter { inode, kills })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::host::{
        cgroup::{Cgroups, Layout, Memory},
        test_root::TestRoot,
    };

    #[test]
    fn the_right_line_is_read() {
        let root = TestRoot::new()
            .file("proc/vmstat", "nr_free_pages 1\noom_kill_x 9\noom_kill 42\npgfault 3\n")
            .file("v2/a/memory.events.local", "low 0\noom 5\noom_kill 2\noom_group_kill 7\n")
            .file("v2/a/memory.events", "oom_kill 99\n")
            .file("v1/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
            .file("v1/old/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n");
        assert_eq!(Counters::new(root.path()).machine(), Some(42));
        assert_eq!(Counters::new(&root.path().join("none")).machine(), None);
        let tree = |memory| Tree::find(root.path(), &Cgroups { layout: Layout::Unified, memory }).unwrap();
        let kills = |tree: &Tree, cgroup| tree.kills(cgroup).map(|counter| counter.kills);
        let v2 = tree(Memory::V2("/v2".into()));
        assert_eq!((kills(&v2, "/a"), kills(&v2, "/gone")), (Some(2), None));
        let v1 = tree(Memory::V1("/v1".into()));
        assert_eq!((kills(&v1, "/a"), kills(&v1, "/old")), (Some(3), None));
    }
}
