//! A pod's cgroup with a limit, made as the kubelet does before it asks for the pod.

use crate::containerd::systemd;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) enum PodCgroup {
    /// cgroupfs.
    Directory(PathBuf),
    /// A slice's name.
    Slice(String),
}

impl PodCgroup {
    /// `parent` is what the kubelet tells the runtime, with either driver.
    pub(crate) fn with_limit(parent: &str, bytes: i64) -> Self {
        if systemd() {
            let slice = parent.rsplit('/').next().expect("a slice").to_owned();
            systemctl(&["set-property", "--runtime", &slice, &format!("MemoryMax={bytes}")]);
            return Self::Slice(slice);
        }
        let v1 = Path::new("/sys/fs/cgroup/memory");
        if v1.join("memory.limit_in_bytes").exists() {
            let cgroup = v1.join(parent.trim_start_matches('/'));
            fs::create_dir_all(&cgroup).expect("a cgroup");
            fs::write(cgroup.join("memory.limit_in_bytes"), bytes.to_string()).expect("a limit");
            return Self::Directory(cgroup);
        }
        // A cgroup has the controllers that those above it hand down.
        let mut cgroup = PathBuf::from("/sys/fs/cgroup");
        for part in parent.trim_start_matches('/').split('/') {
            fs::write(cgroup.join("cgroup.subtree_control"), "+memory").expect("the memory controller");
            cgroup.push(part);
            fs::create_dir_all(&cgroup).expect("a cgroup");
        }
        fs::write(cgroup.join("memory.max"), bytes.to_string()).expect("a limit");
        Self::Directory(cgroup)
    }

    pub(crate) fn remove(&self) {
        match self {
            Self::Directory(cgroup) => drop(fs::remove_dir(cgroup)),
            Self::Slice(slice) => {
                systemctl(&["stop", slice]);
                systemctl(&["revert", slice]);
            }
        }
    }
}

fn systemctl(arguments: &[&str]) {
    let done = Command::new("systemctl").args(arguments).output().expect("systemctl starts");
    assert!(done.status.success(), "systemctl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
