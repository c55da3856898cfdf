//! `oom-agent trace` beside the pods.

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Nothing takes so long, even on a slow machine with other work.
const DEADLINE: Duration = Duration::from_mins(1);

/// An agent that traces. Ends with the test.
pub(crate) struct Agent {
    child: Child,
    incidents: Receiver<Value>,
    unnamed: usize,
}

impl Agent {
    /// `None`: not permitted here.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        let agent = std::env::var_os("OOM_AGENT").unwrap_or_else(|| env!("CARGO_BIN_EXE_oom-agent").into());
        let mut command = Command::new(agent);
        command.args(["trace", "--format", "json", "--cgroup", "*kubepods*"]).args(arguments);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        while !said.contains("tracing OOM kills") {
            if stderr.read_line(&mut said).expect("text") == 0 {
                assert_eq!(child.wait().expect("it ended").code(), Some(3), "{said}");
                eprintln!("not tested: {said}");
                return None;
            }
        }
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("agent: {line}");
            }
        });
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, incidents) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let incident = serde_json::from_str(&line).expect("one JSON a line");
                if sender.send(incident).is_err() {
                    break;
                }
            }
        });
        Some(Self { child, incidents, unnamed: 0 })
    }

    /// The next incident of a pod.
    pub(crate) fn incident_of(&mut self, uid: &str, what: &str) -> Value {
        loop {
            let incident =
                self.incidents.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: no incident"));
            // At the tracepoint level the scope is from the kernel's report, of which there are 10 in 5 s at most.
            if incident["scope"]["pod"]["uid"] == uid || incident["victims"][0]["pod"]["uid"] == uid {
                let notes = incident["evidence"]["notes"].to_string();
                self.unnamed += usize::from(notes.contains("is not known: it had no log"));
                return incident;
            }
        }
    }

    /// Incidents with names that were not known.
    pub(crate) const fn unnamed(&self) -> usize {
        self.unnamed
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
