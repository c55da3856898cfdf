//! The kubelet's log files: their names name pods and containers. Pure.
//!
//! `/var/log/pods/NAMESPACE_POD_UID` is made before the pod's sandbox (`BuildPodLogsDirectory` in
//! `pkg/kubelet/kuberuntime/helpers.go`). `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` is a link that is made when
//! the container was started, and cut to 255 bytes (`logSymlink` in `legacy.go`): then its id may not be whole.

use super::{ContainerName, PodName};
use crate::identity::path::{ID_DIGITS, unescape};
use std::sync::Arc;

/// A directory in `/var/log/pods`: the pod's UID and names.
pub fn pod(name: &str) -> Option<(&str, PodName)> {
    let mut parts = name.split('_');
    let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && is_name(namespace) && is_name(pod) && is_uid(uid);
    whole.then(|| (uid, PodName { namespace: namespace.to_owned(), name: pod.to_owned() }))
}

/// A link in `/var/log/containers`: the container's id and names.
pub fn container(name: &str) -> Option<(&str, ContainerName)> {
    let mut parts = name.strip_suffix(".log")?.split('_');
    let (pod, namespace, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (container, id) = rest.rsplit_once('-')?;
    let is_id = id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.next().is_some() || !is_id || ![pod, namespace, container].into_iter().all(is_name) {
        return None;
    }
    let pod = Arc::new(PodName { namespace: namespace.to_owned(), name: pod.to_owned() });
    Some((id, ContainerName { pod, name: Some(container.to_owned()), image: None }))
}

/// What Kubernetes allows as a name (RFC 1123): nothing that a terminal or a label would have to fear.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    (1..=253).contains(&text.len()) && text.bytes().all(allowed)
}

/// A UID, or the digits of a static pod.
pub fn is_uid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed) && unescape(text) == text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766";

    #[test]
    fn names_of_the_kubelets_files() {
        let names = |namespace: &str, name: &str| PodName { namespace: namespace.into(), name: name.into() };
        let uid = "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";
        assert_eq!(
            pod(&format!("payments_checkout-7c9f_{uid}")),
            Some((uid, names("payments", "checkout-7c9f")))
        );
        let hash = "99dcb84d2a34f7e338778606703258c4";
        let text = format!("kube-system_etcd-node.example_{hash}");
        assert_eq!(pod(&text), Some((hash, names("kube-system", "etcd-node.example"))));
        let text = format!("checkout-7c9f_payments_app-v2-{ID}.log");
        let (id, found) = container(&text).unwrap();
        assert_eq!(
            (id, &*found.pod, found.name.as_deref()),
            (ID, &names("payments", "checkout-7c9f"), Some("app-v2"))
        );
    }

    #[test]
    fn what_the_kubelet_does_not_write_is_left_out() {
        for other in
            ["", "a", "a_b", "a_b_x", "a__3f21", "a_b_3f21_d", "A_b_3f21", "a_\u{1b}[2J_3f21", "a_b_3f21.log"]
        {
            assert_eq!(pod(other), None, "{other:?}");
        }
        let cut = &ID[..20];
        for other in [
            format!("p_n_c-{cut}.log"),
            format!("p_n_c-{ID}"),
            format!("p_n_c_d-{ID}.log"),
            format!("p_n_-{ID}.log"),
            format!("p_n_{ID}.log"),
            format!("p\n_n_c-{ID}.log"),
            String::new(),
        ] {
            assert_eq!(container(&other), None, "{other:?}");
        }
    }
}
