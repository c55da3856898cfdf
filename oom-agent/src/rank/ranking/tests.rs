//! Tables of constructed machines.

use super::*;
use crate::rank::facts::Unread;
use crate::rank::samples::{GIB, MIB, kernel_thread, level, machine, process, within};
use crate::rank::what_if::{self, Change};

fn order(ranking: &Ranking) -> Vec<u32> {
    ranking.candidates.iter().map(|candidate| candidate.pid).collect()
}

fn chosen(ranking: &Ranking) -> Option<u32> {
    ranking.decision.as_ref()?.pid
}

#[test]
fn points_are_pages_and_a_share_of_the_machines() {
    let ranking = rank(&machine(vec![
        process(10, "small", 999, 1),
        process(11, "large", 4_998, 0),
        process(12, "shielded", 100_000, -100),
        process(13, "less", 4_997, 0),
    ]));
    assert_eq!(ranking.total_pages, Some(4_000_000));
    let points: Vec<_> = ranking.candidates.iter().map(|it| (it.pid, it.points.unwrap())).collect();
    assert_eq!(points, [(10, 5_000), (11, 4_999), (13, 4_998), (12, -299_999)]);
    let decision = ranking.decision.unwrap();
    assert_eq!((decision.pid, decision.points), (Some(10), Some(5_000)));
    assert_eq!((decision.runner_up_pid, decision.margin_points), (Some(11), Some(1)));
    // At 0 it has 1,000 points; at 1, 5,000.
    assert_eq!(decision.adj_to_spare, Some(0));
}

#[test]
fn with_equal_points_the_last_one_scanned_wins() {
    let mut facts =
        machine(vec![process(30, "a", 100, 0), process(20, "b", 100, 0), process(10, "c", 100, 0)]);
    assert_eq!(order(&rank(&facts)), [30, 20, 10], "the one that started last");
    // Pids were used up once.
    facts.processes[2].start_ticks = 99;
    assert_eq!(order(&rank(&facts)), [10, 30, 20]);
    for process in &mut facts.processes {
        process.cgroup = Some("/x".into());
    }
    facts.levels = vec![level("/x", Some(GIB), MIB)];
    facts.places = [(30, (0, 1)), (20, (1, 0)), (10, (0, 0))].into();
    assert_eq!(order(&rank(&facts)), [20, 30, 10], "the one that the walk of the tree comes to last");
    assert_eq!(rank(&facts).decision.unwrap().margin_points, Some(0));
}

#[test]
fn exempt_ones_come_last_with_their_reason() {
    let mut init = process(1, "init", 9_000, 0);
    init.task.init = true;
    let mut exiting = process(11, "exiting", 0, 0);
    exiting.task.has_mm = Some(false);
    // What /proc does not show, its oom_score does.
    let mut skipped = process(12, "reaped or vfork", 9_000, 0);
    skipped.oom_score = Some(0);
    // So far down that 0 is what the formula gives.
    let mut low = process(13, "low", 1, -999);
    low.oom_score = Some(0);
    let adj = process(14, "adj", 9_000, -1000);
    let ranking = rank(&machine(vec![init, kernel_thread(2), exiting, skipped, low, adj]));
    assert_eq!(chosen(&ranking), Some(13), "even far below zero it is the only one");
    let mut reasons: Vec<_> =
        ranking.candidates.iter().filter(|it| !it.eligible).map(|it| (it.pid, it.exempt_reason)).collect();
    reasons.sort_by_key(|(pid, _)| *pid);
    let expected = [
        (1, Some(ExemptReason::Init)),
        (2, Some(ExemptReason::KernelThread)),
        (11, Some(ExemptReason::NoMm)),
        (12, None),
        (14, Some(ExemptReason::AdjMin)),
    ];
    assert_eq!(reasons, expected);
    assert!(ranking.candidates.iter().all(|it| it.eligible == it.points.is_some()));
}

#[test]
fn unknown_is_not_zero() {
    let mut facts = machine(vec![process(10, "known", 500, 0), process(11, "unknown", 500, 0)]);
    facts.processes[1].task.memory.swap_bytes = None;
    let ranking = rank(&facts);
    assert_eq!((order(&ranking), ranking.unknown_points), (vec![10, 11], 1));
    let decision = ranking.decision.unwrap();
    assert_eq!((decision.pid, decision.runner_up_pid, decision.adj_to_spare), (Some(10), None, None));
    // Nor does anybody come second where not all were seen.
    facts.processes[1] = process(11, "other", 400, 0);
    facts.unread = Unread { unreadable: 1, vanished: 0 };
    assert_eq!(rank(&facts).decision.unwrap().runner_up_pid, None);
    // An adj of 0 weighs nothing, of whatever share.
    facts.ram_bytes = None;
    facts.processes[1].task.oom_score_adj = Some(1);
    let ranking = rank(&facts);
    assert_eq!((ranking.total_pages, ranking.unknown_points, chosen(&ranking)), (None, 1, Some(10)));
}

#[test]
fn which_level_would_be_full() {
    let name = |ranking: &Ranking| (ranking.scope.cgroup.clone(), ranking.full_first.clone());
    let some = |cgroup: &str| Some(cgroup.to_owned());
    let none = |cgroup: &str| level(cgroup, None, MIB);
    for (what, levels, scope, full_first) in [
        ("its own limit", vec![level("/a/b", Some(GIB), MIB), none("/a")], some("/a/b"), some("/a/b")),
        (
            "its own, though another has less left",
            vec![level("/a/b", Some(GIB), MIB), level("/a", Some(GIB), 900 * MIB)],
            some("/a/b"),
            some("/a"),
        ),
        (
            "least left above it",
            vec![none("/a/b/c"), level("/a/b", Some(GIB), MIB), level("/a", Some(2 * GIB), 1900 * MIB)],
            some("/a"),
            some("/a"),
        ),
        (
            "as much left: the lower one",
            vec![none("/a/b/c"), level("/a/b", Some(GIB), MIB), level("/a", Some(GIB), MIB)],
            some("/a/b"),
            some("/a/b"),
        ),
        ("no limit anywhere", vec![none("/a/b"), none("/a")], None, None),
        (
            "nearest where nothing is known of the usage",
            vec![none("/a/b"), Level { usage_bytes: None, ..level("/a", Some(GIB), 0) }],
            some("/a"),
            some("/a"),
        ),
    ] {
        let ranking = rank(&Facts { levels, ..machine(vec![process(10, "x", 5, 0)]) });
        assert_eq!(name(&ranking), (scope.clone(), full_first), "{what}");
        let kind = if scope.is_some() { ScopeKind::Memcg } else { ScopeKind::Global };
        assert_eq!(ranking.scope.kind, Some(kind), "{what}");
    }
}

#[test]
fn only_the_cgroup_and_those_below_it_are_scanned() {
    let mut facts = machine(vec![
        within(process(10, "in", 5, 0), "/a"),
        within(process(11, "below", 4, 0), "/a/b"),
        within(process(12, "beside", 9, 0), "/ab"),
        process(13, "unknown", 9, 0),
    ]);
    facts.levels = vec![level("/a", Some(GIB), MIB)];
    assert_eq!(order(&rank(&facts)), [10, 11]);
    facts.levels[0].alone = true;
    assert_eq!(order(&rank(&facts)), [10], "memory.use_hierarchy 0");
}

#[test]
fn total_pages_of_a_cgroup_are_its_limit_and_the_swap_that_it_can_use() {
    let v1 = |memsw| Level { swap_max_bytes: None, memsw_max_bytes: memsw, ..level("/a", Some(GIB), MIB) };
    let v2 = |swap| Level { swap_max_bytes: swap, ..level("/a", Some(GIB), MIB) };
    let bytes = |bytes| Some(Bound::Bytes(bytes));
    for (what, level, swap, swappiness, expected) in [
        ("no swap for it", v2(bytes(0)), Some(4 * GIB), Some(60), Some(GIB)),
        ("some swap", v2(bytes(GIB)), Some(4 * GIB), Some(60), Some(2 * GIB)),
        ("more than there is", v2(Some(Bound::NONE)), Some(4 * GIB), Some(60), Some(5 * GIB)),
        ("nothing is swapped", v2(Some(Bound::NONE)), Some(4 * GIB), Some(0), Some(GIB)),
        ("the machine's swap is not known", v2(bytes(GIB)), None, Some(60), None),
        ("swappiness is not known", v2(bytes(GIB)), Some(4 * GIB), None, None),
        ("v1: both together", v1(bytes(3 * GIB)), Some(4 * GIB), Some(60), Some(3 * GIB)),
        ("v1: more than there is", v1(bytes(9 * GIB)), Some(4 * GIB), Some(60), Some(5 * GIB)),
        ("v1: no limit of both", v1(None), Some(4 * GIB), Some(60), Some(5 * GIB)),
        (
            "v1: its own swappiness",
            Level { swappiness: Some(0), ..v1(bytes(3 * GIB)) },
            Some(4 * GIB),
            Some(60),
            Some(GIB),
        ),
        ("a limit of nothing", level("/a", Some(0), 0), Some(0), Some(60), Some(4096)),
    ] {
        let facts = Facts { levels: vec![level], swap_bytes: swap, swappiness, ..machine(Vec::new()) };
        assert_eq!(rank(&facts).total_pages, expected.map(|bytes: u64| bytes / 4096), "{what}");
    }
}

#[test]
fn settings_under_which_points_do_not_decide() {
    let rule = |panic, asker, limited: bool, disabled: bool| {
        let mut facts = machine(vec![within(process(10, "x", 5, 0), "/a")]);
        facts.panic_on_oom = Some(panic);
        facts.oom_kill_allocating_task = Some(asker);
        facts.levels = if limited { vec![level("/a", Some(GIB), MIB)] } else { Vec::new() };
        facts.levels.iter_mut().for_each(|level| level.oom_kill_disable = Some(disabled));
        rank(&facts).decision.map(|decision| (decision.rule, decision.pid))
    };
    let points = Some((Rule::HighestPoints, Some(10)));
    assert_eq!(rule(0, 0, false, false), points);
    assert_eq!(rule(1, 1, false, false), Some((Rule::Panic, None)), "panic comes first");
    assert_eq!(rule(0, 1, false, false), Some((Rule::AllocatingTask, None)));
    assert_eq!(rule(1, 1, true, false), points, "neither is for memory cgroups");
    assert_eq!(rule(2, 0, true, false), Some((Rule::Panic, None)));
    assert_eq!(rule(2, 0, true, true), None, "nobody comes so far");
    let nobody = rank(&machine(vec![kernel_thread(2)])).decision.unwrap();
    assert_eq!((nobody.rule, nobody.pid), (Rule::NoneKillable, None));
}

#[test]
fn a_group_dies_up_to_the_level_that_is_full() {
    let mut facts = machine(vec![
        within(process(10, "first", 500, 0), "/pod/app"),
        within(process(11, "member", 5, 0), "/pod/app/child"),
        within(process(12, "exempt", 5, -1000), "/pod/app"),
        within(process(13, "other", 5, 0), "/pod/proxy"),
    ]);
    let mut zombie = within(process(14, "zombie", 0, 0), "/pod/app");
    zombie.task.has_mm = Some(false);
    facts.processes.push(zombie);
    let group = |facts: &Facts| rank(facts).group.map(|group| (group.cgroup, group.pids));
    let spares = |facts: &Facts| rank(facts).decision.unwrap().adj_to_spare.is_some();
    assert_eq!((group(&facts), spares(&facts)), (None, true));
    facts.oom_groups = ["/pod/app".to_owned()].into();
    assert_eq!(group(&facts), Some(("/pod/app".into(), vec![11])), "machine-wide too");
    facts.oom_groups.insert("/pod".into());
    assert_eq!(group(&facts), Some(("/pod".into(), vec![11, 13])), "the highest one");
    assert!(!spares(&facts), "whoever is chosen then, all of them die");
    facts.levels = vec![level("/pod/app", Some(GIB), MIB)];
    assert_eq!(group(&facts), Some(("/pod/app".into(), vec![11])), "none above the level that is full");
    facts.levels.clear();
    facts.oom_groups.remove("/pod");
    facts.processes.push(process(15, "elsewhere", 400, 0));
    assert!(spares(&facts), "the next one is none of the group");
}

#[test]
fn changes_change_the_outcome_and_what_they_cannot_change_is_refused() {
    let mut facts = machine(vec![
        within(process(10, "a", 5_000, 0), "/x"),
        within(process(11, "b", 4_000, 10), "/x"),
        within(process(12, "sidecar", 90_000, -1000), "/x"),
    ]);
    facts.processes[2].oom_score = Some(0);
    facts.levels = vec![level("/x", Some(GIB), 300 * MIB), level("/", None, GIB)];
    // 262 points a step.
    assert_eq!(chosen(&rank(&facts)), Some(11));
    let then =
        |change: &Change| what_if::apply(&facts, std::slice::from_ref(change)).map(|(facts, _)| rank(&facts));
    let limit = |cgroup: &str, limit| Change::Limit { cgroup: cgroup.into(), limit };
    assert_eq!(chosen(&then(&Change::Adj { pid: 11, adj: 0 }).unwrap()), Some(10));
    // Its oom_score of 0 told of an adj that it would not have.
    assert_eq!(chosen(&then(&Change::Adj { pid: 12, adj: 0 }).unwrap()), Some(12));
    let smaller = then(&limit("/x", Bound::Bytes(256 * MIB))).unwrap();
    assert_eq!((chosen(&smaller), smaller.total_pages), (Some(10), Some(65_536)), "65 points a step");
    assert_eq!(then(&limit("/x", Bound::NONE)).unwrap().scope.kind, Some(ScopeKind::Global));
    assert_eq!(then(&limit("/", Bound::Bytes(GIB))).unwrap().scope.cgroup.as_deref(), Some("/x"));
    for refused in [Change::Adj { pid: 99, adj: 0 }, limit("/y", Bound::NONE)] {
        assert!(then(&refused).is_err(), "{refused:?}");
    }
    let (_, changed) = what_if::apply(&facts, &[limit("/x", Bound::Bytes(256 * MIB))]).unwrap();
    assert!(matches!(changed[..], [what_if::Changed::Limit { exceeded: Some(true), .. }]), "{changed:?}");
}

#[test]
fn the_kernels_scores_are_compared_before_anything_is_changed() {
    let mut facts = machine(vec![
        process(10, "same", 39_999, 0),
        process(11, "off", 39_999, 0),
        process(12, "no score", 5, 0),
    ]);
    // 40,000 of 4,000,000 pages are 10 thousandths.
    facts.processes[0].oom_score = Some(673);
    facts.processes[1].oom_score = Some(700);
    let check = cross_check(&facts);
    assert_eq!((check.compared, check.disagree), (2, vec![11]));
}
