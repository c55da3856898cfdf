//! One hook a file, named after the kernel function or tracepoint. A function is hooked by a trampoline (fentry,
//! fexit) or, where those are refused, by a kprobe and kretprobe; the loader chooses by trying.

mod compaction;
mod exit_mmap;
mod kswapd;
mod mark_victim;
mod oom_badness;
mod oom_evaluate_task;
mod oom_kill_process;
mod oom_reaper;
mod out_of_memory;
mod reclaim;
mod retry;
mod sched_process_exit;
mod signal_generate;
mod try_to_free_mem_cgroup_pages;
