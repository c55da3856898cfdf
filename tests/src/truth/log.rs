//! The kernel's report, read for the tests alone: nothing here is shared with the agent's parser.

use super::model::Row;

/// What a log line says about OOM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `NAME invoked oom-killer`.
    Invoked { comm: Vec<u8>, gfp_mask: u32, gfp_flags: Vec<String>, order: i32 },
    /// A counter that a break-down of the memory begins with: its name in an incident, and bytes.
    Counter(&'static str, u64),
    /// The `CPU:` line that follows it.
    Cpu { tid: u32 },
    /// A row of the task table.
    Row(Row),
    /// `oom-kill:`.
    Kill { constraint: String, oom_memcg: Option<String>, pid: u32, text: String },
    /// `Killed process`.
    Killed { is_memcg: bool, pid: u32, comm: Vec<u8>, rss_kb: [u64; 3] },
    /// `Tasks in .. are going to be killed`.
    Group,
    /// `Out of memory and no killable processes`.
    NoneKillable,
}

/// Messages with the decision's line whole. The kernel prints it in pieces (`dump_oom_summary`, `mm/oom_kill.c`; `pr_cont`), and
/// where another processor's line comes between, each piece is a message of its own: with a comma, a path, or a cpuset's name.
pub(super) fn whole(messages: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open: Option<usize> = None;
    for message in messages {
        let begun = open.and_then(|open| lines.get_mut(open)).filter(|begun| !begun.contains(",uid="));
        let goes_on = |begun: &String| {
            message.starts_with([',', '/']) || begun.ends_with(",cpuset=") && !message.contains(' ')
        };
        if let Some(begun) = begun.filter(|begun| goes_on(begun)) {
            begun.push_str(message);
            continue;
        }
        if message.starts_with("oom-kill:constraint=") {
            open = Some(lines.len());
        }
        lines.push(message.clone());
    }
    lines
}

/// Reads one message as `/dev/kmsg` gives it.
pub(super) fn line(text: &str, page_bytes: u64) -> Option<Line> {
    if let Some((comm, rest)) = text.rsplit_once(" invoked oom-killer: gfp_mask=0x") {
        let gfp_mask = u32::from_str_radix(rest.split(['(', ',']).next()?, 16).ok()?;
        let order = rest.split_once(" order=")?.1.split(',').next()?.parse().ok()?;
        let names =
            rest.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(names, _)| names);
        let gfp_flags = names.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        return Some(Line::Invoked { comm: unescape(comm), gfp_mask, gfp_flags, order });
    }
    if let Some(rest) = text.strip_prefix("oom-kill:constraint=") {
        let constraint = rest.split(',').next()?.to_owned();
        let oom_memcg = rest
            .split_once(",oom_memcg=")
            .and_then(|(_, path)| path.rsplit_once(",task_memcg="))
            .map(|(path, _)| path.to_owned());
        // The command name comes before these and may look like anything.
        let pid = rest.rsplit_once(",pid=")?.1.split(',').next()?.parse().ok()?;
        return Some(Line::Kill { constraint, oom_memcg, pid, text: text.to_owned() });
    }
    if let Some((_, rest)) = text.split_once("Killed process ") {
        let (pid, rest) = rest.split_once(" (")?;
        let (comm, rest) = rest.rsplit_once(") total-vm:")?;
        let kb = |name: &str| rest.split_once(name)?.1.split("kB").next()?.parse().ok();
        let rss_kb = [kb("anon-rss:")?, kb("file-rss:")?, kb("shmem-rss:")?];
        let is_memcg = text.starts_with("Memory cgroup");
        return Some(Line::Killed { is_memcg, pid: pid.parse().ok()?, comm: unescape(comm), rss_kb });
    }
    // Printed in pieces: another processor's line may come between them, and its end is then a line of its own.
    if text.starts_with("Tasks in ") {
        return Some(Line::Group);
    }
    if text.starts_with("Out of memory and no killable processes") {
        return Some(Line::NoneKillable);
    }
    // A memory cgroup's counters are bytes (of v1: with its own names), the machine's pages.
    for (begin, name, unit) in [
        ("anon ", "anon_bytes", 1),
        ("cache ", "file_bytes", 1),
        ("active_anon:", "active_anon_bytes", page_bytes),
    ] {
        if let Some(rest) = text.strip_prefix(begin) {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            return Some(Line::Counter(name, rest.get(..end)?.parse::<u64>().ok()? * unit));
        }
    }
    if text.starts_with("CPU: ") {
        let tid = text.split_once(" PID: ")?.1.split(' ').next()?.parse().ok()?;
        return Some(Line::Cpu { tid });
    }
    row(text).map(Line::Row)
}

/// `memory: usage 24576kB, limit 24576kB, failcnt 9` and `swap:`: name, usage and limit in bytes.
pub(super) fn counter(text: &str) -> Option<(&'static str, u64, u64)> {
    let (name, rest) = ["memory", "swap"]
        .into_iter()
        .find_map(|name| Some((name, text.strip_prefix(name)?.strip_prefix(": usage ")?)))?;
    let (usage, rest) = rest.split_once("kB, limit ")?;
    let (limit, _) = rest.split_once("kB")?;
    Some((name, usage.parse::<u64>().ok()? << 10, limit.parse::<u64>().ok()?.checked_shl(10)?))
}

/// Lines of `memory.stat` in a message, one or all: the counters that are compared, as an incident names them.
pub(super) fn stats(text: &str) -> impl Iterator<Item = (String, u64)> {
    const COMPARED: [&str; 12] = [
        "anon",
        "file",
        "kernel",
        "kernel_stack",
        "pagetables",
        "sock",
        "shmem",
        "file_dirty",
        "unevictable",
        "slab_reclaimable",
        "slab_unreclaimable",
        "inactive_anon",
    ];
    text.split("\\x0a").filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        let name = COMPARED.iter().find(|known| **known == name)?;
        Some((format!("{name}_bytes"), value.parse().ok()?))
    })
}

/// `[  pid  ]   uid  tgid total_vm      rss [rss_anon rss_file rss_shmem] pgtables_bytes swapents oom_score_adj name`
fn row(text: &str) -> Option<Row> {
    let (pid, rest) = text.strip_prefix('[')?.split_once(']')?;
    let _: u32 = pid.trim().parse().ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let _uid: u32 = fields.first()?.parse().ok()?;
    let pid = fields.get(1)?.parse().ok()?;
    let rss = fields.get(3)?.parse().ok()?;
    // Three more columns since 6.12. A name may be a number, so the sum decides which table it is.
    let kinds: Option<u64> = (4..7).map(|i| fields.get(i)?.parse::<u64>().ok()).sum();
    let last = if fields.len() >= 11 && kinds == Some(rss) { 7 } else { 4 };
    Some(Row {
        pid,
        rss,
        pgtables_bytes: fields.get(last)?.parse().ok()?,
        swapents: fields.get(last + 1)?.parse().ok()?,
        oom_score_adj: fields.get(last + 2)?.parse().ok()?,
    })
}

/// `\xNN` of `/dev/kmsg` back to bytes.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once("\\x") {
        bytes.extend_from_slice(plain.as_bytes());
        let Some(byte) = escaped.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            bytes.extend_from_slice(b"\\x");
            rest = escaped;
            continue;
        };
        bytes.push(byte);
        rest = escaped.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_end_where_the_kernel_ends_them() {
        let text = r"Memory cgroup out of memory: Killed process 154 (a) total-vm:\x0a) total-vm:1kB, anon-rss:35548kB, file-rss:4kB, shmem-rss:648kB, UID:0 pgtables:108kB oom_score_adj:0";
        let expected = Line::Killed {
            is_memcg: true,
            pid: 154,
            comm: b"a) total-vm:\n".to_vec(),
            rss_kb: [35548, 4, 648],
        };
        assert_eq!(line(text, 4096), Some(expected));
        let text = "x invoked oom-killer: gfp_mask=0x1 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
        let expected = Line::Invoked {
            comm: b"x invoked oom-killer: gfp_mask=0x1".to_vec(),
            gfp_mask: 0xcc0,
            gfp_flags: vec!["GFP_KERNEL".into()],
            order: 0,
        };
        assert_eq!(line(text, 4096), Some(expected));
    }

    #[test]
    fn usage_and_break_down_are_read() {
        let text = "memory: usage 24576kB, limit 24576kB, failcnt 25";
        assert_eq!(counter(text), Some(("memory", 24 << 20, 24 << 20)));
        assert_eq!(counter("swap: usage 0kB, limit 8192kB, failcnt 0"), Some(("swap", 0, 8 << 20)));
        assert_eq!(counter("memory+swap: usage 1kB, limit 2kB, failcnt 0"), None);
        let all = stats(r"anon 8253440\x0afile 0\x0apgfault 7").collect::<Vec<_>>();
        assert_eq!(all, [("anon_bytes".to_owned(), 8_253_440), ("file_bytes".to_owned(), 0)]);
    }

    #[test]
    fn a_break_down_begins_with_a_counter() {
        for (text, expected) in [
            ("anon 8253440", Line::Counter("anon_bytes", 8_253_440)),
            (r"anon 8253440\x0afile 0", Line::Counter("anon_bytes", 8_253_440)),
            ("cache 8192", Line::Counter("file_bytes", 8192)),
            ("active_anon:3 inactive_anon:5", Line::Counter("active_anon_bytes", 3 * 4096)),
        ] {
            assert_eq!(line(text, 4096), Some(expected), "{text}");
        }
        assert_eq!(line("Node 0 active_anon:3kB", 4096), None);
    }

    #[test]
    fn both_shapes_of_the_table_are_read() {
        let old = "[    111]     0   111      565      421    28672        7           -20 sh 1 2 3";
        let new = "[    188]     0   187     7928     7852     7690        0       162    98304        0           100 samenode";
        let (old, new) = (line(old, 4096), line(new, 4096));
        let expected = Row { pid: 111, rss: 421, pgtables_bytes: 28672, swapents: 7, oom_score_adj: -20 };
        assert_eq!(old, Some(Line::Row(expected)));
        let expected = Row { pid: 187, rss: 7852, pgtables_bytes: 98304, swapents: 0, oom_score_adj: 100 };
        assert_eq!(new, Some(Line::Row(expected)));
    }

    #[test]
    fn a_decision_that_came_in_pieces_is_whole_again() {
        let messages = [
            ",task_memcg=/stray",
            "oom-kill:constraint=C,cpuset=",
            "another line",
            "a",
            ",mems_allowed=0,oom_memcg=",
            "/a",
            ",task_memcg=/a,pid=7,uid=0",
            "next",
        ];
        let lines = whole(&messages.map(str::to_owned));
        let decision = "oom-kill:constraint=C,cpuset=a,mems_allowed=0,oom_memcg=/a,task_memcg=/a,pid=7,uid=0";
        assert_eq!(lines, [",task_memcg=/stray", decision, "another line", "next"]);
    }

    #[test]
    fn a_group_kill_is_seen_though_its_line_came_in_pieces() {
        for text in ["Tasks in /a are going to be killed due to memory.oom.group set", "Tasks in /a"] {
            assert_eq!(line(text, 4096), Some(Line::Group), "{text}");
        }
        assert_eq!(line(" are going to be killed due to memory.oom.group set", 4096), None);
    }

    #[test]
    fn the_decision_names_its_cgroup() {
        let text = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,b,task_memcg=/a,b/c,task=x,pid=1,pid=154,uid=0";
        let expected = Line::Kill {
            constraint: "CONSTRAINT_MEMCG".into(),
            oom_memcg: Some("/a,b".into()),
            pid: 154,
            text: text.into(),
        };
        assert_eq!(line(text, 4096), Some(expected));
    }
}
