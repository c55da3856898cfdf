//! A BPF ring buffer, mapped as much as it has to be.
//!
//! What is mapped of a ring counts as resident, from the start (`remap_vmalloc_range_partial`, mm/vmalloc.c). The bulk ring has
//! 4 MiB, for candidates that come once in a while: of that only what waits is mapped, while it is read. What must never be
//! lost is in the small ring, which stays mapped: to read it takes no memory.
//!
//! The layout is that of `struct bpf_ringbuf` (kernel/bpf/ringbuf.c), as user space may map it: a page with the consumer's
//! position, one with the producer's, and the data twice in a row, so that a record that goes over the end is in one piece.

use super::mapping::Mapping;
use anyhow::{Context as _, Result, bail};
use aya::maps::Map;
use rustix::mm::{MapFlags, ProtFlags};
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

/// Bytes of data that are mapped at once of a ring that does not stay mapped, if so many wait.
const WINDOW: u64 = 256 << 10;
/// What stays mapped of the second copy of the data. Longer than every record.
const KEPT: u64 = 64 << 10;
const _: () =
    assert!(size_of::<oom_ebpf::Call>() < KEPT as usize && size_of::<oom_ebpf::Escalation>() < KEPT as usize);
/// Length and flags before each record (`struct bpf_ringbuf_hdr`).
const HEADER: u64 = 8;
/// It is being written.
const BUSY: u32 = 1 << 31;
/// It was given up.
const DISCARDED: u32 = 1 << 30;

/// A part of the ring.
#[derive(Debug)]
struct Part(Mapping);

impl Part {
    fn new(ring: BorrowedFd<'_>, offset: u64, len: usize, access: ProtFlags) -> io::Result<Self> {
        Mapping::of(ring, offset, len, access, MapFlags::SHARED).map(Self)
    }

    /// The position in one of the first two pages (`unsigned long`: of 64 bits wherever the agent runs).
    fn position(&self) -> &AtomicU64 {
        // SAFETY: a mapping begins with a page and is not empty. The kernel reads and writes the word as a whole
        // (`smp_load_acquire`, `smp_store_release`). Only the consumer's is stored to, and only that can be written.
        unsafe { self.0.at().cast().as_ref() }
    }

    /// The length and flags of the record there.
    fn header(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(size_of::<u64>()) || offset.checked_add(HEADER as usize)? > self.0.len() {
            return None;
        }
        // SAFETY: within the mapping and aligned; the kernel changes it as a whole word (`xchg` in `bpf_ringbuf_commit`).
        Some(unsafe { self.0.at().byte_add(offset).cast().as_ref() })
    }

    /// # Safety
    /// They belong to a record that the kernel has finished, and while they are looked at the consumer's position stays
    /// before it: then nobody writes there.
    unsafe fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        if offset.checked_add(len)? > self.0.len() {
            return None;
        }
        // SAFETY: within the mapping, and nobody writes there.
        Some(unsafe { std::slice::from_raw_parts(self.0.at().byte_add(offset).cast().as_ptr(), len) })
    }
}

/// When the data of a ring are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// All of them, always.
    Always,
    /// What waits, while it is read.
    WhileRead,
}

/// A ring and how far it is read.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    when: Mapped,
    /// Bytes of data, a power of two.
    size: u64,
    page: u64,
    consumer: Part,
    producer: Part,
    /// What is mapped of the data, and from which byte of them on.
    mapped: Option<(u64, Part)>,
    /// Read up to there.
    read: u64,
    /// The record that was handed out last goes up to there.
    handed: u64,
}

impl Ring {
    /// Of a map of the kind `BPF_MAP_TYPE_RINGBUF`.
    ///
    /// # Errors
    /// It is another kind of map, or cannot be mapped.
    pub fn new(map: Map, when: Mapped) -> Result<Self> {
        let Map::RingBuf(map) = map else { bail!("a BPF map is no ring buffer") };
        let size = map.info().context("cannot ask for the size of a BPF ring buffer")?.max_entries();
        let fd = map.fd().as_fd().try_clone_to_owned().context("cannot keep a BPF ring buffer")?;
        Self::over(fd, size.into(), when).context("cannot map a BPF ring buffer")
    }

    fn over(fd: OwnedFd, size: u64, when: Mapped) -> io::Result<Self> {
        let page = rustix::param::page_size() as u64;
        let one = |offset, flags| Part::new(fd.as_fd(), offset, page as usize, flags);
        let (consumer, producer) = (one(0, ProtFlags::READ | ProtFlags::WRITE)?, one(page, ProtFlags::READ)?);
        let read = consumer.position().load(Ordering::Relaxed);
        let mut ring = Self { fd, when, size, page, consumer, producer, mapped: None, read, handed: read };
        if when == Mapped::Always {
            ring.mapped = Some((0, ring.map(0, size + KEPT.min(size))?));
        }
        Ok(ring)
    }

    /// The next record. With this, the one before is done with. `None`: there is no more, for now.
    pub fn next(&mut self) -> Option<&[u8]> {
        loop {
            if self.read != self.handed {
                self.read = self.handed;
                // The kernel may write there again: nothing of it is read after this.
                self.consumer.position().store(self.read, Ordering::Release);
            }
            // The producer looks for a consumer that waits after it has moved on, so a consumer looks after it has.
            fence(Ordering::SeqCst);
            let written = acquire(|| self.producer.position().load(Ordering::Relaxed));
            if self.read == written {
                return None;
            }
            let offset = self.offset(written, HEADER)?;
            let header = self.mapped.as_ref()?.1.header(offset)?;
            let header = acquire(|| header.load(Ordering::Relaxed));
            if header & BUSY != 0 {
                return None;
            }
            let len = u64::from(header & !(BUSY | DISCARDED));
            let end = self.read + (HEADER + len).next_multiple_of(size_of::<u64>() as u64);
            // Where that is not so this is no ring, and nothing more is read of it.
            if end > written || end - self.read > self.size {
                return None;
            }
            if header & DISCARDED == 0 {
                let offset = self.offset(written, HEADER + len)?;
                self.handed = end;
                // SAFETY: it is not busy, the kernel has written beyond it, and the consumer's position moves at the next
                // call, which wants `self` back.
                return unsafe { self.mapped.as_ref()?.1.bytes(offset + HEADER as usize, len as usize) };
            }
            self.handed = end;
        }
    }

    /// Where in the mapping so many bytes from the next record on are. `None`: there is no memory to map them; they stay.
    fn offset(&mut self, written: u64, len: u64) -> Option<usize> {
        let at = self.read & (self.size - 1);
        if let Some((first, mapping)) = &self.mapped
            && *first <= at
            && at - first + len <= mapping.0.len() as u64
        {
            return Some((at - first) as usize);
        }
        self.mapped = None;
        let first = at / self.page * self.page;
        let waits = (at - first + written - self.read).min(WINDOW);
        let wanted = waits.max(at - first + len).next_multiple_of(self.page).min(2 * self.size - first);
        self.mapped = Some((first, self.map(first, wanted).ok()?));
        Some((at - first) as usize)
    }

    /// So many bytes of the data.
    fn map(&self, first: u64, len: u64) -> io::Result<Part> {
        Part::new(self.fd.as_fd(), 2 * self.page + first, len as usize, ProtFlags::READ)
    }

    /// Nothing more is read for now.
    pub fn release(&mut self) {
        if self.when == Mapped::WhileRead {
            self.mapped = None;
        }
    }
}

/// A word that another has stored, and what was stored before it. Not a load with `Ordering::Acquire`: of memory that may not
/// be written only relaxed loads are defined (`core::sync::atomic`, "Atomic accesses to read-only memory").
fn acquire<T>(load: impl FnOnce() -> T) -> T {
    let word = load();
    fence(Ordering::Acquire);
    word
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::{pread, pwrite};

    /// What the kernel does, in a file: both copies are written.
    struct Kernel {
        file: OwnedFd,
        size: u64,
        page: u64,
        written: u64,
    }

    impl Kernel {
        fn new(size: u64, when: Mapped) -> (Self, Ring) {
            let file = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
            let page = rustix::param::page_size() as u64;
            rustix::fs::ftruncate(&file, 2 * page + 2 * size).unwrap();
            let ring = Ring::over(file.try_clone().unwrap(), size, when).unwrap();
            (Self { file, size, page, written: 0 }, ring)
        }

        fn put(&self, position: u64, bytes: &[u8]) {
            let at = position & (self.size - 1);
            let (before, after) = bytes.split_at(bytes.len().min((self.size - at) as usize));
            for copy in [2 * self.page, 2 * self.page + self.size] {
                pwrite(&self.file, before, copy + at).unwrap();
                pwrite(&self.file, after, copy).unwrap();
            }
        }

        fn write(&mut self, record: &[u8], flags: u32) {
            self.put(self.written, &(record.len() as u32 | flags).to_ne_bytes());
            self.put(self.written + HEADER, record);
            self.written += (HEADER + record.len() as u64).next_multiple_of(8);
            pwrite(&self.file, &self.written.to_ne_bytes(), self.page).unwrap();
        }

        fn read_to(&self) -> u64 {
            let mut position = [0; 8];
            pread(&self.file, &mut position, 0).unwrap();
            u64::from_ne_bytes(position)
        }
    }

    const BOTH: [Mapped; 2] = [Mapped::Always, Mapped::WhileRead];

    #[test]
    fn records_come_in_order_over_the_end_and_are_done_with_at_the_next_look() {
        for (mut kernel, mut ring) in BOTH.map(|when| Kernel::new(4096, when)) {
            assert_eq!(ring.next(), None);
            for number in 0..40_u8 {
                // The second goes over the end every now and then.
                let (first, second) = (vec![number; 300], vec![!number; 1001]);
                kernel.write(&first, 0);
                kernel.write(&[9; 20], DISCARDED);
                kernel.write(&second, 0);
                let before = kernel.read_to();
                assert_eq!(ring.next(), Some(&first[..]));
                assert_eq!(kernel.read_to(), before, "it is still looked at");
                assert_eq!(ring.next(), Some(&second[..]));
                assert_eq!(ring.next(), None);
                assert_eq!(kernel.read_to(), kernel.written);
                if number % 3 == 0 {
                    ring.release();
                }
            }
        }
    }

    #[test]
    fn one_that_is_being_written_is_waited_for() {
        for (mut kernel, mut ring) in BOTH.map(|when| Kernel::new(4096, when)) {
            kernel.write(b"there", 0);
            kernel.write(b"busy", BUSY);
            assert_eq!(ring.next(), Some(&b"there"[..]));
            assert_eq!(ring.next(), None);
            assert_eq!(ring.next(), None);
            kernel.put(16, &4_u32.to_ne_bytes());
            assert_eq!(ring.next(), Some(&b"busy"[..]));
            assert_eq!(ring.next(), None);
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_not_followed() {
        for when in BOTH {
            // Within what was written it ends at most, whatever is mapped.
            for len in [17, 4096, 65_536, DISCARDED - 1] {
                for flags in [0, DISCARDED] {
                    let (mut kernel, mut ring) = Kernel::new(4096, when);
                    kernel.write(b"there", 0);
                    kernel.write(&[1; 16], 0);
                    kernel.put(16, &(len | flags).to_ne_bytes());
                    assert_eq!(ring.next(), Some(&b"there"[..]));
                    assert_eq!(ring.next(), None);
                    assert_eq!(ring.next(), None);
                    assert_eq!(kernel.read_to(), 16);
                }
            }
        }
    }

    #[test]
    fn more_than_is_mapped_at_once_is_read_in_parts() {
        let (mut kernel, mut ring) = Kernel::new(1 << 20, Mapped::WhileRead);
        for _ in 0..2 {
            for number in 0..60_u8 {
                kernel.write(&[number; 9000], 0);
            }
            for number in 0..60_u8 {
                assert_eq!(ring.next(), Some(&[number; 9000][..]));
                assert!(ring.mapped.as_ref().unwrap().1.0.len() as u64 <= WINDOW + 2 * ring.page);
            }
            assert_eq!(ring.next(), None);
            ring.release();
            assert!(ring.mapped.is_none());
        }
    }

    #[test]
    fn what_stays_mapped_is_mapped_once() {
        let (mut kernel, mut ring) = Kernel::new(1 << 20, Mapped::Always);
        let whole = ring.mapped.as_ref().unwrap().1.0.at();
        assert_eq!(ring.mapped.as_ref().unwrap().1.0.len(), (1 << 20) + KEPT as usize);
        for number in 0..=255_u8 {
            kernel.write(&[number; 9000], 0);
            assert_eq!(ring.next(), Some(&[number; 9000][..]));
            assert_eq!(ring.next(), None);
            ring.release();
            assert_eq!(ring.mapped.as_ref().unwrap().1.0.at(), whole);
        }
    }
}
