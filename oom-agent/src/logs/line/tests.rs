//! Lines of each kind of log, and what is in them.

mod properties;

use super::{Line, Part, Peeler, parse};
use crate::logs::Years;
use std::fmt::Write as _;

/// A line as one text: what it says, and `|` before the message.
fn show(line: &Line<'_>) -> String {
    let Line { host, boot_id, boot_ns, stamp, context, is_foreign, part, message } = line;
    let mut out = String::new();
    if let Some(ns) = boot_ns {
        assert_eq!(ns % 1000, 0, "logs have microseconds");
        write!(out, "{}.{:06} ", ns / 1_000_000_000, ns / 1000 % 1_000_000).unwrap();
    }
    if let Some(stamp) = stamp {
        let years = Years { latest: Some(jiff::civil::date(2026, 11, 21).at(0, 0, 0, 0)) };
        assert!(stamp.wall(years).is_some(), "{stamp:?} is a date");
        write!(out, "<{}> ", stamp.text).unwrap();
    }
    for (name, value) in [("host", host), ("boot", boot_id)] {
        if let Some(value) = value {
            write!(out, "{name}={value} ").unwrap();
        }
    }
    if let Some(context) = context {
        write!(out, "T{context} ").unwrap();
    }
    out.push_str(if *is_foreign { "foreign " } else { "" });
    out.push_str(match part {
        Part::Whole => "",
        Part::Begin => "begin ",
        Part::Next => "next ",
        Part::Head => "head ",
    });
    write!(out, "|{message}").unwrap();
    out
}

fn check(table: &[(&str, &str)]) {
    for (line, expected) in table {
        assert_eq!(show(&parse(line.as_bytes())), *expected, "{line}");
        // What a line begins with may be known from the one before.
        let mut peeler = Peeler::default();
        peeler.peel(line.as_bytes());
        assert_eq!(show(&peeler.peel(line.as_bytes())), *expected, "{line}");
    }
}

/// The same, with a memory from line to line.
fn check_in_order(table: &[(&str, &str)]) {
    let mut peeler = Peeler::default();
    for (line, expected) in table {
        assert_eq!(show(&peeler.peel(line.as_bytes())), *expected, "{line}");
    }
}

#[test]
fn printk_and_the_console() {
    check(&[
        ("[    7.338835] a [b] c\n", "7.338835 |a [b] c"),
        ("[123456.000001] \r\n", "123456.000001 |"),
        ("[123456.000001]", "123456.000001 |"),
        ("[    7.338835]  slab_reclaimable:194", "7.338835 | slab_reclaimable:194"),
        ("[    7.338835][ T1234] a", "7.338835 T1234 |a"),
        ("[    7.338835][    C1]  a", "7.338835 | a"),
        ("<4>[    7.338835] a", "7.338835 |a"),
        ("<4>[    7.338835][ T1234] a", "7.338835 T1234 |a"),
        ("<30>[    7.338835] systemd[1]: a", "7.338835 foreign |systemd[1]: a"),
    ]);
}

#[test]
fn dmesg() {
    check(&[
        ("[    7.338835] [ T1234] a", "7.338835 T1234 |a"),
        ("[    7.338835 <    0.000012>] a", "7.338835 |a"),
        ("[<    0.000012>] a", "|a"),
        ("[Fri Nov 20 10:15:03 2026] a", "<Fri Nov 20 10:15:03 2026> |a"),
        ("[Sun Nov  1 10:15:03 2026 <   12.000012>]  a", "<Sun Nov  1 10:15:03 2026> | a"),
        ("[Nov20 10:15] a", "<Nov20 10:15> |a"),
        ("[  +0.000012] a", "|a"),
        ("[ +12.345678]  a", "| a"),
        ("2026-11-20T10:15:03,214123+01:00 a b: c", "<2026-11-20T10:15:03,214123+01:00> |a b: c"),
        ("2026-11-20T10:15:03,214123+01:00 [ T1234] a", "<2026-11-20T10:15:03,214123+01:00> T1234 |a"),
        ("kern  :warn  : [    7.338835] a", "7.338835 |a"),
        ("kern  :notice: [Fri Nov 20 10:15:03 2026] a", "<Fri Nov 20 10:15:03 2026> |a"),
        ("kern  :err   : 2026-11-20T10:15:03,214123+01:00 a", "<2026-11-20T10:15:03,214123+01:00> |a"),
        ("kern  :info  : a", "|a"),
        ("authpriv:info  : [    7.338835] a", "7.338835 foreign |a"),
        ("daemon:info  : [    7.338835] systemd[1]: a", "7.338835 foreign |systemd[1]: a"),
        ("4,1297,7338835,-;a;b", "7.338835 |a;b"),
        (r"4,1297,7338835,-,caller=T124;a\x0ab", "7.338835 T124 |a\nb"),
        ("30,1297,7338835,-;systemd[1]: a", "7.338835 foreign |systemd[1]: a"),
    ]);
}

#[test]
fn dmesg_in_colours() {
    check(&[
        (
            "\x1b[32m[    7.338835] \x1b[0m\x1b[33mOut of memory: \x1b[0mKilled a",
            "7.338835 |Out of memory: Killed a",
        ),
        ("\x1b[32m\x1b[1m[Nov20 10:15] \x1b[0m\x1b[31ma\x1b[0m", "<Nov20 10:15> |a"),
        ("kern  :warn  : \x1b[32m[    7.338835] \x1b[0ma", "7.338835 |a"),
        ("Nov 20 10:15:03 n kernel: \x1b[0;1;39ma\x1b[0m", "<Nov 20 10:15:03> host=n |a"),
        ("[    7.338835] \x1b[31ma invoked oom-killer: x", "7.338835 |\x1b[31ma invoked oom-killer: x"),
    ]);
}

#[test]
fn dmesg_as_json() {
    check(&[
        ("      },{", "|      },{"),
        ("         \"pri\": 4,", "head |"),
        ("         \"pri\": 30,", "foreign head |"),
        ("         \"fac\": \"kern\",", "head |"),
        ("         \"pri\": \"warn\",", "head |"),
        ("         \"fac\": \"daemon\",", "foreign head |"),
        ("         \"caller\": \"T123\",", "T123 head |"),
        ("         \"caller\": \"C1\",", "head |"),
        ("         \"time\":     7.338835,", "7.338835 head |"),
        ("         \"msg\": \" a \\\"b\\\"\"", "| a \"b\""),
        ("         \"msg\": \"a\" b", "|         \"msg\": \"a\" b"),
    ]);
}

#[test]
fn syslog() {
    check(&[
        ("Nov 20 10:15:03 n1 kernel: [    7.338835]  a", "7.338835 <Nov 20 10:15:03> host=n1 | a"),
        ("Nov  2 10:15:03 n1 kernel: a: b", "<Nov  2 10:15:03> host=n1 |a: b"),
        ("Nov 20 10:15:03 n1 kernel: [    7.338835][ T12] a", "7.338835 <Nov 20 10:15:03> host=n1 T12 |a"),
        ("Nov 20 10:15:03 kernel: a", "<Nov 20 10:15:03> |a"),
        ("Nov 20 10:15:03.214123 n1 kernel: a", "<Nov 20 10:15:03.214123> host=n1 |a"),
        ("<4>Nov 20 10:15:03 n1 kernel: a", "<Nov 20 10:15:03> host=n1 |a"),
        ("<13>Nov 20 10:15:03 n1 kernel: a", "<Nov 20 10:15:03> host=n1 foreign |a"),
        ("2026-11-20T10:15:03.214123+01:00 n1 kernel: a", "<2026-11-20T10:15:03.214123+01:00> host=n1 |a"),
        (
            "2026-11-20T10:15:03+01:00 n1 kernel: [    7.338835] a",
            "7.338835 <2026-11-20T10:15:03+01:00> host=n1 |a",
        ),
        ("Nov 20 10:15:03 n1 kern.warn kernel: [    7.338835] a", "7.338835 <Nov 20 10:15:03> host=n1 |a"),
        ("Nov 20 10:15:03 n1 user.warn kernel: a", "<Nov 20 10:15:03> host=n1 foreign |a"),
        (
            "Fri Nov 20 10:15:03 2026 kern.warn kernel: [    7.338835] a",
            "7.338835 <Fri Nov 20 10:15:03 2026> |a",
        ),
        ("Fri Nov 20 10:15:03 2026 daemon.info dnsmasq[1]: a", "<Fri Nov 20 10:15:03 2026> foreign |a"),
        ("Nov 20 10:15:03 n1 kubelet[12]: Out of memory", "<Nov 20 10:15:03> host=n1 foreign |Out of memory"),
        (
            "Nov 20 10:15:03 n1 logger: [    7.338835] a",
            "<Nov 20 10:15:03> host=n1 foreign |[    7.338835] a",
        ),
        (
            "Nov 20 10:15:03 n1 Out of memory: Killed",
            "<Nov 20 10:15:03> host=n1 foreign |Out of memory: Killed",
        ),
        ("Nov 20 10:15:03 n1 kernel:", "<Nov 20 10:15:03> host=n1 |"),
    ]);
}

#[test]
fn protocol_23() {
    const STAMP: &str = "<2026-11-20T10:15:03.214Z> host=n1";
    for (line, expected) in [
        ("<4>1 2026-11-20T10:15:03.214Z n1 kernel - - - a", "|a"),
        ("1 2026-11-20T10:15:03.214Z n1 kernel - - - \u{feff} a", "| a"),
        (r#"<4>1 2026-11-20T10:15:03.214Z n1 kernel - - [x@1 a="\"] b\\" c="]"][y] a"#, "|a"),
        ("<13>1 2026-11-20T10:15:03.214Z n1 kernel - - - a", "foreign |a"),
        ("<4>1 2026-11-20T10:15:03.214Z n1 kubelet 12 - - kernel: a", "foreign |kernel: a"),
    ] {
        assert_eq!(show(&parse(line.as_bytes())), format!("{STAMP} {expected}"));
    }
    check(&[("<4>1 - - kernel - - - [    7.338835] a", "7.338835 |a")]);
}

#[test]
fn journal() {
    check(&[
        ("Fri 2026-11-20 10:15:03 CET n1 kernel: a", "<Fri 2026-11-20 10:15:03 CET> host=n1 |a"),
        ("Fri 2026-11-20 10:15:03 +03 n1 sshd[1]: a", "<Fri 2026-11-20 10:15:03 +03> host=n1 foreign |a"),
        ("2026-11-20T10:15:03+0100 n1 kernel: a", "<2026-11-20T10:15:03+0100> host=n1 |a"),
        ("1763630103.214123 n1 kernel: a", "<1763630103.214123> host=n1 |a"),
        ("[    7.338835 <    0.000012 >] n1 kernel: a", "7.338835 host=n1 |a"),
        ("[    7.338835 <    0.000012*>] n1 x[1]: a", "7.338835 host=n1 foreign |a"),
        ("[    7.338835                ] n1 kernel:  a", "7.338835 host=n1 | a"),
        ("[    7.338835] n1 kernel: a", "7.338835 host=n1 |a"),
        ("-- Boot 6a8d --", "|-- Boot 6a8d --"),
    ]);
}

#[test]
fn a_monotonic_journal_is_known_by_its_machine() {
    check_in_order(&[
        ("[    7.338835] Call Trace:", "7.338835 |Call Trace:"),
        ("[    7.338835] Hardware name: QEMU", "7.338835 |Hardware name: QEMU"),
        ("[    7.338835] a kernel: b invoked oom-killer: x", "7.338835 |a kernel: b invoked oom-killer: x"),
        ("[    7.338835] n1 kernel: a", "7.338835 host=n1 |a"),
        ("[    7.338835] n1 x[1]: Out of memory", "7.338835 host=n1 foreign |Out of memory"),
        ("[    7.338835] n1 kernel: b invoked oom-killer: x", "7.338835 host=n1 |b invoked oom-killer: x"),
        (
            "[    7.338835] n1 kernel: [    8.000000] invoked oom-killer: x",
            "7.338835 host=n1 |[    8.000000] invoked oom-killer: x",
        ),
    ]);
}

#[test]
fn a_monotonic_journal_may_have_no_machine() {
    check_in_order(&[
        (
            "[    7.338835] kernel: [1.0] invoked oom-killer: x",
            "7.338835 |kernel: [1.0] invoked oom-killer: x",
        ),
        ("[    7.338835] kernel: a", "7.338835 |a"),
        ("[    7.338835] x[1]: Out of memory", "7.338835 |x[1]: Out of memory"),
        ("[    7.338835] kernel: a invoked oom-killer: x", "7.338835 |a invoked oom-killer: x"),
    ]);
}

#[test]
fn further_lines_of_a_message_are_indented() {
    check_in_order(&[
        ("               a", "|               a"),
        ("[    7.338835] active_anon:1", "7.338835 |active_anon:1"),
        ("                active_file:2", "next | active_file:2"),
        ("              b", "|              b"),
        ("Nov 20 10:15:03 n1 x[1]: a", "<Nov 20 10:15:03> host=n1 foreign |a"),
        ("                         Out of memory", "foreign next |Out of memory"),
    ]);
}

#[test]
fn journal_as_json() {
    check(&[
        (
            r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1763630103214123","__MONOTONIC_TIMESTAMP":"9000000","_BOOT_ID":"6a8d","_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"kernel","_SOURCE_MONOTONIC_TIMESTAMP":"7338835","_HOSTNAME":"n1","PRIORITY":"4","MESSAGE":" a \"b\""}"#,
            "7.338835 <1763630103214123> host=n1 boot=6a8d | a \"b\"",
        ),
        (
            r#"{"_TRANSPORT":"kernel","__MONOTONIC_TIMESTAMP":"9000000","MESSAGE":[ 97, 255, 10, 98 ]}"#,
            "9.000000 |a\\xff\nb",
        ),
        (r#"{"_TRANSPORT":"syslog","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"a"}"#, "foreign |a"),
        (r#"{"_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"systemd","MESSAGE":"a"}"#, "foreign |a"),
        (r#"{"_TRANSPORT":"kernel","SYSLOG_FACILITY":"3","MESSAGE":"a"}"#, "foreign |a"),
        (r#"{"_TRANSPORT":"kernel","MESSAGE":"[    7.338835] a"}"#, "|[    7.338835] a"),
        (r#"{"_TRANSPORT":"kernel","MESSAGE":null}"#, r#"|{"_TRANSPORT":"kernel","MESSAGE":null}"#),
        (r#"{"MESSAGE":"a"} b"#, r#"|{"MESSAGE":"a"} b"#),
    ]);
}

#[test]
fn containers() {
    check(&[
        (
            r#"{"log":"[    7.338835] a\n","stream":"stdout","time":"2026-11-20T10:15:03.214123456Z"}"#,
            "7.338835 <2026-11-20T10:15:03.214123456Z> |a",
        ),
        (r#"{"log":"a","stream":"stdout","time":"2026-11-20T10:15:03Z"}"#, "<2026-11-20T10:15:03Z> begin |a"),
        (r#"{"log":"a","stream":"stdout","time":"x","kubernetes":{"pod":["a",1]}}"#, "|a"),
        ("2026-11-20T10:15:03.214123456Z stdout F a", "<2026-11-20T10:15:03.214123456Z> |a"),
        (
            "2026-11-20T10:15:03.214123456+01:00 stderr P:x  a",
            "<2026-11-20T10:15:03.214123456+01:00> begin | a",
        ),
        ("2026-11-20T10:15:03.214123456Z stdout F", "<2026-11-20T10:15:03.214123456Z> |"),
        ("2026-11-20T10:15:03.214123456Z Call Trace:", "<2026-11-20T10:15:03.214123456Z> |Call Trace:"),
        (
            "[pod/fluent-x/fluent] 2026-11-20T10:15:03.214123456Z [    7.338835] a",
            "7.338835 <2026-11-20T10:15:03.214123456Z> |a",
        ),
        (
            "2026-11-20T10:15:04.214123456Z stdout F Nov 20 10:15:03 n1 kernel: [    7.338835] a",
            "7.338835 <2026-11-20T10:15:04.214123456Z> host=n1 |a",
        ),
        (
            "2026-11-20T10:15:04.214123456Z stdout F 2026-11-20T10:15:03+01:00 n1 kernel: a",
            "<2026-11-20T10:15:03+01:00> host=n1 |a",
        ),
        (
            r#"2026-11-20T10:15:04.214123456Z stdout F {"message":"{\"msg\":\"[    7.338835] a\"}","host":"n1","timestamp":"2026-11-20T10:15:03Z"}"#,
            "7.338835 <2026-11-20T10:15:03Z> host=n1 |a",
        ),
    ]);
}

#[test]
fn messages_as_they_stand() {
    for message in [
        "",
        " ",
        "[    121]     0   121     2298 hog",
        "[12345] a",
        "[ T12] a",
        "Mem-Info:",
        "Node 0 DMA free:1kB",
        "<TASK>",
        " <TASK>",
        "<4>a",
        "Nov 20 10:15:03 invoked oom-killer: gfp_mask=0x0",
        "[    7.338835] invoked oom-killer: gfp_mask=0x0",
        "{} invoked oom-killer: gfp_mask=0x0",
        "kern  :warn  : invoked oom-killer: gfp_mask=0x0",
        "\u{1b}[1m invoked oom-killer: gfp_mask=0x0",
        "a#012b invoked oom-killer: gfp_mask=0x0",
    ] {
        assert_eq!(show(&parse(message.as_bytes())), format!("|{message}"));
        if message.starts_with("[    7.338835]") {
            continue;
        }
        for (before, said) in [
            ("[    7.338835] ", "7.338835 "),
            ("<4>[    7.338835] ", "7.338835 "),
            ("Nov 20 10:15:03 n1 kernel: ", "<Nov 20 10:15:03> host=n1 "),
            ("Nov 20 10:15:03 n1 kernel: [    7.338835] ", "7.338835 <Nov 20 10:15:03> host=n1 "),
        ] {
            // dmesg's own place for a caller.
            if message == "[ T12] a" && before.starts_with(['[', '<']) {
                continue;
            }
            let line = format!("{before}{message}");
            assert_eq!(show(&parse(line.as_bytes())), format!("{said}|{message}"), "{line}");
        }
    }
}

#[test]
fn escaped_line_feeds_of_counters_only() {
    check(&[
        (
            "Nov 20 10:15:03 n1 kernel: active_anon:1 inactive_anon:2#012 active_file:3kB",
            "<Nov 20 10:15:03> host=n1 |active_anon:1 inactive_anon:2\n active_file:3kB",
        ),
        ("anon 12#012file 0", "|anon 12\nfile 0"),
        ("Out of memory: a#012b", "|Out of memory: a#012b"),
        ("oom-kill:constraint=x#012anon 12", "|oom-kill:constraint=x#012anon 12"),
    ]);
}

#[test]
fn damage() {
    check(&[
        ("\0\0\0\0Nov 20 10:15:03 n1 kernel: a\0", "<Nov 20 10:15:03> host=n1 |a"),
        ("\u{feff}[    7.338835] a", "7.338835 |a"),
        ("[    7.33883] a", "|[    7.33883] a"),
        ("[    7.338835 a", "|[    7.338835 a"),
        ("[99999999999999999999.338835] a", "|[99999999999999999999.338835] a"),
        ("Nov 20 10:15:03 n1", "<Nov 20 10:15:03> host=n1 foreign |"),
        ("Nov 20 10:15:03 n1  a", "<Nov 20 10:15:03> host=n1 foreign | a"),
        ("Nov 20 10:15:03", "|Nov 20 10:15:03"),
        ("Nov 20 10:15:03 ", "|Nov 20 10:15:03 "),
        ("2026-11-20T10:15:03.", "|2026-11-20T10:15:03."),
        ("<4", "|<4"),
        ("<9999>[    7.338835] a", "|<9999>[    7.338835] a"),
        ("{\"log\":\"a\"", "|{\"log\":\"a\""),
    ]);
    assert_eq!(show(&parse(b"[    7.338835] a\xff\xc3\xa9")), "7.338835 |a\\xffé");
    assert_eq!(show(&parse(b"Nov 20 10:15:03 n\xff kernel: a")), "<Nov 20 10:15:03> host=n\\xff |a");
}
