//! "OOM overview": the fleet.

use super::{
    board::{Board, NODES, PODS, agents, annotation, by_point, in_range, pods, to_board},
    panel::{Panel, bar_gauge, bars, stat, table},
};
use serde_json::{Value, json};

const KILLS: &str = "short";

pub(super) fn board() -> Board {
    let mut variables = agents(true);
    variables.extend(pods());
    Board {
        uid: "oom-overview",
        title: "OOM overview",
        description: "What Linux killed for lack of memory, on all nodes: where, how often, why, and what is \
             next.",
        from: "now-24h",
        variables,
        annotations: vec![annotation(
            "Machine out of memory",
            "red",
            &format!(
                "sum by (instance, scope) ({}) > 0",
                by_point(&format!(r#"oom_incidents_total{{{NODES}, scope=~"global|cpuset|memory_policy"}}"#))
            ),
            "{{instance}} ran out of memory",
            "{{scope}}",
        )],
        links: vec![
            to_board("OOM incident", "One node or pod: memory, reclaim and kills", "oom-incident"),
            to_board("OOM agent health", "What the agents see, and what they have lost", "oom-agent-health"),
        ],
        rows: vec![("At a glance", glance()), ("Where and why", places()), ("Again, and next", next())],
    }
}

fn glance() -> Vec<Panel> {
    let victims = format!("oom_victims_total{{{PODS}}}");
    let incidents = format!("oom_incidents_total{{{NODES}}}");
    let wide = format!(r#"oom_incidents_total{{{NODES}, scope=~"global|cpuset|memory_policy"}}"#);
    vec![
        stat(
            "OOM kills",
            "Decisions of the OOM killer on these nodes in the time shown, whoever they hit.",
            KILLS,
        )
        .query("", format!("sum({})", in_range(&incidents)))
        .decimals(0)
        .steps("green", &[(0.5, "orange")]),
        stat("Processes killed", "All victims in the time shown: a group kill takes several.", KILLS)
            .query("", format!("sum({})", in_range(&victims)))
            .decimals(0)
            .steps("green", &[(0.5, "orange")]),
        stat(
            "Machine out of memory",
            "Kills for the machine's own memory, not for a cgroup's limit: anything on the node may \
             be hit.",
            KILLS,
        )
        .query("", format!("sum({})", in_range(&wide)))
        .decimals(0)
        .steps("green", &[(0.5, "red")]),
        stat("Nodes with kills", "Nodes on which the OOM killer decided in the time shown.", KILLS)
            .query(
                "",
                format!("count(sum by (cluster, job, instance) ({}) > 0) or vector(0)", in_range(&incidents)),
            )
            .decimals(0)
            .steps("green", &[(0.5, "orange")]),
        stat(
            "Nearly full cgroups",
            "Memory cgroups with less than 10 % of their limit left. Page cache counts as used, and \
             is taken back when needed.",
            KILLS,
        )
        .query("", format!("count({} < 0.1) or vector(0)", headroom()))
        .decimals(0)
        .steps("green", &[(0.5, "yellow")]),
        stat(
            "Nodes watched",
            "Agents that were scraped. What is not watched tells nothing: see OOM agent health.",
            KILLS,
        )
        .query("", format!("count(oom_agent_build_info{{{NODES}}})"))
        .decimals(0),
    ]
}

fn places() -> Vec<Panel> {
    let victims = format!("oom_victims_total{{{PODS}}}");
    let incidents = format!("oom_incidents_total{{{NODES}}}");
    let diagnoses = format!("oom_diagnoses_total{{{NODES}}}");
    vec![
        bars(
            "Processes killed by namespace",
            "Victims by the namespace of their pod. (no pod): services and containers that are not \
             Kubernetes'.",
            KILLS,
        )
        .query(
            "{{namespace}}",
            named(&format!("sum by (namespace) ({}) > 0", by_point(&victims)), "namespace"),
        )
        .decimals(0)
        .nothing("no kills"),
        bars(
            "OOM kills by scope",
            "Whose memory was full: the machine's (global), a memory cgroup's at its limit (memcg), \
             the nodes of a cpuset or of a NUMA policy; or an operator's sysrq-f.",
            KILLS,
        )
        .query("{{scope}}", format!("sum by (scope) ({}) > 0", by_point(&incidents)))
        .decimals(0)
        .nothing("no kills"),
        bar_gauge(
            "Processes killed by workload",
            "The ten with most victims in the time shown. A workload is what Kubernetes' API says, else a pod's name without \
             what its controller appends, or the cgroup of what is not in a pod.",
            KILLS,
        )
        .query(
            "{{namespace}} {{workload}}",
            format!(
                "sort_desc(topk(10, sum by (namespace, workload) ({}) > 0.5))",
                workload(&in_range(&victims))
            ),
        )
        .decimals(0)
        .size(12, 9)
        .nothing("no kills"),
        bar_gauge(
            "Diagnoses",
            "How many incidents in the time shown were explained so (docs/oom-killer.md). An incident \
             may have several explanations, so they add up to more than the kills.",
            KILLS,
        )
        .query("{{code}}", format!("sort_desc(topk(12, sum by (code) ({}) > 0.5))", in_range(&diagnoses)))
        .decimals(0)
        .size(12, 9)
        .nothing("no kills"),
    ]
}

fn next() -> Vec<Panel> {
    let selected = format!(r#"oom_victims_total{{{PODS}, role="selected"}}"#);
    let incidents = format!("oom_incidents_total{{{NODES}}}");
    let by = "cluster, instance, namespace, pod, container, place";
    let repeated = format!("topk(20, sum by ({by}) ({}) > 1.5)", place(&in_range(&selected)));
    let near = format!("bottomk(20, {})", headroom());
    let of = |what: &str| {
        format!(
            "max by (cluster, instance, namespace, pod, container, cgroup) ({what}) and on (cluster, \
             instance, cgroup) {near}"
        )
    };
    let usage = format!("oom_cgroup_memory_usage_bytes{{{PODS}}}");
    let limit = format!("oom_cgroup_memory_limit_bytes{{{PODS}}}");
    let growth = format!("oom_cgroup_memory_growth_bytes_per_second{{{PODS}}}");
    vec![
        table("Repeat offenders", "Where the OOM killer decided more than once in the time shown. A pod's container that is \
             started again counts as the same.")
            .query("", repeated)
            .column("instance", "Node")
            .column("namespace", "Namespace")
            .column("pod", "Pod")
            .column("container", "Container")
            .column("place", "Cgroup")
            .value("Value", "Kills", "short")
            .property("Node", "links", &to_incident())
            .sort_by("Kills", true)
            .size(24, 8)
            .nothing("nothing was killed twice"),
        table("Least headroom", "The twenty memory cgroups that are nearest to their limit. Page cache counts as used, \
             and is taken back when needed. Full in: at the rate of the last 10 minutes.")
            .query("", of(&headroom()))
            .query("", of(&usage))
            .query("", of(&limit))
            .query("", of(&growth))
            .query("", of(&format!("({limit} - {usage}) / ({growth} > 0)")))
            .column("instance", "Node")
            .column("namespace", "Namespace")
            .column("pod", "Pod")
            .column("container", "Container")
            .column("cgroup", "Cgroup")
            .value("Value #A", "Headroom", "percentunit")
            .value("Value #B", "Used", "bytes")
            .value("Value #C", "Limit", "bytes")
            .value("Value #D", "Growth", "binBps")
            .value("Value #E", "Full in", "s")
            .property("Headroom", "thresholds", &json!({"mode": "absolute", "steps": [
                {"value": null, "color": "red"}, {"value": 0.05, "color": "orange"}, {"value": 0.2, "color": "green"},
            ]}))
            .property("Headroom", "custom.cellOptions", &json!({"type": "color-text"}))
            .property("Node", "links", &to_incident())
            .sort_by("Headroom", false)
            .size(24, 9)
            .nothing("no memory cgroup has a limit"),
        bars("Storms", "OOM kills by node, of the five with most at each point. More than 20 within 5 minutes is \
             an alert.", KILLS)
            .query("{{instance}}", format!("topk(5, sum by (instance) ({}) > 0)", by_point(&incidents)))
            .decimals(0)
            .nothing("no kills"),
        bars("Nothing could be killed", "Calls of the OOM killer that found no process that it may kill. The one that asked tries \
             again, or fails.", KILLS)
            .query("{{instance}}", format!("topk(5, sum by (instance) ({}) > 0)", by_point(&format!("oom_none_killable_calls_total{{{NODES}}}"))))
            .decimals(0)
            .nothing("none"),
    ]
}

fn headroom() -> String {
    format!("1 - oom_cgroup_memory_usage_bytes{{{PODS}}} / oom_cgroup_memory_limit_bytes{{{PODS}}}")
}

/// What has no such label has a word for it.
fn named(expr: &str, label: &str) -> String {
    format!(r#"label_replace({expr}, "{label}", "(no pod)", "{label}", "")"#)
}

/// A pod's name without what its controller (`ReplicaSet`, `StatefulSet`, `DaemonSet`, `Job`) appends to its own.
fn workload(expr: &str) -> String {
    let all = format!(r#"label_join({expr}, "workload", "|", "workload", "pod", "cgroup")"#);
    // One after the other: what the API server says, a pod without its suffix, with it, a cgroup. None has a | any more when
    // it was found.
    let parts = [
        "[^|]*/([^|]+)[|].*",
        "[|]([^|]+?)(?:-[a-f0-9]{6,10})?-(?:[a-z0-9]{5}|[0-9]+)[|].*",
        "[|]([^|]+)[|].*",
        "[|][|](.+)",
    ];
    parts
        .iter()
        .fold(all, |expr, part| format!(r#"label_replace({expr}, "workload", "$1", "workload", "{part}")"#))
}

/// The same as in the recording rules: a pod's cgroup for each that was ever below it.
fn place(expr: &str) -> String {
    let cgroup = format!(r#"label_replace({expr}, "place", "$1", "cgroup", "(.+)")"#);
    format!(r#"label_replace({cgroup}, "place", "$1/*", "cgroup", "(.*kubepods.*/[^/]*pod[^/]*)/.+")"#)
}

fn to_incident() -> Value {
    json!([{
        "title": "OOM incident",
        "url": "/d/oom-incident?var-node=${__value.raw}&${datasource:queryparam}&${cluster:queryparam}&${job:queryparam}&${__url_time_range}",
    }])
}
