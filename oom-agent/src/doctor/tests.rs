//! Goldens of all samples in `goldens/`. `UPDATE_EXPECT=1` blesses them; look at them then.

use super::*;
use crate::{
    kernel::probes::HOOKS,
    sink::escape::{is_unsafe, width},
};
use expect_test::expect_file;
use serde_json::Value;
use std::path::Path;

fn sample(name: &str) -> Diagnosis {
    samples::all().into_iter().find(|(other, _)| *other == name).unwrap().1
}

fn golden(name: &str, text: &str) {
    expect_file![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor/goldens").join(name)].assert_eq(text);
}

fn parsed(diagnosis: &Diagnosis) -> Value {
    serde_json::from_str(&json::line(diagnosis)).unwrap()
}

#[test]
fn samples_read_well() {
    for (name, diagnosis) in samples::all() {
        for width in [80, 200] {
            let text = text::render(&diagnosis, &Style { width, ..Style::default() });
            golden(&format!("{name}.{width}.txt"), &text);
        }
        let mut pretty = serde_json::to_string_pretty(&parsed(&diagnosis)).unwrap();
        pretty.push('\n');
        golden(&format!("{name}.json"), &pretty);
    }
}

#[test]
fn no_line_is_longer_than_the_width_and_nothing_unsafe_is_left() {
    for (name, diagnosis) in samples::all() {
        for columns in (0..=220).step_by(7) {
            let text = text::render(&diagnosis, &Style { width: columns, ..Style::default() });
            for line in text.lines() {
                assert!(width(line) <= columns.max(80), "{name} at {columns}: {line}");
                assert!(!line.chars().any(is_unsafe), "{name}: {line:?}");
            }
        }
        let json = json::line(&diagnosis);
        assert_eq!(json.find('\n'), Some(json.len() - 1), "{name}: one line");
        assert!(!json.trim_end().chars().any(is_unsafe), "{name}: {json:?}");
    }
}

#[test]
fn every_hook_is_there_also_if_none_was_tried() {
    for (name, diagnosis) in samples::all() {
        let object = parsed(&diagnosis);
        let hooks = object["hooks"].as_array().unwrap();
        assert!(hooks.iter().map(|hook| &hook["target"]).eq(HOOKS.iter().map(|hook| hook.target)), "{name}");
    }
}

#[test]
fn the_exit_status_is_that_of_trace() {
    for (name, permitted) in [
        ("full", true),
        ("kprobes", true),
        ("tracepoint", true),
        ("no_btf", true),
        ("unprivileged", false),
        ("forbidden", false),
    ] {
        let verdict = verdict(&sample(name));
        assert_eq!(verdict.is_ok(), permitted, "{name}");
        assert!(verdict.is_ok() || verdict.unwrap_err().is::<NotPermitted>(), "{name}");
    }
}

#[test]
fn missing_capabilities_are_named_exactly() {
    let error = verdict(&sample("unprivileged")).unwrap_err().to_string();
    assert_eq!(error, "not permitted: CAP_BPF and CAP_PERFMON missing");
    let mut log_too = sample("unprivileged");
    log_too.kernel_log = Ok(LogBy::Device);
    assert_eq!(levels::level(&log_too), Some(Level::Kmsg), "the log can still be read");
    assert!(verdict(&log_too).is_err(), "but trace wants BPF unless told otherwise");
    log_too.kernel_log = Ok(LogBy::Syslog);
    assert_eq!(levels::level(&log_too), None, "syslog(2) wakes nobody: it needs BPF");
}

#[test]
fn file_capabilities_are_given_all_at_once() {
    let mut one_missing = sample("unprivileged");
    one_missing.bpf = Bpf::NotTried(vec![Capability::CapPerfmon]);
    one_missing.host.privileges.effective = Known::Value(vec![Capability::CapBpf]);
    let advice = advice::lines(&one_missing).join("\n");
    assert!(advice.contains("setcap cap_bpf,cap_perfmon,cap_syslog+ep"), "{advice}");
}

#[test]
fn another_user_namespace_needs_another_advice() {
    let mut rootless = sample("unprivileged");
    rootless.host.privileges.effective = Known::Value(Capability::ALL.into());
    rootless.host.privileges.initial_user_namespace = Known::Value(false);
    let advice = advice::lines(&rootless).join("\n");
    assert!(advice.contains("initial user namespace") && !advice.contains("setcap"), "{advice}");
}

#[test]
fn where_all_is_seen_there_is_nothing_to_advise() {
    assert_eq!(advice::lines(&sample("full")), Vec::<String>::new());
}

#[test]
fn colour_changes_nothing_but_colour() {
    for (name, diagnosis) in samples::all() {
        let plain = text::render(&diagnosis, &Style::default());
        let coloured = text::render(&diagnosis, &Style { color: true, ..Style::default() });
        assert_ne!(plain, coloured, "{name}");
        let stripped =
            ["\x1b[0m", "\x1b[1m", "\x1b[2m"].iter().fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(plain, stripped, "{name}");
    }
}
