//! Lists as they are printed.

use super::*;
use crate::incident::id::incident_id;
use crate::sink::{escape, samples};
use expect_test::{Expect, expect};

fn check(incidents: Vec<Incident>, all: u64, narrowed: bool, more: bool, expected: &Expect) {
    let page = Page { incidents, next: more.then(String::new), ..Page::default() };
    let text = text(&page, all, narrowed, &Style { width: 80, color: false, candidates: Show::None });
    for line in text.lines() {
        assert!(escape::width(line) <= 80 && !line.chars().any(escape::is_unsafe), "{line:?}");
    }
    expected.assert_eq(&text);
}

#[test]
fn an_empty_store_says_so() {
    check(
        Vec::new(),
        0,
        false,
        false,
        &expect![[r"
        0 incidents in the store
    "]],
    );
    check(
        Vec::new(),
        17,
        true,
        false,
        &expect![[r"
        0 of 17 incidents in the store match
    "]],
    );
}

#[test]
fn the_newest_is_at_the_end() {
    let mut list: Vec<_> =
        [samples::memcg(), samples::group(), samples::none_killable(), samples::hostile()].into();
    for (index, incident) in list.iter_mut().enumerate() {
        incident.id = incident_id(1_795_169_703_000 - index as u64, "boot", 1, index as u64);
    }
    check(
        list.clone(),
        4,
        false,
        false,
        &expect![[r#"
        4 incidents in the store
        ID       TIME                VICTIM               HELD MACHINE  WHERE
        X0HT4XDQ 8123.456 s          "\x1b[2J\x1b[1..  402 MiB no..     \x1b[2J..root
        VWCB6AWP 2026-11-20 10:15:03 none                      node-7   /n
        TR6W7RBN 2026-11-20 10:15:03 worker[4243] +3  1.18 GiB node-7   /batch/job-17
        SM1D95TM 2026-11-20 10:15:03 java[81234]       474 MiB node-7   /demo

        One in full: oom-agent incidents show ID.
    "#]],
    );
    list.truncate(2);
    list[0].node = Some("other".into());
    check(
        list,
        1234,
        true,
        true,
        &expect![[r"
        The last 2 that match, of 1,234 incidents in the store
        ID        TIME                 VICTIM               HELD  MACHINE  WHERE
        TR6W7RBN  2026-11-20 10:15:03  worker[4243] +3  1.18 GiB  node-7   /batch/job-17
        SM1D95TM  2026-11-20 10:15:03  java[81234]       474 MiB  other    /demo

        One in full: oom-agent incidents show ID. Earlier ones: --until, --limit.
    "]],
    );
}
