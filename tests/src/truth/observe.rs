//! From what was seen to the truth. Pure.

use super::log::{self, Line};
use super::model::{Candidate, Decision, Kill, Report, Row, Scope, Trigger, Victim};
use super::procfs::Processes;
use super::trace::{self, Call, KillCall, Trace};
use std::collections::BTreeSet;

/// What was seen during one case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen<'a> {
    /// Messages of the kernel's log.
    pub(crate) messages: &'a [String],
    /// Text of the trace, where there is one.
    pub(crate) trace: Option<&'a str>,
    /// Whether calls of `out_of_memory` are in it.
    pub(crate) has_kprobes: bool,
    /// The processes before.
    pub(crate) before: Processes,
    /// Processes known to live in the memory of another one: (this, that).
    pub(crate) sharers: Vec<(u32, u32)>,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) kills: Vec<Kill>,
    pub(crate) none_killable: u32,
    pub(crate) already_dying: Vec<u32>,
    pub(crate) doubts: Vec<String>,
}

/// A kill as the log tells it.
#[derive(Clone, Debug, Default)]
struct Logged {
    trigger: Option<Trigger>,
    constraint: Option<String>,
    oom_memcg: Option<String>,
    chosen: Option<u32>,
    killed: Vec<(u32, Vec<u8>, [u64; 3])>,
    table: Vec<Row>,
    report: Option<Report>,
    is_group: bool,
    is_memcg: bool,
}

/// Puts it together.
pub(crate) fn tell(seen: &Seen<'_>) -> Told {
    let trace = seen.trace.map(trace::parse);
    // Who died of which call, where the trace has calls.
    let died: Option<Vec<BTreeSet<u32>>> = trace.as_ref().filter(|_| seen.has_kprobes).map(|trace| {
        let kills = trace.calls.iter().filter(|call| call.kill.is_some() && !call.signalled.is_empty());
        kills.map(|call| call.signalled.iter().chain(&call.marked).copied().collect()).collect()
    });
    let (logged, none_killable) = read_log(&log::whole(seen.messages), died.as_deref());
    let mut told = match &trace {
        Some(trace) if seen.has_kprobes => from_calls(seen, trace, &logged),
        _ => Told { kills: logged.iter().map(|kill| from_log(seen, kill)).collect(), ..Told::default() },
    };
    told.none_killable = none_killable;
    if told.kills.len() != logged.len() {
        let (kills, lines) = (told.kills.len(), logged.len());
        told.doubts.push(format!("the trace has {kills} kills, the log {lines}"));
    }
    if let Some(trace) = &trace {
        let marked: BTreeSet<u32> = trace.marked.iter().copied().collect();
        for victim in told.kills.iter().flat_map(|kill| &kill.victims) {
            if victim.role != "shared_memory" && !marked.contains(&victim.tid) {
                told.doubts.push(format!("victim {} was never marked", victim.tid));
            }
        }
    }
    told
}

/// `died`: who, by kill. Without it a line after a group kill is taken for one more of its members.
fn read_log(messages: &[String], died: Option<&[BTreeSet<u32>]>) -> (Vec<Logged>, u32) {
    let mut kills: Vec<Logged> = Vec::new();
    let mut report = Logged::default();
    let mut none_killable = 0;
    for message in messages {
        if let Some(its) = &mut report.report {
            its.counters
                .extend(log::counter(message).map(|(name, usage, limit)| (name.into(), (usage, limit))));
            // Those of v1's come in another shape.
            if its.counter.as_ref().is_some_and(|(name, _)| name == "anon_bytes")
                || message.starts_with("anon ")
            {
                its.stats.extend(log::stats(message));
            }
        }
        let Some(line) = log::line(message, rustix::param::page_size() as u64) else { continue };
        match line {
            Line::Invoked { comm, gfp_mask, gfp_flags, order } => {
                let trigger = Trigger { pid: None, tid: 0, comm: Some(comm), gfp_mask, order };
                let its = Report { gfp_flags, ..Report::default() };
                report = Logged { trigger: Some(trigger), report: Some(its), ..Logged::default() };
            }
            Line::Counter(name, bytes) => {
                if let Some(its) = &mut report.report {
                    its.counter.get_or_insert((name.to_owned(), bytes));
                }
            }
            Line::Cpu { tid } => {
                if let Some(trigger) = report.trigger.as_mut().filter(|trigger| trigger.tid == 0) {
                    trigger.tid = tid;
                }
            }
            Line::Row(row) => report.table.push(row),
            Line::Kill { constraint, oom_memcg, pid, text } => {
                if let Some(its) = &mut report.report {
                    its.summary = text;
                }
                report.constraint = Some(constraint);
                report.oom_memcg = oom_memcg;
                report.chosen = Some(pid);
            }
            Line::Killed { is_memcg, pid, comm, rss_kb } => {
                // Within a group kill it is one more member, otherwise a kill of its own.
                let member = kills.len().checked_sub(1).is_some_and(|index| {
                    died.is_none_or(|died| died.get(index).is_some_and(|died| died.contains(&pid)))
                });
                match kills.last_mut() {
                    Some(kill) if kill.is_group && report.chosen.is_none() && member => {
                        kill.killed.push((pid, comm, rss_kb));
                    }
                    _ => kills.push(Logged {
                        is_memcg,
                        killed: vec![(pid, comm, rss_kb)],
                        ..std::mem::take(&mut report)
                    }),
                }
            }
            Line::Group => {
                if let Some(kill) = kills.last_mut() {
                    kill.is_group = true;
                }
            }
            Line::NoneKillable => {
                none_killable += 1;
                report = Logged::default();
            }
        }
    }
    (kills, none_killable)
}

fn from_calls(seen: &Seen<'_>, trace: &Trace, logged: &[Logged]) -> Told {
    let mut told = Told::default();
    let mut logged = logged.iter();
    for call in &trace.calls {
        let Some(kill) = &call.kill else {
            told.already_dying.extend(&call.marked);
            continue;
        };
        if call.signalled.is_empty() {
            told.already_dying.extend(&call.marked);
            continue;
        }
        let empty = Logged::default();
        let log = logged.next().unwrap_or(&empty);
        told.kills.push(from_call(seen, trace, call, kill, log, &mut told.doubts));
    }
    told
}

fn from_call(
    seen: &Seen<'_>,
    trace: &Trace,
    call: &Call,
    kill: &KillCall,
    log: &Logged,
    doubts: &mut Vec<String>,
) -> Kill {
    let first = call.marked.first().or(call.signalled.first()).copied().unwrap_or_default();
    // What was started since has no address on record, and an address may be used again: the victim's comes first.
    let pid_at = |task: u64| {
        if task == kill.chosen { Some(process_of(seen, first)) } else { trace.tasks.get(&task).copied() }
    };
    let decided = process_of(seen, first);
    if log.killed.first().map(|(pid, ..)| *pid) != Some(first) {
        doubts
            .push(format!("the trace kills {first}, the log {:?}", log.killed.first().map(|(pid, ..)| *pid)));
    }
    if let Some(trigger) = log.trigger.as_ref().filter(|trigger| trigger.tid != call.tid) {
        doubts.push(format!("in the trace {} asked, in the log {}", call.tid, trigger.tid));
    }
    if let Some(pid) = log.chosen.filter(|pid| *pid != decided) {
        doubts.push(format!("the trace chooses {decided}, the log's oom-kill line {pid}"));
    }
    let mut victims: Vec<Victim> = Vec::new();
    for tid in call.signalled.iter().chain(&call.marked) {
        let pid = process_of(seen, *tid);
        if victims.iter().all(|victim| victim.pid != pid) {
            let role = match (pid == decided, call.marked.contains(tid)) {
                (true, _) => "selected",
                (false, true) => "group",
                (false, false) => "shared_memory",
            };
            victims.push(victim(seen, *tid, role, log));
        }
    }
    let kind = match (call.order, kill.constraint) {
        (-1, _) => "sysrq",
        (_, 0) => "global",
        (_, 1) => "cpuset",
        (_, 2) => "memory_policy",
        (_, 3) => "memcg",
        _ => "unknown",
    };
    let is_named = |(task, points): &(u64, i64)| *points == i64::MIN || pid_at(*task).is_some();
    let candidate = |(task, points): &(u64, i64)| {
        Some(Candidate { pid: pid_at(*task)?, points: Some(*points).filter(|p| *p != i64::MIN) })
    };
    // Of those that came after the last look only the address is known: then the kernel's table is left.
    let named = call.candidates.iter().all(is_named);
    let candidates = call.candidates.iter().filter(|_| named).filter_map(candidate).collect();
    let rule = rule(&kill.message, call.order);
    let memory_back_ns = memory_back_ns(seen, trace, call, &victims);
    Kill {
        victims,
        trigger: Some(Trigger {
            pid: known_process_of(seen, call.tid).or(Some(call.tid).filter(|tid| *tid == first)),
            tid: call.tid,
            comm: match &log.trigger {
                Some(trigger) => trigger.comm.clone(),
                None => seen
                    .before
                    .values()
                    .find_map(|process| process.threads.get(&call.tid).cloned())
                    .or_else(|| log.killed.iter().find(|(tid, ..)| *tid == call.tid).map(|k| k.1.clone())),
            },
            gfp_mask: call.gfp_mask,
            order: call.order,
        }),
        scope: Scope { kind: kind.into(), cgroup: log.oom_memcg.clone(), cgroup_id: None },
        total_pages: Some(kill.total_pages),
        decision: Decision {
            rule: rule.into(),
            pid: decided,
            points: Some(kill.points).filter(|_| rule != "allocating_task"),
        },
        candidates,
        table: log.table.clone(),
        report: log.report.clone(),
        log_gone: false,
        memory_back_ns,
        afterwards: None,
    }
}

/// When the last of the victims gave its memory back. Of those that share it, one does; if somebody else did, who looked
/// at it, it is not known.
fn memory_back_ns(seen: &Seen<'_>, trace: &Trace, call: &Call, victims: &[Victim]) -> Option<u64> {
    // The buffer is in order.
    let begin = trace.gone.partition_point(|(_, ns)| *ns < call.time_ns);
    let after = trace.gone.get(begin..).unwrap_or_default();
    let gave = |pid: u32| after.iter().find(|(tid, _)| process_of(seen, *tid) == pid).map(|(_, ns)| *ns);
    let shared = victims.iter().any(|victim| victim.role == "shared_memory");
    let times: Vec<u64> = victims.iter().filter_map(|victim| gave(victim.pid)).collect();
    let whole = if shared { !times.is_empty() } else { times.len() == victims.len() };
    times.into_iter().max().filter(|_| whole)
}

fn from_log(seen: &Seen<'_>, log: &Logged) -> Kill {
    let mut victims: Vec<Victim> = Vec::new();
    for (tid, ..) in &log.killed {
        let role = if victims.is_empty() { "selected" } else { "group" };
        if victims.iter().all(|victim| victim.tid != *tid) {
            victims.push(victim(seen, *tid, role, log));
        }
    }
    for (one, other) in &seen.sharers {
        for (dead, sharer) in [(one, other), (other, one)] {
            if victims.first().is_some_and(|v| v.pid == *dead) {
                victims.push(victim(seen, *sharer, "shared_memory", log));
            }
        }
    }
    let order = log.trigger.as_ref().map_or(0, |trigger| trigger.order);
    let kind = match (order, log.constraint.as_deref()) {
        (-1, _) => "sysrq",
        (_, Some("CONSTRAINT_NONE")) => "global",
        (_, Some("CONSTRAINT_CPUSET")) => "cpuset",
        (_, Some("CONSTRAINT_MEMORY_POLICY")) => "memory_policy",
        (_, Some("CONSTRAINT_MEMCG")) => "memcg",
        (_, None) if log.is_memcg => "memcg",
        _ => "unknown",
    };
    let trigger =
        log.trigger.clone().map(|trigger| Trigger { pid: known_process_of(seen, trigger.tid), ..trigger });
    let pid = victims.first().map(|victim| victim.pid).unwrap_or_default();
    Kill {
        victims,
        trigger,
        scope: Scope { kind: kind.into(), cgroup: log.oom_memcg.clone(), cgroup_id: None },
        total_pages: None,
        decision: Decision { rule: rule("", order).into(), pid, points: None },
        candidates: Vec::new(),
        table: log.table.clone(),
        report: log.report.clone(),
        log_gone: false,
        memory_back_ns: None,
        afterwards: None,
    }
}

fn rule(message: &str, order: i32) -> &'static str {
    if order == -1 {
        "sysrq"
    } else if message.contains("oom_kill_allocating_task") {
        "allocating_task"
    } else {
        "highest_points"
    }
}

fn victim(seen: &Seen<'_>, tid: u32, role: &str, log: &Logged) -> Victim {
    let pid = process_of(seen, tid);
    let before = seen.before.get(&pid);
    let line = log.killed.iter().find(|(killed, ..)| *killed == tid);
    let comm = before.and_then(|process| process.threads.get(&tid).cloned());
    Victim {
        pid,
        tid,
        comm: comm.or_else(|| line.map(|(_, comm, _)| comm.clone())),
        role: role.into(),
        uid: before.and_then(|process| process.uid),
        oom_score_adj: before.and_then(|process| process.oom_score_adj),
        cgroup: before.and_then(|process| process.cgroup.clone()),
        rss_kb: line.map(|(_, _, rss_kb)| *rss_kb),
    }
}

/// The process that a thread belongs to. What was started since `before` is taken for its own leader.
fn process_of(seen: &Seen<'_>, tid: u32) -> u32 {
    known_process_of(seen, tid).unwrap_or(tid)
}

fn known_process_of(seen: &Seen<'_>, tid: u32) -> Option<u32> {
    seen.before.iter().find(|(_, process)| process.threads.contains_key(&tid)).map(|(pid, _)| *pid)
}
