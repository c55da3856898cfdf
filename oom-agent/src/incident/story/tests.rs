use super::*;
use crate::incident::model::{Memory, Scope, Victim};

const SECOND: u64 = 1_000_000_000;
const POD: &str = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f21a0c4_5b6d_4e7f_8a9b_0c1d2e3f4a5b.slice";

fn container(pod: &str, id: char) -> String {
    format!("{pod}/cri-containerd-{}.scope", id.to_string().repeat(64))
}

fn victim(cgroup: &str, role: Role) -> Victim {
    Victim {
        pid: 7,
        tid: 7,
        comm: "app".into(),
        uid: None,
        role,
        main_process: None,
        cgroup: Some(cgroup.into()),
        identity: crate::incident::identity::Identity::default(),
        memory: Memory::default(),
        oom_score_adj: None,
        killed_boottime_ns: None,
        exited_boottime_ns: None,
        exit_after_ns: None,
    }
}

/// A kill in a full cgroup.
fn memcg(at_ns: u64, cgroup: &str) -> Incident {
    Incident {
        boottime_ns: Some(at_ns),
        scope: Scope { kind: Some(ScopeKind::Memcg), cgroup: Some(cgroup.into()), ..Scope::default() },
        victims: vec![victim(cgroup, Role::Selected)],
        ..Incident::default()
    }
}

/// A machine-wide one.
fn global(at_ns: u64, cgroup: &str) -> Incident {
    let scope = Scope { kind: Some(ScopeKind::Global), ..Scope::default() };
    Incident { scope, ..memcg(at_ns, cgroup) }
}

fn told(incidents: impl IntoIterator<Item = Incident>) -> Vec<Option<(u64, f64)>> {
    let mut story = Story::default();
    let number = |mut incident: Incident| {
        story.complete(&mut incident, None);
        let recovery = incident.recovery?;
        recovery.kill_number.zip(recovery.kills_seconds)
    };
    incidents.into_iter().map(number).collect()
}

fn numbers(incidents: impl IntoIterator<Item = Incident>) -> Vec<Option<u64>> {
    told(incidents).into_iter().map(|told| told.map(|(number, _)| number)).collect()
}

#[test]
fn a_service_that_is_started_again_is_counted() {
    let at = |seconds: u64| memcg(seconds * SECOND, "/system.slice/foo.service");
    assert_eq!(told([at(100), at(130), at(400)]), [None, Some((2, 30.0)), Some((3, 300.0))]);
}

#[test]
fn a_pause_of_more_than_ten_minutes_begins_anew() {
    let at = |seconds: u64| memcg(seconds * SECOND, "/a");
    let loops = [at(0), at(600), at(1200), at(1801), at(1802)];
    assert_eq!(told(loops), [None, Some((2, 600.0)), Some((3, 1200.0)), None, Some((2, 1.0))]);
}

#[test]
fn a_restarted_container_is_the_same_place() {
    let kills = ['a', 'b', 'c'].into_iter().zip(1..).map(|(id, at)| memcg(at * SECOND, &container(POD, id)));
    assert_eq!(numbers(kills), [None, Some(2), Some(3)]);
}

#[test]
fn places_are_told_apart() {
    let other = POD.replace("3f21a0c4", "4f21a0c4");
    // Static pods: the kubelet's hash of their file.
    let (one, two) = ("d41d8cd98f00b204e9800998ecf8427e", "e41d8cd98f00b204e9800998ecf8427e");
    let kills = vec![
        memcg(1, &container(POD, 'a')),
        memcg(2, &container(&other, 'a')),
        memcg(3, POD),
        memcg(4, &format!("/kubepods/besteffort/pod{one}")),
        memcg(5, &format!("/kubepods/besteffort/pod{two}")),
        memcg(6, "/system.slice/foo.service"),
        memcg(7, "/system.slice/bar.service"),
        // A kill for the machine's sake in the same cgroup.
        global(8, "/system.slice/foo.service"),
    ];
    assert_eq!(numbers(kills), [None; 8]);
}

/// Nothing in the path tells the containers of a pod from each other after a restart: what is counted is the pod's.
#[test]
fn containers_of_one_pod_are_one_place() {
    let kills = [memcg(1, &container(POD, 'a')), memcg(2, &container(POD, 'b'))];
    assert_eq!(numbers(kills), [None, Some(2)]);
}

#[test]
fn what_a_container_makes_of_its_cgroup_is_kept() {
    let inner = |id, name: &str| format!("{}/{name}", container(POD, id));
    let kills = [
        memcg(1, &inner('a', "one")),
        memcg(2, &inner('b', "two")),
        memcg(3, &inner('c', "one")),
        memcg(4, &container(POD, 'd')),
    ];
    assert_eq!(numbers(kills), [None, None, Some(2), None]);
}

#[test]
fn for_the_machine_the_victims_cgroup_counts() {
    let kills = [global(1, "/a"), global(2, "/b"), global(3, "/a")];
    assert_eq!(numbers(kills), [None, None, Some(2)]);
}

/// The kernel leaves reports out, and without them it may be unknown what was full.
#[test]
fn where_the_limit_is_unknown_the_victims_cgroup_counts() {
    let unknown = |at_ns: u64, cgroup: &str| Incident { scope: Scope::default(), ..memcg(at_ns, cgroup) };
    let pod = |at_ns: u64, container: &str| {
        let scope = Scope { kind: Some(ScopeKind::Memcg), cgroup: Some("/pod".into()), ..Scope::default() };
        Incident { scope, ..memcg(at_ns, container) }
    };
    assert_eq!(numbers([memcg(1, "/a"), memcg(2, "/a"), unknown(3, "/a")]), [None, Some(2), Some(3)]);
    assert_eq!(numbers([unknown(1, "/a"), memcg(2, "/a"), unknown(3, "/a")]), [None, Some(2), Some(3)]);
    assert_eq!(
        numbers([pod(1, "/pod/one"), unknown(2, "/pod/one"), pod(3, "/pod/two")]),
        [None, Some(2), Some(3)]
    );
    assert_eq!(numbers([memcg(1, "/a"), unknown(2, "/b"), global(3, "/a")]), [None; 3]);
    let minutes = |minutes: u64| minutes * 60 * SECOND;
    let kills = [pod(0, "/pod/one"), unknown(minutes(15), "/pod/two"), pod(minutes(16), "/pod/two")];
    assert_eq!(numbers(kills), [None, None, Some(2)], "the first was too long ago");
    // The last of what it may have been.
    let kills = [memcg(1, "/a"), global(2, "/a"), global(3, "/a"), unknown(4, "/a"), memcg(5, "/a")];
    assert_eq!(numbers(kills), [None, None, Some(2), Some(3), Some(2)]);
}

#[test]
fn a_burst_is_counted_kill_by_kill_and_a_group_once() {
    let burst = (1..=200).map(|at| memcg(at * SECOND / 100, "/a"));
    assert_eq!(numbers(burst).last(), Some(&Some(200)));
    let mut group = memcg(1, "/a");
    group.victims.extend([victim("/a", Role::Group), victim("/a/b", Role::Group)]);
    assert_eq!(numbers([group.clone(), Incident { boottime_ns: Some(2), ..group }]), [None, Some(2)]);
}

#[test]
fn what_killed_nothing_or_has_no_time_or_place_is_not_counted() {
    let mut dying = memcg(1, "/a");
    dying.victims[0].role = Role::AlreadyDying;
    let nothing = Incident { victims: Vec::new(), ..memcg(2, "/a") };
    let timeless = Incident { boottime_ns: None, ..memcg(3, "/a") };
    let mut nowhere = global(4, "/a");
    nowhere.victims[0].cgroup = None;
    assert_eq!(numbers([dying, nothing, timeless, nowhere, memcg(5, "/a")]), [None; 5]);
}

#[test]
fn one_that_was_overtaken_is_counted_and_another_boot_begins_anew() {
    let at = |seconds: u64| memcg(seconds * SECOND, "/a");
    let kills = [at(1000), at(990), at(1001), at(999), at(20), at(21)];
    assert_eq!(
        told(kills),
        [None, None, Some((3, 11.0)), Some((3, 9.0)), None, Some((2, 1.0))],
        "the first is not the second, 0 s after itself"
    );
}

#[test]
fn the_quietest_place_makes_room() {
    let mut story = Story::default();
    let mut number = |at_ns: u64, name: &str| {
        let mut incident = memcg(at_ns, name);
        story.complete(&mut incident, None);
        (incident.recovery.and_then(|it| it.kill_number), story.places.len())
    };
    assert_eq!(number(1, "/kept"), (None, 1));
    assert_eq!(number(2, "/lost"), (None, 2));
    for index in 0..MAX_PLACES as u64 - 2 {
        number(3 + index, &format!("/{index}"));
    }
    assert_eq!(number(1000, "/kept"), (Some(2), MAX_PLACES));
    assert_eq!(number(1001, "/new"), (None, MAX_PLACES));
    assert_eq!(number(1002, "/kept"), (Some(3), MAX_PLACES));
    assert_eq!(number(1003, "/lost"), (None, MAX_PLACES));
}

#[test]
fn only_rows_of_digits_as_long_as_an_id_go() {
    let parts = |path: &str| {
        let mut text = Vec::new();
        without_ids(path, |part| text.push(part.to_owned()));
        text.join("*")
    };
    let (id, longer, short) = ("0123456789abcdef".repeat(4), "a".repeat(70), "f".repeat(63));
    for (path, expected) in [
        ("/".to_owned(), "/".to_owned()),
        (format!("/docker/{id}"), "/docker/*".to_owned()),
        (format!("/libpod-{id}.scope/container"), "/libpod-*.scope/container".to_owned()),
        (format!("/a/{id}/b/{longer}x"), "/a/*/b/*x".to_owned()),
        (format!("/a/{short}"), format!("/a/{short}")),
        (format!("/größe/{id}ü"), "/größe/*ü".to_owned()),
    ] {
        assert_eq!(parts(&path), expected);
    }
}
