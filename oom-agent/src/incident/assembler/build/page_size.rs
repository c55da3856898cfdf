//! The size of a page where the report does not say it: a memory cgroup's has no buddy list.

use crate::incident::assembler::Config;
use crate::incident::assembler::marked::Marked;
use crate::incident::model::{Level, Memory};
use crate::report::{PAGE_SIZE, Report, TaskRow};

/// Pages of arm64 (16 and 64 KiB) and ppc64 (64 KiB), in those that the task table was read with.
const TIMES: [u64; 2] = [4, 16];

/// The task table counts pages, the `Killed process` line kB: where the victim's address space is 4 or 16 times as large in
/// the line, the rows are corrected. On this machine the size is known.
pub(super) fn correct(report: &mut Report, victims: &[Marked], config: &Config) {
    if report.page_size.is_some() {
        return;
    }
    let times = match config.level {
        Level::Log => told(report, victims),
        Level::Kmsg | Level::Tracepoint | Level::Full => {
            TIMES.into_iter().find(|times| PAGE_SIZE * times == config.page_size)
        }
    };
    let Some(times) = times else { return };
    let size = PAGE_SIZE * times;
    report.page_size = Some(size);
    // Up to 4.14 the table counts pages of page tables too: bytes are whole pages in all rows.
    let tables = |row: &TaskRow| row.memory.pgtables_bytes.is_some_and(|bytes| bytes % size != 0);
    let counted = report.tasks.iter().any(tables);
    for row in &mut report.tasks {
        let Memory {
            anon_bytes,
            file_bytes,
            shmem_bytes,
            rss_bytes,
            swap_bytes,
            pgtables_bytes,
            total_vm_bytes,
        } = &mut row.memory;
        let pages = [anon_bytes, file_bytes, shmem_bytes, rss_bytes, swap_bytes, total_vm_bytes];
        for bytes in pages.into_iter().chain(counted.then_some(pgtables_bytes)) {
            *bytes = bytes.and_then(|bytes| bytes.checked_mul(times));
        }
    }
}

/// By the lines of the victims that are in the table.
fn told(report: &Report, victims: &[Marked]) -> Option<u64> {
    let sizes = |victim: &Marked| {
        let row = report.tasks.iter().find(|row| row.pid == victim.task.tid)?;
        victim.line.as_ref()?.memory.total_vm_bytes.zip(row.memory.total_vm_bytes)
    };
    // A group's members have as many lines; one is enough.
    let (line, row) = victims.iter().take(4).find_map(sizes).filter(|(_, row)| *row > 0)?;
    TIMES.into_iter().find(|times| row.checked_mul(*times) == Some(line))
}
