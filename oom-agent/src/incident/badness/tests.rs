use super::*;

const TABLES: u64 = 4096;

/// A row of the kernel's task table: `rss`, `pgtables_bytes`, `swapents`.
fn row(rss: u64, pgtables_bytes: u64, swapents: u64) -> Memory {
    Memory {
        rss_bytes: Some(rss * PAGE_SIZE),
        pgtables_bytes: Some(pgtables_bytes),
        swap_bytes: Some(swapents * PAGE_SIZE),
        ..Memory::default()
    }
}

/// Rows of real reports. `total` is from the same report.
#[test]
fn points_of_real_reports_name_the_victim_that_the_kernel_chose() {
    struct Case {
        kernel: &'static str,
        total: u64,
        /// rss, pgtables, swap, adj, points.
        rows: &'static [(u64, u64, u64, i32, i64)],
        /// Index of the killed one.
        killed: usize,
    }
    let cases = [
        Case {
            kernel: "6.12.117 machine-wide, 98165 - 11531 pages, no swap",
            total: 86_634,
            rows: &[
                (400, 36_864, 0, 0, 409),
                (10_402, 122_880, 0, 300, 36_232),
                (15_458, 163_840, 0, 0, 15_498),
                (15_458, 163_840, 0, -300, -10_302),
                (25_730, 253_952, 0, 0, 25_792),
            ],
            killed: 1,
        },
        Case {
            kernel: "6.12.117 the second kill of the same machine",
            total: 86_634,
            rows: &[
                (400, 36_864, 0, 0, 409),
                (15_458, 163_840, 0, 0, 15_498),
                (15_458, 163_840, 0, -300, -10_302),
                (35_042, 327_680, 0, 0, 35_122),
            ],
            killed: 3,
        },
        Case {
            kernel: "6.12.117 swap full, 98158 - 11531 pages and 98300 kB",
            total: 111_202,
            rows: &[
                (400, 40_960, 0, 0, 410),
                (207, 159_744, 15_296, 200, 37_742),
                (71_298, 688_128, 9_088, 0, 80_554),
            ],
            killed: 2,
        },
        Case {
            kernel: "6.1.192 sysrq-f, 130933 - 10679 pages",
            total: 120_254,
            rows: &[
                (5_225, 77_824, 0, 0, 5_244),
                (7_800, 102_400, 0, 200, 31_825),
                (10_374, 122_880, 0, -500, -49_596),
            ],
            killed: 1,
        },
        Case {
            kernel: "5.10.218 memory cgroup, 40960 kB and 20480 kB of swap",
            total: 15_360,
            rows: &[(164, 57_344, 2_557, 100, 4_235), (10_323, 139_264, 2_563, 0, 12_920)],
            killed: 1,
        },
    ];
    for Case { kernel, total, rows, killed } in cases {
        let computed: Vec<i64> = rows
            .iter()
            .map(|&(rss, tables, swap, adj, _)| {
                points(&row(rss, tables, swap), adj, Some(total), PAGE_SIZE).unwrap()
            })
            .collect();
        let expected: Vec<i64> = rows.iter().map(|row| row.4).collect();
        assert_eq!(computed, expected, "{kernel}");
        let most = computed.iter().max().unwrap();
        assert_eq!(computed[killed], *most, "{kernel}: the killed one has most points");
    }
}

#[test]
fn parts_of_rss_count_together_and_page_tables_in_whole_pages() {
    let memory = Memory {
        anon_bytes: Some(10 * PAGE_SIZE),
        file_bytes: Some(2 * PAGE_SIZE),
        shmem_bytes: Some(3 * PAGE_SIZE),
        swap_bytes: Some(4 * PAGE_SIZE),
        pgtables_bytes: Some(2 * TABLES - 1),
        ..Memory::default()
    };
    assert_eq!(points(&memory, 0, None, PAGE_SIZE), Some(20));
    assert_eq!(
        points(&memory, 1, Some(999), PAGE_SIZE),
        Some(20),
        "below 1,000 pages the adj weighs nothing"
    );
    assert_eq!(points(&memory, 1000, Some(1999), PAGE_SIZE), Some(1020), "the division comes first");
    assert_eq!(points(&memory, -1, Some(50_000), PAGE_SIZE), Some(-30), "points may be negative");
}

#[test]
fn an_unknown_counter_gives_no_points() {
    let whole = row(10, TABLES, 0);
    assert_eq!(points(&Memory { swap_bytes: None, ..whole }, 0, Some(1), PAGE_SIZE), None);
    assert_eq!(points(&Memory { pgtables_bytes: None, ..whole }, 0, Some(1), PAGE_SIZE), None);
    assert_eq!(points(&Memory { rss_bytes: None, ..whole }, 0, Some(1), PAGE_SIZE), None);
    assert_eq!(points(&whole, 5, None, PAGE_SIZE), None, "the adj weighs, and of what is unknown");
    assert_eq!(points(&whole, 0, None, PAGE_SIZE), Some(11));
}

#[test]
fn hostile_numbers_do_not_overflow() {
    let huge = Memory {
        anon_bytes: Some(u64::MAX),
        file_bytes: Some(u64::MAX),
        shmem_bytes: Some(1),
        swap_bytes: Some(u64::MAX),
        pgtables_bytes: Some(u64::MAX),
        ..Memory::default()
    };
    assert_eq!(points(&huge, 0, None, 1), None);
    assert_eq!(points(&row(1, 0, 0), 1000, Some(u64::MAX), PAGE_SIZE), Some(i64::MAX));
    assert_eq!(held_pages(&row(1, 0, 0), 0), Some(4096), "a page size of 0 is not divided by");
    assert_eq!(adj_to_spare(i64::MAX, i32::MIN, i64::MIN, u64::MAX), -1000);
    assert_eq!(adj_to_spare(i64::MIN, i32::MAX, i64::MAX, 1000), 1000);
}

#[test]
fn the_adj_that_would_have_spared() {
    for (points, adj, runner_up, total, spare) in [
        // One unit is 100 pages. Equal points are not enough.
        (1000, 0, 900, 100_000, -2),
        (1000, 0, 901, 100_000, -1),
        (1000, 0, 1000, 100_000, -1),
        (36_232, 300, 25_792, 86_634, 178),
        // Nothing but exemption is enough.
        (50_000, 0, 100, 1_000, -1000),
        (50_000, 0, 100, 999, -1000),
        (1_000_000, 500, 1, 100_000, -1000),
    ] {
        assert_eq!(adj_to_spare(points, adj, runner_up, total), spare, "{points} {adj} {runner_up} {total}");
        if spare > OOM_SCORE_ADJ_MIN {
            let unit = i64::try_from(total / 1000).unwrap();
            let with = |adj: i32, new: i32| points + i64::from(new - adj) * unit;
            assert!(with(adj, spare) < runner_up, "it spares");
            assert!(with(adj, spare + 1) >= runner_up, "and no higher one does");
        }
    }
}

#[test]
fn exemptions_in_the_order_in_which_the_kernel_asks() {
    let user = Task { pid: 7, has_mm: Some(true), oom_score_adj: Some(0), ..Task::default() };
    assert_eq!(exempt_reason(&user), None);
    for (task, reason) in [
        (Task { init: true, oom_score_adj: Some(-1000), ..user.clone() }, ExemptReason::Init),
        (Task { kernel_thread: true, has_mm: Some(false), ..user.clone() }, ExemptReason::KernelThread),
        (Task { has_mm: Some(false), oom_score_adj: Some(-1000), ..user.clone() }, ExemptReason::NoMm),
        (Task { oom_score_adj: Some(-1000), oom_skip: Some(true), ..user.clone() }, ExemptReason::AdjMin),
        (Task { oom_skip: Some(true), vfork: Some(true), ..user.clone() }, ExemptReason::AlreadyReaped),
        (Task { vfork: Some(true), ..user.clone() }, ExemptReason::Vfork),
    ] {
        assert_eq!(exempt_reason(&task), Some(reason));
    }
    let unknown = Task { has_mm: None, oom_skip: None, vfork: None, oom_score_adj: None, ..user };
    assert_eq!(exempt_reason(&unknown), None, "what was not seen exempts nobody");
}

const GIB: u64 = 1 << 30;

fn limits(memory: u64, swap: Option<u64>, used: Option<u64>) -> Limits {
    Limits { memory_bytes: Some(memory), swap_bytes: swap, swap_usage_bytes: used, ..Limits::default() }
}

#[test]
fn a_memory_cgroup_counts_the_swap_that_it_can_use() {
    for (what, swap, used, total, expected) in [
        ("no swap for it", Some(0), Some(0), None, Some(GIB)),
        ("no swap on this machine", Some(GIB), Some(0), Some(0), Some(GIB)),
        ("less than the machine has", Some(GIB), Some(0), Some(4 * GIB), Some(2 * GIB)),
        ("more than the machine has", Some(8 * GIB), Some(0), Some(4 * GIB), Some(5 * GIB)),
        ("no limit", None, Some(0), Some(4 * GIB), Some(5 * GIB)),
        ("all in use, so it is there", Some(GIB), Some(GIB), None, Some(2 * GIB)),
        ("swap may be smaller than the limit", Some(GIB), Some(GIB - 1), None, None),
        ("cgroup v1 may limit both together", None, None, Some(GIB), None),
        ("cgroup v1 without swap", None, None, Some(0), Some(GIB)),
    ] {
        assert_eq!(memcg_total_bytes(&limits(GIB, swap, used), total), expected, "{what}");
    }
    // cgroup v1: usage, memory and swap's usage and limit, the machine's swap.
    for (used, both_used, both, total, expected) in [
        (GIB, GIB, Some(GIB), None, Some(GIB)),
        (GIB, GIB, Some(3 * GIB), Some(GIB), Some(2 * GIB)),
        (GIB, GIB, Some(3 * GIB), Some(4 * GIB), Some(3 * GIB)),
        (GIB, 2 * GIB, Some(2 * GIB), None, Some(2 * GIB)),
        (GIB, GIB, Some(2 * GIB), None, None),
        (GIB, GIB, None, Some(2 * GIB), Some(3 * GIB)),
        (GIB, GIB, None, None, None),
    ] {
        let limits = Limits {
            usage_bytes: Some(used),
            memsw_usage_bytes: Some(both_used),
            memsw_bytes: both,
            ..limits(GIB, None, None)
        };
        assert_eq!(memcg_total_bytes(&limits, total), expected, "{both_used} of {both:?}, {total:?}");
    }
    assert_eq!(
        memcg_total_bytes(&Limits { swap_bytes: Some(0), ..Limits::default() }, None),
        None,
        "no memory limit"
    );
}
