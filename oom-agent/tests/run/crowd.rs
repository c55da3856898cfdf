//! Many at once, among them who does not read, who sends too much and who sends nonsense.

use crate::support::Daemon;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What good clients ask for, in turn.
const GOOD: &[&str] =
    &["/metrics", "/healthz", "/api/v1/incidents", "/api/v1/rank?top=20", "/api/v1/openapi.json", "/readyz"];

/// Clients of a kind, and how often each asks.
struct Crowd {
    good: usize,
    bad: usize,
    slow: usize,
    asks: usize,
}

/// Kilobytes of a line of /proc/PID/status.
fn memory(daemon: &Daemon, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

/// Asks, and does not care whether anybody listens.
fn shout(daemon: &Daemon, request: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(&daemon.address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let _ = stream.write_all(request);
    Some(stream)
}

/// A good client, until it has all its answers, or failed.
struct Leaves<'a>(&'a AtomicUsize, &'a AtomicBool);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

impl Crowd {
    /// Everybody at once. Memory is in KiB: before, the most, after; and how long the slowest good answer took.
    fn run(&self, daemon: &Daemon) -> (u64, u64, u64, Duration) {
        // What is made once is there.
        for path in GOOD {
            assert!(daemon.get(path).starts_with("HTTP/1.1 200 "), "{path}");
        }
        let before = memory(daemon, "VmRSS:");
        let (left, done) = (AtomicUsize::new(self.good), AtomicBool::new(false));
        let slowest = thread::scope(|scope| {
            let good: Vec<_> = (0..self.good)
                .map(|client| {
                    let left = &left;
                    let done = &done;
                    scope.spawn(move || {
                        let _leaves = Leaves(left, done);
                        let mut slowest = Duration::ZERO;
                        for ask in 0..self.asks {
                            let path = GOOD[(client + ask) % GOOD.len()];
                            let began = Instant::now();
                            let answer = daemon.get(path);
                            slowest = slowest.max(began.elapsed());
                            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
                        }
                        slowest
                    })
                })
                .collect();
            for client in 0..self.bad {
                scope.spawn(move || {
                    let huge = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(100_000));
                    let nonsense: Vec<u8> = (0..2000_usize).map(|at| (at * 31 + client) as u8).collect();
                    let kinds =
                        [huge.as_bytes(), &nonsense, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"GET"];
                    for ask in 0..self.asks {
                        if let Some(mut stream) = shout(daemon, kinds[ask % kinds.len()]) {
                            let _ = stream.read_to_end(&mut Vec::new());
                        }
                    }
                });
            }
            for client in 0..self.slow {
                let done = &done;
                scope.spawn(move || {
                    let paths = ["/metrics", "/api/v1/rank?top=20", "/api/v1/openapi.json", "/api/v1/events"];
                    let request =
                        format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[client % paths.len()]);
                    while !done.load(Ordering::Relaxed) {
                        let stream = shout(daemon, request.repeat(20).as_bytes());
                        thread::sleep(Duration::from_millis(500));
                        drop(stream);
                    }
                });
            }
            good.into_iter().map(|client| client.join().expect("it was answered")).max().unwrap_or_default()
        });
        (before, memory(daemon, "VmHWM:"), memory(daemon, "VmRSS:"), slowest)
    }
}

fn check(crowd: &Crowd) {
    let Some(daemon) = Daemon::start(&["--max-level", "tracepoint"]) else { return };
    let peak_before = memory(&daemon, "VmHWM:");
    let (before, most, after, slowest) = crowd.run(&daemon);
    eprintln!("{before} KiB before, at most {most}, {after} after; the slowest good answer took {slowest:?}");
    assert!(most < peak_before.max(before) + (32 << 10), "{before} KiB before, at most {most}");
    assert!(after < before + (16 << 10), "{before} KiB before, {after} after");
}

#[test]
fn in_a_crowd_good_ones_are_answered_and_memory_is_bounded() {
    check(&Crowd { good: 30, bad: 10, slow: 10, asks: 8 });
}

/// `cargo test --release -p oom-agent --test run -- --ignored --nocapture ten_thousand`
#[test]
#[ignore = "ten thousand requests take a while"]
fn ten_thousand_requests_of_two_hundred_clients() {
    check(&Crowd { good: 140, bad: 40, slow: 20, asks: 56 });
}
