//! What the log says besides reports and kills, and what older kernels decide otherwise.

use super::facts::*;
use super::samples::{run, samples_in};
use crate::incident::assembler::Config;
use crate::incident::fact::{Fact, Task};
use crate::incident::model::{Incident, Level, Memory, PointsSource, Role, Rule};
use crate::report::{Chosen, Killed, Report, What};

fn old(name: &str) -> Incident {
    let sample =
        samples_in("src/report/testdata/old").into_iter().find(|sample| sample.name == name).unwrap();
    run(Level::Log, sample.events.into_iter().map(Fact::Log).collect()).swap_remove(0)
}

fn noted(incident: &Incident, part: &str) -> bool {
    incident.evidence.notes.iter().any(|note| note.contains(part))
}

fn whole(at: u64, tasks: &[Task]) -> Vec<Fact> {
    let chosen = &tasks[0];
    vec![invoked(at, chosen), reported(at, report(chosen, tasks, chosen)), logged(at, chosen)]
}

fn sharing(at: u64, task: &Task) -> Fact {
    log(at, What::Sharing { pid: task.tid, comm: task.comm.clone() })
}

fn exiting(at: u64, task: &Task) -> Fact {
    log(at, What::Exiting { pid: task.tid, comm: task.comm.clone() })
}

fn not_reaped(at: u64, task: &Task) -> Fact {
    log(at, What::NotReaped { pid: task.tid, comm: task.comm.clone() })
}

/// `oom_kill_process` of 3.10: 2376 is chosen, its child 2380 dies, and 2381, which shares that one's memory.
#[test]
fn a_child_dies_for_the_chosen_one() {
    let incident = old("3.10-memcg-child");
    let roles: Vec<_> = incident.victims.iter().map(|it| (it.pid, &*it.comm, it.role)).collect();
    assert_eq!(roles, [(2380, "worker", Role::Selected), (2381, "mate", Role::SharedMemory)]);
    assert_eq!(incident.victims[1].memory.rss_bytes, Some(9020 * PAGE), "from the task table");
    let decision = incident.decision.as_ref().unwrap();
    assert_eq!((decision.pid, decision.comm.as_deref()), (Some(2376), Some("mal-80")));
    assert_eq!((decision.rule, decision.points), (Rule::HighestPoints, Some(14_054)));
    assert_eq!(decision.runner_up_pid, Some(2380));
    assert_eq!((decision.margin_points, decision.adj_to_spare), (None, None), "its child would have died");
    assert!(!noted(&incident, "rank another"));
    // 14054 of 25600 pages are the 548 thousandths that the kernel printed.
    assert_eq!(incident.total_pages, Some(25_600), "memory and swap together are limited to 100 MiB");

    let incident = old("4.9-global");
    assert_eq!(incident.decision.as_ref().unwrap().pid, Some(15_600));
    assert_eq!(incident.victims[0].pid, 15_611);
}

#[test]
fn the_chosen_one_itself_is_no_child_of_its() {
    for name in ["4.18-global-slab", "5.0-memcg", "4.4-memcg", "3.10-rhel7-global"] {
        let incident = old(name);
        assert_eq!(incident.decision.unwrap().pid, Some(incident.victims[0].pid), "{name}");
    }
    // Another thread of it.
    let thread = Task { tid: 15, ..task(10, 8000, 0) };
    let line = Killed {
        chosen: Some(Chosen { pid: 10, comm: "p10".into(), score: 600, ..Chosen::default() }),
        ..killed_line(&thread)
    };
    let mut run = Run::new(Config::new(Level::Log));
    run.push_all([
        reported(1000, report(&thread, std::slice::from_ref(&thread), &thread)),
        log(1000, What::Killed(Box::new(line))),
    ]);
    let incident = run.assembler.finish().swap_remove(0);
    let decision = incident.decision.unwrap();
    assert_eq!((decision.pid, decision.tid, incident.victims[0].pid), (Some(10), Some(15), 10));
}

#[test]
fn processes_that_share_memory_need_a_victim_before_them() {
    let [a, b, c] = [task(10, 8000, 0), task(11, 500, 0), task(12, 400, 0)];
    let mut run = Run::new(Config::new(Level::Log));
    // The first belongs to nothing, b is told twice.
    run.push(sharing(900, &c)).push_all(whole(1000, &[a, b.clone(), c.clone()]));
    run.push_all([sharing(1000, &b), sharing(1000, &b), sharing(1001, &c)]);
    let incident = run.assembler.finish().swap_remove(0);
    let roles: Vec<_> = incident.victims.iter().map(|it| (it.pid, it.role)).collect();
    assert_eq!(roles, [(10, Role::Selected), (11, Role::SharedMemory), (12, Role::SharedMemory)]);

    // Without times too.
    let mut run = Run::new(Config::new(Level::Log));
    for fact in [logged(1, &b), sharing(1, &c)] {
        let Fact::Log(event) = fact else { unreachable!() };
        run.push(Fact::Log(crate::report::Event { time_ns: None, ..event }));
    }
    let incident = run.assembler.finish().swap_remove(0);
    assert_eq!(
        (incident.victims[1].role, incident.victims[1].killed_boottime_ns),
        (Role::SharedMemory, None)
    );
}

#[test]
fn a_chosen_one_that_was_exiting_is_no_victim() {
    let (a, b) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::new(Config::new(Level::Log));
    run.push_all(whole(1000, &[a.clone(), b.clone()]).drain(..2)).push(exiting(1000, &a));
    let incident = run.assembler.finish().swap_remove(0);
    let decision = incident.decision.as_ref().unwrap();
    assert_eq!((decision.rule, decision.pid, incident.victims.len()), (Rule::AlreadyDying, Some(10), 0));
    assert!(noted(&incident, "Nothing was killed") && !noted(&incident, "does not say whether"));

    // A member of a group was exiting: the others died.
    let mut run = Run::new(Config::new(Level::Log));
    run.push_all(whole(1000, &[a, b.clone()])).push_all([group_kill(1000), exiting(1000, &b)]);
    let incident = run.assembler.finish().swap_remove(0);
    assert_eq!((incident.decision.unwrap().rule, incident.victims.len()), (Rule::HighestPoints, 1));
}

#[test]
fn a_victim_that_could_not_be_reaped_is_noted() {
    let (a, b) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::new(Config::new(Level::Log));
    run.push_all(whole(1000, std::slice::from_ref(&a)));
    run.push_all([not_reaped(3000, &a), not_reaped(3000, &a), not_reaped(3000, &b)]);
    let incident = run.assembler.finish().swap_remove(0);
    let notes: Vec<_> = incident.evidence.notes.iter().filter(|note| note.contains("not reap")).collect();
    assert_eq!(notes, ["The kernel could not reap 10: its memory stays until it exits."]);
}

#[test]
fn reports_that_were_left_out_are_noted_at_the_next_one() {
    let (a, b) = (task(10, 8000, 0), task(11, 500, 0));
    let mut run = Run::new(Config::new(Level::Log));
    run.push(logged(1000, &a)).push(log(7000, What::Suppressed { reports: 15 }));
    run.push_all(whole(7000, std::slice::from_ref(&b)));
    let mut told = run.ready();
    told.extend(run.assembler.finish());
    assert_eq!(told.iter().map(|it| noted(it, "left out 15 reports")).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn points_are_pages_of_the_reports_size() {
    let incident = old("4.18-rhel8-64k");
    let decision = incident.decision.unwrap();
    // rss, and 51 pages of page tables.
    assert_eq!(decision.points, Some(201_044 + 51));
    // 221184 pages less 4096 reserved.
    assert_eq!(incident.total_pages, Some(217_088));
    assert_eq!(incident.candidates[0].points_source, Some(PointsSource::Computed));
}

/// A memory cgroup's report does not say how large its pages are.
#[test]
fn the_victims_line_tells_the_page_size() {
    let of = |times: u64, tables: u64| {
        let mut small = task(10, 8000, 0);
        small.memory.total_vm_bytes = Some(9000 * PAGE);
        small.memory.pgtables_bytes = Some(tables);
        let mut line = killed_line(&small);
        line.memory = Memory { total_vm_bytes: Some(9000 * PAGE * times), ..Memory::default() };
        let tasks = [small.clone(), task(11, 500, 0)];
        let mut rows = report(&small, &tasks, &small);
        rows.tasks[1].memory.pgtables_bytes = Some(2 * tables);
        let mut run = Run::new(Config::new(Level::Log));
        run.push_all([reported(1000, rows), log(1000, What::Killed(Box::new(line)))]);
        let incident = run.assembler.finish().swap_remove(0);
        let memory = incident.candidates[0].memory;
        (incident.page_size_bytes, memory.anon_bytes, memory.pgtables_bytes, incident.candidates[0].points)
    };
    let large = Some(16 * PAGE);
    assert_eq!(of(1, PAGE), (None, Some(8000 * PAGE), Some(PAGE), Some(8001)));
    assert_eq!(of(3, PAGE), (None, Some(8000 * PAGE), Some(PAGE), Some(8001)), "it has grown");
    assert_eq!(of(16, 16 * PAGE), (large, Some(8000 * 16 * PAGE), Some(16 * PAGE), Some(8001)));
    assert_eq!(of(16, 3 * PAGE), (large, Some(8000 * 16 * PAGE), Some(48 * PAGE), Some(8003)), "counted");
    assert_eq!(of(4, 4 * PAGE).0, Some(4 * PAGE));

    // On this machine it is known without a line.
    for (size, expected) in [(16 * PAGE, large), (PAGE, None)] {
        let small = Task {
            memory: Memory { pgtables_bytes: Some(0), ..task(10, 8000, 0).memory },
            ..task(10, 8000, 0)
        };
        let mut run = Run::new(Config { page_size: size, ..Config::new(Level::Kmsg) });
        run.push(reported(1000, report(&small, std::slice::from_ref(&small), &small)));
        let incident = run.assembler.finish().swap_remove(0);
        assert_eq!((incident.page_size_bytes, incident.candidates[0].points), (expected, Some(8000)));
    }
}

/// `oom_badness` up to 4.16.
#[test]
fn root_had_a_bonus() {
    let of = |release: Option<&str>, uids: [u32; 2], pages: [u64; 2]| {
        let tasks = [0, 1].map(|i| Task { uid: Some(uids[i]), ..task(10 + i as u32, pages[i], 0) });
        let mut said = report(&tasks[0], &tasks, &tasks[0]);
        said.chosen = Some(Chosen { pid: 10, comm: "p10".into(), score: 600, ..Chosen::default() });
        said.invocation.as_mut().unwrap().kernel_release = release.map(str::to_owned);
        let mut run = Run::new(Config::new(Level::Log));
        run.push_all([reported(1000, said), logged(1000, &tasks[0])]);
        let incident = run.assembler.finish().swap_remove(0);
        let (bonus, contradicts) = (noted(&incident, "up to 4.16"), noted(&incident, "rank another"));
        let decision = incident.decision.unwrap();
        (bonus, contradicts, decision.runner_up_pid, decision.margin_points.is_some())
    };
    let told = |release| of(Some(release), [0, 1000], [8000, 500]);
    for release in ["3.10.0-957.el7.x86_64", "4.16.18"] {
        assert_eq!(told(release), (true, false, Some(11), false), "{release}");
    }
    for release in ["4.17.0", "4.18.0-80.el8.aarch64", "5.0.21"] {
        assert_eq!(told(release), (false, false, Some(11), true), "{release}");
    }
    assert_eq!(of(None, [0, 1000], [8000, 500]), (true, false, Some(11), false));
    assert_eq!(of(Some("4.4.0"), [1000, 1000], [8000, 500]), (false, false, Some(11), true));
    assert_eq!(of(Some("4.4.0"), [1000, 0], [8000, 8100]), (true, false, None, false), "it had fewer");
    assert_eq!(of(Some("4.4.0"), [1000, 1001], [8000, 8100]), (false, true, None, false));
    assert_eq!(Report::default().chosen, None);
}

/// Up to 5.8 `oom_badness` gives one point at least.
#[test]
fn who_may_be_killed_had_a_point() {
    let points = |name, pid| {
        let incident = old(name);
        incident.candidates.iter().find(|it| it.pid == pid).unwrap().points
    };
    assert_eq!(points("4.18-global-slab", 301), Some(1));
}
