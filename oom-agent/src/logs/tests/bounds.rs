//! How a log is cut into pieces, and how long its lines are.

use super::samples::*;

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
    let report = sample("6.1.192-memcg-v2").log(dmesg).join("\n");
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
    assert_eq!(read_bytes(lines.join("\r\n").as_bytes(), 512), expected);
    assert_eq!(read_bytes(lines.join("\n").as_bytes(), 512), expected, "no line feed at the end");
}

#[test]
fn a_log_about_other_things_is_passed_over() {
    let mut reader = crate::logs::Reader::new(crate::logs::Options::default());
    let mut out = Vec::new();
    let line = "Nov 20 10:15:03 node-7 kernel: [12345.678901] eth0: renamed from veth1234\n";
    reader.push(line.repeat(10_000).as_bytes(), &mut out);
    reader.finish(&mut out);
    assert_eq!(out, vec![]);
    assert_eq!(reader.stats().lines, 0, "none was looked at");
}
