//! Sums of compaction, by thread and for the machine.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::map, maps::Array};
use oom_ebpf::Field::{TaskComm, TaskFlags};
use oom_ebpf::{Compaction, PF_KTHREAD, SERIES_NS};

use crate::{
    read::{clear, current, field, now},
    reclaim::{STALE_NS, count},
};

/// Places for threads. Few compact at a time.
const COMPACTIONS_LEN: u32 = 1024;

/// Compaction by thread, at its id modulo the length. Two that share a place and compact at the same time: the second is not
/// counted, which is.
#[map]
static COMPACTIONS: Array<Compaction> = Array::with_max_entries(COMPACTIONS_LEN, 0);

/// Where a thread's would be, whosever it is.
#[inline(always)]
pub(crate) fn place(owner: u64) -> Option<*const Compaction> {
    COMPACTIONS.get_ptr(owner as u32 % COMPACTIONS_LEN)
}

#[inline(always)]
fn thread(owner: u64) -> Option<&'static mut Compaction> {
    let thread = COMPACTIONS.get_ptr_mut(owner as u32 % COMPACTIONS_LEN)?;
    // SAFETY: the map lives as long as the program. While a run is under way only its owner writes, and two that claim a free
    // place at once lose a run at worst.
    Some(unsafe { &mut *thread })
}

/// The running thread begins to compact a zone.
#[inline(always)]
pub(crate) fn begin() {
    let owner = bpf_get_current_pid_tgid();
    let now = now();
    let Some(thread) = thread(owner) else { return };
    if thread.owner != owner {
        if thread.begin_ns != 0 {
            // SAFETY: a field of a map's value.
            count(|machine, add| unsafe { add(&raw mut (*machine).compactions_missed, 1) });
            if now.saturating_sub(thread.begin_ns) < STALE_NS {
                return;
            }
        }
        thread.owner = owner;
        thread.end_ns = 0;
    }
    if now.saturating_sub(thread.end_ns) > SERIES_NS {
        clear(&raw mut thread.total);
    }
    thread.begin_ns = now;
}

/// It has ended.
#[inline(always)]
pub(crate) fn end(succeeded: bool) {
    let owner = bpf_get_current_pid_tgid();
    let now = now();
    let Some(thread) = thread(owner) else { return };
    if thread.owner != owner || thread.begin_ns == 0 {
        return;
    }
    let ns = now.saturating_sub(thread.begin_ns);
    let succeeded = u64::from(succeeded);
    thread.begin_ns = 0;
    thread.end_ns = now;
    thread.total.runs += 1;
    thread.total.ns += ns;
    thread.total.succeeded += succeeded;
    let kthread = field::<u32>(current(), TaskFlags) & PF_KTHREAD != 0;
    // Other kernel threads compact for allocations of their own (khugepaged). No other has a name like this.
    let kcompactd = kthread && field::<u64>(current(), TaskComm) == u64::from_ne_bytes(*b"kcompact");
    // SAFETY: fields of a map's value.
    count(|machine, add| unsafe {
        let sum = if kcompactd { &raw mut (*machine).kcompactd } else { &raw mut (*machine).compaction };
        add(&raw mut (*sum).runs, 1);
        add(&raw mut (*sum).ns, ns);
        add(&raw mut (*sum).succeeded, succeeded);
    });
}
