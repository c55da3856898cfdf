//! Memory that the kernel shows or gives, mapped.

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::{
    ffi::c_void,
    io,
    os::fd::AsFd,
    ptr::{self, NonNull},
};

/// A mapping. Nothing but this and the kernel knows of it, and its memory does not move or go before it is unmapped: what it
/// shows is kept by it.
#[derive(Debug)]
pub(super) struct Mapping {
    at: NonNull<c_void>,
    len: usize,
}

// SAFETY: the memory is the process's, not a thread's, and unmapping it is nothing that a thread has to do itself.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Of what a descriptor stands for.
    pub(super) fn of(
        fd: impl AsFd,
        offset: u64,
        len: usize,
        access: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Self> {
        // SAFETY: a new mapping, where the kernel finds room for it: it takes the place of none.
        let at = unsafe { mmap(ptr::null_mut(), len, access, flags, fd, offset)? };
        Self::new(at, len)
    }

    /// Of memory, zeroed, that may be written to.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: as above.
        let at = unsafe { mmap_anonymous(ptr::null_mut(), len, access, flags)? };
        Self::new(at, len)
    }

    fn new(at: *mut c_void, len: usize) -> io::Result<Self> {
        // The kernel maps nothing at NULL unasked.
        NonNull::new(at).map(|at| Self { at, len }).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Where it begins.
    pub(super) const fn at(&self) -> NonNull<c_void> {
        self.at
    }

    /// Its bytes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody else knows of it, and what was handed out of it has borrowed it, and is gone.
        let _ = unsafe { munmap(self.at.as_ptr(), self.len) };
    }
}
