//! The agent's own memory: small, and not to be taken away when memory is short.

use rustix::mm::{MlockAllFlags, mlockall};

/// After the start: gives back what only the start needed (the kernel's type ids, the BPF object), and locks what
/// is and will be in use, so that the agent needs no page from the disk while the machine has none to spare.
pub fn settle() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time; it only returns free memory to the system.
    unsafe {
        libc::malloc_trim(0);
    }
    // ONFAULT: what is never touched costs nothing. Without CAP_IPC_LOCK the limit may forbid it; it works without.
    let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
}
