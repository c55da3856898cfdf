//! Goldens of all samples at 80 and 200 columns, in `goldens/`. `UPDATE_EXPECT=1` blesses them; look at them
//! then.

use super::*;
use crate::incident::diagnosis::diagnose;
use crate::incident::machine::{Slab, Zone};
use crate::incident::verdict::verdict;
use crate::sink::{escape, samples};
use expect_test::expect_file;
use proptest::prelude::*;
use std::path::Path;

fn golden(name: &str, text: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink/terminal/goldens").join(format!("{name}.txt"));
    expect_file![path].assert_eq(text);
}

fn sample(name: &str) -> Incident {
    samples::all().into_iter().find(|(other, _)| *other == name).unwrap().1
}

#[test]
fn samples_read_well() {
    for (name, incident) in samples::all() {
        for width in [80, 200] {
            let text = render(&incident, &Style { width, ..Style::default() });
            golden(&format!("{name}.{width}"), &text);
        }
    }
}

#[test]
fn colour_marks_the_headline_the_victim_and_the_exempt() {
    let style = Style { width: 100, color: true, candidates: Show::Top(10) };
    golden("memcg.colour", &render(&sample("memcg"), &style).replace('\x1b', "ESC"));
}

#[test]
fn candidates_can_be_left_out_or_all_be_shown() {
    let show = |candidates| render(&sample("global"), &Style { candidates, ..Style::default() });
    golden("global.none", &show(Show::None));
    golden("global.all", &show(Show::All));
    let one = show(Show::Top(1));
    assert!(one.contains("postgres") && one.contains("asked") && !one.contains("systemd-journal"), "{one}");
}

#[test]
fn no_line_is_longer_than_the_width_and_nothing_unsafe_is_left() {
    for (name, incident) in samples::all() {
        for width in (80..=220).step_by(7) {
            for candidates in [Show::Top(3), Show::All] {
                let text = render(&incident, &Style { width, color: false, candidates });
                for line in text.lines() {
                    assert!(escape::width(line) <= width, "{name} at {width}: {line}");
                    assert!(!line.chars().any(escape::is_unsafe), "{name}: {line:?}");
                }
            }
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    for (name, incident) in samples::all() {
        let plain = render(&incident, &Style::default());
        let coloured = render(&incident, &Style { color: true, ..Style::default() });
        let stripped = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[1;31m"]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(plain, stripped, "{name}");
    }
}

#[test]
fn nothing_that_matters_is_cut_off_where_all_is_wide() {
    let text = render(&sample("extreme"), &Style::default());
    for end in ["already dying", "killed, asked", "exempt: memory on other nodes"] {
        assert!(text.lines().any(|line| line.ends_with(end)), "{end}: {text}");
    }
}

/// Text as an attacker would choose it: mostly controls, format characters, blanks and slashes.
fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\PC\\pC/ \\[\\]\"\\\\x{}日\u{202e}\u{1b}\n]{0,80}"]
}

/// A number that is often at an end of its range.
fn wild() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        Just(Some(0)),
        Just(Some(u64::MAX)),
        any::<Option<u64>>(),
        (0_u64..1 << 40).prop_map(Some)
    ]
}

proptest! {
    #[test]
    fn any_text_and_any_number_keeps_the_width_and_stays_safe(
        sample in 0..samples::all().len(),
        width in 0_usize..240,
        texts in prop::collection::vec(hostile_text(), 7),
        numbers in prop::collection::vec(wild(), 8),
        signed in any::<(i64, i64, i32, i32)>(),
    ) {
        let mut incident = samples::all().swap_remove(sample).1;
        let [id, node, time, scope, comm, cgroup, note] = <[String; 7]>::try_from(texts).unwrap();
        (incident.id, incident.node, incident.scope.cgroup) = (id, Some(node), Some(scope));
        if numbers[0].is_some() {
            (incident.time, incident.log_time) = (None, Some(time));
        } else {
            incident.time = Some(time);
        }
        incident.zones.push(Zone {
            name: comm.clone(),
            free_bytes: numbers[1],
            min_bytes: numbers[2],
            high_bytes: numbers[3],
            managed_bytes: numbers[4],
            free_blocks: vec![1; 80],
            ..Zone::default()
        });
        incident.unreclaimable_slabs.push(Slab { name: comm.clone(), used_bytes: 1, total_bytes: u64::MAX });
        incident.memory.extend(["ram", "swap_total", "free", "active_anon"].iter().zip(&numbers).filter_map(
            |(name, number)| Some((format!("{name}_bytes").into(), (*number)?)),
        ));
        incident.verdict = verdict(&incident);
        for verdict in &mut incident.verdict {
            verdict.title.push_str(&note);
            verdict.because.push(note.clone());
        }
        incident.evidence.notes.push(note.clone());
        incident.evidence.sources.push(note.clone());
        for victim in &mut incident.victims {
            (victim.comm, victim.cgroup) = (comm.clone(), Some(cgroup.clone()));
            (victim.memory.anon_bytes, victim.memory.swap_bytes) = (numbers[0], numbers[1]);
            victim.exit_after_ns = numbers[2];
        }
        for candidate in &mut incident.candidates {
            (candidate.comm, candidate.cgroup) = (comm.clone(), Some(cgroup.clone()));
            (candidate.points, candidate.oom_score_adj) = (Some(signed.0), Some(signed.2));
            (candidate.memory.rss_bytes, candidate.memory.pgtables_bytes) = (numbers[0], numbers[1]);
        }
        if let Some(trigger) = &mut incident.trigger {
            (trigger.comm, trigger.cgroup, trigger.order) = (comm, Some(cgroup), Some(signed.3));
        }
        if let Some(decision) = &mut incident.decision {
            (decision.points, decision.margin_points) = (Some(signed.0), Some(signed.1));
            decision.adj_to_spare = Some(signed.2);
        }
        (incident.total_pages, incident.limits.memory_bytes, incident.limits.usage_bytes) = (numbers[3], numbers[4], numbers[5]);
        (incident.oom_path_ns, incident.freed_bytes) = (numbers[6], numbers[7]);
        incident.diagnosis = diagnose(&incident);
        for diagnosis in &mut incident.diagnosis {
            diagnosis.title.push_str(&note);
            diagnosis.because.push(note.clone());
            diagnosis.advice.push_str(&note);
        }
        let text = render(&incident, &Style { width, ..Style::default() });
        for line in text.lines() {
            prop_assert!(escape::width(line) <= width.max(80), "{line}");
            prop_assert!(!line.chars().any(escape::is_unsafe), "{line:?}");
        }
    }
}
