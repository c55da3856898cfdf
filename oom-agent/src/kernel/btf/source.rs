//! The kernel's BTF in memory: mapped where it can be (from 6.16 on), else read once.

use super::{BtfError, VMLINUX};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::{
    ffi::c_void,
    fs::File,
    io::{self, Read as _},
    ops::Deref,
    ptr::{self, NonNull},
};

/// More than any kernel's.
const LONGEST: u64 = 64 << 20;

/// The kernel's BTF.
#[derive(Debug)]
pub struct Vmlinux(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(NonNull<c_void>, usize),
    Read(Vec<u8>),
}

impl Vmlinux {
    /// # Errors
    /// If it is not there (`CONFIG_DEBUG_INFO_BTF`) or cannot be read.
    pub fn open() -> io::Result<Self> {
        let mut file = File::open(VMLINUX)?;
        let size = file.metadata()?.len().min(LONGEST) as usize;
        // SAFETY: a new mapping, where the kernel likes it. What it shows never changes (`btf_sysfs_vmlinux_mmap`).
        let mapped = unsafe { mmap(ptr::null_mut(), size, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) };
        if let Some(at) = mapped.ok().and_then(NonNull::new) {
            return Ok(Self(Bytes::Mapped(at, size)));
        }
        // A page for a read, whatever is asked for (`kernfs_file_read_iter`).
        let mut bytes = Vec::with_capacity(size + 1);
        file.by_ref().take(LONGEST).read_to_end(&mut bytes)?;
        Ok(Self(Bytes::Read(bytes)))
    }
}

impl Deref for Vmlinux {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: a mapping of that length, until it is dropped.
            Bytes::Mapped(at, size) => unsafe { std::slice::from_raw_parts(at.cast().as_ptr(), *size) },
            Bytes::Read(bytes) => bytes,
        }
    }
}

impl Drop for Vmlinux {
    fn drop(&mut self) {
        if let Bytes::Mapped(at, size) = self.0 {
            // SAFETY: nobody else knows of it, and what borrowed from it is gone.
            let _ = unsafe { munmap(at.as_ptr(), size) };
        }
    }
}

/// `N` bytes at a place of the input.
pub(super) fn array<const N: usize>(input: &[u8], at: u64, what: &'static str) -> Result<[u8; N], BtfError> {
    let rest = usize::try_from(at).ok().and_then(|at| input.get(at..));
    let bytes = rest.and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or(BtfError::Truncated { what, at: at.max(input.len() as u64) })
}
