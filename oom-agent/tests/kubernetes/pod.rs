//! One pod, made and deleted as the kubelet does.

use crate::cgroup::PodCgroup;
use crate::containerd::{Containerd, IMAGE};
use crate::requests::{
    ContainerConfig, ContainerSecurityContext, CreateContainerRequest, Id, LinuxContainerConfig,
    LinuxContainerResources, LinuxPodSandboxConfig, NamespaceOption, Nothing, PodSandboxConfig,
    RunPodSandboxRequest, SecurityContext,
};
use oom_agent::identity::cri::messages::{ContainerMetadata, ImageSpec, PodSandboxMetadata};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) const NAMESPACE: &str = "oom-agent-test";
/// Enough for the program and what the runtime needs to start it.
const BYTES: i64 = 48 << 20;
/// Nothing takes so long, even on a slow machine with other work.
const DEADLINE: Duration = Duration::from_mins(1);

/// What has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Container,
    Pod,
}

/// Who takes the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Main,
    Child,
}

/// How the pod's cgroup is written (the kubelet's cgroup driver).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// cgroupfs.
    Directory,
    /// systemd. Unless it is the driver, runc knows nothing of it.
    Slice,
}

/// A running pod with one container, called `app`.
pub(crate) struct Pod<'a> {
    containerd: &'a Containerd,
    pub(crate) limit: Limit,
    pub(crate) who: Who,
    name: String,
    uid: String,
    sandbox: String,
    container: String,
    logs: PathBuf,
    link: PathBuf,
    cgroup: Option<PodCgroup>,
    /// Where the kernel counts kills in the container's cgroup.
    events: PathBuf,
}

impl<'a> Pod<'a> {
    pub(crate) fn run(containerd: &'a Containerd, limit: Limit, who: Who, parent: Parent) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let uid = format!("{:08x}-8d1b-4c1e-9a55-{:012x}", std::process::id(), number);
        let name = format!("checkout-{number}.v1");
        let cgroup_parent = match parent {
            Parent::Directory => format!("/kubepods/burstable/pod{uid}"),
            Parent::Slice => format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
                uid.replace('-', "_")
            ),
        };
        let cgroup = (limit == Limit::Pod).then(|| PodCgroup::with_limit(&cgroup_parent, BYTES));
        let logs = PathBuf::from(format!("/var/log/pods/{NAMESPACE}_{name}_{uid}"));
        fs::create_dir_all(logs.join("app")).expect("a directory");
        // The machine's own network: no plugin is needed. A PID namespace for each container, as usual.
        let namespaces = Some(NamespaceOption { network: 2, pid: 1 });
        let security_context = Some(SecurityContext { namespace_options: namespaces.clone() });
        let metadata = PodSandboxMetadata {
            name: name.clone(),
            uid: uid.clone(),
            namespace: NAMESPACE.into(),
            attempt: 0,
        };
        let config = PodSandboxConfig {
            metadata: Some(metadata),
            log_directory: logs.display().to_string(),
            linux: Some(LinuxPodSandboxConfig { cgroup_parent, security_context }),
        };
        let sandbox: Id =
            containerd.call("RunPodSandbox", &RunPodSandboxRequest { config: Some(config.clone()) });
        let memory_limit_in_bytes = if limit == Limit::Container { BYTES } else { 0 };
        let command = match who {
            Who::Main => "eat",
            Who::Child => "child",
        };
        let container = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "app".into(), attempt: 0 }),
            image: Some(ImageSpec { image: IMAGE.into(), user_specified_image: String::new() }),
            command: vec!["/guest".into(), command.into()],
            log_path: "app/0.log".into(),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources { memory_limit_in_bytes, oom_score_adj: 900 }),
                security_context: Some(ContainerSecurityContext { namespace_options: namespaces }),
            }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.id.clone(),
            config: Some(container),
            sandbox_config: Some(config),
        };
        let container: Id = containerd.call("CreateContainer", &request);
        let link = PathBuf::from(format!("/var/log/containers/{name}_{NAMESPACE}_app-{}.log", container.id));
        let mut pod = Self {
            containerd,
            limit,
            who,
            name,
            uid,
            sandbox: sandbox.id,
            container: container.id,
            logs,
            link,
            cgroup,
            events: PathBuf::new(),
        };
        let Nothing {} = containerd.call("StartContainer", &Id { id: pod.container.clone() });
        pod.events = pod.events();
        pod
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// The kubelet makes it when the container was started.
    pub(crate) fn make_link(&self) {
        fs::create_dir_all("/var/log/containers").expect("a directory");
        symlink(self.logs.join("app/0.log"), &self.link).expect("a link");
    }

    /// Returns as soon as the kernel has counted it.
    pub(crate) fn wait_for_the_kill(&self) {
        let began = Instant::now();
        while !killed(&self.events) {
            assert!(began.elapsed() < DEADLINE, "{} was not killed: {}", self.name, self.events.display());
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    pub(crate) fn delete(&self) {
        let id = Id { id: self.sandbox.clone() };
        let Nothing {} = self.containerd.call("StopPodSandbox", &id);
        let Nothing {} = self.containerd.call("RemovePodSandbox", &id);
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
    }

    fn events(&self) -> PathBuf {
        let listed = fs::read_to_string(format!("/proc/{}/cgroup", self.pid())).expect("it runs");
        let find = |kind: &str| {
            listed.lines().find_map(|line| line.split_once(kind).map(|(_, path)| path.to_owned()))
        };
        match find(":memory:") {
            Some(path) => Path::new("/sys/fs/cgroup/memory")
                .join(path.trim_start_matches('/'))
                .join("memory.oom_control"),
            None => Path::new("/sys/fs/cgroup")
                .join(find("0::").expect("a cgroup").trim_start_matches('/'))
                .join("memory.events"),
        }
    }

    /// The container's main process, from the runtime's own file.
    fn pid(&self) -> String {
        let task = Path::new(&self.containerd.socket()).with_file_name("state");
        let task = task.join("io.containerd.runtime.v2.task/k8s.io").join(&self.container).join("init.pid");
        fs::read_to_string(task).expect("it runs").trim().to_owned()
    }

    pub(crate) fn remove_files(&self) {
        let _ = fs::remove_file(&self.link);
        let _ = fs::remove_dir_all(&self.logs);
    }
}

/// Also if it is all gone already.
fn killed(events: &Path) -> bool {
    let Ok(text) = fs::read_to_string(events) else { return true };
    text.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count != "0")
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        self.remove_files();
    }
}
