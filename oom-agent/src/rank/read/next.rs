//! Who would be killed if the machine were full now, for a metric: found by the kernel's own `oom_score`, a few processes at a
//! time, so that thousands of them keep nobody waiting.

use super::{INITIAL_PID_NAMESPACE, hides_processes, process};
use crate::{
    incident::model::{Candidate, Rule},
    kernel::host::{meminfo_bytes, read_file},
    rank::{facts::Facts, ranking::rank},
};
use std::{
    cmp::Reverse,
    fs::{ReadDir, read_dir, read_link},
    path::{Path, PathBuf},
};

/// Processes that are asked for their score at a time: well below a millisecond.
const STEP: usize = 64;
/// Processes that are asked at all.
const MOST: usize = 65_536;
/// Of those with the highest scores so many are looked at closely: a score is a thousandth of the machine's memory and a
/// half, which several may share.
const CLOSELY: usize = 16;

/// The process that the kernel would choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextVictim {
    /// Its points: pages, with what `oom_score_adj` adds.
    pub points: i64,
    /// What it holds: resident, in swap, and page tables. `None`: not all of it is known.
    pub memory_bytes: Option<u64>,
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    proc: PathBuf,
    entries: ReadDir,
    facts: Facts,
    seen: usize,
    /// The highest scores and whose they are, highest first.
    top: Vec<(Reverse<i64>, u32)>,
}

/// How far a search has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// There are more processes.
    NotYet,
    /// This one, or nobody that is known.
    Done(Option<NextVictim>),
}

impl Search {
    /// Begins. `None`: it would not find all processes of the machine, or points do not decide.
    pub fn begin(root: &Path, page_size: u64) -> Option<Self> {
        let proc = root.join("proc");
        let namespace = read_link(proc.join("self/ns/pid")).ok()?;
        if namespace.as_os_str() != INITIAL_PID_NAMESPACE || hides_processes(root) {
            return None;
        }
        let meminfo = read_file(root, "proc/meminfo").ok()?;
        let sysctl =
            |name: &str| read_file(root, &format!("proc/sys/vm/{name}")).ok()?.trim().parse::<i64>().ok();
        let facts = Facts {
            page_size,
            ram_bytes: meminfo_bytes(&meminfo, "MemTotal"),
            swap_bytes: meminfo_bytes(&meminfo, "SwapTotal"),
            ..Facts::default()
        };
        if sysctl("panic_on_oom")? != 0 || sysctl("oom_kill_allocating_task")? != 0 {
            return None;
        }
        Some(Self {
            entries: read_dir(&proc).ok()?,
            proc,
            facts,
            seen: 0,
            top: Vec::with_capacity(CLOSELY + 1),
        })
    }

    /// Looks at a few more.
    pub fn step(&mut self) -> Found {
        for _ in 0..STEP {
            let Some(entry) = self.entries.next() else { return Found::Done(self.end()) };
            let pid = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let Some(pid) = pid else { continue };
            self.seen += 1;
            if self.seen > MOST {
                return Found::Done(None);
            }
            // 0: it cannot be killed. Whoever ended meanwhile cannot, either.
            let score = process::oom_score(&self.proc.join(pid.to_string())).filter(|score| *score > 0);
            if let Some(score) = score {
                let at = self.top.partition_point(|it| *it < (Reverse(score), pid));
                self.top.insert(at, (Reverse(score), pid));
                self.top.truncate(CLOSELY);
            }
        }
        Found::NotYet
    }

    fn end(&mut self) -> Option<NextVictim> {
        for (_, pid) in &self.top {
            let dir = self.proc.join(pid.to_string());
            self.facts.processes.extend(process::read(&dir, *pid, true, true).ok());
        }
        let ranking = rank(&self.facts);
        let decision = ranking.decision.filter(|it| it.rule == Rule::HighestPoints)?;
        let candidate = ranking.candidates.iter().find(|it| Some(it.pid) == decision.pid)?;
        Some(NextVictim { points: decision.points?, memory_bytes: memory_bytes(candidate) })
    }
}

fn memory_bytes(candidate: &Candidate) -> Option<u64> {
    let memory = &candidate.memory;
    let parts =
        [memory.anon_bytes, memory.file_bytes, memory.shmem_bytes, memory.swap_bytes, memory.pgtables_bytes];
    parts.into_iter().try_fold(0_u64, |sum, part| sum.checked_add(part?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{machine, status, with};
    use super::*;
    use crate::kernel::host::test_root::TestRoot;
    use std::{fs, os::unix::fs::symlink};

    /// A machine with so many processes.
    pub(crate) fn crowd(processes: u32) -> TestRoot {
        let root = machine("");
        first(&root);
        (100..100 + processes).fold(root, |root, pid| with(root, pid, "small", 4000, 0, "/"))
    }

    fn first(root: &TestRoot) {
        fs::create_dir_all(root.path().join("proc/self/ns")).unwrap();
        symlink(INITIAL_PID_NAMESPACE, root.path().join("proc/self/ns/pid")).unwrap();
    }

    fn search(root: &TestRoot) -> (Option<NextVictim>, usize) {
        let mut search = Search::begin(root.path(), 4096).unwrap();
        for steps in 1.. {
            if let Found::Done(found) = search.step() {
                return (found, steps);
            }
        }
        unreachable!()
    }

    #[test]
    fn the_one_with_the_most_points_of_many() {
        let mut root = crowd(200);
        // They share a score: their memory decides. The largest cannot be killed.
        for (pid, kib, score) in
            [(400, 40_000, 669), (401, 44_000, 669), (402, 48_000, 0), (403, 43_000, 669)]
        {
            root = with(root, pid, "large", kib, 0, "/")
                .file(&format!("proc/{pid}/oom_score"), &format!("{score}\n"));
        }
        root = root.file("proc/500/other", "").file("proc/501/oom_score", "junk\n");
        let (found, steps) = search(&root);
        // What it has and its page tables, 8 KiB.
        assert_eq!(found, Some(NextVictim { points: 11_002, memory_bytes: Some((44_000 + 8) << 10) }));
        assert!(steps > 3, "in {steps} steps");
        // Not all is known of it.
        let partly = status(44_000).replace("VmSwap", "Other");
        let (found, _) = search(&root.file("proc/401/status", &partly));
        assert_ne!(found.and_then(|it| it.memory_bytes), Some((44_000 + 8) << 10));
    }

    #[test]
    fn where_points_do_not_decide_or_not_all_are_seen_nobody_is_named() {
        let root = with(machine(""), 7, "a", 4000, 0, "/");
        assert!(Search::begin(root.path(), 4096).is_none(), "which namespace this is cannot be read");
        first(&root);
        assert!(search(&root).0.is_some());
        let root = root.file("proc/sys/vm/panic_on_oom", "1\n");
        assert!(Search::begin(root.path(), 4096).is_none());
        let root = root.file("proc/sys/vm/panic_on_oom", "0\n").file("proc/7/oom_score", "0\n");
        assert_eq!(search(&root).0, None, "nobody can be killed");
    }
}
