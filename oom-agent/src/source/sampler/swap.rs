//! Pages that went to swap and came back (`pswpout`, `pswpin` in `/proc/vmstat`), on the whole machine.

use super::{SAMPLES, number};
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The file is not read further than this: the counters of swap are in its first half.
const LONGEST: usize = 8192;

/// Since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swapped {
    pub(super) out_pages: u64,
    pub(super) in_pages: u64,
}

/// As many samples as of the memory in use.
#[derive(Debug)]
pub(super) struct Swap {
    vmstat: Option<File>,
    samples: VecDeque<(u64, Swapped)>,
}

impl Swap {
    pub(super) fn open(root: &Path) -> Self {
        Self { vmstat: File::open(root.join("proc/vmstat")).ok(), samples: VecDeque::with_capacity(SAMPLES) }
    }

    pub(super) fn sample(&mut self, now_ns: u64) {
        let Some(now) = self.read() else { return };
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now_ns, now));
    }

    /// From the oldest sample before a time until now.
    pub(super) fn until_now(&self, before_ns: u64) -> Option<Swapped> {
        let (_, first) = self.samples.front().filter(|(time_ns, _)| *time_ns < before_ns)?;
        let now = self.read()?;
        Some(Swapped {
            out_pages: now.out_pages.checked_sub(first.out_pages)?,
            in_pages: now.in_pages.checked_sub(first.in_pages)?,
        })
    }

    fn read(&self) -> Option<Swapped> {
        let mut buffer = [0; LONGEST];
        let length = self.vmstat.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let text = buffer.get(..length)?;
        Some(Swapped { out_pages: number(text, "pswpout ")?, in_pages: number(text, "pswpin ")? })
    }
}
