//! The bulk ring, of which only what waits is mapped, while it is read.
//!
//! All of a ring that is mapped counts as resident, from the start (`remap_vmalloc_range_partial`, mm/vmalloc.c): 4 MiB for
//! candidates that come once in a while. What must never be lost is in the other ring, which stays mapped: to read it takes no
//! memory.
//!
//! The layout is that of `struct bpf_ringbuf` (kernel/bpf/ringbuf.c), as user space may map it: a page with the consumer's
//! position, one with the producer's, and the data twice in a row, so that a record that goes over the end is in one piece.

use anyhow::{Context as _, Result, bail};
use aya::maps::Map;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::{
    ffi::c_void,
    os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

/// Bytes of data that are mapped at once, at least; more than two records.
const WINDOW: u64 = 256 << 10;
/// Length and flags before each record (`struct bpf_ringbuf_hdr`).
const HEADER: u64 = 8;
/// It is being written.
const BUSY: u32 = 1 << 31;
/// It was given up.
const DISCARDED: u32 = 1 << 30;

/// A mapping of a part of the ring.
#[derive(Debug)]
struct Mapping {
    at: NonNull<c_void>,
    len: usize,
}

// SAFETY: whoever has the mapping may use it, on any thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(ring: BorrowedFd<'_>, offset: u64, len: usize, flags: ProtFlags) -> rustix::io::Result<Self> {
        // SAFETY: a new mapping, where the kernel likes it.
        let at = unsafe { mmap(ptr::null_mut(), len, flags, MapFlags::SHARED, ring, offset)? };
        // The kernel maps nothing at NULL unasked.
        NonNull::new(at).map(|at| Self { at, len }).ok_or(rustix::io::Errno::NOMEM)
    }

    /// The position in one of the first two pages.
    fn position(&self) -> &AtomicU64 {
        // SAFETY: page-aligned, as long as a page at least, and the kernel changes it as a whole word.
        unsafe { self.at.cast().as_ref() }
    }

    /// The length and flags of the record there.
    fn header(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(size_of::<u64>()) || offset.checked_add(HEADER as usize)? > self.len {
            return None;
        }
        // SAFETY: within the mapping and aligned; the kernel changes it as a whole word (`bpf_ringbuf_commit`).
        Some(unsafe { self.at.byte_add(offset).cast().as_ref() })
    }

    fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: within the mapping. The kernel writes there again when the consumer's position has passed it.
        Some(unsafe { std::slice::from_raw_parts(self.at.byte_add(offset).cast().as_ptr(), len) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody else knows of it, and what borrowed from it is gone.
        let _ = unsafe { munmap(self.at.as_ptr(), self.len) };
    }
}

/// A ring and how far it is read.
#[derive(Debug)]
pub struct Window {
    ring: OwnedFd,
    /// Bytes of data, a power of two.
    size: u64,
    page: u64,
    consumer: Mapping,
    producer: Mapping,
    /// What is mapped of the data, and which position it begins at.
    mapped: Option<(u64, Mapping)>,
    /// Read up to there.
    read: u64,
    /// The record that was handed out last goes up to there.
    handed: u64,
}

impl Window {
    /// Of a map of the kind `BPF_MAP_TYPE_RINGBUF`.
    ///
    /// # Errors
    /// It is another kind of map, or cannot be mapped.
    pub fn new(map: Map) -> Result<Self> {
        let Map::RingBuf(map) = map else { bail!("a BPF map is no ring buffer") };
        let size = map.info().context("cannot ask for the size of a BPF ring buffer")?.max_entries();
        let ring = map.fd().as_fd().try_clone_to_owned().context("cannot keep a BPF ring buffer")?;
        Self::over(ring, size.into()).context("cannot map a BPF ring buffer")
    }

    fn over(ring: OwnedFd, size: u64) -> rustix::io::Result<Self> {
        let page = rustix::param::page_size() as u64;
        let one = |offset, flags| Mapping::new(ring.as_fd(), offset, page as usize, flags);
        let (consumer, producer) = (one(0, ProtFlags::READ | ProtFlags::WRITE)?, one(page, ProtFlags::READ)?);
        let read = consumer.position().load(Ordering::Relaxed);
        Ok(Self { ring, size, page, consumer, producer, mapped: None, read, handed: read })
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
            let written = self.producer.position().load(Ordering::Acquire);
            if self.read == written {
                return None;
            }
            let mut offset = self.offset(written, HEADER)?;
            let header = self.mapped.as_ref()?.1.header(offset)?.load(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            let len = u64::from(header & !(BUSY | DISCARDED));
            self.handed = self.read + (HEADER + len).next_multiple_of(size_of::<u64>() as u64);
            if header & DISCARDED == 0 {
                offset = self.offset(written, HEADER + len)?;
                return self.mapped.as_ref()?.1.bytes(offset + HEADER as usize, len as usize);
            }
        }
    }

    /// Where in the mapping so many bytes from the next record on are. `None`: there is no memory to map them; they stay.
    fn offset(&mut self, written: u64, len: u64) -> Option<usize> {
        if let Some((begin, mapping)) = &self.mapped {
            let offset = (self.read - begin) as usize;
            if offset + len as usize <= mapping.len {
                return Some(offset);
            }
        }
        self.mapped = None;
        let begin = self.read / self.page * self.page;
        let first = begin & (self.size - 1);
        let wanted = (written - begin).min(WINDOW).max(self.read - begin + len).next_multiple_of(self.page);
        let wanted = wanted.min(2 * self.size - first);
        let mapping =
            Mapping::new(self.ring.as_fd(), 2 * self.page + first, wanted as usize, ProtFlags::READ).ok()?;
        let offset = (self.read - begin) as usize;
        let enough = offset + len as usize <= mapping.len;
        self.mapped = Some((begin, mapping));
        enough.then_some(offset)
    }

    /// Nothing more is read for now.
    pub fn release(&mut self) {
        self.mapped = None;
    }
}

impl AsRawFd for Window {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
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
        fn new(size: u64) -> (Self, Window) {
            let file = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
            let page = rustix::param::page_size() as u64;
            rustix::fs::ftruncate(&file, 2 * page + 2 * size).unwrap();
            let window = Window::over(file.try_clone().unwrap(), size).unwrap();
            (Self { file, size, page, written: 0 }, window)
        }

        fn put(&self, position: u64, bytes: &[u8]) {
            for (offset, byte) in (position..).zip(bytes) {
                let at = 2 * self.page + (offset & (self.size - 1));
                for copy in [at, at + self.size] {
                    pwrite(&self.file, &[*byte], copy).unwrap();
                }
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

    #[test]
    fn records_come_in_order_over_the_end_and_are_done_with_at_the_next_look() {
        let (mut kernel, mut window) = Kernel::new(4096);
        assert_eq!(window.next(), None);
        for number in 0..40_u8 {
            // The second goes over the end every now and then.
            let (first, second) = (vec![number; 300], vec![!number; 1001]);
            kernel.write(&first, 0);
            kernel.write(&[9; 20], DISCARDED);
            kernel.write(&second, 0);
            let before = kernel.read_to();
            assert_eq!(window.next(), Some(&first[..]));
            assert_eq!(kernel.read_to(), before, "it is still looked at");
            assert_eq!(window.next(), Some(&second[..]));
            assert_eq!(window.next(), None);
            assert_eq!(kernel.read_to(), kernel.written);
            if number % 3 == 0 {
                window.release();
            }
        }
    }

    #[test]
    fn one_that_is_being_written_is_waited_for() {
        let (mut kernel, mut window) = Kernel::new(4096);
        kernel.write(b"there", 0);
        kernel.write(b"busy", BUSY);
        assert_eq!(window.next(), Some(&b"there"[..]));
        assert_eq!(window.next(), None);
        assert_eq!(window.next(), None);
        kernel.put(16, &4_u32.to_ne_bytes());
        assert_eq!(window.next(), Some(&b"busy"[..]));
        assert_eq!(window.next(), None);
    }

    #[test]
    fn more_than_is_mapped_at_once_is_read_in_parts() {
        let (mut kernel, mut window) = Kernel::new(1 << 20);
        for _ in 0..2 {
            for number in 0..60_u8 {
                kernel.write(&[number; 9000], 0);
            }
            for number in 0..60_u8 {
                assert_eq!(window.next(), Some(&[number; 9000][..]));
                assert!(window.mapped.as_ref().unwrap().1.len as u64 <= WINDOW + 2 * window.page);
            }
            assert_eq!(window.next(), None);
            window.release();
        }
    }
}
