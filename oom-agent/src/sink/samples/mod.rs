//! Constructed incidents for tests, built like real ones: points follow the kernel's formula from the memory
//! they show.
//!
//! # Layout
//! - `build`: the pieces; `machine`: the machine's memory.
//! - this file: the incidents, each named after what is special about it.

pub(crate) mod build;
mod machine;

use crate::incident::diagnosis::diagnose;
use crate::incident::escalation::Escalation;
use crate::incident::model::{
    Decision, ExemptReason, Incident, Level, Limits, Role, Rule, ScopeKind, Trigger,
};
use crate::incident::recovery::{Reaped, Recovery};
use crate::incident::verdict::verdict;
use build::{KIB, MIB, Sample, candidate, exempt, kernel_thread};

const POD: &str = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f21a0c4_8d1b_4c1e_9a55_0a1b2c3d4e5f.slice";
const CONTAINER: &str =
    "/cri-containerd-9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766.scope";

/// Every sample by the name of its golden.
pub(crate) fn all() -> Vec<(&'static str, Incident)> {
    let mut all = list();
    for (_, incident) in &mut all {
        incident.verdict = verdict(incident);
        incident.diagnosis = diagnose(incident);
    }
    all
}

fn list() -> Vec<(&'static str, Incident)> {
    vec![
        ("memcg", memcg()),
        ("pod", pod()),
        ("group", group()),
        ("global", global()),
        ("none_killable", none_killable()),
        ("allocating_task", allocating_task()),
        ("suppressed_report", suppressed_report()),
        ("thread", thread()),
        ("hostile", hostile()),
        ("shared_memory", shared_memory()),
        ("sysrq", sysrq()),
        ("cpuset", cpuset()),
        ("mempolicy_log", mempolicy_log()),
        ("nodes", nodes()),
        ("already_dying", already_dying()),
        ("panic", panic()),
        ("lost", lost()),
        ("extreme", extreme()),
        ("empty", Incident { schema: 1, ..Incident::default() }),
    ]
}

/// One container with a limit, everything seen.
pub(crate) fn memcg() -> Incident {
    let mut sample = Sample::memcg("/demo", 512 * MIB, 131_072);
    sample.candidates = vec![
        candidate(81_234, "java", 462 * MIB, 12 * MIB, 0),
        candidate(81_100, "envoy", 36 * MIB, 3 * MIB, 0),
        candidate(81_377, "curl", 3 * MIB, 5 * MIB, 300),
        exempt(81_001, "sidecar", 2 * MIB, ExemptReason::AdjMin),
    ];
    sample.asked(81_377);
    sample.kill(81_234);
    let mut incident = sample.build();
    incident.memory = [
        ("anon_bytes", 503 * MIB),
        ("file_bytes", 4 * MIB),
        ("shmem_bytes", 0),
        ("slab_reclaimable_bytes", 700 * KIB),
        ("slab_unreclaimable_bytes", 900 * KIB),
        ("pagetables_bytes", 2 * MIB),
        ("kernel_stack_bytes", 96 * KIB),
        ("pgfault_bytes", 812_113),
    ]
    .map(|(name, value)| (name.into(), value))
    .into();
    incident.recovery = Some(gave_back(462 * MIB, 50 * MIB));
    incident
}

/// Memory came back after 44 ms, in a cgroup.
fn gave_back(given_back: u64, left: u64) -> Recovery {
    Recovery {
        memory_back_ns: Some(44_000_000),
        below_limit_ns: Some(44_000_000),
        usage_after_bytes: Some(left),
        given_back_bytes: Some(given_back),
        ..Recovery::default()
    }
}

/// The limit of a pod, the victim in one of its containers.
pub(crate) fn pod() -> Incident {
    let mut sample = Sample::memcg(POD, 512 * MIB, 131_072);
    sample.candidates = vec![
        candidate(81_234, "java", 462 * MIB, 12 * MIB, 985),
        candidate(81_100, "envoy", 36 * MIB, 3 * MIB, 985),
        exempt(80_950, "pause", 300 * KIB, ExemptReason::AdjMin),
    ];
    for candidate in &mut sample.candidates {
        candidate.cgroup = Some(format!("{POD}{CONTAINER}"));
    }
    sample.asked(81_100);
    sample.kill(81_234);
    let mut incident = sample.build();
    incident.recovery =
        Some(Recovery { kill_number: Some(4), kills_seconds: Some(366.4), ..gave_back(462 * MIB, 50 * MIB) });
    incident.state = Some(build::pod_state(POD, CONTAINER));
    incident.victims[0].main_process = Some(true);
    build::named(&mut incident, "payments", "checkout-7c9f", "app");
    incident
}

/// `memory.oom.group`.
pub(crate) fn group() -> Incident {
    let mut sample = Sample::memcg("/batch/job-17", 2048 * MIB, 524_288);
    sample.candidates = vec![
        candidate(4_243, "worker", 1203 * MIB, 8 * MIB, 0),
        candidate(4_244, "worker", 702 * MIB, 8 * MIB, 0),
        candidate(4_245, "collector", 60 * MIB, 6 * MIB, 0),
        candidate(4_240, "sh", MIB, MIB, 0),
        exempt(4_239, "supervisor", 3 * MIB, ExemptReason::AdjMin),
    ];
    sample.asked(4_243);
    sample.kill(4_243);
    for pid in [4_244, 4_245, 4_240] {
        sample.also(pid, Role::Group);
    }
    sample.build()
}

/// The whole machine, with kernel threads and init among the candidates.
pub(crate) fn global() -> Incident {
    let mut sample = Sample::machine(ScopeKind::Global, 4_194_304);
    sample.candidates = vec![
        candidate(20_155, "postgres", 9012 * MIB, 40 * MIB, 0),
        candidate(31_007, "chrome", 2100 * MIB, 180 * MIB, 300),
        candidate(30_411, "gnome-shell", 604 * MIB, 120 * MIB, 0),
        candidate(990, "systemd-journal", 20 * MIB, 60 * MIB, -250),
        exempt(1_022, "sshd", 4 * MIB, ExemptReason::AdjMin),
        exempt(611, "systemd-udevd", 3 * MIB, ExemptReason::AdjMin),
        exempt(1, "systemd", 12 * MIB, ExemptReason::Init),
        exempt(20_100, "make", 900 * MIB, ExemptReason::Vfork),
    ];
    sample.candidates.extend((2..40).map(kernel_thread));
    for (index, candidate) in sample.candidates.iter_mut().enumerate().take(8) {
        candidate.cgroup = Some(format!("/system.slice/unit-{index}.service"));
        candidate.memory.swap_bytes = Some(index as u64 * 100 * MIB);
    }
    sample.asked(30_411);
    sample.kill(20_155);
    let mut incident = sample.build();
    if let Some(trigger) = &mut incident.trigger {
        trigger.order = Some(3);
        trigger.gfp_flags = vec!["GFP_KERNEL".into(), "__GFP_COMP".into()];
    }
    if let Some(escalation) = &mut incident.escalation {
        (escalation.compact_retries, escalation.compaction) = (Some(4), Some(build::compacted(5)));
    }
    incident.recovery = Some(Recovery {
        memory_back_ns: Some(43_000_000),
        above_watermark_ns: Some(44_200_000),
        ..Recovery::default()
    });
    machine::of_16_gib(&mut incident);
    incident.recovery = Some(Recovery {
        memory_back_ns: Some(812_000_000),
        kill_number: Some(2),
        kills_seconds: Some(0.4),
        reaper: vec![Reaped { pid: 20_155, after_ns: None, duration_ns: None, done: Some(true) }],
        ..Recovery::default()
    });
    incident
}

/// Nobody may be killed.
pub(crate) fn none_killable() -> Incident {
    let mut sample = Sample::memcg("/n", 40 * MIB, 10_240);
    sample.candidates = vec![
        exempt(99, "hog", 38 * MIB, ExemptReason::AdjMin),
        exempt(98, "sh", 900 * KIB, ExemptReason::AdjMin),
        exempt(97, "hog", 100 * KIB, ExemptReason::AlreadyReaped),
    ];
    sample.asked(99);
    let mut incident = sample.build();
    incident.decision = Some(sample.rule(Rule::NoneKillable));
    incident.evidence.notes = vec!["41 more equal calls without a killable process followed".into()];
    incident
}

/// `vm.oom_kill_allocating_task`.
pub(crate) fn allocating_task() -> Incident {
    let mut sample = Sample::memcg("/web", 256 * MIB, 65_536);
    sample.candidates = vec![candidate(5_120, "nginx", 31 * MIB, 4 * MIB, 0)];
    sample.asked(5_120);
    sample.kill(5_120);
    let mut incident = sample.build();
    incident.candidates.clear();
    incident.candidates_evaluated = Some(0);
    incident.decision = Some(Decision { points: None, ..sample.rule(Rule::AllocatingTask) });
    incident
}

/// Tracepoint level, and the kernel's report fell to its rate limit.
pub(crate) fn suppressed_report() -> Incident {
    let mut sample = Sample::memcg("/batch/job-3", 64 * MIB, 16_384);
    sample.candidates = vec![candidate(7_001, "hog", 60 * MIB, MIB, 0)];
    sample.kill(7_001);
    let mut incident = sample.build();
    incident.scope = crate::incident::model::Scope { kind: Some(ScopeKind::Memcg), ..Default::default() };
    incident.limits = Limits::default();
    incident.total_pages = None;
    incident.decision = None;
    incident.candidates.clear();
    incident.candidates_evaluated = None;
    incident.candidates_lost = None;
    incident.oom_path_ns = None;
    incident.victims[0].memory.swap_bytes = None;
    incident.freed_bytes = None;
    incident.trigger =
        Some(Trigger { pid: Some(7_001), tid: Some(7_003), comm: "hog".into(), ..Trigger::default() });
    incident.evidence.level = Level::Tracepoint;
    incident.evidence.sources =
        vec!["raw_tracepoint:mark_victim".into(), "raw_tracepoint:sched_process_exit".into(), "kmsg".into()];
    incident.evidence.notes = vec![
        "the kernel's report was rate-limited (10 in 5 s): no candidates, no limits, no totalpages".into(),
    ];
    incident
}

/// The victim's main thread had exited; points computed, as on 5.10.
pub(crate) fn thread() -> Incident {
    let mut sample = Sample::memcg("/t", 100 * MIB, 25_600);
    sample.candidates =
        vec![candidate(300, "threads", 80 * MIB, 2 * MIB, 0), candidate(310, "sh", MIB, MIB, 100)];
    sample.asked(310);
    sample.kill(300);
    let mut incident = sample.build();
    incident.victims[0].tid = 305;
    incident.kernel_release = Some("5.10.0-33-cloud-amd64".into());
    for candidate in &mut incident.candidates {
        candidate.points_source = Some(crate::incident::model::PointsSource::Computed);
    }
    incident.evidence.notes = vec!["oom_badness is inlined in this kernel: points are computed".into()];
    incident
}

/// Names that try to move the cursor, forge a line, hide or change direction.
pub(crate) fn hostile() -> Incident {
    let mut sample =
        Sample::memcg("/x/\u{1b}[2J\u{1b}[1;1H\u{202e}evil\nVictims    1 root", 512 * MIB, 131_072);
    sample.candidates = vec![
        candidate(6_666, "\u{1b}[2J\u{1b}[1;1Hroot", 400 * MIB, 2 * MIB, 0),
        candidate(6_667, "\u{202e}gpj.exe\u{2066}", 50 * MIB, 2 * MIB, 500),
        candidate(6_668, "日本語日本", 20 * MIB, 2 * MIB, 0),
        candidate(6_669, "we ird)[1] 5", 10 * MIB, 2 * MIB, 0),
        candidate(6_670, "\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f", 5 * MIB, 2 * MIB, 0),
        candidate(6_671, "", 4 * MIB, 2 * MIB, 0),
        exempt(6_672, "\u{5e9}\u{5dc}\u{5d5}\u{5dd}\u{200f}", 3 * MIB, ExemptReason::AdjMin),
    ];
    sample.asked(6_670);
    sample.kill(6_666);
    let mut incident = sample.build();
    incident.node = Some("no\u{9b}31mde".into());
    incident.evidence.notes = vec!["a note with \u{2028} and \u{7f}".into()];
    (incident.time, incident.log_time) = (None, Some("Nov\u{1b}[2J 20\n".into()));
    machine::hostile(&mut incident);
    incident
}

/// Another process shares the victim's memory.
pub(crate) fn shared_memory() -> Incident {
    let mut sample = Sample::memcg("/s", 128 * MIB, 32_768);
    sample.candidates = vec![
        candidate(900, "parent", 110 * MIB, MIB, 0),
        candidate(901, "clone_vm", 110 * MIB, MIB, 0),
        candidate(890, "sh", MIB, MIB, 0),
    ];
    sample.asked(890);
    sample.kill(900);
    sample.also(901, Role::SharedMemory);
    let mut incident = sample.build();
    incident.freed_bytes = Some(110 * MIB);
    incident
}

/// An operator's order.
pub(crate) fn sysrq() -> Incident {
    let mut sample = Sample::machine(ScopeKind::Sysrq, 1_048_576);
    sample.candidates =
        vec![candidate(412, "stress", 300 * MIB, MIB, 0), candidate(300, "bash", 3 * MIB, 4 * MIB, 0)];
    sample.kill(412);
    let mut incident = sample.build();
    incident.decision = Some(Decision { rule: Rule::Sysrq, ..sample.rule(Rule::Sysrq) });
    incident.trigger = Some(Trigger {
        pid: Some(33),
        tid: Some(33),
        comm: "kworker/1:2".into(),
        order: Some(-1),
        ..Trigger::default()
    });
    incident
}

/// The nodes of a cpuset; equal points.
pub(crate) fn cpuset() -> Incident {
    let mut sample = Sample::machine(ScopeKind::Cpuset, 262_144);
    sample.candidates = vec![
        candidate(1_502, "solver", 480 * MIB, MIB, 0),
        candidate(1_501, "solver", 480 * MIB, MIB, 0),
        exempt(1_400, "etcd", 700 * MIB, ExemptReason::OtherNode),
    ];
    sample.asked(1_501);
    sample.kill(1_502);
    let mut incident = sample.build();
    machine::of_two_nodes(&mut incident);
    incident
}

/// More nodes than are shown, swap that is full, slab caches that grew; the time as syslog writes it.
pub(crate) fn nodes() -> Incident {
    let mut sample = Sample::machine(ScopeKind::Global, 16 * 1_048_576);
    sample.candidates =
        vec![candidate(800, "leak", 3 * 1024 * MIB, MIB, 0), candidate(801, "bash", 3 * MIB, 4 * MIB, 0)];
    sample.asked(801);
    sample.kill(800);
    let mut incident = sample.build();
    machine::of_16_nodes(&mut incident);
    (incident.time, incident.log_time) = (None, Some("Nov 20 10:15:03".into()));
    incident
}

/// An old log: only the sums of memory, no wall clock, one process alive after the kill.
pub(crate) fn mempolicy_log() -> Incident {
    let mut sample = Sample::machine(ScopeKind::MemoryPolicy, 262_144);
    sample.candidates =
        vec![candidate(77, "numactl", 480 * MIB, MIB, 0), candidate(70, "sh", MIB, MIB, -500)];
    sample.asked(77);
    sample.kill(77);
    let mut incident = sample.build();
    for memory in incident
        .candidates
        .iter_mut()
        .map(|it| &mut it.memory)
        .chain(incident.victims.iter_mut().map(|it| &mut it.memory))
    {
        memory.rss_bytes = memory.anon_bytes.zip(memory.file_bytes).map(|(anon, file)| anon + file);
        (memory.anon_bytes, memory.file_bytes, memory.shmem_bytes) = (None, None, None);
    }
    incident.victims[0].exited_boottime_ns = None;
    incident.victims[0].exit_after_ns = None;
    (incident.time, incident.escalation, incident.oom_path_ns, incident.freed_bytes) =
        (None, None, None, None);
    (incident.candidates_evaluated, incident.candidates_lost, incident.recovery_ns) = (None, None, None);
    incident.evidence.level = Level::Log;
    incident.evidence.sources = vec!["log".into()];
    for candidate in &mut incident.candidates {
        candidate.points_source = Some(crate::incident::model::PointsSource::Computed);
    }
    incident
}

/// A call that found the victim exiting on its own.
pub(crate) fn already_dying() -> Incident {
    let mut sample = Sample::memcg("/d", 64 * MIB, 16_384);
    sample.candidates = vec![candidate(88, "cc1plus", 60 * MIB, 2 * MIB, 0)];
    sample.asked(88);
    sample.kill(88);
    let mut incident = sample.build();
    incident.decision = Some(sample.rule(Rule::AlreadyDying));
    incident.victims[0].role = Role::AlreadyDying;
    incident.victims[0].killed_boottime_ns = None;
    incident.victims[0].exit_after_ns = None;
    incident.candidates.clear();
    incident.candidates_evaluated = Some(0);
    (incident.freed_bytes, incident.recovery_ns) = (None, None);
    incident
}

/// `vm.panic_on_oom`.
pub(crate) fn panic() -> Incident {
    let mut sample = Sample::machine(ScopeKind::Global, 262_144);
    sample.candidates = vec![candidate(500, "hog", 900 * MIB, MIB, 0)];
    sample.asked(500);
    let mut incident = sample.build();
    incident.decision =
        Some(Decision { pid: None, tid: None, comm: None, points: None, ..sample.rule(Rule::Panic) });
    incident.evidence.level = Level::Kmsg;
    incident.evidence.sources = vec!["kmsg".into()];
    incident.candidates[0].points_source = Some(crate::incident::model::PointsSource::Computed);
    incident.escalation = Some(Escalation { reclaim_rounds: Some(0), ..Escalation::default() });
    incident
}

/// Candidates and records were lost.
pub(crate) fn lost() -> Incident {
    let mut sample = Sample::memcg("/many", 1024 * MIB, 262_144);
    sample.candidates =
        (0..30_u64).map(|at| candidate(2_000 + at as u32, "php-fpm", (60 - at) * MIB, MIB, 0)).collect();
    sample.asked(2_029);
    sample.kill(2_000);
    let mut incident = sample.build();
    incident.candidates_evaluated = Some(5_030);
    incident.candidates_lost = Some(5_000);
    incident.evidence.lost_records = 7;
    incident
}

/// Every number and name as wide as it can be.
pub(crate) fn extreme() -> Incident {
    let mut sample = Sample::memcg(&format!("/{}", "deep/".repeat(60)), 1 << 53, 1 << 41);
    sample.candidates = vec![
        candidate(4_194_301, "fifteen-letters", 1023 << 40, 1023 << 30, 999),
        candidate(4_194_302, "fifteen-letters", 1022 << 40, 1023 << 30, 999),
        exempt(4_194_303, "fifteen-letters", 1022 << 40, ExemptReason::OtherNode),
    ];
    for candidate in &mut sample.candidates {
        candidate.memory.swap_bytes = Some(1023 << 20);
        candidate.memory.shmem_bytes = Some(1023 << 10);
    }
    sample.asked(4_194_302);
    sample.kill(4_194_302);
    sample.also(4_194_301, Role::AlreadyDying);
    let mut incident = sample.build();
    incident.victims[0].tid = 4_194_300;
    incident.id = "7".repeat(100);
    incident
}
