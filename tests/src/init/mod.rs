//! The first process of a test VM.
//!
//! It mounts what a machine has, runs one command with its output kept, writes a tar of the results onto a disk and
//! powers the machine off. If it cannot go on it says so on the console and powers off without results, which is how
//! the host knows.

mod child;
mod job;
mod mounts;
mod results;
mod sys;
mod systemd;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

pub use self::job::{DISK_SERIAL, JOB, Job, REPORT, RESULTS_SERIAL, ROOT_SERIAL, Report, SWAP_SERIAL};
pub(crate) use self::results::disk;

/// What is left here by a command in a VM is handed back to the host, beside `stdout`, `stderr` and `dmesg`.
pub const RESULTS: &str = "/results";

/// Runs the job of the initramfs and powers off.
pub fn main() -> ! {
    if let Err(error) = run() {
        eprintln!("init: {error:#}");
    }
    sys::power_off()
}

/// The job as a service of systemd, which [`main`] became.
pub fn service() -> ! {
    if let Err(error) = asked().and_then(|job| work(&job)) {
        eprintln!("init: {error:#}");
    }
    sys::power_off()
}

fn asked() -> Result<Job> {
    let job = fs::read(JOB).with_context(|| format!("reading {JOB}"))?;
    serde_json::from_slice(&job).with_context(|| format!("reading {JOB}"))
}

fn run() -> Result<()> {
    let job = asked()?;
    mounts::basic()?;
    if let Some(files) = &job.systemd {
        let never = systemd::start(&job, files)?;
        match never {}
    }
    mounts::cgroups(job.cgroup_v1)?;
    for module in &job.modules {
        sys::load(Path::new(module))?;
    }
    sys::loopback_up()?;
    fs::write("/proc/sys/kernel/hostname", "guest").context("naming the machine")?;
    if job.swap {
        sys::swap_on(&disk(SWAP_SERIAL)?)?;
    }
    work(&job)
}

fn work(job: &Job) -> Result<()> {
    let results = Path::new(RESULTS);
    fs::create_dir_all(results).with_context(|| format!("making {RESULTS}"))?;
    let report = child::run(job, results)?;
    fs::write(results.join(REPORT), serde_json::to_vec(&report)?).context("writing the report")?;
    fs::write(results.join("dmesg"), sys::kernel_log()?).context("writing the kernel's log")?;
    results::hand_back(results, &disk(RESULTS_SERIAL)?)
}
