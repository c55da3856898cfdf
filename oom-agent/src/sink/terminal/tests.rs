//! Goldens of all samples at 80 and 200 columns, in `goldens/`. `UPDATE_EXPECT=1` blesses them; look at them then.

use super::*;
use crate::sink::{escape, samples};
use expect_test::expect_file;
use std::path::Path;

fn golden(name: &str, text: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink/terminal/goldens").join(format!("{name}.txt"));
    expect_file![path].assert_eq(text);
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
    golden("memcg.colour", &render(&samples::memcg(), &style).replace('\x1b', "ESC"));
}

#[test]
fn candidates_can_be_left_out_or_all_be_shown() {
    let show = |candidates| render(&samples::global(), &Style { candidates, ..Style::default() });
    golden("global.none", &show(Show::None));
    golden("global.all", &show(Show::All));
    let one = show(Show::Top(1));
    assert!(one.contains("postgres") && one.contains("asked") && !one.contains("systemd-journal"), "{one}");
}

#[test]
fn no_line_is_longer_than_the_width_and_nothing_unsafe_is_left() {
    for (name, incident) in samples::all() {
        for width in 80..=220 {
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
