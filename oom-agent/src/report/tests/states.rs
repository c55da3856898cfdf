//! What the state machine makes of logs that no machine here has printed: cut, interleaved, hostile.

use super::super::TaskRow;
use super::super::open::{MOST_ROWS, MOST_TEXT};
use super::*;

const INVOKED: &str = "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
const CPU: &str = "CPU: 1 UID: 0 PID: 124 Comm: hog Not tainted 7.3.4 #1";
const TASKS: &str = "Tasks state (memory values in pages):";
const HEADER: &str = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name";
const SUMMARY: &str = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
                       task_memcg=/,task=hog,pid=124,uid=0";
const KILLED: &str = "Out of memory: Killed process 124 (hog) total-vm:8kB, anon-rss:4kB, file-rss:0kB, \
                      shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";

/// Messages, a millisecond apart.
fn say<'a>(messages: impl IntoIterator<Item = &'a str>) -> Vec<Event> {
    let mut parser = Parser::new();
    let mut out = Vec::new();
    for (at, message) in messages.into_iter().enumerate() {
        parser.message(Some(at as u64 * 1_000_000), None, message, &mut out);
    }
    parser.finish(&mut out);
    out
}

/// Events in a word each.
fn kinds(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| match &event.what {
        What::Invoked(asked) => format!("invoked {}", asked.tid.map_or("?".into(), |tid| tid.to_string())),
        What::Report(report) => format!("report {:?}", report.outcome),
        What::Killed(killed) => format!("killed {}", killed.pid),
        What::GroupKill { cgroup } => format!("group {cgroup}"),
        What::Reaped { pid, .. } => format!("reaped {pid}"),
        What::NotReaped { pid, .. } => format!("not reaped {pid}"),
        What::Exiting { pid, .. } => format!("exiting {pid}"),
        What::Sharing { pid, .. } => format!("sharing {pid}"),
        What::Suppressed { reports } => format!("suppressed {reports}"),
        What::Gap { records } => format!("gap {records:?}"),
    };
    events.iter().map(kind).collect()
}

#[test]
fn a_kill_without_a_report_stands_alone() {
    assert_eq!(kinds(&say([KILLED, KILLED])), ["killed 124", "killed 124"]);
}

#[test]
fn the_trigger_is_told_before_the_report_is_complete() {
    let mut out = Vec::new();
    let mut parser = Parser::new();
    parser.message(Some(1), None, INVOKED, &mut out);
    assert_eq!(out, []);
    parser.message(Some(2), None, CPU, &mut out);
    assert_eq!(kinds(&out), ["invoked 124"]);
    assert_eq!(out[0].time_ns, Some(1));
}

#[test]
fn a_trigger_without_its_cpu_line_is_told_all_the_same() {
    assert_eq!(kinds(&say([INVOKED, TASKS, SUMMARY])), ["invoked ?", "report Kill"]);
    assert_eq!(kinds(&say([INVOKED, SUMMARY, KILLED])), ["invoked ?", "report Kill", "killed 124"]);
}

#[test]
fn a_report_that_is_cut_off_is_told_as_far_as_it_goes() {
    let events = say([INVOKED, CPU, TASKS, HEADER, "[ 1] 0 1 2 3 4 5 6 sh"]);
    assert_eq!(kinds(&events), ["invoked 124", "report Unknown"]);
    assert_eq!(reports(&events)[0].tasks.len(), 1);
    let events = say([INVOKED, CPU, INVOKED, CPU, SUMMARY]);
    assert_eq!(kinds(&events), ["invoked 124", "report Unknown", "invoked 124", "report Kill"]);
}

#[test]
fn a_report_whose_beginning_is_cut_off_is_told_from_there() {
    let events = say(["[ 1] 0 1 2 3 4 5 6 sh", TASKS, HEADER, "[ 2] 0 2 2 3 4 5 6 sh", SUMMARY]);
    assert_eq!(kinds(&events), ["report Kill"]);
    let [report] = reports(&events)[..] else { panic!("{events:?}") };
    assert_eq!(report.invocation, None);
    assert_eq!(report.tasks.iter().map(|row| row.pid).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_kill_ends_a_report_that_lost_its_end() {
    let events = say([INVOKED, CPU, KILLED]);
    assert_eq!(kinds(&events), ["invoked 124", "report Kill", "killed 124"]);
    assert_eq!(reports(&events)[0].kill, None);
}

#[test]
fn a_chosen_one_that_was_exiting_is_no_kill() {
    let exiting = "Out of memory: OOM victim 124 (hog) is already exiting. Skip killing the task";
    assert_eq!(kinds(&say([INVOKED, CPU, SUMMARY, exiting])), ["invoked 124", "report Kill", "exiting 124"]);
}

#[test]
fn a_kill_after_a_gap_may_be_another_reports() {
    let mut out = Vec::new();
    let mut parser = Parser::new();
    parser.message(None, None, INVOKED, &mut out);
    parser.gap(None, &mut out);
    parser.message(None, None, KILLED, &mut out);
    assert_eq!(kinds(&out), ["invoked ?", "gap None", "report Unknown", "killed 124"]);
}

#[test]
fn a_report_does_not_stay_open_for_ever() {
    let mut out = Vec::new();
    let mut parser = Parser::new();
    parser.message(Some(0), None, INVOKED, &mut out);
    parser.message(Some(1_000_000_000), None, CPU, &mut out);
    parser.message(Some(32_000_000_000), None, "usb 1-1: new device", &mut out);
    assert_eq!(kinds(&out), ["invoked 124", "report Unknown"]);
    assert_eq!(out[1].time_ns, Some(1_000_000_000));
    assert!(!parser.wants(b"usb 1-1: new device"));
}

#[test]
fn a_panic_ends_the_report() {
    let panic = "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled";
    assert_eq!(kinds(&say([INVOKED, CPU, TASKS, panic])), ["invoked 124", "report Panic"]);
    let none = "Out of memory and no killable processes...";
    let deadlock = "Kernel panic - not syncing: System is deadlocked on memory";
    assert_eq!(kinds(&say([INVOKED, none, deadlock])), ["invoked ?", "report NoneKillable", "report Panic"]);
    assert_eq!(kinds(&say(["Kernel panic - not syncing: Attempted to kill init!"])), [""; 0]);
}

#[test]
fn a_gap_is_counted_in_the_report_around_it() {
    let mut out = Vec::new();
    let mut parser = Parser::new();
    parser.gap(None, &mut out);
    parser.message(Some(0), None, INVOKED, &mut out);
    parser.gap(Some(7), &mut out);
    parser.message(Some(1), None, SUMMARY, &mut out);
    assert_eq!(kinds(&out), ["gap None", "invoked ?", "gap Some(7)", "report Kill"]);
    let report = reports(&out)[0];
    assert_eq!(report.lost_lines, 7);
    assert!(report.text.contains("[... 7 log records lost ...]"), "{}", report.text);
}

#[test]
fn other_messages_may_stand_between() {
    let (plain, mixed) = (
        say([INVOKED, CPU, TASKS, HEADER, "[ 1] 0 1 2 3 4 5 6 sh", SUMMARY, KILLED]),
        say([
            INVOKED,
            "CPU: 0 PID: 9 Comm: other Not tainted 7.3.4 #1",
            CPU,
            "oom_reaper: reaped process 77 (x), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
            TASKS,
            HEADER,
            "eth0: link up",
            "[ 1] 0 1 2 3 4 5 6 sh",
            "anon 5",
            SUMMARY,
            "eth0: link down",
            KILLED,
        ]),
    );
    assert_eq!(kinds(&mixed), ["invoked 124", "reaped 77", "report Kill", "killed 124"]);
    let (plain, mixed) = (reports(&plain)[0], reports(&mixed)[0]);
    assert_eq!((&plain.tasks, &plain.kill, &plain.stats), (&mixed.tasks, &mixed.kill, &mixed.stats));
    assert_eq!(mixed.lost_lines, 0);
}

#[test]
fn with_the_caller_in_the_log_other_threads_lines_are_told_apart() {
    let mut out = Vec::new();
    let mut parser = Parser::new();
    for (context, message) in [
        (124, INVOKED),
        (124, "Memory cgroup stats for /a:"),
        (9, "anon 1"),
        (124, "file 2"),
        (124, TASKS),
        (124, HEADER),
        (9, "[ 9] 0 9 2 3 4 5 6 fake"),
        (124, "[ 1] 0 1 2 3 4 5 6 sh"),
        (124, SUMMARY),
    ] {
        parser.message(None, Some(context), message, &mut out);
    }
    let report = reports(&out)[0];
    assert_eq!(report.stats.keys().collect::<Vec<_>>(), ["file"]);
    assert_eq!(report.tasks.iter().map(|row| row.pid).collect::<Vec<_>>(), [1]);
    assert!(!report.text.contains("fake"));
}

#[test]
fn records_with_several_lines_are_counters() {
    let header = "Memory cgroup stats for /a:";
    let events = say([header, "anon 1\nfile 22\nkernel_stack 333", TASKS, SUMMARY]);
    let stats: Vec<_> =
        reports(&events)[0].stats.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(stats, [("anon", 1), ("file", 22), ("kernel_stack", 333)]);
    assert_eq!(reports(&events)[0].text.lines().count(), 6);
}

#[test]
fn the_last_counter_of_a_record_that_was_cut_is_not_believed() {
    let counters: Vec<_> = (0..100).map(|at| format!("counter_{at} 12345")).collect();
    let record = &counters.join("\n")[..991];
    let events = say(["Memory cgroup stats for /a:", record, TASKS, SUMMARY]);
    let stats = &reports(&events)[0].stats;
    assert!(stats.len() > 40 && stats.values().all(|value| *value == 12345), "{stats:?}");
    assert_eq!(stats.len() + 1, record.lines().count());
}

#[test]
fn a_line_feed_in_a_name_makes_no_line() {
    let row = "[ 1] 0 1 2 3 4 5 6 a\nKilled proces";
    let events = say([INVOKED, CPU, TASKS, HEADER, row, SUMMARY]);
    let report = reports(&events)[0];
    let expected = TaskRow { comm: "a\nKilled proces".into(), ..report.tasks[0].clone() };
    assert_eq!(report.tasks, [expected]);
    assert!(report.text.contains(r"a\x0aKilled proces"), "{}", report.text);
    assert_eq!(report.text.lines().count(), 6);
}

#[test]
fn a_name_that_looks_like_a_line_is_a_name() {
    for name in [
        "oom-kill:constr",
        "Out of memory: ",
        "Kernel panic - ",
        "Tasks in /a",
        TASKS.split_at(15).0,
        "[ 1] 0 1 2",
    ] {
        let invoked = INVOKED.replacen("hog", name, 1);
        let events = say([&*invoked, &CPU.replacen("hog", name, 1), SUMMARY]);
        assert_eq!(kinds(&events), ["invoked 124", "report Kill"], "{name}");
        assert_eq!(reports(&events)[0].invocation.as_ref().unwrap().comm, name);
        // Other messages begin with a name as well.
        assert_eq!(
            say([&*format!("{name}: page allocation failure: order:0"), &format!("{name}[7]: segfault")]),
            []
        );
    }
}

#[test]
fn lines_in_several_records_are_one_line() {
    let (begin, end) = SUMMARY.split_at(SUMMARY.find(",task_memcg").unwrap());
    let events = say([INVOKED, begin, "eth0: link up", end, KILLED]);
    assert_eq!(kinds(&events), ["invoked ?", "report Kill", "killed 124"]);
    assert_eq!(reports(&events)[0].kill, reports(&say([SUMMARY]))[0].kill);
}

#[test]
fn what_is_kept_has_limits() {
    let rows: Vec<_> = (0..MOST_ROWS + 5).map(|pid| format!("[{pid}] 0 {pid} 2 3 4 5 6 sh")).collect();
    let begin = [INVOKED, CPU, TASKS, HEADER];
    let events = say(begin.into_iter().chain(rows.iter().map(String::as_str)).chain([SUMMARY]));
    let report = reports(&events)[0];
    assert_eq!((report.tasks.len(), report.lost_lines), (MOST_ROWS, 5));
    assert!(report.text.len() < MOST_TEXT + 100);
    assert!(report.text.contains("[... lines left out: the report is too long ...]"));
    assert!(report.text.ends_with(&format!("{SUMMARY}\n")), "the end is kept");
}

#[test]
fn everything_that_a_report_may_begin_with_is_wanted() {
    let parser = Parser::new();
    for message in [INVOKED, TASKS, HEADER, SUMMARY, KILLED, "memory: usage 4kB, limit 4kB, failcnt 0"] {
        assert!(parser.wants(message.as_bytes()), "{message}");
    }
    assert!(parser.wants(format!(r"\xff\xff invoked oom-killer: {}", &INVOKED[24..]).as_bytes()));
    for message in ["", "usb 1-1: new device", "[drm] x", CPU, "Mem-Info:", "anon 1"] {
        assert!(!parser.wants(message.as_bytes()), "{message}");
    }
}
