//! `cargo xtask bench --peers`: the same kills for the agent and for the tools that people use, in a VM of each kernel.
//!
//! What is measured is in `tests/src/bench`. The tools come from the Debian release that the kernel is of, see [`userland`];
//! nothing is installed.

mod table;
mod userland;

use super::in_vm;
use crate::{
    kernel::{self, Wanted},
    machine::Machine,
    process,
    vm::{Request, guest},
};
use anyhow::{Context as _, Result};
use std::{fs, process::ExitCode, time::Duration};
use table::Sized;

/// bcc compiles for half a minute at each of its four starts, where it starts.
const LIMIT: Duration = Duration::from_mins(25);
/// For 5,000 processes beside bcc and bpftrace.
const MEMORY_MIB: u32 = 3072;

/// Measures, prints and writes `peers.md` and `peers.json` to `target/bench`.
pub(super) fn main(
    kernels: &[Wanted],
    tools: &[String],
    scenarios: &[String],
    starts: bool,
) -> Result<ExitCode> {
    let mut all = Vec::new();
    for kernel in kernels {
        let measured = measure(kernel, tools, scenarios, starts)?;
        print!("{}", table::of(&measured));
        all.push(measured);
    }
    let directory = process::workspace().join("target/bench");
    let text: String = all.iter().map(table::of).collect();
    for (name, content) in [("peers.md", text), ("peers.json", serde_json::to_string_pretty(&all)?)] {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if all.iter().all(table::held) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(kernel: &Wanted, tools: &[String], scenarios: &[String], starts: bool) -> Result<Sized> {
    let userland = userland::get(&kernel::get(Machine::this(), kernel)?)?;
    let mut command: Vec<String> =
        ["oom-guest", "bench", "peers", "--out", "/results/bench"].map(str::to_owned).into();
    for (flag, words) in [("--tool", tools), ("--only", scenarios)] {
        command.extend(words.iter().flat_map(|word| [flag.to_owned(), word.clone()]));
    }
    command.extend(starts.then(|| "--starts".to_owned()));
    let (_, measured) = in_vm(
        "peers",
        Request {
            memory_mib: MEMORY_MIB,
            disk: Some(userland.image),
            // As large as it is where nobody asks for more.
            append: "log_buf_len=128K".into(),
            timeout: LIMIT,
            ..Request::new(kernel.clone(), command)
        },
    )?;
    let mut sizes = userland.sizes;
    let agent = guest::build(guest::Program::Agent)?;
    let bytes = fs::metadata(&agent).with_context(|| format!("looking at {}", agent.display()))?.len();
    sizes.insert("oom-agent".into(), bytes);
    Ok(Sized { measured, sizes })
}
