//! Memory of the kernel itself.

use super::Found;
use super::view::{MOST, View, at_least, share};
use crate::incident::model::ScopeKind;
use crate::incident::verdict::Confidence;
use crate::units::bytes;

/// Page tables take 8 bytes for each page of 4 KiB that a process maps: 0.2 %. So many percent of it all are out of
/// proportion: much shared memory in many processes, or memory touched here and there in a large address space.
const TABLES: u64 = 10;
/// So many percent for the kernel are out of proportion: it is 2 to 10 % on most machines.
const KERNEL: u64 = 30;
/// RAM that no counter of the report is about: more than this is not the kernel's own book-keeping.
const HIDDEN: u64 = 30;

pub(super) fn page_tables(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let tables = view.counter("pagetables_bytes").filter(|&tables| at_least(tables, TABLES, whole))?;
    let confidence = confidence(view, tables, whole);
    let title = "Page tables are out of proportion";
    let advice = "Huge pages need a fraction of them (transparent ones, hugetlb, huge= of tmpfs). Or let fewer processes map the \
                  same large segment, or map less.";
    Some(Found::new(confidence, title, advice).because(format!("page tables are {}", share(tables, whole))))
}

pub(super) fn other(view: &View<'_>) -> Option<Found> {
    charged(view).or_else(|| hidden(view))
}

/// What the kernel counts as its own and cannot reclaim. `None`: nothing is known of it.
pub(super) fn total(view: &View<'_>) -> Option<u64> {
    const PARTS: [&str; 6] = [
        "slab_unreclaimable_bytes",
        "pagetables_bytes",
        "sec_pagetables_bytes",
        "kernel_stack_bytes",
        "percpu_bytes",
        "vmalloc_bytes",
    ];
    let parts = PARTS.iter().filter_map(|name| view.counter(name)).reduce(u64::saturating_add);
    let reclaimable = view.counter("slab_reclaimable_bytes").unwrap_or(0);
    // `kernel` by 5.18; cgroup v1 has a counter of its own. Both hold the parts and what can be reclaimed.
    let kernel = view.counter("kernel_bytes").or(view.incident.limits.kmem_usage_bytes);
    let kernel = kernel.map(|kernel| kernel.saturating_sub(reclaimable));
    let own = kernel.max(parts);
    // Socket buffers are charged apart.
    [own, view.counter("sock_bytes")].into_iter().flatten().reduce(u64::saturating_add)
}

fn charged(view: &View<'_>) -> Option<Found> {
    let whole = view.whole?;
    let total = total(view).filter(|&total| at_least(total, KERNEL, whole))?;
    let of = |name| view.counter(name).unwrap_or(0);
    let kinds = [
        (
            of("slab_unreclaimable_bytes"),
            "slab that cannot be reclaimed",
            "slabtop or /proc/slabinfo name the caches; what fills one is often a driver, or many open files, sockets, \
             inotify watches or namespaces.",
        ),
        (
            of("kernel_stack_bytes"),
            "stacks of threads",
            "Fewer threads: pids.max (systemd TasksMax=) bounds them.",
        ),
        (
            of("sock_bytes"),
            "socket buffers",
            "Readers that do not keep up, or many connections with large buffers: net.ipv4.tcp_mem, tcp_rmem, tcp_wmem.",
        ),
        (
            of("percpu_bytes"),
            "per-CPU memory",
            "Often many memory cgroups, BPF maps or network devices: fewer of them.",
        ),
        (of("vmalloc_bytes"), "vmalloc", "/proc/vmallocinfo says who took it, often BPF maps or a driver."),
    ];
    let (most, what, advice) = kinds.into_iter().max_by_key(|(part, _, _)| *part)?;
    let mut found = Found::new(confidence(view, total, whole), "Kernel memory is out of proportion", advice)
        .because(format!("the kernel's own is {}", share(total, whole)));
    if most > 0 {
        found.because.push(format!("{} of it are {what}", bytes(most)));
    }
    Some(found)
}

/// More than half by the kernel's own counters is certain; less is a judgement.
fn confidence(view: &View<'_>, part: u64, whole: u64) -> Confidence {
    if at_least(part, MOST, whole) && view.counted_by_kernel() {
        Confidence::Certain
    } else {
        Confidence::Likely
    }
}

/// RAM less everything that the report of the machine counts.
fn hidden(view: &View<'_>) -> Option<Found> {
    const COUNTED: [&str; 13] = [
        "free_bytes",
        "free_pcp_bytes",
        "active_anon_bytes",
        "inactive_anon_bytes",
        "isolated_anon_bytes",
        "active_file_bytes",
        "inactive_file_bytes",
        "isolated_file_bytes",
        "unevictable_bytes",
        "slab_reclaimable_bytes",
        "slab_unreclaimable_bytes",
        "pagetables_bytes",
        "hugetlb_bytes",
    ];
    // Without these the report is cut.
    const NEEDED: [&str; 4] =
        ["free_bytes", "active_anon_bytes", "unevictable_bytes", "slab_unreclaimable_bytes"];
    let whole = view.whole.filter(|_| view.incident.scope.kind == Some(ScopeKind::Global))?;
    NEEDED.iter().try_for_each(|name| view.counter(name).map(|_| ()))?;
    let counted = COUNTED.iter().filter_map(|name| view.counter(name)).fold(0, u64::saturating_add);
    let counted = counted.saturating_add(view.counter("kernel_stack_bytes").unwrap_or(0));
    let hidden = whole.checked_sub(counted).filter(|&hidden| at_least(hidden, HIDDEN, whole))?;
    let title = "Much of the memory is in no counter of the kernel's report";
    let advice = "It was taken page by page: by a driver (GPU, network), zram, the balloon of a virtual machine, or vmalloc. \
                  See /proc/vmallocinfo, /sys/block/zram0/mm_stat and the driver's own counters.";
    Some(
        Found::new(Confidence::Likely, title, advice)
            .because(format!("not accounted for: {}", share(hidden, whole))),
    )
}
