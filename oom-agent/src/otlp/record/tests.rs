//! Incidents as records: goldens of all kinds, as OpenTelemetry's own types read them.

use super::*;
use crate::sink::samples;
use expect_test::expect_file;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use std::fmt::Write as _;

fn stored(incident: &Incident) -> Stored {
    let json = json::compact(incident);
    Stored { id: incident.id.clone(), brief: json.clone(), json }
}

/// As a collector would see it.
fn shown(incident: &Incident) -> String {
    let record = record(&stored(incident), 48 << 10, 7).unwrap();
    let sent = request(&Resource::default(), vec![record]).encode_to_vec();
    let got = ExportLogsServiceRequest::decode(sent.as_slice()).unwrap();
    // Nothing is lost on the way.
    assert_eq!(got.encode_to_vec(), sent);
    let scope = &got.resource_logs[0].scope_logs[0];
    assert_eq!(scope.scope.as_ref().unwrap().name, "oom-agent");
    let record = &scope.log_records[0];
    let text = |value: &Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value
        .as_ref()
        .unwrap()
        .value
        .as_ref()
        .unwrap()
    {
        Value::StringValue(text) => format!("{text:?}"),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(yes) => yes.to_string(),
        other => panic!("{other:?}"),
    };
    let mut out = format!(
        "{} {} {} {} {}\n{}\n",
        record.time_unix_nano,
        record.observed_time_unix_nano,
        record.severity_text,
        record.severity_number,
        record.event_name,
        text(&record.body)
    );
    for attribute in &record.attributes {
        let value = text(&attribute.value);
        let value = if attribute.key == "oom.incident" { "(the incident)".to_owned() } else { value };
        let _ = writeln!(out, "  {}: {value}", attribute.key);
    }
    out
}

#[test]
fn every_kind_of_incident() {
    let mut all = String::new();
    for (name, incident) in samples::all() {
        let _ = writeln!(all, "== {name}\n{}", shown(&incident));
    }
    expect_file!["goldens.txt"].assert_eq(&all);
}

#[test]
fn nothing_that_a_terminal_would_act_on_is_in_names() {
    for (name, incident) in samples::all() {
        let record = record(&stored(&incident), 0, 7).unwrap();
        let texts = record.attributes.iter().filter_map(|it| it.value.as_ref()).chain(&record.body);
        for value in texts {
            if let Some(super::super::messages::Value::Text(text)) = &value.value {
                assert!(!text.contains(escape::is_unsafe), "{name}: {text}");
            }
        }
    }
}

fn whole_of(incident: &Incident, most: usize) -> Option<Incident> {
    let record = record(&stored(incident), most, 7).unwrap();
    let found = record.attributes.iter().find(|it| it.key == "oom.incident")?;
    let Some(super::super::messages::Value::Text(text)) = &found.value.as_ref()?.value else {
        panic!("no text")
    };
    assert!(text.len() <= most);
    Some(serde_json::from_str(text).unwrap())
}

#[test]
fn the_whole_incident_is_in_it_as_far_as_there_is_room() {
    let mut incident = samples::memcg();
    assert_eq!(whole_of(&incident, 48 << 10), Some(incident.clone()));
    assert_eq!(whole_of(&incident, 0), None);
    assert_eq!(whole_of(&incident, 1000), None, "not even without candidates");
    incident.candidates = vec![incident.candidates[0].clone(); 5000];
    let cut = whole_of(&incident, 48 << 10).unwrap();
    assert!((50..5000).contains(&cut.candidates.len()));
    assert_eq!(cut.candidates_lost.unwrap() + cut.candidates.len() as u64, 5000);
    assert!(cut.evidence.notes.iter().any(|note| note.starts_with("What is sent has ")), "it says so");
}

#[test]
fn what_is_damaged_is_no_record() {
    let good = stored(&samples::memcg());
    assert!(record(&Stored { brief: "{".into(), ..good.clone() }, 1 << 20, 7).is_none());
    // What is not sent need not be whole.
    assert!(record(&Stored { json: "{".repeat(99), ..good.clone() }, 0, 7).is_some());
    assert!(record(&Stored { json: "{".repeat(99), ..good }, 10, 7).is_none());
}

#[test]
fn an_incident_without_a_time_is_seen_now() {
    let mut incident = samples::memcg();
    incident.id = "7".to_owned();
    let record = record(&stored(&incident), 0, 7).unwrap();
    assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (0, 7));
}
