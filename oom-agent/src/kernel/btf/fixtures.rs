//! Real kernels' BTF, cut down to what the agent may ask for (`testdata/README.md` says how they were made).

use super::Wanted;

/// Debian cloud kernels, amd64, oldest first.
pub(crate) const KERNELS: [&str; 6] = ["5.10.218", "5.10.262", "6.1.192", "6.12.117", "6.18.15", "7.3.4"];

/// The BTF of one of [`KERNELS`].
pub(crate) fn btf_of(kernel: &str) -> &'static [u8] {
    match kernel {
        "5.10.218" => include_bytes!("testdata/5.10.218.btf"),
        "5.10.262" => include_bytes!("testdata/5.10.262.btf"),
        "6.1.192" => include_bytes!("testdata/6.1.192.btf"),
        "6.12.117" => include_bytes!("testdata/6.12.117.btf"),
        "6.18.15" => include_bytes!("testdata/6.18.15.btf"),
        "7.3.4" => include_bytes!("testdata/7.3.4.btf"),
        _ => panic!("no fixture for kernel {kernel}"),
    }
}

/// What the fixtures can answer. They hold every member of each struct that a path begins with.
pub(crate) const WANTED: Wanted<'static> =
    Wanted { fields: FIELDS, funcs: FUNCS, tracepoints: TRACEPOINTS, enums: ENUMS };

const FIELDS: &[&str] = &[
    "cgroup.kn",
    "cgroup_subsys_state.cgroup",
    "cgroup_subsys_state.parent",
    "cgroup_subsys_state.serial_nr",
    "cred.uid",
    "css_set.dfl_cgrp",
    "css_set.subsys",
    "kernfs_node.__parent|parent",
    "kernfs_node.id",
    "kernfs_node.name",
    "list_head.next",
    "mem_cgroup.css",
    "mem_cgroup.css.cgroup",
    "mem_cgroup.memory",
    "mem_cgroup.memory.max",
    "mem_cgroup.memory.usage",
    "mem_cgroup.oom_group",
    "mem_cgroup.swap",
    "mem_cgroup.swap.max",
    "mem_cgroup.swap.usage",
    "mm_rss_stat",
    "mm_rss_stat.count",
    "mm_struct.flags",
    "mm_struct.mm_users",
    "mm_struct.pgtables_bytes",
    "mm_struct.rss_stat",
    "mm_struct.total_vm",
    "oom_control.chosen",
    "oom_control.chosen_points",
    "oom_control.constraint",
    "oom_control.gfp_mask",
    "oom_control.memcg",
    "oom_control.nodemask",
    "oom_control.order",
    "oom_control.totalpages",
    "oom_control.zonelist",
    "page_counter.max",
    "page_counter.usage",
    "percpu_counter",
    "percpu_counter.count",
    "pid.level",
    "pid.numbers",
    "pid_namespace.child_reaper",
    "signal_struct.flags",
    "signal_struct.live",
    "signal_struct.nr_threads",
    "signal_struct.oom_mm",
    "signal_struct.oom_score_adj",
    "signal_struct.thread_head",
    "task_struct.cgroups",
    "task_struct.comm",
    "task_struct.exit_code",
    "task_struct.flags",
    "task_struct.group_leader",
    "task_struct.mm",
    "task_struct.pid",
    "task_struct.real_cred",
    "task_struct.real_parent",
    "task_struct.sched_reset_on_fork",
    "task_struct.signal",
    "task_struct.start_boottime",
    "task_struct.tgid",
    "task_struct.thread_node",
    "task_struct.thread_pid",
    "task_struct.vfork_done",
    "upid.ns",
    "zone.name",
    "zone.node",
    "zoneref.zone",
];

const FUNCS: &[&str] = &[
    "__oom_kill_process",
    "mark_oom_victim",
    "oom_badness",
    "oom_evaluate_task",
    "oom_kill_process",
    "out_of_memory",
    "try_charge_memcg",
];

const TRACEPOINTS: &[&str] = &[
    "mark_victim",
    "mm_compaction_end",
    "mm_vmscan_direct_reclaim_begin",
    "mm_vmscan_direct_reclaim_end",
    "mm_vmscan_kswapd_wake",
    "mm_vmscan_memcg_reclaim_begin",
    "mm_vmscan_memcg_reclaim_end",
    "mm_vmscan_throttled",
    "reclaim_retry_zone",
    "sched_process_exit",
    "signal_generate",
];

const ENUMS: &[(&str, &str)] = &[
    ("", "MM_ANONPAGES"),
    ("", "MM_FILEPAGES"),
    ("", "MM_SHMEMPAGES"),
    ("", "MM_SWAPENTS"),
    ("cgroup_subsys_id", "memory_cgrp_id"),
    ("compact_result", "COMPACT_SUCCESS"),
    ("oom_constraint", "CONSTRAINT_MEMCG"),
];
