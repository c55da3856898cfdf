//! How full everything was: from the kernel, the report and files, and what is said when some of it is lost.

use super::facts::*;
use crate::incident::escalation::{Pressure, Pressures};
use crate::incident::fact::{Child, Fact, FileCgroup, Files, Level, Of};
use crate::incident::model::{Incident, ScopeKind};
use crate::incident::state::{MachineState, Source};

fn level(depth: usize, usage: u64, max: Option<u64>) -> Fact {
    Fact::Level(Box::new(Level {
        call: 1,
        depth,
        id: Some(70 - depth as u64),
        root: depth == 1,
        usage_bytes: Some(usage * PAGE).filter(|_| depth == 0),
        max_bytes: max.map(|max| max * PAGE),
        children: (depth == 0).then_some(30),
        children_sent: if depth == 0 { 12 } else { 0 },
        ..Level::default()
    }))
}

fn child(number: u64, pages: u64) -> Fact {
    Fact::Child(Box::new(Child {
        call: 1,
        id: Some(100 + number),
        name: format!("c{number:02}"),
        usage_bytes: Some(pages * PAGE),
        ..Child::default()
    }))
}

fn file(cgroup: &str, id: u64) -> FileCgroup {
    FileCgroup {
        cgroup: cgroup.into(),
        id: Some(id),
        usage_bytes: Some(5 * PAGE),
        max_bytes: Some(9 * PAGE),
        stat: [("anon".to_owned(), 3 * PAGE), ("inactive_anon".to_owned(), 1), ("pgfault".to_owned(), 4)]
            .into(),
        ..FileCgroup::default()
    }
}

fn files(of: Of) -> Files {
    Files {
        of,
        read_ns: Some(1000 * MS + 3 * MS),
        levels: vec![file("/a", 70), file("/", 69)],
        // The name is another cgroup's by now.
        children: vec![file("/a/c11", 111), file("/a/c10", 999)],
        children_total: Some(2),
        machine: Some(MachineState { total_bytes: Some(7), ..MachineState::default() }),
        pressure: Pressures {
            cgroup: Some(Pressure { some_avg10: Some(1.5), ..Pressure::default() }),
            machine: None,
        },
    }
}

fn told(files: &Files) -> Fact {
    Fact::Files(Box::new(files.clone()))
}

/// A whole call with these facts before its end.
fn run(before_end: Vec<Fact>, levels_lost: u64) -> Incident {
    let victim = task(10, 5000, 0);
    let mut facts = whole_call(1, &victim, std::slice::from_ref(&victim));
    let end = facts.iter_mut().find_map(|fact| if let Fact::End(end) = fact { Some(end) } else { None });
    end.unwrap().levels_lost = levels_lost;
    let mut all: Vec<Fact> = facts.drain(..2).collect();
    all.extend(before_end);
    all.extend(facts);
    Run::full().push_all(all).one()
}

#[test]
fn the_kernels_counters_come_first_and_files_add_the_break_down() {
    let mut facts: Vec<Fact> = (0..12).map(|n| child(n, n + 1)).collect();
    facts.extend([level(0, 50, Some(60)), level(1, 0, None), told(&files(Of::Call(1)))]);
    let incident = run(facts, 0);
    let state = incident.state.as_ref().unwrap();
    let levels: Vec<_> =
        state.cgroups.iter().map(|it| (it.cgroup.as_str(), it.source, it.usage_bytes)).collect();
    assert_eq!(levels, [("/a", Source::Kernel, Some(50 * PAGE)), ("/", Source::Kernel, None)]);
    assert!(state.cgroups[0].memory.is_empty(), "it is the incident's own");
    assert_eq!(incident.memory["anon_bytes"], 3 * PAGE);
    assert_eq!(incident.memory["inactive_anon_bytes"], 1);
    assert_eq!(incident.memory_source, Some(Source::Files));
    assert_eq!(state.cgroups[1].memory_source, Some(Source::Files));
    assert_eq!(state.cgroups[1].memory.len(), 1, "the rest is detail");
    assert_eq!((state.children.len(), state.children_total), (10, Some(30)));
    let largest: Vec<_> = state.children.iter().take(2).map(|it| it.cgroup.as_str()).collect();
    assert_eq!(largest, ["/a/c11", "/a/c10"]);
    assert_eq!(state.children[0].memory["anon_bytes"], 3 * PAGE);
    assert_eq!(state.children[1].memory_source, None, "another cgroup's");
    assert_eq!(state.files_read_after_ns, Some(3 * MS));
    assert_eq!(state.machine.as_ref().unwrap().total_bytes, Some(7));
    assert_eq!(bpf_notes(&incident.evidence.notes), [""; 0]);
}

/// It changes while they are read, and the kernel adds it up processor by processor.
#[test]
fn files_that_tell_of_more_than_the_limit_are_not_believed() {
    let with = |anon: u64| {
        let mut files = files(Of::Call(1));
        files.levels[0].stat = [("anon".to_owned(), anon * PAGE), ("file".to_owned(), 2 * PAGE)].into();
        run(vec![told(&files)], 0)
    };
    let limit = with(1).limits.memory_bytes.unwrap() / PAGE;
    assert_eq!(with(limit - 2).memory_source, Some(Source::Files));
    let doubted = with(limit + limit / 100 + 1);
    assert_eq!((doubted.memory.len(), doubted.memory_source), (0, None));
    assert!(doubted.evidence.notes.iter().any(|note| note.contains("more memory than was in use")));
}

#[test]
fn what_is_lost_is_said_and_not_claimed() {
    let facts = vec![child(11, 12), level(1, 0, None)];
    let incident = run(facts, 12);
    assert_eq!(incident.state, None, "the first level is missing");
    assert_eq!(incident.evidence.lost_records, 12);
    assert_eq!(bpf_notes(&incident.evidence.notes), ["12 records of how full cgroups were are lost."]);

    let incident = run(vec![child(11, 12), level(0, 50, None)], 12);
    let state = incident.state.unwrap();
    assert_eq!((state.cgroups.len(), state.children.len()), (1, 1));
    assert_eq!(
        bpf_notes(&incident.evidence.notes),
        [
            "12 records of how full cgroups were are lost.",
            "11 child cgroups are not known, perhaps large ones.",
        ]
    );
}

#[test]
fn files_that_were_not_read_are_said_to_be_missing() {
    let incident = run(vec![told(&Files { read_ns: None, levels: vec![], ..files(Of::Call(1)) })], 0);
    assert_eq!(incident.state, None);
    assert_eq!(incident.memory_source, None);
    assert_eq!(
        bpf_notes(&incident.evidence.notes),
        ["Too many kills at once: files of the cgroups and of the machine were not read."]
    );
}

#[test]
fn below_the_full_level_the_report_tells_of_the_full_cgroup_and_files_of_the_rest() {
    let victim = task(10, 5000, 0);
    for late in [false, true] {
        let mut run = Run::tracepoint();
        let report = reported(1000, report(&victim, std::slice::from_ref(&victim), &victim));
        let (bpf, log) = (
            [pseudo(1, victim.clone()), killed(1, victim.clone())],
            [report, told(&files(Of::Report(Some(10))))],
        );
        let facts: Vec<Fact> =
            if late { log.into_iter().chain(bpf).collect() } else { bpf.into_iter().chain(log).collect() };
        run.push_all(facts).push_all([logged(1001, &victim), exit(1, &victim)]);
        let incident = run.one();
        let state = incident.state.unwrap();
        assert_eq!(incident.scope.kind, Some(ScopeKind::Memcg));
        let levels: Vec<_> = state.cgroups.iter().map(|it| (it.source, it.max_bytes)).collect();
        assert_eq!(levels, [(Source::Report, Some(TOTAL * PAGE)), (Source::Files, Some(9 * PAGE))], "{late}");
        assert_eq!((state.children.len(), state.children_total), (2, Some(2)));
        assert_eq!(incident.memory_source, Some(Source::Report));
    }
}

#[test]
fn the_machine_has_children_and_no_levels() {
    let victim = task(10, 5000, 0);
    let mut run = Run::full();
    let root = Fact::Level(Box::new(Level {
        call: 1,
        root: true,
        children: Some(1),
        children_sent: 1,
        ..Level::default()
    }));
    run.push_all([candidate(1, victim.clone()), fact(machine(1, victim.clone(), 0)), child(3, 4), root]);
    run.push(Fact::Decision(Box::new(decision(1, victim.clone(), ScopeKind::Global))));
    run.push(killed(1, victim.clone()));
    let global = crate::incident::fact::End { constraint: Some(ScopeKind::Global), ..end_fact(1, 1) };
    run.push_all([Fact::End(global), exit(1, &victim)]);
    let state = run.one().state.unwrap();
    assert!(state.cgroups.is_empty());
    assert_eq!((state.children[0].cgroup.as_str(), state.children_total), ("/c03", Some(1)));
}

#[test]
fn what_never_is_told_does_not_pile_up() {
    let mut run = Run::full();
    for call in 1..2000 {
        run.push(Fact::Child(Box::new(Child { call, ..Child::default() })));
    }
    assert!(run.assembler.levels.kept() <= 256);
}

#[test]
fn pressure_is_told_where_files_were_read() {
    let incident = run(vec![told(&files(Of::Call(1)))], 0);
    let pressure = incident.escalation.unwrap().pressure;
    assert_eq!(pressure, Some(files(Of::Call(1)).pressure));
    // Without reclaim it stands alone.
    let none = Pressures::default();
    let none = run(vec![told(&Files { pressure: none, ..files(Of::Call(1)) })], 0);
    assert_eq!(none.escalation.and_then(|it| it.pressure), None);
}
