//! What a process costs.

use anyhow::{Context as _, Result, ensure};
use std::io::{self, BufRead as _, BufReader};
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a run cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Wall time from its start to its end.
    pub(super) seconds: f64,
    /// Time on a processor, its own and in the kernel.
    pub(super) cpu_seconds: f64,
    /// Most resident memory.
    pub(super) peak_bytes: u64,
}

/// Runs a command and reads its output: grep ends with its first find where that goes to /dev/null.
pub(super) fn measure(command: &mut Command) -> Result<Measured> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let begin = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let mut stdout = child.stdout.take().context("no pipe to it")?;
    io::copy(&mut stdout, &mut io::sink()).with_context(|| format!("cannot read from {command:?}"))?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for the call, and the child is ours and not waited for elsewhere.
    let pid = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, usage.as_mut_ptr()) };
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(pid > 0, "cannot wait for {command:?}: {}", io::Error::last_os_error());
    ensure!(status == 0, "{command:?} failed (wait status {status:#x})");
    // SAFETY: zeroed is a valid value, and wait4 has succeeded.
    let usage = unsafe { usage.assume_init() };
    let time = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu_seconds = time(usage.ru_utime) + time(usage.ru_stime);
    Ok(Measured { seconds, cpu_seconds, peak_bytes: usage.ru_maxrss.unsigned_abs() * 1024 })
}

/// Counts the lines that a command writes.
pub(super) fn lines(command: &mut Command) -> Result<u64> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stdout = child.stdout.take().context("no pipe to it")?;
    let mut reader = BufReader::with_capacity(1 << 20, stdout);
    let mut count = 0;
    while reader.skip_until(b'\n')? > 0 {
        count += 1;
    }
    let status = child.wait()?;
    ensure!(status.success(), "it failed ({status})");
    Ok(count)
}

/// `median (min to max)`.
pub(super) fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(min), Some(median), Some(max)) => {
            format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
        }
        _ => "?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_sorted() {
        assert_eq!(spread([3.0, 1.0, 2.0].into_iter(), 1), "2.0 (1.0 to 3.0)");
        assert_eq!(spread([].into_iter(), 1), "?");
    }

    #[test]
    fn a_failure_is_no_measurement() {
        assert!(measure(&mut Command::new("false")).is_err());
        assert!(measure(&mut Command::new("true")).unwrap().peak_bytes > 0);
    }
}
