//! The JSON contract: names, schema, round trip, and lines that are safe to look at.

use super::*;
use crate::incident::model::Trigger;
use crate::sink::samples;
use expect_test::{expect, expect_file};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn every_sample_is_one_line_and_comes_back_the_same() {
    for (name, incident) in samples::all() {
        let line = line(&incident);
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{name}");
        assert_eq!(serde_json::from_str::<Incident>(&line).unwrap(), incident, "{name}");
    }
}

#[test]
fn what_was_not_seen_is_absent() {
    let empty = Incident { schema: 1, ..Incident::default() };
    expect![[r#"
        {"schema":1,"id":"","scope":{},"candidates":[],"victims":[],"evidence":{"level":"log","sources":[],"lost_records":0,"notes":[]}}
    "#]]
    .assert_eq(&line(&empty));
}

#[test]
fn control_and_format_characters_are_written_as_escapes() {
    let comm = "\x1b[2J\u{7f}\u{9b}\u{2028}\u{2029}\u{202e}\u{e0041}\"\\\n日";
    let line = line(&Incident { id: comm.into(), ..Incident::default() });
    let shown = r#""id":"\u001b[2J\u007f\u009b\u2028\u2029\u202e\udb40\udc41\"\\\n日""#;
    assert!(line.contains(shown), "{line}");
}

#[test]
fn the_schema_in_docs_is_true() {
    let schema = schemars::schema_for!(Incident);
    let mut text = serde_json::to_string_pretty(&schema).unwrap();
    text.push('\n');
    expect_file!["../../../../docs/incident.schema.json"].assert_eq(&text);
}

/// Paths of all properties, `[]` for the items of an array.
fn names(schema: &Value, at: &Value, path: &str, out: &mut BTreeSet<String>) {
    if let Some(reference) = at["$ref"].as_str() {
        names(schema, schema.pointer(reference.trim_start_matches('#')).unwrap(), path, out);
    }
    for each in at["anyOf"].as_array().into_iter().flatten() {
        names(schema, each, path, out);
    }
    for (name, property) in at["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        out.insert(path.clone());
        names(schema, property, &path, out);
    }
    if at["items"].is_object() {
        names(schema, &at["items"], &format!("{path}[]"), out);
    }
}

/// A name may be added here. Removing or renaming one breaks those who read the JSON: raise `SCHEMA`.
#[test]
fn the_names_are_the_contract() {
    let schema = serde_json::to_value(schemars::schema_for!(Incident)).unwrap();
    let mut out = BTreeSet::new();
    names(&schema, &schema, "", &mut out);
    let text: String = out.into_iter().map(|name| name + "\n").collect();
    expect_file!["names.txt"].assert_eq(&text);
}

/// What a sample writes is in the schema: no name that only serde knows.
#[test]
fn samples_use_only_names_of_the_schema() {
    fn written(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    if path.rsplit('.').next() != Some("memory") {
                        written(value, &path, out);
                    }
                    out.insert(path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| written(item, &format!("{path}[]"), out)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let schema = serde_json::to_value(schemars::schema_for!(Incident)).unwrap();
    let mut contract = BTreeSet::new();
    names(&schema, &schema, "", &mut contract);
    for (name, incident) in samples::all() {
        let mut out = BTreeSet::new();
        written(&serde_json::to_value(&incident).unwrap(), "", &mut out);
        assert_eq!(out.difference(&contract).collect::<Vec<_>>(), Vec::<&String>::new(), "{name}");
    }
}

proptest! {
    #[test]
    fn any_text_comes_back_and_is_safe(text in any::<String>(), comm in any::<String>()) {
        let incident = Incident {
            id: text.clone(),
            trigger: Some(Trigger { comm: comm.clone(), ..Trigger::default() }),
            kernel_log: Some(text.clone()),
            memory: [(comm.into(), 1)].into(),
            ..Incident::default()
        };
        let line = line(&incident);
        prop_assert!(!line.trim_end_matches('\n').chars().any(escape::is_unsafe));
        prop_assert_eq!(serde_json::from_str::<Incident>(&line).unwrap(), incident);
    }
}
