//! How often a program was not run.
//!
//! While a task is inside a BPF program, the kernel does not run the same program on the same CPU for another task
//! (`bpf_prog_get_recursion_context`, include/linux/filter.h, `__bpf_trace_run`). From 7.0 on a task
//! can be preempted there (`__DECLARE_TRACE`, include/linux/tracepoint.h): with many tasks in reclaim the others' rounds are
//! not seen until it goes on. The kernel counts that by program (`recursion_misses`, `bpf_prog_show_fdinfo`).

use crate::incident::escalation::Skipped;
use crate::kernel::probes::{HOOKS, Hook};
use aya::Ebpf;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

/// Looks that are kept: of the last minute, however many there are.
const LOOKS: usize = 64;
/// Two that are kept are so far apart.
const APART_NS: u64 = 1_000_000_000;

/// What a program sees, by the hook that it is for.
fn seen_by(name: &str) -> Option<fn(&mut Skipped) -> &mut u64> {
    let is_for = |hook: &&Hook| hook.ways.iter().copied().flatten().any(|program| program.name == name);
    Some(match HOOKS.iter().find(is_for)?.target {
        "mm_vmscan_direct_reclaim_begin"
        | "mm_vmscan_direct_reclaim_end"
        | "mm_vmscan_memcg_reclaim_begin"
        | "mm_vmscan_memcg_reclaim_end"
        | "try_to_free_mem_cgroup_pages"
        | "reclaim_retry_zone"
        | "compact_retry" => |it| &mut it.rounds,
        "mm_vmscan_lru_shrink_inactive" => |it| &mut it.scans,
        "mm_vmscan_kswapd_wake" | "mm_vmscan_kswapd_sleep" => |it| &mut it.kswapd,
        "mm_vmscan_throttled" => |it| &mut it.throttled,
        "mm_compaction_begin" | "mm_compaction_end" => |it| &mut it.compactions,
        "sched_process_exit"
        | "exit_mmap"
        | "start_task_reaping"
        | "finish_task_reaping"
        | "skip_task_reaping" => |it| &mut it.exits,
        "mark_victim" | "signal_generate" | "out_of_memory" | "oom_kill_process" | "oom_evaluate_task"
        | "oom_badness" => |it| &mut it.kills,
        _ => return None,
    })
}

/// A program whose skipped runs are counted.
#[derive(Debug)]
struct Program {
    /// Its `fdinfo`, open: what is opened later may be confined.
    info: File,
    /// The program. When it is closed, its `fdinfo` cannot be read any more (`seq_show`, fs/proc/fd.c).
    _fd: OwnedFd,
    /// What it sees.
    seen: fn(&mut Skipped) -> &mut u64,
}

impl Program {
    /// `None`: it is not loaded, or this kernel does not count (before 5.12).
    fn new(fd: BorrowedFd<'_>, seen: fn(&mut Skipped) -> &mut u64) -> Option<Self> {
        let fd = fd.try_clone_to_owned().ok()?;
        let info = File::open(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
        misses(&info)?;
        Some(Self { info, _fd: fd, seen })
    }
}

/// Counts of runs that were skipped, and when they were read.
#[derive(Debug, Default)]
pub(super) struct Looks {
    programs: Vec<Program>,
    /// Time in nanoseconds since boot, and how many by then; the latest last.
    looks: VecDeque<(u64, Skipped)>,
}

impl Looks {
    /// From now on. A kernel that does not count has none.
    pub(super) fn new(object: &Ebpf, now_ns: u64) -> Self {
        let programs = object.programs().filter_map(|(name, program)| {
            let seen = seen_by(name)?;
            Program::new(program.fd().ok()?.as_fd(), seen)
        });
        let mut looks = Self { programs: programs.collect(), looks: VecDeque::new() };
        looks.look(now_ns);
        looks
    }

    /// How many there were by now. `None`: this kernel does not count them, or does not say.
    pub(super) fn now(&self) -> Option<Skipped> {
        let mut count = Skipped::default();
        for Program { info, seen, .. } in &self.programs {
            *seen(&mut count) += misses(info)?;
        }
        (!self.programs.is_empty()).then_some(count)
    }

    /// How many there were by then, at least: by the last look before. Without one it may have been none.
    pub(super) fn by(&self, time_ns: u64) -> Skipped {
        let look = self.looks.iter().rev().find(|(time, _)| *time <= time_ns);
        look.map_or_else(Skipped::default, |(_, count)| *count)
    }

    /// Reads the counts. Where nobody looks from time to time, what was skipped long ago may have been so since the last look.
    pub(super) fn look(&mut self, now_ns: u64) {
        // The latest one stays until the next, however close to it.
        let mut latest = self.looks.iter().rev().map(|(time, _)| *time);
        let last = latest.next().zip(latest.next());
        if last.is_some_and(|(last, before)| last.saturating_sub(before) < APART_NS) {
            self.looks.pop_back();
        } else if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now_ns, self.now().unwrap_or_default()));
    }

    /// So many at most were skipped since then, by the last look.
    pub(super) fn since(&self, from_ns: u64) -> Skipped {
        let last = self.looks.back().map_or_else(Skipped::default, |(_, count)| *count);
        last.since(&self.by(from_ns))
    }
}

fn misses(program: &File) -> Option<u64> {
    let mut buffer = [0; 1024];
    let length = program.read_at(&mut buffer, 0).ok()?;
    let text = str::from_utf8(buffer.get(..length)?).ok()?;
    text.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_before_is_not_counted() {
        let count = |rounds| Skipped { rounds, exits: 2 * rounds, ..Skipped::default() };
        let looks = VecDeque::from([(100, count(5)), (200, count(5)), (300, count(9)), (400, count(9))]);
        let mut looks = Looks { programs: Vec::new(), looks };
        assert_eq!(looks.since(400), count(0));
        assert_eq!(looks.since(300), count(0));
        assert_eq!(looks.since(299), count(4));
        assert_eq!(looks.since(100), count(4));
        assert_eq!(looks.since(99), count(9));
        assert_eq!([99, 100, 299, 300].map(|time| looks.by(time)), [0, 5, 5, 9].map(count));
        for time in 0..10 * LOOKS as u64 {
            looks.look(500 + time * APART_NS / 4);
        }
        let times: Vec<u64> = looks.looks.iter().map(|(time, _)| *time).collect();
        assert_eq!(
            (times.len(), times.last()),
            (LOOKS, Some(&(500 + (10 * LOOKS as u64 - 1) * APART_NS / 4)))
        );
        assert!(times.windows(2).rev().skip(1).all(|two| two[1] - two[0] >= APART_NS), "{times:?}");
    }

    #[test]
    fn every_program_sees_something() {
        for program in HOOKS.iter().flat_map(|hook| hook.ways.iter().copied().flatten()) {
            assert!(seen_by(program.name).is_some(), "{}", program.name);
        }
        assert!(seen_by("another").is_none());
    }

    #[test]
    fn the_kernels_words() {
        let path = std::env::temp_dir().join(format!("oom-agent-fdinfo-{}", std::process::id()));
        std::fs::write(&path, "pos:\t0\nprog_type:\t17\nrecursion_misses:\t42\nverified_insns:\t9\n")
            .unwrap();
        assert_eq!(misses(&File::open(&path).unwrap()), Some(42));
        std::fs::write(&path, "pos:\t0\nprog_type:\t17\n").unwrap();
        assert_eq!(misses(&File::open(&path).unwrap()), None);
        std::fs::remove_file(path).unwrap();
    }
}
