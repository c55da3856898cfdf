//! `oom-agent explain` as a user runs it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what it is made of"
)]

mod follow;
mod support;

use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;
use std::process::Stdio;
use support::{Dir, TWO, command, explain, explain_stdin, one, piped_through};

fn gz(text: &str) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

fn incidents(json: &str) -> Vec<serde_json::Value> {
    json.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn victims(json: &str) -> Vec<String> {
    incidents(json).iter().map(|it| it["victims"][0]["comm"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_incident_is_shown_as_trace_shows_it() {
    let done = explain_stdin(&[], one().as_bytes());
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    assert!(done.stdout.starts_with("OOM kill  "), "{}", done.stdout);
    for part in ["hog[161]", "was killed", "\nVictims ", "\nCandidates ", "\nWhy ", "\nEvidence   log"] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    assert!(!done.stdout.contains('\x1b'), "no colour in a pipe");
    let dir = Dir::new();
    let file = dir.file("kern.log", one());
    for args in [&[file.as_str()][..], &[&file, "--all"], &[&file, "--id", "1"]] {
        let by_file = explain(args);
        assert_eq!(by_file.status, Some(0));
        // The id and the source have the file's name in them.
        let same = |text: &str| {
            text.lines().skip(2).map(|line| line.replace("kern.log", "stdin")).collect::<Vec<_>>()
        };
        assert_eq!(same(&by_file.stdout), same(&done.stdout));
    }
}

#[test]
fn several_are_a_summary_and_each_can_be_had() {
    let dir = Dir::new();
    let file = dir.file("kern.log", TWO);
    let summary = explain(&[&file]).stdout;
    assert!(summary.starts_with("2 OOM incidents and 2 victims, 7.5"), "{summary}");
    for part in
        ["By cgroup that was full", "By command of the victims", "hog[161]", "bighog[166]", "/a", "--id N"]
    {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    let all = explain(&[&file, "--all"]).stdout;
    assert_eq!(all.matches("\n\nOOM kill  ").count() + 1, 2, "{all}");
    let second = explain(&[&file, "--id", "2"]);
    assert!(
        second.stdout.contains("bighog[166], holding") && all.ends_with(&second.stdout),
        "{}",
        second.stdout
    );
    let json = explain(&[&file, "--format", "json"]);
    assert_eq!(victims(&json.stdout), ["hog", "bighog"]);
    let id = incidents(&json.stdout)[1]["id"].as_str().unwrap().to_owned();
    assert_eq!(explain(&[&file, "--id", &id.to_lowercase()]).stdout, second.stdout);
    assert_eq!(
        explain(&[&file, "--format", "json", "--id", &id]).stdout.lines().next(),
        json.stdout.lines().nth(1)
    );
    let missing = explain(&[&file, "--id", "3"]);
    assert_eq!((missing.status, missing.stdout.as_str()), (Some(1), ""));
    assert_eq!(missing.stderr, "oom-agent: there is no incident 3, of 2 incidents\n");
}

#[test]
fn filters_narrow_it_down_and_numbers_stay() {
    let dir = Dir::new();
    let file = dir.file("kern.log", TWO);
    for (args, victim, left_out) in [
        (&["--victim", "big*"][..], "bighog", "1 of 2 incidents not shown (--victim)"),
        (&["--victim", "161"], "hog", "1 of 2 incidents not shown (--victim)"),
        (&["--since", "7.55s"], "bighog", "1 of 2 incidents not shown (--since)"),
        (&["--until", "7.55s", "--cgroup", "/a"], "hog", "1 of 2 incidents not shown (--until, --cgroup)"),
        (&["--victim", "bighog", "--id", "2"], "bighog", ""),
    ] {
        let args: Vec<&str> = [file.as_str()].iter().chain(args).copied().collect();
        let done = explain(&args);
        assert_eq!(done.status, Some(0));
        assert!(done.stdout.contains(&format!("\n{victim}[")), "{args:?}: {}", done.stdout);
        assert!(
            done.stderr.contains(left_out) && done.stderr.is_empty() == left_out.is_empty(),
            "{}",
            done.stderr
        );
    }
    let nothing = explain(&[&file, "--cgroup", "/b"]);
    assert_eq!((nothing.status, nothing.stdout.as_str()), (Some(0), ""));
    let undated = explain(&[&file, "--since", "2026-11-20"]).stderr;
    assert!(undated.contains("of these 2 without a time that --since"), "{undated}");
}

#[test]
fn packed_logs_are_recognised_by_their_content() {
    let dir = Dir::new();
    let plain = explain_stdin(&["--format", "json"], TWO.as_bytes()).stdout;
    let mut packed = vec![("gzip", gz(TWO))];
    for (program, args) in [("xz", &["-6"][..]), ("zstd", &["-19", "-q"])] {
        // Small ones are among the unit tests; programs need not be there.
        packed.extend(piped_through(program, args, TWO.as_bytes()).map(|bytes| (program, bytes)));
    }
    for (name, bytes) in packed {
        assert_eq!(explain_stdin(&["--format", "json"], &bytes).stdout, plain, "{name}");
        let file = dir.file("no-ending", &bytes);
        assert_eq!(victims(&explain(&["--format", "json", &file]).stdout), ["hog", "bighog"], "{name}");
        let cut = dir.file("cut.log", &bytes[..bytes.len() - 9]);
        let done = explain(&["--format", "json", &cut]);
        assert_eq!(done.status, Some(1), "{name}");
        assert!(done.stderr.contains("cut.log: the ") && done.stderr.contains(name), "{}", done.stderr);
    }
}

#[test]
fn what_can_be_read_of_a_damaged_file_is_shown() {
    let dir = Dir::new();
    let packed = gz(&TWO.repeat(50));
    let file = dir.file("a.gz", &packed[..packed.len() / 2]);
    let done = explain(&[&file]);
    assert_eq!(done.status, Some(1));
    assert!(done.stdout.contains(" OOM incidents and "), "{}", done.stdout);
    assert_eq!(done.stderr, format!("oom-agent: cannot read {file}: the gzip data ends too early\n"));
}

#[test]
fn files_that_cannot_be_read_are_named_and_the_others_shown() {
    let dir = Dir::new();
    let (file, missing, directory) = (dir.file("kern.log", one()), dir.path("missing"), dir.path(""));
    let done = explain(&[&missing, &file, &directory]);
    assert_eq!(done.status, Some(1));
    assert!(done.stdout.contains("hog[161]"), "{}", done.stdout);
    assert!(done.stderr.contains(&format!("cannot open {missing}: No such file")), "{}", done.stderr);
    assert!(done.stderr.contains(&format!("cannot read {directory}: it is a directory")), "{}", done.stderr);
}

#[test]
fn a_log_without_a_report_says_so_and_is_no_failure() {
    let dir = Dir::new();
    let (empty, other) = (dir.file("empty", ""), dir.file("other.log", "[    1.0] all is well\n"));
    let done = explain(&[&empty, &other]);
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), ""));
    assert_eq!(
        done.stderr,
        format!("oom-agent: no OOM report in {empty}\noom-agent: no OOM report in {other}\n")
    );
    let stdin = explain_stdin(&["--format", "json"], b"");
    assert_eq!(
        (stdin.status, stdin.stdout.as_str(), stdin.stderr.as_str()),
        (Some(0), "", "oom-agent: no OOM report in stdin\n")
    );
    let (file, with) = (dir.file("kern.log", one()), explain(&[&dir.file("kern.log", one()), &empty]));
    assert!(with.stdout.contains("hog[161]") && !with.stderr.contains(&file), "{}", with.stderr);
}

#[test]
fn a_report_over_the_border_of_a_rotation_is_one() {
    let dir = Dir::new();
    let half = TWO.find("Memory cgroup stats").unwrap();
    let half = TWO[..half].rfind('\n').unwrap() + 1;
    let newer = dir.file("kern.log", &TWO[half..]);
    let older = dir.file("kern.log.1", gz(&TWO[..half]));
    let whole = explain_stdin(&["--format", "json"], TWO.as_bytes()).stdout;
    let rotated = explain(&["--format", "json", &newer, &older]).stdout;
    let essence = |json: &str| -> Vec<_> {
        let strip = |mut it: serde_json::Value| {
            it["id"].take();
            it["evidence"].take();
            it
        };
        incidents(json).into_iter().map(strip).collect()
    };
    assert_eq!(essence(&rotated), essence(&whole));
}

#[test]
fn what_two_logs_have_is_shown_once() {
    let dir = Dir::new();
    let (one, two) = (dir.file("kern.log", TWO), Dir::new());
    let same = two.file("kern.log", TWO);
    let done = explain(&["--format", "json", &one, &same]);
    assert_eq!(victims(&done.stdout), ["hog", "bighog"]);
    assert_eq!(done.stderr, "oom-agent: 2 incidents were in more than one file, shown once\n");
}

#[test]
fn ids_are_the_same_each_time() {
    let run = || explain_stdin(&["--format", "json", "-"], TWO.as_bytes()).stdout;
    assert_eq!(run(), run());
    let ids: Vec<_> = incidents(&run()).iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids[0].len() == 26 && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let text = TWO.repeat(2000);
    for args in [&["--all"][..], &["--format", "json"], &[]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command(args).stdin(Stdio::piped()).stdout(writer).spawn().unwrap();
        // It ends before it has read all of that.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?} {output:?}");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let dir = Dir::new();
    let output = command(&[&dir.file("kern.log", TWO)]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot write to stdout: No space left"),
        "{output:?}"
    );
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let dir = Dir::new();
    let file = dir.file("kern.log", TWO);
    for args in [
        &["--since", "yesterday", &file][..],
        &["--id", "1", "--all", &file],
        &["--follow", &file, "other.log"],
        &["--format", "xml", &file],
        &["--no-such-option"],
    ] {
        let done = explain(args);
        assert_eq!((done.status, done.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(!done.stderr.is_empty(), "{args:?}");
    }
    let help = explain(&["--help"]);
    assert_eq!(help.status, Some(0));
    assert!(help.stdout.contains("journalctl -k") && help.stdout.contains("--since"), "{}", help.stdout);
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let dir = Dir::new();
    let file = dir.file("kern.log", TWO);
    let once = explain(&["--format", "json", &file]);
    assert_eq!(explain(&["--format", "json", &file, &file]).stdout, once.stdout);
}
