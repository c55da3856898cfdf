//! System calls that no safe interface offers. All `unsafe` code of the tests is in this file, and of [`crate::init`] in its
//! own.

use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::time::Duration;

/// Ends the calling thread only, as `pthread_exit` in `main` does: as leader it stays as a zombie while others live.
pub(crate) fn exit_thread() -> ! {
    loop {
        // SAFETY: the thread ends here and unwinds nothing; what its stack holds stays mapped for other threads.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// A second process, not a thread, in the caller's memory (`CLONE_VM` without `CLONE_THREAD`). It sets its name and
/// sleeps until a signal ends it. Its process id.
pub(crate) fn spawn_in_own_memory(name: CString) -> Result<u32> {
    extern "C" fn sleeper(name: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `name` is the leaked C string below. Only system calls that succeed or never return are made (no signal has a
        // handler that lets `pause` return), so nothing of the parent's thread state, which this process shares, is written:
        // not even `errno`.
        unsafe {
            libc::prctl(libc::PR_SET_NAME, name);
            loop {
                libc::pause();
            }
        }
    }
    const STACK: usize = 64 << 10;
    let stack: &'static mut [u128] = Vec::leak(vec![0_u128; STACK / size_of::<u128>()]);
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack is leaked, aligned to 16 bytes and used by nobody else; the argument is leaked, too.
    let pid =
        unsafe { libc::clone(sleeper, top.cast(), libc::CLONE_VM | libc::SIGCHLD, name.into_raw().cast()) };
    u32::try_from(pid).map_err(|_| Error::last_os_error())
}

/// `fork`; `None` in the child. Only for a process with a single thread.
pub(crate) fn fork() -> Result<Option<u32>> {
    // SAFETY: the callers have a single thread, so no lock is held in the child by one that it does not have.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        pid => u32::try_from(pid).map(Some).map_err(|_| Error::last_os_error()),
    }
}

/// Namespaces of its own for the calling thread; one of process ids for the children that it has from now on.
pub(crate) fn unshare(flags: UnshareFlags) -> Result<()> {
    // SAFETY: no caller asks for a table of descriptors of its own (`CLONE_FILES`).
    unsafe { unshare_unsafe(flags) }.map_err(Error::from)
}

/// Memory only from this NUMA node from now on.
pub(crate) fn bind_to_node(node: u32) -> Result<()> {
    let mask: libc::c_ulong = 1 << node;
    // SAFETY: the kernel reads one word.
    let result = unsafe {
        libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_BIND, &raw const mask, libc::c_ulong::BITS)
    };
    succeeded(result)
}

/// Maps `len` bytes of shared memory (shmem pages) and writes to each page. They stay until the process ends.
pub(crate) fn touch_shared(len: usize) -> Result<()> {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses, which takes the place of none.
    let start = unsafe { libc::mmap(null_mut(), len, access, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    let start = NonNull::new(start.cast::<u8>()).ok_or_else(|| Error::other("mapped at 0"))?;
    for offset in (0..len).step_by(4096) {
        // SAFETY: inside the mapping, which is writable and never unmapped.
        unsafe { start.add(offset).write_volatile(1) };
    }
    Ok(())
}

/// Keeps memory from being reclaimed until the process ends.
pub(crate) fn lock(memory: &[u8]) -> Result<()> {
    // SAFETY: takes a range of mapped memory and writes nothing.
    succeeded(unsafe { libc::mlock(memory.as_ptr().cast(), memory.len()) }.into())
}

/// Starts swapping to a device.
pub(crate) fn swap_on(device: &Path) -> Result<()> {
    let device = CString::new(device.as_os_str().as_bytes())?;
    // SAFETY: a C string.
    succeeded(unsafe { libc::swapon(device.as_ptr(), 0) }.into())
}

/// Stops swapping to a device.
pub(crate) fn swap_off(device: &Path) -> Result<()> {
    let device: &CStr = &CString::new(device.as_os_str().as_bytes())?;
    // SAFETY: a C string.
    succeeded(unsafe { libc::swapoff(device.as_ptr()) }.into())
}

/// What a process has had of the processors, also of its threads that have ended.
///
/// # Errors
/// There is no such process.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: writes one clock id.
    let error = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    if error != 0 {
        return Err(Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one time.
    succeeded(unsafe { libc::clock_gettime(clock, &raw mut time) }.into())?;
    Ok(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32))
}

/// A BPF array with one element of 4 bytes.
pub(crate) struct BpfArray(OwnedFd);

impl BpfArray {
    pub(crate) fn new() -> Result<Self> {
        const CREATE: libc::c_int = 0;
        const ARRAY: u32 = 2;
        // Type, sizes of key and value, entries (`union bpf_attr`, include/uapi/linux/bpf.h).
        let attributes = [ARRAY, 4, 4, 1];
        // SAFETY: the kernel reads as many bytes as it is told.
        let fd =
            unsafe { libc::syscall(libc::SYS_bpf, CREATE, attributes.as_ptr(), size_of_val(&attributes)) };
        succeeded(fd)?;
        // SAFETY: a new descriptor that nobody else has.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Reads it.
    pub(crate) fn look_up(&self) -> Result<u32> {
        const LOOK_UP: libc::c_int = 1;
        let (key, mut value) = (0_u32, 0_u32);
        let attributes = [self.0.as_raw_fd() as u64, &raw const key as u64, &raw mut value as u64, 0];
        // SAFETY: the kernel reads as many bytes as it is told, then a key and writes a value of the map's sizes.
        succeeded(unsafe {
            libc::syscall(libc::SYS_bpf, LOOK_UP, attributes.as_ptr(), size_of_val(&attributes))
        })?;
        Ok(value)
    }
}

/// What is told of a BPF program.
#[derive(Clone, Debug)]
pub(crate) struct BpfProgram {
    /// The first 15 characters of its name.
    pub(crate) name: String,
    /// While `kernel.bpf_stats_enabled` was 1.
    pub(crate) run_time_ns: u64,
    /// While `kernel.bpf_stats_enabled` was 1.
    pub(crate) run_cnt: u64,
}

/// The id of the BPF program after this one; `None` after the last.
pub(crate) fn next_bpf_program(id: u32) -> Result<Option<u32>> {
    const GET_NEXT_ID: libc::c_int = 11;
    // `start_id`, `next_id`, `open_flags` (`union bpf_attr`, include/uapi/linux/bpf.h).
    let mut attributes = [id, 0, 0];
    // SAFETY: the kernel reads and writes as many bytes as it is told.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, GET_NEXT_ID, attributes.as_mut_ptr(), size_of_val(&attributes))
    };
    match succeeded(done) {
        Ok(()) => Ok(Some(attributes[1])),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is told of the BPF program of this id.
pub(crate) fn bpf_program(id: u32) -> Result<BpfProgram> {
    const GET_FD_BY_ID: libc::c_int = 13;
    const GET_INFO_BY_FD: libc::c_int = 15;
    // Offsets in `struct bpf_prog_info`, which is an interface.
    const NAME: usize = 64;
    const RUN_TIME_NS: usize = 192;
    const RUN_CNT: usize = 200;
    let attributes = [id, 0, 0];
    // SAFETY: the kernel reads as many bytes as it is told.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, GET_FD_BY_ID, attributes.as_ptr(), size_of_val(&attributes)) };
    succeeded(fd)?;
    // SAFETY: a new descriptor that nobody else has.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let mut info = [0_u8; 208];
    // `bpf_fd`, `info_len`, `info`.
    let attributes =
        [u64::from(fd.as_raw_fd().cast_unsigned()) | (info.len() as u64) << 32, info.as_mut_ptr() as u64];
    // SAFETY: the kernel reads as many bytes as it is told, and writes at most `info_len` bytes to `info`.
    succeeded(unsafe {
        libc::syscall(libc::SYS_bpf, GET_INFO_BY_FD, attributes.as_ptr(), size_of_val(&attributes))
    })?;
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&info[at..at + 8]);
        u64::from_ne_bytes(bytes)
    };
    let name: Vec<u8> = info[NAME..NAME + 16].iter().copied().take_while(|byte| *byte != 0).collect();
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(BpfProgram { name, run_time_ns: word(RUN_TIME_NS), run_cnt: word(RUN_CNT) })
}

fn succeeded(result: libc::c_long) -> Result<()> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::time::{ClockId, clock_gettime};

    #[test]
    fn threads_that_have_ended_count() {
        let before = processor_time(std::process::id()).unwrap();
        let work = || while clock_gettime(ClockId::ThreadCPUTime).tv_nsec < 5_000_000 {};
        std::thread::spawn(work).join().unwrap();
        let after = processor_time(std::process::id()).unwrap();
        assert!(after >= before + Duration::from_millis(5), "{before:?}, {after:?}");
    }
}
