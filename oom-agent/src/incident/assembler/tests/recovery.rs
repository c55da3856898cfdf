//! What the kill gave back.

use super::facts::*;
use crate::incident::assembler::Config;
use crate::incident::escalation::Skipped;
use crate::incident::fact::{Escalation, Fact, MemoryBack, Reaper, Reaping, Task, Victim, Zones};
use crate::incident::machine::Zone;
use crate::incident::model::{Incident, Level, ScopeKind};
use crate::incident::recovery::{Reaped, Recovery};
use crate::report::What;

fn hog(pid: u32, mm: u64) -> Task {
    Task { mm, ..task(pid, 8000, 0) }
}

/// Everything of call 1 with these victims but their exits and their memory.
fn kill(victims: &[Victim]) -> Vec<Fact> {
    let first = victims[0].task.clone();
    let mut facts = vec![fact(call(1, first.clone())), decided(1, first)];
    facts.extend(victims.iter().cloned().map(|victim| Fact::Victim(Box::new(victim))));
    facts.push(end(1, 0));
    facts
}

fn recovery(incident: &Incident) -> Recovery {
    incident.recovery.clone().unwrap_or_default()
}

const ALL_BACK: Recovery = Recovery {
    memory_back_ns: Some(41 * MS),
    below_limit_ns: Some(41 * MS),
    above_watermark_ns: None,
    usage_after_bytes: Some(300 * PAGE),
    given_back_bytes: Some((TOTAL - 300) * PAGE),
    reaper: Vec::new(),
    kill_number: None,
    kills_seconds: None,
};

#[test]
fn an_incident_waits_for_the_memory_in_any_order() {
    let victim = hog(10, 5);
    let (exit, back) = (exit(1, &victim), back(1, &victim, 300));
    for [one, other] in [[exit.clone(), back.clone()], [back.clone(), exit.clone()]] {
        let mut run = Run::full();
        run.push_all(kill(&[super::facts::victim(1, victim.clone())])).nothing();
        run.push(one).nothing().push(other);
        let incident = run.one();
        assert_eq!(recovery(&incident), ALL_BACK);
        assert_eq!(bpf_notes(&incident.evidence.notes), [""; 0]);
    }
    // Even before the kill was told.
    let mut run = Run::full();
    run.push(fact(call(1, victim.clone()))).push(back).push(exit);
    run.push_all(kill(&[super::facts::victim(1, victim)]));
    assert_eq!(recovery(&run.one()), ALL_BACK);
}

#[test]
fn memory_that_does_not_come_back_is_missing_and_not_zero() {
    let (a, b) = (hog(10, 5), hog(11, 6));
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a.clone()), victim(1, b.clone())]));
    run.push_all([exit(1, &a), exit(1, &b), back(1, &a, 300)]).nothing();
    let incident = run.until_deadline().one();
    // There was room already.
    assert_eq!(recovery(&incident), Recovery { below_limit_ns: Some(41 * MS), ..Recovery::default() });
    assert_eq!(bpf_notes(&incident.evidence.notes), ["memory of 11 not seen to be given back in time"]);
    // What comes later is nothing new.
    run.push(back(1, &b, 200)).nothing();
}

#[test]
fn whoever_waited_in_vain_says_whether_a_program_was_skipped_meanwhile() {
    let a = hog(10, 5);
    let count = |exits| Skipped { exits, kills: 7, ..Skipped::default() };
    // `then`: so many by the time at which it is told.
    let told = |by_entry, soon, then| {
        let mut run = Run::full();
        run.skipped = count(soon);
        let mut facts = kill(&[victim(1, a.clone())]);
        let Fact::Escalation(seen) = escalation(1) else { panic!() };
        facts.insert(1, Fact::Escalation(Box::new(Escalation { skipped_until: count(by_entry), ..*seen })));
        let begun = run.push_all(facts).now_ns;
        run.wait(1999).nothing();
        assert!(!run.assembler.asks(run.now_ns));
        assert!(run.assembler.asks(begun + 2000 * MS));
        if then > soon {
            run.wait(1).nothing().skipped = count(then);
        }
        let incident = run.until_deadline().one();
        let notes = bpf_notes(&incident.evidence.notes).into_iter().map(str::to_owned).collect::<Vec<_>>();
        ((run.now_ns - begun) / MS, notes)
    };
    let why = |runs: &str| {
        format!(
            "Up to {runs} of the programs that see exits were skipped by the kernel meanwhile (a task was preempted in one): what \
             was not seen may have happened."
        )
    };
    let vain = "exit of 10 not seen in time".to_owned();
    assert_eq!(told(3, 3, 3), (10_000, vec![vain.clone()]), "those of before are no reason");
    assert_eq!(told(3, 5, 5), (2_000, vec![vain.clone(), why("2 runs")]), "it waits no longer");
    assert_eq!(told(3, 3, 4), (10_000, vec![vain, why("1 run")]));
}

#[test]
fn a_large_victim_may_take_its_time() {
    let a = hog(10, 5);
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a.clone())])).wait(8000).nothing().push(exit(1, &a)).nothing();
    let incident = run.push(back(1, &a, 300)).one();
    assert!(recovery(&incident).memory_back_ns.is_some());
    assert_eq!(bpf_notes(&incident.evidence.notes), [""; 0]);
    // What is missing besides is not waited for as long, but it may come meanwhile.
    let mut run = Run::full();
    let mut facts = kill(&[victim(1, a.clone())]);
    assert!(matches!(facts.pop(), Some(Fact::End(_))));
    run.push_all(facts).push(Fact::Lost { records: 1 });
    let begun = run.now_ns;
    run.until_deadline().one();
    assert_eq!(run.now_ns - begun, 10_000 * MS);
}

#[test]
fn a_victim_whose_memory_the_reaper_took_is_not_waited_for() {
    let (a, b) = (hog(10, 5), hog(11, 6));
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a), victim(1, b)])).wait(2000);
    run.push_all([reaper(10, 2000, Reaping::Started), reaper(10, 2003, Reaping::Finished)])
        .wait(300)
        .nothing();
    run.push_all([reaper(11, 2300, Reaping::Started), reaper(11, 2303, Reaping::Finished)])
        .wait(249)
        .nothing();
    let incident = run.wait(1).one();
    let done: Vec<_> = recovery(&incident).reaper.iter().map(|it| (it.pid, it.done)).collect();
    assert_eq!(done, [(10, Some(true)), (11, Some(true))]);
    assert_eq!(
        bpf_notes(&incident.evidence.notes),
        ["exit of 10, 11 not seen before the kernel's reaper was done with it"]
    );
}

#[test]
fn a_lost_exit_is_said_once() {
    let a = hog(10, 5);
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a)]));
    let incident = run.until_deadline().one();
    assert_eq!(bpf_notes(&incident.evidence.notes), ["exit of 10 not seen in time"]);
    assert_eq!(incident.recovery, None);
}

#[test]
fn who_shares_the_memory_gives_it_back_once() {
    let (a, b) = (hog(10, 5), hog(11, 5));
    let sharer = Victim { shares_mm: true, ..victim(1, b.clone()) };
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a.clone()), sharer]));
    run.push_all([exit(1, &a), exit(1, &b)]).nothing().push(back(1, &a, 300));
    assert_eq!(recovery(&run.one()), ALL_BACK);
}

#[test]
fn the_last_memory_and_the_first_room_count() {
    let (a, b, c) = (hog(10, 5), hog(11, 6), hog(12, 7));
    let at = |fact: Fact, ms: u64| match fact {
        Fact::MemoryBack(back) => Fact::MemoryBack(MemoryBack { time_ns: 1000 * MS + ms * MS, ..back }),
        other => other,
    };
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a.clone()), victim(1, b.clone()), victim(1, c.clone())]));
    run.push_all([exit(1, &a), exit(1, &b), exit(1, &c)]);
    // Full again at once; one page of room; others have taken it by the end.
    run.push_all([
        at(back(1, &a, TOTAL), 10),
        at(back(1, &b, TOTAL - 1), 20),
        at(back(1, &c, TOTAL + 1), 30),
    ]);
    let expected = Recovery {
        memory_back_ns: Some(28 * MS),
        below_limit_ns: Some(18 * MS),
        usage_after_bytes: Some((TOTAL + 1) * PAGE),
        given_back_bytes: None,
        ..Recovery::default()
    };
    assert_eq!(recovery(&run.one()), expected);
}

#[test]
fn another_limit_than_the_cgroups_gives_no_room() {
    let a = hog(10, 5);
    let mut asked = call(1, a.clone());
    asked.control.as_mut().unwrap().usage_bytes = Some((TOTAL - 100) * PAGE);
    let mut facts = kill(&[victim(1, a.clone())]);
    facts[0] = fact(asked);
    let mut run = Run::full();
    run.push_all(facts).push_all([exit(1, &a), back(1, &a, 300)]);
    let told = recovery(&run.one());
    assert_eq!((told.below_limit_ns, told.usage_after_bytes), (None, Some(300 * PAGE)));
}

#[test]
fn a_full_machine_has_recovered_when_a_zone_was_seen_with_room() {
    let zone = |free: u64, kept: u64| Zone {
        name: "Normal".into(),
        free_bytes: Some(free * PAGE),
        min_bytes: Some(100 * PAGE),
        low_bytes: Some(125 * PAGE),
        high_bytes: Some(150 * PAGE),
        lowmem_reserve_pages: vec![kept; 5],
        ..Zone::default()
    };
    let look = |ms: u64, zones: &[Zone]| {
        Fact::Zones(Box::new(Zones { call: 1, read_ns: 1002 * MS + ms * MS, zones: zones.to_vec() }))
    };
    let told = |order: i32, looks: Vec<Fact>| {
        let a = hog(10, 5);
        let decision = decision(1, a.clone(), ScopeKind::Global);
        let mut run = Run::full();
        run.push_all([fact(machine(1, a.clone(), order)), Fact::Decision(Box::new(decision))]);
        run.push_all([Fact::Victim(Box::new(victim(1, a.clone()))), end(1, 0)]);
        run.push_all(looks).push_all([exit(1, &a), back(1, &a, 300)]);
        let told = recovery(&run.one());
        assert_eq!((told.memory_back_ns, told.below_limit_ns), (Some(41 * MS), None));
        told.above_watermark_ns
    };
    let (none, low, room) = (zone(100, 0), zone(400, 300), zone(101, 0));
    assert_eq!(told(0, vec![]), None);
    assert_eq!(told(0, vec![look(30, &[none.clone(), low.clone()])]), None, "kept for others");
    let looks = || {
        let room = [none.clone(), room.clone()];
        vec![look(30, std::slice::from_ref(&low)), look(42, &room), look(50, &room)]
    };
    assert_eq!(told(0, looks()), Some(42 * MS));
    assert_eq!(told(3, looks()), None, "free pages are no block");
    assert_eq!(told(-1, looks()), None, "nobody needed memory");
    // Of many looks the first ones and the last one count.
    let mut many: Vec<Fact> = (0..20).map(|ms| look(ms, std::slice::from_ref(&low))).collect();
    many.push(look(60, &[room]));
    assert_eq!(told(0, many), Some(60 * MS));
}

#[test]
fn usage_of_another_cgroup_is_not_taken() {
    let a = hog(10, 5);
    let changes: [fn(&mut MemoryBack); 2] = [|it| it.scope_id = None, |it| it.scope_id = Some(71)];
    for change in changes {
        let Fact::MemoryBack(mut other) = back(1, &a, 300) else { unreachable!() };
        change(&mut other);
        let mut run = Run::full();
        run.push_all(kill(&[victim(1, a.clone())]));
        run.push_all([exit(1, &a), Fact::MemoryBack(other)]);
        let expected = Recovery { memory_back_ns: Some(41 * MS), ..Recovery::default() };
        assert_eq!(recovery(&run.one()), expected);
    }
}

/// A victim that is still dying is marked again in a later call: both wait for the same memory.
#[test]
fn two_calls_may_wait_for_one_memory() {
    let (a, b) = (hog(10, 5), hog(20, 6));
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a.clone())]));
    run.push_all([fact(call(2, a.clone())), decided(2, b.clone())]);
    let again = Victim { killed_ns: None, ..victim(2, a.clone()) };
    run.push_all([Fact::Victim(Box::new(again)), Fact::Victim(Box::new(victim(2, b.clone())))]);
    run.push_all([end(2, 0), exit(1, &a), exit(2, &b), back(2, &b, 200)]).nothing();
    // BPF knows the later call's number.
    run.push(back(2, &a, 300));
    let told = run.ready();
    assert_eq!(told.len(), 2);
    assert_eq!(recovery(&told[0]).memory_back_ns, Some(1041 * MS));
    assert_eq!(recovery(&told[1]).memory_back_ns, Some(41 * MS));
}

#[test]
fn where_the_hook_is_missing_nothing_is_waited_for() {
    let a = hog(10, 5);
    let mut run = Run::new(Config { memory_back: false, ..Config::new(Level::Full) });
    run.push_all(kill(&[victim(1, a.clone())])).push(exit(1, &a));
    let incident = run.one();
    assert_eq!(incident.recovery, None);
    assert_eq!(bpf_notes(&incident.evidence.notes), [""; 0]);
}

fn reaper(tid: u32, ms: u64, what: Reaping) -> Fact {
    Fact::Reaper(Reaper { time_ns: 1000 * MS + ms * MS, tid, what })
}

#[test]
fn the_reaper_is_told_if_it_comes_in_time() {
    use Reaping::{Finished, Skipped, Started};
    type Case<'a> = (&'a [(u64, Reaping)], (Option<u64>, Option<u64>, Option<bool>));
    let cases: [Case<'_>; 5] = [
        (&[(52, Started)], (Some(50), None, None)),
        (&[(52, Started), (55, Finished)], (Some(50), Some(3), Some(true))),
        (&[(52, Started), (55, Finished), (62, Started), (64, Finished)], (Some(50), Some(12), Some(true))),
        (&[(52, Skipped), (62, Skipped)], (None, None, Some(false))),
        (&[(52, Skipped), (62, Started), (64, Finished)], (Some(60), Some(2), Some(true))),
    ];
    for (records, (after, took, done)) in cases {
        let a = hog(10, 5);
        let mut run = Run::full();
        run.push_all(kill(&[victim(1, a.clone())])).push(exit(1, &a));
        run.push_all(records.iter().map(|(ms, what)| reaper(10, *ms, *what)));
        run.push(reaper(99, 60, Started)).push(back(1, &a, 300));
        let ns = |ms: Option<u64>| ms.map(|ms| ms * MS);
        let expected = Reaped { pid: 10, after_ns: ns(after), duration_ns: ns(took), done };
        assert_eq!(recovery(&run.one()).reaper, [expected]);
    }
}

#[test]
fn a_reaper_that_comes_too_late_is_told_beside() {
    let a = hog(10, 5);
    let mut run = Run::full();
    run.push_all(kill(&[victim(1, a.clone())]));
    assert_eq!(run.until_deadline().ready().len(), 1);
    run.push(reaper(10, 12_000, Reaping::Started)).push(reaper(10, 12_003, Reaping::Finished));
    run.push(log(2003, What::Reaped { pid: 10, comm: "p10".into() }));
    run.push(reaper(99, 2003, Reaping::Finished)).nothing();
    assert_eq!(run.assembler.afterwards(), ["the OOM reaper took the memory of 10, told of before"]);
    assert_eq!(run.assembler.afterwards(), [""; 0]);
    run.push(log(3000, What::NotReaped { pid: 10, comm: "p10".into() }));
    assert_eq!(
        run.assembler.afterwards(),
        ["the OOM reaper could not take the memory of 10, told of before"]
    );
}

#[test]
fn a_log_tells_of_the_reaper() {
    let a = task(10, 8000, 0);
    let tell = |what| {
        let mut run = Run::new(Config::new(Level::Log));
        run.push(logged(1000, &a)).push(log(3000, what));
        recovery(&run.assembler.finish().swap_remove(0)).reaper
    };
    let reaped = |done| [Reaped { pid: 10, after_ns: None, duration_ns: None, done: Some(done) }];
    assert_eq!(tell(What::Reaped { pid: 10, comm: "p10".into() }), reaped(true));
    assert_eq!(tell(What::NotReaped { pid: 10, comm: "p10".into() }), reaped(false));
    assert_eq!(tell(What::Reaped { pid: 11, comm: "p11".into() }), []);
}
