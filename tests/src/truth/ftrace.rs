//! An ftrace instance of our own, with tracepoints and, where the kernel has them, kprobes on the OOM path.

use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/kernel/tracing";
const GROUP: &str = "oomcases";

/// Offsets in `struct oom_control` (`include/linux/oom.h`): zonelist 0, nodemask 8, memcg 16, `gfp_mask` 24, order 28,
/// totalpages 32, chosen 40, `chosen_points` 48, constraint 56. The same from 5.10 to 7.3.
const PROBES: [&str; 6] = [
    "p:oomcases/call out_of_memory gfp=+24($arg1):x32 order=+28($arg1):s32",
    "r:oomcases/call_ret out_of_memory ret=$retval:x8",
    "p:oomcases/badness oom_badness task=$arg1:x64",
    "r:oomcases/badness_ret oom_badness points=$retval:s64",
    "p:oomcases/kill oom_kill_process chosen=+40($arg1):x64 points=+48($arg1):s64 total=+32($arg1):u64 \
     constraint=+56($arg1):s32 msg=+0($arg2):string",
    "r:oomcases/mm_gone exit_mmap",
];

/// The tracer. Everything is taken back when it is dropped.
#[derive(Debug)]
pub(crate) struct Tracer {
    instance: PathBuf,
    /// Calls can be seen, not only tracepoints.
    pub(crate) has_kprobes: bool,
}

impl Tracer {
    /// Sets everything up, with kprobes if they are wanted and there; `Ok(None)` where there is no tracefs.
    pub(crate) fn new(kprobes: bool) -> Result<Option<Self>> {
        let root = Path::new(ROOT);
        if !root.join("instances").is_dir() {
            return Ok(None);
        }
        // Command names in the left column would have to be told from what follows them.
        write(&root.join("options/record-cmd"), "0")?;
        let instance = root.join("instances").join(GROUP);
        if !instance.is_dir() {
            std::fs::create_dir(&instance).with_context(|| format!("creating {}", instance.display()))?;
        }
        let probes = root.join("kprobe_events");
        let has_kprobes =
            kprobes && probes.exists() && PROBES.iter().all(|probe| append(&probes, probe).is_ok());
        let tracer = Self { instance, has_kprobes };
        tracer.set("buffer_size_kb", "4096")?;
        tracer.set("trace_clock", "boot")?;
        tracer.set("events/signal/signal_generate/filter", "sig == 9")?;
        tracer.set("events/signal/signal_generate/enable", "1")?;
        tracer.set("events/oom/mark_victim/enable", "1")?;
        if has_kprobes {
            tracer.set(&format!("events/{GROUP}/enable"), "1")?;
        }
        tracer.clear()?;
        Ok(Some(tracer))
    }

    /// Forgets what was seen.
    pub(crate) fn clear(&self) -> Result<()> {
        self.set("trace", "")
    }

    /// Has the kernel compute each process's points, so that their tasks' addresses are in the trace.
    pub(crate) fn map_tasks(&self, pids: &[u32]) {
        for pid in pids {
            // A process that is gone has no address; the mark before it is then replaced by the next.
            if self.set("trace_marker", &format!("map {pid}")).is_ok() {
                let _gone = std::fs::read(format!("/proc/{pid}/oom_score"));
            }
        }
    }

    /// What was seen, and whether the buffer lost some of it.
    pub(crate) fn read(&self) -> Result<(String, bool)> {
        let path = self.instance.join("trace");
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut lost = false;
        for entry in
            std::fs::read_dir(self.instance.join("per_cpu")).context("reading per_cpu of the trace")?
        {
            let stats =
                std::fs::read_to_string(entry?.path().join("stats")).context("reading stats of the trace")?;
            lost |= stats.lines().any(|line| {
                let (name, value) = line.split_once(": ").unwrap_or_default();
                matches!(name, "overrun" | "dropped events") && value.trim() != "0"
            });
        }
        Ok((String::from_utf8_lossy(&text).into_owned(), lost))
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        write(&self.instance.join(name), value)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // What cannot be taken back is no reason to fail: the machine is a throwaway one, or has no kprobes.
        let _ = self.set("events/enable", "0");
        let _ = std::fs::remove_dir(&self.instance);
        let probes = Path::new(ROOT).join("kprobe_events");
        for probe in PROBES {
            if let Some(name) = probe.split([':', ' ']).nth(1) {
                let _ = append(&probes, &format!("-:{name}"));
            }
        }
        let _ = write(&Path::new(ROOT).join("options/record-cmd"), "1");
    }
}

fn write(path: &Path, value: &str) -> Result<()> {
    std::fs::write(path, value).with_context(|| format!("writing {value:?} to {}", path.display()))
}

fn append(path: &Path, value: &str) -> Result<()> {
    let mut file =
        OpenOptions::new().append(true).open(path).with_context(|| format!("opening {}", path.display()))?;
    file.write_all(value.as_bytes()).with_context(|| format!("adding {value:?} to {}", path.display()))
}
