use super::*;
use crate::incident::growth::{Growth, Shape};
use crate::incident::model::{Candidate, Incident};
use crate::incident::story::Story;
use crate::rank::samples as ranks;
use crate::sink::samples;

use std::path::Path;

mod html;

fn about() -> About {
    About {
        node: Some("no\u{202e}de<1>".into()),
        sees: "everything".into(),
        troubles: vec!["a <trouble>".into()],
        stored: Some(1234),
    }
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
    all.push((
        "rank-failed".into(),
        rank::page(&about(), "/\"><b>\u{202e}", Err("no cgroup /\"><b>\u{202e}")),
    ));
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

/// Goldens in `goldens/`.
#[test]
fn pages_stay_as_they_are() {
    let (list, incident) =
        (of_list(&[samples::pod(), samples::hostile()], "java", false), incident::page(&about(), &whole()));
    for (name, page) in [("list", list), ("incident", incident)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/page/goldens/{name}.html"));
        // What the assets are is no part of it. A line for each element that is a block, to be compared.
        let mut text =
            page.replace(&assets::STYLE.name(), "page.css").replace(&assets::SCRIPT.name(), "page.js");
        for tag in [
            "<section", "<li", "<tr", "<td", "<p", "<div", "<dt", "<dd", "<h2", "<text", "<circle", "<line",
            "<rect", "</main",
        ] {
            text = text.replace(tag, &format!("\n{tag}"));
        }
        expect_test::expect_file![path].assert_eq(&(text + "\n"));
    }
}

#[test]
fn an_exempt_process_is_drawn_on_the_scale_of_the_others() {
    let memory = |bytes| crate::incident::model::Memory {
        anon_bytes: Some(bytes),
        file_bytes: Some(0),
        shmem_bytes: Some(0),
        ..Default::default()
    };
    for size in [None, Some(16_384), Some(65_536)] {
        let mut incident = samples::memcg();
        let page = size.unwrap_or(4096);
        incident.page_size_bytes = size;
        let one = &incident.candidates[0];
        let killed = Candidate { points: Some(1000), ..one.clone() };
        let exempt = Candidate {
            pid: 7,
            eligible: false,
            exempt_reason: Some(crate::incident::model::ExemptReason::Init),
            points: None,
            memory: memory(500 * page),
            ..one.clone()
        };
        incident.candidates = vec![killed, exempt];
        let drawn = incident::page(&about(), &incident);
        assert!(drawn.contains(r#"class="exempt" x="0" y="0" width="500""#), "{page}: {drawn}");
    }
}

#[test]
fn what_is_absent_is_said_to_be_unknown() {
    let page = incident::page(&about(), &Incident { schema: 1, ..Incident::default() });
    assert!(page.contains("Growth</dt><dd><span class=\"unknown\">unknown</span>"), "{page}");
    assert!(page.contains("In OOM path</dt><dd><span class=\"unknown\">"), "{page}");
    let text: String =
        page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    assert!(!text.contains(" 0 ") && !text.contains("0 B") && !text.contains("NaN"), "{text}");
    let mut victim = samples::memcg();
    victim.victims[0].memory = crate::incident::model::Memory::default();
    let page = of_list(&[victim], "", false);
    assert!(page.contains("<td class=\"held num\" role=\"cell\"><span class=\"unknown\">"), "{page}");
}

#[test]
fn names_are_text_whatever_they_hold() {
    let mut incident = whole();
    let name = "<script>alert(1)</script>\"'&\u{202e}";
    incident.victims[0].comm = name.into();
    incident.candidates[0].comm = name.into();
    incident.scope.cgroup = Some(format!("/{name}"));
    incident.kernel_log = Some(name.into());
    incident.node = Some(name.into());
    incident.id = name.into();
    for page in [incident::page(&about(), &incident), of_list(std::slice::from_ref(&incident), name, true)] {
        html::check(&page).unwrap();
        assert_eq!(page.matches("<script").count(), 1, "ours only: {page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;\\u{202e}"), "{page}");
    }
}

#[test]
fn restart_loops_are_recognised() {
    let mut incidents = vec![samples::pod(), samples::memcg(), samples::pod()];
    incidents[2].recovery.as_mut().unwrap().kill_number = Some(3);
    let page = of_list(&incidents, "", false);
    assert_eq!(page.matches("4 kills in 6 min 6 s").count(), 1, "the last of them tells of all: {page}");
    assert!(!page.contains("3 kills in") && page.contains("3 in a row") && page.contains("4 in a row"));
    assert!(!of_list(&incidents[1..2], "", false).contains("Again and again"));
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

/// `OOM_PAGES=DIR cargo test -p oom-agent --lib write_the_pages -- --ignored`: to look at them in a browser. `OOM_INCIDENTS`:
/// a file with incidents as JSON, the oldest first, that become pages too (`real-*`).
#[test]
#[ignore = "writes files"]
fn write_the_pages() {
    let dir = std::env::var("OOM_PAGES").expect("a directory");
    let dir = Path::new(&dir);
    std::fs::create_dir_all(dir.join("assets")).unwrap();
    let mut all = all();
    if let Ok(path) = std::env::var("OOM_INCIDENTS") {
        let text = std::fs::read_to_string(path).unwrap();
        let mut incidents: Vec<Incident> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        incidents.reverse();
        let node = incidents.first().and_then(|first| first.node.clone());
        let about = About { node, sees: "everything".into(), ..About::default() };
        let list = list::List { incidents: &incidents, next: None, unreadable: 0, query: "", before: None };
        all.push(("real-list".into(), list::page(&about, &list)));
        for (at, incident) in incidents.iter().enumerate() {
            all.push((format!("real-{at}"), incident::page(&about, incident)));
        }
    }
    for (name, page) in all {
        std::fs::write(dir.join(name + ".html"), page).unwrap();
    }
    for asset in [assets::STYLE, assets::SCRIPT] {
        std::fs::write(dir.join("assets").join(asset.name()), asset.text).unwrap();
    }
}
