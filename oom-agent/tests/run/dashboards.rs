//! Every query of the dashboards, and the alerts on kills, by a real Prometheus that scrapes an agent while processes are
//! killed for lack of memory.

use crate::{
    prometheus::{Prometheus, encoded},
    support::{Cgroup, Daemon, label, wait_until},
};
use serde_json::Value;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What is shown, in seconds, and the distance of two points of a graph.
const RANGE: f64 = 60.0;
const STEP: f64 = 2.0;
const BOARDS: [&str; 3] = ["oom-overview", "oom-incident", "oom-agent-health"];
/// How often a process is killed in the cgroup in which it happens again and again.
const AGAIN: usize = 3;

/// What may have no data here: dashboard, panel, and why.
const MAY_BE_EMPTY: &[(&str, &str, &str)] = &[
    ("oom-overview", "Nothing could be killed", "everything here can be"),
    ("oom-overview", "annotation Machine out of memory", "it is not driven there"),
    ("oom-incident", "annotation Machine out of memory", "it is not driven there"),
    ("oom-overview", "variable cluster", "Prometheus sets no such label here"),
    ("oom-overview", "variable namespace", "nothing here is a pod"),
    ("oom-overview", "variable pod", "the same"),
    ("oom-incident", "variable cluster", "Prometheus sets no such label here"),
    ("oom-incident", "variable namespace", "nothing here is a pod"),
    ("oom-incident", "variable pod", "the same"),
    ("oom-agent-health", "variable cluster", "Prometheus sets no such label here"),
    ("oom-incident", "In the OOM path", "seen at the full level only"),
    ("oom-incident", "Points in the last incident", "where points decided, and were seen"),
    (
        "oom-incident",
        "Next victim's memory",
        "not known where points do not decide, or not all processes can be seen",
    ),
    ("oom-incident", "Next victim's points", "the same"),
    ("oom-incident", "Pages looked at and won", "not told by all kernels with the multi-generational LRU"),
    ("oom-incident", "Waits in reclaim", "from Linux 5.16 on"),
    ("oom-agent-health", "Names not found", "nothing here is a pod"),
    ("oom-agent-health", "Nodes below full", "at the full level there is none"),
    ("oom-agent-health", "Incidents sent", "nothing here is to be sent"),
    ("oom-agent-health", "Failed requests", "the same"),
    ("oom-agent-health", "Longest wait", "the same"),
];

struct Query {
    board: String,
    panel: String,
    expr: String,
    /// Now, not over time.
    instant: bool,
}

/// All that a dashboard asks: panels, marks, and the values of its variables.
fn queries(path: &Path) -> Vec<Query> {
    let board: Value = serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON");
    let name = board["uid"].as_str().expect("a uid").to_owned();
    let list = |at: &Value| at.as_array().expect("a list").clone();
    let query = |panel: String, expr: &Value, instant| Query {
        board: name.clone(),
        panel,
        expr: expr.as_str().expect("an expression").to_owned(),
        instant,
    };
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut queries = Vec::new();
    for panel in list(&board["panels"]).iter().filter(|panel| panel["type"] != "row") {
        for target in list(&panel["targets"]) {
            queries.push(query(text(&panel["title"]), &target["expr"], target["instant"] == true));
        }
    }
    for mark in list(&board["annotations"]["list"]) {
        queries.push(query(format!("annotation {}", text(&mark["name"])), &mark["expr"], false));
    }
    for variable in list(&board["templating"]["list"]).iter().filter(|it| it["type"] == "query") {
        let values = text(&variable["query"]["query"]);
        let (series, label) = values.rsplit_once(", ").expect("label_values(series, label)");
        let series = series.strip_prefix("label_values(").expect("label_values");
        let label = label.trim_end_matches(')');
        // Only what has the label is a value.
        let expr = match series.strip_suffix('}') {
            Some(begin) => format!("{begin}, {label}!=\"\"}}"),
            None => format!("{series}{{{label}!=\"\"}}"),
        };
        queries.push(query(format!("variable {}", text(&variable["name"])), &expr.into(), true));
    }
    queries
}

/// As Grafana fills it in.
fn filled(expr: &str, node: &str) -> String {
    let pairs = [
        ("$__rate_interval", "4s"),
        ("$__interval", "2s"),
        ("$__range_s", "60"),
        ("$__range", "60s"),
        ("$cluster", ".*"),
        ("$job", ".*"),
        ("$node", node),
        ("$namespace", ".*"),
        ("$pod", ".*"),
    ];
    pairs.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value))
}

/// The series that an answer has: labels, and the values that are numbers.
fn ask(prometheus: &Prometheus, expr: &str, instant: bool) -> Vec<(Value, Vec<f64>)> {
    let encoded = encoded(expr);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let path = if instant {
        format!("/api/v1/query?query={encoded}")
    } else {
        format!("/api/v1/query_range?query={encoded}&start={:.3}&end={now:.3}&step={STEP}", now - RANGE)
    };
    // HTTP/1.0: not in chunks.
    let mut stream = TcpStream::connect(&prometheus.address).expect("it listens");
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    assert_eq!(answer["status"], "success", "{expr}: {answer}");
    let number =
        |pair: &Value| pair[1].as_str().and_then(|it| it.parse().ok()).filter(|it: &f64| !it.is_nan());
    let series = |it: &Value| {
        let one = it.get("value").into_iter();
        let values = one.chain(it["values"].as_array().into_iter().flatten()).filter_map(number).collect();
        (it["metric"].clone(), values)
    };
    answer["data"]["result"].as_array().expect("a list").iter().map(series).collect()
}

#[test]
fn every_panel_has_data_and_alerts_fire() {
    let dashboards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let rules: Vec<PathBuf> =
        ["records", "alerts"].map(|it| dashboards.join(format!("rules/{it}.yaml"))).into();
    let (Some(again), Some(slow), Some(daemon)) =
        (Cgroup::make("again"), Cgroup::make("slow"), Daemon::start(&["--sample-every", "1s"]))
    else {
        return;
    };
    let Some(prometheus) = Prometheus::start(&daemon.address, &rules) else { return };
    let victims = |cgroup: &Cgroup| format!("sum(oom_victims_total{{cgroup=\"{}\"}})", label(cgroup.path()));
    wait_until("the cgroup is scraped", || prometheus.value(&victims(&again), None) == Some(0.0));
    // There is a point of each graph before the kills.
    wait_until("time has passed", || prometheus.value("oom_agent_build_info offset 4s", None).is_some());
    let mut grows = slow.grow();
    for _ in 0..AGAIN {
        again.fill();
    }
    // Made and killed between two scrapes, as far as that can be had.
    let born = Cgroup::make("born").expect("as the others");
    born.fill();
    wait_until("the kills are scraped", || prometheus.value(&victims(&born), None) == Some(1.0));
    let growth =
        format!("oom_cgroup_memory_growth_bytes_per_second{{cgroup=\"{}\"}} > 0", label(slow.path()));
    wait_until("growth is scraped", || prometheus.value(&growth, None).is_some());
    let firing =
        |alert: &str, by: &str| format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\", {by}}}");
    let alerts = [
        firing("OomKill", &format!("cgroup=\"{}\"", label(again.path()))),
        firing("OomRepeatedKills", &format!("place=\"{}\"", label(again.path()))),
    ];
    for alert in &alerts {
        wait_until(alert, || prometheus.value(alert, None).is_some());
    }

    let mut empty = Vec::new();
    let mut may_be_empty: Vec<_> = MAY_BE_EMPTY.to_vec();
    let all: Vec<Query> =
        BOARDS.iter().flat_map(|it| queries(&dashboards.join(it).with_extension("json"))).collect();
    for Query { board, panel, expr, instant } in &all {
        let excused = |(on, it, _): &(&str, &str, &str)| (*on, *it) == (board, panel);
        may_be_empty.retain(|it| !excused(it));
        let answer = ask(&prometheus, &filled(expr, &daemon.address), *instant);
        if answer.iter().any(|(_, values)| !values.is_empty()) {
            continue;
        }
        match MAY_BE_EMPTY.iter().find(|it| excused(it)) {
            Some((.., why)) => eprintln!("empty: {board}, {panel}: {why}"),
            None => empty.push(format!("{board}, {panel}: {expr}")),
        }
    }
    assert!(empty.is_empty() && all.len() > 50, "of {} without data:\n{}", all.len(), empty.join("\n"));
    assert!(may_be_empty.is_empty(), "not in the dashboards: {may_be_empty:?}");

    // As many as there were, also of the one that nobody saw before it was killed.
    let of = |board: &str, panel: &str| {
        let query =
            all.iter().find(|it| (it.board.as_str(), it.panel.as_str(), it.instant) == (board, panel, false));
        let query =
            query.or_else(|| all.iter().find(|it| (it.board.as_str(), it.panel.as_str()) == (board, panel)));
        let Query { expr, instant, .. } = query.expect("a panel");
        ask(&prometheus, &filled(expr, &daemon.address), *instant)
    };
    let bars = of("oom-incident", "Processes killed");
    for (cgroup, kills) in [(&again, AGAIN), (&born, 1)] {
        let values =
            bars.iter().filter(|(labels, _)| labels["cgroup"] == cgroup.path()).flat_map(|(_, it)| it);
        assert!((values.sum::<f64>() - kills as f64).abs() < 1e-9, "{bars:?}");
    }
    let repeated = of("oom-overview", "Repeat offenders");
    let row = repeated.iter().find(|(labels, _)| labels["place"] == again.path());
    let kills = row.and_then(|(_, values)| values.first().copied()).unwrap_or_default();
    // increase() takes it that before and after the samples it went on like that.
    assert!((kills - AGAIN as f64).abs() < 0.9, "{repeated:?}");
    drop(slow);
    grows.wait().expect("it was killed with its cgroup");
}
