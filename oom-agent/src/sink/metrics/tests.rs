use super::*;
use crate::incident::escalation::{Compacted, Kswapd, Skipped, Totals, Work};
use crate::incident::growth::history::Standing;
use crate::kube::{events::Written, stats::Watched};
use crate::rank::read::next::NextVictim;
use crate::sink::samples;
use crate::source::own::Own;
use expect_test::expect_file;
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

fn about() -> About {
    About {
        level: Level::Tracepoint,
        hooks: vec![("mark_victim", Some("raw_tracepoint")), ("out_of_memory", None)],
    }
}

fn text(metrics: &mut Metrics) -> String {
    String::from_utf8(metrics.text()).unwrap()
}

fn nameless(_: &str) -> Labels {
    Labels::NONE
}

fn kube() -> Kube {
    let failures = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    let watched = Watched { watching: true, pods: 110, odd: 1, failures };
    let written = Written { created: 3, updated: 2, failures, dropped: [1, 2, 3, 4, 5] };
    Kube { watched: Some(watched), written: Some(written) }
}

fn scrape() -> Scrape {
    let work = Work { rounds: 31, ns: 1_250_000_000, scanned_pages: Some(9_000), reclaimed_pages: 700 };
    let kswapd = Kswapd { wakes: 3, sleeps: 2, scanned_pages: Some(80), reclaimed_pages: Some(70) };
    let standing = |path: &str, bytes_per_second| {
        (path.to_owned(), Standing { usage_bytes: 8 << 20, limit_bytes: 16 << 20, bytes_per_second })
    };
    Scrape {
        reclaim: Some(Totals {
            direct: Some(work),
            memcg: Some(Work { rounds: 5, ..work }),
            kswapd: Some(kswapd),
            throttled: Some(4),
            throttled_ns: Some(40_000_000),
            retry_zones: Some(12),
            compact_retries: Some(1),
            compaction: Some(Compacted { runs: 6, ns: 2_500_000, succeeded: Some(2) }),
            kcompactd: Some(Compacted { runs: 1, ns: 500_000, succeeded: Some(0) }),
            skipped: Some(Skipped { rounds: 3, ..Skipped::default() }),
            missed_rounds: 0,
            missed_compactions: 0,
        }),
        next: Some(NextVictim { points: 12_345, memory_bytes: Some(50_000_000) }),
        own: Own {
            cpu_seconds: Some(1.25),
            start_unix_seconds: Some(1_795_166_000.5),
            resident_bytes: Some(11 << 20),
            virtual_bytes: Some(80 << 20),
            open_files: Some(40),
            most_files: Some(4224),
        },
        standings: vec![
            standing("/web", Some(-2048.0)),
            standing("/demo", None),
            standing("/not/seen", Some(1.0)),
            standing("/\"quoted\"\\x2d\n{}", Some(4096.0)),
        ],
    }
}

/// Everything that can be in it, hostile names too.
fn all() -> Metrics {
    let mut metrics = Metrics::new(about(), Bounds::default()).unwrap();
    metrics.cgroups(["/", "/demo", "/never/killed", "/\"quoted\"\\x2d\n{}"].into_iter(), 0, nameless);
    for (name, mut incident) in samples::all() {
        if name == "extreme" {
            // As many digits as it may have, not the golden's business.
            incident.victims.truncate(1);
        }
        metrics.incident(&incident);
    }
    metrics.counts(Counts {
        lost_events: 1,
        lost_bulk: 5_000,
        missed_log_records: 70,
        none_killable: 42,
        unresolved: [1, 2, 3, 4, 5, 6],
        kube: kube(),
        reads_log: true,
        overwritten_log_records: Some(1_234),
        kernel: KernelKills { kills: Some(99), unexplained: Some(-1), open: 2, cgroups_that_differ: 1 },
        stored: Stored { on_disk: true, bytes: Some(81_920), held: 2, lost: 3, expired: 4, set_aside: 1 },
        http: Http { slow_readers: 5, refused_logins: 6, subscribers: 7, refused_subscribers: 8 },
        otlp: Some(Otlp {
            sent: 9,
            rejected: 10,
            damaged: 11,
            expired: 12,
            full: 13,
            failures: [14, 15, 16, 17, 18],
            waiting: 19,
            oldest_seconds: 20.5,
        }),
    });
    metrics.scrape(scrape());
    metrics
}

#[test]
fn at_the_start_everything_that_can_be_counted_is_zero() {
    let mut metrics = Metrics::new(about(), Bounds::default()).unwrap();
    metrics.cgroups(["/demo"].into_iter(), 0, nameless);
    // As at the first start ever.
    metrics.counts(Counts { overwritten_log_records: Some(0), ..Counts::default() });
    expect_file!["goldens/start.txt"].assert_eq(&text(&mut metrics));
}

#[test]
fn incidents_are_counted() {
    expect_file!["goldens/all.txt"].assert_eq(&text(&mut all()));
}

#[test]
fn no_command_name_and_nothing_that_moves_a_cursor_gets_in() {
    let text = text(&mut all());
    assert!(!text.contains("java") && !text.contains("gpj"), "{text}");
    let harmless = |c: char| c == '\n' || !crate::sink::escape::is_unsafe(c);
    assert!(text.chars().all(harmless));
}

#[test]
fn what_is_unknown_is_not_zero() {
    let mut metrics = Metrics::new(About::default(), Bounds::default()).unwrap();
    metrics.incident(&Incident::default());
    let text = text(&mut metrics);
    assert!(text.contains("oom_incidents_total{scope=\"unknown\"} 1\n"), "{text}");
    for unseen in ["oom_path_seconds_count 0\n", "oom_reclaim_stall_seconds_count 0\n"] {
        assert!(text.contains(unseen), "{text}");
    }
    assert!(!text.contains("oom_last_incident"), "{text}");
    assert!(!text.contains("\noom_agent_kmsg_overwritten_before_start_records"), "{text}");
}

/// Prometheus' own opinion, where its tool is installed.
#[test]
fn promtool_finds_nothing() {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        eprintln!("not tested: promtool is not installed");
        return;
    };
    promtool.stdin.take().unwrap().write_all(&all().text()).unwrap();
    let done = promtool.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
