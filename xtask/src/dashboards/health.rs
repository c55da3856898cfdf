//! "OOM agent health": what the agents see, what they have lost, what they cost.

use super::{
    board::{Board, NODES, agents, by_point, to_board},
    panel::{Panel, bars, lines, stat, table},
};
use serde_json::json;

pub(super) fn board() -> Board {
    Board {
        uid: "oom-agent-health",
        title: "OOM agent health",
        description: "What the agents see, what they have lost, and what they cost.",
        from: "now-24h",
        variables: agents(true),
        annotations: Vec::new(),
        links: vec![
            to_board("OOM overview", "All nodes", "oom-overview"),
            to_board("OOM incident", "One node or pod: memory, reclaim and kills", "oom-incident"),
        ],
        rows: vec![
            ("At a glance", glance()),
            ("What is seen", seen()),
            ("What was lost", lost()),
            ("Store and series", store()),
            ("Sent to a collector", sent()),
            ("What it costs", costs()),
        ],
    }
}

/// How many agents are in a state that they should not be in.
fn bad(title: &'static str, description: &'static str, expr: String) -> Panel {
    stat(title, description, "short").query("", expr).decimals(0).steps("green", &[(0.5, "red")]).size(4, 4)
}

fn glance() -> Vec<Panel> {
    let agent = format!("oom_agent_build_info{{{NODES}}}");
    let lost = |name: &str, more: &str| format!("sum(increase({name}{{{NODES}{more}}}[$__range]))");
    vec![
        stat("Agents", "Agents that are scraped.", "short").query("", format!("count({agent})")).decimals(0),
        bad(
            "Not answering",
            "Targets of these jobs whose last scrape failed.",
            format!("count(up{{{NODES}}} == 0 and on (job) group by (job) ({agent})) or vector(0)"),
        ),
        bad(
            "Below full",
            "Agents that do not see everything: an old or locked kernel, or a permission that is \
             missing. oom-agent doctor says which.",
            format!(r#"count(oom_agent_level{{{NODES}, level="full"}} == 0) or vector(0)"#),
        )
        .steps("green", &[(0.5, "yellow")]),
        bad(
            "Records of kills lost",
            "Records of calls, decisions, victims and exits that found no room in the ring of the BPF \
             programs, in the time shown.",
            lost("oom_agent_lost_records_total", r#", ring="events""#),
        ),
        bad(
            "Log records missed",
            "Records of the kernel's log that were overwritten before they were read, in the time \
             shown.",
            lost("oom_agent_kmsg_missed_records_total", ""),
        ),
        bad(
            "Store not writable",
            "Agents that keep incidents in memory, since the disk cannot be used.",
            format!("count(oom_agent_store_writable{{{NODES}}} == 0) or vector(0)"),
        ),
    ]
}

fn seen() -> Vec<Panel> {
    vec![
        lines(
            "Agents by level",
            "How much the kernels let them see: everything by BPF (full), victims by BPF and the rest \
             by the kernel's log (tracepoint), only the log (kmsg).",
            "short",
        )
        .query("{{level}}", format!("sum by (level) (oom_agent_level{{{NODES}}})"))
        .decimals(0)
        .range(0.0, None)
        .size(12, 8),
        table("Agents by version", "Which versions run.")
            .query("", format!("count by (version) (oom_agent_build_info{{{NODES}}})"))
            .column("version", "Version")
            .value("Value", "Agents", "short")
            .sort_by("Agents", true)
            .size(6, 8),
        bars(
            "Names not found",
            "Pods and containers whose names were not known when an incident was told, by why. What \
             is not of Kubernetes is left out.",
            "short",
        )
        .query(
            "{{reason}}",
            format!(
                "sum by (reason) ({}) > 0",
                by_point(&format!(r#"oom_identity_unresolved_total{{{NODES}, reason!="not_kubernetes"}}"#))
            ),
        )
        .decimals(0)
        .nothing("none")
        .size(6, 8),
        table(
            "Hooks",
            "How many agents have a hook in the kernel, by how it is attached. none: the kernel does \
             not allow it or does not have it. None at all at the level kmsg.",
        )
        .query("", format!("count by (hook, kind) (oom_agent_hook_attached{{{NODES}}})"))
        .column("hook", "Hook")
        .column("kind", "Attached as")
        .value("Value", "Agents", "short")
        .property(
            "Attached as",
            "mappings",
            &json!([{"type": "value", "options": {"none": {"text": "none", "color": "orange", "index": 0}}}]),
        )
        .property("Attached as", "custom.cellOptions", &json!({"type": "color-text"}))
        .sort_by("Hook", false)
        .size(12, 9)
        .nothing("no hooks"),
        table("Nodes below full", "Which nodes, and what they have instead.")
            .query("", format!(r#"(oom_agent_level{{{NODES}, level!="full"}} == 1)"#))
            .column("cluster", "Cluster")
            .column("instance", "Node")
            .column("level", "Level")
            .sort_by("Node", false)
            .size(12, 9)
            .nothing("all are at the full level"),
    ]
}

fn lost() -> Vec<Panel> {
    let rate = |name: &str| format!("rate({name}{{{NODES}}}[$__rate_interval])");
    vec![
        lines(
            "Lost records",
            "Records of the BPF programs that found no room. events: of calls, decisions, victims and \
             exits; bulk: of candidates and cgroup names.",
            "cps",
        )
        .query("{{ring}}", format!("sum by (ring) ({})", rate("oom_agent_lost_records_total")))
        .range(0.0, None)
        .size(8, 7),
        lines(
            "Missed log records",
            "Records of the kernel's log that were overwritten before they were read, of the five \
             nodes with most.",
            "cps",
        )
        .query("{{instance}}", format!("topk(5, {})", rate("oom_agent_kmsg_missed_records_total")))
        .range(0.0, None)
        .size(8, 7),
        lines(
            "Missed rounds of reclaim",
            "Rounds that could not be counted, since another task's was under way in the same place. \
             The totals of reclaim are too small by them.",
            "cps",
        )
        .query("{{instance}}", format!("topk(5, {})", rate("oom_agent_missed_reclaim_rounds_total")))
        .range(0.0, None)
        .size(8, 7),
        lines(
            "Kills that nobody explained",
            "Kills that the kernel counted and no incident tells of, the five nodes with most. Below \
             0: told twice. 0 is right.",
            "short",
        )
        .query("{{instance}}", format!("topk(5, oom_kernel_kills_unexplained{{{NODES}}})"))
        .decimals(0)
        .nothing("not known")
        .size(8, 7),
        lines(
            "Cgroups that count otherwise",
            "Memory cgroups whose own counter of kills has risen by another number than incidents \
             explain.",
            "short",
        )
        .query("{{instance}}", format!("topk(5, oom_kernel_kills_differing_cgroups{{{NODES}}})"))
        .decimals(0)
        .range(0.0, None)
        .nothing("not known")
        .size(8, 7),
        lines(
            "Found at the start",
            "Incidents that happened while the agent did not run and were found in the kernel's log, \
             and records of it that were overwritten by then.",
            "short",
        )
        .query("{{instance}} incidents", format!("topk(5, oom_agent_recovered_incidents{{{NODES}}})"))
        .query(
            "{{instance}} records overwritten",
            format!("topk(5, oom_agent_kmsg_overwritten_before_start_records{{{NODES}}})"),
        )
        .decimals(0)
        .range(0.0, None)
        .size(8, 7),
    ]
}

fn store() -> Vec<Panel> {
    let of = |name: &str| format!("topk(5, {name}{{{NODES}}})");
    vec![
        lines("Store on disk", "The five largest. --keep-mib bounds it.", "bytes")
            .query("{{instance}}", of("oom_agent_store_bytes"))
            .range(0.0, None)
            .size(8, 7),
        lines("Incidents only in memory", "While the disk cannot be used. A restart loses them.", "short")
            .query("{{instance}} held", of("oom_agent_store_held_incidents"))
            .query("{{instance}} lost", of("oom_agent_store_lost_incidents_total"))
            .decimals(0)
            .range(0.0, None)
            .size(8, 7),
        lines(
            "Cgroups with series",
            "The five nodes that are nearest to the bound. Beyond it, kills are counted under \
             (other).",
            "percentunit",
        )
        .query(
            "{{instance}}",
            format!("topk(5, oom_agent_cgroups{{{NODES}}} / oom_agent_cgroups_limit{{{NODES}}})"),
        )
        .range(0.0, Some(1.0))
        .size(8, 7),
    ]
}

fn sent() -> Vec<Panel> {
    let rate = |name: &str| format!("rate(oom_agent_otlp_{name}_total{{{NODES}}}[$__rate_interval])");
    vec![
        lines(
            "Incidents sent",
            "Acknowledged by the OpenTelemetry collector (--otlp-endpoint), and those that will not be \
             sent any more, by why.",
            "cps",
        )
        .query("sent", format!("sum({})", rate("sent_incidents")))
        .query("dropped: {{reason}}", format!("sum by (reason) ({})", rate("dropped_incidents")))
        .range(0.0, None)
        .nothing("nothing is to be sent")
        .size(8, 7),
        lines(
            "Failed requests",
            "Attempts to send that failed, by why. All but rejected are made again.",
            "cps",
        )
        .query("{{reason}}", format!("sum by (reason) ({})", rate("failed_requests")))
        .range(0.0, None)
        .nothing("nothing is to be sent")
        .size(8, 7),
        lines(
            "Longest wait",
            "How long ago the incident happened that has waited longest to be sent, of the five nodes \
             with most.",
            "s",
        )
        .query("{{instance}}", format!("topk(5, oom_agent_otlp_oldest_waiting_seconds{{{NODES}}})"))
        .range(0.0, None)
        .nothing("nothing is to be sent")
        .size(8, 7),
    ]
}

fn costs() -> Vec<Panel> {
    let http = |name: &str| format!("sum(rate(oom_agent_http_{name}_total{{{NODES}}}[$__rate_interval]))");
    let scraped = format!("and on (cluster, job, instance) oom_agent_build_info{{{NODES}}}");
    vec![
        lines("Memory", "Of the agents in RAM, the five largest.", "bytes")
            .query("{{instance}}", format!("topk(5, process_resident_memory_bytes{{{NODES}}} {scraped})"))
            .range(0.0, None)
            .size(8, 7),
        lines(
            "Processor time",
            "Of the agents, the five busiest: 1 is one processor all the time. What their BPF \
             programs cost is in the time of others.",
            "percentunit",
        )
        .query(
            "{{instance}}",
            format!("topk(5, rate(process_cpu_seconds_total{{{NODES}}}[$__rate_interval]) {scraped})"),
        )
        .range(0.0, None)
        .decimals(2)
        .size(8, 7),
        lines("Time of a scrape", "How long Prometheus waited, the five slowest.", "s")
            .query("{{instance}}", format!("topk(5, scrape_duration_seconds{{{NODES}}} {scraped})"))
            .range(0.0, None)
            .size(8, 7),
        lines("Readers of events", "Connections to /api/v1/events, of the five nodes with most.", "short")
            .query("{{instance}}", format!("topk(5, oom_agent_http_event_subscribers{{{NODES}}})"))
            .decimals(0)
            .range(0.0, None)
            .size(8, 7),
        lines(
            "Refused over HTTP",
            "Wrong passwords or tokens, readers of events beyond the bound, and readers that were so \
             slow that they were dropped.",
            "cps",
        )
        .query("logins", http("refused_logins"))
        .query("readers of events", http("refused_event_subscribers"))
        .query("slow readers", http("slow_readers"))
        .range(0.0, None)
        .size(8, 7),
        lines("Open files", "By what the agents may open, the five nearest to it.", "percentunit")
            .query(
                "{{instance}}",
                format!("topk(5, process_open_fds{{{NODES}}} / process_max_fds{{{NODES}}} {scraped})"),
            )
            .range(0.0, Some(1.0))
            .size(8, 7),
    ]
}
