//! Half of what the small ring takes of the agent's memory, given back.
//!
//! A ring is mapped twice in a row, so that a record that goes over its end can be read in one piece (`bpf_ringbuf_area_alloc`,
//! kernel/bpf/ringbuf.c). Both copies count as resident, from the start (`remap_vmalloc_range_partial`, mm/vmalloc.c). Of the second one only as much is ever read as the
//! longest record has: the rest becomes a hole that nothing else is mapped into.

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::{fs, ops::Range};

/// Of the second copy. Longer than every record.
const KEPT: usize = 64 << 10;
const _: () = assert!(size_of::<oom_ebpf::Call>() < KEPT && size_of::<oom_ebpf::Escalation>() < KEPT);

/// Gives back what is never read of the rings that this process has mapped. Without `/proc` it stays.
pub(super) fn give_back() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for hole in maps.lines().filter_map(|line| hole(line, rustix::param::page_size())) {
        // SAFETY: this range is the end of a mapping of a ring, which this process reads in no other way than through
        // `aya::maps::RingBuf`: it begins a record in the first copy, and no record is as long as what is kept of the second.
        // Whoever unmaps the ring unmaps this too.
        let _ = unsafe {
            mmap_anonymous(
                hole.start as *mut _,
                hole.len(),
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
            )
        };
    }
}

/// What is never read of a ring's mapping, from its line in `/proc/PID/maps`: the position of the producer, a page, and the
/// data twice; it begins at the second page of the map, and is read-only.
fn hole(line: &str, page: usize) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (range, flags, offset) = (words.next()?, words.next()?, words.next()?);
    if words.next_back()? != "anon_inode:bpf-map" || flags != "r--s" || hex(offset)? != page {
        return None;
    }
    let (begin, end) = range.split_once('-')?;
    let (begin, end) = (hex(begin)?, hex(end)?);
    let size = end.checked_sub(begin)?.checked_sub(page)? / 2;
    let kept_to = begin + page + size + KEPT;
    (size.is_power_of_two() && kept_to < end).then_some(kept_to..end)
}

fn hex(text: &str) -> Option<usize> {
    usize::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_copy_of_a_ring_but_its_begin_is_given_back() {
        let line =
            "7f053bffe000-7f053c1ff000 r--s 00001000 00:10 1038                       anon_inode:bpf-map";
        assert_eq!(hole(line, 4096), Some(0x7f05_3c10_f000..0x7f05_3c1f_f000));
    }

    #[test]
    fn nothing_else_is() {
        for line in [
            "7f053bffe000-7f053bfff000 rw-s 00000000 00:10 1038                       anon_inode:bpf-map",
            "7f053bffe000-7f053c1ff000 rw-s 00001000 00:10 1038                       anon_inode:bpf-map",
            "7f053bffe000-7f053c00f000 r--s 00001000 00:10 1038                       anon_inode:bpf-map",
            "7f053bffe000-7f053c1ff000 r--s 00001000 00:10 1038                       /usr/bin/oom-agent",
            "55556d3ec000-55556d73f000 rw-p 00000000 00:00 0",
            "",
        ] {
            assert_eq!(hole(line, 4096), None, "{line}");
        }
    }
}
