//! Pieces of which sample incidents are made.

use crate::identity::fill;
use crate::identity::names::{ContainerName, Names, PodName};
use crate::incident::escalation::{
    Compacted, Escalation, Kswapd, Pressure, Pressures, RetryZone, Window, Work,
};
use crate::incident::model::{
    Candidate, Decision, Evidence, ExemptReason, Incident, Level, Limits, Memory, PointsSource, Role, Rule,
    Scope, ScopeKind, Trigger, Victim,
};
use crate::incident::state::{CgroupState, MachineState, Source, State};
use std::sync::Arc;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;
const START_NS: u64 = 8_123_456_789_000;

/// A process that could be killed.
pub(crate) fn candidate(pid: u32, comm: &str, anon: u64, file: u64, adj: i32) -> Candidate {
    let memory = Memory {
        anon_bytes: Some(anon),
        file_bytes: Some(file),
        shmem_bytes: Some(0),
        rss_bytes: None,
        swap_bytes: Some(0),
        pgtables_bytes: Some((anon / 400).next_multiple_of(PAGE)),
        total_vm_bytes: Some(anon * 3),
    };
    Candidate {
        pid,
        tid: pid,
        comm: comm.to_owned(),
        uid: Some(1000),
        memory,
        oom_score_adj: Some(adj),
        points_source: Some(PointsSource::Kernel),
        eligible: true,
        ..Candidate::default()
    }
}

/// A process that the kernel passes over.
pub(crate) fn exempt(pid: u32, comm: &str, anon: u64, reason: ExemptReason) -> Candidate {
    let adj = if reason == ExemptReason::AdjMin { -1000 } else { 0 };
    Candidate {
        uid: Some(0),
        points_source: None,
        eligible: false,
        exempt_reason: Some(reason),
        ..candidate(pid, comm, anon, 0, adj)
    }
}

/// A kernel thread.
pub(crate) fn kernel_thread(pid: u32) -> Candidate {
    let comm = format!("kworker/{pid}:0");
    Candidate { memory: Memory::default(), ..exempt(pid, &comm, 0, ExemptReason::KernelThread) }
}

/// A victim with the memory of a candidate, dead 41 ms after the kill.
pub(crate) fn victim(of: &Candidate, role: Role) -> Victim {
    Victim {
        pid: of.pid,
        tid: of.tid,
        comm: of.comm.clone(),
        uid: of.uid,
        role,
        main_process: None,
        cgroup: of.cgroup.clone(),
        identity: of.identity.clone(),
        memory: of.memory,
        oom_score_adj: of.oom_score_adj,
        killed_boottime_ns: Some(START_NS + 5_000_000),
        exited_boottime_ns: Some(START_NS + 46_000_000),
        exit_after_ns: Some(41_000_000),
    }
}

/// An incident in the making.
pub(crate) struct Sample {
    kind: ScopeKind,
    cgroup: Option<String>,
    limit: Option<u64>,
    total_pages: u64,
    pub(crate) candidates: Vec<Candidate>,
    asker: Option<u32>,
    chosen: Option<u32>,
    others: Vec<(u32, Role)>,
}

impl Sample {
    /// In a memory cgroup.
    pub(crate) fn memcg(cgroup: &str, limit: u64, total_pages: u64) -> Self {
        let machine = Self::machine(ScopeKind::Memcg, total_pages);
        Self { cgroup: Some(cgroup.to_owned()), limit: Some(limit), ..machine }
    }

    /// Anywhere else.
    pub(crate) fn machine(kind: ScopeKind, total_pages: u64) -> Self {
        Self {
            kind,
            cgroup: None,
            limit: None,
            total_pages,
            candidates: vec![],
            asker: None,
            chosen: None,
            others: vec![],
        }
    }

    /// This process asked for memory.
    pub(crate) fn asked(&mut self, pid: u32) {
        self.asker = Some(pid);
    }

    /// This process was chosen.
    pub(crate) fn kill(&mut self, pid: u32) {
        self.chosen = Some(pid);
    }

    /// This one died with it.
    pub(crate) fn also(&mut self, pid: u32, role: Role) {
        self.others.push((pid, role));
    }

    /// `oom_badness`.
    fn points(&self, of: &Candidate) -> Option<i64> {
        let Memory { anon_bytes, file_bytes, shmem_bytes, swap_bytes, pgtables_bytes, .. } = of.memory;
        let bytes = anon_bytes? + file_bytes? + shmem_bytes? + swap_bytes? + pgtables_bytes?;
        let share = (self.total_pages / 1000) as i64 * i64::from(of.oom_score_adj?);
        of.eligible.then_some((bytes / PAGE) as i64 + share)
    }

    /// The decision by `rule`.
    pub(crate) fn rule(&self, rule: Rule) -> Decision {
        let of = |pid: u32| self.candidates.iter().find(|candidate| candidate.pid == pid);
        let chosen = self.chosen.and_then(of);
        let points = chosen.and_then(|it| self.points(it));
        let others = self.candidates.iter().filter(|it| Some(it.pid) != self.chosen);
        let next = others.filter_map(|it| Some((self.points(it)?, it.pid))).max();
        let margin = points.zip(next).map(|(points, (next, _))| points - next);
        let adj = chosen.and_then(|it| it.oom_score_adj).zip(margin);
        let unit = (self.total_pages / 1000) as i64;
        Decision {
            rule,
            pid: self.chosen,
            tid: self.chosen,
            comm: chosen.map(|it| it.comm.clone()),
            points,
            runner_up_pid: next.map(|(_, pid)| pid),
            margin_points: margin,
            adj_to_spare: adj.map(|(adj, margin)| (i64::from(adj) - margin / unit - 1).max(-1000) as i32),
        }
    }

    /// The time before, with so many rounds.
    fn window(&self, seconds: f64, rounds: u64) -> Window {
        let work = Work {
            rounds,
            ns: rounds * 1_470_000,
            scanned_pages: Some(rounds * 640),
            reclaimed_pages: rounds / 2,
        };
        let none = Work { scanned_pages: Some(0), ..Work::default() };
        let memcg = self.kind == ScopeKind::Memcg;
        let awake = Kswapd {
            wakes: rounds / 20,
            sleeps: 0,
            scanned_pages: Some(rounds * 7_000),
            reclaimed_pages: Some(rounds),
        };
        Window {
            seconds,
            cgroup: memcg.then_some(work),
            direct: Some(if memcg { none } else { work }),
            memcg: Some(if memcg { work } else { none }),
            kswapd: Some(if memcg { Kswapd::default() } else { awake }),
            throttled: Some(if memcg { 0 } else { 31 }),
            throttled_ns: Some(if memcg { 0 } else { 124_000_000 }),
            compaction: Some(if memcg { Compacted::default() } else { compacted(rounds / 100) }),
            kcompactd: Some(Compacted { succeeded: Some(0), ..Compacted::default() }),
        }
    }

    /// The zones that the page allocator gave up on.
    fn pressures(&self) -> Pressures {
        let pressure = |some: f64, full: f64| Pressure {
            some_avg10: Some(some),
            some_avg60: Some(some / 4.0),
            some_avg300: Some(some / 16.0),
            some_total_ns: Some(8_125_000_000),
            full_avg10: Some(full),
            full_avg60: Some(full / 4.0),
            full_avg300: Some(full / 16.0),
            full_total_ns: Some(6_500_000_000),
        };
        let cgroup = (self.kind == ScopeKind::Memcg).then(|| pressure(64.0, 48.5));
        Pressures { cgroup, machine: Some(pressure(8.0, 0.0)) }
    }

    fn retry_zones(&self) -> Vec<RetryZone> {
        let zone = |name: &str, available_pages, min_watermark_pages| RetryZone {
            node: 0,
            name: name.to_owned(),
            reclaimable_pages: available_pages / 2,
            available_pages,
            min_watermark_pages,
            no_progress_loops: 16,
            enough: false,
        };
        if self.kind == ScopeKind::Memcg {
            return Vec::new();
        }
        vec![zone("Normal", 11_000, 14_080), zone("DMA32", 2_900, 3_072)]
    }

    /// The incident.
    pub(crate) fn build(&self) -> Incident {
        let of = |pid: u32| self.candidates.iter().find(|candidate| candidate.pid == pid);
        let at_home = |mut it: Candidate| {
            it.cgroup = it.cgroup.or_else(|| self.cgroup.clone());
            it.points = self.points(&it);
            it
        };
        let dead =
            self.chosen.map(|pid| (pid, Role::Selected)).into_iter().chain(self.others.iter().copied());
        let victims: Vec<_> =
            dead.filter_map(|(pid, role)| Some(victim(&at_home(of(pid)?.clone()), role))).collect();
        let swap = |victim: &Victim| victim.memory.swap_bytes.unwrap_or(0);
        let freed = victims.iter().map(|it| it.memory.anon_bytes.unwrap_or(0) + swap(it)).sum();
        let killed = !victims.is_empty();
        Incident {
            schema: 1,
            id: "0000008123456-3f21a0c4-12".to_owned(),
            node: Some("node-7".to_owned()),
            boot_id: Some("3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f".to_owned()),
            time: Some("2026-11-20T10:15:03.214+01:00".to_owned()),
            boottime_ns: Some(START_NS),
            kernel_release: Some("6.12.117+deb13-cloud-amd64".to_owned()),
            scope: Scope {
                kind: Some(self.kind),
                cgroup: self.cgroup.clone(),
                cgroup_id: self.cgroup.as_ref().map(|_| 4_711),
                ..Scope::default()
            },
            trigger: self.asker.and_then(of).map(|it| Trigger {
                pid: Some(it.pid),
                tid: Some(it.tid),
                comm: it.comm.clone(),
                cgroup: it.cgroup.clone().or_else(|| self.cgroup.clone()),
                identity: it.identity.clone(),
                gfp_mask: Some(0xcc0),
                gfp_flags: vec![],
                order: Some(0),
                oom_score_adj: it.oom_score_adj,
            }),
            total_pages: Some(self.total_pages),
            limits: self.limit.map_or_else(Limits::default, |limit| Limits {
                memory_bytes: Some(limit),
                usage_bytes: Some(limit),
                swap_bytes: Some(0),
                swap_usage_bytes: Some(0),
                ..Limits::default()
            }),
            candidates: self.candidates.iter().cloned().map(at_home).collect(),
            candidates_evaluated: Some(self.candidates.len() as u64),
            candidates_lost: Some(0),
            decision: self.chosen.map(|_| self.rule(Rule::HighestPoints)),
            victims,
            escalation: Some(Escalation {
                reclaim_rounds: Some(16),
                trigger_stall_ns: Some(38_400_000),
                scanned_pages: Some(51_840),
                reclaimed_pages: Some(412),
                window_seconds: Some(0.211),
                zones: self.retry_zones(),
                last_10s: Some(self.window(9.3, 812)),
                last_60s: Some(self.window(59.8, 2_304)),
                pressure: Some(self.pressures()),
                ..Escalation::default()
            }),
            counted_kills: Some(u64::from(killed)),
            oom_path_ns: Some(6_240_000),
            recovery_ns: killed.then_some(41_000_000),
            freed_bytes: killed.then_some(freed),
            evidence: Evidence {
                level: Level::Full,
                sources: [
                    "raw_tracepoint:mark_victim",
                    "raw_tracepoint:sched_process_exit",
                    "fexit:oom_badness",
                    "fexit:oom_evaluate_task",
                    "fentry:oom_kill_process",
                    "fentry:out_of_memory",
                ]
                .map(str::to_owned)
                .into(),
                log_ns: None,
                lost_records: 0,
                notes: vec![],
            },
            ..Incident::default()
        }
    }
}

pub(super) fn compacted(runs: u64) -> Compacted {
    Compacted { runs, ns: runs * 90_000, succeeded: Some(runs / 100) }
}

/// A full pod with two containers, in a slice that is not full.
pub(crate) fn pod_state(pod: &str, container: &str) -> State {
    let level = |cgroup: &str, usage: Option<u64>, max: Option<u64>| CgroupState {
        usage_bytes: usage.map(|mib| mib * MIB),
        max_bytes: max.map(|mib| mib * MIB),
        swap_usage_bytes: usage.map(|_| 0),
        swap_max_bytes: max.map(|_| 0),
        oom_group: Some(false),
        ..CgroupState::new(cgroup, Some(cgroup.len() as u64), Source::Kernel)
    };
    let mut slice = level("/kubepods.slice", Some(1900), Some(8192));
    slice.memory = [("anon_bytes".into(), 1700 * MIB), ("file_bytes".into(), 120 * MIB)].into();
    slice.memory_source = Some(Source::Files);
    State {
        cgroups: vec![
            level(pod, Some(512), Some(512)),
            level("/kubepods.slice/kubepods-burstable.slice", Some(900), None),
            slice,
            level("/", None, None),
        ],
        children: vec![
            level(&format!("{pod}{container}"), Some(498), Some(1024)),
            level(&format!("{pod}/cri-containerd-1f2e.scope"), Some(12), None),
        ],
        children_total: Some(3),
        machine: Some(MachineState {
            total_bytes: Some(16_000 * MIB),
            available_bytes: Some(9000 * MIB),
            overcommit_memory: Some(0),
            ..MachineState::default()
        }),
        files_read_after_ns: Some(1_400_000),
    }
}

/// Every pod and container with names.
pub(crate) fn named(incident: &mut Incident, namespace: &str, pod: &str, container: &str) {
    let names = Arc::new(PodName { namespace: namespace.into(), name: pod.into() });
    fill::names(incident, |identity| {
        let mut known = Names::default();
        if let Some(pod) = &identity.pod {
            known.pod(&pod.uid, PodName::clone(&names));
        }
        if let Some(it) = &identity.container {
            let name = Some(container.to_owned());
            known.container(&it.id, ContainerName { pod: Arc::clone(&names), name, image: None });
        }
        known.name(identity)
    });
}
