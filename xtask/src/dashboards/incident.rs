//! "OOM incident": one node, or a pod on it, around its kills.

use super::{
    board::{Board, NODES, PODS, agents, annotation, by_point, in_range, link, pods, to_board},
    panel::{Panel, bars, lines, stat, table},
};
use serde_json::json;

pub(super) fn board() -> Board {
    let mut variables = agents(false);
    variables.extend(pods());
    variables.push(json!({
        "name": "logs", "label": "Logs", "description": "The Loki that incidents are sent to, if there is one: for the link.",
        "type": "datasource", "query": "loki", "refresh": 1, "regex": "", "multi": false, "includeAll": false,
        "options": [], "hide": 0,
    }));
    let kills = by_point(&format!("oom_victims_total{{{PODS}}}"));
    let wide = by_point(&format!(r#"oom_incidents_total{{{NODES}, scope=~"global|cpuset|memory_policy"}}"#));
    let explore = r#"/explore?schemaVersion=1&panes={"oom":{"datasource":"${logs}","queries":[{"refId":"A","expr":"{service_name=\"oom-agent\"} |= \"${node}\""}],"range":{"from":"${__from}","to":"${__to}"}}}"#;
    Board {
        uid: "oom-incident",
        title: "OOM incident",
        description: "One node, or a pod on it: memory and reclaim around its OOM kills.",
        from: "now-3h",
        variables,
        annotations: vec![
            annotation(
                "Kills",
                "orange",
                &format!("sum by (namespace, pod, container, cgroup) ({kills}) > 0"),
                "OOM kill {{namespace}} {{pod}} {{container}}",
                "{{cgroup}}",
            ),
            annotation(
                "Machine out of memory",
                "red",
                &format!("sum by (scope) ({wide}) > 0"),
                "The machine was out of memory",
                "{{scope}}",
            ),
        ],
        links: vec![
            link(
                "The node's page",
                "Incidents in full, on the node itself",
                "external link",
                "http://${node}/",
                false,
            ),
            link("Logs", "Incidents in the log store", "doc", explore, false),
            to_board("OOM overview", "All nodes", "oom-overview"),
            to_board("OOM agent health", "What the agents see, and what they have lost", "oom-agent-health"),
        ],
        rows: vec![
            ("Kills", kills_row()),
            ("Memory", memory()),
            ("Reclaim on the node", reclaim()),
            ("The kill itself", kill()),
        ],
    }
}

fn kills_row() -> Vec<Panel> {
    let victims = format!("oom_victims_total{{{PODS}}}");
    let diagnoses = format!("oom_diagnoses_total{{{NODES}}}");
    vec![
        stat(
            "Last kill",
            "When the OOM killer last decided on this node, whoever it hit.",
            "dateTimeFromNow",
        )
        .query("", format!("max(oom_last_incident_timestamp_seconds{{{NODES}}}) * 1000"))
        .size(6, 4)
        .nothing("never"),
        stat("Processes killed", "Victims in the time shown, in what is chosen above.", "short")
            .query("", format!("sum({})", in_range(&victims)))
            .decimals(0)
            .steps("green", &[(0.5, "orange")])
            .size(6, 4),
        stat(
            "Next victim's memory",
            "What the process holds that the kernel would choose if the machine ran out of memory \
             now. oom-agent rank names it.",
            "bytes",
        )
        .query("", format!("max(oom_next_victim_memory_bytes{{{NODES}}})"))
        .size(6, 4)
        .nothing("not known"),
        stat(
            "Level",
            "How much the kernel lets the agent see: everything by BPF (full), victims by BPF \
             (tracepoint), only its log (kmsg).",
            "short",
        )
        .query("{{level}}", format!("oom_agent_level{{{NODES}}} == 1"))
        .size(6, 4)
        .shows_name(),
        bars(
            "Processes killed",
            "Victims by cgroup and role: chosen (selected), with its group (group), for sharing \
             memory (shared_memory), or dying anyway (already_dying).",
            "short",
        )
        .query(
            "{{name}} {{role}}",
            named(&format!("sum by (pod, container, cgroup, role) ({}) > 0", by_point(&victims))),
        )
        .decimals(0)
        .size(16, 9)
        .nothing("no kills"),
        table(
            "Diagnoses",
            "Explanations of this node's incidents in the time shown, and how sure they are. \
             docs/oom-killer.md says what helps.",
        )
        .query("", format!("sort_desc(sum by (code, confidence) ({}) > 0.5)", in_range(&diagnoses)))
        .column("code", "Diagnosis")
        .column("confidence", "Confidence")
        .value("Value", "Incidents", "short")
        .sort_by("Incidents", true)
        .size(8, 9)
        .nothing("no kills"),
    ]
}

fn memory() -> Vec<Panel> {
    let usage = format!("oom_cgroup_memory_usage_bytes{{{PODS}}}");
    let limit = format!("oom_cgroup_memory_limit_bytes{{{PODS}}}");
    let growth = format!("oom_cgroup_memory_growth_bytes_per_second{{{PODS}}}");
    let legend = "{{name}}";
    vec![
        lines(
            "Memory in use",
            "Of memory cgroups with a limit, the ten that use most of it. With page cache, which is \
             taken back when needed.",
            "bytes",
        )
        .query(legend, named(&format!("{usage} and topk(10, {usage} / {limit})")))
        .range(0.0, None),
        lines(
            "Part of the limit",
            "The same by their limit. At 100 % reclaim begins; what it cannot take back ends in a \
             kill.",
            "percentunit",
        )
        .query(legend, named(&format!("topk(10, {usage} / {limit})")))
        .range(0.0, Some(1.0)),
        lines(
            "Growth",
            "How fast the use of memory grew over the agent's samples of the last 10 minutes, the ten \
             fastest.",
            "binBps",
        )
        .query(legend, named(&format!("topk(10, {growth})")))
        .nothing("not yet known"),
        lines(
            "Full in",
            "Time until the limit is reached at that rate, below a day. The alert OomLimitAhead looks \
             at 30 minutes.",
            "s",
        )
        .query(legend, named(&format!("bottomk(10, ({limit} - {usage}) / ({growth} > 0) < 86400)")))
        .range(0.0, None)
        .nothing("nothing grows towards its limit"),
        lines(
            "Next victim's points",
            "Of the process that the kernel would choose if the machine ran out of memory now, in \
             pages, with what oom_score_adj adds. A steep rise is a process that grows.",
            "short",
        )
        .query("next victim", format!("max(oom_next_victim_points{{{NODES}}})"))
        .nothing("not known"),
        lines(
            "Points in the last incident",
            "The chosen process and the one that would have been next, by scope. Close together: it \
             might have been the other one.",
            "short",
        )
        .query("{{scope}} {{candidate}}", format!("oom_last_incident_points{{{NODES}}}"))
        .nothing("not seen"),
    ]
}

fn reclaim() -> Vec<Panel> {
    let rate = |name: &str| format!("sum by (kind) (rate({name}{{{NODES}}}[$__rate_interval]))");
    vec![
        lines(
            "Time in reclaim",
            "Of tasks that had to make room themselves: seconds in a second, so 1 is one task all the \
             time. direct: the machine was short of free memory; memcg: a cgroup was at its limit.",
            "short",
        )
        .query("{{kind}}", rate("oom_reclaim_seconds_total"))
        .range(0.0, None),
        lines("Rounds of reclaim", "How often tasks began to make room.", "ops")
            .query("{{kind}}", rate("oom_reclaim_rounds_total"))
            .range(0.0, None),
        lines(
            "Pages looked at and won",
            "What reclaim scanned and what it freed. Much looked at and little won comes before a \
             kill.",
            "short",
        )
        .query("{{kind}} scanned", rate("oom_reclaim_scanned_pages_total"))
        .query("{{kind}} reclaimed", rate("oom_reclaim_reclaimed_pages_total"))
        .range(0.0, None),
        lines(
            "Waits in reclaim",
            "For writeback, or for others that reclaim: seconds in a second. From Linux 5.16 on.",
            "short",
        )
        .query(
            "waits",
            format!("sum(rate(oom_reclaim_throttled_seconds_total{{{NODES}}}[$__rate_interval]))"),
        )
        .range(0.0, None)
        .nothing("not seen"),
    ]
}

fn kill() -> Vec<Panel> {
    let quantiles = |panel: Panel, name: &str| {
        [("median", "0.5"), ("95 %", "0.95")].into_iter().fold(panel, |panel, (legend, quantile)| {
            panel.query(
                legend,
                format!(
                    "histogram_quantile({quantile}, sum by (le) ({})) >= 0",
                    in_range(&format!("{name}_bucket{{{NODES}}}"))
                ),
            )
        })
    };
    let stats = [
        quantiles(
            stat(
                "In the OOM path",
                "Time in out_of_memory, in which nobody else on the machine can enter it, of incidents in \
             the time shown. Seen at the full level only.",
                "s",
            ),
            "oom_path_seconds",
        ),
        quantiles(
            stat(
                "From kill to exit",
                "Time from SIGKILL to the exit of the last thread, of victims in the time shown. Their \
             memory comes back about then.",
                "s",
            ),
            "oom_kill_to_exit_seconds",
        ),
        quantiles(
            stat(
                "Stalled before",
                "Time that the task whose allocation failed had spent in reclaim before the OOM killer \
             was called, of incidents in the time shown.",
                "s",
            ),
            "oom_reclaim_stall_seconds",
        ),
    ];
    stats.into_iter().map(|panel| panel.size(8, 5).nothing("not seen")).collect()
}

/// A label `name` that a legend has room for: pod and container, or the end of the cgroup's path.
fn named(expr: &str) -> String {
    let whole = format!(r#"label_replace({expr}, "name", "$1", "cgroup", "(.+)")"#);
    let end = format!(r#"label_replace({whole}, "name", "...$1", "cgroup", ".{{8,}}(.{{40}})")"#);
    let pod = format!(r#"label_replace({end}, "name", "$1", "pod", "(.+)")"#);
    format!(r#"label_join({pod}, "name", " ", "name", "container")"#)
}
