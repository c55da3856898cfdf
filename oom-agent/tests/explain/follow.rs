//! `--follow`. Nothing here waits for a time: each step waits for what the one before brought about.

use super::support::{Dir, Running, TWO, command, explain, one};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Stdio;

fn append(path: &str, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The second report of the log, and the rest.
fn second() -> &'static str {
    &TWO[one().len()..]
}

/// Time passes in the log, so that what came before is complete.
const LATER: &str = "[ 1000.000000] systemd[1]: Started something.\n";

fn victim(line: &str) -> String {
    let incident: serde_json::Value = serde_json::from_str(line).unwrap();
    incident["victims"][0]["comm"].as_str().unwrap().to_owned()
}

#[test]
fn a_growing_file_is_followed_over_rotation_and_truncation() {
    let dir = Dir::new();
    let path = dir.file("kern.log", one());
    let running = Running::start(command(&["--follow", "--format", "json", &path]));
    running.said("following");
    append(&path, LATER);
    assert_eq!(victim(&running.line()), "hog");

    std::fs::rename(&path, dir.path("kern.log.1")).unwrap();
    // Whoever writes the log still has the old file open.
    append(&dir.path("kern.log.1"), second());
    append(&path, LATER);
    running.said("was replaced");
    assert_eq!(victim(&running.line()), "bighog");

    std::fs::write(&path, "").unwrap();
    running.said("was cut");
    append(&path, one());
    append(&path, LATER);
    assert_eq!(victim(&running.line()), "hog");

    running.terminate();
    let end = running.said("incidents in");
    assert!(end.contains("3 incidents in ") && end.contains(": 3 victims"), "{end}");
    assert_eq!(running.status(), Some(0));
}

#[test]
fn a_pipe_is_followed_to_its_end() {
    let mut command = command(&["--follow", "-"]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let mut stdin = running.stdin();
    stdin.write_all(one().as_bytes()).unwrap();
    stdin.write_all(LATER.as_bytes()).unwrap();
    assert!(running.line().starts_with("OOM kill"), "while the pipe is open");
    drop(stdin);
    let end = running.said("incident in");
    assert!(end.contains("1 incident in "), "{end}");
    assert_eq!(running.status(), Some(0));
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let dir = Dir::new();
    let path = dir.file("kern.log", "");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = command(&["--follow", &path]);
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    // The command keeps a copy of the writing end.
    drop(command);
    drop(reader);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_followed_is_said() {
    let dir = Dir::new();
    let missing = explain(&["--follow", &dir.path("missing")]);
    assert_eq!(missing.status, Some(1));
    assert!(missing.stderr.contains("cannot open"), "{}", missing.stderr);
    let packed = explain(&["--follow", &dir.file("a", b"\x1f\x8b\x08\0\0\0\0\0")]);
    assert_eq!(packed.status, Some(1));
    assert!(packed.stderr.contains("leave --follow out"), "{}", packed.stderr);
}
