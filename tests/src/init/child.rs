//! The one command of a VM, with its output kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, PipeReader, Read, Write as _},
    os::{fd::AsFd, unix::fs::OpenOptionsExt as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, WaitOptions, WaitStatus, wait},
    termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr},
};

use super::{Job, Report};

/// Where programs are found in the guest: all in one place but with systemd.
const PATH: &str = "/bin:/sbin:/usr/bin:/usr/sbin";
/// The exit status of a shell that did not find a command.
const NOT_STARTED: i32 = 127;

/// Runs the command to its end and reaps every orphan meanwhile.
pub(super) fn run(job: &Job, results: &Path) -> Result<Report> {
    let (stdout, stdout_end) = io::pipe().context("making a pipe")?;
    let (stderr, stderr_end) = io::pipe().context("making a pipe")?;
    // Dropping the write ends tells the copiers that the command is gone: what it left running may hold its pipes.
    let (stdout_gone, stdout_gone_end) = io::pipe().context("making a pipe")?;
    let (stderr_gone, stderr_gone_end) = io::pipe().context("making a pipe")?;
    let [stdout_port, stderr_port] = job.stream.clone().map_or([None, None], |ports| ports.map(Some));
    let copiers = [
        copier(stdout, stdout_gone, results.join("stdout"), stdout_port),
        copier(stderr, stderr_gone, results.join("stderr"), stderr_port),
    ];

    let boot_seconds = uptime()?;
    let start = Instant::now();
    let (program, arguments) = job.command.split_first().context("the job names no command")?;
    let mut complaint = stderr_end.try_clone().context("copying a pipe's descriptor")?;
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/")
        .stdin(Stdio::null())
        .stdout(stdout_end)
        .stderr(stderr_end)
        .spawn();
    let exit_code = match spawned {
        Ok(child) => wait_for(Pid::from_child(&child))?,
        Err(error) => {
            writeln!(complaint, "init: {program}: {error}").context("saying what failed")?;
            NOT_STARTED
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    drop((complaint, stdout_gone_end, stderr_gone_end));
    for copier in copiers {
        match copier.join() {
            Ok(done) => done?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(Report { exit_code, seconds, boot_seconds })
}

fn wait_for(child: Pid) -> Result<i32> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return Ok(exit_code(status)),
            // An orphan, or a child that was stopped.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno)).context("waiting for the command"),
        }
    }
}

fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| Some(128 + status.terminating_signal()?)).unwrap_or(-1)
}

fn copier(
    from: PipeReader,
    gone: PipeReader,
    file: std::path::PathBuf,
    port: Option<String>,
) -> thread::JoinHandle<Result<()>> {
    thread::spawn(move || {
        let file = File::create(&file).with_context(|| format!("making {}", file.display()))?;
        let port = port.as_deref().map(serial_port).transpose()?;
        copy(from, &gone, file, port.as_ref())?;
        if let Some(port) = port {
            tcdrain(&port).context("draining a serial port")?;
        }
        Ok(())
    })
}

/// Copies until `from` ends, or until it is empty once `gone` has ended.
fn copy(mut from: PipeReader, gone: &PipeReader, mut file: File, port: Option<&File>) -> Result<()> {
    let mut buffer = [0; 16 << 10];
    let mut last = false;
    loop {
        let mut ready = [PollFd::new(&from, PollFlags::IN), PollFd::new(gone, PollFlags::IN)];
        let limit = if last { Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }) } else { None };
        match poll(if last { &mut ready[..1] } else { &mut ready }, limit) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(io::Error::from(errno)).context("waiting for the command's output"),
        }
        let (has_data, ended) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        last |= ended;
        if has_data {
            let length = from.read(&mut buffer).context("reading the command's output")?;
            if length == 0 {
                return Ok(());
            }
            file.write_all(&buffer[..length]).context("keeping the command's output")?;
            if let Some(mut port) = port {
                port.write_all(&buffer[..length]).context("passing the command's output on")?;
            }
        }
    }
}

/// Opens a serial port that passes bytes on as they are.
fn serial_port(path: &str) -> Result<File> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path)
        .with_context(|| format!("opening {path}"))?;
    let set = |fd| {
        let mut settings = tcgetattr(fd)?;
        settings.make_raw();
        settings.set_speed(115_200)?;
        tcsetattr(fd, OptionalActions::Now, &settings)
    };
    set(port.as_fd()).with_context(|| format!("setting {path} up"))?;
    Ok(port)
}

fn uptime() -> Result<f64> {
    let text = fs::read_to_string("/proc/uptime").context("reading /proc/uptime")?;
    text.split_whitespace().next().unwrap_or_default().parse().context("reading /proc/uptime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_to_the_last_byte_although_an_orphan_still_holds_the_pipe() {
        let path = std::env::temp_dir().join(format!("oom-guest-copy-{}", std::process::id()));
        let (from, mut orphans_end) = io::pipe().unwrap();
        let (gone, gone_end) = io::pipe().unwrap();
        orphans_end.write_all(b"last words").unwrap();
        drop(gone_end);
        copy(from, &gone, File::create(&path).unwrap(), None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"last words");
        fs::remove_file(&path).unwrap();
        drop(orphans_end);
    }
}
