//! Nothing that a log may hold makes the parser panic or grow.

use super::super::open::MOST_TEXT;
use super::super::{Counter, Machine};
use super::*;
use crate::incident::machine::Zone;
use crate::incident::model::{Limits, Memory};
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

/// Nothing is known of the part that is not the same in the whole.
fn within<T: PartialEq + Copy>(part: &[Option<T>], whole: &[Option<T>]) -> bool {
    part.iter().zip(whole).all(|(part, whole)| part.is_none() || part == whole)
}

fn numbers(memory: &Memory) -> [Option<u64>; 7] {
    let Memory { anon_bytes, file_bytes, shmem_bytes, rss_bytes, swap_bytes, pgtables_bytes, total_vm_bytes } =
        *memory;
    [anon_bytes, file_bytes, shmem_bytes, rss_bytes, swap_bytes, pgtables_bytes, total_vm_bytes]
}

fn zone_within(part: &Zone, whole: &Zone) -> bool {
    let numbers = |zone: &Zone| {
        let Zone { free_bytes, min_bytes, low_bytes, high_bytes, managed_bytes, present_bytes, .. } = *zone;
        let Zone { reserved_highatomic_bytes, free_cma_bytes, .. } = *zone;
        [free_bytes, min_bytes, low_bytes, high_bytes, managed_bytes, present_bytes]
            .into_iter()
            .chain([reserved_highatomic_bytes, free_cma_bytes])
            .collect::<Vec<_>>()
    };
    let list = |part: &[u64], whole: &[u64]| part.is_empty() || part == whole;
    (part.node, &part.name) == (whole.node, &whole.name)
        && within(&numbers(part), &numbers(whole))
        && list(&part.lowmem_reserve_pages, &whole.lowmem_reserve_pages)
        && list(&part.free_blocks, &whole.free_blocks)
}

fn report_within(part: &Report, whole: &Report) -> bool {
    let limits = |report: &Report| {
        let Limits { memory_bytes, usage_bytes, swap_bytes, swap_usage_bytes, .. } = report.limits;
        let counter = |Counter { usage_bytes, limit_bytes }: Counter| [usage_bytes, limit_bytes];
        [
            &[memory_bytes, usage_bytes, swap_bytes, swap_usage_bytes][..],
            &counter(report.memsw),
            &counter(report.kmem),
        ]
        .concat()
    };
    let machine = |report: &Report| {
        let Machine { ram_bytes, reserved_bytes, swap_total_bytes, swap_free_bytes, .. } = report.machine;
        let Machine { swap_cache_bytes, cma_bytes, hwpoisoned_bytes, .. } = report.machine;
        [
            ram_bytes,
            reserved_bytes,
            swap_total_bytes,
            swap_free_bytes,
            swap_cache_bytes,
            cma_bytes,
            hwpoisoned_bytes,
        ]
    };
    let asked = |report: &Report| {
        let asked = report.invocation.as_ref();
        let order = asked.and_then(|asked| asked.order);
        let adj = asked.and_then(|asked| asked.oom_score_adj);
        [order.map(i64::from), adj.map(i64::from), asked.and_then(|asked| asked.tid).map(i64::from)]
    };
    let release = |report: &Report| report.invocation.as_ref()?.kernel_release.clone();
    let uid = |report: &Report| report.kill.as_ref().and_then(|kill| kill.uid);
    let pid = |report: &Report| report.kill.as_ref().map(|kill| kill.pid);
    within(&limits(part), &limits(whole))
        && within(&machine(part), &machine(whole))
        && within(&asked(part), &asked(whole))
        && within(&[uid(part), pid(part)], &[uid(whole), pid(whole)])
        && (release(part).is_none() || release(part) == release(whole))
        && part.stats.iter().all(|(name, value)| whole.stats.get(name) == Some(value))
        && whole.tasks.starts_with(&part.tasks)
        && whole.unreclaimable_slabs.starts_with(&part.unreclaimable_slabs)
        && part.zones.iter().zip(&whole.zones).all(|(part, whole)| zone_within(part, whole))
}

proptest! {
    #[test]
    fn a_log_that_ends_anywhere_tells_nothing_else(
        at in any::<prop::sample::Index>(),
        line_at in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
    ) {
        // How large a page is the report says late.
        let samples: Vec<_> = all_samples().into_iter().filter(|sample| !sample.name.ends_with("-64k")).collect();
        let sample = &samples[at.index(samples.len())];
        let whole = sample.events();
        let messages = sample.messages();
        let line_at = line_at.index(messages.len());
        let cut = &messages[line_at];
        let cut = &cut[..cut.floor_char_boundary(end.index(cut.len() + 1))];
        let mut parser = Parser::new();
        let mut out = Vec::new();
        for message in &messages[..line_at] {
            parser.message(None, None, message, &mut out);
        }
        parser.cut_message(None, None, cut, &mut out);
        parser.finish(&mut out);
        for (part, whole) in reports(&out).into_iter().zip(reports(&whole)) {
            prop_assert!(report_within(part, whole), "{} {cut}\n{part:?}\n{whole:?}", sample.name);
        }
        for (part, whole) in kills(&out).into_iter().zip(kills(&whole)) {
            prop_assert_eq!((part.pid, &part.comm), (whole.pid, &whole.comm));
            prop_assert!(within(&numbers(&part.memory), &numbers(&whole.memory)), "{cut}");
            let rest = |killed: &Killed| [killed.uid.map(i64::from), killed.oom_score_adj.map(i64::from)];
            prop_assert!(within(&rest(part), &rest(whole)), "{cut}");
        }
    }

    #[test]
    fn any_lines_are_read(messages in prop::collection::vec(prop_oneof![line_of_pieces(), any::<String>()], 0..20)) {
        let events = feed(&messages);
        prop_assert!(events.len() <= 3 * messages.len() + 2);
    }

    #[test]
    fn any_bytes_are_a_line(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = crate::logs::line::parse(&bytes);
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
