//! A memory cgroup's limits.

use super::*;
use crate::incident::model::{Limits, Role, Victim};
use Code::LimitReached;

fn memcg(usage: Option<u64>, limit: Option<u64>) -> Incident {
    Incident {
        limits: Limits { usage_bytes: usage, memory_bytes: limit, ..Limits::default() },
        scope: Scope { kind: Some(ScopeKind::Memcg), cgroup: Some("/a".into()), ..Scope::default() },
        ..machine(ScopeKind::Memcg)
    }
}

#[test]
fn a_memory_cgroups_limit_is_reached_by_the_charge() {
    for (usage, limit, expected) in [
        (Some(64 * MIB), Some(64 * MIB), Certain),
        (Some(64 * MIB - 1), Some(64 * MIB), Certain),
        (Some(64 * MIB - 4096), Some(64 * MIB), Likely),
        (Some(47_764 * KIB), Some(51_200 * KIB), Likely),
        (Some(64 * MIB), None, Likely),
        (None, Some(64 * MIB), Likely),
        (None, None, Likely),
        (Some(u64::MAX), Some(u64::MAX), Likely),
    ] {
        assert_eq!(codes(&memcg(usage, limit)), [(LimitReached, expected)], "{usage:?} {limit:?}");
    }
    for (usage, expected) in [(62 * MIB - 4096, Likely), (62 * MIB, Certain)] {
        // 513 pages or more.
        let mut large = memcg(Some(usage), Some(64 * MIB));
        order(&mut large, 10);
        assert_eq!(codes(&large), [(LimitReached, expected)]);
    }
}

#[test]
fn cgroup_v1_has_more_limits() {
    let mut incident = memcg(Some(40 * MIB), Some(64 * MIB));
    let title = |it: &Incident| verdict(it)[0].title.clone();
    (incident.limits.kmem_usage_bytes, incident.limits.kmem_bytes) = (Some(9 * MIB), Some(9 * MIB));
    assert_eq!(codes(&incident), [(LimitReached, Likely)], "that one kills nobody");
    assert_eq!(title(&incident), "A memory cgroup had reached its limit");
    (incident.limits.memsw_usage_bytes, incident.limits.memsw_bytes) = (Some(80 * MIB), Some(80 * MIB));
    assert_eq!(title(&incident), "A memory cgroup had reached its limit of memory and swap together");
    incident.limits.memsw_bytes = Some(81 * MIB);
    incident.limits.kmem_bytes = None;
    assert_eq!(codes(&incident), [(LimitReached, Likely)]);
}

#[test]
fn a_memory_cgroups_swap_may_be_full() {
    for (usage, limit, expected) in [
        (Some(20 * MIB), Some(20 * MIB), Some(Certain)),
        (Some(20_248 * KIB), Some(20 * MIB), Some(Likely)),
        (Some(7944 * KIB), Some(8 * MIB), Some(Likely)),
        (Some(7 * MIB), Some(8 * MIB), None),
        (Some(19 * MIB), Some(20 * MIB), None),
        (Some(0), Some(0), None),
        (Some(20 * MIB), None, None),
        (None, Some(20 * MIB), None),
    ] {
        let mut incident = memcg(Some(64 * MIB), Some(64 * MIB));
        (incident.limits.swap_usage_bytes, incident.limits.swap_bytes) = (usage, limit);
        let swap = codes(&incident).into_iter().find(|(code, _)| *code == SwapFull);
        assert_eq!(swap.map(|(_, sure)| sure), expected, "{usage:?} {limit:?}");
        let none = verdict(&incident)[0].because.iter().any(|text| text.contains("no swap"));
        assert_eq!(none, limit == Some(0));
    }
}

#[test]
fn the_level_whose_limit_it_was_is_named() {
    for (full, own, expected) in [
        ("/a", Some("/a"), "The victim's own memory cgroup"),
        ("/a", Some("/a/b"), "The memory cgroup above the victim's"),
        ("/a", Some("/a/b/c"), "The memory cgroup 2 levels above the victim's"),
        ("/a", Some("/ab"), "A memory cgroup"),
        ("/a", None, "A memory cgroup"),
    ] {
        let mut incident = memcg(Some(MIB), Some(MIB));
        incident.scope.cgroup = Some(full.into());
        incident.victims = vec![Victim {
            pid: 1,
            tid: 1,
            comm: String::new(),
            uid: None,
            role: Role::Selected,
            main_process: None,
            cgroup: own.map(str::to_owned),
            identity: crate::incident::identity::Identity::default(),
            memory: crate::incident::model::Memory::default(),
            oom_score_adj: None,
            killed_boottime_ns: None,
            exited_boottime_ns: None,
            exit_after_ns: None,
        }];
        assert_eq!(verdict(&incident)[0].title, format!("{expected} had reached its limit"));
    }
}
