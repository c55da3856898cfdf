use super::*;
use proptest::prelude::*;

const A: &str = "9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766";
const B: &str = "34186d9bd07706222bd427bb647ceed81e8e108eb653ff73c7137099fca1cab6";
const U: &str = "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";
const V: &str = "3f21a0c4_8d1b_4c1e_9a55_0a1b2c3d4e5f";
const STATIC: &str = "99dcb84d2a34f7e338778606703258c4";

/// `QOS UID | RUNTIME ID > NESTED | UNIT USER`, what is absent left out.
fn told(path: &str) -> String {
    let Identity { container, pod, unit } = parse(path);
    let mut parts = Vec::new();
    if let Some(pod) = pod {
        parts.push(format!("{} {}", pod.qos.map_or("?", Qos::name), pod.uid));
    }
    if let Some(container) = container {
        let mut text = format!("{} {}", container.runtime.map_or("?", Runtime::name), container.id);
        for nested in &container.nested {
            text.extend([" > ", nested]);
        }
        parts.push(text);
    }
    if let Some(unit) = unit {
        parts.push(unit.user_id.map_or(unit.name.clone(), |user| format!("{} of {user}", unit.name)));
    }
    parts.join(" | ").replace(A, "A").replace(B, "B").replace(U, "U").replace(STATIC, "STATIC")
}

/// Paths as they were seen, or as the runtimes' sources make them.
const PATHS: &[(&str, &str)] = &[
    // containerd, systemd driver.
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podV.slice/cri-containerd-A.scope",
        "burstable U | containerd A",
    ),
    (
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podV.slice/cri-containerd-A.scope",
        "besteffort U | containerd A",
    ),
    ("/kubepods.slice/kubepods-podV.slice/cri-containerd-A.scope", "guaranteed U | containerd A"),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSTATIC.slice/cri-containerd-A.scope",
        "burstable STATIC | containerd A",
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/docker-A.scope",
        "burstable U | docker A",
    ),
    // The pod's own, and what is above it.
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podV.slice", "burstable U"),
    ("/kubepods.slice/kubepods-burstable.slice", "kubepods-burstable.slice"),
    ("/kubepods.slice", "kubepods.slice"),
    ("/kubepods/burstable/podU", "burstable U"),
    ("/kubepods/burstable", ""),
    ("/kubepods", ""),
    ("/", ""),
    ("", ""),
    // cgroupfs driver: the path does not name the runtime.
    ("/kubepods/burstable/podU/A", "burstable U | ? A"),
    ("/kubepods/besteffort/podU/A", "besteffort U | ? A"),
    ("/kubepods/podU/A", "guaranteed U | ? A"),
    ("/kubepods/burstable/podSTATIC/A", "burstable STATIC | ? A"),
    ("/kubepods/burstable/podU/crio-A", "burstable U | cri-o A"),
    ("/kubepods/burstable/podU/cri-containerd-A", "burstable U | containerd A"),
    ("/../../podU/A", "? U | ? A"),
    // The kubelet talks to systemd, the runtime does not.
    ("/kubepods-besteffort-podV.slice:cri-containerd:A", "besteffort U | containerd A"),
    (
        "/system.slice/containerd.service/kubepods-burstable-podV.slice:cri-containerd:A",
        "burstable U | containerd A",
    ),
    ("/system.slice/k3s.service/kubepods-podV.slice:crio:A", "guaranteed U | cri-o A"),
    // As much as the kernel's record has of such a name.
    (
        "/kubepods-besteffort-podV.slice:cri-containerd:9d1f0c3b5a7e8d6c",
        "besteffort U | containerd 9d1f0c3b5a7e8d6c",
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podV.slice/cri-containerd/A",
        "burstable U | containerd A",
    ),
    // CRI-O; crun makes a cgroup below the container's, conmon's is beside it.
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podV.slice/crio-A.scope",
        "burstable U | cri-o A",
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podV.slice/crio-A.scope/container",
        "burstable U | cri-o A",
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podV.slice/crio-conmon-A.scope",
        "burstable U | crio-conmon-A.scope",
    ),
    ("/kubepods/burstable/podU/crio-conmon-A", "burstable U"),
    ("/system.slice/crio-conmon-A.scope", "crio-conmon-A.scope"),
    // A kubelet with a cgroup root: kind, here seen from outside of the node's container and from inside.
    (
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podV.slice/cri-containerd-A.scope",
        "burstable U | containerd A",
    ),
    (
        "/system.slice/docker-B.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podV.slice/cri-containerd-A.scope",
        "guaranteed U | containerd A",
    ),
    ("/docker/B/kubelet/kubepods/burstable/podU/A", "burstable U | ? A"),
    ("/docker/B/kubepods/besteffort/podU/A", "besteffort U | ? A"),
    ("/docker/B/kubelet/kubepods/burstable/podU", "burstable U"),
    ("/system.slice/docker-B.scope/system.slice/containerd.service", "docker B"),
    // Docker.
    ("/docker/A", "docker A"),
    ("/A", "? A"),
    ("/system.slice/docker-A.scope", "docker A"),
    (
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-A.scope",
        "docker A | user@1000.service of 1000",
    ),
    ("/ecs/0b6cbb0a-2e3b-5d7d-0bb5-f04d53a0a5d6/A", "? A"),
    ("/ecstasks.slice/ecstasks-0b6cbb0a2e3b5d7d0bb5f04d53a0a5d6.slice/docker-A.scope", "docker A"),
    ("/actions_job/A", "? A"),
    // Docker in Docker, in a pod, and sysbox.
    ("/docker/B/docker/A", "docker B > A"),
    ("/docker/B/syscont-cgroup-root/docker/A", "docker B > A"),
    ("/docker/B/syscont-cgroup-root/init.scope", "docker B"),
    ("/kubepods/burstable/podU/B/docker/A", "burstable U | ? B > A"),
    (
        "/kubepods.slice/kubepods-podV.slice/crio-B.scope/syscont-cgroup-root/system.slice/docker-A.scope",
        "guaranteed U | cri-o B > A",
    ),
    (
        "/kubepods.slice/kubepods-podV.slice/cri-containerd-B.scope/kubepods/burstable/podSTATIC/A",
        "guaranteed U | containerd B > A",
    ),
    // What a container makes below its cgroup.
    ("/kubepods.slice/kubepods-podV.slice/cri-containerd-A.scope/init", "guaranteed U | containerd A"),
    ("/system.slice/docker-A.scope/system.slice/nginx.service", "docker A"),
    ("/docker/A/init.scope", "docker A"),
    // nerdctl and ctr.
    ("/default/A", "containerd A"),
    ("/system.slice/nerdctl-A.scope", "containerd A"),
    ("/k8s.io/A", "containerd A"),
    // Podman: of root and of a user, in a pod of its own, in a unit.
    ("/machine.slice/libpod-A.scope", "podman A"),
    ("/machine.slice/libpod-A.scope/container", "podman A"),
    ("/machine.slice/libpod-conmon-A.scope", "libpod-conmon-A.scope"),
    ("/machine.slice/machine-libpod_pod_B.slice/libpod-A.scope/container", "podman A"),
    ("/machine.slice/machine-libpod_pod_B.slice", "machine-libpod_pod_B.slice"),
    ("/libpod_parent/libpod-A", "podman A"),
    ("/libpod_parent/A", "podman A"),
    ("/libpod_parent/conmon", ""),
    (
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-A.scope/container",
        "podman A | user@1000.service of 1000",
    ),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/redis.service/libpod-payload-A",
        "podman A | redis.service of 1000",
    ),
    ("/system.slice/nginx.service/libpod-payload-A", "podman A | nginx.service"),
    ("/system.slice/nginx.service/runtime", "nginx.service"),
    // LXC and systemd-nspawn; a virtual machine is a unit.
    ("/lxc.payload.web-1/system.slice/nginx.service", "lxc web-1"),
    ("/lxc/101/ns/init.scope", "lxc 101"),
    ("/lxc.monitor.web-1", ""),
    ("/machine.slice/machine-build\\x2d1.scope/payload", "systemd-nspawn build-1"),
    ("/machine.slice/systemd-nspawn@build\\x2d1.service/payload/init.scope", "systemd-nspawn build-1"),
    ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "machine-qemu\\x2d1\\x2dvm.scope"),
    // systemd.
    ("/system.slice/nginx.service", "nginx.service"),
    ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
    ("/system.slice/a\\x2db.service", "a\\x2db.service"),
    ("/system.slice/ssh.service/sftp", "ssh.service"),
    ("/system.slice/_memory.service", "memory.service"),
    ("/init.scope", "init.scope"),
    ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope of 1000"),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-2711.scope",
        "app-gnome-firefox-2711.scope of 1000",
    ),
    ("/user.slice/user-1000.slice", "user-1000.slice of 1000"),
    ("/user.slice/user-x.slice", "user-x.slice"),
    ("/system.slice", "system.slice"),
    // What only looks like one.
    ("/kubepods.slice/pod1/app", "kubepods.slice"),
    ("/kubepods/burstable/pod1", ""),
    ("/notkubepods-podV.slice", "notkubepods-podV.slice"),
    ("/kubepods-otherqos-podV.slice", "kubepods-otherqos-podV.slice"),
    ("/system.slice/backup-A.scope", "backup-A.scope"),
    ("/demo/a:b", ""),
    ("/a.slice:b", ""),
    ("/.service/.slice/x.", ""),
];

#[test]
fn paths_say_whose_they_are() {
    for (path, expected) in PATHS {
        let whole: Vec<_> = path.replace("STATIC", STATIC).split('/').map(whole).collect();
        assert_eq!(told(&whole.join("/")), expected.replace("podV", &format!("pod{V}")), "{path}");
    }
}

/// A component of the table with its ids written out.
fn whole(name: &str) -> String {
    let name = name.replace("podV", &format!("pod{V}")).replace("podU", &format!("pod{U}"));
    let mut out = name.clone();
    for (short, id) in [('A', A), ('B', B)] {
        if out == short.to_string() {
            out = id.to_owned();
        }
        for (before, after) in [("-", ".scope"), ("-", ""), (":", ""), ("_", ".slice")] {
            let end = format!("{before}{short}{after}");
            if let Some(begin) = out.strip_suffix(&end) {
                out = format!("{begin}{before}{id}{after}");
            }
        }
    }
    out
}

#[test]
fn systemds_escapes_are_undone() {
    for (escaped, plain) in [
        ("a\\x2db", "a-b"),
        ("\\x2d\\x2d", "--"),
        ("a\\x", "a\\x"),
        ("a\\x2", "a\\x2"),
        ("\\x0a\\xff\\x2é", "\\x0a\\xff\\x2é"),
        ("", ""),
    ] {
        assert_eq!(unescape(escaped), plain);
    }
}

proptest! {
    #[test]
    fn any_path_is_taken(path in "\\PC{0,200}") {
        parse(&path);
    }

    #[test]
    fn what_looks_like_one_is_taken(parts in prop::collection::vec(
        "(kubepods|docker|lxc|pod|-pod|burstable|\\.slice|:|-|_|\\\\x2d|machine-|crio-conmon-|libpod-|user@|\\.service|\\.scope|[0-9a-f]{4,64}|/)", 0..24)
    ) {
        let path = parts.concat();
        let Identity { container, pod, .. } = parse(&path);
        prop_assert!(container.is_none_or(|it| !it.id.is_empty()));
        prop_assert!(pod.is_none_or(|it| it.uid.len() == 32 || it.uid.len() == 36));
    }
}
