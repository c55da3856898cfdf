//! The agent's own memory: small, and not to be taken away when memory is short.

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{fs, hint::black_box};

/// Bytes of heap that are there before they are needed, and are not given back: twice what a storm of 150 kills takes.
const HEAP: usize = 512 << 10;
/// Bytes of stack, likewise.
const STACK: usize = 128 << 10;

/// Descriptors that there is room for, more than are ever open at the start (some 80).
const DESCRIPTORS: i32 = 255;

/// The kernel's own mark for "never" (`OOM_SCORE_ADJ_MIN`).
const NEVER: &str = "-1000";
const ADJ: &str = "/proc/self/oom_score_adj";

/// At the start, before there is another thread: room for descriptors, and one heap for all threads.
pub fn begin() {
    // Where threads share the table of descriptors, the kernel waits for an RCU grace period as it grows (`expand_fdtable`,
    // fs/file.c). It does not shrink.
    drop(rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), DESCRIPTORS));
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a limit of the allocator; may be called at any time. A heap of its own for the thread that only loads would
    // stay when the thread is gone.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// After the start: gives back what only the start needed (the kernel's type ids, the BPF object, and code).
pub fn settle() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's own lock, and only returns free memory to the system.
    unsafe {
        libc::malloc_trim(0);
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: the callback is called with what its type says, keeps none of it, and does not unwind.
    unsafe {
        libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut());
    }
}

/// Unmaps the pages of code and constants of an object of this process. The page cache still has them: what is used from now
/// on is mapped again when it is, and only that.
///
/// # Safety
/// As `dl_iterate_phdr` calls it: `object` describes an object that is loaded.
#[cfg(target_env = "gnu")]
unsafe extern "C" fn forget(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: as here: it is valid during the call.
    let object = unsafe { &*object };
    if object.dlpi_phdr.is_null() {
        return 0;
    }
    let base = object.dlpi_addr;
    // SAFETY: it has that many program headers, and nobody changes them.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let page = rustix::param::page_size() as u64;
    for header in headers {
        // What has ever been writable may differ from the file: relocations.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = (base + header.p_vaddr).next_multiple_of(page);
        let end = (base + header.p_vaddr + header.p_memsz) / page * page;
        if begin < end {
            // SAFETY: whole pages of a private mapping of a file, to which nobody could write: each comes back as it was when
            // it is next looked at, as after the kernel has reclaimed it. So do those of the vDSO. Where pages are locked or
            // sealed it fails (`VM_LOCKED`, `VM_SEALED`, mm/madvise.c), and nothing happens.
            let _ = unsafe {
                rustix::mm::madvise(
                    begin as *mut _,
                    (end - begin) as usize,
                    rustix::mm::Advice::LinuxDontNeed,
                )
            };
        }
    }
    0
}

/// Locks what is and will be in use, so that the agent needs no page from the disk while the machine has none to spare.
/// What is never touched costs nothing.
///
/// # Errors
/// Why it is not locked; it works without.
pub fn lock() -> Result<(), String> {
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    if let Some(limit) = getrlimit(Resource::Memlock).current {
        // Whoever may lock only so much gets no more memory beyond it (`mlock_future_ok`, mm/mmap.c): better unlocked.
        let limit = crate::units::bytes(limit);
        return Err(format!(
            "memory is not locked: RLIMIT_MEMLOCK is {limit}, and raising it needs CAP_SYS_RESOURCE (systemd: LimitMEMLOCK=infinity)"
        ));
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(|error| format!("memory is not locked: mlockall: {error}"))
}

/// Takes memory now, so that none has to be found in the worst moment.
pub fn reserve() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets limits of the allocator, under its lock. Other threads may read one without (which is why glibc's manual
    // warns of it): a word, of which the old value is as good.
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, HEAP as libc::c_int);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * HEAP as libc::c_int);
    }
    // In pieces: the allocator maps large ones apart, and unmaps them.
    let pieces: Vec<Vec<u8>> = (0..HEAP / (32 << 10)).map(|_| vec![1; 32 << 10]).collect();
    drop(black_box(pieces));
    stack();
}

#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "that is what it is for")]
fn stack() {
    black_box([1_u8; STACK]);
}

/// Asks the kernel to kill anybody else (`oom_score_adj` -1000).
///
/// # Errors
/// Why it does not, and what is in its place.
pub fn exempt() -> Result<(), String> {
    let Err(error) = fs::write(ADJ, NEVER) else { return Ok(()) };
    let has = fs::read_to_string(ADJ).unwrap_or_default();
    match has.trim() {
        NEVER => Ok(()),
        has => Err(format!(
            "the kernel may kill this agent: oom_score_adj is {}, and {NEVER} needs CAP_SYS_RESOURCE (systemd: OOMScoreAdjust={NEVER}): {error}",
            if has.is_empty() { crate::units::UNKNOWN } else { has }
        )),
    }
}
