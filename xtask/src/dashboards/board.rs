//! A dashboard: its variables, its links, and where its panels are.

use super::panel::{Panel, source};
use serde_json::{Value, json};

/// Grafana 12.1 and later write this one; older ones read it.
const SCHEMA_VERSION: u64 = 42;
const COLUMNS: u64 = 24;

/// Which agents: as every query selects them.
pub(super) const NODES: &str = r#"cluster=~"$cluster", job=~"$job", instance=~"$node""#;
/// Which of their cgroups.
pub(super) const PODS: &str =
    r#"cluster=~"$cluster", job=~"$job", instance=~"$node", namespace=~"$namespace", pod=~"$pod""#;

/// A dashboard, before it is JSON.
pub(super) struct Board {
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// How far back it looks at first: `now-24h`.
    pub(super) from: &'static str,
    pub(super) variables: Vec<Value>,
    pub(super) annotations: Vec<Value>,
    pub(super) links: Vec<Value>,
    /// Panels below headings.
    pub(super) rows: Vec<(&'static str, Vec<Panel>)>,
}

impl Board {
    pub(super) fn json(&self) -> Value {
        let mut panels = Vec::new();
        let mut y = 0;
        for (title, row) in &self.rows {
            panels.push(json!({
                "id": panels.len() + 1, "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            }));
            y = place(row, y + 1, &mut panels);
        }
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["oom-agent"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "1m",
            "time": {"from": self.from, "to": "now"},
            "links": self.links,
            "annotations": {"list": self.annotations},
            "templating": {"list": self.variables},
            "panels": panels,
        })
    }
}

/// From left to right, in lines as high as their highest. Gives the row below.
fn place(row: &[Panel], mut y: u64, panels: &mut Vec<Value>) -> u64 {
    let (mut x, mut height) = (0, 0);
    for panel in row {
        let (width, own) = panel.extent();
        if x + width > COLUMNS {
            (x, y, height) = (0, y + height, 0);
        }
        panels.push(panel.json(panels.len() as u64 + 1, x, y));
        x += width;
        height = height.max(own);
    }
    y + height
}

/// A variable whose values are those of a label.
fn label(name: &str, title: &str, description: &str, query: &str, many: bool) -> Value {
    let mut variable = json!({
        "name": name,
        "label": title,
        "description": description,
        "type": "query",
        "datasource": source(),
        "query": {"qryType": 1, "query": query, "refId": format!("variable-{name}")},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "regex": "",
        "multi": many,
        "includeAll": many,
        "options": [],
        "hide": 0,
    });
    if many {
        // Also what has no such label: a node outside of Kubernetes.
        variable["allValue"] = json!(".*");
        variable["current"] = json!({"text": ["All"], "value": ["$__all"]});
    }
    variable
}

/// Where the data is, which cluster, which agents.
pub(super) fn agents(many_nodes: bool) -> Vec<Value> {
    vec![
        json!({
            "name": "datasource", "label": "Data source", "description": "The Prometheus that scrapes the agents.",
            "type": "datasource", "query": "prometheus", "refresh": 1, "regex": "", "multi": false,
            "includeAll": false, "options": [], "hide": 0,
        }),
        label(
            "cluster",
            "Cluster",
            "Where Prometheus sets this label.",
            "label_values(oom_agent_build_info, cluster)",
            true,
        ),
        label(
            "job",
            "Job",
            "The scrape job of the agents.",
            r#"label_values(oom_agent_build_info{cluster=~"$cluster"}, job)"#,
            true,
        ),
        label(
            "node",
            "Node",
            "The label instance of the agents' metrics.",
            r#"label_values(oom_agent_build_info{cluster=~"$cluster", job=~"$job"}, instance)"#,
            many_nodes,
        ),
    ]
}

/// Which namespaces and pods.
pub(super) fn pods() -> Vec<Value> {
    vec![
        label(
            "namespace",
            "Namespace",
            "Of the victim's pod. All: also what is not in a pod.",
            r#"label_values(oom_victims_total{cluster=~"$cluster", job=~"$job", instance=~"$node"}, namespace)"#,
            true,
        ),
        label(
            "pod",
            "Pod",
            "The victim's. All: also what is not in a pod.",
            r#"label_values(oom_victims_total{cluster=~"$cluster", job=~"$job", instance=~"$node", namespace=~"$namespace"}, pod)"#,
            true,
        ),
    ]
}

/// A mark in every graph of the dashboard wherever `expr` is there.
pub(super) fn annotation(name: &str, colour: &str, expr: &str, title: &str, text: &str) -> Value {
    json!({
        "name": name, "enable": true, "hide": false, "iconColor": colour, "datasource": source(),
        "expr": expr, "step": "1m", "titleFormat": title, "textFormat": text, "useValueForTime": false,
    })
}

/// To another dashboard, with what is chosen here.
pub(super) fn to_board(title: &str, tooltip: &str, uid: &str) -> Value {
    link(
        title,
        tooltip,
        "dashboard",
        &format!("/d/{uid}?${{datasource:queryparam}}&${{cluster:queryparam}}&${{job:queryparam}}"),
        true,
    )
}

/// To anywhere.
pub(super) fn link(title: &str, tooltip: &str, icon: &str, url: &str, keep_time: bool) -> Value {
    json!({
        "title": title, "tooltip": tooltip, "type": "link", "icon": icon, "url": url, "tags": [],
        "asDropdown": false, "includeVars": false, "keepTime": keep_time, "targetBlank": !url.starts_with("/d/"),
    })
}

/// How much a counter has grown over the whole time that is shown, also where it was not there at the begin: a cgroup that is
/// made and killed between two scrapes begins with 1, which `increase()` does not see. That counts if its agent was scraped
/// before, or has been started since.
pub(super) fn in_range(series: &str) -> String {
    let began = format!(
        "((min_over_time({series}[$__range]) unless {series} offset $__range) \
         and on (cluster, job, instance) \
         (oom_agent_build_info offset $__range or process_start_time_seconds > time() - $__range_s))"
    );
    format!("((increase({series}[$__range]) + {began}) or increase({series}[$__range]) or {began})")
}

/// How much a counter has grown since the point before, in whole numbers: one kill is 1 and not 1.25, as it would be with
/// `increase()` over so short a time. After a restart of the agent, and of what was not there before: its value.
pub(super) fn by_point(series: &str) -> String {
    format!(
        "(({series} - {series} offset $__interval >= 0) \
         or ({series} and on (cluster, job, instance) (oom_agent_build_info offset $__interval)))"
    )
}
