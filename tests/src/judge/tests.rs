use super::*;
use crate::truth::model::{
    Afterwards, Candidate, Check, Decision, Kill, Level, Report, Row, Scope, Trigger, Victim,
};
use serde_json::json;

/// A group kill in a nested cgroup, with an exempt member and a name that is no UTF-8.
fn truth() -> Truth {
    let victim = |pid, tid, comm: &[u8], role: &str| Victim {
        pid,
        tid,
        comm: Some(comm.to_vec()),
        role: role.into(),
        uid: Some(0),
        oom_score_adj: Some(0),
        cgroup: Some("/pod/app".into()),
        rss_kb: Some([4000, 40, 0]),
    };
    let kill = Kill {
        log_gone: false,
        victims: vec![victim(10, 11, b"a\n\xff", "selected"), victim(12, 12, b"b", "group")],
        trigger: Some(Trigger {
            pid: Some(12),
            tid: 13,
            comm: Some(b"asks".to_vec()),
            gfp_mask: 0xcc0,
            order: 0,
        }),
        scope: Scope { kind: "memcg".into(), cgroup: Some("/pod".into()), cgroup_id: Some(7) },
        total_pages: Some(10_000),
        decision: Decision { rule: "highest_points".into(), pid: 10, points: Some(1020) },
        candidates: vec![Candidate { pid: 10, points: Some(1020) }, Candidate { pid: 14, points: None }],
        table: vec![Row { pid: 10, rss: 1010, pgtables_bytes: 40960, swapents: 0, oom_score_adj: 0 }],
        report: Some(Report {
            gfp_flags: vec!["GFP_KERNEL".into()],
            counter: Some(("anon_bytes".into(), 4096)),
            summary: r"oom-kill:constraint=X,task=a\x0a".into(),
            ..Report::default()
        }),
        memory_back_ns: Some(7_020_000_000),
        afterwards: Some(Afterwards { kill_number: 2, usage_bytes: 2 << 20 }),
    };
    let sources = ["kmsg", "ftrace", "kprobes"].map(str::to_owned).to_vec();
    Truth { case: "group".into(), cpus: 2, page_bytes: 4096, sources, kills: vec![kill], ..Truth::default() }
}

fn incident() -> Value {
    let victim = |pid: u32, tid: u32, comm: &str, role: &str| {
        json!({"pid": pid, "tid": tid, "comm": comm, "uid": 0, "role": role, "cgroup": "/pod/app", "oom_score_adj": 0, "killed_boottime_ns": 7_000_000_000_u64,
               "anon_bytes": 4_096_000, "file_bytes": 40_960, "shmem_bytes": 0})
    };
    json!({
        "scope": {"kind": "memcg", "cgroup": "/pod", "cgroup_id": 7},
        "trigger": {"pid": 12, "tid": 13, "comm": "asks", "gfp_mask": 0xcc0, "gfp_flags": ["GFP_KERNEL"], "order": 0},
        "memory": {"anon_bytes": 4096},
        "memory_source": "report",
        "state": {"cgroups": [{"cgroup": "/pod", "source": "kernel"}, {"cgroup": "/", "source": "kernel"}], "children_total": 0},
        "kernel_log": "b invoked oom-killer\noom-kill:constraint=X,task=a\n",
        "total_pages": 10_000,
        "verdict": [{"code": "limit_reached"}],
        "diagnosis": [{"code": "burst", "confidence": "likely"}],
        "candidates": [
            {"pid": 10, "tid": 10, "comm": "x", "anon_bytes": 4_096_000, "file_bytes": 40_960, "shmem_bytes": 0,
             "swap_bytes": 0, "pgtables_bytes": 40_960, "oom_score_adj": 0, "points": 1020,
             "points_source": "kernel", "eligible": true},
            {"pid": 14, "tid": 14, "comm": "y", "oom_score_adj": -1000, "eligible": false}
        ],
        "decision": {"rule": "highest_points", "pid": 10, "points": 1020},
        "limits": {"usage_bytes": 12 << 20},
        "recovery": {"memory_back_ns": 21_000_000, "below_limit_ns": 21_000_000, "usage_after_bytes": 3 << 20,
                     "given_back_bytes": 9 << 20, "kill_number": 2},
        "victims": [victim(10, 11, "a\n\\xff", "selected"), victim(12, 12, "b", "group")],
        "evidence": {"level": "full", "lost_records": 0, "notes": []}
    })
}

/// The incident with one value replaced (or, by null, taken out).
fn with(pointer: &str, value: Value) -> Value {
    let mut incident = incident();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match incident.pointer_mut(parent).unwrap() {
        Value::Object(object) if value.is_null() => drop(object.remove(name).unwrap()),
        Value::Object(object) => drop(object.insert(name.to_owned(), value).unwrap()),
        Value::Array(array) => drop(array.remove(name.parse().unwrap())),
        other => panic!("{pointer} is in {other}"),
    }
    incident
}

fn wrong(truth: &Truth, incidents: &[Value]) -> Vec<String> {
    compare::compare(truth, incidents).wrong
}

#[test]
fn an_incident_that_tells_the_truth_passes() {
    let findings = compare::compare(&truth(), &[incident()]);
    assert_eq!(findings.wrong, Vec::<String>::new());
    assert_eq!((findings.points_compared, findings.formula_off), (2, Some(0)));
}

#[test]
fn a_child_uses_less_at_a_kill_only_if_an_earlier_kill_freed_it() {
    let mut truth = truth();
    let level = |usage_bytes, children| Level { usage_bytes, children, ..Level::default() };
    truth.levels.insert("/pod".into(), level(Some(24 << 20), 1));
    truth.levels.insert("/pod/app".into(), level(Some(12 << 20), 0));
    let mut second = incident();
    second["state"]["children_total"] = json!(1);
    second["state"]["children"] = json!([{"cgroup": "/pod/app", "cgroup_id": 0, "usage_bytes": 4 << 20}]);
    let shrank = |truth: &Truth, incidents: &[Value]| {
        wrong(truth, incidents).iter().filter(|what| what.contains("and 4194304 at the kill")).count()
    };
    assert_eq!(shrank(&truth, &[second.clone()]), 1);
    let mut earlier = truth.kills[0].clone();
    earlier.decision.pid = 8;
    earlier.victims.truncate(1);
    earlier.victims[0].pid = 8;
    truth.kills.insert(0, earlier);
    let mut first = incident();
    first["decision"]["pid"] = json!(8);
    assert_eq!(shrank(&truth, &[first.clone(), second.clone()]), 0);
    truth.kills[0].victims[0].cgroup = Some("/pod/application".into());
    assert_eq!(shrank(&truth, &[first, second]), 1);
}

#[test]
fn every_deviation_fails() {
    let deviations = [
        ("/scope/kind", json!("global")),
        ("/scope/cgroup", json!("/pod/app")),
        ("/scope/cgroup_id", Value::Null),
        ("/trigger/pid", json!(10)),
        ("/trigger/tid", json!(12)),
        ("/trigger/comm", json!("b")),
        ("/trigger/gfp_mask", json!(0)),
        ("/trigger/gfp_flags", json!([])),
        ("/memory/anon_bytes", json!(0)),
        ("/kernel_log", json!("another one's")),
        ("/evidence/notes", json!(["The kernel's log and BPF disagree about the order."])),
        ("/trigger/order", json!(-1)),
        ("/trigger", Value::Null),
        ("/total_pages", json!(10_001)),
        ("/total_pages", Value::Null),
        ("/verdict/0/code", json!("no_free_pages")),
        ("/verdict", Value::Null),
        ("/diagnosis", Value::Null),
        ("/diagnosis", json!([])),
        ("/diagnosis/0/confidence", json!("certain")),
        ("/recovery/memory_back_ns", json!(50_000_000)),
        ("/recovery/memory_back_ns", Value::Null),
        ("/recovery/below_limit_ns", Value::Null),
        ("/recovery/usage_after_bytes", json!(8 << 20)),
        ("/recovery/usage_after_bytes", Value::Null),
        ("/recovery/given_back_bytes", json!(8 << 20)),
        ("/recovery/kill_number", json!(3)),
        ("/recovery", Value::Null),
        ("/decision/rule", json!("sysrq")),
        ("/decision/points", json!(1021)),
        ("/decision", Value::Null),
        ("/victims/1", Value::Null),
        ("/victims", json!([])),
        ("/victims/0/tid", json!(10)),
        ("/victims/0/role", json!("group")),
        ("/victims/0/comm", json!("a\n\u{fffd}")),
        ("/victims/0/cgroup", json!("/pod")),
        ("/victims/1/uid", json!(1)),
        ("/victims/1/anon_bytes", json!(0)),
        ("/victims/1/anon_bytes", Value::Null),
        ("/candidates/0", Value::Null),
        ("/candidates/1", Value::Null),
        ("/candidates/0/points", json!(1021)),
        ("/candidates/0/points_source", json!("computed")),
        ("/candidates/0/anon_bytes", json!(40_960_000)),
        ("/candidates/1/eligible", json!(true)),
        ("/evidence/level", json!("tracepoint")),
        ("/evidence/lost_records", json!(1)),
        ("/evidence/lost_records", Value::Null),
    ];
    for (pointer, value) in deviations {
        assert_ne!(
            wrong(&truth(), &[with(pointer, value.clone())]),
            Vec::<String>::new(),
            "{pointer}: {value}"
        );
    }
}

#[test]
fn missing_and_unexpected_incidents_fail() {
    assert_ne!(wrong(&truth(), &[]), Vec::<String>::new());
    assert_ne!(wrong(&truth(), &[incident(), incident()]), Vec::<String>::new());
    assert_ne!(wrong(&truth(), &[incident(), with("/decision/pid", json!(99))]), Vec::<String>::new());
}

#[test]
fn a_victim_too_many_fails() {
    let mut incident = incident();
    let again = incident.pointer("/victims/1").unwrap().clone();
    incident.pointer_mut("/victims").unwrap().as_array_mut().unwrap().push(again);
    assert_ne!(wrong(&truth(), &[incident]), Vec::<String>::new());
}

#[test]
fn a_truth_that_is_empty_or_doubts_itself_fails() {
    assert_ne!(wrong(&Truth::default(), &[]), Vec::<String>::new());
    let doubtful = Truth { doubts: vec!["x".into()], ..truth() };
    assert_ne!(wrong(&doubtful, &[incident()]), Vec::<String>::new());
}

#[test]
fn a_decision_that_nobody_can_be_killed_is_an_incident() {
    let truth = Truth { none_killable: 3, ..Truth::default() };
    let told = json!({"decision": {"rule": "none_killable"}, "victims": [], "evidence": {"lost_records": 0},
                      "diagnosis": [{"code": "everything_exempt", "confidence": "likely"}]});
    assert_eq!(wrong(&truth, std::slice::from_ref(&told)), Vec::<String>::new());
    assert_ne!(wrong(&truth, &[]), Vec::<String>::new());
    assert_ne!(wrong(&self::truth(), &[incident(), told]), Vec::<String>::new());
}

#[test]
fn who_was_dying_anyway_is_known_by_its_mark() {
    let told = |tid: u32| {
        json!({"decision": {"rule": "already_dying"}, "victims": [{"pid": 20, "tid": tid}],
               "evidence": {"lost_records": 0}})
    };
    let truth = Truth { already_dying: vec![21], ..truth() };
    assert_eq!(wrong(&truth, &[incident(), told(21)]), Vec::<String>::new());
    assert_ne!(wrong(&truth, &[incident(), told(22)]), Vec::<String>::new());
}

#[test]
fn a_growing_agent_fails() {
    let mut truth = truth();
    truth.measured.insert("agent_rss_warm_kib".into(), 8000);
    truth.measured.insert("agent_rss_after_kib".into(), 8100);
    assert_eq!(wrong(&truth, &[incident()]), Vec::<String>::new());
    truth.measured.insert("agent_rss_after_kib".into(), 10_500);
    assert_ne!(wrong(&truth, &[incident()]), Vec::<String>::new());
}

#[test]
fn between_two_looks_at_the_clock_only_a_machine_that_stood_still_may_have_waited() {
    let mut truth = truth();
    // The agent's program has seen it at 7.021 s.
    truth.kills[0].memory_back_ns = Some(7_721_000_000);
    let mut moved = |stood_still: &[[u64; 2]]| {
        truth.why.stood_still = stood_still.to_vec();
        !wrong(&truth, &[incident()]).is_empty()
    };
    assert!(moved(&[]));
    assert!(!moved(&[[7_022_000_000, 7_720_000_000]]));
    assert!(!moved(&[[1_000, 2_000], [6_000_000_000, 7_700_000_000]]));
    assert!(moved(&[[6_000_000_000, 7_021_000_000], [7_721_000_000, 8_000_000_000]]), "before and after");
    assert!(moved(&[[7_100_000_000, 7_300_000_000]]), "not for so long");
}

#[test]
fn without_the_kernels_points_the_table_judges() {
    let mut truth = truth();
    truth.kills[0].candidates.clear();
    assert_eq!(wrong(&truth, &[incident()]), Vec::<String>::new());
    assert_ne!(wrong(&truth, &[with("/candidates/0", Value::Null)]), Vec::<String>::new());
    truth.kills[0].table[0].rss += 5000;
    assert_ne!(wrong(&truth, &[incident()]), Vec::<String>::new());
}

#[test]
fn a_directory_without_cases_or_with_a_missing_case_never_passes() {
    let dir = std::env::temp_dir().join(format!("oom-judge-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("group")).unwrap();
    assert!(judge(&dir).is_err());
    std::fs::write(dir.join(MANIFEST), "[]").unwrap();
    assert!(judge(&dir).is_err());
    std::fs::write(dir.join(MANIFEST), r#"["group","absent"]"#).unwrap();
    std::fs::write(dir.join("group/truth.json"), serde_json::to_string(&truth()).unwrap()).unwrap();
    let failed = |dir: &Path| judge(dir).unwrap().iter().map(Verdict::has_failed).collect::<Vec<_>>();
    assert_eq!(failed(&dir), [true, true]);
    std::fs::write(dir.join("group/incidents.jsonl"), format!("{}\n", incident())).unwrap();
    assert_eq!(failed(&dir), [true, true], "what the agent said is missing");
    std::fs::write(dir.join("group/agent.stderr"), "thread 'main' panicked at x.rs:1:1:").unwrap();
    assert_eq!(failed(&dir), [true, true]);
    std::fs::write(dir.join("group/agent.stderr"), "").unwrap();
    assert_eq!(failed(&dir), [false, true]);
    std::fs::write(dir.join("group/agent.trouble"), "it crashed").unwrap();
    assert_eq!(failed(&dir), [true, true]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_check_that_did_not_hold_fails_and_one_that_did_is_enough() {
    let mut truth = Truth::default();
    assert_eq!(wrong(&truth, &[]).len(), 1, "nothing was provoked and nothing checked");
    truth.checks.push(Check { what: "it ends".into(), held: true, found: String::new() });
    assert_eq!(wrong(&truth, &[]), Vec::<String>::new());
    truth.checks.push(Check { what: "it says so".into(), held: false, found: "silence".into() });
    assert_eq!(wrong(&truth, &[]), ["not so: it says so: silence"]);
}
