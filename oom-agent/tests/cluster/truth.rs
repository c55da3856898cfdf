//! What the API server has of pods.

use crate::cluster::Cluster;
use serde_json::Value;

/// A container as it was started once.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// What its cgroup is called by.
    pub(crate) uid: String,
    pub(crate) qos: String,
    pub(crate) name: String,
}

pub(crate) struct Pods(Vec<Value>);

impl Pods {
    pub(crate) fn read(cluster: &Cluster) -> Self {
        let all = cluster.json(&["get", "pods", "-A"]);
        Self(all["items"].as_array().cloned().unwrap_or_default())
    }

    /// Whose a container is, also one that ended.
    pub(crate) fn container(&self, id: &str) -> Option<Container> {
        let full = format!("containerd://{id}");
        for pod in &self.0 {
            for list in ["containerStatuses", "initContainerStatuses"] {
                for status in pod["status"][list].as_array().into_iter().flatten() {
                    let ids = [
                        &status["containerID"],
                        &status["lastState"]["terminated"]["containerID"],
                        &status["state"]["terminated"]["containerID"],
                    ];
                    if ids.iter().any(|it| **it == full.as_str()) {
                        let metadata = &pod["metadata"];
                        // A static pod's cgroup has the kubelet's own name for it.
                        let own = &metadata["annotations"]["kubernetes.io/config.hash"];
                        let uid = if own.is_string() { own } else { &metadata["uid"] };
                        return Some(Container {
                            namespace: text(&metadata["namespace"]),
                            pod: text(&metadata["name"]),
                            uid: text(uid),
                            qos: text(&pod["status"]["qosClass"]),
                            name: text(&status["name"]),
                        });
                    }
                }
            }
        }
        None
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}
