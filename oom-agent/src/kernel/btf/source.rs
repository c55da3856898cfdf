//! The kernel's BTF in memory: mapped where it can be (from 6.16 on), else copied in one piece, else read.

mod call;

use super::{BtfError, VMLINUX};
use crate::kernel::mapping::Mapping;
use rustix::mm::{MapFlags, ProtFlags};
use std::{
    fs::File,
    io::{self, Read},
    ops::Deref,
};

/// More than any kernel's.
const LONGEST: u64 = 64 << 20;

/// The kernel's BTF.
#[derive(Debug)]
pub struct Vmlinux(Mapping);

impl Vmlinux {
    /// # Errors
    /// If it is not there (`CONFIG_DEBUG_INFO_BTF`) or cannot be read.
    pub fn open() -> io::Result<Self> {
        let file = File::open(VMLINUX)?;
        let size = file.metadata()?.len().min(LONGEST) as usize;
        // What it shows never changes (`btf_sysfs_vmlinux_mmap`, kernel/bpf/sysfs_btf.c).
        match Mapping::of(&file, 0, size, ProtFlags::READ, MapFlags::PRIVATE) {
            Ok(mapped) => Ok(Self(mapped)),
            Err(_) => call::copy(size).map_or_else(|| Self::copy(file, size), |copy| Ok(Self(copy))),
        }
    }

    /// Into a mapping of its own, which leaves nothing behind: the allocator would keep later ones of that size.
    fn copy(mut from: impl Read, size: usize) -> io::Result<Self> {
        let copy = Self(Mapping::anonymous(size)?);
        // SAFETY: a mapping of that length that may be written to and that nobody else knows of.
        let room = unsafe { std::slice::from_raw_parts_mut(copy.0.at().cast::<u8>().as_ptr(), size) };
        let mut done = 0;
        // A page for a read, whatever is asked for (`kernfs_file_read_iter`, fs/kernfs/file.c).
        while let Some(rest) = room.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match from.read(rest) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(copy)
    }
}

impl Deref for Vmlinux {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: a mapping of that length, until it is dropped, that nobody writes to.
        unsafe { std::slice::from_raw_parts(self.0.at().cast().as_ptr(), self.0.len()) }
    }
}

/// `N` bytes at a place of the input.
pub(super) fn array<const N: usize>(input: &[u8], at: u64, what: &'static str) -> Result<[u8; N], BtfError> {
    let rest = usize::try_from(at).ok().and_then(|at| input.get(at..));
    let bytes = rest.and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or(BtfError::Truncated { what, at: at.max(input.len() as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes a time, as sysfs gives a page.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(7);
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn what_comes_in_pieces_is_read_in_whole_and_what_is_missing_is_zero() {
        let whole: Vec<u8> = (0..10_000).map(|number| number as u8).collect();
        assert_eq!(*Vmlinux::copy(Trickle(&whole), whole.len()).unwrap(), whole[..]);
        let short = Vmlinux::copy(Trickle(&whole[..99]), 200).unwrap();
        assert_eq!((&short[..99], &short[99..]), (&whole[..99], &[0; 101][..]));
        assert!(Vmlinux::copy(Trickle(&whole), 0).is_err());
    }
}
