//! Alerts: each has a test in which it fires, one in which it does not, and a runbook; promtool has nothing against them.

use super::{Part, directory, lint, queries};
use crate::process;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const LIMIT: Duration = Duration::from_mins(5);

/// Files in a directory of this extension, in order.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut paths: Vec<_> =
        paths.into_iter().filter(|it| it.extension().is_some_and(|it| it == extension)).collect();
    paths.sort();
    Ok(paths)
}

fn read(paths: &[PathBuf]) -> Result<String> {
    let read =
        |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    paths.iter().map(read).collect()
}

/// What is missing of what an alert must have.
pub(super) fn pairs() -> Result<Vec<String>> {
    let rules = directory().join("rules");
    let runbooks = process::workspace().join("docs/runbooks");
    let mut pages = BTreeMap::new();
    for path in files(&runbooks, "md")? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        pages.insert(name, read(&[path])?);
    }
    let rules_text = read(&files(&rules, "yaml")?)?;
    let mut wrong = missing(&rules_text, &read(&files(&rules.join("tests"), "yaml")?)?, &pages);
    let known = lint::metrics()?;
    let unknown = |metric: &&str| !known.contains(*metric) && !metric.contains(':');
    let without_comments: String =
        rules_text.lines().filter(|line| !line.trim().starts_with('#')).collect::<Vec<_>>().join("\n");
    wrong.extend(
        queries::metrics(&without_comments)
            .filter(unknown)
            .map(|it| format!("rules: the agent has no metric {it}")),
    );
    Ok(wrong)
}

/// By lines: the files are ours, and promtool reads them as YAML.
fn missing(rules: &str, tests: &str, pages: &BTreeMap<String, String>) -> Vec<String> {
    let field = |line: &str, name: &str| {
        line.trim().trim_start_matches("- ").strip_prefix(name).map(ToOwned::to_owned)
    };
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    let mut lines = tests.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(alert) = field(line, "alertname: ") else { continue };
        let expected = lines.peek().is_some_and(|next| next.trim() == "exp_alerts:");
        if expected {
            fires.insert(alert)
        } else {
            silent.insert(alert)
        };
    }
    let mut wrong = Vec::new();
    let mut alerts = BTreeSet::new();
    for block in rules.split("- alert: ").skip(1) {
        let alert = block.lines().next().unwrap_or_default().to_owned();
        let mut say = |what: &str| wrong.push(format!("alert {alert}: {what}"));
        if !fires.contains(&alert) {
            say("no test in which it fires");
        }
        if !silent.contains(&alert) {
            say("no test in which it does not fire");
        }
        for needed in ["severity: ", "summary: ", "description: "] {
            if !block.lines().any(|line| field(line, needed).is_some()) {
                say(&format!("no {needed}"));
            }
        }
        let page = format!("docs/runbooks/{alert}.md");
        if !block.lines().any(|line| field(line, "runbook_url: ").is_some_and(|it| it == page)) {
            say(&format!("its runbook_url is not {page}"));
        }
        let text = pages.get(&alert).map(String::as_str).unwrap_or_default();
        let headings = ["## Meaning", "## Impact", "## Look at", "## What helps", "## False alarms"];
        if !text.starts_with(&format!("# {alert}\n")) || !headings.iter().all(|it| text.contains(it)) {
            say(&format!("{page} is not there, or lacks one of {headings:?}"));
        }
        alerts.insert(alert);
    }
    let stale = pages.keys().filter(|page| !alerts.contains(*page) && *page != "README");
    wrong.extend(stale.map(|page| format!("docs/runbooks/{page}.md: there is no such alert")));
    if alerts.is_empty() {
        wrong.push("there are no alerts".to_owned());
    }
    wrong
}

/// The rules, their tests, and the syntax of every query of a dashboard.
pub(super) fn promtool() -> Result<Part> {
    if Command::new("promtool").arg("--version").output().is_err() {
        return Ok(Part::Skipped(
            "alerts and queries, since promtool (Debian: prometheus) is not installed".to_owned(),
        ));
    }
    let rules = directory().join("rules");
    let written = process::workspace().join("target/dashboards/queries.yaml");
    fs::create_dir_all(written.with_file_name("")).context("cannot make target/dashboards")?;
    fs::write(&written, as_rules()?).with_context(|| format!("cannot write {}", written.display()))?;
    for (how, files) in [
        (["check", "rules"], files(&rules, "yaml")?),
        (["test", "rules"], files(&rules.join("tests"), "yaml")?),
        (["check", "rules"], vec![written]),
    ] {
        let done = process::capture(Command::new("promtool").args(how).args(files), LIMIT)?;
        if !done.status.success() {
            return Ok(Part::Wrong(format!("promtool {}: {}{}", how.join(" "), done.stdout, done.stderr)));
        }
    }
    Ok(Part::Right)
}

/// All queries as recording rules, which promtool can parse. JSON is YAML.
fn as_rules() -> Result<String> {
    let mut rules = Vec::new();
    for path in files(&directory(), "json")? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let board: Value =
            serde_json::from_str(&read(&[path])?).with_context(|| format!("{name} is not JSON"))?;
        for (at, query) in queries::of(&name, &board).into_iter().enumerate() {
            let record = format!("{}:{at}", name.replace('-', "_"));
            rules.push(serde_json::json!({"record": record, "expr": queries::filled(&query.expr), "labels": {"place": query.place}}));
        }
    }
    Ok(serde_json::json!({"groups": [{"name": "queries", "rules": rules}]}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str =
        "- alert: A\n  severity: x\n  summary: x\n  description: x\n  runbook_url: docs/runbooks/A.md\n";
    const FIRES: &str = "- alertname: A\n  exp_alerts:\n    - x\n";
    const SILENT: &str = "- alertname: A\n";

    fn page(text: &str) -> BTreeMap<String, String> {
        [("A".to_owned(), text.to_owned())].into()
    }

    #[test]
    fn what_an_alert_lacks_is_named() {
        let whole = page("# A\n## Meaning\n## Impact\n## Look at\n## What helps\n## False alarms\n");
        assert_eq!(missing(RULE, &format!("{FIRES}{SILENT}"), &whole), Vec::<String>::new());
        let says = |wrong: Vec<String>, what: &str| {
            assert!(wrong.len() == 1 && wrong[0].contains(what), "{what}: {wrong:?}");
        };
        says(missing(RULE, SILENT, &whole), "in which it fires");
        says(missing(RULE, FIRES, &whole), "in which it does not fire");
        says(
            missing(RULE, &format!("{FIRES}{SILENT}"), &page("# A\n## Meaning\n")),
            "is not there, or lacks",
        );
        says(missing(&RULE.replace("severity", "x"), &format!("{FIRES}{SILENT}"), &whole), "no severity");
        says(missing(&RULE.replace("A.md", "B.md"), &format!("{FIRES}{SILENT}"), &whole), "runbook_url");
        assert_eq!(missing("", "", &whole).len(), 2, "a page without an alert, and no alert");
    }
}
