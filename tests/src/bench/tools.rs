//! Which tools there are, and how each tells of a victim.

use super::tool::{Named, Tells, Tool};
use crate::init::DISK_SERIAL;
use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount, mount_bind};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Where the disk with Debian's programs is mounted.
pub(super) const ROOT: &str = "/peers";
/// Where the programs of this project are on that disk: read from it like the others.
const OURS: &str = "/opt";
const PORT: u16 = 9100;

/// Mounts the disk, and in it what the programs need.
pub(super) fn mount_root() -> Result<()> {
    let disk = crate::init::disk(DISK_SERIAL)?;
    fs::create_dir_all(ROOT).with_context(|| format!("creating {ROOT}"))?;
    mount(&disk, ROOT, "ext4", MountFlags::empty(), c"")
        .with_context(|| format!("mounting {}", disk.display()))?;
    // No package that the tools need has it, but every machine: bpftrace asks it for a compiler, and falls over without.
    fs::copy("/bin/busybox", format!("{ROOT}/bin/sh")).context("copying a shell to the disk")?;
    fs::create_dir_all("/dev/pts").context("creating /dev/pts")?;
    mount("devpts", "/dev/pts", "devpts", MountFlags::empty(), c"").context("mounting devpts")?;
    for path in ["/proc", "/sys", "/dev", "/sys/kernel/tracing", "/sys/kernel/debug"] {
        let to = format!("{ROOT}{path}");
        fs::create_dir_all(&to).with_context(|| format!("creating {to}"))?;
        mount_bind(path, &to).with_context(|| format!("mounting {path} at {to}"))?;
    }
    Ok(())
}

/// All of them. Those of this project are copied to the disk, so that they start from it as cold as the others.
pub(super) fn all(agent: &Path) -> Result<Vec<Tool>> {
    let opt = Path::new(ROOT).join(OURS.trim_start_matches('/'));
    fs::create_dir_all(&opt).with_context(|| format!("creating {}", opt.display()))?;
    for (from, name) in [(agent, "oom-agent"), (Path::new("/proc/self/exe"), "oom-guest")] {
        fs::copy(from, opt.join(name)).with_context(|| format!("copying {name} to the disk"))?;
    }
    let within = |line: &str| -> Vec<String> {
        ["chroot", ROOT].into_iter().chain(line.split(' ')).map(str::to_owned).collect()
    };
    let kprobes = Tells::Lines(of_kprobe_tool);
    let tool = |name, line: &str, ready, tells, terminal| Tool {
        name,
        command: within(line),
        ready,
        tells,
        terminal,
    };
    // Debian 13 has it by a name of its own.
    let of_its_own = "/usr/sbin/oomkill-libbpf";
    let libbpf =
        if Path::new(&format!("{ROOT}{of_its_own}")).exists() { of_its_own } else { "/usr/sbin/oomkill" };
    Ok(vec![
        tool(
            "oom-agent",
            "/opt/oom-agent trace --format json",
            "tracing OOM kills",
            Tells::Lines(of_agent),
            false,
        ),
        tool("libbpf-tools oomkill", libbpf, "Tracing OOM kills", kprobes, true),
        tool(
            "bpftrace oomkill.bt",
            "/usr/bin/bpftrace /usr/sbin/oomkill.bt",
            "Tracing oom_kill_process",
            kprobes,
            true,
        ),
        tool(
            "bcc oomkill",
            "/usr/bin/python3 -u /usr/sbin/oomkill-bpfcc",
            "Tracing OOM kills",
            kprobes,
            true,
        ),
        tool(
            "kmsg, cadvisor's rules",
            "/opt/oom-guest bench kmsg",
            "following",
            Tells::Lines(of_kmsg),
            false,
        ),
        tool(
            "node_exporter",
            "/usr/bin/prometheus-node-exporter --collector.disable-defaults --collector.vmstat \
             --web.listen-address=127.0.0.1:9100",
            "",
            Tells::Counter("node_vmstat_oom_kill ", PORT),
            false,
        ),
    ])
}

/// `09:12:01 Triggered by PID 1 ("a"), OOM kill of PID 2 ("b"), 262144 pages, loadavg: ...`
fn of_kprobe_tool(line: &str) -> Vec<Named> {
    let pid = line.split_once("OOM kill of PID ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    pid.map(|pid| (pid, None)).into_iter().collect()
}

/// `victim PID CGROUP`
fn of_kmsg(line: &str) -> Vec<Named> {
    let mut words = line.strip_prefix("victim ").unwrap_or_default().splitn(2, ' ');
    let pid = words.next().and_then(|pid| pid.parse().ok());
    let cgroup = words.next().filter(|cgroup| *cgroup != "-").map(str::to_owned);
    pid.map(|pid| (pid, cgroup)).into_iter().collect()
}

/// An incident.
fn of_agent(line: &str) -> Vec<Named> {
    let Ok(incident) = serde_json::from_str::<Value>(line) else { return Vec::new() };
    let victims = incident.get("victims").and_then(Value::as_array).into_iter().flatten();
    let victims = victims.filter_map(|victim| {
        let pid = victim.get("pid")?.as_u64()?.try_into().ok()?;
        Some((pid, victim.get("cgroup").and_then(Value::as_str).map(str::to_owned)))
    });
    victims.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_victim_is_read_from_what_each_tool_prints() {
        let line = r#"09:12:01 Triggered by PID 1 ("a"), OOM kill of PID 22 ("b"), 4096 pages, loadavg: 0.1"#;
        assert_eq!(of_kprobe_tool(line), [(22, None)]);
        assert_eq!(of_kprobe_tool("Tracing OOM kills... Ctrl-C to stop."), []);
        assert_eq!(of_kmsg("victim 22 /a b"), [(22, Some("/a b".into()))]);
        assert_eq!(of_kmsg("victim 22 -"), [(22, None)]);
        assert_eq!(of_kmsg("following"), []);
        let line = r#"{"victims":[{"pid":22,"cgroup":"/a"},{"pid":23}]}"#;
        assert_eq!(of_agent(line), [(22, Some("/a".into())), (23, None)]);
    }
}
