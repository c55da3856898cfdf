//! Whatever of the facts comes, in whatever order: incidents, and none that claims what was lost.

use super::facts::*;
use super::history::{Kind, Step, call_of, history, usage};
use crate::incident::assembler::{Assembler, Config, MAX_CALLS, journal, recent, scans, storm};
use crate::incident::badness;
use crate::incident::fact::Fact;
use crate::incident::model::{Incident, Level, PointsSource, ScopeKind};
use crate::report::What;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// From the kill until the memory is given back.
const GIVEN_BACK_NS: u64 = 41 * MS;

/// Merges streams, each in its order; `picks` says whose turn it is.
fn merge(mut streams: Vec<Vec<Fact>>, picks: &[usize]) -> Vec<Fact> {
    for stream in &mut streams {
        stream.reverse();
    }
    let mut merged = Vec::new();
    let mut turn = 0;
    while streams.iter().any(|stream| !stream.is_empty()) {
        streams.retain(|stream| !stream.is_empty());
        let pick = picks[turn % picks.len()] % streams.len();
        merged.extend(streams[pick].pop());
        turn += 1;
    }
    merged
}

fn streams(level: Level, history: &[Step]) -> Vec<Vec<Fact>> {
    let mut streams: Vec<Vec<Fact>> = vec![Vec::new(); 4];
    for step in history {
        let facts = match level {
            Level::Full => {
                let [small, bulk, exits] = step.full();
                [small, bulk, exits, step.log()]
            }
            Level::Tracepoint => {
                let [bpf, exits, log] = step.tracepoint();
                [bpf, exits, log, Vec::new()]
            }
            Level::Kmsg | Level::Log => [Vec::new(), Vec::new(), step.log(), Vec::new()],
        };
        for (stream, facts) in streams.iter_mut().zip(facts) {
            stream.extend(facts);
        }
    }
    streams
}

/// What the kernel can do: an exit comes no earlier than its call, and the memory after its victim is marked.
fn plausible(level: Level, history: &[Step], picks: &[usize]) -> Vec<Fact> {
    let per_call = history.iter().map(|step| {
        let mut streams = streams(level, std::slice::from_ref(step));
        let exits = streams.get_mut(if level == Level::Full { 2 } else { 1 });
        let (backs, exits): (Vec<_>, Vec<_>) = exits
            .map(std::mem::take)
            .into_iter()
            .flatten()
            .partition(|fact| matches!(fact, Fact::MemoryBack(_)));
        if !step.early_exit() {
            return [merge(streams, picks), exits, backs].concat();
        }
        streams.push(exits);
        [merge(streams, picks), backs].concat()
    });
    per_call.flatten().collect()
}

struct Told {
    incidents: Vec<Incident>,
    assembler: Assembler,
}

/// Runs facts with this time between them, milliseconds.
fn run(level: Level, facts: Vec<Fact>, pauses: &[u64]) -> Told {
    let mut run = Run::new(Config::new(level));
    let mut incidents = Vec::new();
    for (index, fact) in facts.into_iter().enumerate() {
        run.push(fact);
        incidents.extend(run.ready());
        run.wait(pauses[index % pauses.len()]);
        let Assembler { calls, scans, levels, journal, exits, storms, .. } = &run.assembler;
        assert!(calls.len() <= MAX_CALLS && scans.kept() <= scans::MAX_CANDIDATES && levels.kept() <= 256);
        assert!(journal.entries.len() <= journal::MAX_ENTRIES && exits.len() <= recent::MAX_EXITS);
        assert!(storms.len() <= storm::MAX_STORMS);
        incidents.extend(run.ready());
    }
    incidents.extend(run.assembler.finish());
    assert_eq!(run.assembler.deadline(), None, "nothing is left");
    Told { incidents, assembler: run.assembler }
}

/// How often a fact names a victim.
fn named(facts: &[Fact]) -> BTreeMap<u32, usize> {
    let mut named = BTreeMap::new();
    for fact in facts {
        let pid = match fact {
            Fact::Victim(victim) => victim.task.pid,
            Fact::Log(crate::report::Event { what: What::Killed(killed), .. }) => killed.pid,
            _ => continue,
        };
        *named.entry(pid).or_default() += 1;
    }
    named
}

fn number(incident: &Incident) -> Option<u64> {
    let trigger = incident.trigger.as_ref().and_then(|trigger| trigger.pid.or(trigger.tid));
    let victim = || incident.victims.first().map(|victim| victim.pid);
    let decision = || incident.decision.as_ref().and_then(|decision| decision.pid);
    trigger.or_else(victim).or_else(decision).map(call_of)
}

/// What holds in any order.
fn nothing_invented(history: &[Step], facts: &[Fact], told: &Told) {
    let named = named(facts);
    let mut victims: BTreeMap<u32, usize> = BTreeMap::new();
    for victim in told.incidents.iter().flat_map(|incident| &incident.victims) {
        *victims.entry(victim.pid).or_default() += 1;
    }
    for (pid, count) in victims {
        let facts = named.get(&pid).copied().unwrap_or(0);
        assert!(count <= facts, "{pid} is a victim {count} times, in {facts} facts");
    }
    assert_eq!(told.assembler.totals().incidents, told.incidents.len() as u64);
    for incident in &told.incidents {
        let Some(step) = number(incident).and_then(|number| history.get(number as usize - 1)) else {
            continue;
        };
        let received = incident.candidates.len() as u64;
        if let Some(lost) = incident.candidates_lost {
            assert!(lost >= step.evaluated().saturating_sub(received), "{incident:?}");
        }
        if let Some(evaluated) = incident.candidates_evaluated {
            assert_eq!(evaluated, step.evaluated(), "{incident:?}");
        }
        for victim in &incident.victims {
            assert_eq!(call_of(victim.pid), step.number, "victims of one call");
            if let Some(exit) = victim.exited_boottime_ns {
                assert_eq!(exit, step.number * 1000 * MS + 42 * MS, "its own exit");
            }
        }
        if let Some(state) = &incident.state {
            let used = |which: u64| Some(usage(step.number, which));
            for (depth, level) in state.cgroups.iter().enumerate() {
                assert_eq!(level.usage_bytes, used(depth as u64), "its own level");
            }
            for child in &state.children {
                let which = if child.cgroup.ends_with("c2") { 2 } else { 3 };
                assert_eq!(child.usage_bytes, used(which), "its own child");
            }
        }
        let Some(decision) = &incident.decision else { continue };
        if decision.runner_up_pid.is_some() {
            let next = step.runner_up_points().unwrap();
            let chosen =
                incident.candidates.iter().find(|candidate| Some(candidate.pid) == decision.pid).unwrap();
            let points = chosen.points.unwrap();
            assert_eq!(decision.margin_points, Some(points - next), "{incident:?}");
            let spare = badness::adj_to_spare(points, chosen.oom_score_adj.unwrap(), next, TOTAL);
            // Another adj spares nobody of a group.
            let dies = incident.victims.iter().any(|victim| Some(victim.pid) == decision.runner_up_pid);
            assert_eq!(decision.adj_to_spare, (!dies).then_some(spare));
        }
    }
}

/// What holds where the order is one that the kernel and the rings can make, and losses of the small ring are told.
fn nothing_claimed(history: &[Step], told: &Told) {
    for incident in &told.incidents {
        let Some(step) = number(incident).and_then(|number| history.get(number as usize - 1)) else {
            continue;
        };
        if let Some(decision) = &incident.decision {
            let report_lost = incident.kernel_log.is_none() && incident.evidence.level != Level::Full;
            // The line of a sysrq-f without its report says "Out of memory": most points, which is true.
            if !(step.kind == Kind::Sysrq && report_lost) {
                assert_eq!(decision.rule, step.rule(), "{incident:?}");
            }
        }
        if let Some(kind) = incident.scope.kind {
            assert_eq!(kind, step.scope(), "{incident:?}");
        }
        if let Some(freed) = incident.freed_bytes {
            assert_eq!(freed, step.freed_bytes(), "{incident:?}");
        }
        if incident.recovery_ns.is_some() {
            assert_eq!(incident.recovery_ns, Some(40 * MS));
            assert_eq!(incident.victims.len(), step.victims().len());
        }
        if let Some(recovery) = &incident.recovery {
            let memcg = step.scope() == ScopeKind::Memcg;
            let left = (recovery.memory_back_ns.is_some() && memcg).then(|| step.left() * PAGE);
            assert!(matches!(recovery.memory_back_ns, None | Some(GIVEN_BACK_NS)), "{incident:?}");
            assert!(
                matches!(recovery.below_limit_ns, None | Some(GIVEN_BACK_NS))
                    && (memcg || recovery.below_limit_ns.is_none())
            );
            assert_eq!(recovery.usage_after_bytes, left);
            assert_eq!(recovery.given_back_bytes, left.map(|left| TOTAL * PAGE - left));
            assert_eq!(incident.victims.len(), step.victims().len());
        }
        if let Some(total) = incident.total_pages {
            assert_eq!(total, TOTAL);
        }
    }
}

fn levels() -> impl Strategy<Value = Level> {
    proptest::sample::select(&[Level::Full, Level::Tracepoint, Level::Kmsg, Level::Log][..])
}

fn picks() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..3_usize, 1..40)
}

fn pauses() -> impl Strategy<Value = Vec<u64>> {
    let pause = prop_oneof![4 => Just(0_u64), 2 => 0..30_u64, 1 => 200..400_u64, 1 => Just(40_000_u64)];
    proptest::collection::vec(pause, 1..20)
}

fn is_small_ring(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Call(_)
            | Fact::Decision(_)
            | Fact::Victim(_)
            | Fact::End(_)
            | Fact::Exit(_)
            | Fact::MemoryBack(_)
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kill_is_told_once_however_the_rings_interleave(
        history in history(),
        picks in picks(),
        level in proptest::sample::select(&[Level::Full, Level::Tracepoint][..]),
    ) {
        let facts = plausible(level, &history, &picks);
        let told = run(level, facts.clone(), &[0]);
        nothing_invented(&history, &facts, &told);
        nothing_claimed(&history, &told);
        for step in &history {
            let expected = step.victims();
            let mine = |incident: &&Incident| number(incident) == Some(step.number);
            let incidents: Vec<&Incident> = told.incidents.iter().filter(mine).collect();
            if step.kind == Kind::Aborted {
                prop_assert!(incidents.is_empty());
                continue;
            }
            prop_assert_eq!(incidents.len(), 1, "{:?} {:?}", step, incidents);
            let incident = incidents[0];
            let pids = incident.victims.iter().map(|victim| victim.pid).collect::<Vec<_>>();
            prop_assert_eq!(pids, expected.iter().map(|victim| victim.task.pid).collect::<Vec<_>>());
            prop_assert!(incident.decision.is_some());
            if level == Level::Full {
                // The log may come after all else, or not say anything of it.
                let log = |note: &&String| note.contains("kernel's log") || note.contains("printed no report");
                let notes: Vec<&String> = incident.evidence.notes.iter().filter(|note| !log(note)).collect();
                prop_assert_eq!(notes, Vec::<&String>::new());
                prop_assert!(!incident.evidence.notes.iter().any(|note| note.contains("disagree")));
                prop_assert_eq!(incident.evidence.level, Level::Full);
                prop_assert_eq!(incident.candidates.len() as u64, step.evaluated());
                let kernel = incident.candidates.iter().filter(|candidate| candidate.eligible);
                prop_assert!(kernel.into_iter().all(|c| c.points_source == Some(PointsSource::Kernel)));
            }
            if !expected.is_empty() {
                prop_assert_eq!(incident.freed_bytes, Some(step.freed_bytes()));
            }
        }
    }

    #[test]
    fn what_is_lost_is_not_claimed(
        history in history(),
        picks in picks(),
        pauses in pauses(),
        level in levels(),
        lost in proptest::collection::vec(proptest::bool::weighted(0.2), 1..60),
    ) {
        let mut facts = Vec::new();
        let mut dropped = 0;
        let mut unread = 0;
        for (index, fact) in plausible(level, &history, &picks).into_iter().enumerate() {
            if lost[index % lost.len()] {
                dropped += u64::from(is_small_ring(&fact));
                unread += u64::from(matches!(fact, Fact::Log(_)));
                continue;
            }
            // Losses are noticed at the next record, or log line.
            if is_small_ring(&fact) && dropped > 0 {
                facts.push(Fact::Lost { records: std::mem::take(&mut dropped) });
            }
            if matches!(fact, Fact::Log(_)) && unread > 0 {
                facts.push(log(0, What::Gap { records: Some(std::mem::take(&mut unread)) }));
            }
            facts.push(fact);
        }
        if dropped > 0 {
            facts.push(Fact::Lost { records: dropped });
        }
        // Without the end of a call its victims follow each other closely, or it is taken for complete.
        let most = if level == Level::Tracepoint { 0 } else { u64::MAX };
        let pauses: Vec<u64> = pauses.into_iter().map(|pause| pause.min(most)).collect();
        let told = run(level, facts.clone(), &pauses);
        nothing_invented(&history, &facts, &told);
        nothing_claimed(&history, &told);
    }

    #[test]
    fn any_order_of_any_facts_gives_incidents(
        (history, level, facts) in (history(), levels()).prop_flat_map(|(history, level)| {
            let all: Vec<Fact> = streams(level, &history).concat();
            let some = proptest::sample::subsequence(all.clone(), 0..=all.len());
            (Just(history), Just(level), some.prop_shuffle())
        }),
        pauses in pauses(),
    ) {
        let told = run(level, facts.clone(), &pauses);
        nothing_invented(&history, &facts, &told);
    }
}
