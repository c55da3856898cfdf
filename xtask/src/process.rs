//! Other people's programs: each with a time limit, nothing to read on its stdin, and its output kept.

use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a running program is looked at. Short against what people notice, long against what it costs.
const POLL: Duration = Duration::from_millis(10);
/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// Lines of a failed program's output that go into the error.
const TAIL: usize = 20;

/// What a program said.
#[derive(Debug)]
pub(crate) struct Captured {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its stdout; invalid UTF-8 replaced.
    pub(crate) stdout: String,
    /// Its stderr.
    pub(crate) stderr: String,
}

impl Captured {
    /// Stdout, if the program succeeded.
    pub(crate) fn ok(self, what: &str) -> Result<String> {
        if !self.status.success() {
            bail!("{what} failed ({}): {}", self.status, self.stderr.trim());
        }
        Ok(self.stdout)
    }
}

/// Runs a program that answers a question, and returns its answer whatever its exit status.
///
/// # Errors
/// It cannot be started, or takes longer than `limit`; then it is ended.
pub(crate) fn capture(command: &mut Command, limit: Duration) -> Result<Captured> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(command)?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, limit, |_, _| {})?.with_context(|| exceeded(command, limit))?;
    Ok(Captured { status, stdout: text(stdout), stderr: text(stderr) })
}

/// Runs a program that does something, shows the time on a terminal, and keeps its output in `log`.
///
/// # Errors
/// It cannot be started, fails, or takes longer than `limit`; the error carries the end of its output.
pub(crate) fn run(title: &str, command: &mut Command, limit: Duration, log: &Path) -> Result<()> {
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let copy = file.try_clone().with_context(|| format!("cannot share {}", log.display()))?;
    let mut child = start(command.stdin(Stdio::null()).stdout(file).stderr(copy))?;
    let mut step = Step::begin(title);
    let status = wait(&mut child, limit, |_, elapsed| step.tick(elapsed));
    let failure = match status? {
        Some(status) if status.success() => {
            step.end("done");
            return Ok(());
        }
        Some(status) => format!("{} failed ({status})", shown(command)),
        None => exceeded(command, limit),
    };
    step.end("FAILED");
    bail!("{failure}\n{}", tail(log))
}

/// A command line as one would type it, variables first.
pub(crate) fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), quoted(&value?.to_string_lossy())))
    });
    let words = [command.get_program()].into_iter().chain(command.get_args());
    variables.chain(words.map(|word| quoted(&word.to_string_lossy()))).collect::<Vec<_>>().join(" ")
}

/// A line on stderr with the time that something takes: it moves on a terminal and is printed once elsewhere.
#[derive(Debug)]
pub(crate) struct Step {
    title: String,
    begin: Instant,
    shown_seconds: Option<u64>,
}

impl Step {
    /// Starts the clock.
    pub(crate) fn begin(title: &str) -> Self {
        Self { title: title.to_owned(), begin: Instant::now(), shown_seconds: None }
    }

    /// Moves the time on a terminal, once a second.
    fn tick(&mut self, elapsed: Duration) {
        if self.shown_seconds == Some(elapsed.as_secs()) || !io::stderr().is_terminal() {
            return;
        }
        self.shown_seconds = Some(elapsed.as_secs());
        let mut stderr = io::stderr();
        // A closed stderr is no reason to stop the work.
        let _ = write!(stderr, "\r  {:<58} {:>5} s", self.title, elapsed.as_secs());
        let _ = stderr.flush();
    }

    /// Prints how it ended, with the time.
    pub(crate) fn end(self, how: &str) {
        let Self { title, begin, shown_seconds } = self;
        let back = if shown_seconds.is_some() { "\r" } else { "" };
        let _ = writeln!(io::stderr(), "{back}  {title:<58} {:>5.1} s  {how}", begin.elapsed().as_secs_f64());
    }
}

/// The cargo that runs this program, or the one in PATH.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Waits for a program, calling `tick` with it and the time meanwhile. `None`: it took longer than `limit` and was ended.
pub(crate) fn wait(
    child: &mut Child,
    limit: Duration,
    mut tick: impl FnMut(&Child, Duration),
) -> Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
            return Ok(Some(status));
        }
        let elapsed = begin.elapsed();
        if elapsed >= limit {
            end(child);
            return Ok(None);
        }
        tick(child, elapsed);
        thread::sleep(POLL);
    }
}

/// SIGTERM, so that apt and cargo release their locks, then SIGKILL.
fn end(child: &mut Child) {
    let _ =
        rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
    let begin = Instant::now();
    while begin.elapsed() < GRACE {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        thread::sleep(POLL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still the answer; the exit status says whether it is whole.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(collected: thread::JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&collected.join().unwrap_or_default()).into_owned()
}

fn exceeded(command: &Command, limit: Duration) -> String {
    format!("{} did not end within {} s and was stopped", shown(command), limit.as_secs_f64())
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let mut tail = String::new();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        tail.push_str("  | ");
        tail.push_str(line);
        tail.push('\n');
    }
    format!("{tail}  (all of it: {})", log.display())
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

/// The workspace's root directory.
pub(crate) fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("xtask-process-{}-{name}.log", std::process::id()))
    }

    #[test]
    fn an_answer_is_returned_with_its_status() {
        let answer = capture(&mut sh("echo out; echo err >&2; exit 3"), GRACE).unwrap();
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(answer.status.code(), Some(3));
    }

    #[test]
    fn what_hangs_is_stopped_and_named() {
        let begin = Instant::now();
        let error = capture(Command::new("sleep").arg("1000"), Duration::from_millis(50)).unwrap_err();
        assert!(begin.elapsed() < GRACE, "stopped at once");
        assert_eq!(error.to_string(), "sleep 1000 did not end within 0.05 s and was stopped");
    }

    #[test]
    fn nothing_can_be_asked_on_stdin() {
        let answer = capture(&mut sh("cat; echo end"), GRACE).unwrap();
        assert_eq!(answer.stdout, "end\n");
    }

    #[test]
    fn a_failure_shows_the_end_of_the_output() {
        let log = log("failure");
        let error = run("step", &mut sh("seq 1 30; exit 7"), GRACE, &log).unwrap_err().to_string();
        fs::remove_file(&log).unwrap();
        assert!(error.contains("failed (exit status: 7)"), "{error}");
        assert!(error.contains("  | 30\n") && !error.contains("  | 10\n"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = capture(&mut Command::new("/nonexistent/program"), GRACE).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot start /nonexistent/program: "), "{error:#}");
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("cargo");
        command.env("LLVM_PREFIX", "/usr/lib/llvm-22").env_remove("RUSTFLAGS").args(["install", "a b"]);
        assert_eq!(shown(&command), "LLVM_PREFIX=/usr/lib/llvm-22 cargo install 'a b'");
    }
}
