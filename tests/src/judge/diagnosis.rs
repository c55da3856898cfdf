//! What an incident says led to it, against what the case did.

use super::Findings;
use super::compare::{brief, chose, killed, rule};
use crate::truth::model::Truth;
use serde_json::Value;

/// So many kills in one case are a storm.
const STORM: usize = 5;

/// Compares what one agent told (`None`: the one that traces all cases).
///
/// Every incident has a diagnosis and calls nothing certain that the case does not know to be so. What is likely or
/// possible may be wrong, but not in the first place, where the agent could see everything.
pub(super) fn compare(truth: &Truth, agent: Option<&str>, incidents: &[Value], findings: &mut Findings) {
    let ours: Vec<&Value> = incidents.iter().filter(|told| is_ours(truth, told)).collect();
    for incident in &ours {
        let said = said(incident);
        if said.is_empty() {
            findings.wrong(format!("no diagnosis: {}", brief(incident)));
        }
        for (code, confidence) in said {
            let known = truth.why.certain.iter().any(|known| known == code);
            // However it came to it.
            let storm = code == "storm" && truth.kills.len() >= STORM;
            if confidence == "certain" && !known && !storm {
                let pid = chose(incident);
                findings.wrong(format!("the kill of {pid:?} is said to be certainly {code}, and it is not"));
            }
        }
    }
    let seen_by = truth.why.agent.as_deref();
    let has_kprobes = truth.sources.iter().any(|source| source == "kprobes");
    if truth.why.first.is_empty() || seen_by != agent || !has_kprobes {
        return;
    }
    let of_first =
        |told: &&&Value| truth.kills.first().is_none_or(|kill| chose(told) == Some(kill.decision.pid));
    // Without an incident of the first kill something else is wrong already.
    let Some(incident) = ours.iter().find(of_first) else { return };
    let all = said(incident);
    let Some((code, confidence)) = all.first() else { return };
    if truth.why.first.iter().any(|known| known == code) {
        findings.diagnosis = Some(format!("{code} ({confidence})"));
    } else {
        let first = truth.why.first.join(" or ");
        findings.wrong(format!("it was {first}; the diagnosis begins with {code}: {all:?}"));
    }
}

/// Incidents that the case provoked: an agent may have told of others before.
fn is_ours(truth: &Truth, told: &Value) -> bool {
    if killed(told) {
        truth.kills.iter().any(|kill| chose(told) == Some(kill.decision.pid))
    } else {
        truth.none_killable > 0 && rule(told) == Some("none_killable")
    }
}

/// Codes, and how sure each is.
fn said(incident: &Value) -> Vec<(&str, &str)> {
    let all = incident.get("diagnosis").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .filter_map(|one| Some((one.get("code")?.as_str()?, one.get("confidence")?.as_str()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::model::{Decision, Kill, Why};
    use serde_json::json;

    fn truth(agent: Option<&str>) -> Truth {
        let kill = |pid| Kill { decision: Decision { pid, ..Decision::default() }, ..Kill::default() };
        Truth {
            kills: vec![kill(1), kill(2)],
            sources: vec!["kprobes".into()],
            why: Why {
                first: vec!["burst".into()],
                certain: vec!["burst".into(), "ordered".into()],
                agent: agent.map(str::to_owned),
                ..Why::default()
            },
            ..Truth::default()
        }
    }

    fn told(pid: u32, said: &[(&str, &str)]) -> Value {
        let said: Vec<Value> =
            said.iter().map(|(code, sure)| json!({"code": code, "confidence": sure})).collect();
        json!({"decision": {"rule": "highest_points", "pid": pid}, "diagnosis": said})
    }

    fn wrong(truth: &Truth, agent: Option<&str>, incidents: &[Value]) -> usize {
        let mut findings = Findings::default();
        compare(truth, agent, incidents, &mut findings);
        findings.wrong.len()
    }

    #[test]
    fn the_first_diagnosis_of_the_first_kill_has_to_be_right() {
        let right = told(1, &[("burst", "likely"), ("storm", "possible")]);
        let second = told(2, &[("storm", "likely")]);
        assert_eq!(wrong(&truth(None), None, &[second.clone(), right.clone()]), 0, "in any order");
        let late = told(1, &[("storm", "possible"), ("burst", "likely")]);
        assert_eq!(wrong(&truth(None), None, &[late.clone(), second.clone()]), 1);
        assert_eq!(
            wrong(&truth(Some("own")), None, std::slice::from_ref(&late)),
            0,
            "it cannot have seen it"
        );
        assert_eq!(wrong(&truth(Some("own")), Some("own"), std::slice::from_ref(&late)), 1);
        let no_kprobes = Truth { sources: Vec::new(), ..truth(None) };
        assert_eq!(wrong(&no_kprobes, None, &[late]), 0, "the agent knows less there");
    }

    #[test]
    fn every_incident_has_one_and_nothing_is_wrongly_certain() {
        let right = told(1, &[("burst", "certain"), ("ordered", "certain")]);
        assert_eq!(wrong(&truth(None), None, std::slice::from_ref(&right)), 0);
        assert_eq!(wrong(&truth(None), None, &[right.clone(), told(2, &[])]), 1);
        assert_eq!(wrong(&truth(None), None, &[right.clone(), told(2, &[("storm", "certain")])]), 1);
        assert_eq!(
            wrong(&truth(None), None, &[right, told(9, &[("storm", "certain")])]),
            0,
            "not of the case"
        );
    }

    #[test]
    fn that_nobody_could_be_killed_is_diagnosed_too() {
        let truth = Truth { kills: Vec::new(), none_killable: 1, ..truth(None) };
        let none = |code: &str| json!({"decision": {"rule": "none_killable"}, "diagnosis": [{"code": code, "confidence": "likely"}]});
        assert_eq!(wrong(&truth, None, &[none("burst")]), 0);
        assert_eq!(wrong(&truth, None, &[none("storm")]), 1);
    }
}
