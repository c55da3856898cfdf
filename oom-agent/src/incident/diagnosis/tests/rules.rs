//! The other rules.

use super::*;
use crate::incident::model::{Decision, ExemptReason, Rule, ScopeKind};
use crate::incident::state::{MachineState, State};
use crate::incident::verdict::Confidence::{Certain, Likely, Possible};
use crate::sink::samples::{self, build::exempt};

fn sample(name: &str) -> Incident {
    samples::all().into_iter().find(|(other, _)| *other == name).unwrap().1
}

/// A machine of 1000 MiB where one process of `held` MiB died.
fn machine(held: u64, more: &[(&'static str, u64)]) -> Incident {
    let mut sample = Sample::machine(ScopeKind::Global, 262_144);
    sample.candidates = vec![candidate(200, "java", held * MIB, MIB, 0)];
    sample.kill(200);
    let mut incident = sample.build();
    counters(&mut incident, &[("ram_bytes", 1024), ("reserved_bytes", 24)]);
    counters(&mut incident, more);
    incident
}

#[test]
fn an_order() {
    assert_eq!(codes(&mut sample("sysrq"))[0], (Code::Ordered, Certain));
    assert_eq!(sure(&mut sample("global"), Code::Ordered), None);
}

#[test]
fn settings() {
    let mut panic = sample("panic");
    assert_eq!(codes(&mut panic)[0], (Code::PanicOnOom, Likely));
    panic.kernel_log =
        Some("x\nKernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled".into());
    assert_eq!(codes(&mut panic)[0], (Code::PanicOnOom, Certain));
    panic.kernel_log = Some("Kernel panic - not syncing: System is deadlocked on memory".into());
    assert_eq!(sure(&mut panic, Code::PanicOnOom), None);
    assert_eq!(codes(&mut panic)[0], (Code::EverythingExempt, Certain));

    assert_eq!(codes(&mut sample("allocating_task"))[0], (Code::AllocatingTask, Certain));
    assert_eq!(sure(&mut plain(), Code::AllocatingTask), None);

    let mut none = sample("none_killable");
    assert_eq!(codes(&mut none)[0], (Code::EverythingExempt, Certain));
    none.candidates.clear();
    none.candidates_evaluated = Some(0);
    assert!(diagnose(&none)[0].title.contains("no process is in"));
    assert_eq!(sure(&mut plain(), Code::EverythingExempt), None);
}

#[test]
fn adj_decides() {
    let of = |adj: i32, held: u64| {
        let mut sample = Sample::memcg("/demo", 512 * MIB, 131_072);
        sample.candidates = vec![
            candidate(300, "chosen", 100 * MIB, MIB, adj),
            candidate(200, "other", held * MIB, MIB, 0),
            exempt(201, "child", 400 * MIB, ExemptReason::Vfork),
        ];
        sample.kill(300);
        sample.build()
    };
    assert_eq!(sure(&mut of(500, 180), Code::AdjDecided), Some(Certain));
    assert_eq!(sure(&mut of(500, 102), Code::AdjDecided), None, "counters are not so exact");
    assert_eq!(sure(&mut of(500, 20), Code::AdjDecided), None, "it is the largest");
    // Equal adj: points that the kernel counted and this does not.
    assert_eq!(sure(&mut of(0, 180), Code::AdjDecided), None);
    let mut asked = of(500, 180);
    asked.decision = Some(Decision { rule: Rule::AllocatingTask, ..asked.decision.unwrap() });
    assert_eq!(sure(&mut asked, Code::AdjDecided), None, "nobody was compared");
    let mut protected = of(0, 180);
    protected.candidates[1] = exempt(200, "other", 180 * MIB, ExemptReason::AdjMin);
    assert_eq!(sure(&mut protected, Code::AdjDecided), Some(Certain));
}

#[test]
fn a_limit_below_the_working_set() {
    let mut full = plain();
    counters(&mut full, &[("anon_bytes", 480), ("shmem_bytes", 0)]);
    growth(&mut full, Some(Shape::Full), &[505; 30]);
    assert_eq!(codes(&mut full)[0], (Code::LimitBelowWorkingSet, Possible));
    counters(&mut full, &[("anon_bytes", 380)]);
    assert_eq!(sure(&mut full, Code::LimitBelowWorkingSet), None, "file cache fills any limit");
    full.growth.as_mut().unwrap().file_refaults = Some(100 << 8);
    assert_eq!(sure(&mut full, Code::LimitBelowWorkingSet), None, "100 MiB read again");
    full.growth.as_mut().unwrap().file_refaults = Some(200 << 8);
    assert_eq!(codes(&mut full)[0], (Code::LimitBelowWorkingSet, Likely));
    full.growth.as_mut().unwrap().shape = Some(Shape::Uneven);
    assert_eq!(sure(&mut full, Code::LimitBelowWorkingSet), None);
}

#[test]
fn a_limit_of_the_pod_alone() {
    let mut pod = sample("pod");
    let own = pod.victims[0].cgroup.clone().unwrap();
    pod.state = None;
    assert_eq!(sure(&mut pod, Code::PodLimitOnly), Some(Possible));
    assert!(diagnose(&pod).iter().any(|it| it.title.contains("pod")));
    let mut with = |max| {
        let children = vec![cgroup(&own, 500, max)];
        pod.state = Some(State { children, ..State::default() });
        sure(&mut pod, Code::PodLimitOnly)
    };
    assert_eq!(with(Some(i64::MAX as u64)), Some(Certain));
    assert_eq!(with(Some(600 * MIB)), Some(Certain), "it cannot be reached");
    assert_eq!(with(Some(400 * MIB)), None, "it has a limit");
    assert_eq!(sure(&mut plain(), Code::PodLimitOnly), None);
}

#[test]
fn a_memory_cgroup_on_a_machine_with_full_swap() {
    let with = |free: u64| {
        let mut incident = plain();
        (incident.limits.swap_bytes, incident.limits.swap_usage_bytes) = (None, None);
        let machine = MachineState {
            swap_total_bytes: Some(1024 * MIB),
            swap_free_bytes: Some(free * MIB),
            ..MachineState::default()
        };
        incident.state = Some(State { machine: Some(machine), ..State::default() });
        incident
    };
    assert_eq!(sure(&mut with(0), Code::SwapExhausted), Some(Likely));
    assert_eq!(sure(&mut with(100), Code::SwapExhausted), None);
    let mut forbidden = with(0);
    forbidden.limits.swap_bytes = Some(0);
    assert_eq!(sure(&mut forbidden, Code::SwapExhausted), None);
}

#[test]
fn the_form_and_the_place_of_free_memory() {
    assert_eq!(codes(&mut sample("global"))[0].0, Code::Fragmentation);
    assert_eq!(codes(&mut sample("cpuset"))[0].0, Code::NodesImbalanced);
    for code in [Code::Fragmentation, Code::NodesImbalanced] {
        assert_eq!(sure(&mut sample("nodes"), code), None);
    }
}

#[test]
fn huge_pages() {
    let of = |pool, free| machine(100, &[("hugetlb_bytes", pool), ("hugetlb_free_bytes", free)]);
    assert_eq!(codes(&mut of(700, 650))[0], (Code::KillDidNotHelp, Certain));
    assert_eq!(codes(&mut of(700, 0))[0], (Code::KillDidNotHelp, Likely));
    assert_eq!(sure(&mut of(300, 300), Code::KillDidNotHelp), None);
}

#[test]
fn memory_of_nobody_in_it() {
    let of = |anon| {
        let mut incident = one(20 * MIB);
        counters(&mut incident, &[("anon_bytes", anon)]);
        incident
    };
    assert_eq!(sure(&mut of(500), Code::KillDidNotHelp), Some(Possible));
    assert_eq!(sure(&mut of(200), Code::KillDidNotHelp), None);
    let mut dying = of(500);
    dying.candidates[1].exempt_reason = Some(ExemptReason::NoMm);
    assert_eq!(sure(&mut dying, Code::KillDidNotHelp), None, "it is that one's");
    let mut lost = of(500);
    lost.candidates_lost = Some(1);
    assert_eq!(sure(&mut lost, Code::KillDidNotHelp), None);
}

#[test]
fn file_cache_that_stays() {
    let of = |cache, dirty| {
        machine(100, &[("active_file_bytes", 0), ("inactive_file_bytes", cache), ("file_dirty_bytes", dirty)])
    };
    assert_eq!(sure(&mut of(600, 500), Code::NothingReclaimable), Some(Possible));
    assert!(diagnose(&of(600, 500)).iter().any(|it| it.advice.contains("disk")));
    assert!(diagnose(&of(600, 0)).iter().any(|it| it.advice.contains("pinned")));
    assert_eq!(sure(&mut of(300, 300), Code::NothingReclaimable), None);
}

#[test]
fn kernel_memory() {
    let of = |name, mib| machine(100, &[(name, mib)]);
    assert_eq!(codes(&mut of("pagetables_bytes", 150))[0], (Code::KernelMemory, Likely));
    assert_eq!(codes(&mut of("pagetables_bytes", 600))[0], (Code::KernelMemory, Certain));
    assert_eq!(codes(&mut of("slab_unreclaimable_bytes", 600))[0], (Code::KernelMemory, Certain));
    assert_eq!(codes(&mut of("sock_bytes", 400))[0], (Code::KernelMemory, Likely));
    for (name, mib) in
        [("pagetables_bytes", 50), ("slab_unreclaimable_bytes", 200), ("slab_reclaimable_bytes", 600)]
    {
        assert_eq!(sure(&mut of(name, mib), Code::KernelMemory), None, "{name}");
    }
    let mut v1 = plain();
    v1.limits.kmem_usage_bytes = Some(300 * MIB);
    counters(&mut v1, &[("anon_bytes", 200)]);
    assert_eq!(sure(&mut v1, Code::KernelMemory), Some(Certain));
    // Of 512 MiB little is in use when the report is printed: a fork bomb that was killed meanwhile.
    v1.limits.usage_bytes = Some(310 * MIB / 10);
    v1.limits.kmem_usage_bytes = Some(300 * MIB / 10);
    assert_eq!(sure(&mut v1, Code::KernelMemory), Some(Likely), "who filled it has left");

    let all = |anon| {
        machine(
            100,
            &[
                ("free_bytes", 20),
                ("active_anon_bytes", anon),
                ("unevictable_bytes", 0),
                ("slab_unreclaimable_bytes", 40),
            ],
        )
    };
    assert_eq!(codes(&mut all(300))[0], (Code::KernelMemory, Likely));
    assert_eq!(sure(&mut all(800), Code::KernelMemory), None);
    let mut cut = all(300);
    cut.memory.remove("active_anon_bytes");
    assert_eq!(sure(&mut cut, Code::KernelMemory), None, "the report is cut");
}

#[test]
fn a_child_of_a_container() {
    let of = |victim: u32, cgroup: &str| {
        let mut sample = Sample::memcg(cgroup, 512 * MIB, 131_072);
        let pids = [100, 101, 102, 103];
        sample.candidates = pids.map(|pid| candidate(pid, "worker", 100 * MIB, MIB, 0)).into();
        sample.kill(victim);
        sample.build()
    };
    let container = "/kubepods/burstable/pod1/cri-containerd-1.scope";
    assert_eq!(sure(&mut of(103, container), Code::ChildKilled), Some(Likely));
    assert_eq!(sure(&mut of(100, container), Code::ChildKilled), None, "the first process takes all with it");
    assert_eq!(sure(&mut of(103, "/user.slice/session-1.scope"), Code::ChildKilled), None);
    let mut shell = of(103, container);
    shell.candidates.truncate(1);
    assert_eq!(sure(&mut shell, Code::ChildKilled), Some(Possible));
}

#[test]
fn again_and_again() {
    let of = |number, seconds| {
        let mut incident = plain();
        incident.recovery =
            Some(Recovery { kill_number: Some(number), kills_seconds: Some(seconds), ..Recovery::default() });
        let codes = codes(&mut incident);
        codes.into_iter().map(|(code, _)| code).find(|code| matches!(code, Code::Storm | Code::RestartLoop))
    };
    assert_eq!(of(3, 120.0), Some(Code::RestartLoop));
    assert_eq!(of(25, 3.0), Some(Code::Storm));
    assert_eq!(of(2, 60.0), None);
    assert_eq!(of(1, 0.0), None);
}

#[test]
fn what_is_missing_is_named() {
    let mut nothing = Incident::default();
    assert_eq!(codes(&mut nothing), [(Code::NotEnoughEvidence, Possible)]);
    let because = diagnose(&nothing).remove(0).because.join("; ");
    for part in ["which limit", "the processes", "how it grew"] {
        assert!(because.contains(part), "{because}");
    }
    assert_eq!(sure(&mut plain(), Code::NotEnoughEvidence), None);
}
