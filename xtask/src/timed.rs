//! Programs run with a time limit: whatever talks to a network or boots a machine can hang.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// How often a running program is looked at. Short against everything that is run this way.
const LOOK: Duration = Duration::from_millis(20);

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

/// Waits at most `limit` for `child`; one that takes longer is killed and gives `None`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a child process")? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            child.kill().context("killing a child process that overran its time")?;
            child.wait().context("waiting for a killed child process")?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Runs `command` to its end with its output captured and gives it whatever its exit status is.
///
/// # Errors
/// It cannot be started, or takes longer than `limit`.
pub(crate) fn capture(command: &mut Command, limit: Duration) -> Result<Ended> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, limit)?;
    let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().unwrap_or_default());
    let Some(status) = status else {
        bail!(
            "{name} took longer than {} s and was stopped; its last words: {}",
            limit.as_secs(),
            tail(&stderr)
        );
    };
    Ok(Ended { status, stdout, stderr })
}

/// Like [`capture`], and an exit status other than 0 is an error that carries what it said.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Ended> {
    let name = format!("{command:?}");
    let ended = capture(command, limit)?;
    if !ended.status.success() {
        bail!("{name} failed ({}): {}", ended.status, tail(&ended.stderr));
    }
    Ok(ended)
}

fn drain<R: Read + Send + 'static>(from: Option<R>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // A pipe that breaks ends the text there; the exit status tells the rest.
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_overruns_is_stopped_and_named() {
        let start = Instant::now();
        let error = capture(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(error.to_string().starts_with("sleep took longer than"), "{error}");
    }

    #[test]
    fn a_failure_carries_what_the_program_said() {
        let error = run(Command::new("sh").args(["-c", "echo broken >&2; exit 3"]), Duration::from_secs(10))
            .unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }
}
