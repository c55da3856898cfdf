//! `cargo xtask demo`: a real OOM kill and the incident that the agent makes of it.

use crate::{
    kernel::Wanted,
    setup::{self, Need},
    vm::{
        self, End, Request,
        guest::{self, Program},
    },
};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
    sync::{Arc, atomic::AtomicBool},
};

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask demo                  here, in a throwaway memory cgroup
  cargo xtask demo --kernel 6.12    in a VM with that kernel, where the agent sees everything
  cargo xtask demo --json | jq .")]
pub(crate) struct DemoArgs {
    /// The incident as JSON.
    #[arg(long)]
    json: bool,
    /// In a VM: a series (6.12), a version (5.10.218) or newest.
    #[arg(long, value_name = "X")]
    kernel: Option<Wanted>,
}

/// Runs `cargo xtask demo`.
pub(crate) fn main(args: &DemoArgs) -> Result<ExitCode> {
    setup::ensure(Need::Bpf)?;
    if let Some(kernel) = &args.kernel {
        return in_vm(args, kernel.clone());
    }
    if let Some(why) = why_not_here() {
        eprintln!("demo: not on this machine: {why}; in a VM with Linux 6.12 instead");
        return in_vm(args, "6.12".parse().map_err(anyhow::Error::msg)?);
    }
    let agent = guest::build(Program::Agent)?;
    let program = guest::build(Program::Guest)?;
    // Ctrl-C reaches the demo too, which cleans up; this process waits for it.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("cannot catch signals")?;
    }
    let mut command = Command::new(program);
    command.arg("demo").arg("--agent").arg(agent);
    if args.json {
        command.arg("--json");
    }
    let status = command.status().context("cannot start the demo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why no memory cgroup can be made here.
fn why_not_here() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this user is not root".into());
    }
    let v1 = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let v2 = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let has_memory = v1.exists() || v2.split_whitespace().any(|controller| controller == "memory");
    (!has_memory).then(|| "no memory cgroup controller is mounted at /sys/fs/cgroup".into())
}

fn in_vm(args: &DemoArgs, kernel: Wanted) -> Result<ExitCode> {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| size.ws_col);
    let columns =
        if columns == 0 { env::var("COLUMNS").unwrap_or_else(|_| "80".into()) } else { columns.to_string() };
    let mut command: Vec<String> =
        vec!["env".into(), format!("COLUMNS={columns}"), "oom-guest".into(), "demo".into()];
    if args.json {
        command.push("--json".into());
    }
    let outcome = vm::run(&Request::new(kernel, command))?;
    match outcome.end {
        End::Exited(0) => Ok(ExitCode::SUCCESS),
        End::Exited(_) => Ok(ExitCode::FAILURE),
        End::Down | End::TimedOut => {
            bail!("the VM did not come to an end:\n{}", vm::console_tail(&outcome.console, 30))
        }
    }
}
