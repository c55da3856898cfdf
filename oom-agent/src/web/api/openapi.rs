//! The description of the API is made from its routes and its types; `docs/openapi.json` is what comes out.

use super::{ROUTES, incidents, listed::Listed, rank};
use crate::{incident::model::Incident, rank::answer::Answer, web::problem};
use expect_test::expect_file;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// What is said of a path.
struct About {
    path: &'static str,
    summary: &'static str,
    description: &'static str,
    /// Names and what they are.
    parameters: &'static [(&'static str, &'static str)],
    kind: &'static str,
    schema: fn(&mut SchemaGenerator) -> Value,
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

const JSON: &str = "application/json";

const PATHS: &[About] = &[
    About {
        path: "/api/v1/incidents",
        summary: "Incidents, newest first",
        description: "What is short of them. `next` of the answer is the value of `before` for the next page.",
        parameters: &[
            ("before", "Go on before this one: `next` of an answer, or an incident's id."),
            ("limit", "No more than so many."),
            ("since", "At or after this time: 2026-11-20T10:15:00Z, 2026-11-20, -2h (before now)."),
            ("until", "Before this time."),
            (
                "cgroup",
                "Of a cgroup, the full one's or a victim's path: a glob, * and ? match anything, also /.",
            ),
            ("pod", "Of a pod, the full one or a victim's: a glob over NAME, NAMESPACE/NAME or UID."),
            ("namespace", "Of pods in a namespace: a glob."),
            ("victim", "With such a victim: a glob over command names, or a process id."),
            ("scope", "Which limit was hit: `scope.kind` of the incident."),
            ("diagnosis", "One of whose diagnoses has this code."),
        ],
        kind: JSON,
        schema: schema::<Listed<'static>>,
    },
    About {
        path: "/api/v1/incidents/{id}",
        summary: "One incident, whole",
        description: "As `--format json` prints it.",
        parameters: &[],
        kind: JSON,
        schema: schema::<Incident>,
    },
    About {
        path: "/api/v1/rank",
        summary: "Who would be killed now",
        description: "As `oom-agent rank --format json` prints it. A look at the machine is shared for 2 s.",
        parameters: &[
            ("cgroup", "For this memory cgroup instead of the machine: a path as in /proc/PID/cgroup."),
            ("top", "So many candidates, those with the most points first."),
        ],
        kind: JSON,
        schema: schema::<Answer>,
    },
    About {
        path: "/api/v1/events",
        summary: "Incidents as they are stored",
        description: "Server-sent events: `event: incident`, `id` its id, `data` its JSON as of /api/v1/incidents/{id}. A \
                      comment every 15 s is a sign of life. With the header Last-Event-ID it goes on after that \
                      incident, else with the next one. A stream ends after an hour, or where its reader does not read; \
                      16 can be open.",
        parameters: &[],
        kind: "text/event-stream",
        schema: |_| json!({"type": "string"}),
    },
    About {
        path: "/api/v1/openapi.json",
        summary: "This description",
        description: "OpenAPI 3.1.",
        parameters: &[],
        kind: JSON,
        schema: |_| json!({"type": "object"}),
    },
];

const TEXTS: &[(&str, &str)] = &[
    ("/metrics", "Metrics for Prometheus, text format 0.0.4"),
    ("/healthz", "It is alive"),
    ("/readyz", "It sees OOM kills, and how much of them; else 503"),
];

fn parameters(about: &About) -> Vec<Value> {
    let mut all: Vec<Value> = about
        .parameters
        .iter()
        .map(|(name, what)| {
            let schema = match *name {
                "limit" => json!({"type": "integer", "minimum": 1, "maximum": incidents::LIMIT.1, "default": incidents::LIMIT.0}),
                "top" => json!({"type": "integer", "minimum": 1, "maximum": rank::TOP.1, "default": rank::TOP.0}),
                _ => json!({"type": "string"}),
            };
            json!({"name": name, "in": "query", "description": what, "schema": schema})
        })
        .collect();
    if about.path.contains("{id}") {
        let schema = json!({"type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{26}$"});
        all.push(json!({"name": "id", "in": "path", "required": true, "schema": schema}));
    }
    if about.path.ends_with("/events") {
        let schema = json!({"type": "string"});
        all.push(json!({"name": "Last-Event-ID", "in": "header", "schema": schema}));
    }
    all
}

fn description() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for (path, summary) in TEXTS {
        let answer =
            json!({"description": summary, "content": {"text/plain": {"schema": {"type": "string"}}}});
        let get = json!({"summary": summary, "responses": {"200": answer}});
        paths.insert((*path).to_owned(), json!({ "get": get }));
    }
    let problem = schema::<problem::Problem>(&mut generator);
    for about in PATHS {
        let schema = (about.schema)(&mut generator);
        let failed = |why: &str| json!({"description": why, "content": {problem::KIND: {"schema": problem}}});
        let mut responses = json!({
            "200": {"description": about.summary, "content": {about.kind: {"schema": schema}}},
            "400": failed("A parameter is not known, or its value is not good"),
            "401": {"description": "A password or a token is needed"},
            "503": failed("The store cannot be read, or too many ask"),
        });
        if about.path.contains("{id}") {
            responses["404"] = failed("There is no such incident");
        }
        let get = json!({
            "summary": about.summary, "description": about.description, "parameters": parameters(about),
            "responses": responses, "security": [{}, {"token": []}, {"password": []}],
        });
        paths.insert(about.path.to_owned(), json!({ "get": get }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "oom-agent",
            "version": "1",
            "description": "OOM kills of one machine. A field that is absent is unknown. Only GET and HEAD.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "--api-token-file"},
                "password": {"type": "http", "scheme": "basic", "description": "--web-config; or the token as the password"},
            },
        },
    })
}

#[test]
fn the_description_in_docs_is_true() {
    let mut text = serde_json::to_string_pretty(&description()).unwrap();
    text.push('\n');
    expect_file!["../../../../docs/openapi.json"].assert_eq(&text);
}

#[test]
fn every_route_is_described_and_nothing_else_of_the_api() {
    let routes: Vec<_> = ROUTES.iter().map(|(path, _)| *path).collect();
    let described: Vec<_> = PATHS.iter().map(|about| about.path).collect();
    assert_eq!(routes, described);
    for about in PATHS {
        let taken = match about.path {
            "/api/v1/incidents" => incidents::PARAMETERS,
            "/api/v1/rank" => rank::PARAMETERS,
            _ => &[],
        };
        let described: Vec<_> = about.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(described, taken, "{}", about.path);
    }
}

/// Every `$ref` leads somewhere.
#[test]
fn references_are_there() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let description = description();
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let there = reference.strip_prefix('#').and_then(|pointer| description.pointer(pointer));
        assert!(there.is_some(), "{reference}");
    }
}
