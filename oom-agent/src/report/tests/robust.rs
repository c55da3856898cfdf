//! Nothing that a log may hold makes the parser panic or grow.

use super::super::open::MOST_TEXT;
use super::*;
use crate::report::line::Record;
use proptest::prelude::*;

/// Pieces of lines that mean something, so that what is made of them goes far into the parser.
const PIECES: [&str; 45] = [
    " invoked oom-killer: gfp_mask=0x",
    ", order=",
    ", oom_score_adj=",
    "CPU: 1 PID: ",
    " Comm: ",
    " Tainted: ",
    "memory: usage ",
    "kB, limit ",
    "Memory cgroup stats for ",
    "Tasks state (memory values in pages):",
    "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
    "[ 1] 0 1 2 3 4 5 6 ",
    "oom-kill:constraint=",
    ",nodemask=",
    ",cpuset=",
    ",mems_allowed=",
    ",oom_memcg=",
    ",task_memcg=",
    ",task=",
    ",pid=",
    ",uid=",
    "Out of memory: Killed process ",
    ") total-vm:",
    "Tasks in ",
    "Task in /",
    " killed as a result of limit of /",
    "Memory limit reached of cgroup /",
    "hog cpuset=",
    " mems_allowed=0",
    "hog invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0",
    "Out of memory: Kill process ",
    " score 1 or sacrifice child",
    ") sharing same memory",
    "Killed process 1 (a), UID 0, total-vm:4kB",
    "[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name",
    "Mem-Info:",
    "free:1 free_pcp:2",
    "Node 0 ",
    "DMA free:1kB min:2kB",
    "lowmem_reserve[]: 0 1 2",
    "Normal: 1*4kB (UM) 1*8kB = 12kB",
    "hugepages_total=1 hugepages_free=1 hugepages_surp=0 hugepages_size=4kB",
    "Unreclaimable slab info:",
    "x 1KB 2KB",
    " pages RAM",
];

/// A line of such pieces and anything in between.
fn line_of_pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => "[0-9]{1,25}",
        1 => "[\\PC\n]{0,8}",
        1 => Just("(".to_owned()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn feed(messages: &[String]) -> Vec<Event> {
    let mut parser = Parser::new();
    let mut out = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        parser.wants(message.as_bytes());
        let take = if at % 5 == 0 { Parser::cut_message } else { Parser::message };
        take(&mut parser, Some(at as u64), (at % 3 == 0).then_some(7), message, &mut out);
    }
    parser.gap(None, &mut out);
    parser.finish(&mut out);
    out
}

proptest! {
    #[test]
    fn any_lines_are_read(messages in prop::collection::vec(prop_oneof![line_of_pieces(), any::<String>()], 0..20)) {
        let events = feed(&messages);
        prop_assert!(events.len() <= 3 * messages.len() + 2);
    }

    #[test]
    fn any_bytes_are_a_line(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = line::parse(&bytes);
        if let Some(record) = Record::parse(&bytes) {
            let _ = record.text();
        }
    }

    #[test]
    fn a_damaged_log_is_read(
        sample in prop::sample::select(all_samples().iter().map(|sample| sample.text.clone()).collect::<Vec<_>>()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..40_usize), 0..40),
    ) {
        let mut text = sample;
        for (at, byte, remove) in damage {
            let at = at.index(text.len());
            text[at] = byte;
            let end = (at + remove).min(text.len() - 1);
            text.drain(at..end);
        }
        let events = read(&text);
        // Every byte of a text is printed as at most 4.
        prop_assert!(reports(&events).iter().all(|report| report.text.len() <= (4 * text.len()).min(MOST_TEXT + 100)));
    }
}
