//! Goldens of all samples in `goldens/`, the schema, and this machine's own /proc.

use super::{facts::Process, ranking::cross_check, *};
use crate::sink::escape::{is_unsafe, width};
use expect_test::expect_file;
use serde_json::Value;

fn golden(name: &str, text: &str) {
    expect_file![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rank/goldens").join(name)].assert_eq(text);
}

fn style(width: usize) -> Style {
    Style { width, ..Style::default() }
}

#[test]
fn samples_read_well() {
    for (name, answer) in samples::all() {
        let text = format!("{}\n{}", text::render(&answer, &style(80)), text::line(&answer));
        golden(&format!("{name}.80.txt"), &text);
    }
    for (name, answer) in samples::all().into_iter().take(3) {
        golden(&format!("{name}.160.txt"), &text::render(&answer, &style(160)));
    }
}

#[test]
fn no_line_is_longer_than_the_width_and_nothing_unsafe_is_left() {
    for (name, answer) in samples::all() {
        for columns in (0..=220).step_by(7) {
            for line in text::render(&answer, &style(columns)).lines() {
                assert!(width(line) <= columns.max(80), "{name} at {columns}: {line}");
                assert!(!line.chars().any(is_unsafe), "{name}: {line:?}");
            }
        }
        for line in [text::line(&answer), json::any_line(&answer)] {
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{name}: one line");
            assert!(!line.trim_end().chars().any(is_unsafe), "{name}: {line:?}");
        }
    }
}

#[test]
fn the_schema_in_docs_is_true() {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Answer)).unwrap();
    text.push('\n');
    expect_file!["../../../docs/rank.schema.json"].assert_eq(&text);
}

#[test]
fn json_keeps_the_first_ones_and_the_decision() {
    let (_, answer) = samples::all().swap_remove(2);
    let line: Value = serde_json::from_str(&json::any_line(&limited(&answer, Some(1)))).unwrap();
    assert_eq!(line["now"]["candidates"].as_array().unwrap().len(), 1);
    assert_eq!(line["what_if"]["then"]["candidates"].as_array().unwrap().len(), 1);
    assert_eq!(line["now"]["decision"]["pid"], 4711);
    assert_eq!(line["what_if"]["changes"][0]["oom_score_adj"], -500);
    assert!(line.get("asked_cgroup").is_none());
}

/// The order of our points is that of the kernel's own scores, as far as it rounds them.
#[test]
fn this_machines_own_scores_agree() {
    let own = std::process::id();
    let facts = || read::read(Path::new("/"), None, rustix::param::page_size() as u64).unwrap();
    let me = |facts: &facts::Facts| facts.processes.iter().find(|it| it.task.pid == own).cloned();
    let first: Process = me(&facts()).expect("our own process is in /proc");
    if first.task.oom_score_adj == Some(-1000) || first.oom_score.is_none() {
        println!("skipped: our own oom_score_adj is -1000, or /proc has no oom_score");
        return;
    }
    // Somebody may grow between two readings, but not between all of them.
    let mut found = Vec::new();
    for _ in 0..5 {
        let facts = facts();
        let check = cross_check(&facts);
        assert!(me(&facts).is_some_and(|me| me.oom_score.is_some()) && check.compared >= 1, "{check:?}");
        let ranking = ranking::rank(&facts);
        let scores: Vec<i64> = ranking
            .candidates
            .iter()
            .filter(|it| it.eligible && it.points.is_some())
            .filter_map(|it| facts.processes.iter().find(|process| process.task.pid == it.pid)?.oom_score)
            .collect();
        // Most points first: no score is much above one before it.
        let mut least = i64::MAX;
        let ordered = scores.iter().all(|score| {
            least = least.min(*score);
            *score <= least + 2
        });
        found = check.disagree;
        if found.is_empty() && ordered && !scores.is_empty() {
            return;
        }
    }
    panic!("the kernel's oom_score differs, each time: {found:?}");
}
