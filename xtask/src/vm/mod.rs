//! One command on one real kernel, in a VM that is thrown away.
//!
//! # Layout
//! - `guest`: builds what runs inside, statically linked; `busybox`: a shell beside it
//! - [`cpio`], `initramfs`: packs that into what the kernel unpacks
//! - `accel`, `qemu`: the machine
//! - `systemd`: a whole Debian instead
//! - `disk`: the results it hands back, and its swap space
//! - [`cli`]: `cargo xtask vm`
//!
//! Its other half, the first process in the VM, is `tests/src/init`.

mod accel;
mod busybox;
pub(crate) mod cli;
mod cpio;
mod disk;
pub(crate) mod guest;
mod initramfs;
#[path = "../../../tests/src/init/job.rs"]
#[expect(unreachable_pub, reason = "the guest's library includes the same file and makes it public")]
mod job;
pub(crate) mod qemu;
mod systemd;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Child,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use self::job::Report;
use crate::{
    cache,
    kernel::{self, Wanted},
    machine::Machine,
    process, qemu_install,
};

/// How long a run's files are kept.
const KEPT_FOR: Duration = Duration::from_hours(48);

/// A VM that is asked for.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is something else that a VM has or has not")]
pub(crate) struct Request {
    /// Of which kind it is. Another one than this machine is emulated.
    pub(crate) machine: Machine,
    /// Which kernel.
    pub(crate) kernel: Wanted,
    /// The program, looked up in the guest's `/bin`, and its arguments. `oom-agent`, `oom-guest` and busybox's are there.
    pub(crate) command: Vec<String>,
    /// More files for the guest: its path there, and the file here.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// Memory, in MiB.
    pub(crate) memory_mib: u32,
    /// Processors.
    pub(crate) cpus: u32,
    /// What its clocks show.
    pub(crate) clock: Clock,
    /// It is stopped again and again, as a host does that has better to do, or moves it.
    pub(crate) pauses: Option<Pauses>,
    /// Swap space, in MiB; 0 for none.
    pub(crate) swap_mib: u32,
    /// One more disk (an image here), found in the guest by its serial number `peers`. What is written to it is lost.
    pub(crate) disk: Option<PathBuf>,
    /// The first process is systemd, of Debian, with containerd and runc on the disk; the command is a service of it. Not
    /// with [`Cgroup::V1`].
    pub(crate) systemd: bool,
    /// Two NUMA nodes, each with half of the memory and of the processors.
    pub(crate) numa: bool,
    /// How the memory controller is mounted.
    pub(crate) cgroup: Cgroup,
    /// Build the agent and put it into the guest as `/bin/oom-agent`.
    pub(crate) agent: bool,
    /// Words for the kernel's command line, after the harness's own.
    pub(crate) append: String,
    /// From power-on to power-off at most.
    pub(crate) timeout: Duration,
    /// Do not pass the command's output on while it runs. It is in the results either way.
    pub(crate) quiet: bool,
    /// Where to put the results; a new directory in the cache if `None`.
    pub(crate) results: Option<PathBuf>,
}

impl Request {
    /// `command` on `kernel`, in a VM of the size that the cases are made for.
    pub(crate) fn new(kernel: Wanted, command: Vec<String>) -> Self {
        Self {
            machine: Machine::this(),
            kernel,
            command,
            files: Vec::new(),
            memory_mib: 1024,
            cpus: 2,
            clock: Clock::Host,
            pauses: None,
            swap_mib: 0,
            disk: None,
            systemd: false,
            numa: false,
            cgroup: Cgroup::V2,
            agent: true,
            append: String::new(),
            timeout: Duration::from_mins(5),
            quiet: false,
            results: None,
        }
    }
}

/// What the guest's clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The time that passes here.
    Host,
    /// How many instructions it has executed, one a nanosecond: what else this machine does is not in it.
    Instructions,
}

/// When a VM is stopped. Its clocks go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// So long it runs.
    pub(crate) every: Duration,
    /// So long it does not.
    pub(crate) length: Duration,
}

impl Pauses {
    /// Stops the process for a while where it has run long enough by then, `elapsed` after its start.
    fn stop(self, child: &Child, elapsed: Duration) {
        if elapsed.as_millis() % (self.every + self.length).as_millis() < self.every.as_millis() {
            return;
        }
        let signal = |signal| kill_process(Pid::from_child(child), signal);
        // It has not been waited for: if it is gone already, its number is nobody else's.
        if signal(Signal::STOP).is_ok() {
            thread::sleep(self.length);
            let _ = signal(Signal::CONT);
        }
    }
}

/// How the guest's memory controller is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cgroup {
    /// As cgroup v1 at `/sys/fs/cgroup/memory`, with v2 at `/sys/fs/cgroup/unified`. Only where the kernel has it
    /// (Debian's up to 6.1).
    V1,
    /// As cgroup v2 at `/sys/fs/cgroup`.
    V2,
}

/// How a VM ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It powered off, and the command had this exit status.
    Exited(i32),
    /// It went down without a report: the kernel panicked, or init could not go on. The console says why.
    Down,
    /// It was still running when its time was up.
    TimedOut,
}

/// What a VM left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How it ended.
    pub(crate) end: End,
    /// What the guest's init reported, if it came to that.
    pub(crate) report: Option<Report>,
    /// `stdout`, `stderr`, `dmesg` and whatever the command left in the guest's `/results`; empty unless `Exited`.
    pub(crate) results: PathBuf,
    /// The console: the kernel's messages that were urgent enough, and init's.
    pub(crate) console: PathBuf,
    /// The version of the kernel that ran.
    pub(crate) kernel: String,
    /// From power-on to power-off, in seconds.
    pub(crate) seconds: f64,
}

/// Runs a VM to its end. Any number may run at the same time.
///
/// # Errors
/// The VM cannot be had: no QEMU, no such kernel, a part of the guest does not build. What goes wrong *in* the VM is
/// no error here but an [`Outcome`].
pub(crate) fn run(request: &Request) -> Result<Outcome> {
    qemu_install::ensure_qemu(request.machine)?;
    let kernel = kernel::get(request.machine, &request.kernel)?;
    let run = Run::new(&kernel.version)?;
    let results = cache::directory(&request.results.clone().unwrap_or_else(|| run.path("results")))?;
    let console = run.path("console.log");

    let initramfs = run.path("initramfs.gz");
    initramfs::write(&initramfs, request, &kernel)?;
    let results_disk = run.path("results.raw");
    disk::results(&results_disk)?;
    let root_disk = request.systemd.then(|| systemd::get(&kernel)).transpose()?;
    let swap_disk = (request.swap_mib > 0).then(|| run.path("swap.raw"));
    if let Some(path) = &swap_disk {
        disk::swap(path, request.swap_mib, request.kernel.page_bytes())?;
    }
    let parts = qemu::Parts {
        accel: match request.clock {
            Clock::Host => accel::choose(request.machine, &kernel)?,
            Clock::Instructions => qemu::Accel::Counted,
        },
        kernel: &kernel.vmlinux,
        initramfs: &initramfs,
        console: &console,
        results: &results_disk,
        swap: swap_disk.as_deref(),
        root: root_disk.as_deref(),
    };

    let start = Instant::now();
    let mut child = parts
        .command(request)
        .spawn()
        .with_context(|| format!("starting {}", qemu::program(request.machine)))?;
    let stdout = pass_on(child.stdout.take(), io::stdout());
    let stderr = pass_on(child.stderr.take(), io::stderr());
    let status = process::wait(&mut child, request.timeout, |child, elapsed| {
        if let Some(pauses) = request.pauses {
            pauses.stop(child, elapsed);
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    for copier in [stdout, stderr] {
        copier.join().map_err(|_| anyhow!("passing the guest's output on panicked"))?;
    }

    let report = match status {
        Some(_) => disk::unpack(&results_disk, &results)?,
        None => None,
    };
    let end = match (&status, &report) {
        (None, _) => End::TimedOut,
        (_, None) => End::Down,
        (_, Some(report)) => End::Exited(report.exit_code),
    };
    if report.is_some() {
        for path in [Some(initramfs), Some(results_disk), swap_disk].into_iter().flatten() {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(Outcome { end, report, results, console, kernel: kernel.version, seconds })
}

/// The last lines of a console, for a message.
pub(crate) fn console_tail(console: &Path, lines: usize) -> String {
    let Ok(bytes) = fs::read(console) else {
        return String::new();
    };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The directory of one run.
struct Run(PathBuf);

impl Run {
    fn new(version: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{version}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let runs = cache::directory(&cache::root()?.join("runs"))?;
        let path = runs.join(name);
        if path.exists() {
            // A process of this number ran before this machine was last started.
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        forget_old(&runs)?;
        Ok(Self(cache::directory(&path)?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Removes the runs of days ago, lest they fill the disk.
fn forget_old(runs: &Path) -> Result<()> {
    for entry in fs::read_dir(runs).with_context(|| format!("reading {}", runs.display()))?.flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        if matches!(age, Ok(Ok(age)) if age > KEPT_FOR) {
            // Another command may be at it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn pass_on<R, W>(from: Option<R>, mut to: W) -> thread::JoinHandle<()>
where
    R: io::Read + Send + 'static,
    W: io::Write + Send + 'static,
{
    thread::spawn(move || {
        if let Some(mut from) = from {
            // The results hold the whole output: here a reader that went away only ends the show. But the guest must
            // go on, so what it still writes is taken and dropped.
            if io::copy(&mut from, &mut to).is_err() {
                let _ = io::copy(&mut from, &mut io::sink());
            }
            let _ = to.flush();
        }
    })
}

/// Makes a file of `bytes` that takes no room until it is written to.
fn sparse(path: &Path, bytes: u64) -> Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
    let file = file.with_context(|| format!("making {}", path.display()))?;
    file.set_len(bytes).with_context(|| format!("sizing {}", path.display()))?;
    Ok(file)
}
