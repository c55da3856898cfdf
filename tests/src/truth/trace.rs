//! The text of an ftrace buffer: calls of `out_of_memory` and what happened inside of each.

use std::collections::BTreeMap;

/// One call of `out_of_memory`, from kprobes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// Thread that called it.
    pub(super) tid: u32,
    /// `oc->gfp_mask`.
    pub(super) gfp_mask: u32,
    /// `oc->order`.
    pub(super) order: i32,
    /// `oom_badness` calls: the task's address and the points.
    pub(super) candidates: Vec<(u64, i64)>,
    /// `oom_kill_process`.
    pub(super) kill: Option<KillCall>,
    /// `mark_victim` and `signal_generate` in order.
    pub(super) marked: Vec<u32>,
    /// Threads that SIGKILL was sent to.
    pub(super) signalled: Vec<u32>,
    /// When it was called, nanoseconds since boot.
    pub(super) time_ns: u64,
    /// What it returned, as a number; `None`: the return was not seen.
    pub(super) returned: Option<u64>,
}

/// A call of `oom_kill_process`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KillCall {
    /// `oc->chosen`: the task's address.
    pub(super) chosen: u64,
    /// `oc->chosen_points`.
    pub(super) points: i64,
    /// `oc->totalpages`.
    pub(super) total_pages: u64,
    /// `oc->constraint`.
    pub(super) constraint: u32,
    /// The message that it prints.
    pub(super) message: String,
}

/// Everything in the buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    /// Calls, in order.
    pub(super) calls: Vec<Call>,
    /// Addresses of tasks, from reads of `oom_score` outside of any call.
    pub(super) tasks: BTreeMap<u64, u32>,
    /// All marked threads, also where calls are not seen.
    pub(super) marked: Vec<u32>,
    /// Threads that gave memory back (`exit_mmap`), and when, nanoseconds since boot.
    pub(super) gone: Vec<(u32, u64)>,
}

/// Reads the buffer's text.
pub(super) fn parse(text: &str) -> Trace {
    let mut trace = Trace::default();
    let mut open: BTreeMap<u32, usize> = BTreeMap::new();
    // By context: the process whose `oom_score` is being read, the task that `oom_badness` was entered for.
    let mut reading: BTreeMap<u32, u32> = BTreeMap::new();
    let mut entered: BTreeMap<u32, u64> = BTreeMap::new();
    let lines = whole_lines(text);
    for (tid, time_ns, event, fields) in lines.iter().filter_map(|l| line(l)) {
        let call = open.get(&tid).copied().and_then(|index| trace.calls.get_mut(index));
        match event {
            "tracing_mark_write" => {
                if let Some(pid) = fields.strip_prefix("map ").and_then(|pid| pid.trim().parse().ok()) {
                    reading.insert(tid, pid);
                }
            }
            "call" => {
                open.insert(tid, trace.calls.len());
                let (gfp_mask, order) = (hex(fields, "gfp") as u32, signed(fields, "order") as i32);
                trace.calls.push(Call { tid, gfp_mask, order, time_ns, ..Call::default() });
            }
            "mm_gone" => trace.gone.push((tid, time_ns)),
            "call_ret" => {
                if let Some(call) = call {
                    call.returned = Some(hex(fields, "ret"));
                }
                open.remove(&tid);
            }
            "badness" => {
                let task = hex(fields, "task");
                entered.insert(tid, task);
                if call.is_none()
                    && let Some(pid) = reading.remove(&tid)
                {
                    trace.tasks.insert(task, pid);
                }
            }
            "badness_ret" => {
                if let (Some(call), Some(task)) = (call, entered.remove(&tid)) {
                    call.candidates.push((task, signed(fields, "points")));
                }
            }
            "kill" => {
                if let Some(call) = call {
                    call.kill = Some(KillCall {
                        chosen: hex(fields, "chosen"),
                        points: signed(fields, "points"),
                        total_pages: signed(fields, "total").cast_unsigned(),
                        constraint: signed(fields, "constraint") as u32,
                        message: fields
                            .split_once("msg=")
                            .map_or("", |(_, m)| m)
                            .trim_matches('"')
                            .to_owned(),
                    });
                }
            }
            "mark_victim" => {
                let marked = signed(fields, "pid") as u32;
                trace.marked.push(marked);
                if let Some(call) = call {
                    call.marked.push(marked);
                }
            }
            "signal_generate" => {
                // The command name comes before it and may look like anything.
                let pid = fields
                    .rsplit_once(" pid=")
                    .and_then(|(_, rest)| rest.split_once(" grp=")?.0.parse().ok());
                if let (Some(call), Some(pid)) = (call, pid) {
                    call.signalled.push(pid);
                }
            }
            _ => {}
        }
    }
    trace
}

/// Events, one each: a command name may hold newlines.
pub(crate) fn whole_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for next in text.lines().filter(|l| !l.starts_with('#')) {
        match lines.last_mut() {
            Some(last) if line(next).is_none() => {
                last.push('\n');
                last.push_str(next);
            }
            _ => lines.push(next.to_owned()),
        }
    }
    lines
}

/// `           <...>-190     [001] d..1.    12.345678: event: fields`.
pub(crate) fn line(line: &str) -> Option<(u32, u64, &str, &str)> {
    let (task, rest) = line.split_once(" [")?;
    let tid = task.trim_end().rsplit_once('-')?.1.parse().ok()?;
    let (cpu, rest) = rest.split_once(']')?;
    cpu.parse::<u32>().ok()?;
    let (time, rest) = rest.split_once(": ")?;
    let (seconds, micros) = time.rsplit_once(' ')?.1.split_once('.')?;
    let time_ns = (seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?) * 1000;
    let (event, fields) = rest.split_once(": ")?;
    Some((tid, time_ns, event.trim(), fields))
}

fn value<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields.split_ascii_whitespace().find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

fn hex(fields: &str, name: &str) -> u64 {
    let value = value(fields, name).and_then(|v| v.strip_prefix("0x"));
    value.and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or_default()
}

fn signed(fields: &str, name: &str) -> i64 {
    value(fields, name).and_then(|v| v.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# tracer: nop
           <...>-70      [000] .....     3.000001: tracing_mark_write: map 66
           <...>-70      [000] .....     3.000002: badness: (oom_badness+0x0/0x170) task=0xffff0066 total=1000
           <...>-70      [000] .....     3.000003: badness_ret: (proc_oom_score+0x3c/0x80 <- oom_badness) points=5
           <...>-81      [001] .....     4.000001: call: (out_of_memory+0x0/0x4b0) gfp=0x140dca order=0
           <...>-81      [001] .....     4.000002: badness: (oom_badness+0x0/0x170) task=0xffff0066 total=1000
           <...>-81      [001] .....     4.000003: badness_ret: (oom_evaluate_task+0x3c/0x80 <- oom_badness) points=-9223372036854775808
           <...>-81      [001] .....     4.000004: kill: (oom_kill_process+0x0/0x1) chosen=0xffff0066 points=77 total=1000 constraint=3 msg=\"Memory cgroup out of memory\"
           <...>-81      [001] d....     4.000005: signal_generate: sig=9 errno=0 code=128 comm=a pid=1
b pid=2 grp=3 pid=66 grp=1 res=0
           <...>-81      [001] d....     4.000006: signal_generate: sig=9 errno=0 code=128 comm=a pid=1 pid=66 grp=1 res=0
           <...>-81      [001] .....     4.000007: mark_victim: pid=66 comm=x total-vm=1kB
           <...>-81      [001] .....     4.000008: call_ret: (mem_cgroup_out_of_memory+0x1/0x2 <- out_of_memory) ret=0x1
           <...>-66      [000] .....     4.000100: mm_gone: (__mmput+0x3c/0x140 <- exit_mmap)
";

    #[test]
    fn a_call_holds_what_happened_inside_of_it() {
        let trace = parse(TEXT);
        assert_eq!(trace.tasks, BTreeMap::from([(0xffff_0066, 66)]));
        let kill = KillCall {
            chosen: 0xffff_0066,
            points: 77,
            total_pages: 1000,
            constraint: 3,
            message: "Memory cgroup out of memory".into(),
        };
        let call = Call {
            tid: 81,
            gfp_mask: 0x0014_0dca,
            order: 0,
            time_ns: 4_000_001_000,
            candidates: vec![(0xffff_0066, i64::MIN)],
            kill: Some(kill),
            marked: vec![66],
            signalled: vec![66, 66],
            returned: Some(1),
        };
        assert_eq!(trace.calls, vec![call]);
        assert_eq!(trace.gone, vec![(66, 4_000_100_000)]);
    }
}
