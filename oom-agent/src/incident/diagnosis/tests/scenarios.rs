//! What people run into: the first explanation is the one that they can act on.

use super::*;
use crate::incident::model::{Role, ScopeKind};
use crate::incident::state::State;
use crate::incident::verdict::Confidence::{Certain, Likely, Possible};
use crate::sink::samples::build::exempt;

fn first(incident: &mut Incident) -> (Code, Confidence) {
    codes(incident)[0]
}

#[test]
fn a_leak() {
    let mut leak = plain();
    counters(&mut leak, &[("anon_bytes", 505), ("shmem_bytes", 0), ("kernel_bytes", 4)]);
    steadily(&mut leak, 25);
    assert_eq!(codes(&mut leak), [(Code::SteadyLeak, Likely)]);
    // The agent has only just been started.
    steadily(&mut leak, 6);
    assert_eq!(first(&mut leak), (Code::SteadyLeak, Possible));
    // Near the limit already, and a little more.
    let rising: Vec<u64> = (470..500).collect();
    growth(&mut leak, Some(Shape::Steady), &rising);
    assert_eq!(first(&mut leak), (Code::SteadyLeak, Possible));
    // Up and down: nothing is known of a leak.
    growth(&mut leak, Some(Shape::Uneven), &[100, 400, 90, 500]);
    assert_eq!(codes(&mut leak), [(Code::LargeProcess, Likely)]);
}

#[test]
fn a_burst() {
    let mut burst = plain();
    growth(&mut burst, Some(Shape::Burst), &[40, 40, 41, 40, 41, 300]);
    assert_eq!(first(&mut burst), (Code::Burst, Likely));
    growth(&mut burst, Some(Shape::Burst), &[41, 300]);
    assert_eq!(first(&mut burst), (Code::Burst, Possible));
    // Too few for a shape.
    growth(&mut burst, None, &[41]);
    assert_eq!(first(&mut burst), (Code::Burst, Possible));
    growth(&mut burst, None, &[400]);
    assert_eq!(codes(&mut burst), [(Code::LargeProcess, Likely)]);
}

#[test]
fn files_in_tmpfs() {
    let mut tmpfs = one(40 * MIB);
    counters(&mut tmpfs, &[("anon_bytes", 42), ("shmem_bytes", 460), ("kernel_bytes", 6)]);
    growth(&mut tmpfs, Some(Shape::Burst), &[40, 40, 41, 40, 41, 300]);
    assert_eq!(first(&mut tmpfs), (Code::KillDidNotHelp, Likely));
    assert!(diagnose(&tmpfs)[0].title.contains("mpfs"));
    tmpfs.recovery = Some(Recovery { given_back_bytes: Some(41 * MIB), ..Recovery::default() });
    assert_eq!(first(&mut tmpfs), (Code::KillDidNotHelp, Certain));
    // It did help: the segment was the victim's.
    tmpfs.recovery = Some(Recovery { given_back_bytes: Some(480 * MIB), ..Recovery::default() });
    assert_eq!(sure(&mut tmpfs, Code::KillDidNotHelp), None);
    tmpfs.recovery = None;
    tmpfs.victims[0].memory.shmem_bytes = Some(450 * MIB);
    assert_eq!(sure(&mut tmpfs, Code::KillDidNotHelp), None);
}

#[test]
fn locked_memory() {
    let mut locked = plain();
    counters(&mut locked, &[("anon_bytes", 500), ("unevictable_bytes", 400)]);
    growth(&mut locked, Some(Shape::Burst), &[40, 40, 41, 40, 41, 300]);
    assert_eq!(first(&mut locked), (Code::NothingReclaimable, Certain));
    locked.memory_source = Some(Source::Files);
    assert_eq!(first(&mut locked), (Code::NothingReclaimable, Likely));
    counters(&mut locked, &[("unevictable_bytes", 10)]);
    assert_eq!(sure(&mut locked, Code::NothingReclaimable), None);
}

#[test]
fn a_neighbour() {
    let of = |big: u64, small: u64| {
        let mut sample = Sample::memcg("/pod", 512 * MIB, 131_072);
        sample.candidates =
            vec![candidate(300, "small", small, MIB, 900), candidate(200, "big", big, MIB, -998)];
        sample.asked(300);
        sample.kill(300);
        sample.build()
    };
    let mut neighbour = of(440 * MIB, 20 * MIB);
    growth(&mut neighbour, Some(Shape::Full), &[500, 505, 506, 505, 506, 505]);
    assert_eq!(codes(&mut neighbour)[..2], [(Code::NoisyNeighbour, Likely), (Code::AdjDecided, Certain)]);
    assert_eq!(sure(&mut of(200 * MIB, 190 * MIB), Code::NoisyNeighbour), None);

    // By cgroups, where processes were not seen.
    let candidates = std::mem::take(&mut neighbour.candidates);
    neighbour.victims[0].cgroup = Some("/pod/b/worker".into());
    let children = vec![cgroup("/pod/a", 480, None), cgroup("/pod/b", 30, None)];
    neighbour.state = Some(State { children, ..State::default() });
    assert_eq!(first(&mut neighbour), (Code::NoisyNeighbour, Likely));
    neighbour.victims[0].cgroup = Some("/pod/a".into());
    assert_eq!(sure(&mut neighbour, Code::NoisyNeighbour), None);

    // The victim's is not among the largest that are told.
    neighbour.victims[0].cgroup = Some("/pod/far".into());
    assert_eq!(first(&mut neighbour), (Code::NoisyNeighbour, Likely), "these are all that use anything");
    let more = (0..8).map(|at| cgroup(&format!("/pod/{at}"), 30, None));
    neighbour.state.as_mut().unwrap().children.extend(more);
    assert_eq!(
        sure(&mut neighbour, Code::NoisyNeighbour),
        None,
        "whether these are the largest is not known"
    );
    neighbour.state.as_mut().unwrap().children_total = Some(40);
    assert_eq!(first(&mut neighbour), (Code::NoisyNeighbour, Likely));
    let because = diagnose(&neighbour)[0].because.join("; ");
    assert!(because.contains("the victim's used 50 MiB at most"), "{because}");

    // By what the processes of each cgroup hold: each of them is smaller than the victim.
    neighbour.state = None;
    neighbour.victims[0].cgroup = Some("/pod/b".into());
    for (at, of) in [20, 15, 15, 15, 15].into_iter().enumerate() {
        let mut candidate = candidates[0].clone();
        candidate.pid = 300 + at as u32;
        candidate.memory.anon_bytes = Some(of * 5 * MIB);
        candidate.cgroup = Some(if at == 0 { "/pod/b/worker" } else { "/pod/a" }.into());
        neighbour.candidates.push(candidate);
    }
    assert_eq!(sure(&mut neighbour, Code::NoisyNeighbour), Some(Likely));
    neighbour.candidates[4].cgroup = Some("/pod/c".into());
    assert_eq!(sure(&mut neighbour, Code::NoisyNeighbour), None, "no single one");
}

#[test]
fn a_neighbour_below_the_same_limit() {
    let mut shared = plain();
    shared.victims[0].cgroup = Some("/demo/a".into());
    shared.trigger.as_mut().unwrap().pid = Some(300);
    shared.trigger.as_mut().unwrap().cgroup = Some("/demo/b".into());
    growth(&mut shared, Some(Shape::Burst), &[40, 40, 41, 40, 41, 300]);
    assert_eq!(codes(&mut shared)[..2], [(Code::NoisyNeighbour, Likely), (Code::Burst, Likely)]);
    shared.trigger.as_mut().unwrap().cgroup = Some("/demo/a/c".into());
    assert_eq!(first(&mut shared), (Code::Burst, Likely));
}

#[test]
fn a_fork_bomb() {
    let of = |processes: u32, each: u64| {
        let mut sample = Sample::memcg("/demo", 512 * MIB, 131_072);
        sample.candidates = (0..processes).map(|at| candidate(1000 + at, "bomb", each, MIB, 0)).collect();
        sample.asked(1000);
        sample.kill(1000);
        let mut incident = sample.build();
        growth(&mut incident, Some(Shape::Burst), &[40, 40, 41, 40, 41, 300]);
        incident
    };
    let mut bomb = of(400, MIB / 2);
    // Page tables and stacks are out of proportion, too.
    counters(&mut bomb, &[("anon_bytes", 200), ("kernel_bytes", 290), ("pagetables_bytes", 90)]);
    bomb.recovery = Some(Recovery {
        given_back_bytes: Some(MIB),
        usage_after_bytes: Some(511 * MIB),
        ..Recovery::default()
    });
    assert_eq!(first(&mut bomb), (Code::ForkBomb, Likely));
    assert_eq!(sure(&mut bomb, Code::KillDidNotHelp), Some(Likely));
    for (at, candidate) in bomb.candidates.iter_mut().enumerate() {
        candidate.comm = format!("{at}");
    }
    assert_eq!(sure(&mut bomb, Code::ForkBomb), Some(Possible));
    assert_eq!(sure(&mut of(40, 10 * MIB), Code::ForkBomb), None, "few");
    let mut daemons = of(400, MIB / 10);
    assert_eq!(sure(&mut daemons, Code::ForkBomb), None, "they hold little");
    let mut one_large = of(400, MIB / 2);
    one_large.candidates[0].memory.anon_bytes = Some(100 * MIB);
    assert_eq!(sure(&mut one_large, Code::ForkBomb), None, "one is large");
}

#[test]
fn swap_that_is_full() {
    let mut swap = plain();
    (swap.limits.swap_bytes, swap.limits.swap_usage_bytes) = (Some(100 * MIB), Some(100 * MIB));
    growth(&mut swap, Some(Shape::Burst), &[40, 40, 41, 40, 41, 300]);
    assert_eq!(codes(&mut swap), [(Code::SwapExhausted, Certain), (Code::Burst, Likely)]);
    steadily(&mut swap, 25);
    assert_eq!(codes(&mut swap), [(Code::SteadyLeak, Likely), (Code::SwapExhausted, Certain)]);
    let mut room = plain();
    (room.limits.swap_bytes, room.limits.swap_usage_bytes) = (Some(100 * MIB), Some(10 * MIB));
    assert_eq!(sure(&mut room, Code::SwapExhausted), None);

    let mut sample = Sample::machine(ScopeKind::Global, 262_144);
    sample.candidates = vec![candidate(200, "java", 700 * MIB, MIB, 0)];
    sample.kill(200);
    let mut machine = sample.build();
    counters(
        &mut machine,
        &[("ram_bytes", 1024), ("reserved_bytes", 40), ("swap_total_bytes", 96), ("swap_free_bytes", 0)],
    );
    assert_eq!(first(&mut machine), (Code::SwapExhausted, Certain));
    counters(&mut machine, &[("swap_total_bytes", 0)]);
    machine.verdict.clear();
    assert_eq!(codes(&mut machine), [(Code::LargeProcess, Likely)]);
}

#[test]
fn a_group_where_one_would_have_done() {
    let of = |other: u64| {
        let mut sample = Sample::memcg("/demo", 512 * MIB, 131_072);
        sample.candidates = vec![
            candidate(200, "hog", 440 * MIB, MIB, 0),
            candidate(201, "a", other, MIB, 0),
            candidate(202, "b", other, MIB, 0),
            exempt(203, "c", MIB, crate::incident::model::ExemptReason::AdjMin),
        ];
        sample.asked(200);
        sample.kill(200);
        sample.also(201, Role::Group);
        sample.also(202, Role::Group);
        let mut incident = sample.build();
        growth(&mut incident, Some(Shape::Burst), &[40, 40, 41, 40, 41, 300]);
        incident
    };
    let mut large = of(5 * MIB);
    assert_eq!(codes(&mut large)[..2], [(Code::GroupKillLarge, Likely), (Code::Burst, Likely)]);
    steadily(&mut large, 25);
    assert_eq!(first(&mut large), (Code::SteadyLeak, Likely));
    large.victims.pop();
    assert_eq!(sure(&mut large, Code::GroupKillLarge), Some(Possible));
    assert_eq!(sure(&mut of(100 * MIB), Code::GroupKillLarge), None);
}
