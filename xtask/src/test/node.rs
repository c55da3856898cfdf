//! Kills on a node as a cluster has them, in VMs where systemd is the first process: pods of a containerd, and those of a kubelet
//! with its control plane. With each cgroup driver.

use super::Count;
use crate::{
    cache, kubernetes,
    machine::Machine,
    process, static_build,
    vm::{self, End, Request, guest},
};
use anyhow::{Context as _, Result, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const KERNEL: &str = "6.12";
const DRIVERS: [&str; 2] = ["systemd", "cgroupfs"];
/// Emulated, 100 pods take some minutes.
const LIMIT: Duration = Duration::from_mins(40);
const COMPILE: Duration = Duration::from_mins(1);
/// Where the cluster finds what it needs.
const INPUTS: &str = "/cluster";

/// What runs in a VM.
struct Run {
    /// As it is asked for.
    name: &'static str,
    /// The agent's test.
    test: &'static str,
    memory_mib: u32,
    files: Vec<(String, PathBuf)>,
    variables: Vec<String>,
    disk: Option<PathBuf>,
}

/// So many pods, and the cluster; with `only` those of these names. `$OOM_CGROUP_DRIVER`: with that driver only.
pub(super) fn run(pods: &str, only: &[String]) -> Result<Count> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let driver = env::var("OOM_CGROUP_DRIVER").ok();
    let drivers: Vec<&str> =
        DRIVERS.into_iter().filter(|it| driver.as_ref().is_none_or(|only| only == it)).collect();
    ensure!(!drivers.is_empty(), "OOM_CGROUP_DRIVER is one of {}", DRIVERS.join(", "));
    let program = pod_program()?;
    let mut count = Count::default();
    let mut runs = vec![Run {
        name: "vm",
        test: "kubernetes",
        memory_mib: 2048,
        files: Vec::new(),
        variables: vec![format!("OOM_PODS={pods}")],
        disk: None,
    }];
    if wanted("cluster") {
        match cluster() {
            Ok(cluster) => runs.push(cluster),
            Err(error) => {
                eprintln!("not tested: no cluster: {error:#}");
                count.skipped += 1;
            }
        }
    }
    for run in runs.iter().filter(|run| wanted(run.name)) {
        let test = static_build::build_test("oom-agent", run.test, Machine::Amd64, &guest::directory())?;
        for driver in &drivers {
            let done = in_vm(run, driver, &test, &program);
            if let Err(error) = &done {
                eprintln!("{error:#}");
            }
            count.add(Count::one(done.is_ok()));
        }
    }
    Ok(count)
}

fn cluster() -> Result<Run> {
    let workspace = process::workspace();
    let start = workspace.join("oom-agent/tests/cluster/start.sh");
    let mut files = vec![(format!("{INPUTS}/start.sh"), start)];
    below(&workspace.join("deploy/kustomize"), &format!("{INPUTS}/kustomize"), &mut files)?;
    Ok(Run {
        name: "cluster",
        test: "cluster",
        memory_mib: 4096,
        files,
        variables: vec![format!("OOM_CLUSTER={INPUTS}")],
        disk: Some(kubernetes::disk()?),
    })
}

/// All files of a directory, and where they are to be.
fn below(directory: &Path, to: &str, into: &mut Vec<(String, PathBuf)>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry.with_context(|| format!("reading {}", directory.display()))?.path();
        let to = format!("{to}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            below(&path, &to, into)?;
        } else {
            into.push((to, path));
        }
    }
    Ok(())
}

fn in_vm(run: &Run, driver: &str, test: &Path, program: &Path) -> Result<()> {
    let Run { name: _, test: name, memory_mib, files, variables, disk } = run;
    let results = process::workspace().join("target/test").join(format!("{name}-{driver}"));
    let _ = fs::remove_dir_all(&results);
    let variable = [
        "OOM_AGENT=/bin/oom-agent".to_owned(),
        "OOM_POD_GUEST=/bin/pod-guest".to_owned(),
        format!("OOM_CGROUP_DRIVER={driver}"),
    ];
    let program_there = format!("/bin/{name}");
    let end = [program_there.clone(), "--nocapture".to_owned()];
    let command = ["env".to_owned()].iter().chain(&variable).chain(variables).chain(&end).cloned().collect();
    let ours = [(program_there, test.to_path_buf()), ("/bin/pod-guest".to_owned(), program.to_path_buf())];
    let outcome = vm::run(&Request {
        files: files.iter().cloned().chain(ours).collect(),
        systemd: true,
        disk: disk.clone(),
        memory_mib: *memory_mib,
        timeout: LIMIT,
        quiet: true,
        results: Some(results.clone()),
        ..Request::new(KERNEL.parse().map_err(anyhow::Error::msg)?, command)
    })?;
    let said = fs::read_to_string(results.join("stderr")).unwrap_or_default();
    ensure!(
        outcome.end == End::Exited(0) && !said.contains("not tested"),
        "{name} with the cgroup driver {driver}: {:?} after {:.0} s; {}",
        outcome.end,
        outcome.seconds,
        results.display()
    );
    eprintln!("{name} with the cgroup driver {driver}, Linux {}, {:.0} s:", outcome.kernel, outcome.seconds);
    said.lines().filter(|line| !line.starts_with("agent: ")).for_each(|line| eprintln!("      {line}"));
    Ok(())
}

/// What runs in the pods.
fn pod_program() -> Result<PathBuf> {
    let program = cache::directory(&process::workspace().join("target/test"))?.join("pod-guest");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2021", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"]);
    rustc.arg(&program).arg("oom-agent/tests/kubernetes/guest.rs").current_dir(process::workspace());
    process::capture(&mut rustc, COMPILE)?.ok("compiling what runs in the pods").context("no pods")?;
    Ok(program)
}
