//! Sums of reclaim in an incident against every single round, counted again.

use super::sum::{Event, Sum};
use super::{Findings, says};
use crate::truth::model::Truth;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// ftrace and BPF look at the clock one after the other in the same tracepoint: an event this close to the edge of a
/// window, microseconds, may be on either side of it.
const EDGE_US: u64 = 100;
/// Where the processor of the call stands still, between its look at the clock and its copy of the sums, all that ends
/// meanwhile is in it: seen for 1.6 ms.
const COPY_US: u64 = 5_000;
/// So long a task may be kept from a processor between the two looks where a case overloads the VM.
pub(super) const OVERLOADED_US: u64 = 1_000_000;
/// Times are compared less exactly: between the two looks at the clock the host of an emulated CPU may do something else.
/// So much for each round, a twentieth, and this.
const ROUND_NS: u64 = 100_000;
const PAUSE_NS: u64 = 50_000_000;
/// The entry that both saw, microseconds. The nearest one by that thread is meant.
const ENTRY_US: u64 = 50_000;
/// A pause that begins a new series of a thread's rounds, microseconds.
const SERIES_US: u64 = 10_000_000;

/// Time and the zone as text, or `None`: the end of a round.
pub(super) type Look = (u64, Option<Vec<String>>);

/// What the trace holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    has_kprobes: bool,
    pub(super) rounds: Vec<Round>,
    pub(super) others: Vec<Counted>,
    /// Time, thread, cgroup.
    entries: Vec<(u64, u32, String)>,
    /// By thread, in order.
    pub(super) zones: BTreeMap<u32, Vec<Look>>,
    pub(super) compactions: Vec<(u64, u32)>,
    pub(super) compacted: Vec<Compacted>,
    first_us: u64,
}

/// What is only counted, and its two numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    time_us: u64,
    tid: u32,
    what: Other,
    numbers: [u64; 2],
}

impl Counted {
    pub(super) fn event(&self) -> Event<2> {
        (self.time_us, self.tid, self.numbers)
    }
}

/// A run of compaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compacted {
    tid: u32,
    begin_us: u64,
    end_us: u64,
    success: bool,
    pub(super) background: bool,
}

impl Compacted {
    /// When it ended, and what is summed up: runs, time in nanoseconds, success.
    pub(super) fn event(&self) -> Event<3> {
        (self.end_us, self.tid, [1, (self.end_us - self.begin_us) * 1000, u64::from(self.success)])
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) tid: u32,
    pub(super) begin_us: u64,
    pub(super) end_us: u64,
    pub(super) direct: bool,
    cgroup: Option<String>,
    pub(super) scanned: u64,
    pub(super) reclaimed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    Wake,
    Sleep,
    KswapdPages,
    Throttled,
}

impl Trace {
    /// Reads `reclaim.txt`.
    pub(super) fn parse(text: &str) -> Self {
        let mut trace = Self { first_us: u64::MAX, ..Self::default() };
        let mut kswapd = BTreeSet::new();
        let mut open: BTreeMap<u32, Round> = BTreeMap::new();
        let mut cgroup: BTreeMap<u32, String> = BTreeMap::new();
        let (mut kcompactd, mut compacting) = (BTreeSet::new(), BTreeMap::new());
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number =
                |index: usize| words.get(index).and_then(|w| w.parse::<u64>().ok()).unwrap_or_default();
            match words.as_slice() {
                ["kprobes", has] => trace.has_kprobes = *has == "1",
                ["kswapd", _] => drop(kswapd.insert(number(1) as u32)),
                ["kcompactd", _] => drop(kcompactd.insert(number(1) as u32)),
                [_, _, event, rest @ ..] => {
                    let (time, tid) = (number(0), number(1) as u32);
                    trace.first_us = trace.first_us.min(time);
                    match *event {
                        "for" => drop(cgroup.insert(tid, rest.concat())),
                        "direct_begin" | "memcg_begin" => {
                            let direct = *event == "direct_begin";
                            let cgroup = cgroup.remove(&tid).filter(|_| !direct);
                            open.insert(
                                tid,
                                Round { tid, begin_us: time, direct, cgroup, ..Round::default() },
                            );
                        }
                        "direct_end" | "memcg_end" => {
                            trace.zones.entry(tid).or_default().push((time, None));
                            if let Some(round) = open.remove(&tid) {
                                trace.rounds.push(Round { end_us: time, reclaimed: number(3), ..round });
                            }
                        }
                        "shrink" => {
                            if let Some(round) = open.get_mut(&tid) {
                                round.scanned += number(3);
                            } else if kswapd.contains(&tid) {
                                trace.count(time, tid, Other::KswapdPages, [number(3), number(4)]);
                            }
                        }
                        "kswapd_wake" => trace.count(time, tid, Other::Wake, [1, 0]),
                        "kswapd_sleep" => trace.count(time, tid, Other::Sleep, [1, 0]),
                        "throttled" => trace.count(time, tid, Other::Throttled, [1, number(3) * 1000]),
                        "entry" => trace.entries.push((time, tid, rest.concat())),
                        "zone" => {
                            let zone = rest.iter().map(|word| (*word).to_owned()).collect();
                            trace.zones.entry(tid).or_default().push((time, Some(zone)));
                        }
                        "compaction_begin" => drop(compacting.insert(tid, time)),
                        "compaction_end" => {
                            trace.compacted.extend(compacting.remove(&tid).map(|begin_us| Compacted {
                                tid,
                                begin_us,
                                end_us: time,
                                success: rest == ["success"],
                                background: kcompactd.contains(&tid),
                            }));
                        }
                        "compact" => trace.compactions.push((time, tid)),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        trace
    }

    fn count(&mut self, time_us: u64, tid: u32, what: Other, numbers: [u64; 2]) {
        self.others.push(Counted { time_us, tid, what, numbers });
    }

    pub(super) fn counted(&self, what: Other) -> impl Iterator<Item = Event<2>> + '_ {
        self.others.iter().filter(move |it| it.what == what).map(Counted::event)
    }
}

/// Compares an incident's escalation. `expected` says which level the incident is of.
pub(super) fn compare(truth: &Truth, trace: &Trace, incident: &Value, findings: &mut Findings) {
    let level = incident.pointer("/evidence/level").and_then(Value::as_str).unwrap_or_default();
    let pid = incident.pointer("/decision/pid").cloned().unwrap_or_default();
    // Before that its address was another's.
    let scope = incident.pointer("/scope/cgroup").and_then(Value::as_str);
    let born_us = scope.and_then(|path| truth.born.get(path).copied()).unwrap_or(0);
    let pause_ns = if truth.why.overloads { 1000 * OVERLOADED_US } else { PAUSE_NS };
    let mut check = Check { trace, incident, findings, pid, born_us, edge_us: EDGE_US, stalled: 0, pause_ns };
    if !matches!(level, "full" | "tracepoint") {
        let names = incident.get("escalation").and_then(Value::as_object).into_iter().flatten();
        if names.into_iter().any(|(name, _)| name != "pressure") {
            check.fail("a log knows nothing of reclaim, but it has an escalation");
        }
        return;
    }
    let Some(entry_ns) = incident.get("boottime_ns").and_then(Value::as_u64) else {
        return check.fail("no boottime_ns");
    };
    let tid = incident.pointer("/trigger/tid").and_then(Value::as_u64).unwrap_or_default() as u32;
    let (mut cgroup, mut seen_us) = (None, entry_ns / 1000);
    if trace.has_kprobes && level == "full" {
        // A task may be preempted between the two looks (from 7.0 on), and stand in a queue.
        let apart = if truth.why.overloads { OVERLOADED_US } else { ENTRY_US };
        let near =
            |(time, by, _): &&(u64, u32, String)| *by == tid && time.abs_diff(entry_ns / 1000) <= apart;
        match trace.entries.iter().filter(near).min_by_key(|(time, ..)| time.abs_diff(entry_ns / 1000)) {
            Some((time, _, memcg)) => {
                cgroup = Some(memcg.as_str()).filter(|memcg| *memcg != "0x0");
                // What happened between the two looks may be on either side of both.
                check.edge_us = EDGE_US.max(time.abs_diff(entry_ns / 1000));
                // The thread itself does not reclaim between them.
                seen_us = *time;
            }
            None => check.fail(&format!("the trace has no entry by {tid} at {entry_ns}")),
        }
    }
    for name in ["last_10s", "last_60s"] {
        let (wrong, compared, at_edge) =
            (check.findings.wrong.len(), check.findings.sums_compared, check.findings.sums_at_edge);
        check.window(name, entry_ns, cgroup);
        if check.findings.wrong.len() > wrong {
            // Once more, as if processors had stood still between the two looks.
            check.findings.wrong.truncate(wrong);
            (check.findings.sums_compared, check.findings.sums_at_edge) = (compared, at_edge);
            check.findings.windows_stalled += 1;
            let edge_us = check.edge_us;
            check.edge_us = edge_us.max(if truth.why.overloads { OVERLOADED_US } else { COPY_US });
            check.stalled = truth.cpus as usize;
            check.window(name, entry_ns, cgroup);
            (check.edge_us, check.stalled) = (edge_us, 0);
        }
    }
    check.trigger(tid, seen_us);
}

struct Check<'a> {
    trace: &'a Trace,
    incident: &'a Value,
    findings: &'a mut Findings,
    pid: Value,
    born_us: u64,
    edge_us: u64,
    /// Processors that may have stood still, see [`Sum::of`].
    stalled: usize,
    /// The two looks at the clock may be so far apart.
    pause_ns: u64,
}

impl Check<'_> {
    fn fail(&mut self, what: &str) {
        self.findings.wrong(format!("reclaim before the kill of {}: {what}", self.pid));
    }

    fn number(&self, pointer: &str) -> Option<u64> {
        self.incident.pointer(pointer)?.as_u64()
    }

    /// The number is there and between these.
    fn between(&mut self, pointer: &str, least: u64, most: u64) {
        self.findings.sums_compared += 1;
        self.findings.sums_at_edge += usize::from(least != most);
        match self.number(pointer) {
            Some(found) if (least..=most).contains(&found) => {}
            None if self.skipped() => {}
            found => self.fail(&format!("{pointer} is {found:?}, counted {least} to {most}")),
        }
    }

    /// The incident says that the kernel skipped programs that sum up: what is missing is right, what is wrong is not.
    fn skipped(&self) -> bool {
        says(self.incident, "were skipped by the kernel")
    }

    fn window(&mut self, name: &str, entry_ns: u64, cgroup: Option<&str>) {
        let base = format!("/escalation/{name}");
        let Some(seconds) = self.incident.pointer(&format!("{base}/seconds")).and_then(Value::as_f64) else {
            return self.fail(&format!("{name} is absent"));
        };
        let (from, to) = (entry_ns.saturating_sub((seconds * 1e9) as u64) / 1000, entry_ns / 1000);
        let longest = if name == "last_10s" { 10.0 } else { 60.0 };
        if !(0.0..=longest).contains(&seconds) {
            self.fail(&format!("{name} is {seconds} s"));
        }
        let (trace, edge, stalled, born) = (self.trace, self.edge_us, self.stalled, self.born_us);
        let rounds = |wanted: &dyn Fn(&Round) -> bool| {
            let events = trace.rounds.iter().filter(|round| wanted(round));
            let values = |r: &Round| [1, (r.end_us - r.begin_us) * 1000, r.scanned, r.reclaimed];
            Sum::of(events.map(|r| (r.end_us, r.tid, values(r))), from, to, edge, stalled)
        };
        self.work(&format!("{base}/direct"), &rounds(&|round| round.direct));
        self.work(&format!("{base}/memcg"), &rounds(&|round| !round.direct));
        if let Some(cgroup) = cgroup {
            let own = rounds(&|round| round.begin_us >= born && round.cgroup.as_deref() == Some(cgroup));
            self.work(&format!("{base}/cgroup"), &own);
        } else if self.incident.pointer(&format!("{base}/cgroup")).is_some() {
            self.fail(&format!("{name} has a cgroup, but none was full"));
        }
        let others = |wanted: Other| Sum::of(trace.counted(wanted), from, to, edge, stalled);
        let (wakes, sleeps) = (others(Other::Wake), others(Other::Sleep));
        self.between(&format!("{base}/kswapd/wakes"), wakes.least[0], wakes.most[0]);
        self.between(&format!("{base}/kswapd/sleeps"), sleeps.least[0], sleeps.most[0]);
        let pages = others(Other::KswapdPages);
        for (index, what) in ["scanned_pages", "reclaimed_pages"].into_iter().enumerate() {
            let pointer = format!("{base}/kswapd/{what}");
            if self.number(&pointer).is_some() || pages.least[index] > 0 {
                self.between(&pointer, pages.least[index], pages.most[index]);
            }
        }
        self.compacted(&format!("{base}/compaction"), false, from, to);
        self.compacted(&format!("{base}/kcompactd"), true, from, to);
        let throttled = others(Other::Throttled);
        if self.number(&format!("{base}/throttled")).is_some() || throttled.least[0] > 0 {
            self.between(&format!("{base}/throttled"), throttled.least[0], throttled.most[0]);
            self.between(&format!("{base}/throttled_ns"), throttled.least[1], throttled.most[1]);
        }
    }

    fn compacted(&mut self, base: &str, background: bool, from: u64, to: u64) {
        let runs = self.trace.compacted.iter().filter(|run| run.background == background);
        let sum = Sum::of(runs.map(Compacted::event), from, to, self.edge_us, self.stalled);
        self.between(&format!("{base}/runs"), sum.least[0], sum.most[0]);
        self.between(&format!("{base}/succeeded"), sum.least[2], sum.most[2]);
        self.time(&format!("{base}/ns"), sum.least[0]..=sum.most[0], sum.least[1], sum.most[1]);
    }

    fn work(&mut self, base: &str, sum: &Sum<4>) {
        self.between(&format!("{base}/rounds"), sum.least[0], sum.most[0]);
        self.between(&format!("{base}/reclaimed_pages"), sum.least[3], sum.most[3]);
        self.scanned(&format!("{base}/scanned_pages"), sum.least[2], sum.most[2]);
        self.time(&format!("{base}/ns"), sum.least[0]..=sum.most[0], sum.least[1], sum.most[1]);
    }

    /// Absent is right only if the kernel told of no page.
    fn scanned(&mut self, pointer: &str, least: u64, most: u64) {
        if self.number(pointer).is_some() || least > 0 {
            self.between(pointer, least, most);
        }
    }

    fn time(&mut self, pointer: &str, rounds: std::ops::RangeInclusive<u64>, least: u64, most: u64) {
        let slack = |ns: u64, rounds: u64| ns / 20 + rounds * ROUND_NS + self.pause_ns;
        let least = least.saturating_sub(slack(least, *rounds.start()));
        let most = most + slack(most, *rounds.end());
        match self.number(pointer) {
            Some(found) if (least..=most).contains(&found) => {}
            None if self.skipped() => {}
            found => self.fail(&format!("{pointer} is {found:?}, counted {least} to {most}")),
        }
    }

    /// The rounds of the task that asked, without a pause of 10 s between them, and what it saw of zones.
    fn trigger(&mut self, tid: u32, seen_us: u64) {
        let mut series: Vec<&Round> = Vec::new();
        // It is in none as it asks. One that begins soon after the kill ends soon after, where a machine is fast.
        for round in self.trace.rounds.iter().rev().filter(|r| r.tid == tid && r.begin_us < seen_us) {
            if series.last().map_or(seen_us, |next| next.begin_us) > round.end_us + SERIES_US {
                break;
            }
            series.push(round);
        }
        let total = |value: fn(&Round) -> u64| series.iter().map(|round| value(round)).sum::<u64>();
        if !series.is_empty() || self.number("/escalation/reclaim_rounds").is_some() {
            let count = series.len() as u64;
            self.between("/escalation/reclaim_rounds", count, count);
            let (reclaimed, scanned) = (total(|r| r.reclaimed), total(|r| r.scanned));
            self.between("/escalation/reclaimed_pages", reclaimed, reclaimed);
            self.scanned("/escalation/scanned_pages", scanned, scanned);
            let ns = total(|r| (r.end_us - r.begin_us) * 1000);
            self.time("/escalation/trigger_stall_ns", count..=count, ns, ns);
            let begin = series.last().map_or(0, |round| round.begin_us);
            let of_it = |(time, by): &&(u64, u32)| *by == tid && (begin..=seen_us).contains(time);
            let asked = self.trace.compactions.iter().filter(of_it).count() as u64;
            if asked > 0 || self.number("/escalation/compact_retries").is_some() {
                self.between("/escalation/compact_retries", asked, asked);
            }
        }
        self.own_compaction(tid, seen_us);
        self.zones(tid, seen_us);
    }

    /// Without a pause of 10 s between two, nor before the entry.
    fn own_compaction(&mut self, tid: u32, seen_us: u64) {
        let (mut runs, mut next) = ([0; 3], seen_us);
        let before = |run: &&Compacted| run.tid == tid && run.begin_us < seen_us;
        for run in self.trace.compacted.iter().rev().filter(before) {
            if next > run.end_us + SERIES_US {
                break;
            }
            let (.., values) = run.event();
            runs.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            next = run.begin_us;
        }
        if runs[0] > 0 || self.number("/escalation/compaction/runs").is_some() {
            self.between("/escalation/compaction/runs", runs[0], runs[0]);
            self.between("/escalation/compaction/succeeded", runs[2], runs[2]);
            self.time("/escalation/compaction/ns", runs[0]..=runs[0], runs[1], runs[1]);
        }
    }

    fn zones(&mut self, tid: u32, seen_us: u64) {
        let events = self.trace.zones.get(&tid).map(Vec::as_slice).unwrap_or_default();
        let before: Vec<_> = events.iter().filter(|(time, _)| *time <= seen_us).collect();
        // It looks at zones after each round but the last.
        let after = before.iter().rev().take_while(|(_, zone)| zone.is_none()).count();
        let mut expected: Vec<&Vec<String>> = Vec::new();
        let end_us = before.iter().rev().find(|(_, zone)| zone.is_none()).map_or(seen_us, |(time, _)| *time);
        if after <= 1 && seen_us <= end_us + SERIES_US {
            let looked = before.iter().rev().skip(after).map_while(|(_, zone)| zone.as_ref());
            for zone in looked {
                expected.insert(0, zone);
                // Twice without a round between: the second look counts.
                if expected.iter().skip(1).any(|other| other.get(..2) == zone.get(..2)) {
                    expected.remove(0);
                    break;
                }
            }
            expected.truncate(8);
        }
        let found = self.incident.pointer("/escalation/zones").and_then(Value::as_array);
        let text = |zone: &Value| {
            let field = |name: &str| match zone.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Bool(yes)) => u8::from(*yes).to_string(),
                other => other.map_or("?".to_owned(), Value::to_string),
            };
            let names = ["node", "name", "reclaimable_pages", "available_pages", "min_watermark_pages"];
            names.into_iter().chain(["no_progress_loops", "enough"]).map(field).collect::<Vec<_>>()
        };
        let found: Vec<Vec<String>> = found.into_iter().flatten().map(text).collect();
        self.findings.sums_compared += found.len();
        if found.iter().ne(expected.iter().copied()) {
            self.fail(&format!("zones are {found:?}, the trace has {expected:?}"));
        }
    }
}
