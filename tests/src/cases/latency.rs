//! From an incident's last fact to its line on stdout. Measured and shown, never a reason to fail.

use serde_json::Value;
use std::collections::BTreeMap;

/// Fewer incidents say nothing.
const ENOUGH: usize = 20;

/// Median and maximum over the lines with a known last fact: the end of the OOM path, the last victim's exit or
/// the moment when its memory was back.
pub(super) fn measure(lines: &[String], arrived: &[u64], measured: &mut BTreeMap<String, u64>) {
    let mut waits: Vec<u64> = lines
        .iter()
        .zip(arrived)
        .filter_map(|(line, arrived)| arrived.checked_sub(last_fact(&serde_json::from_str(line).ok()?)?))
        .collect();
    waits.sort_unstable();
    if let (ENOUGH.., Some(median), Some(most)) = (waits.len(), waits.get(waits.len() / 2), waits.last()) {
        measured.insert("latency_median_us".into(), median / 1000);
        measured.insert("latency_max_us".into(), most / 1000);
    }
}

fn last_fact(incident: &Value) -> Option<u64> {
    let victims = incident.get("victims")?.as_array()?;
    // Without its exit the incident has waited for it: a time limit, no latency.
    let exits: Option<Vec<u64>> = victims.iter().map(|v| v.get("exited_boottime_ns")?.as_u64()).collect();
    let at = |name: &str| incident.get(name).and_then(Value::as_u64);
    let end = at("boottime_ns").zip(at("oom_path_ns")).map(|(begin, took)| begin + took);
    let killed = victims.iter().filter_map(|v| v.get("killed_boottime_ns")?.as_u64()).min();
    let back = incident.pointer("/recovery/memory_back_ns").and_then(Value::as_u64);
    let back = back.zip(killed).map(|(back, killed)| killed + back);
    exits?.into_iter().chain(end).chain(back).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fact_is_the_later_of_exit_and_end() {
        let fact = |text: &str| last_fact(&serde_json::from_str(text).unwrap());
        assert_eq!(
            fact(r#"{"victims":[{"exited_boottime_ns":9}],"boottime_ns":4,"oom_path_ns":3}"#),
            Some(9)
        );
        assert_eq!(
            fact(r#"{"victims":[{"exited_boottime_ns":5}],"boottime_ns":4,"oom_path_ns":3}"#),
            Some(7)
        );
        assert_eq!(
            fact(r#"{"victims":[{}],"boottime_ns":4,"oom_path_ns":3}"#),
            None,
            "it waited for an exit"
        );
    }
}
