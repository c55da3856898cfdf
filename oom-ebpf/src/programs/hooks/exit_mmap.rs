//! `void exit_mmap(struct mm_struct *mm)`: its return is when a victim's memory is given back. mm/mmap.c
//!
//! Every process that exits comes here, and the last who lets go of an mm is not always its process: so it is the
//! mm's address that is looked for, and for any other one a lookup is all that happens. An mm that is marked cannot
//! have been here: the kernel marks it under `task_lock`, which its owner needs to let go of it (`exit_mm`).

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{fexit, kprobe, kretprobe},
    programs::{FExitContext, ProbeContext, RetProbeContext},
};
use oom_ebpf::Field::{MemcgMax, MemcgUsage, OcMemcg};
use oom_ebpf::{Kind, MemoryBack, UNKNOWN_U64};

use crate::{
    call::header,
    cgroup,
    maps::{LEAVING, MMS, MmState, State, reserve_event},
    read::{field, field_or},
};

#[fexit(function = "exit_mmap")]
fn leave_exit_mmap(ctx: FExitContext) -> i32 {
    given_back(ctx.arg(0));
    0
}

#[kprobe]
fn k_enter_exit_mmap(ctx: ProbeContext) -> u32 {
    let mm: u64 = ctx.arg(0).unwrap_or(0);
    // SAFETY: only whether it is there matters.
    if unsafe { MMS.get(mm) }.is_some() {
        // An LRU map makes room.
        let _ = LEAVING.insert(bpf_get_current_pid_tgid() as u32, mm, 0);
    }
    0
}

#[kretprobe]
fn k_leave_exit_mmap(_ctx: RetProbeContext) -> u32 {
    let tid = bpf_get_current_pid_tgid() as u32;
    // SAFETY: only the thread itself writes its entry.
    let Some(&mm) = (unsafe { LEAVING.get(tid) }) else { return 0 };
    let _ = LEAVING.remove(tid);
    given_back(mm);
    0
}

/// The memory of this process is waited for.
#[inline(always)]
pub(crate) fn watch(state: &State, mm: u64, pid: u32, start_ns: u64) {
    if mm == 0 {
        return;
    }
    let memcg = field(state.oc, OcMemcg);
    let scope_id = cgroup::id(cgroup::memcg_css(memcg));
    // An LRU map makes room. One that is there is the same mm, marked again, or that of a process whose end was missed.
    let _ = MMS.insert(mm, MmState { start_ns, call: state.call, memcg, scope_id, pid, reserved: 0 }, 0);
}

#[inline(always)]
fn given_back(mm: u64) {
    // SAFETY: nobody writes the entry of an mm that is going.
    let Some(&victim) = (unsafe { MMS.get(mm) }) else { return };
    // The address may be used again.
    let _ = MMS.remove(mm);
    // The cgroup may be gone: what is no more what it was is not read.
    let id = cgroup::id(cgroup::memcg_css(victim.memcg));
    let memcg = if victim.scope_id == id { victim.memcg } else { 0 };
    let Some(mut entry) = reserve_event::<MemoryBack>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is ours; every field is written.
    unsafe {
        (*record).header = header(Kind::MemoryBack, victim.call);
        (*record).pid = victim.pid;
        (*record).reserved = 0;
        (*record).start_ns = victim.start_ns;
        (*record).mm = mm;
        (*record).scope_id = if memcg == 0 { 0 } else { id };
        (*record).usage_pages =
            if memcg == 0 { UNKNOWN_U64 } else { field_or(memcg, MemcgUsage, UNKNOWN_U64) };
        (*record).limit_pages = if memcg == 0 { UNKNOWN_U64 } else { field_or(memcg, MemcgMax, UNKNOWN_U64) };
    }
    entry.submit(0);
}
