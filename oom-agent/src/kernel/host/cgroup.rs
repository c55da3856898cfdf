//! Which cgroup hierarchy has the memory controller.

use super::{read_file, text};
use serde::Serialize;
use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// The cgroup hierarchies as this process sees them mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cgroups {
    /// Which of them are mounted.
    pub layout: Layout,
    /// Where the memory controller lives.
    pub memory: Memory,
}

/// Which hierarchies are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// cgroup v2 only.
    Unified,
    /// cgroup v1 controllers and the v2 hierarchy.
    Hybrid,
    /// cgroup v1 only.
    Legacy,
    /// None is mounted here.
    None,
}

/// Where the memory controller lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// cgroup v1, mounted here.
    V1(PathBuf),
    /// cgroup v2, mounted here.
    V2(PathBuf),
    /// A cgroup v1 hierarchy has it, which is not mounted here.
    V1NotMounted,
    /// Switched off at boot (`cgroup_disable=memory`).
    Disabled,
    /// No hierarchy that is mounted here has it.
    NotFound,
}

impl Cgroups {
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mounts = text(root, "proc/self/mounts")?;
        let mut v1 = false;
        let mut v1_memory = None;
        let mut v2 = None;
        for mount in mounts.lines() {
            let mut fields = mount.split(' ').skip(1);
            let (Some(point), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            match kind {
                "cgroup" => {
                    v1 = true;
                    if v1_memory.is_none() && options.split(',').any(|option| option == "memory") {
                        v1_memory = Some(unescape(point));
                    }
                }
                "cgroup2" if v2.is_none() => v2 = Some(unescape(point)),
                _ => {}
            }
        }
        let layout = match (v1, &v2) {
            (true, Some(_)) => Layout::Hybrid,
            (true, None) => Layout::Legacy,
            (false, Some(_)) => Layout::Unified,
            (false, None) => Layout::None,
        };
        let memory = match (v1_memory, v2) {
            (Some(point), _) => Memory::V1(point),
            (None, Some(point)) if has_memory(root, &point)? => Memory::V2(point),
            (None, _) => not_mounted(root),
        };
        Ok(Self { layout, memory })
    }
}

fn has_memory(root: &Path, point: &Path) -> Result<bool, String> {
    let path = point.join("cgroup.controllers");
    let relative = path.strip_prefix("/").unwrap_or(&path);
    let controllers = read_file(root, &relative.to_string_lossy())
        .map_err(|error| format!("reading {}: {error}", path.display()))?;
    Ok(controllers.split_whitespace().any(|controller| controller == "memory"))
}

/// `/proc/cgroups`: `memory HIERARCHY COUNT ENABLED`. Kernels without the v1 controller may not list it.
fn not_mounted(root: &Path) -> Memory {
    let Ok(cgroups) = text(root, "proc/cgroups") else { return Memory::NotFound };
    let memory =
        cgroups.lines().find_map(|line| line.strip_prefix("memory")?.strip_prefix(char::is_whitespace));
    let fields: Vec<_> = memory.unwrap_or_default().split_whitespace().collect();
    match fields.as_slice() {
        [_, _, "0"] => Memory::Disabled,
        // Hierarchy 0 is v2's.
        [hierarchy, _, "1"] if *hierarchy != "0" => Memory::V1NotMounted,
        _ => Memory::NotFound,
    }
}

/// The kernel writes space, tab, newline and backslash as `\040` and so on (`mangle_path`).
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut path = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let code = octal.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        path.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(path))
}
