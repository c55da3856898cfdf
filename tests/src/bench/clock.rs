//! When the kernel entered and left its OOM path, killed, and had the memory back: from ftrace, in `CLOCK_BOOTTIME`.

use crate::truth::trace;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/kernel/tracing";
const GROUP: &str = "oombench";
/// None of them is hit per candidate: they shall not be what is measured.
const PROBES: [&str; 4] = [
    "p:oombench/enter out_of_memory",
    "r:oombench/leave out_of_memory",
    "p:oombench/kill oom_kill_process",
    "r:oombench/mm_gone exit_mmap",
];

/// The tracer. It stays until the machine goes.
#[derive(Debug)]
pub(super) struct Clock(PathBuf);

/// A call of `out_of_memory` in which something was killed. Nanoseconds since boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kill {
    /// It was entered.
    pub(super) enter_ns: u64,
    /// `oom_kill_process` was entered: decided, nothing printed yet.
    pub(super) decided_ns: u64,
    /// It returned; 0: not seen.
    pub(super) leave_ns: u64,
    /// Threads that were marked.
    pub(super) marked: Vec<u32>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) kills: Vec<Kill>,
    /// By thread: `exit_mmap` returned.
    pub(super) gone: BTreeMap<u32, u64>,
}

impl Clock {
    pub(super) fn new() -> Result<Self> {
        let root = Path::new(ROOT);
        write(&root.join("options/record-cmd"), "0")?;
        let instance = root.join("instances").join(GROUP);
        fs::create_dir(&instance).with_context(|| format!("creating {}", instance.display()))?;
        for probe in PROBES {
            let path = root.join("kprobe_events");
            let mut file = fs::File::options().append(true).open(&path)?;
            file.write_all(probe.as_bytes()).with_context(|| format!("adding {probe:?}"))?;
        }
        let clock = Self(instance);
        clock.set("buffer_size_kb", "8192")?;
        clock.set("trace_clock", "boot")?;
        clock.set("events/oom/mark_victim/enable", "1")?;
        clock.set(&format!("events/{GROUP}/enable"), "1")?;
        Ok(clock)
    }

    /// What happened since the last time.
    pub(super) fn take(&self) -> Result<Seen> {
        let path = self.0.join("trace");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        self.set("trace", "")?;
        Ok(parse(&String::from_utf8_lossy(&text)))
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        write(&self.0.join(name), value)
    }
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("writing {value:?} to {}", path.display()))
}

fn parse(text: &str) -> Seen {
    let mut seen = Seen::default();
    let mut open: BTreeMap<u32, Kill> = BTreeMap::new();
    for line in trace::whole_lines(text) {
        let Some((tid, time_ns, event, fields)) = trace::line(&line) else { continue };
        match event {
            "enter" => drop(open.insert(tid, Kill { enter_ns: time_ns, ..Kill::default() })),
            "kill" => open.entry(tid).or_default().decided_ns = time_ns,
            "mark_victim" => {
                let pid = fields.split_whitespace().find_map(|field| field.strip_prefix("pid="));
                open.entry(tid).or_default().marked.extend(pid.and_then(|pid| pid.parse::<u32>().ok()));
            }
            "leave" => {
                if let Some(kill) = open.remove(&tid).filter(|kill| kill.decided_ns != 0) {
                    seen.kills.push(Kill { leave_ns: time_ns, ..kill });
                }
            }
            "mm_gone" => drop(seen.gone.insert(tid, time_ns)),
            _ => {}
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_kill_is_none_and_a_kill_has_its_times() {
        let text = "\
           <...>-81      [001] .....     4.000001: enter: (out_of_memory+0x0/0x4b0)
           <...>-81      [001] .....     4.000002: leave: (x+0x1/0x2 <- out_of_memory)
           <...>-81      [001] .....     5.000001: enter: (out_of_memory+0x0/0x4b0)
           <...>-81      [001] .....     5.000004: kill: (oom_kill_process+0x0/0x1)
           <...>-81      [001] .....     5.000007: mark_victim: pid=66 comm=x total-vm=1kB
           <...>-81      [001] .....     5.000009: leave: (x+0x1/0x2 <- out_of_memory)
           <...>-66      [000] .....     5.000100: mm_gone: (__mmput+0x3c/0x140 <- exit_mmap)
";
        let seen = parse(text);
        let times = |us: u64| 5_000_000_000 + us * 1000;
        let kill = Kill { enter_ns: times(1), decided_ns: times(4), leave_ns: times(9), marked: vec![66] };
        assert_eq!(seen.kills, vec![kill]);
        assert_eq!(seen.gone, BTreeMap::from([(66, times(100))]));
    }
}
