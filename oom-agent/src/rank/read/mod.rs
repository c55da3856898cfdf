//! Reads the facts: /proc and cgroupfs, below a root directory that tests replace.
//!
//! # Layout
//! - `process`: one process.
//! - `cgroup`: memory cgroups.
//! - [`next`]: only who would be killed, for a metric.

mod cgroup;
pub mod next;
mod process;
#[cfg(test)]
mod tests;

use super::facts::{Facts, is_within};
use crate::{
    kernel::host::{Host, meminfo_bytes, read_file},
    source::cgroupfs::Tree,
    startup::NotPermitted,
};
use anyhow::Result;
use process::Missing;
use std::{
    fs::{read_dir, read_link},
    path::Path,
};

/// The machine's own pid namespace (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
/// More processes than that are not looked at: a quarter of what `kernel.pid_max` can be.
const PROCESSES: usize = 1 << 20;

/// Reads everything below `root` (`/` but in tests) for the machine, or for a cgroup.
///
/// # Errors
/// [`NotPermitted`] where there is no procfs or no memory controller; a cgroup that does not exist.
pub fn read(root: &Path, asked: Option<&str>, page_size: u64) -> Result<Facts> {
    let host = Host::read(root);
    let meminfo = read_file(root, "proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| meminfo_bytes(&meminfo, name);
    let tree = host.cgroups.value().and_then(|cgroups| Tree::find(root, cgroups));
    let mut facts = Facts {
        node: host.node.value().cloned(),
        kernel_release: host.kernel_release.value().cloned(),
        page_size,
        ram_bytes: bytes("MemTotal"),
        swap_bytes: bytes("SwapTotal"),
        available_bytes: bytes("MemAvailable"),
        swap_free_bytes: bytes("SwapFree"),
        swappiness: host.sysctl("vm.swappiness"),
        oom_kill_allocating_task: host.sysctl("vm.oom_kill_allocating_task"),
        panic_on_oom: host.sysctl("vm.panic_on_oom"),
        ..Facts::default()
    };
    if let Some(asked) = asked {
        let tree = tree.as_ref().ok_or_else(|| cgroup::none_here(host.cgroups.value()))?;
        facts.levels = tree.levels(&tree.path(asked)?)?;
        facts.places = tree.places(&facts.levels);
    }
    processes(root, tree.as_ref(), &mut facts)?;
    // Else nobody would be found in a cgroup that has members.
    let members = || facts.processes.iter().filter(|it| facts.places.contains_key(&it.task.pid));
    if let Some(top) = facts.levels.last()
        && members().next().is_some()
        && !members().any(|it| it.cgroup.as_deref().is_some_and(|cgroup| is_within(cgroup, &top.cgroup)))
    {
        facts.hidden.push(
            "cgroups have other names in /proc than where they are mounted (another cgroup namespace): their members cannot be told"
                .to_owned(),
        );
    }
    if let Some(tree) = &tree {
        facts.oom_groups = tree.oom_groups(facts.processes.iter().filter_map(|it| it.cgroup.as_deref()));
    }
    Ok(facts)
}

/// A cgroup's path as the kernel writes it, for an argument that may be a directory's name.
///
/// # Errors
/// [`NotPermitted`] where there is no memory controller; no path of a cgroup.
pub fn cgroup_path(root: &Path, asked: &str) -> Result<String> {
    let cgroups = crate::kernel::host::cgroup::Cgroups::read(root).ok();
    let tree = cgroups.as_ref().and_then(|cgroups| Tree::find(root, cgroups));
    tree.ok_or_else(|| cgroup::none_here(cgroups.as_ref()))?.path(asked)
}

fn processes(root: &Path, tree: Option<&Tree>, facts: &mut Facts) -> Result<()> {
    let proc = root.join("proc");
    let initial =
        read_link(proc.join("self/ns/pid")).ok().map(|link| link.as_os_str() == INITIAL_PID_NAMESPACE);
    if initial == Some(false) {
        facts.hidden.push(
            "processes outside of this pid namespace cannot be seen here, and may have more points"
                .to_owned(),
        );
    }
    if hides_processes(root) {
        facts
            .hidden
            .push("/proc hides the processes of other users (hidepid): they are not among these".to_owned());
    }
    let entries = read_dir(&proc)
        .map_err(|error| NotPermitted(format!("not supported here: reading /proc: {error}")))?;
    let v2 = tree.is_none_or(|tree| tree.v2);
    for pid in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
        if facts.processes.len() == PROCESSES {
            facts.hidden.push(format!("only {PROCESSES} processes were looked at"));
            break;
        }
        match process::read(&proc.join(pid.to_string()), pid, initial != Some(false), v2) {
            Ok(process) => {
                // Nobody knows whether it is in the cgroup that is asked about.
                let lost = !facts.levels.is_empty() && process.cgroup.is_none();
                facts.unread.unreadable += u64::from(lost && process.task.has_mm != Some(false));
                facts.processes.push(process);
            }
            Err(Missing::Vanished) => facts.unread.vanished += 1,
            Err(Missing::Unreadable) => facts.unread.unreadable += 1,
        }
    }
    if facts.processes.is_empty() {
        return Err(NotPermitted("not supported here: no process can be seen in /proc".to_owned()).into());
    }
    Ok(())
}

/// Whether others' directories are invisible (`proc_pid_permission` with `hidepid=2` or `4`; root sees them). Where they
/// are only closed they are counted.
fn hides_processes(root: &Path) -> bool {
    let mounts = read_file(root, "proc/self/mounts").unwrap_or_default();
    let hidden = mounts.lines().any(|mount| {
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, "/proc", "proc", options, ..] = fields.as_slice() else { return false };
        options
            .split(',')
            .filter_map(|option| option.strip_prefix("hidepid="))
            .any(|mode| matches!(mode, "2" | "4" | "invisible" | "ptraceable"))
    });
    hidden && !rustix::process::geteuid().is_root()
}
