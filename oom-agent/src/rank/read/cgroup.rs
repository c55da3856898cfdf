//! Memory cgroups from cgroupfs, v1 and v2.

use crate::{
    incident::state::upwards,
    kernel::host::cgroup::{Cgroups, Memory},
    rank::facts::{Bound, Level},
    source::cgroupfs::Tree,
    startup::NotPermitted,
};
use anyhow::{Result, bail};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::read_dir,
    os::unix::fs::DirEntryExt as _,
    path::{Path, PathBuf},
};

/// Cgroups of a tree that are looked at.
const CGROUPS: usize = 65_536;

impl Tree {
    /// A cgroup's path as the kernel writes it: whoever has copied a directory's name means its cgroup.
    pub(super) fn path(&self, asked: &str) -> Result<String> {
        let below = Path::new(asked).strip_prefix(&self.mount).ok().and_then(Path::to_str).unwrap_or(asked);
        let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            bail!("--cgroup {asked}: a path with .. is not a cgroup's");
        }
        Ok(format!("/{}", parts.join("/")))
    }

    /// The cgroup and those above it, as far as they can have a limit.
    pub(super) fn levels(&self, cgroup: &str) -> Result<Vec<Level>> {
        if !self.at(cgroup).has("cgroup.procs") {
            let shown = self.mount.join(cgroup.trim_start_matches('/'));
            bail!("no cgroup {cgroup} here: {} has no cgroup.procs", shown.display());
        }
        let mut levels = Vec::new();
        for cgroup in upwards(cgroup) {
            let Some(level) = self.level(cgroup) else { continue };
            // Without it the parent does not see what its children use (`mem_cgroup_css_alloc` up to 5.10).
            let parent_alone = level.alone && !levels.is_empty();
            if parent_alone {
                break;
            }
            levels.push(level);
        }
        Ok(levels)
    }

    /// `None`: it has no limit of its own, as v2's root or where the controller is not enabled.
    fn level(&self, cgroup: &str) -> Option<Level> {
        let dir = self.at(cgroup);
        let text = |name: &str| dir.text(name);
        let number = |name: &str| dir.number(name);
        let bound = |name: &str| dir.limit(name);
        let cgroup = cgroup.to_owned();
        if self.v2 {
            return dir.has("memory.max").then(|| Level {
                cgroup,
                memory_max_bytes: bound("memory.max"),
                usage_bytes: number("memory.current"),
                // Without swap accounting there is no such file, and no limit.
                swap_max_bytes: if dir.has("memory.swap.max") {
                    bound("memory.swap.max")
                } else {
                    Some(Bound::NONE)
                },
                oom_group: text("memory.oom.group").map(|text| text == "1"),
                ..Level::default()
            });
        }
        let control = text("memory.oom_control");
        let disabled = control
            .and_then(|text| Some(text.lines().find_map(|it| it.strip_prefix("oom_kill_disable "))? == "1"));
        dir.has("memory.limit_in_bytes").then(|| Level {
            cgroup,
            memory_max_bytes: bound("memory.limit_in_bytes"),
            usage_bytes: number("memory.usage_in_bytes"),
            memsw_max_bytes: bound("memory.memsw.limit_in_bytes"),
            memsw_usage_bytes: number("memory.memsw.usage_in_bytes"),
            oom_kill_disable: disabled,
            swappiness: text("memory.swappiness").and_then(|text| text.parse().ok()),
            alone: text("memory.use_hierarchy").as_deref() == Some("0"),
            ..Level::default()
        })
    }

    /// Where a scan comes to each process: `mem_cgroup_scan_tasks` goes down the tree, siblings as they were made (which
    /// is the order of their inodes), and through each one's tasks as they came.
    pub(super) fn places(&self, levels: &[Level]) -> BTreeMap<u32, (usize, usize)> {
        let mut places = BTreeMap::new();
        let top = levels.iter().rev().find(|level| level.cgroup != "/" || level.limit_bytes().is_some());
        let Some(top) = top else { return places };
        let mut stack = vec![self.at(&top.cgroup).0];
        let mut seen = 0;
        while let Some(dir) = stack.pop() {
            if seen == CGROUPS {
                break;
            }
            // Whole, however many there are: a line is a process.
            let procs = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            for (at, pid) in procs.lines().filter_map(|pid| pid.parse().ok()).enumerate() {
                // v1 sorts them by number.
                places.insert(pid, (seen, if self.v2 { at } else { 0 }));
            }
            let mut below: Vec<(u64, PathBuf)> = read_dir(&dir)
                .into_iter()
                .flatten()
                .filter_map(|entry| {
                    let entry = entry.ok()?;
                    entry.file_type().ok()?.is_dir().then(|| (entry.ino(), entry.path()))
                })
                .collect();
            below.sort_by(|a, b| b.cmp(a));
            stack.extend(below.into_iter().map(|(_, path)| path));
            seen += 1;
        }
        places
    }

    /// Those of them, and of those above them, that die as a whole. v1 has no such thing.
    pub(super) fn oom_groups<'a>(&self, cgroups: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let mut asked: BTreeSet<&str> = BTreeSet::new();
        let mut found = BTreeSet::new();
        for cgroup in cgroups.filter(|_| self.v2) {
            // Outside of this cgroup namespace a path begins with /..
            if cgroup.split('/').any(|part| part == "..") {
                continue;
            }
            for cgroup in upwards(cgroup) {
                if !asked.insert(cgroup) {
                    break;
                }
                if self.at(cgroup).text("memory.oom.group").as_deref() == Some("1") {
                    found.insert(cgroup.to_owned());
                }
            }
        }
        found
    }
}

/// Why no cgroup can be asked about.
pub(super) fn none_here(cgroups: Option<&Cgroups>) -> anyhow::Error {
    let why = match cgroups.map(|cgroups| &cgroups.memory) {
        Some(Memory::V1NotMounted) => {
            "a cgroup v1 hierarchy has the memory controller and is not mounted here"
        }
        Some(Memory::Disabled) => "the memory controller is switched off (cgroup_disable=memory)",
        Some(Memory::NotFound | Memory::V1(_) | Memory::V2(_)) | None => {
            "no hierarchy with the memory controller is mounted here"
        }
    };
    NotPermitted(format!("not supported here: --cgroup: {why}")).into()
}
