use super::described::{Described, Memory};
use super::*;
use crate::identity::path::parse;
use crate::incident::identity::{Qos, Workload};

const ID: &str = "9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766";
const OTHER: &str = "34186d9bd07706222bd427bb647ceed81e8e108eb653ff73c7137099fca1cab6";
const UID: &str = "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";

fn pod() -> PodName {
    PodName { namespace: "payments".into(), name: "checkout-7c9f".into() }
}

fn app() -> ContainerName {
    ContainerName { pod: Arc::new(pod()), name: Some("app".into()), image: None }
}

/// `NAMESPACE/POD/CONTAINER`, and why something of it is missing.
fn named(names: &Names, path: &str) -> (String, Option<Unresolved>) {
    let mut identity = parse(path);
    let why = names.name(&mut identity);
    let pod = identity.pod.as_ref();
    let text = [
        pod.and_then(|pod| pod.namespace.clone()),
        pod.and_then(|pod| pod.name.clone()),
        identity.container.as_ref().and_then(|it| it.name.clone()),
    ];
    (text.map(|name| name.unwrap_or("-".into())).join("/"), why)
}

#[test]
fn what_is_known_is_added_and_what_is_not_has_a_reason() {
    let mut names = Names::default();
    let container = format!("/kubepods/burstable/pod{UID}/{ID}");
    let pause = format!("/kubepods/burstable/pod{UID}/{OTHER}");
    let own = format!("/kubepods/burstable/pod{UID}");
    assert_eq!(named(&names, &container), ("-/-/-".into(), Some(Unresolved::NoSource)));
    names.has_source = true;
    assert_eq!(named(&names, &container), ("-/-/-".into(), Some(Unresolved::UnknownPod)));
    names.pod(UID, pod());
    assert_eq!(
        named(&names, &container),
        ("payments/checkout-7c9f/-".into(), Some(Unresolved::UnknownContainer))
    );
    assert_eq!(named(&names, &own), ("payments/checkout-7c9f/-".into(), None));
    names.container(ID, app());
    assert_eq!(named(&names, &container), ("payments/checkout-7c9f/app".into(), None));
    names.container(OTHER, ContainerName { name: None, ..app() });
    assert_eq!(named(&names, &pause), ("payments/checkout-7c9f/-".into(), None), "the pod's own container");
    // The runtime's record of a name that the kernel's record cut.
    let cut = format!("/kubepods-burstable-pod{}.slice:cri-containerd:{}", UID.replace('-', "_"), &ID[..25]);
    assert_eq!(named(&names, &cut), ("payments/checkout-7c9f/app".into(), None));
    let mut identity = parse(&cut);
    names.name(&mut identity);
    assert_eq!(identity.container.unwrap().id, ID, "whole again");
    for path in ["/", "/system.slice/nginx.service", "/lxc.payload.web"] {
        assert_eq!(named(&names, path), ("-/-/-".into(), None));
    }
    let docker = format!("/docker/{}", ID.replace('9', "8"));
    assert_eq!(named(&names, &docker), ("-/-/-".into(), Some(Unresolved::NotKubernetes)));
}

#[test]
fn a_containers_link_is_enough() {
    let mut names = Names { has_source: true, ..Names::default() };
    names.container(ID, app());
    let path = format!("/kubepods/burstable/pod{UID}/{ID}");
    assert_eq!(named(&names, &path), ("payments/checkout-7c9f/app".into(), None));
    names.container(ID, ContainerName { image: Some("app:1".into()), name: None, ..app() });
    let mut identity = parse(&path);
    names.name(&mut identity);
    let container = identity.container.unwrap();
    assert_eq!((container.name.as_deref(), container.image.as_deref()), (Some("app"), Some("app:1")));
}

#[test]
fn those_that_are_gone_are_remembered_until_there_is_no_room() {
    let mut names = Names { has_source: true, ..Names::with_room(3) };
    let id = |at: usize| format!("{at:064x}");
    for at in 0..3 {
        names.container(&id(at), app());
    }
    names.container_gone(&id(1));
    names.container_gone(&id(0));
    names.container_gone(&id(99));
    names.container(&id(3), app());
    let known = |names: &Names| (0..6).filter(|at| names.find(&id(*at)).is_some()).collect::<Vec<_>>();
    assert_eq!(known(&names), [0, 2, 3], "the one that went first");
    names.container(&id(4), app());
    assert_eq!(known(&names), [2, 3, 4]);
    names.container(&id(2), app());
    names.container(&id(5), app());
    assert_eq!(known(&names), [2, 4, 5], "none is gone: the oldest");
}

#[test]
fn what_the_api_says_is_added_and_stays_when_the_pod_is_gone() {
    let mut names = Names { has_source: true, ..Names::default() };
    names.container(ID, app());
    let path = format!("/kubepods/burstable/pod{UID}/{ID}");
    let told = |names: &Names| named(names, &path).1;
    assert_eq!(told(&names), None, "nobody asks it");
    names.watched = Some(false);
    assert_eq!(told(&names), Some(Unresolved::ApiUnavailable));
    names.watched = Some(true);
    assert_eq!(told(&names), Some(Unresolved::ApiUnknownPod));
    let memory = Memory { request_bytes: Some(1), limit_bytes: Some(2) };
    let workload = Workload { kind: "Job".into(), name: "import".into() };
    let described = Described {
        workload: Some(workload.clone()),
        qos: Some(Qos::Guaranteed),
        containers: [("other".into(), Memory::default()), ("app".into(), memory)].into(),
        ..Described::default()
    };
    names.describe(UID, described);
    names.pod_gone(UID);
    let mut identity = parse(&path);
    assert_eq!(names.name(&mut identity), None);
    let (pod, container) = (identity.pod.unwrap(), identity.container.unwrap());
    assert_eq!((pod.workload.as_ref(), pod.qos), (Some(&workload), Some(Qos::Burstable)), "as the path says");
    let memory = (container.memory_request_bytes, container.memory_limit_bytes);
    assert_eq!((memory, container.id.as_str()), ((Some(1), Some(2)), ID));
    // A pod without a name has at least that.
    let mut nameless = Names { watched: Some(true), ..Names::default() };
    nameless.describe(UID, Described { workload: Some(workload), ..Described::default() });
    let mut identity = parse(&path);
    assert_eq!(nameless.name(&mut identity), Some(Unresolved::NoSource), "names first");
    assert!(identity.pod.unwrap().workload.is_some());
}
