//! What must be true of a dashboard's file, whoever wrote it.

use super::{directory, queries};
use crate::process;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

/// Variables that Grafana has itself.
const BUILT_IN: &[&str] = &[
    "__range",
    "__range_s",
    "__interval",
    "__rate_interval",
    "__value",
    "__all",
    "__from",
    "__to",
    "__url_time_range",
];
/// Metrics of others than the agent, where they are scraped.
const OF_OTHERS: &[&str] =
    &["container_memory_working_set_bytes", "container_spec_memory_limit_bytes", "scrape_duration_seconds"];

/// What is wrong with the files in dashboards/.
pub(super) fn all() -> Result<Vec<String>> {
    let known = metrics()?;
    let mut wrong = Vec::new();
    let mut uids = BTreeSet::new();
    let directory = directory();
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let board: Value = serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))?;
        wrong.extend(board_is(&name, &text, &board, &known));
        if !uids.insert(board["uid"].to_string()) {
            wrong.push(format!("{name}: its uid is another's, too"));
        }
    }
    if uids.len() < 3 {
        wrong.push(format!("{}: fewer than three dashboards", directory.display()));
    }
    Ok(wrong)
}

/// The names that the agent tells, by its golden.
pub(super) fn metrics() -> Result<BTreeSet<String>> {
    let path = process::workspace().join("oom-agent/src/sink/metrics/goldens/all.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let names =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    Ok(names.chain(OF_OTHERS.iter().copied()).map(ToOwned::to_owned).collect())
}

fn board_is(name: &str, text: &str, board: &Value, known: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |what: String| wrong.push(format!("{name}: {what}"));
    if board["uid"] != name {
        say(format!("its uid is {}, not its file's name", board["uid"]));
    }
    if board["schemaVersion"].as_u64().is_none_or(|version| version < 42) || !board["id"].is_null() {
        say("schemaVersion is not current, or it has an id of one Grafana".to_owned());
    }
    let names: BTreeSet<_> = list(board, "/templating/list").filter_map(|it| it["name"].as_str()).collect();
    for unknown in queries::variables(text).filter(|it| !names.contains(it) && !BUILT_IN.contains(it)) {
        say(format!("${unknown} is not a variable"));
    }
    for query in queries::of(name, board) {
        for metric in queries::metrics(&query.expr).filter(|it| !known.contains(*it)) {
            say(format!("{}: the agent has no metric {metric}", query.place));
        }
    }
    for variable in list(board, "/templating/list") {
        if variable["description"].as_str().is_none_or(str::is_empty) {
            say(format!("variable {} has no description", variable["name"]));
        }
    }
    let mut places: Vec<[u64; 4]> = Vec::new();
    let mut ids = BTreeSet::new();
    for panel in list(board, "/panels") {
        let title = panel["title"].as_str().unwrap_or_default();
        if title.is_empty() || !ids.insert(panel["id"].to_string()) {
            say(format!("panel {title:?} has no title, or the id of another"));
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap_or_default());
        let beside =
            |[x2, y2, w2, h2]: &[u64; 4]| x + w <= *x2 || x2 + w2 <= x || y + h <= *y2 || y2 + h2 <= y;
        if w == 0 || h == 0 || x + w > 24 || !places.iter().all(beside) {
            say(format!("panel {title:?} is on another or outside"));
        }
        places.push([x, y, w, h]);
        if panel["type"] != "row" {
            for what in panel_is(panel) {
                say(format!("panel {title:?}: {what}"));
            }
        }
    }
    wrong
}

fn panel_is(panel: &Value) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if panel["description"].as_str().is_none_or(|it| it.len() < 15 || !it.ends_with('.')) {
        wrong.push("no description, or not a sentence");
    }
    if panel.pointer("/fieldConfig/defaults/unit").and_then(Value::as_str).is_none_or(str::is_empty) {
        wrong.push("no unit");
    }
    if panel["datasource"]["uid"] != "${datasource}" {
        wrong.push("its data source is not the variable");
    }
    let targets: Vec<_> = list(panel, "/targets").collect();
    if targets.is_empty() {
        wrong.push("no query");
    }
    let refs: BTreeSet<_> = targets.iter().map(|it| it["refId"].to_string()).collect();
    if refs.len() != targets.len() {
        wrong.push("two queries with one refId");
    }
    for target in &targets {
        if target["datasource"]["uid"] != "${datasource}" {
            wrong.push("the data source of a query is not the variable");
        }
        let expr = target["expr"].as_str().unwrap_or_default();
        // A panel that forgets the variables shows others' data.
        if !expr.contains(r#"instance=~"$node""#) {
            wrong.push("a query does not select the node");
        }
        if panel["type"] == "timeseries" && target["legendFormat"].as_str().is_none_or(str::is_empty) {
            wrong.push("a curve has no name");
        }
    }
    wrong
}

fn list<'a>(value: &'a Value, at: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboards::boards;
    use serde_json::json;

    #[test]
    fn faults_are_found() {
        let known = metrics().unwrap();
        let (_, text) = boards().unwrap().remove(0);
        let right: Value = serde_json::from_str(&text).unwrap();
        let wrong = |board: &Value| board_is("oom-overview", &board.to_string(), board, &known);
        assert_eq!(wrong(&right), Vec::<String>::new());
        let expr = "/panels/1/targets/0/expr";
        let faults = [
            ("its uid is", "/uid", json!("x")),
            ("schemaVersion", "/schemaVersion", json!(36)),
            ("$nowhere is not a variable", expr, json!(r#"up{instance=~"$node", a="$nowhere"}"#)),
            ("no metric oom_none", expr, json!(r#"oom_none{instance=~"$node"}"#)),
            ("does not select the node", expr, json!("up")),
            ("no description", "/panels/1/description", json!("kills")),
            ("no unit", "/panels/1/fieldConfig/defaults/unit", Value::Null),
            ("not the variable", "/panels/1/datasource/uid", json!("prometheus")),
            ("is on another", "/panels/2/gridPos", right["panels"][1]["gridPos"].clone()),
            ("the id of another", "/panels/2/id", right["panels"][1]["id"].clone()),
        ];
        for (says, place, value) in faults {
            let mut board = right.clone();
            *board.pointer_mut(place).unwrap() = value;
            let wrong = wrong(&board);
            assert!(wrong.iter().any(|it| it.contains(says)), "{says}: {wrong:?}");
        }
    }
}
