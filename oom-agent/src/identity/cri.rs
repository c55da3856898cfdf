//! Asks the container runtime what its pods and containers are called, over its Unix socket (CRI `runtime.v1`).
//!
//! Only where the kubelet's log files do not say it, and at the start: a connection for each time, none that stays. Who may
//! write to that socket can do anything on the machine, so the agent does without it where it is not given one.
//!
//! # Layout
//! - [`messages`]: what of the CRI is used.

pub mod messages;

use super::names::files::{is_name, is_uid};
use super::names::{ContainerName, Names, PodName};
use super::path::ID_DIGITS;
use crate::grpc::{Client, Frame};
use anyhow::{Context as _, Result};
use http::HeaderMap;
use messages::{
    Container, ListContainersRequest, ListContainersResponse, ListPodSandboxRequest, ListPodSandboxResponse,
};
use prost::Message;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Where runtimes listen: containerd, CRI-O, Docker by cri-dockerd, containerd of k3s.
const SOCKETS: [&str; 4] = [
    "run/containerd/containerd.sock",
    "run/crio/crio.sock",
    "run/cri-dockerd.sock",
    "run/k3s/containerd/containerd.sock",
];
/// Who answers there.
const SERVICE: &str = "runtime.v1.RuntimeService";
const ORIGIN: &str = "http://localhost";
/// A runtime is not asked more often than this.
const REST_NS: u64 = 200_000_000;
/// For both lists together.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an image's name that are kept.
const IMAGE: usize = 512;

/// A runtime, asked at most once at a time.
#[derive(Debug)]
pub struct Cri {
    sockets: Vec<PathBuf>,
    call: Option<JoinHandle<Result<Listing>>>,
    asked_ns: Option<u64>,
    /// The last call's failure was told.
    said: bool,
}

/// What a runtime said.
#[derive(Debug, Default)]
pub struct Listing {
    pods: Vec<(String, PodName)>,
    containers: Vec<(String, ContainerName)>,
}

impl Cri {
    /// `socket`: the only one. Else those that runtimes use are tried. `root`: what stands for `/`.
    pub fn new(root: &Path, socket: Option<&Path>) -> Self {
        let sockets = match socket {
            Some(socket) => vec![socket.to_owned()],
            None => SOCKETS.iter().map(|path| root.join(path)).collect(),
        };
        Self { sockets, call: None, asked_ns: None, said: false }
    }

    /// Begins to ask, unless it was asked just now. Whether an answer may come, to this or to another question later.
    pub fn ask(&mut self, now_ns: u64) -> bool {
        if self.call.is_some() || self.asked_ns.is_some_and(|asked| now_ns.saturating_sub(asked) < REST_NS) {
            return true;
        }
        let Some(socket) = self.sockets.iter().find(|path| path.exists()).cloned() else { return false };
        self.asked_ns = Some(now_ns);
        self.call = Some(tokio::spawn(async move {
            let asked = tokio::time::timeout(PATIENCE, list(&socket)).await;
            let asked = asked.context("no answer in 5 s").flatten();
            asked.with_context(|| format!("cannot ask the runtime at {}", socket.display()))
        }));
        true
    }

    /// Waits for the answer; for ever, if nothing was asked. Cancel safe.
    pub async fn answered(&mut self) -> Result<Listing> {
        let Some(call) = &mut self.call else { return std::future::pending().await };
        let listing = call.await;
        self.call = None;
        listing.context("the call broke off").flatten()
    }

    /// Whether a failure has to be told: once until there is an answer.
    pub const fn is_news(&mut self, failed: bool) -> bool {
        let news = failed && !self.said;
        self.said = failed;
        news
    }
}

impl Listing {
    /// Adds it to what is known.
    pub fn learn(self, names: &mut Names) {
        let Self { pods, containers } = self;
        for (uid, pod) in pods {
            names.pod(&uid, pod);
        }
        for (id, container) in containers {
            names.container(&id, container);
        }
    }
}

async fn list(socket: &Path) -> Result<Listing> {
    let mut client = connect(socket).await?;
    let pods: ListPodSandboxResponse = ask(&mut client, "ListPodSandbox", &ListPodSandboxRequest {}).await?;
    let containers: ListContainersResponse =
        ask(&mut client, "ListContainers", &ListContainersRequest {}).await?;
    Ok(listing(pods, containers))
}

/// Connects to a runtime, within a tokio runtime.
///
/// # Errors
/// If nobody listens there or does not speak HTTP/2.
pub async fn connect(socket: &Path) -> Result<Client> {
    let stream = UnixStream::connect(socket).await.context("cannot connect")?;
    Client::over(stream, ORIGIN.to_owned()).await.context("no HTTP/2 there")
}

/// Calls a method of the runtime's service.
///
/// # Errors
/// If the runtime refuses, breaks off, or answers something else.
pub async fn ask<A: Message + Default>(
    client: &mut Client,
    method: &str,
    question: &impl Message,
) -> Result<A> {
    let frame = Frame::of(question)?;
    let answer = client.call(&format!("/{SERVICE}/{method}"), HeaderMap::new(), frame).await;
    answer.with_context(|| format!("{method} failed"))
}

/// What is not as Kubernetes would call it is left out.
pub(crate) fn listing(pods: ListPodSandboxResponse, containers: ListContainersResponse) -> Listing {
    let mut told = Listing::default();
    let mut sandboxes = HashMap::new();
    for sandbox in pods.items {
        let Some(metadata) = sandbox.metadata else { continue };
        if !is_id(&sandbox.id)
            || !is_uid(&metadata.uid)
            || ![&metadata.namespace, &metadata.name].iter().all(|it| is_name(it))
        {
            continue;
        }
        let pod = PodName { namespace: metadata.namespace, name: metadata.name };
        told.pods.push((metadata.uid, pod.clone()));
        let pod = Arc::new(pod);
        let own = ContainerName { pod: Arc::clone(&pod), name: None, image: None };
        told.containers.push((sandbox.id.clone(), own));
        sandboxes.insert(sandbox.id, pod);
    }
    for Container { id, pod_sandbox_id, metadata, image } in containers.containers {
        let name = metadata.map(|metadata| metadata.name).filter(|name| is_name(name));
        let (Some(pod), Some(name)) = (sandboxes.get(&pod_sandbox_id), name) else { continue };
        let image = image
            .map(|it| if it.user_specified_image.is_empty() { it.image } else { it.user_specified_image });
        let image = image.filter(|image| !image.is_empty() && image.len() <= IMAGE);
        if is_id(&id) {
            told.containers.push((id, ContainerName { pod: Arc::clone(pod), name: Some(name), image }));
        }
    }
    told
}

fn is_id(id: &str) -> bool {
    id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::messages::{ContainerMetadata, ImageSpec, PodSandbox, PodSandboxMetadata};
    use super::*;

    #[test]
    fn what_a_runtime_says_is_checked() {
        let id = |digit: char| digit.to_string().repeat(64);
        let sandbox = |id: String, name: &str| PodSandbox {
            id,
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f".into(),
                namespace: "payments".into(),
                attempt: 0,
            }),
        };
        let container = |id: String, of: String, name: &str| Container {
            id,
            pod_sandbox_id: of,
            metadata: Some(ContainerMetadata { name: name.into(), attempt: 2 }),
            image: Some(ImageSpec { image: "sha256:1".into(), user_specified_image: "app:1".into() }),
        };
        let pods = ListPodSandboxResponse {
            items: vec![
                sandbox(id('a'), "checkout"),
                sandbox(id('b'), "\u{1b}[2J"),
                sandbox("short".into(), "x"),
                PodSandbox { id: id('c'), metadata: None },
            ],
        };
        let containers = ListContainersResponse {
            containers: vec![
                container(id('1'), id('a'), "app"),
                container(id('2'), id('b'), "app"),
                container(id('3'), id('a'), "a b"),
                container("4".into(), id('a'), "app"),
            ],
        };
        let told = listing(pods, containers);
        let ids: Vec<_> = told.containers.iter().map(|(id, it)| (&id[..1], it.name.as_deref())).collect();
        assert_eq!(ids, [("a", None), ("1", Some("app"))]);
        assert_eq!(told.containers[1].1.image.as_deref(), Some("app:1"));
        assert_eq!(told.pods.len(), 1);
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer() {
        let mut cri = Cri::new(Path::new("/nonexistent"), None);
        assert!(!cri.ask(0));
        let listener = std::env::temp_dir().join(format!("oom-agent-cri-{}", std::process::id()));
        let _ = std::fs::remove_file(&listener);
        let bound = std::os::unix::net::UnixListener::bind(&listener).unwrap();
        drop(bound);
        let mut cri = Cri::new(Path::new("/"), Some(&listener));
        assert!(cri.ask(0) && cri.ask(0), "one call at a time");
        let error = format!("{:#}", cri.answered().await.unwrap_err());
        assert!(error.contains("cannot ask the runtime at") && error.contains("refused"), "{error}");
        assert!(cri.is_news(true) && !cri.is_news(true) && !cri.is_news(false) && cri.is_news(true));
        assert!(cri.ask(1) && cri.call.is_none() && cri.ask(REST_NS) && cri.call.is_some());
        std::fs::remove_file(&listener).unwrap();
    }
}
