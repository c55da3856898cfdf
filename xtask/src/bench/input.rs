//! Logs to read: made of real reports, and of what else stands in a syslog.

use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lines of other programs, and of the kernel about other things.
const OTHERS: [&str; 8] = [
    "sshd[81234]: Accepted publickey for deploy from 192.0.2.17 port 53122 ssh2: ED25519 SHA256:1VWdhkJy1tYtAeRr",
    "systemd[1]: session-4711.scope: Deactivated successfully.",
    "CRON[2217]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)",
    "kubelet[991]: I1120 10:15:03.214872     991 reconciler_common.go:253] \"operationExecutor.VerifyControllerAttachedVolume started\" pod=\"payments/checkout-7c9f\"",
    "kernel: [123456.678901] eth0: renamed from veth1f2e3d4",
    "containerd[771]: time=\"2026-11-20T10:15:03.5Z\" level=info msg=\"StopContainer for \\\"0123456789abcdef\\\" returns successfully\"",
    "kernel: [123457.000123] TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:8080. Sending cookies.",
    "dockerd[640]: ignoring event container=4fb2 module=libcontainerd namespace=moby topic=/tasks/delete type=\"*events.TaskDelete\"",
];
/// Reports are that far apart in the sparse log.
const DISTANCE: u64 = 10 << 20;

/// A log that was made.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Reports in it; each is an incident.
    pub(super) reports: u64,
}

impl Input {
    /// Brings it into the page cache.
    pub(super) fn warm(&self) -> Result<()> {
        let mut file =
            File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        io::copy(&mut file, &mut io::sink())
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(())
    }
}

/// Logs of real kernels with one incident, one line a message.
pub(super) fn samples(root: &Path) -> Result<Vec<Vec<u8>>> {
    let directory = root.join("oom-agent/src/report/testdata");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut samples = Vec::new();
    for path in paths {
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // What begins and ends in one place is one incident wherever it stands.
        let count = |needle: &[u8]| text.windows(needle.len()).filter(|it| *it == needle).count();
        let whole = [&b" invoked oom-killer: "[..], b"oom-kill:constraint=", b"Killed process "];
        if whole.iter().all(|needle| count(needle) == 1) && text.ends_with(b"\n") {
            samples.push(text);
        }
    }
    ensure!(
        samples.len() > 20,
        "only {} logs with one whole report in {}",
        samples.len(),
        directory.display()
    );
    Ok(samples)
}

/// A syslog with a report every 10 MiB.
pub(super) fn sparse(directory: &Path, samples: &[Vec<u8>], bytes: u64) -> Result<Input> {
    let mut log = Log::create(directory.join("syslog.log"))?;
    let mut reports = samples.iter().cycle();
    let mut next_report = DISTANCE / 2;
    while log.bytes < bytes {
        let other = OTHERS[(log.lines % OTHERS.len() as u64) as usize];
        log.line(other.as_bytes())?;
        if log.bytes >= next_report {
            next_report += DISTANCE;
            log.report(reports.next().context("no report")?)?;
        }
    }
    log.finish()
}

/// A syslog of nothing but reports.
pub(super) fn dense(directory: &Path, samples: &[Vec<u8>], bytes: u64) -> Result<Input> {
    let mut log = Log::create(directory.join("reports.log"))?;
    let mut reports = samples.iter().cycle();
    while log.bytes < bytes {
        log.report(reports.next().context("no report")?)?;
    }
    log.finish()
}

struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    lines: u64,
    reports: u64,
}

impl Log {
    fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, file: BufWriter::with_capacity(1 << 20, file), bytes: 0, lines: 0, reports: 0 })
    }

    /// One line of syslog. A second has a hundred of them.
    fn line(&mut self, text: &[u8]) -> Result<()> {
        let seconds = self.lines / 100;
        let (day, hour, minute, second) =
            (1 + seconds / 86_400 % 28, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let stamp = format!("Nov {day:2} {hour:02}:{minute:02}:{second:02} node-7 ");
        self.file.write_all(stamp.as_bytes())?;
        self.file.write_all(text)?;
        self.file.write_all(b"\n")?;
        self.bytes += (stamp.len() + text.len() + 1) as u64;
        self.lines += 1;
        Ok(())
    }

    /// A report as rsyslog writes it where the kernel puts no time before its messages.
    fn report(&mut self, dmesg: &[u8]) -> Result<()> {
        for line in dmesg.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let message = line.iter().position(|byte| *byte == b']').map_or(line, |at| &line[at + 2..]);
            self.line(&[b"kernel: ", message].concat())?;
        }
        self.reports += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Input> {
        self.file.flush()?;
        let Self { path, bytes, reports, .. } = self;
        Ok(Input { path, bytes, reports })
    }
}
