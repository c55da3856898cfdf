//! Summaries as they are printed.

use super::{LISTED, Summary};
use crate::explain::moment::{Moment, Told};
use crate::incident::diagnosis::diagnose;
use crate::incident::model::Incident;
use crate::logs::Wall;
use crate::sink::{escape, samples};
use expect_test::{Expect, expect};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, ToSpan as _};

fn start() -> DateTime {
    "2026-11-20T10:15:03".parse().unwrap()
}

fn wall(seconds: i64, has_year: bool, offset: Option<Offset>) -> Moment {
    let civil = start().saturating_add(seconds.seconds());
    Moment { wall: Some(Wall { text: "?".into(), civil, has_year, offset }), boot_ns: Some(1), log: 0 }
}

fn boot(seconds: f64) -> Moment {
    let ns = u64::try_from(SignedDuration::from_secs_f64(seconds).as_nanos()).unwrap();
    Moment { boot_ns: Some(ns), ..Moment::default() }
}

fn summary(incidents: impl IntoIterator<Item = (Incident, Moment)>) -> Summary {
    let mut summary = Summary::default();
    for (index, (incident, moment)) in incidents.into_iter().enumerate() {
        summary.add(&Told { number: index as u64 + 1, incident, moment });
    }
    summary
}

fn check(summary: &Summary, expected: &Expect) {
    let text = summary.text(80, false);
    for line in text.lines() {
        assert!(escape::width(line) <= 80 && !line.chars().any(escape::is_unsafe), "{line:?}");
    }
    for width in [0, 81, 100, 200, 1000] {
        let width = (width, summary.text(width, true));
        assert!(!width.1.is_empty());
    }
    expected.assert_eq(&text);
}

fn restarted(container: u64, pid: u32) -> Incident {
    let mut incident = samples::memcg();
    incident.scope.cgroup = Some(format!("/kubepods.slice/pod1/cri-{container:064x}.scope"));
    incident.victims[0].pid = pid;
    incident.node = Some("node-7".into());
    incident
}

#[test]
fn a_restart_loop_is_one_place_and_said_first() {
    let again = (0..5).map(|at| {
        (restarted(at + 1, 4000 + at as u32), wall(at as i64 * 130, true, Some(Offset::constant(1))))
    });
    let node = |mut incident: Incident| {
        incident.node = Some("node-7".into());
        incident
    };
    let others = [
        (node(samples::global()), wall(4000, true, Some(Offset::constant(1)))),
        (node(samples::group()), wall(4100, true, Some(Offset::constant(1)))),
        (node(samples::none_killable()), wall(4200, true, Some(Offset::constant(1)))),
    ];
    let all = again.chain(others).map(|(mut incident, moment)| {
        incident.diagnosis = diagnose(&incident);
        (incident, moment)
    });
    check(
        &summary(all),
        &expect![[r"
            8 OOM incidents and 10 victims, 2026-11-20 10:15:03 +01:00 to
            2026-11-20 11:25:03 +01:00, on node-7. In 1 of them nothing could be killed.
            Again and again: 5 in 8 min 40 s from 2026-11-20 10:15:03 on,
            /kubepods.slice/pod1/cri-*.scope.
            Diagnosis: one large process (7), nobody killable (1).

            By cgroup that was full
            COUNT  FIRST                LAST                 WHERE
                5  2026-11-20 10:15:03  2026-11-20 10:23:43  /kubepods.slice/.../cri-*.scope
                1  2026-11-20 11:21:43  2026-11-20 11:21:43  (whole machine)
                1  2026-11-20 11:23:23  2026-11-20 11:23:23  /batch/job-17
                1  2026-11-20 11:25:03  2026-11-20 11:25:03  /n

            By command of the victims
            COUNT   LARGEST  LAST                 COMMAND
                5   474 MiB  2026-11-20 10:23:43  java
                2  1.18 GiB  2026-11-20 11:23:23  worker
                1  8.84 GiB  2026-11-20 11:21:43  postgres
                1    66 MiB  2026-11-20 11:23:23  collector
                1     2 MiB  2026-11-20 11:23:23  sh

            All of them
            N  TIME                 VICTIM               HELD  WHERE
            1  2026-11-20 10:15:03  java[4000]        474 MiB  .../cri-000000000000...scope
            2  2026-11-20 10:17:13  java[4001]        474 MiB  .../cri-000000000000...scope
            3  2026-11-20 10:19:23  java[4002]        474 MiB  .../cri-000000000000...scope
            4  2026-11-20 10:21:33  java[4003]        474 MiB  .../cri-000000000000...scope
            5  2026-11-20 10:23:43  java[4004]        474 MiB  .../cri-000000000000...scope
            6  2026-11-20 11:21:43  postgres[20155]  8.84 GiB  (whole machine)
            7  2026-11-20 11:23:23  worker[4243] +3  1.18 GiB  /batch/job-17
            8  2026-11-20 11:25:03  none                       /n

            One in full: --id N. All: --all. Fewer: --since, --until, --cgroup, --victim.
        "]],
    );
}

#[test]
fn several_machines_are_told_apart() {
    let on = |node: Option<&str>, mut incident: Incident| {
        incident.node = node.map(str::to_owned);
        incident
    };
    check(
        &summary([
            (on(Some("node-7"), samples::memcg()), wall(0, false, None)),
            (on(Some("node-8"), samples::memcg()), wall(1, false, None)),
            (on(Some("node-8"), samples::pod()), wall(2, false, None)),
            (on(None, samples::suppressed_report()), Moment::default()),
        ]),
        &expect![[r"
            4 OOM incidents and 4 victims, Nov 20 10:15:03 to Nov 20 10:15:05, 1 at a time
            that the log does not say, on 2 machines.

            By cgroup that was full
            COUNT  FIRST            LAST             MACHINE  WHERE
                1  Nov 20 10:15:03  Nov 20 10:15:03  node-7   /demo
                1  Nov 20 10:15:04  Nov 20 10:15:04  node-8   /demo
                1  Nov 20 10:15:05  Nov 20 10:15:05  node-8   .../kubepods-burstab..5f.slice
                1  ?                ?                ?        (a memory cgroup)

            By command of the victims
            COUNT  LARGEST  LAST             COMMAND
                3  474 MiB  Nov 20 10:15:05  java
                1   61 MiB  ?                hog

            All of them
            N  TIME             VICTIM          HELD  MACHINE  WHERE
            1  Nov 20 10:15:03  java[81234]  474 MiB  node-7   /demo
            2  Nov 20 10:15:04  java[81234]  474 MiB  node-8   /demo
            3  Nov 20 10:15:05  java[81234]  474 MiB  node-8   payments/checkout-7c9f
            4  ?                hog[7001]     61 MiB  ?        (a memory cgroup)

            One in full: --id N. All: --all. Fewer: --since, --until, --cgroup, --victim.
        "]],
    );
}

#[test]
fn logs_with_only_the_kernels_clock_say_so() {
    check(
        &summary([(samples::sysrq(), boot(7.5)), (samples::cpuset(), boot(99.123_456))]),
        &expect![[r"
        2 OOM incidents and 2 victims, 7.500 s after boot to 99.123 s after boot, on
        node-7.

        By cgroup that was full
        COUNT  FIRST     LAST      WHERE
            1  7.500 s   7.500 s   (sysrq-f)
            1  99.123 s  99.123 s  (nodes of a cpuset)

        By command of the victims
        COUNT  LARGEST  LAST      COMMAND
            1  301 MiB  7.500 s   stress
            1  481 MiB  99.123 s  solver

        All of them
        N  TIME      VICTIM           HELD  WHERE
        1  7.500 s   stress[412]   301 MiB  (sysrq-f)
        2  99.123 s  solver[1502]  481 MiB  (nodes of a cpuset)

        One in full: --id N. All: --all. Fewer: --since, --until, --cgroup, --victim.
    "]],
    );
    let another_log = Moment { log: 1, ..boot(1.0) };
    let logs = summary([(samples::sysrq(), boot(7.5)), (samples::cpuset(), another_log)]);
    assert!(
        logs.text(80, false)
            .starts_with("2 OOM incidents and 2 victims, in logs with only the kernel's clock, on node-7.\n")
    );
    let unknown = summary((0..2).map(|_| (Incident::default(), Moment::default())));
    check(
        &unknown,
        &expect![[r"
        2 OOM incidents and 0 victims, at times that the log does not say.

        By cgroup that was full
        COUNT  FIRST  LAST  WHERE
            2  ?      ?     (not known)

        By command of the victims
        COUNT  LARGEST  LAST  COMMAND
            0

        All of them
        N  TIME  VICTIM  HELD  WHERE
        1  ?     ?             (not known)
        2  ?     ?             (not known)

        One in full: --id N. All: --all. Fewer: --since, --until, --cgroup, --victim.
    "]],
    );
}

#[test]
fn hostile_names_stay_in_their_place() {
    check(
        &summary([(samples::hostile(), boot(1.0)), (samples::extreme(), boot(2.0))]),
        &expect![[r#"
        2 OOM incidents and 3 victims, 1.000 s after boot to 2.000 s after boot, on 2
        machines.

        By cgroup that was full
        COUNT  FIRST    LAST     MACHINE        WHERE
            1  1.000 s  1.000 s  no\u{9b}31mde  .../\x1b[2J\x1b[1;1H..1\x20root
            1  2.000 s  2.000 s  node-7         .../deep/deep/deep/deep/deep/deep/deep

        By command of the victims
        COUNT  LARGEST  LAST     COMMAND
            2    1 PiB  2.000 s  fifteen-letters
            1  402 MiB  1.000 s  "\x1b[2J\x1b[1;1Hroot"

        All of them
        N  TIME     VICTIM                            HELD  MACHINE     WHERE
        1  1.000 s  "\x1b[2J\x1b[1;1Hroot"[6666]   402 MiB  no\u{9b}..  \x1b[2J..root
        2  2.000 s  fifteen-letters[4194302] +1   1023 TiB  node-7      .../deep/deep

        One in full: --id N. All: --all. Fewer: --since, --until, --cgroup, --victim.
    "#]],
    );
}

#[test]
fn what_is_shown_and_kept_of_many_is_bounded() {
    let mut all = Summary::default();
    for number in 1..=3000_u64 {
        let mut incident = samples::memcg();
        incident.scope.cgroup = Some(format!("/{number}/{}", "x".repeat(10_000)));
        incident.node = Some(format!("node-{number}"));
        incident.victims[0].comm = format!("c{number}");
        all.add(&Told { number, incident, moment: boot(number as f64) });
    }
    assert_eq!(all.listed.len(), LISTED);
    let text = all.text(80, false);
    assert!(text.lines().count() < 70, "{text}");
    for part in [
        "more than 64 machines",
        "and 2,990 more incidents elsewhere",
        "and 2,990 more victims elsewhere",
        "2,980 before these",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("2981  2981.000 s") && text.contains("3000  3000.000 s"), "{text}");
}

#[test]
fn colour_is_for_terminals() {
    let summary = summary([(samples::memcg(), boot(1.0)), (samples::global(), boot(2.0))]);
    assert!(summary.text(80, true).contains("\x1b["));
    assert!(!summary.text(80, false).contains('\x1b'));
}

#[test]
fn files_need_not_be_in_the_order_of_time() {
    let at = |seconds: i64| (samples::memcg(), wall(seconds, true, Some(Offset::UTC)));
    let text = summary([at(7200), at(10_800), at(0), at(3600)]).text(80, false);
    let numbers: Vec<_> = text.split("HELD").nth(1).unwrap().lines().skip(1).take(4).collect();
    let numbers: Vec<_> = numbers.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(numbers, ["3", "4", "1", "2"], "{text}");
    assert!(text.contains("    4  2026-11-20 10:15:03  2026-11-20 13:15:03"), "first and last: {text}");
    // Nothing says which of two boots was first.
    let text = summary([70.0, 5.0].map(|at| (samples::memcg(), boot(at)))).text(80, false);
    assert!(text.find("1  70.000 s").unwrap() < text.find("2  5.000 s").unwrap(), "{text}");
}

#[test]
fn a_time_is_not_said_twice() {
    let text = summary([boot(7.0001), boot(7.0002)].map(|at| (samples::memcg(), at))).text(80, false);
    assert!(text.starts_with("2 OOM incidents and 2 victims, 7.000 s after boot, on "), "{text}");
}

#[test]
fn a_victim_that_was_not_seen_is_not_none() {
    let mut cut = samples::memcg();
    cut.victims.clear();
    let text = summary([(cut, boot(1.0)), (samples::none_killable(), boot(2.0))]).text(80, false);
    assert!(text.contains("1  1.000 s  ? ") && text.contains("2  2.000 s  none"), "{text}");
}

#[test]
fn what_they_are_put_down_to_is_counted() {
    let diagnosed = samples::all().into_iter().map(|(_, incident)| (incident, boot(1.0)));
    let text = summary(diagnosed).text(200, false);
    let line = text.lines().find(|line| line.starts_with("Diagnosis: ")).unwrap();
    expect!["Diagnosis: one large process (7), not enough evidence (4), fragmentation (1), nodes imbalanced (1), others."].assert_eq(line);
    assert!(!summary([(Incident::default(), boot(1.0))]).text(200, false).contains("Diagnosis"));
}
