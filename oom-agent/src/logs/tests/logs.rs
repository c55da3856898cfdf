//! What incidents a log makes.

use super::samples::*;
use crate::incident::model::{Incident, Role, Rule};
use crate::logs::{Options, Reader};

fn incidents(lines: &[String]) -> Vec<Incident> {
    read(lines).into_iter().map(|found| found.incident).collect()
}

fn victims(incidents: &[Incident]) -> Vec<Vec<u32>> {
    incidents.iter().map(|it| it.victims.iter().map(|victim| victim.pid).collect()).collect()
}

fn killed(pid: u32) -> String {
    format!(
        "Memory cgroup out of memory: Killed process {pid} (hog) total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
    )
}

/// `__oom_kill_process` says so instead of `Killed process`: the report is over, and the next one is another.
#[test]
fn a_chosen_one_that_was_exiting_ends_its_report() {
    let mut lines = sample("6.12.117-memcg-v2").log(syslog("node-7"));
    let killed = lines.iter().position(|line| line.contains("Killed process 161 ")).unwrap();
    let at = lines[killed].find("Memory cgroup out of memory").unwrap();
    lines[killed].replace_range(
        at..,
        "Memory cgroup out of memory: OOM victim 161 (hog) is already exiting. Skip killing the task",
    );
    let told = read(&lines);
    let rules: Vec<_> = told.iter().map(|found| found.incident.decision.as_ref().unwrap().rule).collect();
    assert_eq!(rules, [Rule::AlreadyDying, Rule::HighestPoints]);
    assert_eq!((told[0].incident.victims.len(), told[1].incident.victims.len()), (0, 1));
}

/// Minutes apart they are read by streams of their own.
#[test]
fn kills_in_the_same_place_are_counted_by_any_clock() {
    let sample = sample("6.12.117-memcg-v2");
    let writers: [&dyn Fn(u64) -> Vec<String>; 2] =
        [&|at| sample.log(|time_us: u64, text: &str| dmesg(time_us + at * 60_000_000, text)), &|at| {
            sample.log(|_: u64, text: &str| format!("2026-11-20T10:{:02}:03+01:00 node-7 kernel: {text}", at))
        }];
    for write in writers {
        let numbers = |minutes: &[u64]| -> Vec<Option<u64>> {
            let quiet = (0..600).map(|_| "Nov 20 10:00:00 node-7 cron[1]: hello".to_owned());
            let logs = minutes.iter().flat_map(|at| write(*at).into_iter().chain(quiet.clone()));
            let told = incidents(&logs.collect::<Vec<_>>());
            told.iter().map(|it| it.recovery.as_ref()?.kill_number).collect()
        };
        let of_one = numbers(&[0]);
        assert!(of_one.len() > 1, "{of_one:?}");
        let later = numbers(&[0, 5, 20]);
        let [first, second, third] = [0, 1, 2].map(|at| later[at * of_one.len()]);
        assert_eq!((first, third), (None, None));
        assert_eq!(second, Some(of_one.len() as u64 + 1));
    }
}

/// One file after the other, as in `cat`: clocks go back and forth between them.
#[test]
fn reports_of_many_boots_one_after_the_other_are_as_each_alone() {
    let samples = samples();
    for write in [&dmesg as Writer<'_>, &syslog("node-7"), &journal("a")] {
        let logs: Vec<_> = samples.iter().map(|sample| sample.log(write)).collect();
        let mut apart: Vec<_> = logs.iter().flat_map(|log| incidents(log)).collect();
        let mut together = incidents(&logs.concat());
        let order = |a: &Incident, b: &Incident| {
            let key = |it: &Incident| serde_json::to_string(it).unwrap();
            key(a).cmp(&key(b))
        };
        // What the kills before each of them say differs.
        apart.iter_mut().chain(&mut together).for_each(|it| it.recovery = None);
        apart.sort_by(order);
        together.sort_by(order);
        for (together, apart) in together.iter().zip(&apart) {
            assert_eq!(together, apart);
        }
        assert_eq!(together.len(), apart.len());
    }
}

#[test]
fn suppressed_reports_leave_one_incident_a_kill() {
    let lines: Vec<_> = (10..60).map(|pid| dmesg(7_000_000 + u64::from(pid), &killed(pid))).collect();
    let told = incidents(&lines);
    assert_eq!(victims(&told), (10..60).map(|pid| vec![pid]).collect::<Vec<_>>());
    assert!(told.iter().all(|it| it.evidence.notes[0].contains("printed no report")));
    let lines: Vec<_> = (10..60).map(|pid| syslog_bare("a")(7_000_000, &killed(pid))).collect();
    assert_eq!(victims(&incidents(&lines)).len(), 50, "all within one second");
}

#[test]
fn a_group_is_one_incident_also_by_a_clock_of_seconds() {
    let group = sample("7.3.4-memcg-group");
    let expected = victims(&incidents(&group.log(dmesg)));
    assert_eq!(expected.len(), 1);
    assert!(expected[0].len() > 2);
    // The second hand moves in the middle of it.
    let second = |at: usize| if at + 3 < group.lines.len() { 7_000_000 } else { 8_000_000 };
    let lines =
        group.lines.iter().enumerate().map(|(at, (_, message))| syslog_bare("a")(second(at), message));
    let told = incidents(&lines.collect::<Vec<_>>());
    assert_eq!(victims(&told), expected);
    assert_eq!(told[0].victims.iter().filter(|victim| victim.role == Role::Selected).count(), 1);
    assert_eq!(told[0].boottime_ns, None);
    assert_eq!(told[0].victims[0].killed_boottime_ns, None);
    assert_eq!(told[0].log_time.as_deref(), Some("Nov 20 10:00:07"));
    assert_eq!(told[0].node.as_deref(), Some("a"));
}

#[test]
fn nothing_to_kill_and_the_panic_that_follows_are_one_incident() {
    let mut sample = sample("7.3.4-global");
    let end = sample.lines.iter().position(|(_, message)| message.starts_with("oom-kill:")).unwrap();
    sample.lines.truncate(end);
    let last = sample.lines[end - 1].0;
    sample.lines.push((last + 10, "Out of memory and no killable processes...".into()));
    let told = incidents(&sample.log(dmesg));
    assert_eq!(told[0].decision.as_ref().unwrap().rule, Rule::NoneKillable);
    sample.lines.push((last + 20, "Kernel panic - not syncing: System is deadlocked on memory".into()));
    let told = incidents(&sample.log(dmesg));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].decision.as_ref().unwrap().rule, Rule::Panic);
    assert!(told[0].trigger.is_some());
    assert!(told[0].kernel_log.as_ref().unwrap().contains("deadlocked"));
}

#[test]
fn a_report_cut_at_either_end_is_one_incident() {
    let lines = sample("6.12.117-memcg-nested").log(dmesg);
    let whole = &incidents(&lines)[0];
    for at in 1..lines.len() {
        let begin = incidents(&lines[..at]);
        assert_eq!(begin.len(), 1, "{at}");
        assert_eq!(begin[0].trigger.as_ref().map(|it| &it.comm), whole.trigger.as_ref().map(|it| &it.comm));
        let end = incidents(&lines[at..]);
        assert!(end.len() <= 1, "{at}");
        for cut in begin.iter().chain(&end) {
            let known: Vec<_> = whole.victims.iter().map(|it| it.pid).collect();
            assert!(cut.victims.iter().all(|it| known.contains(&it.pid)), "{at}");
            if cut.victims.is_empty() {
                assert!(!cut.evidence.notes.is_empty(), "{at}");
            }
        }
    }
}

/// A cut report and the next one of the same machine: nothing of the first goes into the second.
#[test]
fn what_follows_a_cut_report_is_whole() {
    let cut = sample("6.12.117-memcg-nested");
    let next = sample("6.12.117-swap-global");
    let later = |micros: u64, message: &str| dmesg(micros + 60_000_000, message);
    let expected = incidents(&next.log(later));
    let bare = |_: u64, message: &str| message.to_owned();
    let expected_bare = incidents(&next.log(bare));
    for at in 1..cut.lines.len() - 2 {
        let part = Sample { lines: cut.lines[..at].to_vec(), ..cut.clone() };
        let told = incidents(&[part.log(dmesg), next.log(later)].concat());
        assert_eq!(told.len(), 2, "{at}");
        assert!(told.contains(&expected[0]), "{at}");
        let told = incidents(&[part.log(bare), next.log(bare)].concat());
        assert_eq!(told.len(), 2, "{at}");
        assert!(told.contains(&expected_bare[0]), "{at}");
    }
}

/// Two machines without names or clocks: no number is given to the wrong one.
#[test]
fn reports_that_nothing_tells_apart_lose_their_numbers() {
    let bare = |_: u64, message: &str| message.to_owned();
    let a = sample("6.12.117-memcg-nested").log(bare);
    let b = sample("7.3.4-swap-global").log(bare);
    let mut mixed = Vec::new();
    for at in 0..a.len().max(b.len()) {
        mixed.extend(a.get(at).cloned());
        mixed.extend(b.get(at).cloned());
    }
    let told = incidents(&mixed);
    assert!(told.iter().any(|it| it.evidence.notes.iter().any(|note| note.contains("overlap"))), "{told:#?}");
    for it in &told {
        assert_eq!((it.candidates.len(), &it.trigger, it.limits.is_empty()), (0, &None, true), "{it:#?}");
    }
}

#[test]
fn a_pause_tells_what_is_complete_and_later_lines_make_nothing_new() {
    let lines = sample("7.3.4-memcg-group").log(dmesg);
    let at = lines.iter().position(|line| line.contains("Killed process")).unwrap();
    let end = lines.iter().position(|line| line.contains("oom-kill:")).unwrap();
    for cut in 1..lines.len() {
        let mut reader = Reader::new(Options::default());
        let mut out = Vec::new();
        reader.push((lines[..cut].join("\n") + "\n").as_bytes(), &mut out);
        reader.pause(&mut out);
        assert_eq!(out.len(), usize::from(cut > at), "{cut}");
        reader.pause(&mut out);
        assert_eq!(out.len(), usize::from(cut > end), "{cut}: no line follows the report");
        reader.pause(&mut out);
        reader.push((lines[cut..].join("\n") + "\n").as_bytes(), &mut out);
        reader.pause(&mut out);
        reader.pause(&mut out);
        reader.finish(&mut out);
        assert_eq!(out.len(), 1, "{cut}");
    }
}

/// `oom_kill_process` up to 5.0: a child with memory of its own dies in place of the chosen one.
#[test]
fn a_child_dies_in_place_of_the_chosen_one() {
    for (name, parent, child, points) in
        [("3.10-memcg-child", 2376, 2380, Some(14_054)), ("4.9-global", 15_600, 15_611, Some(290_485))]
    {
        let incident = read(&sample(name).log(dmesg)).remove(0).incident;
        let text = crate::sink::terminal::render(&incident, &crate::sink::terminal::Style::default());
        assert!(text.contains("kill a child of the chosen"), "{text}");
        let decision = incident.decision.unwrap();
        assert_eq!((decision.pid, decision.points, decision.adj_to_spare), (Some(parent), points, None));
        let [victim, ..] = &incident.victims[..] else { panic!("{name}") };
        assert_eq!((victim.pid, victim.uid, victim.oom_score_adj), (child, Some(1000), Some(0)), "{name}");
        assert!(victim.memory.anon_bytes.is_some(), "{name}");
        assert!(!incident.evidence.notes.iter().any(|note| note.contains("rank another")), "{name}");
    }
    let alone = "[    1.000000] Out of memory: Kill process 7 (a) score 9 or sacrifice child\n\
                 [    1.000100] Killed process 9 (b) total-vm:40kB, anon-rss:8kB, file-rss:4kB\n";
    let incident = read_bytes(alone.as_bytes(), 4096).remove(0).incident;
    assert_eq!(incident.decision.unwrap().pid, Some(7));
    assert_eq!((incident.victims[0].pid, incident.victims[0].memory.rss_bytes), (9, Some(12 << 10)));
}

/// Other writers of JSON than journalctl put blanks between, also where a message is an array of bytes.
#[test]
fn json_may_have_blanks() {
    let sample = sample("6.12.117-memcg-v2");
    let expected = read(&sample.log(journal("n1")));
    assert_eq!(expected.len(), 2);
    for (colon, comma) in [(":", ","), (": ", ", "), (" : ", ", ")] {
        let log = sample.log(|micros, message| {
            let bytes: Vec<String> = message.bytes().map(|byte| byte.to_string()).collect();
            let line = journal("n1")(micros, "");
            let line = line.replace(r#""MESSAGE":"""#, &format!(r#""MESSAGE":[{}]"#, bytes.join(",")));
            line.replace("\":", &format!("\"{colon}")).replace(',', comma)
        });
        assert_eq!(read(&log), expected, "{}", log[0]);
    }
}

#[test]
fn an_export_that_is_not_whole_says_so() {
    let record = |message: &str| format!("__CURSOR=s=1\n_TRANSPORT=kernel\nMESSAGE={message}\n\n");
    let whole = record("a").repeat(3);
    let unread = |log: &str| {
        let mut reader = Reader::new(Options::default());
        reader.push(log.as_bytes(), &mut Vec::new());
        reader.finish(&mut Vec::new());
        reader.unread()
    };
    assert_eq!(unread(&whole), None);
    assert_eq!(unread("[    1.0] a"), None);
    assert!(unread(&whole[..whole.len() - 3]).unwrap().contains("cut off"));
    assert!(unread(&whole.replacen("\n\n", "\n\n###\n", 1)).unwrap().contains("damaged"));
}
