use super::*;
use crate::incident::growth::{Growth, Shape};
use crate::incident::model::Incident;
use crate::incident::story::Story;
use crate::rank::samples as ranks;
use crate::sink::samples;

use std::path::Path;

mod html;

fn about() -> About {
    About { node: Some("no\u{202e}de<1>".into()), sees: "everything".into(), troubles: vec!["a <trouble>".into()], stored: Some(1234) }
}

/// A pod with everything that there can be.
fn whole() -> Incident {
    let mut incident = samples::pod();
    incident.memory = samples::memcg().memory;
    let samples = (0..55).map(|at: u64| {
        let seconds = 540.0 - 10.0 * at as f64;
        (seconds, (180 + at * 6 + at % 3 * 2) << 20)
    });
    incident.growth = Some(Growth {
        samples: samples.chain([(0.0, 512 << 20)]).collect(),
        bytes_per_second: Some(631_000.0),
        seconds: Some(540.0),
        seconds_from_90_percent: Some(72.0),
        shape: Some(Shape::Steady),
        ..Growth::default()
    });
    incident.kernel_log = Some("[ 8123.4] java invoked oom-killer: <b>\n[ 8123.5] Mem-Info:\u{1b}[2J".into());
    let growth = incident.growth.take();
    Story::default().complete(&mut incident, growth);
    incident.verdict = crate::incident::verdict::verdict(&incident);
    incident
}

fn incidents() -> Vec<(&'static str, Incident)> {
    let mut all = samples::all();
    all.push(("whole", whole()));
    all
}

fn of_list(incidents: &[Incident], query: &str, more: bool) -> String {
    let next = more.then_some("01M7ZE4XBGWZCDK9T8XC81JPRM");
    let list = list::List { incidents, next, unreadable: 1, query, before: None };
    list::page(&about(), &list)
}

/// Every page there is, by what is special about it.
fn all() -> Vec<(String, String)> {
    let list: Vec<Incident> = incidents().into_iter().map(|(_, incident)| incident).collect();
    let mut all: Vec<_> = incidents()
        .into_iter()
        .map(|(name, incident)| (format!("incident-{name}"), incident::page(&about(), &incident)))
        .collect();
    for (name, answer) in ranks::all() {
        all.push((format!("rank-{name}"), rank::page(&about(), "", Ok(&answer))));
    }
    all.push(("rank-failed".into(), rank::page(&about(), "/\"><b>\u{202e}", Err("no cgroup /\"><b>\u{202e}"))));
    all.push(("list".into(), of_list(&list, "", true)));
    all.push(("list-query".into(), of_list(&list, "\"><script>\u{202e}", true)));
    all.push(("list-none".into(), of_list(&[], "\"><script>\u{202e}", false)));
    all.push(("list-empty".into(), of_list(&[], "", false)));
    all.push(("docs".into(), docs::page(&about())));
    all.push(("error".into(), error(&about(), "Not here", "There is no such page.")));
    all
}

#[test]
fn every_page_is_well_formed_and_keeps_the_policy() {
    for (name, page) in all() {
        html::check(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn diagnoses_link_to_headings_that_are_there() {
    let docs = docs::page(&about());
    for (name, page) in all() {
        for link in page.split("href=\"/docs/oom-killer#").skip(1) {
            let section = link.split('"').next().unwrap();
            assert!(docs.contains(&format!("id=\"{section}\"")), "{name}: {section}");
        }
    }
}

/// `OOM_PAGES=DIR cargo test -p oom-agent --lib write_the_pages -- --ignored`: to look at them in a browser.
#[test]
#[ignore = "writes files"]
fn write_the_pages() {
    let dir = std::env::var("OOM_PAGES").expect("a directory");
    let dir = Path::new(&dir);
    std::fs::create_dir_all(dir.join("assets")).unwrap();
    for (name, page) in all() {
        std::fs::write(dir.join(name + ".html"), page).unwrap();
    }
    for asset in [assets::STYLE, assets::SCRIPT] {
        std::fs::write(dir.join("assets").join(asset.name()), asset.text).unwrap();
    }
}
