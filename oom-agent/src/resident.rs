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

/// The kernel's own mark for "never" (`OOM_SCORE_ADJ_MIN`).
const NEVER: &str = "-1000";
const ADJ: &str = "/proc/self/oom_score_adj";

/// After the start: gives back what only the start needed (the kernel's type ids, the BPF object).
pub fn settle() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time; it only returns free memory to the system.
    unsafe {
        libc::malloc_trim(0);
    }
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
    // SAFETY: sets limits of the allocator, in bytes; may be called at any time.
    unsafe {
        // What other threads take comes from here too.
        libc::mallopt(libc::M_ARENA_MAX, 1);
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
