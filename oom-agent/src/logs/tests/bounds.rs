//! How a log is cut into pieces, and how long its lines are.

use super::samples::*;
use crate::logs::{Options, Reader};

/// Bytes of a log, and lines that have nothing to do with OOM.
fn sparse() -> Vec<u8> {
    let mut log = Vec::new();
    for sample in samples().iter().step_by(7) {
        for at in 0..300 {
            log.extend(format!("Nov 20 10:15:03 node-7 sshd[{at}]: session opened\n").bytes());
        }
        log.extend((sample.log(syslog("node-7")).join("\n") + "\n").bytes());
    }
    log
}

#[test]
fn it_does_not_matter_how_a_log_is_cut_into_pieces() {
    let log = sparse();
    let whole = read_bytes(&log, log.len());
    assert!(whole.len() >= 15);
    for piece in [1, 7, 100, 1000, 4096, 65_536] {
        assert_eq!(read_bytes(&log, piece), whole, "{piece}");
    }
}

#[test]
fn long_lines_are_cut_and_the_next_one_is_read() {
    let report = sample("6.1.192-memcg-v2").log(dmesg).join("\n") + "\n";
    let expected = read_bytes(report.as_bytes(), 4096);
    for filler in [b'x', b' ', b'[', 0] {
        let mut log = vec![filler; 1 << 20];
        log.push(b'\n');
        log.extend(report.bytes());
        assert_eq!(read_bytes(&log, 10_000), expected, "{filler}");
    }
    let mut log = vec![0; 1 << 20];
    log.extend(report.bytes());
    assert_eq!(read_bytes(&log, 10_000), expected, "the blanks that a crash leaves");
}

#[test]
fn line_ends_do_not_matter() {
    let lines = sample("7.3.4-global").log(syslog("node-7"));
    let expected = read(&lines);
    assert_eq!(read_bytes((lines.join("\r\n") + "\r\n").as_bytes(), 512), expected);
    assert_eq!(read_bytes(lines.join("\n").as_bytes(), 512), expected, "what is cut is in the task table");

    let lines = sample("7.3.4-memcg-nodump").log(syslog("node-7"));
    let mut cut = read(&lines);
    let victim = cut.last_mut().unwrap().incident.victims.last_mut().unwrap();
    assert_eq!(victim.oom_score_adj.take(), Some(0), "the last number of the last line");
    assert_eq!(read_bytes(lines.join("\n").as_bytes(), 512), cut, "no line feed at the end: it may go on");
}

#[test]
fn a_log_about_other_things_is_passed_over() {
    let mut reader = Reader::new(Options::default());
    let mut out = Vec::new();
    let line = "Nov 20 10:15:03 node-7 kernel: [12345.678901] eth0: renamed from veth1234\n";
    reader.push(line.repeat(10_000).as_bytes(), &mut out);
    reader.finish(&mut out);
    assert_eq!(out, vec![]);
    assert_eq!(reader.stats().lines, 0, "none was looked at");
}

/// As many machines as there are lines: the ones that were silent for longest are told first.
#[test]
fn what_is_held_does_not_grow_with_the_log() {
    let mut reader = Reader::new(Options::default());
    let mut out = Vec::new();
    let mut told = 0;
    for machine in 0..20_000 {
        let begin = format!(
            "Nov 20 10:15:03 node-{machine} kernel: a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
        );
        let killed = format!(
            "Nov 20 10:15:03 node-{machine} kernel: Out of memory: Killed process {machine} (a) total-vm:4kB, anon-rss:4kB\n"
        );
        reader.push(begin.as_bytes(), &mut out);
        reader.push(killed.as_bytes(), &mut out);
        told += out.drain(..).count();
        assert!(reader.streams().0 <= 64);
    }
    reader.finish(&mut out);
    assert_eq!(told + out.len(), 20_000);
    assert_eq!(reader.streams(), (0, 0));
    assert_eq!(reader.stats().crowded, 0, "all were complete");
}

/// Reports that are never complete, with long tables: they are told as they are.
#[test]
fn lines_of_open_reports_are_bounded() {
    let mut reader = Reader::new(Options::default());
    let mut out = Vec::new();
    let row = |row| format!("[ {row:6}]     0 {row:6}      567       17    57344        0             0 hog");
    let table: Vec<_> = (0..5000).map(row).collect();
    for machine in 0..40 {
        let host = format!("Nov 20 10:15:03 node-{machine} kernel: ");
        let header = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name";
        reader.push(format!("{host}{header}\n").as_bytes(), &mut out);
        for line in &table {
            reader.push(format!("{host}{line}\n").as_bytes(), &mut out);
        }
        assert!(reader.streams().1 <= 65_536 + 64, "{machine}");
    }
    reader.finish(&mut out);
    assert_eq!(out.len(), 40);
    assert!(out.iter().all(|found| found.incident.candidates.len() == 5000));
}

/// After a report that never ends, a log is skipped through again.
#[test]
fn a_report_without_an_end_is_given_up() {
    let mut log =
        "Nov 20 10:15:03 a kernel: a invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0\n".to_owned();
    log += &"Nov 20 10:15:04 a sshd[1]: session opened\n".repeat(50_000);
    let mut reader = Reader::new(Options::default());
    let mut out = Vec::new();
    reader.push(log.as_bytes(), &mut out);
    assert!(reader.stats().lines < 5000, "{}", reader.stats().lines);
    reader.finish(&mut out);
    assert_eq!(out.len(), 1);
}
