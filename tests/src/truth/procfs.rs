//! Processes as they were before anything was provoked.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// A process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    /// Its threads and their command names.
    pub(crate) threads: BTreeMap<u32, Vec<u8>>,
    /// `oom_score_adj`.
    pub(crate) oom_score_adj: Option<i32>,
    /// Real user id.
    pub(crate) uid: Option<u32>,
    /// Its memory cgroup.
    pub(crate) cgroup: Option<String>,
}

/// Every process there is.
pub(crate) type Processes = BTreeMap<u32, Process>;

/// Looks at one process.
pub(crate) fn process(pid: u32) -> Result<Process> {
    let path = format!("/proc/{pid}");
    let root = Path::new(&path);
    let read = |name: &str| std::fs::read(root.join(name)).ok();
    let text = |name: &str| read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut threads = BTreeMap::new();
    for entry in std::fs::read_dir(root.join("task")).with_context(|| format!("reading {path}/task"))? {
        let tid = entry.ok().and_then(|e| e.file_name().to_str()?.parse::<u32>().ok());
        if let Some(tid) = tid
            && let Some(mut comm) = read(&format!("task/{tid}/comm"))
        {
            comm.pop();
            // Of a worker, procfs shows what it works on, too (`wq_worker_comm`).
            if comm.starts_with(b"kworker/")
                && let Some(end) = comm.iter().position(|byte| matches!(byte, b'-' | b'+'))
            {
                comm.truncate(end);
            }
            threads.insert(tid, comm);
        }
    }
    // A leader that has exited is in the root cgroup on v1, so ask the youngest thread.
    let cgroup = threads.last_key_value().and_then(|(tid, _)| text(&format!("task/{tid}/cgroup")));
    // The name before `Uid:` is escaped by the kernel, so the line is the kernel's own.
    let uid = text("status").and_then(|status| {
        status.lines().find_map(|l| l.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
    });
    Ok(Process {
        threads,
        oom_score_adj: text("oom_score_adj").and_then(|adj| adj.trim().parse().ok()),
        uid,
        cgroup: cgroup.and_then(|text| memory_cgroup(&text)),
    })
}

/// Looks at all processes.
pub(crate) fn all() -> Result<Processes> {
    Ok(pids()?.into_iter().filter_map(|pid| Some((pid, process(pid).ok()?))).collect())
}

/// `/proc/meminfo` in bytes.
pub(crate) fn meminfo() -> Result<BTreeMap<String, u64>> {
    let text = std::fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let bytes = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10))
    };
    Ok(text.lines().filter_map(bytes).collect())
}

/// All process ids.
pub(crate) fn pids() -> Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc").context("reading /proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// The path in the hierarchy that has the memory controller.
fn memory_cgroup(text: &str) -> Option<String> {
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        if controllers.split(',').any(|c| c == "memory") {
            return Some(path.to_owned());
        }
        if controllers.is_empty() {
            unified = Some(path.to_owned());
        }
    }
    unified
}
