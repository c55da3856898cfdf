//! The kernel's choice, recomputed from what the parser read: a wrong unit, column or limit would change it.

use super::super::{Machine, Outcome, PAGE_SIZE, TaskRow};
use super::*;
use crate::incident::model::ScopeKind;

/// `oom_badness`, in pages.
fn points(task: &TaskRow, total_pages: i64) -> i64 {
    let memory = &task.memory;
    let rss =
        memory.rss_bytes.or_else(|| Some(memory.anon_bytes? + memory.file_bytes? + memory.shmem_bytes?));
    let bytes = rss.unwrap() + memory.swap_bytes.unwrap() + memory.pgtables_bytes.unwrap();
    (bytes / PAGE_SIZE) as i64 + i64::from(task.oom_score_adj) * (total_pages / 1000)
}

/// `constrained_alloc`, as far as a report tells.
fn total_pages(report: &Report) -> Option<u64> {
    let bytes = match report.kill.as_ref()?.constraint? {
        // No limit of swap: these machines have none, or the limit is there.
        ScopeKind::Memcg => report.limits.memory_bytes? + report.limits.swap_bytes.unwrap_or(0),
        ScopeKind::Global => {
            let Machine { ram_bytes, reserved_bytes, swap_total_bytes, .. } = report.machine;
            ram_bytes? - reserved_bytes? + swap_total_bytes?
        }
        // The nodes' present memory is not parsed: nobody needs it but this test.
        ScopeKind::Cpuset | ScopeKind::MemoryPolicy | ScopeKind::Sysrq => {
            let nodes = report.kill.as_ref()?;
            let list = if nodes.nodemask.as_deref() == Some("(null)") {
                &nodes.mems_allowed
            } else {
                &nodes.nodemask
            };
            let prefix = format!("Node {} ", list.as_deref()?);
            let zones = report.text.lines().filter(|line| line.starts_with(&prefix));
            let present = zones.filter_map(|line| {
                let (kb, _) = line.split_once(" present:")?.1.split_once("kB")?;
                Some(kb.parse::<u64>().unwrap() * 1024)
            });
            present.sum::<u64>() + report.machine.swap_total_bytes?
        }
    };
    Some(bytes / PAGE_SIZE)
}

#[test]
fn the_most_points_are_the_victims() {
    let mut checked = 0;
    let mut expected = 0;
    for sample in samples() {
        // There the kernel kills whoever asks.
        if sample.name.ends_with("-alloctask") {
            continue;
        }
        // Counted in the text: each of these lines is of a kill by points; with the sysctl off there is no table.
        if !sample.name.ends_with("-nodump") {
            expected += sample.messages().iter().filter(|line| line.starts_with("oom-kill:")).count();
        }
        let events = sample.events();
        for report in reports(&events) {
            if report.outcome != Outcome::Kill || !report.has_table {
                continue;
            }
            let total =
                total_pages(report).unwrap_or_else(|| panic!("{}: totalpages unknown", sample.name)) as i64;
            let eligible = report.tasks.iter().filter(|task| task.oom_score_adj != -1000);
            // Of equal ones the kernel takes the last.
            let most = eligible.max_by_key(|task| points(task, total)).unwrap();
            let kill = report.kill.as_ref().unwrap();
            assert_eq!((most.pid, &most.comm), (kill.pid, &kill.comm), "{}", sample.name);
            checked += 1;
        }
    }
    assert_eq!(checked, expected);
    assert!(checked >= 90, "only {checked} reports have what is needed");
}

/// Up to 5.0 the kernel prints the points in thousandths of `totalpages` (`oom_kill_process`).
#[test]
fn the_score_that_older_kernels_print_is_the_points() {
    let mut checked = 0;
    for sample in old_samples() {
        for report in reports(&sample.events()) {
            let Some(chosen) = &report.chosen else { continue };
            let Machine { ram_bytes, reserved_bytes, swap_total_bytes, .. } = report.machine;
            let bytes = match (report.limits.memory_bytes, ram_bytes) {
                // The machines of these logs have no swap.
                (Some(limit), None) => limit.min(report.memsw.limit_bytes.unwrap_or(limit)),
                (None, Some(ram)) => ram - reserved_bytes.unwrap() + swap_total_bytes.unwrap(),
                other => panic!("{}: {other:?}", sample.name),
            };
            let total = (bytes / PAGE_SIZE) as i64;
            let eligible = report.tasks.iter().filter(|task| task.oom_score_adj != -1000 && task.tgid != 1);
            let most = eligible.max_by_key(|task| points(task, total)).unwrap();
            assert_eq!((most.pid, &most.comm), (chosen.pid, &chosen.comm), "{}", sample.name);
            assert_eq!(points(most, total) * 1000 / total, chosen.score as i64, "{}", sample.name);
            checked += 1;
        }
    }
    assert_eq!(checked, 7);
}
