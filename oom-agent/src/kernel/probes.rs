//! The probe table: one row for each hook, with the kinds it can be attached as, best first.
//!
//! To add a hook: a file in `oom-ebpf/src/programs/hooks/` and a row here.

use serde::Serialize;

/// How a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Trampoline at the function's entry.
    Fentry,
    /// Trampoline at the function's return.
    Fexit,
    /// Breakpoint or ftrace at the function's entry.
    Kprobe,
    /// The same at its return, with a kprobe for the arguments.
    Kretprobe,
    /// Raw tracepoint: the same arguments as a BTF tracepoint, without needing the BTF id.
    RawTracepoint,
}

impl Kind {
    /// A trampoline: it takes the function's BTF id.
    pub const fn is_trampoline(self) -> bool {
        matches!(self, Self::Fentry | Self::Fexit)
    }

    /// The kernel's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
            Self::RawTracepoint => "raw_tracepoint",
        }
    }
}

/// What the agent cannot do without a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The full level.
    Full,
    /// BPF at all.
    Bpf,
    /// Nothing: some evidence is missing.
    Optional,
}

/// One program of the BPF object and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// How it is attached.
    pub kind: Kind,
}

const fn program(name: &'static str, kind: Kind) -> Program {
    Program { name, kind }
}

/// One hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// The kernel's function or tracepoint.
    pub target: &'static str,
    /// What it is for.
    pub gives: &'static str,
    /// What is lost without it.
    pub need: Need,
    /// Sets of programs, best first; all programs of a set are attached, in this order.
    pub ways: &'static [&'static [Program]],
}

use Kind::{Fentry, Fexit, Kprobe, Kretprobe, RawTracepoint};

/// The table. What takes longest to load stands at both ends of it. No call begins before all are in place (`OPEN`).
pub const HOOKS: &[Hook] = &[
    Hook {
        target: "mark_victim",
        gives: "every victim",
        need: Need::Bpf,
        ways: &[&[program("mark_victim", RawTracepoint)]],
    },
    Hook {
        target: "signal_generate",
        gives: "time of the kill, processes that share the memory",
        need: Need::Optional,
        ways: &[&[program("signal_generate", RawTracepoint)]],
    },
    Hook {
        target: "sched_process_exit",
        gives: "exit of the victims",
        need: Need::Optional,
        ways: &[&[program("sched_process_exit", RawTracepoint)]],
    },
    Hook {
        target: "mm_vmscan_direct_reclaim_begin",
        gives: "reclaim before the kill",
        need: Need::Optional,
        ways: &[&[program("direct_reclaim_begin", RawTracepoint)]],
    },
    Hook {
        target: "mm_vmscan_direct_reclaim_end",
        gives: "reclaim before the kill",
        need: Need::Optional,
        ways: &[&[program("direct_reclaim_end", RawTracepoint)]],
    },
    Hook {
        target: "mm_vmscan_memcg_reclaim_begin",
        gives: "reclaim before the kill",
        need: Need::Optional,
        ways: &[&[program("memcg_reclaim_begin", RawTracepoint)]],
    },
    Hook {
        target: "mm_vmscan_memcg_reclaim_end",
        gives: "reclaim before the kill",
        need: Need::Optional,
        ways: &[&[program("memcg_reclaim_end", RawTracepoint)]],
    },
    Hook {
        target: "start_task_reaping",
        gives: "the OOM reaper, for victims that hang",
        need: Need::Optional,
        ways: &[&[program("start_task_reaping", RawTracepoint)]],
    },
    Hook {
        target: "finish_task_reaping",
        gives: "the OOM reaper, for victims that hang",
        need: Need::Optional,
        ways: &[&[program("finish_task_reaping", RawTracepoint)]],
    },
    Hook {
        target: "skip_task_reaping",
        gives: "the OOM reaper, for victims that hang",
        need: Need::Optional,
        ways: &[&[program("skip_task_reaping", RawTracepoint)]],
    },
    Hook {
        target: "exit_mmap",
        gives: "when the victims' memory is given back",
        need: Need::Optional,
        ways: &[
            &[program("leave_exit_mmap", Fexit)],
            &[program("k_leave_exit_mmap", Kretprobe), program("k_enter_exit_mmap", Kprobe)],
        ],
    },
    Hook {
        target: "try_to_free_mem_cgroup_pages",
        gives: "reclaim for the cgroup that was full",
        need: Need::Optional,
        ways: &[
            &[program("enter_try_to_free_mem_cgroup_pages", Fentry)],
            &[program("k_enter_try_to_free_mem_cgroup_pages", Kprobe)],
        ],
    },
    Hook {
        target: "mm_vmscan_lru_shrink_inactive",
        gives: "pages that reclaim looked at",
        need: Need::Optional,
        ways: &[&[program("lru_shrink_inactive", RawTracepoint)]],
    },
    Hook {
        target: "mm_vmscan_throttled",
        gives: "waits in reclaim (from 5.16 on)",
        need: Need::Optional,
        ways: &[&[program("throttled", RawTracepoint)]],
    },
    Hook {
        target: "mm_vmscan_kswapd_wake",
        gives: "work of kswapd",
        need: Need::Optional,
        ways: &[&[program("kswapd_wake", RawTracepoint)]],
    },
    Hook {
        target: "mm_vmscan_kswapd_sleep",
        gives: "work of kswapd",
        need: Need::Optional,
        ways: &[&[program("kswapd_sleep", RawTracepoint)]],
    },
    Hook {
        target: "reclaim_retry_zone",
        gives: "zones that the page allocator gave up on",
        need: Need::Optional,
        ways: &[&[program("reclaim_retry_zone", RawTracepoint)]],
    },
    Hook {
        target: "compact_retry",
        gives: "compaction before the kill",
        need: Need::Optional,
        ways: &[&[program("compact_retry", RawTracepoint)]],
    },
    Hook {
        target: "mm_compaction_begin",
        gives: "time in compaction",
        need: Need::Optional,
        ways: &[&[program("compaction_begin", RawTracepoint)]],
    },
    Hook {
        target: "mm_compaction_end",
        gives: "time in compaction",
        need: Need::Optional,
        ways: &[&[program("compaction_end", RawTracepoint)]],
    },
    Hook {
        target: "oom_badness",
        gives: "the kernel's own points (5.10 inlines it: then computed)",
        need: Need::Optional,
        ways: &[
            &[program("leave_oom_badness", Fexit)],
            &[program("k_enter_oom_badness", Kprobe), program("k_leave_oom_badness", Kretprobe)],
        ],
    },
    Hook {
        target: "oom_evaluate_task",
        gives: "every candidate",
        need: Need::Full,
        ways: &[
            &[program("t_leave_oom_evaluate_task", Fexit)],
            &[program("leave_oom_evaluate_task", Fexit)],
            &[program("k_enter_oom_evaluate_task", Kprobe), program("k_leave_oom_evaluate_task", Kretprobe)],
        ],
    },
    Hook {
        target: "oom_kill_process",
        gives: "the decision",
        need: Need::Full,
        ways: &[&[program("enter_oom_kill_process", Fentry)], &[program("k_enter_oom_kill_process", Kprobe)]],
    },
    Hook {
        target: "out_of_memory",
        gives: "begin and end, trigger, limit",
        need: Need::Full,
        ways: &[
            &[program("leave_out_of_memory", Fexit), program("enter_out_of_memory", Fentry)],
            &[program("k_leave_out_of_memory", Kretprobe), program("k_enter_out_of_memory", Kprobe)],
        ],
    },
];

/// Functions that trampolines are put on: their BTF ids are needed.
pub fn functions() -> Vec<&'static str> {
    let trampoline =
        |hook: &&Hook| hook.ways.iter().flat_map(|way| way.iter()).any(|p| p.kind.is_trampoline());
    HOOKS.iter().filter(trampoline).map(|hook| hook.target).collect()
}
