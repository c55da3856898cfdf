//! OpenTelemetry's own environment variables, where they say something that a flag says too.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>. Those for logs win over those for everything.

use super::settings::{
    Compression, Endpoint, Header, Pair, Protocol, endpoint, header, pair, whole_endpoint,
};
use crate::explain::Usage;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Ends of the names of variables that are read, after `OTEL_EXPORTER_OTLP_LOGS_` or `OTEL_EXPORTER_OTLP_`.
const EXPORTER: [&str; 8] = [
    "ENDPOINT",
    "PROTOCOL",
    "HEADERS",
    "COMPRESSION",
    "TIMEOUT",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
];
/// The others. A test checks that these are all.
const OTHERS: [&str; 4] =
    ["OTEL_SDK_DISABLED", "OTEL_LOGS_EXPORTER", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"];

/// What a variable is, by its name; empty ones are not set.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    /// The variables that are read and say something.
    pub fn names(&self) -> Vec<String> {
        let of_exporter = EXPORTER
            .into_iter()
            .flat_map(|name| ["LOGS_", ""].map(|of| format!("OTEL_EXPORTER_OTLP_{of}{name}")));
        of_exporter.chain(OTHERS.map(str::to_owned)).filter(|name| self.get(name).is_some()).collect()
    }

    /// The value of a variable for logs, else of that for everything, with its name.
    fn either(&self, name: &str) -> Option<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_LOGS_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
        names.into_iter().find_map(|name| Some((self.get(&name)?, name)))
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Usage> {
        let Some((value, name)) = self.either(name) else { return Ok(None) };
        // Without the value, which may be secret.
        parse(value.trim()).map(Some).map_err(|why| Usage(format!("the environment's {name}: {why}")))
    }

    /// Nothing is to be sent, whatever else is set.
    fn is_off(&self) -> bool {
        let is =
            |name, what: &str| self.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(what));
        is("OTEL_SDK_DISABLED", "true") || is("OTEL_LOGS_EXPORTER", "none")
    }

    pub(super) fn endpoint(&self) -> Result<Option<Endpoint>, Usage> {
        if self.is_off() {
            return Ok(None);
        }
        // That for logs is the whole address.
        let whole = self.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT").is_some();
        self.parsed("ENDPOINT", if whole { whole_endpoint } else { endpoint })
    }

    pub(super) fn protocol(&self) -> Result<Option<Protocol>, Usage> {
        self.parsed("PROTOCOL", |value| match value {
            "grpc" => Ok(Protocol::Grpc),
            "http/protobuf" => Ok(Protocol::Http),
            _ => Err("must be grpc or http/protobuf".to_owned()),
        })
    }

    pub(super) fn headers(&self) -> Result<Vec<Header>, Usage> {
        let all = |value: &str| list(value).map(|item| header(&decoded(item))).collect();
        Ok(self.parsed("HEADERS", all)?.unwrap_or_default())
    }

    pub(super) fn compression(&self) -> Result<Option<Compression>, Usage> {
        self.parsed("COMPRESSION", |value| match value {
            "gzip" => Ok(Compression::Gzip),
            "none" => Ok(Compression::None),
            _ => Err("must be gzip or none".to_owned()),
        })
    }

    pub(super) fn timeout(&self) -> Result<Option<Duration>, Usage> {
        self.parsed("TIMEOUT", |value| match value.parse() {
            Ok(0) | Err(_) => Err("must be milliseconds".to_owned()),
            Ok(ms) => Ok(Duration::from_millis(ms)),
        })
    }

    pub(super) fn ca_file(&self) -> Option<PathBuf> {
        self.either("CERTIFICATE").map(|(path, _)| path.into())
    }

    pub(super) fn identity(&self) -> Option<(PathBuf, PathBuf)> {
        let path = |name| self.either(name).map(|(path, _)| PathBuf::from(path));
        path("CLIENT_CERTIFICATE").zip(path("CLIENT_KEY"))
    }

    /// `OTEL_RESOURCE_ATTRIBUTES`, and `OTEL_SERVICE_NAME`, which wins.
    pub(super) fn resource(&self) -> Result<Vec<Pair>, Usage> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let text = self.get(NAME).unwrap_or_default();
        let all: Result<Vec<_>, _> = list(&text).map(|item| pair(&decoded(item))).collect();
        let mut all = all.map_err(|why| Usage(format!("the environment's {NAME}: {why}")))?;
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            all.retain(|(key, _)| key != "service.name");
            all.push(("service.name".to_owned(), name));
        }
        Ok(all)
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// `%20` is a blank.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
