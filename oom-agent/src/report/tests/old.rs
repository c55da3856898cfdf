//! What kernels before 5.1 print otherwise, in whole reports.

use super::super::Outcome;
use super::*;
use crate::incident::model::ScopeKind;

fn sample(name: &str) -> Sample {
    old_samples().into_iter().find(|sample| sample.name == name).unwrap()
}

/// `oom_kill_process` (up to 5.0): the chosen one's child dies.
#[test]
fn a_child_may_die_for_the_chosen_one() {
    let events = sample("3.10-memcg-child").events();
    let [report] = reports(&events)[..] else { panic!("{events:?}") };
    let [killed] = kills(&events)[..] else { panic!("{events:?}") };
    let chosen = killed.chosen.as_ref().unwrap();
    assert_eq!((chosen.pid, &*chosen.comm, killed.pid, &*killed.comm), (2376, "mal-80", 2380, "worker"));
    assert_eq!((report.chosen.as_ref(), report.outcome), (Some(chosen), Outcome::Kill));
    assert_eq!((killed.is_memcg, &*killed.message), (Some(true), "Memory cgroup out of memory"));
    let kill = report.kill.as_ref().unwrap();
    assert_eq!((kill.oom_memcg.as_deref(), kill.task_memcg.as_deref()), (Some("/1"), Some("/1/2")));
    assert!(events.iter().any(|event| matches!(event.what, What::Sharing { pid: 2381, .. })));
}

/// `mem_cgroup_print_oom_info` (up to 5.1) prints the counters of all cgroups below the limit.
#[test]
fn the_counters_are_those_of_the_cgroup_whose_limit_was_hit() {
    let events = sample("3.10-memcg-child").events();
    assert_eq!(reports(&events)[0].stats["rss"], 2032 * 1024);
    let events = sample("4.14-memcg-pod").events();
    assert_eq!(reports(&events)[0].stats["rss"], 0);
}

#[test]
fn only_what_is_beyond_doubt_is_machine_wide() {
    let kind = |name| {
        let events = sample(name).events();
        reports(&events)[0].kill.as_ref().and_then(|kill| kill.constraint)
    };
    assert_eq!(kind("4.18-global-slab"), Some(ScopeKind::Global));
    assert_eq!(kind("4.9-global"), None);
    assert_eq!(kind("3.10-rhel7-global"), None);
    assert_eq!(kind("4.4-memcg"), Some(ScopeKind::Memcg));
}

#[test]
fn reports_end_without_a_kill() {
    let outcome = |name| reports(&sample(name).events())[0].outcome;
    assert_eq!(outcome("4.4-panic"), Outcome::Panic);
    assert_eq!(outcome("4.19-memcg-nokillable"), Outcome::NoneKillable);
}

/// 5.4.0 to 5.4.8: `mm_pgtables_bytes` is printed as kB (fixed by 941f762bcb27, "mm/oom: fix pgtables units mismatch").
#[test]
fn page_tables_in_a_wrong_unit_are_not_told() {
    let events = sample("5.4-memcg-pgtables").events();
    assert_eq!(kills(&events)[0].memory.pgtables_bytes, None);
    assert_eq!(reports(&events)[0].tasks[1].memory.pgtables_bytes, Some(1_269_760));

    let line = |kb| {
        format!(
            "Out of memory: Killed process 1 (a) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 \
             pgtables:{kb}kB oom_score_adj:0"
        )
    };
    let told = |release: &str, kb| {
        let mut parser = Parser::new();
        let mut out = Vec::new();
        let cpu = format!("CPU: 0 PID: 1 Comm: a Not tainted {release} #1");
        let asked = "a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0";
        for message in [asked, &cpu, &line(kb)].into_iter().skip(if release.is_empty() { 2 } else { 0 }) {
            parser.message(None, None, message, &mut out);
        }
        kills(&out)[0].memory.pgtables_bytes
    };
    assert_eq!(told("5.4.2", 8192), None);
    assert_eq!(told("", 8192), None, "it may be such a kernel");
    assert_eq!(told("6.1.0", 8192), Some(8 << 20));
    assert_eq!(told("5.4.2", 8196), Some(8196 * 1024), "no multiple of a page: not bytes");
}

/// 64 KiB pages, as the buddy lists say.
#[test]
fn pages_may_be_larger() {
    let events = sample("4.18-rhel8-64k").events();
    let report = reports(&events)[0];
    assert_eq!(report.page_size, Some(65_536));
    assert_eq!(report.tasks[1].memory.rss_bytes, Some(201_044 * 65_536));
    assert_eq!(report.stats["active_anon"], 200_011 * 65_536);
    assert_eq!(report.machine.ram_bytes, Some(221_184 * 65_536));
}

/// `pr_cont` of 4.x: what another CPU prints between splits the line into records.
#[test]
fn counters_may_go_on_in_a_record_of_their_own() {
    let mut parser = Parser::new();
    let mut out = Vec::new();
    for message in [
        "Task in /a/b",
        " killed as a result of limit of /a",
        "memory: usage 8kB, limit 8kB, failcnt 1",
        "Memory cgroup stats for /a: cache:0KB rss:4KB",
        "eth0: link up",
        " rss_huge:8KB mapped_file:12KB",
        "Memory cgroup stats for /a/b: cache:99KB rss:99KB",
        " rss_huge:99KB swap:99KB",
    ] {
        parser.message(None, None, message, &mut out);
    }
    parser.finish(&mut out);
    let stats: Vec<_> = reports(&out)[0].stats.iter().map(|(name, bytes)| (&**name, bytes / 1024)).collect();
    assert_eq!(stats, [("cache", 0), ("mapped_file", 12), ("rss", 4), ("rss_huge", 8)]);
}

#[test]
fn lines_that_the_console_dropped_are_a_gap() {
    let mut parser = Parser::new();
    let mut out = Vec::new();
    parser.message(None, None, "** 3 printk messages dropped **", &mut out);
    parser.message(None, None, "** WARNING **", &mut out);
    assert_eq!(out.iter().map(|event| &event.what).collect::<Vec<_>>(), [&What::Gap { records: Some(3) }]);
}
