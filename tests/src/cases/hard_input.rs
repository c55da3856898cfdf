//! How the agent is called: wrong usage, missing privileges, a stdout that does not take what it writes.

use super::agent::{Out, TELL};
use super::machine::Setting;
use super::memcg::{hog, spawn, spawner};
use super::stage::Stage;
use crate::truth::model::Expect;
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

const NOBODY: u32 = 65534;
/// Numbers in `include/uapi/linux/capability.h`.
const CAP_SYS_ADMIN: &str = "21";
const CAP_PERFMON: &str = "38";
const CAP_BPF: &str = "39";

/// Runs a command to its end, and checks its status and what it says on stderr.
pub(super) fn ends(
    stage: &mut Stage<'_>,
    what: &str,
    command: &mut Command,
    code: i32,
    says: &str,
) -> Result<()> {
    // Whatever waits for ever would keep the case from ending.
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    let stderr = String::from_utf8_lossy(&done.stderr);
    let held = done.status.code() == Some(code) && stderr.contains(says) && !stderr.contains("panicked");
    let found = format!("{}, stderr: {}", done.status, stderr.trim());
    stage.check(format!("{what} ends with {code} and says {says:?}"), held, found);
    let quiet = code == 0 || done.stdout.is_empty();
    stage.check(format!("{what} leaves stdout to data"), quiet, String::from_utf8_lossy(&done.stdout));
    Ok(())
}

/// Unknown words and impossible values.
pub(super) fn usage(stage: &mut Stage<'_>) -> Result<()> {
    let wrong: &[(&[&str], &str)] = &[
        (&[], "Usage:"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["trace", "--frobnicate"], "unexpected argument '--frobnicate'"),
        (&["trace", "more"], "unexpected argument 'more'"),
        (&["trace", "--format", "xml"], "invalid value 'xml'"),
        (&["trace", "--duration", "0s"], "must be more than nothing"),
        (&["trace", "--duration", "-5s"], ""),
        (&["trace", "--duration", "soon"], "not a time such as 30s"),
        (&["trace", "--count", "0"], "not a whole number of at least 1"),
        (&["trace", "--count", "18446744073709551616"], "not a whole number of at least 1"),
        (&["trace", "--candidates", "few"], "neither a number nor all nor none"),
        (&["trace", "--max-level", "best"], "invalid value 'best'"),
        (&["rank", "--what-if", "1:2000"], "2000 is no oom_score_adj"),
        (&["rank", "--what-if", "/a:lots"], "lots is no limit"),
        (&["rank", "--watch", "0"], "not between 0.1"),
        (&["doctor", "--format", "xml"], "invalid value 'xml'"),
    ];
    let path = stage.binary()?.path.clone();
    for (args, says) in wrong {
        ends(stage, &format!("{args:?}"), Command::new(&path).args(*args), 2, says)?;
    }
    let bytes = OsStr::from_bytes(b"\xff\x1b[31m");
    ends(stage, "an argument of odd bytes", Command::new(&path).arg(bytes), 2, "unrecognized subcommand")?;
    ends(stage, "--help", Command::new(&path).arg("--help"), 0, "")?;
    ends(stage, "rank", Command::new(&path).arg("rank"), 0, "")?;
    ends(
        stage,
        "a cgroup that is not",
        Command::new(&path).args(["rank", "--cgroup=/not/there"]),
        1,
        "no cgroup /not/there here",
    )?;
    let mut nobody = Command::new(&path);
    ends(
        stage,
        "a process that is not",
        nobody.args(["rank", "--what-if=4294967295:0"]),
        1,
        "no such process",
    )?;
    let mut reader = Command::new("sh");
    let left = reader.args(["-c", "\"$0\" rank --watch 0.1 | head -1 > /dev/null"]).arg(&path);
    ends(stage, "rank --watch with a reader that leaves", left, 0, "")?;
    ends(stage, "--version", Command::new(&path).arg("--version"), 0, "")?;
    ends(stage, "one second", Command::new(&path).args(["trace", "--duration", "1s"]), 0, " 0 victims")
}

/// Without root, and as root without some of its capabilities.
pub(super) fn privileges(stage: &mut Stage<'_>) -> Result<()> {
    const RESTRICT: &str = "/proc/sys/kernel/dmesg_restrict";
    let path = stage.binary()?.path.clone();
    let nobody = |args: &[&str]| {
        let mut command = Command::new(&path);
        command.args(args).uid(NOBODY).gid(NOBODY);
        command
    };
    let without = |dropped: &[&str], args: &[&str]| {
        let mut command = Command::new("/proc/self/exe");
        command.args(["work", "bare"]).args(dropped.iter().map(|number| format!("--drop={number}")));
        command.arg("--").arg(&path).args(args);
        command
    };
    stage.hold(Setting::new(RESTRICT, "1")?);
    let trace: &[&str] = &["trace", "--duration=1s"];
    let log: &[&str] = &["trace", "--duration=1s", "--max-level=kmsg"];
    ends(stage, "nobody", &mut nobody(trace), 3, "not permitted: CAP_BPF and CAP_PERFMON missing.")?;
    ends(stage, "nobody with the log", &mut nobody(log), 3, "not permitted: CAP_SYSLOG missing.")?;
    let mut no_bpf = without(&[CAP_SYS_ADMIN, CAP_BPF], trace);
    ends(stage, "without CAP_BPF", &mut no_bpf, 3, "not permitted: CAP_BPF missing.")?;
    let mut no_perfmon = without(&[CAP_SYS_ADMIN, CAP_PERFMON], trace);
    ends(stage, "without CAP_PERFMON", &mut no_perfmon, 3, "not permitted: CAP_PERFMON missing.")?;
    // Numbers of all but CAP_BPF and CAP_PERFMON; the kernel ends at CAP_CHECKPOINT_RESTORE.
    let all: Vec<String> = (0..=40).map(|number: u32| number.to_string()).collect();
    let most: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|number| ![CAP_BPF, CAP_PERFMON, "8"].contains(number))
        .collect();
    let mut enough = without(&[most.as_slice(), &["8"]].concat(), trace);
    ends(stage, "with CAP_BPF and CAP_PERFMON only", &mut enough, 0, ": everything, fentry")?;
    ends(stage, "the same", &mut enough, 0, "no break-down of the memory: cannot open /dev/kmsg")?;
    stage.hold(Setting::new(RESTRICT, "0")?);
    ends(stage, "nobody with an open log", &mut nobody(log), 0, "only what the kernel's log says")
}

/// A glob that matches nothing, and one that does.
pub(super) fn glob(stage: &mut Stage<'_>) -> Result<()> {
    let none = stage.one_more(&["--cgroup=/nothing/of/this/name*"], Out::Read)?;
    let one = stage.one_more(&["--cgroup=*/glob"], Out::Read)?;
    let group = stage.group("glob")?;
    stage.at(group)?.limit(8, 0)?;
    let grower = stage.start(Some(group), hog("app", 0, 0, 16))?;
    stage.intend(grower, "selected");
    stage.provoke(grower)?;
    one.wait(1, TELL);
    stage.judge("match", Expect::All, one)?;
    let (told, stderr, trouble) = none.stop()?;
    let says = stderr.contains("0 incidents") && stderr.contains("1 not shown (--cgroup)");
    stage.check("what does not match is counted", says && trouble.is_none(), &stderr);
    stage.tell("no-match", Expect::First(0), told, stderr);
    Ok(())
}

/// A reader that leaves after a line, a device that is full, and no stdout at all.
pub(super) fn stdout_closed(stage: &mut Stage<'_>) -> Result<()> {
    const KILLS: u64 = 3;
    let mut head = stage.one_more(&[], Out::Head)?;
    let full: File = OpenOptions::new().write(true).open("/dev/full").context("opening /dev/full")?;
    let mut full = stage.one_more(&[], Out::File(full))?;
    let binary = stage.binary()?.clone();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(&binary.path).args(binary.trace().get_args());
    let closed = super::agent::Agent::start(shell, Out::Read)?;
    let group = stage.group("closed")?;
    stage.at(group)?.limit(4, 0)?;
    let spawner = spawner(stage, group, KILLS)?;
    stage.others_leave();
    stage.look()?;
    spawn(stage, spawner, KILLS)?;

    let status = head.ended()?;
    let said = head.stderr();
    stage.check(
        "a reader that leaves ends it well",
        status.success() && said.contains("victim"),
        format!("{status}: {said}"),
    );
    let told = head.take();
    stage.tell("head", Expect::First(1), told, said);

    let status = full.ended()?;
    let said = full.stderr();
    let says = said.contains("cannot write to stdout: No space left on device");
    stage.check("a full device is a failure", status.code() == Some(1) && says, format!("{status}: {said}"));
    stage.tell("full", Expect::First(0), Vec::new(), said);

    // Rust opens /dev/null in its place.
    stage.judge("closed", Expect::First(0), closed)?;
    let help: Vec<OsString> = vec!["-c".into(), "\"$0\" --help > /dev/full".into(), binary.path.into()];
    ends(stage, "help for a full device", Command::new("sh").args(help), 1, "cannot write to stdout")
}
