//! The kernel's BTF by bpf(2): a copy at once, where a file in sysfs gives a page for a read.

use crate::kernel::mapping::Mapping;
use aya_obj::generated::{bpf_attr, bpf_btf_info, bpf_cmd};
use libc::{SYS_bpf, c_long, syscall};
use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// The kernel's own is the first one that gets a number (`btf_alloc_id`, kernel/bpf/btf.c).
const FIRST: u32 = 1;
/// What it is called, from 5.11 on (`btf_get_info_by_fd`, kernel/bpf/btf.c).
const NAME: &[u8] = b"vmlinux\0";

/// A copy of it, which has `size` bytes. `None`: it cannot be had like this, for want of `CAP_SYS_ADMIN`
/// (`bpf_btf_get_fd_by_id`, kernel/bpf/syscall.c) or on a kernel that has not numbered it (yet), or it is not what the file shows.
pub(super) fn copy(size: usize) -> Option<Mapping> {
    let btf = by_number(FIRST)?;
    let mut name = [0u8; NAME.len()];
    let mut first = info();
    (first.name, first.name_len) = (name.as_mut_ptr() as u64, name.len() as u32);
    // SAFETY: `name` is there until after the call, with as many bytes as are said.
    unsafe { ask(&btf, &mut first)? };
    if first.kernel_btf == 0 || name != NAME || first.btf_size as usize != size {
        return None;
    }
    let copy = Mapping::anonymous(size).ok()?;
    let mut whole = info();
    (whole.btf, whole.btf_size) = (copy.at().as_ptr() as u64, first.btf_size);
    // SAFETY: the mapping has as many bytes, may be written to, and nobody else knows of it.
    unsafe { ask(&btf, &mut whole)? };
    (whole.btf_size == first.btf_size).then_some(copy)
}

/// No question yet.
const fn info() -> bpf_btf_info {
    bpf_btf_info { btf: 0, btf_size: 0, id: 0, name: 0, name_len: 0, kernel_btf: 0 }
}

/// No command's arguments yet.
fn attr() -> bpf_attr {
    // SAFETY: integers, of which zeroes are a value. The kernel wants to see zeroes in what it does not know.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn by_number(id: u32) -> Option<OwnedFd> {
    let mut attr = attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.btf_id = id;
    // SAFETY: this command takes no addresses.
    let fd = i32::try_from(unsafe { bpf(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &attr) }).ok()?;
    // SAFETY: a new descriptor, that nobody else has.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `btf_get_info_by_fd`, kernel/bpf/btf.c.
///
/// # Safety
/// What `info` has addresses of may be written to, with the lengths that it says.
unsafe fn ask(btf: &OwnedFd, info: &mut bpf_btf_info) -> Option<()> {
    let mut attr = attr();
    attr.info.bpf_fd = u32::try_from(btf.as_raw_fd()).ok()?;
    attr.info.info_len = size_of_val(info) as u32;
    attr.info.info = (&raw mut *info) as u64;
    // SAFETY: `info` has as many bytes, and its addresses are what the caller says.
    let done = unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &attr) };
    (done == 0).then_some(())
}

/// # Safety
/// The command's addresses in `attr` have to be valid.
unsafe fn bpf(command: bpf_cmd, attr: &bpf_attr) -> c_long {
    // SAFETY: `attr` has as many bytes; the rest is the caller's.
    unsafe { syscall(SYS_bpf, command as c_long, &raw const *attr, size_of_val(attr)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::VMLINUX;

    #[test]
    fn the_copy_is_what_the_file_shows() {
        // Not everybody may, and not every machine has one.
        let Ok(file) = std::fs::read(VMLINUX) else { return };
        assert!(copy(0).is_none() && copy(file.len() + 1).is_none());
        let Some(copy) = copy(file.len()) else { return };
        // SAFETY: a mapping of that length, that nobody writes to any more.
        let copied = unsafe { std::slice::from_raw_parts(copy.at().cast::<u8>().as_ptr(), copy.len()) };
        assert!(copied == file, "{} and {} bytes", copied.len(), file.len());
    }

    #[test]
    fn a_number_that_none_has_is_no_btf() {
        assert!(by_number(u32::MAX).is_none());
    }
}
