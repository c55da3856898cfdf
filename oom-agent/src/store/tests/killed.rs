//! A process that puts incidents in a loop and is killed at any moment: none that it announced is lost, none is doubled.

use super::*;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

const DIR: &str = "OOM_AGENT_TEST_STORE";
const FIRST: &str = "OOM_AGENT_TEST_FIRST";
const KILLS: u32 = 200;

/// Large, so that the write-ahead log is moved into the file every few incidents.
fn large(at: u32) -> Incident {
    Incident { kernel_log: Some("x".repeat(15_000)), ..number(at) }
}

/// The process that is killed.
#[test]
#[ignore = "started by another test"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let first: u32 = std::env::var(FIRST).unwrap().parse().unwrap();
    // Nothing expires.
    let retention = Retention { max_bytes: 256 << 20, ..Retention::default() };
    let (mut store, messages) = Store::open(Path::new(&dir), retention).unwrap();
    assert_eq!(messages, [""; 0]);
    let mut out = std::io::stdout();
    let mut line = |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap();
    line("\nready\n");
    for next in first.. {
        // Now and then several at once, and what the log tells again after a start.
        let incidents: Vec<_> = (next..next + 1 + next % 3).map(large).collect();
        let outcomes = store.put_all(&incidents);
        for (incident, outcome) in incidents.iter().zip(outcomes) {
            assert!(matches!(outcome, Outcome::Stored | Outcome::Known), "{outcome:?}");
            line(&format!("put {}\n", incident.victims[0].pid - 1));
        }
    }
}

#[test]
fn none_that_was_announced_is_lost_and_none_doubled() {
    let dir = TestRoot::new();
    let (mut announced, mut most) = (0, None);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..KILLS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::tests::killed::child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            // The last ones again, as the kernel's log tells them.
            .env(FIRST, most.map_or(0, |most: u32| (most + 1).saturating_sub(3)).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Every fourth is killed while it opens the store.
        if round % 4 != 0 {
            assert!(lines.any(|line| line.unwrap() == "ready"), "round {round}");
        }
        std::thread::sleep(Duration::from_micros(random % 80_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            if let Some(number) = line.unwrap().strip_prefix("put ") {
                announced += 1;
                most = most.max(Some(number.parse::<u32>().unwrap()));
            }
        }
        if let (Some(most), 0) = (most, round % 20) {
            let stored = stored(&dir);
            assert!(stored.len() > most as usize, "round {round}");
        }
    }
    let most = most.unwrap();
    let mut store = open(&dir);
    let stored = stored(&dir);
    eprintln!("{KILLS} kills, {announced} announced, {} stored", stored.len());
    // Without a gap and without a double: what was put last may be there without having been announced.
    assert_eq!(stored, (0..stored.len() as u32).collect::<Vec<_>>());
    assert!(stored.len() > most as usize && stored.len() as u32 <= most + 4, "{} {most}", stored.len());
    assert!(aside(&dir).is_empty());
    assert_eq!(store.put(&number(0)), Outcome::Known);
}
