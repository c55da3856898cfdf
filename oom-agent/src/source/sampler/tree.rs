//! Memory cgroups in cgroupfs, v1 and v2, and the files that tell of their usage.
//!
//! A directory's number of links is 2 and one for each child (`kernfs_refresh_inode`), so a look at it tells whether its
//! children have to be listed. A file that stays open is read without looking up its path; it is not in the way of whoever
//! removes the cgroup, and fails then. It costs 4 to 5 KiB of the kernel's memory.

use super::number;
use crate::incident::model::limited;
use crate::kernel::decode::name;
use crate::kernel::host::cgroup::Memory;
use crate::source::cgroupfs::is_whole;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Directories that are known at most.
const DIRECTORIES: usize = 16_384;
/// Files that stay open at most, and what is left to others of what this process may open.
const OPEN: u64 = 4096;
const OTHERS: u64 = 128;
/// Glances for which a new directory is watched more closely: first it is made, then it gets a limit and children.
const YOUNG: u32 = 6;

/// The memory cgroups.
#[derive(Debug)]
pub(super) struct Tree {
    mount: PathBuf,
    v2: bool,
    /// By inode of the directory, which is the cgroup's id.
    groups: BTreeMap<u64, Group>,
    /// Of those that are new or have another limit now, and of those that are gone: none.
    limits: Vec<(u64, Option<u64>)>,
    /// Files that may be open.
    spare: u64,
    looks: u32,
    /// For `memory.stat`.
    buffer: Vec<u8>,
}

/// A cgroup.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    links: u64,
    /// `memory.max` in bytes.
    pub(super) limit: Option<u64>,
    /// Its usage is read.
    watched: bool,
    file: Option<File>,
    /// Glances for which it is new.
    young: u32,
    /// The last look that saw it.
    seen: u32,
}

impl Tree {
    /// `None`: no memory controller can be reached here, or not as a whole.
    pub(super) fn find(root: &Path, memory: &Memory) -> Option<Self> {
        let (mount, v2) = match memory {
            Memory::V1(mount) => (mount, false),
            Memory::V2(mount) => (mount, true),
            Memory::V1NotMounted | Memory::Disabled | Memory::NotFound => return None,
        };
        let mount = root.join(mount.strip_prefix("/").unwrap_or(mount));
        if !is_whole(&mount) {
            return None;
        }
        let spare = room_for_files();
        let buffer = vec![0; 16 << 10];
        Some(Self { mount, v2, groups: BTreeMap::new(), limits: Vec::new(), spare, looks: 0, buffer })
    }

    /// Looks at everything.
    pub(super) fn look(&mut self) {
        self.looks += 1;
        // What is there at the start is not new.
        let young = if self.looks == 1 { 0 } else { YOUNG };
        self.explore(self.mount.clone(), young);
        let old: Vec<u64> =
            self.groups.iter().filter(|(_, group)| group.seen != self.looks).map(|(id, _)| *id).collect();
        for id in old {
            self.forget(id);
        }
    }

    /// Looks at what has children and at what is new.
    pub(super) fn glance(&mut self) {
        let mut changed = Vec::new();
        for group in self.groups.values_mut().filter(|group| group.young > 0 || group.links > 2) {
            let young = group.young > 0;
            group.young = group.young.saturating_sub(1);
            // One that is gone is found by its usage, or at the next look at everything.
            let Ok(now) = fs::metadata(&group.path) else { continue };
            if young || now.nlink() != group.links {
                changed.push(group.path.clone());
            }
        }
        for path in changed {
            self.explore(path, YOUNG);
        }
    }

    /// Looks at a directory and at what is below it, as far as it is not as it was.
    fn explore(&mut self, path: PathBuf, young: u32) {
        let mut stack = vec![path];
        while let Some(path) = stack.pop() {
            let Ok(now) = fs::metadata(&path) else { continue };
            let (id, links) = (now.ino(), now.nlink());
            if self.groups.len() >= DIRECTORIES && !self.groups.contains_key(&id) {
                continue;
            }
            let limit = self.limit(&path);
            let before = self.groups.get(&id).map(|group| (group.limit, group.seen, group.links));
            if before.map_or(limit.is_some(), |(before, ..)| before != limit) {
                self.limits.push((id, limit));
            }
            let group = self.groups.entry(id).or_insert_with(|| Group {
                path: path.clone(),
                links,
                limit,
                watched: false,
                file: None,
                young,
                seen: 0,
            });
            group.links = links;
            group.limit = limit;
            group.seen = self.looks;
            if limit.is_none() {
                group.watched = false;
                self.spare += u64::from(group.file.take().is_some());
            }
            if links <= 2 {
                continue;
            }
            // All of them at a look at everything, else those that are new.
            let looking = before.is_none_or(|(_, seen, _)| seen != self.looks);
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_dir && (looking || !self.groups.contains_key(&entry.ino())) {
                    stack.push(entry.path());
                }
            }
        }
    }

    fn limit(&self, path: &Path) -> Option<u64> {
        let name = if self.v2 { "memory.max" } else { "memory.limit_in_bytes" };
        let mut buffer = [0; 32];
        limited(figure(&File::open(path.join(name)).ok()?, &mut buffer))
    }

    /// Limits that are new since the last time. `None`: it has none any more.
    pub(super) fn limits(&mut self) -> Vec<(u64, Option<u64>)> {
        std::mem::take(&mut self.limits)
    }

    /// From now on its usage is read.
    pub(super) fn watch(&mut self, id: u64) {
        let name = self.usage_file();
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.watched = true;
        if group.file.is_none() && self.spare > 0 {
            group.file = File::open(group.path.join(name)).ok();
            self.spare -= u64::from(group.file.is_some());
        }
    }

    /// No longer. Whether it was. It is as if it were new at the next look at everything.
    pub(super) fn unwatch(&mut self, id: u64) -> bool {
        let Some(group) = self.groups.get_mut(&id) else { return false };
        self.spare += u64::from(group.file.take().is_some());
        group.limit = None;
        std::mem::replace(&mut group.watched, false)
    }

    const fn usage_file(&self) -> &'static str {
        if self.v2 { "memory.current" } else { "memory.usage_in_bytes" }
    }

    /// Reads the usage of all that are watched. Those that cannot be read are gone.
    pub(super) fn read(&mut self, mut tell: impl FnMut(u64, &Group, u64)) {
        let name = self.usage_file();
        let mut buffer = [0; 32];
        let mut gone = Vec::new();
        for (id, group) in self.groups.iter().filter(|(_, group)| group.watched) {
            let usage = match &group.file {
                Some(file) => figure(file, &mut buffer),
                None => File::open(group.path.join(name)).ok().and_then(|file| figure(&file, &mut buffer)),
            };
            match usage {
                Some(usage) => tell(*id, group, usage),
                None => gone.push(*id),
            }
        }
        for id in gone {
            self.forget(id);
        }
    }

    /// Those whose usage is read: the path as the kernel writes it, and the id.
    pub(super) fn watched(&self) -> impl Iterator<Item = (String, u64)> {
        let watched = self.groups.iter().filter(|(_, group)| group.watched);
        watched.filter_map(|(id, group)| {
            let below = group.path.strip_prefix(&self.mount).ok()?;
            Some((format!("/{}", name(below.as_os_str().as_bytes())), *id))
        })
    }

    fn forget(&mut self, id: u64) {
        if let Some(group) = self.groups.remove(&id) {
            self.spare += u64::from(group.file.is_some());
            if group.limit.is_some() {
                self.limits.push((id, None));
            }
        }
    }

    /// File pages that were read again after they had been evicted, since the cgroup was made.
    pub(super) fn file_refaults(&mut self, id: u64) -> Option<u64> {
        let path = self.groups.get(&id)?.path.join("memory.stat");
        let count = File::open(path).ok()?.read_at(&mut self.buffer, 0).ok()?;
        let text = self.buffer.get(..count)?;
        // v1 tells the cgroup's own and with `total_` those of all below it.
        let names: &[&str] = if self.v2 {
            &["workingset_refault_file ", "workingset_refault "]
        } else {
            &["total_workingset_refault_file ", "total_workingset_refault "]
        };
        names.iter().find_map(|name| number(text, name))
    }

    /// The cgroup with a path as the kernel writes it.
    pub(super) fn id(&self, path: &str) -> Option<u64> {
        let dir = self.mount.join(path.trim_start_matches('/'));
        // Compared as bytes: much faster, and both are written in the same way.
        let wanted = dir.as_os_str().as_bytes();
        self.groups.iter().find(|(_, group)| group.path.as_os_str().as_bytes() == wanted).map(|(id, _)| *id)
    }
}

/// A file that holds one number.
fn figure(file: &File, buffer: &mut [u8; 32]) -> Option<u64> {
    let count = file.read_at(buffer, 0).ok()?;
    str::from_utf8(buffer.get(..count)?).ok()?.trim_end().parse().ok()
}

/// How many files may stay open. Asks for more where that is allowed: the soft limit is often 1,024.
fn room_for_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN + OTHERS, |most| most.min(OPEN + OTHERS));
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < wanted && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).is_ok() {
        current = wanted;
    }
    current.saturating_sub(OTHERS).min(OPEN)
}
