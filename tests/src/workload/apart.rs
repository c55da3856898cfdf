//! Processes in namespaces of their own, as a container's are.

use super::hog::Hog;
use super::{heard, say, sys};
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::thread::UnshareFlags;
use signal_hook::consts::SIGTERM;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A hog in a child with namespaces of its own: for process ids (it is number 1), users, mounts and cgroups. `ready` names it
/// as the host knows it.
pub(super) fn apart(hog: &Hog) -> Result<()> {
    hog.setting.apply()?;
    sys::unshare(
        UnshareFlags::NEWUSER | UnshareFlags::NEWPID | UnshareFlags::NEWNS | UnshareFlags::NEWCGROUP,
    )
    .context("namespaces of its own")?;
    let Some(child) = sys::fork().context("fork")? else {
        // What is mounted at /proc is the host's, in which this link names the host's process id.
        let myself = std::fs::read_link("/proc/self").context("reading /proc/self")?;
        if std::process::id() != 1 {
            bail!("it is {} in its own namespace, not 1", std::process::id());
        }
        let myself: u32 = myself.to_string_lossy().parse().context("a process id")?;
        return hog.run_as(&[myself]);
    };
    let child = Pid::from_raw(child.cast_signed()).context("fork gave 0")?;
    waitpid(Some(child), WaitOptions::empty()).context("waitpid")?;
    say("done")?;
    heard()?;
    Ok(())
}

/// Another program in namespaces of its own, for process ids, mounts and cgroups. Ends it when it is told to end itself.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Enclosed {
    /// The directory of the cgroup that it takes for the root.
    #[arg(long)]
    root: PathBuf,
    /// The directory of its own cgroup in there.
    #[arg(long)]
    home: PathBuf,
    /// The namespaces are there.
    #[arg(long)]
    inside: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

impl Enclosed {
    /// Ends with the program.
    pub(super) fn run(&self) -> Result<()> {
        let [program, args @ ..] = self.program.as_slice() else { bail!("no program") };
        if self.inside {
            // The same file system is not mounted on itself (`do_add_mount`), though it be another part of it.
            let _ = unmount("/sys/fs/cgroup", UnmountFlags::DETACH);
            for (path, kind) in [("/proc", "proc"), ("/sys/fs/cgroup", "cgroup2")] {
                mount(kind, path, kind, MountFlags::empty(), c"")
                    .with_context(|| format!("mounting {kind} at {path}"))?;
            }
            let error = Command::new(program).args(args).exec();
            return Err(error).with_context(|| format!("becoming {}", program.display()));
        }
        let ended = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGTERM, Arc::clone(&ended)).context("cannot catch SIGTERM")?;
        join(&self.root)?;
        sys::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWCGROUP | UnshareFlags::NEWPID)
            .context("namespaces of its own")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .context("mounts of its own")?;
        join(&self.home)?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["work", "enclosed", "--inside", "--root=/", "--home=/", "--"]).args(&self.program);
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        loop {
            if let Some(status) = child.try_wait().context("waiting for the program")? {
                std::process::exit(status.code().unwrap_or(1));
            }
            if ended.swap(false, Ordering::Relaxed) {
                kill_process(Pid::from_child(&child), Signal::TERM).context("ending the program")?;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn join(dir: &Path) -> Result<()> {
    let procs = dir.join("cgroup.procs");
    std::fs::write(&procs, "0").with_context(|| format!("joining {}", procs.display()))
}
