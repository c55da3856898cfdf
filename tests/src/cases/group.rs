//! Throwaway memory cgroups, v1 and v2.

use crate::truth::model::Level;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where memory cgroups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// The memory controller has a hierarchy of its own.
    V1,
    /// The one hierarchy of all.
    V2,
}

impl Hierarchy {
    /// Finds out.
    pub(crate) fn detect() -> Result<Self> {
        if Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
            return Ok(Self::V1);
        }
        let path = "/sys/fs/cgroup/cgroup.controllers";
        let controllers = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        if controllers.split_ascii_whitespace().any(|c| c == "memory") {
            return Ok(Self::V2);
        }
        bail!("no memory controller: neither /sys/fs/cgroup/memory nor {path} has it")
    }

    fn root(self) -> &'static Path {
        match self {
            Self::V1 => Path::new("/sys/fs/cgroup/memory"),
            Self::V2 => Path::new("/sys/fs/cgroup"),
        }
    }
}

/// A memory cgroup. Dropped, its members are killed and the directories that were made for it go.
#[derive(Debug)]
pub(crate) struct Group {
    hierarchy: Hierarchy,
    /// As the kernel names it.
    pub(crate) path: String,
    made: Vec<PathBuf>,
}

impl Group {
    /// Creates it and what is missing above it.
    pub(crate) fn new(hierarchy: Hierarchy, path: &str) -> Result<Self> {
        let mut group = Self { hierarchy, path: path.to_owned(), made: Vec::new() };
        let mut dir = hierarchy.root().to_owned();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match hierarchy {
                // Without it, 5.10 counts no child's memory in its parent. Gone or fixed at 1 elsewhere.
                Hierarchy::V1 => drop(fs::write(dir.join("memory.use_hierarchy"), "1")),
                Hierarchy::V2 => {
                    let control = dir.join("cgroup.subtree_control");
                    fs::write(&control, "+memory")
                        .with_context(|| format!("writing +memory to {}", control.display()))?;
                    // Only one case needs it; some machines have none.
                    let _ = fs::write(&control, "+cpuset");
                }
            }
            dir.push(name);
            if !dir.is_dir() {
                fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
                group.made.push(dir.clone());
            }
        }
        Ok(group)
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> PathBuf {
        self.hierarchy.root().join(self.path.trim_start_matches('/'))
    }

    /// Its `cgroup.procs`.
    pub(crate) fn procs(&self) -> PathBuf {
        self.dir().join("cgroup.procs")
    }

    /// Inode of its directory: the kernel's id of it.
    pub(crate) fn id(&self) -> Result<u64> {
        let dir = self.dir();
        Ok(fs::metadata(&dir).with_context(|| format!("looking at {}", dir.display()))?.ino())
    }

    /// It and those above it, as their files tell.
    pub(crate) fn levels(&self) -> Result<Vec<(String, Level)>> {
        let mut path = self.path.as_str();
        let mut levels = Vec::new();
        loop {
            let dir = self.hierarchy.root().join(path.trim_start_matches('/'));
            levels.push((if path.is_empty() { "/" } else { path }.to_owned(), self.level(&dir)?));
            match path.rsplit_once('/') {
                Some((up, _)) => path = up,
                None => return Ok(levels),
            }
        }
    }

    fn level(&self, dir: &Path) -> Result<Level> {
        let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        // v1's word for none is the largest number of pages.
        let limit = |name: &str| number(name).filter(|bytes| *bytes < 1 << 62);
        let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
        let root = dir == self.hierarchy.root();
        let common = Level {
            id: fs::metadata(dir).with_context(|| format!("looking at {}", dir.display()))?.ino(),
            root,
            children: entries.filter(|it| it.as_ref().is_ok_and(|it| it.path().is_dir())).count() as u64,
            ..Level::default()
        };
        Ok(match self.hierarchy {
            Hierarchy::V1 => Level {
                usage_bytes: number("memory.usage_in_bytes"),
                max_bytes: limit("memory.limit_in_bytes"),
                ..common
            },
            Hierarchy::V2 => Level {
                usage_bytes: number("memory.current"),
                max_bytes: limit("memory.max"),
                high_bytes: limit("memory.high"),
                swap_max_bytes: limit("memory.swap.max"),
                oom_group: number("memory.oom.group").map(|set| set == 1),
                ..common
            },
        })
    }

    /// Limits memory; no swap unless `swap_mib` says so.
    pub(crate) fn limit(&self, mib: u64, swap_mib: u64) -> Result<()> {
        let (memory, swap) = match self.hierarchy {
            Hierarchy::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
            Hierarchy::V2 => ("memory.max", "memory.swap.max"),
        };
        self.set(memory, &(mib << 20).to_string())?;
        // On v1 the sum of both. The file is missing where the kernel does not account swap.
        let swap_mib = if self.hierarchy == Hierarchy::V1 { mib + swap_mib } else { swap_mib };
        if self.dir().join(swap).exists() { self.set(swap, &(swap_mib << 20).to_string()) } else { Ok(()) }
    }

    /// Writes one of its files.
    pub(crate) fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = self.dir().join(name);
        fs::write(&path, value).with_context(|| format!("writing {value} to {}", path.display()))
    }

    /// Reads one of its files.
    pub(crate) fn read(&self, name: &str) -> Result<String> {
        let path = self.dir().join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// How many processes were killed in it and below: `oom_kill`.
    pub(crate) fn killed(&self) -> Result<u64> {
        let name = if self.hierarchy == Hierarchy::V1 { "memory.oom_control" } else { "memory.events" };
        let text = self.read(name)?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        count.with_context(|| format!("{name} of {} has no oom_kill", self.path))
    }

    /// Bytes that are used of its limit.
    pub(crate) fn usage(&self) -> Result<u64> {
        let v1 = self.hierarchy == Hierarchy::V1;
        let text = self.read(if v1 { "memory.usage_in_bytes" } else { "memory.current" })?;
        text.trim().parse().with_context(|| format!("what {} uses: {text:?}", self.path))
    }

    /// Removes it at once, as a container runtime does. Fails while it has members.
    pub(crate) fn remove_now(&mut self) -> Result<()> {
        let dir = self.dir();
        fs::remove_dir(&dir).with_context(|| format!("removing {}", dir.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        for dir in self.made.iter().rev() {
            while dir.is_dir() && fs::remove_dir(dir).is_err() && Instant::now() < deadline {
                let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                for pid in members.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
                {
                    // Gone already, or it goes now.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                std::thread::yield_now();
            }
        }
    }
}
