//! What is used of the CRI (`runtime.v1`, `api.proto` of k8s.io/cri-api). Fields that are not named here are passed over.

use prost::Message;

/// All sandboxes.
#[derive(Clone, PartialEq, Message)]
pub struct ListPodSandboxRequest {}

/// Sandboxes.
#[derive(Clone, PartialEq, Message)]
pub struct ListPodSandboxResponse {
    /// One for each pod that runs, and those that are not removed yet.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// A pod's own container.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandbox {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What the kubelet calls it.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
}

/// What the kubelet calls a pod.
#[derive(Clone, PartialEq, Message)]
pub struct PodSandboxMetadata {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// UID.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// Namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// Sandboxes that it had before.
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// All containers.
#[derive(Clone, PartialEq, Message)]
pub struct ListContainersRequest {}

/// Containers.
#[derive(Clone, PartialEq, Message)]
pub struct ListContainersResponse {
    /// Those that are not removed yet.
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Container>,
}

/// A container.
#[derive(Clone, PartialEq, Message)]
pub struct Container {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its pod's sandbox.
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    /// What the kubelet calls it.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ContainerMetadata>,
    /// What it was made of.
    #[prost(message, optional, tag = "4")]
    pub image: Option<ImageSpec>,
}

/// What the kubelet calls a container.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerMetadata {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Restarts.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// An image.
#[derive(Clone, PartialEq, Message)]
pub struct ImageSpec {
    /// As the runtime has it, often an id.
    #[prost(string, tag = "1")]
    pub image: String,
    /// As the pod has it (from Kubernetes 1.28 on).
    #[prost(string, tag = "18")]
    pub user_specified_image: String,
}
