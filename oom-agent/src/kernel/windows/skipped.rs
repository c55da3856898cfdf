//! How often a program was not run.
//!
//! While a task is inside a BPF program, the kernel does not run the same program on the same CPU for another task
//! (`bpf_prog_get_recursion_context`, include/linux/filter.h, `__bpf_trace_run`). From 7.0 on a task
//! can be preempted there (`__DECLARE_TRACE`, include/linux/tracepoint.h): with many tasks in reclaim the others' rounds are
//! not seen until it goes on. The kernel counts that by program (`recursion_misses`, `bpf_prog_show_fdinfo`).

use aya::Ebpf;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;

/// The programs that sum up reclaim.
const PROGRAMS: [&str; 6] = [
    "direct_reclaim_begin",
    "direct_reclaim_end",
    "memcg_reclaim_begin",
    "memcg_reclaim_end",
    "enter_try_to_free_mem_cgroup_pages",
    "lru_shrink_inactive",
];
/// Looks that are kept.
const LOOKS: usize = 64;

/// Counts of runs that were skipped, and when they were read.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    /// Kept open: what is read later may be confined.
    programs: Vec<File>,
    /// Time in nanoseconds since boot, and how many by then; the latest last.
    looks: VecDeque<(u64, u64)>,
}

impl Skipped {
    /// From now on. A kernel that does not count has none.
    pub(super) fn new(object: &Ebpf, now_ns: u64) -> Self {
        let sums = object.programs().filter(|(name, _)| PROGRAMS.contains(name));
        let fds = sums.filter_map(|(_, program)| Some(program.fd().ok()?.as_fd().as_raw_fd()));
        let programs = fds.filter_map(|fd| File::open(format!("/proc/self/fdinfo/{fd}")).ok()).collect();
        let mut skipped = Self { programs, looks: VecDeque::new() };
        skipped.look(now_ns);
        skipped
    }

    /// Reads the counts.
    pub(super) fn look(&mut self, now_ns: u64) {
        let count = self.programs.iter().filter_map(misses).sum();
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now_ns, count));
    }

    /// So many at most were skipped since then, by the last look.
    pub(super) fn since(&self, from_ns: u64) -> u64 {
        let last = self.looks.back().map_or(0, |(_, count)| *count);
        // Without a look before it may have been any of them.
        let before =
            self.looks.iter().rev().find(|(time, _)| *time <= from_ns).map_or(0, |(_, count)| *count);
        last.saturating_sub(before)
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
        let looks = VecDeque::from([(100, 5), (200, 5), (300, 9), (400, 9)]);
        let mut skipped = Skipped { programs: Vec::new(), looks };
        assert_eq!(skipped.since(400), 0);
        assert_eq!(skipped.since(300), 0);
        assert_eq!(skipped.since(299), 4);
        assert_eq!(skipped.since(100), 4);
        assert_eq!(skipped.since(99), 9);
        for time in 0..LOOKS as u64 {
            skipped.look(500 + time);
        }
        assert_eq!((skipped.looks.len(), skipped.since(600)), (LOOKS, 0));
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
