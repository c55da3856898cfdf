//! Containers, pods and units in words.

use crate::incident::identity::{Container, Identity, Pod, Runtime, Unit, Workload};
use crate::incident::model::{Incident, Victim};
use crate::sink::{escape, units};

/// Digits of an id that are shown, as other tools do.
const SHORT: usize = 12;

/// `, main process of container app in payments/checkout-7c9f`, as the end of a victim's name; empty if nothing is known.
pub(super) fn of_victim(victim: &Victim) -> String {
    let Some(place) = place(&victim.identity) else { return String::new() };
    match victim.main_process.filter(|_| victim.identity.container.is_some()) {
        Some(true) => format!(", main process of {place}"),
        Some(false) => format!(", not the main process of {place}"),
        None => format!(", of {place}"),
    }
}

/// `container app in payments/checkout-7c9f`, `pod payments/checkout-7c9f`, `nginx.service`.
pub(crate) fn place(identity: &Identity) -> Option<String> {
    let Identity { container, pod, unit } = identity;
    Some(match (container, pod, unit) {
        (Some(container), Some(pod), _) => format!("{} in {}", self::container(container), self::pod(pod)),
        (Some(container), None, _) => self::container(container),
        (None, Some(pod), _) => format!("pod {}", self::pod(pod)),
        (None, None, Some(unit)) => self::unit(unit),
        (None, None, None) => return None,
    })
}

/// `container app`, `docker container 9d1f0c3b5a7e`.
fn container(container: &Container) -> String {
    let Container { runtime, id, name, .. } = container;
    if let Some(name) = name {
        return format!("container {}", escape::name(name));
    }
    let id = match runtime {
        Some(Runtime::Lxc | Runtime::SystemdNspawn) => escape::name(id),
        _ => id.chars().take(SHORT).collect(),
    };
    match runtime {
        Some(Runtime::Containerd | Runtime::CriO) | None => format!("container {id}"),
        Some(runtime) => format!("{} container {id}", runtime.name()),
    }
}

/// `payments/checkout-7c9f`, or by its UID.
pub(super) fn pod(pod: &Pod) -> String {
    match (&pod.namespace, &pod.name) {
        (Some(namespace), Some(name)) => format!("{}/{}", escape::name(namespace), escape::name(name)),
        _ => format!("the pod with UID {}", escape::name(&pod.uid)),
    }
}

fn unit(unit: &Unit) -> String {
    let name = escape::name(&unit.name);
    match unit.user_id {
        Some(user) if !unit.name.contains(&user.to_string()) => format!("{name} of user {user}"),
        _ => name,
    }
}

/// What was full, as its victim sees it: `its container`, `its pod`. `None`: nothing better than the cgroup's name is known.
pub(super) fn full(incident: &Incident, victim: Option<&Victim>) -> Option<String> {
    let scope = &incident.scope.identity;
    let own = victim.map(|victim| &victim.identity);
    let same_pod = || own?.pod.as_ref()?.uid.eq(&scope.pod.as_ref()?.uid).then_some(());
    let same_container = || own?.container.as_ref()?.id.eq(&scope.container.as_ref()?.id).then_some(());
    match (&scope.container, &scope.pod) {
        (Some(_), _) if same_container().is_some() => Some("its container".to_owned()),
        (None, Some(_)) if same_pod().is_some() => Some("its pod".to_owned()),
        (Some(_), _) | (None, Some(_)) => place(scope),
        (None, None) => None,
    }
}

/// In a table: `app` within the pod that was full, else `payments/checkout-7c9f/app`. `None`: no names are known.
pub(crate) fn cell(identity: &Identity, full: &Identity) -> Option<String> {
    let pod = identity.pod.as_ref();
    let known = pod.and_then(|pod| Some((pod.namespace.as_ref()?, pod.name.as_ref()?)));
    let container = identity.container.as_ref().and_then(|container| container.name.as_deref());
    let same = pod.map(|pod| &pod.uid) == full.pod.as_ref().map(|pod| &pod.uid);
    match (known, container) {
        (Some(_), Some(container)) if same => Some(escape::name(container)),
        (Some((namespace, pod)), Some(container)) => {
            Some([namespace, pod, container].map(escape::name).join("/"))
        }
        // What is in the pod and no container has a name of its own.
        (Some((namespace, pod)), None) if identity.container.is_none() && !same => {
            Some([namespace, pod].map(|name| escape::name(name)).join("/"))
        }
        (None, Some(container)) => Some(escape::name(container)),
        (Some(_) | None, None) => None,
    }
}

/// A line below the cgroup that was full: who that is.
pub(super) fn line(identity: &Identity) -> Option<String> {
    let mut text = place(identity)?;
    if let Some(container) = &identity.container
        && container.name.is_some()
    {
        let runtime = container.runtime.map_or("id", Runtime::name);
        let id: String = container.id.chars().take(SHORT).collect();
        text.extend([" (", runtime, " ", &id, ")"]);
    }
    if let Some(qos) = identity.pod.as_ref().and_then(|pod| pod.qos) {
        text.extend([", ", qos.name()]);
    }
    Some(text)
}

/// What Kubernetes' API says of it, below that. `None`: nothing.
pub(super) fn described(identity: &Identity) -> Option<String> {
    let Identity { container, pod, unit: _ } = identity;
    let pod = pod.as_deref()?;
    let Pod { workload, labels, priority, priority_class, .. } = pod;
    let (request, limit) = match container {
        Some(container) => (container.memory_request_bytes, container.memory_limit_bytes),
        None => (pod.memory_request_bytes, pod.memory_limit_bytes),
    };
    let mut parts: Vec<String> = workload.iter().map(self::workload).collect();
    parts.extend(request.map(|bytes| format!("requests {}", units::bytes(bytes))));
    parts.extend(limit.map(|bytes| format!("limit {}", units::bytes(bytes))));
    parts.extend(priority.map(|priority| match priority_class {
        Some(class) => format!("priority {priority} ({})", escape::name(class)),
        None => format!("priority {priority}"),
    }));
    parts
        .extend(labels.iter().map(|(name, value)| format!("{}={}", escape::name(name), escape::name(value))));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `Deployment checkout`.
pub(crate) fn workload(workload: &Workload) -> String {
    format!("{} {}", escape::name(&workload.kind), escape::name(&workload.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::path::parse;
    use crate::incident::model::Scope;
    use crate::sink::samples;
    use crate::sink::terminal::headline;
    use std::sync::Arc;

    const POD: &str = "/kubepods/burstable/pod3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";

    fn id() -> String {
        format!("9d1f0c3b5a7e{}", "0".repeat(52))
    }

    fn said(path: &str) -> String {
        place(&parse(path)).unwrap_or_default()
    }

    #[test]
    fn what_the_path_says_is_said_where_there_are_no_names() {
        let id = id();
        assert_eq!(
            said(&format!("{POD}/{id}")),
            "container 9d1f0c3b5a7e in the pod with UID 3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f"
        );
        assert_eq!(said(&format!("/system.slice/docker-{id}.scope")), "docker container 9d1f0c3b5a7e");
        assert_eq!(said("/lxc.payload.web-1/init.scope"), "lxc container web-1");
        assert_eq!(said("/system.slice/nginx.service"), "nginx.service");
        assert_eq!(said("/user.slice/user-1000.slice/session-3.scope"), "session-3.scope of user 1000");
        assert_eq!(said("/user.slice/user-1000.slice/user@1000.service"), "user@1000.service");
        assert_eq!(said("/demo"), "");
    }

    /// The headline of a kill in `own` for the limit of `full`.
    fn head(own: &str, full: &str, main_process: Option<bool>) -> String {
        let mut incident = samples::memcg();
        incident.scope = Scope { cgroup: Some(full.to_owned()), identity: parse(full), ..incident.scope };
        let victim = &mut incident.victims[0];
        (victim.cgroup, victim.identity, victim.main_process) =
            (Some(own.to_owned()), parse(own), main_process);
        samples::build::named(&mut incident, "payments", "checkout", "app");
        headline(&incident).split(" curl[").next().unwrap().to_owned()
    }

    #[test]
    fn the_headline_says_whose_limit_it_was() {
        let container = format!("{POD}/{}", id());
        let app = "of container app in payments/checkout, holding 474 MiB, was killed:";
        for (own, full, main, expected) in [
            (&*container, &*container, Some(true), format!(", main process {app} its container had")),
            (&container, POD, Some(false), format!(", not the main process {app} its pod had")),
            (&format!("{container}/init"), &container, None, format!(", {app} its container had")),
            (&container, "/kubepods", None, format!(", {app} memory cgroup /kubepods, above its own, had")),
            ("/a", POD, Some(true), ", holding 474 MiB, was killed: pod payments/checkout had".to_owned()),
            ("/system.slice/a.service", "/system.slice", Some(true), {
                ", of a.service, holding 474 MiB, was killed: memory cgroup /system.slice, above its own, had"
                    .to_owned()
            }),
        ] {
            assert_eq!(head(own, full, main), format!("java[81234]{expected} reached the limit of 512 MiB."));
        }
    }

    #[test]
    fn what_the_api_says_is_a_line_of_its_own() {
        let mut identity = parse(&format!("{POD}/{}", id()));
        let pod = Arc::make_mut(identity.pod.as_mut().unwrap());
        pod.workload = Some(Workload { kind: "Deployment".into(), name: "checkout".into() });
        pod.labels = [("team".to_owned(), "money\u{1b}".to_owned())].into();
        (pod.priority, pod.priority_class) = (Some(1000), Some("high".into()));
        let container = Arc::make_mut(identity.container.as_mut().unwrap());
        (container.memory_request_bytes, container.memory_limit_bytes) = (Some(256 << 20), Some(512 << 20));
        let expected =
            "Deployment checkout, requests 256 MiB, limit 512 MiB, priority 1000 (high), team=money\\x1b";
        assert_eq!(described(&identity).as_deref(), Some(expected));
        assert_eq!(described(&parse("/system.slice/nginx.service")), None);
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let path = format!("/lxc.payload.\u{1b}[2J/{}", id());
        assert_eq!(said(&path), "lxc container \"\\x1b[2J\"");
    }
}
