//! How fast the parser is: `cargo test --release -p oom-agent --lib report::tests::speed -- --ignored --nocapture`.

use super::*;
use std::time::Instant;

const TIMES: usize = 100;

/// Text that is only reports, as often as it takes.
#[test]
#[ignore = "a measurement"]
fn over_reports_only() {
    let messages: Vec<_> =
        samples().iter().flat_map(Sample::messages).map(|message| (message.len() + 1, message)).collect();
    let bytes: usize = messages.iter().map(|(len, _)| len).sum();
    for round in 0..5 {
        let begin = Instant::now();
        let mut parser = Parser::new();
        let mut out = Vec::new();
        let mut events = 0;
        for _ in 0..TIMES {
            for (_, message) in &messages {
                if parser.wants(message.as_bytes()) {
                    parser.message(None, None, message, &mut out);
                }
            }
            events += out.len();
            out.clear();
        }
        let mib = (bytes * TIMES) as f64 / f64::from(1 << 20);
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "{round}: {:.0} MiB/s, {events} events, {} messages of {} bytes",
            mib / seconds,
            messages.len(),
            bytes / messages.len()
        );
    }
}

/// No line takes time that grows faster than its length, and no state makes later lines slow.
#[test]
#[ignore = "a measurement"]
fn over_the_worst_lines() {
    let invoked = "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
    let header = "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name";
    let zones: Vec<_> = (0..1_024).map(|node| format!("Node {node} Normal free:1kB")).collect();
    let lines = [
        "Node 0 DMA free:1kB".to_owned(),
        "Task in /".to_owned() + &" killed as a result of limit of ".repeat(500),
        "Memory cgroup stats for /".to_owned() + &" a:1KB".repeat(2_500),
        "oom-kill:constraint=,nodemask=".to_owned() + &",task=".repeat(2_000) + ",pid=1,uid=2",
        "oom-kill:constraint=,nodemask=,cpuset=".to_owned()
            + &",mems_allowed=0".repeat(1_000)
            + ",task=a,pid=1,uid=2",
        "Node 0 DMA: ".to_owned() + &"0*4kB ".repeat(2_000) + "= 0kB",
        "Out of memory: Kill process 1 (".to_owned() + &") score ".repeat(2_000),
        "Out of memory: Killed process 1 (".to_owned() + &"), UID ".repeat(2_000),
        "[1] 0 2 3 4 5 6 0 ".to_owned() + &"\u{1}".repeat(100),
        "free:1 ".repeat(2_000),
        "Tasks in /".to_owned(),
        " ".repeat(16 * 1024),
    ];
    for line in &lines {
        let mut parser = Parser::new();
        let mut out = Vec::new();
        for message in
            [invoked, "Mem-Info:"].into_iter().chain(zones.iter().map(String::as_str)).chain([header])
        {
            parser.message(None, None, message, &mut out);
        }
        let begin = Instant::now();
        let times = (10 << 20) / line.len();
        for _ in 0..times {
            parser.message(None, None, line, &mut out);
            out.clear();
        }
        println!("{:.3} s for 10 MiB of {:.40}", begin.elapsed().as_secs_f64(), line);
    }
}
