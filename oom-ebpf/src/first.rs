//! A program that does nothing, on a function that is called as good as never: the first trampoline.
//!
//! Where no function has a trampoline yet, older kernels (6.1; not 6.12) make their table of them anew and wait for a grace period before
//! the old one is freed (`register_ftrace_direct_multi`, kernel/trace/ftrace.c): 0.2 s, after the trampoline is in force. The agent
//! lets this program wait for it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod object;

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{macros::fentry, programs::FEntryContext};

    #[fentry(function = "oom_killer_disable")]
    fn first(_ctx: FEntryContext) -> i32 {
        0
    }
}
