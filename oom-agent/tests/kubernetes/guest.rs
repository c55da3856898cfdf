//! What runs in the pods: compiled by the test as a static program, since the image holds nothing else.

use std::{env, fs, process::Command, thread, time::Duration};

fn main() {
    match env::args().nth(1).as_deref() {
        Some("eat") => eat(),
        Some("child") => {
            let mut child = Command::new("/guest").arg("eat").spawn().unwrap();
            child.wait().unwrap();
            rest();
        }
        _ => rest(),
    }
}

/// Takes memory until it is killed, before anything else in the container.
fn eat() {
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let mut held = Vec::new();
    loop {
        held.push(vec![1_u8; 1 << 20]);
        thread::sleep(Duration::from_millis(2));
    }
}

fn rest() {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
