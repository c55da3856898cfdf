//! Kubernetes' API server, where there is one that may be asked.

use super::RunArgs;
use crate::{
    explain::Usage,
    kernel::host::Host,
    kube::{Client, Cluster, Pods, events::Events},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes of a label's name, at most: a DNS name, a slash and 63 more.
const LABEL: usize = 253 + 1 + 63;

/// The API server, and which node this is to it.
#[derive(Debug, Default)]
pub(super) struct Kube(Option<(Arc<Client>, String)>);

impl Kube {
    /// Asks nothing yet. What an operator should know is added to `messages`.
    ///
    /// # Errors
    /// A kubeconfig that cannot be used.
    pub(super) fn open(args: &RunArgs, host: &Host, messages: &mut Vec<String>) -> Result<Self, Usage> {
        let variable = |name: &str| std::env::var(name).ok();
        let cluster = match args.kube_api.as_deref() {
            Some(path) if path == Path::new("off") => return Ok(Self::default()),
            Some(path) => {
                Some(Cluster::of_kubeconfig(path).map_err(|error| Usage(format!("--kube-api {error:#}")))?)
            }
            None => Cluster::around(Path::new("/"), variable).unwrap_or_else(|error| {
                messages.push(format!("Kubernetes' API server is not asked: {error:#}"));
                None
            }),
        };
        let Some(cluster) = cluster else { return Ok(Self::default()) };
        let Some(node) = host.node.value().filter(|node| *node != "(none)") else {
            messages.push(
                "Kubernetes' API server is not asked: the node's name is not known (--node-name)".into(),
            );
            return Ok(Self::default());
        };
        Ok(Self(Some((Arc::new(Client::new(cluster)), node.clone()))))
    }

    /// Begins to watch this node's pods, within a tokio runtime.
    pub(super) fn pods(&self, args: &RunArgs) -> Option<Pods> {
        let Self(Some((client, node))) = self else { return None };
        Some(Pods::watch(Arc::clone(client), node, args.kube_label.clone()))
    }

    /// Writes Events, within a tokio runtime.
    pub(super) fn events(&self, args: &RunArgs) -> Option<Events> {
        let Self(Some((client, _))) = self else { return None };
        (!args.no_kube_events).then(|| Events::start(Arc::clone(client)))
    }

    /// What it reads, for the sandbox.
    pub(super) fn reads(&self) -> Vec<PathBuf> {
        self.0.as_ref().map(|(client, _)| client.cluster().reads()).unwrap_or_default()
    }

    /// Whether names have to be looked up.
    pub(super) fn resolves(&self) -> bool {
        self.0.as_ref().is_some_and(|(client, _)| client.cluster().resolves())
    }

    /// Where it connects to, for the sandbox.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.0.iter().map(|(client, _)| client.cluster().port()).collect()
    }
}

/// A label's name as Kubernetes has them.
pub(super) fn label(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if (1..=LABEL).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("not the name of a label, such as team or app.kubernetes.io/part-of".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_labels() {
        for good in ["team", "app.kubernetes.io/part-of", "a_B-1"] {
            assert_eq!(label(good), Ok(good.to_owned()));
        }
        for wrong in ["", "a=b", "a b", "\u{1b}", &"x".repeat(LABEL + 1)] {
            assert!(label(wrong).is_err(), "{wrong:?}");
        }
    }
}
