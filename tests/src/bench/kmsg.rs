//! A follower of the kernel's log that finds OOM kills by cadvisor's rules (utils/oomparser there, July 2026).
//!
//! From a line with "invoked oom-killer:" on it looks for one with all fields of "oom-kill:", or one with "Killed
//! process", whichever comes first, and takes that for the end. Then it waits for the next beginning.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

/// Separators of the line "oom-kill:", in order. What is between them may hold anything, also a separator: each is taken
/// as far to the right as it fits, as a greedy expression does.
const FIELDS: [&str; 9] = [
    "oom-kill:constraint=",
    ",nodemask=",
    ",cpuset=",
    ",mems_allowed=",
    ",oom_memcg=",
    ",task_memcg=",
    ",task=",
    ",pid=",
    ",uid=",
];

#[derive(Debug, PartialEq, Eq)]
struct Kill {
    pid: u32,
    cgroup: Option<String>,
}

/// Prints `victim PID CGROUP` for each.
pub(super) fn run() -> Result<()> {
    let path = "/dev/kmsg";
    let mut log = File::open(path).with_context(|| format!("opening {path}"))?;
    log.seek(SeekFrom::End(0)).with_context(|| format!("seeking in {path}"))?;
    let mut out = std::io::stdout();
    writeln!(out, "following").and_then(|()| out.flush()).context("writing")?;
    let mut buffer = vec![0; 8192];
    let mut inside = false;
    loop {
        let length = match log.read(&mut buffer) {
            Ok(length) => length,
            // The ring overtook it: cadvisor's parser goes on with what is there.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => continue,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {path}")),
        };
        let record = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        let message = record.split_once(';').map_or("", |(_, message)| message.lines().next().unwrap_or(""));
        if !inside {
            inside = message.contains("invoked oom-killer:");
        } else if let Some(kill) = chosen(message).or_else(|| killed(message)) {
            inside = false;
            let cgroup = kill.cgroup.as_deref().unwrap_or("-");
            writeln!(out, "victim {} {cgroup}", kill.pid).and_then(|()| out.flush()).context("writing")?;
        }
    }
}

/// `oom-kill:constraint=...,task_memcg=C,task=T,pid=P,uid=U`.
fn chosen(message: &str) -> Option<Kill> {
    let mut end = message.len();
    let mut values = [""; FIELDS.len()];
    for (separator, value) in FIELDS.iter().zip(&mut values).rev() {
        let at = message.get(..end)?.rfind(separator)?;
        *value = message.get(at + separator.len()..end)?;
        end = at;
    }
    let [.., cgroup, _, pid, _] = values;
    Some(Kill { pid: pid.parse().ok()?, cgroup: Some(cgroup.to_owned()) })
}

/// `Killed process P (NAME)`.
fn killed(message: &str) -> Option<Kill> {
    let (_, rest) = message.split_once("Killed process ")?;
    let (pid, rest) = rest.split_once(" (")?;
    rest.contains(')').then_some(())?;
    Some(Kill { pid: pid.parse().ok()?, cgroup: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_one_and_its_cgroup_are_in_one_line() {
        let line = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/pod,\
                    task_memcg=/pod/a,b,task=x,pid=1,pid=66,uid=0";
        assert_eq!(chosen(line), Some(Kill { pid: 66, cgroup: Some("/pod/a,b".into()) }));
        assert_eq!(chosen("oom-kill:constraint=CONSTRAINT_MEMCG,pid=66,uid=0"), None);
    }

    #[test]
    fn a_kill_without_it_has_no_cgroup() {
        let line = "Memory cgroup out of memory: Killed process 77 (a b) total-vm:1kB";
        assert_eq!(killed(line), Some(Kill { pid: 77, cgroup: None }));
        assert_eq!(killed("Killed process x (y)"), None);
    }
}
