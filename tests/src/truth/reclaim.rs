//! Every round of reclaim, one by one, from an ftrace instance of its own: what an agent sums up can be counted from it.

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/kernel/tracing";
const GROUP: &str = "oomreclaim";

/// Which cgroup a round is for, and which one was full: `oc->memcg`, see [`super::ftrace`] for the offset.
const PROBES: [&str; 2] = [
    "p:oomreclaim/entry out_of_memory memcg=+16($arg1):x64",
    "p:oomreclaim/for try_to_free_mem_cgroup_pages memcg=$arg1:x64",
];

/// Tracepoints that every kernel has, with what is kept of them: the short name and its numbers.
const EVENTS: [(&str, &str, &[&str]); 13] = [
    ("vmscan/mm_vmscan_direct_reclaim_begin", "direct_begin", &[]),
    ("vmscan/mm_vmscan_direct_reclaim_end", "direct_end", &["nr_reclaimed"]),
    ("vmscan/mm_vmscan_memcg_reclaim_begin", "memcg_begin", &[]),
    ("vmscan/mm_vmscan_memcg_reclaim_end", "memcg_end", &["nr_reclaimed"]),
    ("vmscan/mm_vmscan_lru_shrink_inactive", "shrink", &["nr_scanned", "nr_reclaimed"]),
    ("vmscan/mm_vmscan_kswapd_wake", "kswapd_wake", &[]),
    ("vmscan/mm_vmscan_kswapd_sleep", "kswapd_sleep", &[]),
    // As the kernel spells it.
    ("vmscan/mm_vmscan_throttled", "throttled", &["usect_delayed"]),
    (
        "oom/reclaim_retry_zone",
        "zone",
        &["node", "zone", "reclaimable", "available", "min_wmark", "no_progress_loops", "wmark_check"],
    ),
    ("oom/compact_retry", "compact", &[]),
    ("compaction/mm_compaction_begin", "compaction_begin", &[]),
    ("compaction/mm_compaction_end", "compaction_end", &["status"]),
    ("oomreclaim/entry", "entry", &["memcg"]),
];
const FOR: (&str, &str, &[&str]) = ("oomreclaim/for", "for", &["memcg"]);
/// Not before 5.16.
const LATER: &str = "mm_vmscan_throttled";

/// How much of the past is kept: the longest window is 60 s.
const KEPT_US: u64 = 75_000_000;

/// The tracer. Everything is taken back when it is dropped.
#[derive(Debug)]
pub(crate) struct ReclaimTracer {
    instance: PathBuf,
    pipe: File,
    /// Cgroups are in it.
    has_kprobes: bool,
    seen: RefCell<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Microseconds since boot, and the line.
    lines: Vec<(u64, String)>,
    rest: String,
}

impl ReclaimTracer {
    /// Begins to record; `Ok(None)` where there is no tracefs.
    pub(crate) fn new(kprobes: bool) -> Result<Option<Self>> {
        let root = Path::new(ROOT);
        if !root.join("instances").is_dir() {
            return Ok(None);
        }
        let instance = root.join("instances").join(GROUP);
        if !instance.is_dir() {
            fs::create_dir(&instance).with_context(|| format!("creating {}", instance.display()))?;
        }
        let probes = root.join("kprobe_events");
        let has_kprobes =
            kprobes && probes.exists() && PROBES.iter().all(|probe| append(&probes, probe).is_ok());
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(instance.join("trace_pipe"))
            .context("opening trace_pipe")?;
        let tracer = Self { instance, pipe, has_kprobes, seen: RefCell::default() };
        tracer.set("buffer_size_kb", "6144")?;
        tracer.set("trace_clock", "boot")?;
        for (event, ..) in EVENTS.iter().chain([&FOR]) {
            let wanted = has_kprobes || !event.starts_with(GROUP);
            if wanted && (!event.ends_with(LATER) || tracer.instance.join("events").join(event).exists()) {
                tracer.set(&format!("events/{event}/enable"), "1")?;
            }
        }
        Ok(Some(tracer))
    }

    /// A case begins: what was long before it is forgotten.
    pub(crate) fn begin(&self) -> Result<()> {
        self.collect()?;
        let mut seen = self.seen.borrow_mut();
        let newest = seen.lines.last().map_or(0, |(time, _)| *time);
        seen.lines.retain(|(time, _)| time + KEPT_US >= newest);
        Ok(())
    }

    /// What happened since 75 s before the case, one event a line: microseconds since boot, thread, name, numbers. The first
    /// lines say what is in it. And whether some was lost.
    pub(crate) fn read(&self) -> Result<(String, bool)> {
        self.collect()?;
        let seen = self.seen.borrow();
        let mut text = format!("kprobes {}\n", u8::from(self.has_kprobes));
        for pid in super::procfs::pids()? {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            for name in ["kswapd", "kcompactd"] {
                let number = comm.trim_end().strip_prefix(name);
                if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
                    let _ = writeln!(text, "{name} {pid}");
                }
            }
        }
        for (_, line) in &seen.lines {
            text.push_str(line);
            text.push('\n');
        }
        let mut lost = false;
        for entry in fs::read_dir(self.instance.join("per_cpu")).context("reading per_cpu of the trace")? {
            let stats =
                fs::read_to_string(entry?.path().join("stats")).context("reading stats of the trace")?;
            lost |= stats.lines().any(|line| {
                let (name, value) = line.split_once(": ").unwrap_or_default();
                matches!(name, "overrun" | "dropped events") && value.trim() != "0"
            });
        }
        Ok((text, lost))
    }

    fn collect(&self) -> Result<()> {
        let mut seen = self.seen.borrow_mut();
        let mut buffer = vec![0; 65536];
        loop {
            match (&self.pipe).read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let text = buffer.get(..length).unwrap_or_default();
                    seen.rest.push_str(&String::from_utf8_lossy(text));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading trace_pipe"),
            }
            let whole = seen.rest.rfind('\n').map_or(0, |end| end + 1);
            let rest = seen.rest.split_off(whole);
            let text = std::mem::replace(&mut seen.rest, rest);
            seen.lines.extend(text.lines().filter_map(event));
        }
        Ok(())
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = self.instance.join(name);
        fs::write(&path, value).with_context(|| format!("writing {value:?} to {}", path.display()))
    }
}

impl Drop for ReclaimTracer {
    fn drop(&mut self) {
        // What cannot be taken back is no reason to fail: the machine is a throwaway one, or has no kprobes. An open
        // `trace_pipe` keeps the instance, which then ends with the machine.
        let _ = self.set("events/enable", "0");
        let probes = Path::new(ROOT).join("kprobe_events");
        for probe in PROBES {
            if let Some(name) = probe.split([':', ' ']).nth(1) {
                let _ = append(&probes, &format!("-:{name}"));
            }
        }
        let _ = fs::remove_dir(&self.instance);
    }
}

/// `           <...>-190     [001] d..1.    12.345678: event: fields`, shortened.
fn event(line: &str) -> Option<(u64, String)> {
    let (task, rest) = line.split_once(" [")?;
    let tid: u32 = task.trim_end().rsplit_once('-')?.1.parse().ok()?;
    let (head, rest) = rest.split_once(": ")?;
    let (seconds, micros) = head.rsplit_once(' ')?.1.split_once('.')?;
    let time = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    let (event, fields) =
        rest.split_once(": ").or_else(|| rest.strip_suffix(':').map(|event| (event, "")))?;
    let known =
        |(path, ..): &&(&str, &str, &[&str])| path.rsplit_once('/').is_some_and(|(_, name)| name == event);
    let (_, short, numbers) = EVENTS.iter().chain([&FOR]).find(known)?;
    let mut text = format!("{time} {tid} {short}");
    for name in *numbers {
        let mut words = fields.split_ascii_whitespace();
        let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let _ = write!(text, " {}", value.unwrap_or("?"));
    }
    Some((time, text))
}

fn append(path: &Path, value: &str) -> Result<()> {
    let mut file =
        OpenOptions::new().append(true).open(path).with_context(|| format!("opening {}", path.display()))?;
    file.write_all(value.as_bytes()).with_context(|| format!("adding {value:?} to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_time_its_thread_and_its_numbers() {
        for (line, kept) in [
            (
                "           <...>-81      [001] .....     4.000008: mm_vmscan_memcg_reclaim_end: nr_reclaimed=31 memcg_id=3",
                Some("4000008 81 memcg_end 31"),
            ),
            (
                "     a-b] [x-7-81   [001] d..1. 14.100008: mm_vmscan_lru_shrink_inactive: nid=0 nr_scanned=32 nr_reclaimed=5 x",
                None,
            ),
            (
                "     <...>-7   [001] d..1. 14.100008: mm_vmscan_lru_shrink_inactive: nid=0 nr_scanned=32 nr_reclaimed=5 x",
                Some("14100008 7 shrink 32 5"),
            ),
            (
                "  <...>-7  [001] ..... 1.000001: reclaim_retry_zone: node=0 zone=DMA32    order=0 reclaimable=4 available=9 \
                 min_wmark=44 no_progress_loops=16 wmark_check=0",
                Some("1000001 7 zone 0 DMA32 4 9 44 16 0"),
            ),
            ("  <...>-7  [001] ..... 1.000001: for: (f+0x0/0x1) memcg=0xff01", Some("1000001 7 for 0xff01")),
            (
                "  <...>-7  [001] ..... 1.000001: mm_compaction_end: zone_start=0x1 migrate_pfn=0x2 free_pfn=0x3 zone_end=0x4, \
                 mode=sync status=complete",
                Some("1000001 7 compaction_end complete"),
            ),
            ("CPU:1 [LOST 12 EVENTS]", None),
        ] {
            assert_eq!(event(line).map(|(_, text)| text).as_deref(), kept, "{line}");
        }
    }
}
