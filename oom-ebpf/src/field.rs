//! What the programs are told about the running kernel's structs.

macro_rules! fields {
    ($($field:ident $of:literal)*) => {
        /// An offset (or a distance) that the loader looks up in the running kernel's types: its place in [`Offsets`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Field {
            $(#[doc = concat!("`", $of, "`")] $field,)*
        }

        /// How many there are.
        pub const FIELDS: usize = [$(Field::$field),*].len();
    };
}

fields! {
    TaskMm "task_struct.mm"
    TaskPid "task_struct.pid"
    TaskTgid "task_struct.tgid"
    TaskComm "task_struct.comm"
    TaskSignal "task_struct.signal"
    TaskFlags "task_struct.flags"
    TaskRealCred "task_struct.real_cred"
    TaskGroupLeader "task_struct.group_leader"
    TaskStartBoottime "task_struct.start_boottime"
    TaskCgroups "task_struct.cgroups"
    TaskThreadNode "task_struct.thread_node"
    TaskVforkDone "task_struct.vfork_done"
    TaskRealParent "task_struct.real_parent"
    TaskThreadPid "task_struct.thread_pid"
    PidLevel "pid.level"
    PidNumbers "pid.numbers"
    PidNumbersStride "sizeof(pid.numbers[0])"
    UpidNs "upid.ns"
    PidNsChildReaper "pid_namespace.child_reaper"
    SignalOomScoreAdj "signal_struct.oom_score_adj"
    SignalLive "signal_struct.live"
    SignalThreadHead "signal_struct.thread_head"
    MmRssStat "mm_struct.rss_stat"
    MmRssStride "from one counter of it to the next: an `atomic_long_t` up to 6.1, a `percpu_counter` later"
    MmPgtablesBytes "mm_struct.pgtables_bytes"
    MmTotalVm "mm_struct.total_vm"
    MmFlags "mm_struct.flags"
    MmUsers "mm_struct.mm_users"
    CredUid "cred.uid"
    CssSetMemory "css_set.subsys[memory_cgrp_id]"
    CssCgroup "cgroup_subsys_state.cgroup"
    CssParent "cgroup_subsys_state.parent"
    CssChildren "cgroup_subsys_state.children"
    CssSibling "cgroup_subsys_state.sibling"
    CssSerialNr "cgroup_subsys_state.serial_nr"
    CgroupKn "cgroup.kn"
    KernfsParent "kernfs_node.__parent"
    KernfsName "kernfs_node.name"
    KernfsId "kernfs_node.id"
    MemcgCss "mem_cgroup.css"
    MemcgUsage "mem_cgroup.memory.usage"
    MemcgMax "mem_cgroup.memory.max"
    MemcgHigh "mem_cgroup.memory.high"
    MemcgSwapUsage "mem_cgroup.swap.usage"
    MemcgSwapMax "mem_cgroup.swap.max"
    MemcgOomGroup "mem_cgroup.oom_group"
    OcMemcg "oom_control.memcg"
    OcGfpMask "oom_control.gfp_mask"
    OcOrder "oom_control.order"
    OcTotalpages "oom_control.totalpages"
    OcChosen "oom_control.chosen"
    OcChosenPoints "oom_control.chosen_points"
    OcConstraint "oom_control.constraint"
    ZonerefZone "zoneref.zone"
    ZoneNode "zone.node"
    ZoneName "zone.name"
}

/// In bytes; [`crate::ABSENT`] where this kernel has no such field.
pub type Offsets = [u64; FIELDS];
