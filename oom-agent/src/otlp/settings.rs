//! Where to send, and how: flags and keys of the configuration, then OpenTelemetry's own environment variables.

use super::environment::Environment;
use crate::explain::Usage;
use crate::startup::duration;
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Uri, uri::Scheme};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Incidents that may wait, unless it is said otherwise.
const QUEUE: u64 = 10_000;
/// How long one attempt may take, unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where gRPC is spoken, by convention.
const GRPC_PORT: u16 = 4317;
/// What is asked for by HTTP.
const LOGS: &str = "/v1/logs";

const ENDPOINT: &str = "Send incidents as OTLP logs to this collector: http://HOST:4318, https://HOST:4317. Without it \
                        nothing is sent, unless OTEL_EXPORTER_OTLP_ENDPOINT is set (docs/fleet.md)";

/// Arguments of `run` that are about OTLP.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "OpenTelemetry")]
pub struct OtlpArgs {
    /// Where incidents are sent.
    #[arg(long, value_name = "URL", value_parser = endpoint, help = ENDPOINT)]
    pub otlp_endpoint: Option<Endpoint>,
    /// How. Without it: grpc where the port is 4317, else http/protobuf.
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    pub otlp_protocol: Option<Protocol>,
    /// Sent with each request; may be repeated. What is secret belongs into a file: arguments can be seen by everybody.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    pub otlp_header: Vec<Header>,
    /// Lines of NAME=VALUE, sent with each request. Read for each connection.
    #[arg(long, value_name = "FILE")]
    pub otlp_headers_file: Option<PathBuf>,
    /// Certificates (PEM) that the collector's has to be signed by, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub otlp_ca_file: Option<PathBuf>,
    /// The agent's own certificate (PEM), for a collector that asks for one. Read for each connection.
    #[arg(long, value_name = "FILE", requires = "otlp_key_file")]
    pub otlp_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "otlp_cert_file")]
    pub otlp_key_file: Option<PathBuf>,
    /// How requests are compressed.
    #[arg(long, value_enum, value_name = "HOW")]
    pub otlp_compression: Option<Compression>,
    /// How long one attempt may take, the connection included [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub otlp_timeout: Option<Duration>,
    /// An attribute of the resource that incidents are from, as k8s.cluster.name=prod; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub otlp_resource: Vec<Pair>,
    /// Incidents that may wait until they can be sent. Of more the oldest are not sent any more; the store keeps them.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1_000_000),
        default_value_t = QUEUE)]
    pub otlp_queue: u64,
    /// KiB of an incident's JSON that are sent with it, at most; of a longer one candidates and the kernel's text are cut.
    /// 0: none, only the attributes.
    #[arg(long, value_name = "KIB", value_parser = clap::value_parser!(u16).range(0..=1024), default_value_t = 48)]
    pub otlp_json_kib: u16,
}

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// A POST with protobuf over HTTP/1.1.
    #[value(name = "http/protobuf", alias = "http")]
    Http,
}

impl Protocol {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Not.
    #[default]
    None,
    /// gzip.
    Gzip,
}

/// A collector's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// With TLS.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// As it was given.
    pub authority: String,
    /// What is asked for by HTTP.
    pub path: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

impl Endpoint {
    /// `http` or `https`.
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// A header. Its value may be secret.
pub type Header = (HeaderName, HeaderValue);
/// An attribute of the resource.
pub type Pair = (String, String);

/// What is in effect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to.
    pub endpoint: Endpoint,
    /// How.
    pub protocol: Protocol,
    /// Sent with each request.
    pub headers: Vec<Header>,
    /// The same from a file.
    pub headers_file: Option<PathBuf>,
    /// Whose certificates are good.
    pub ca_file: Option<PathBuf>,
    /// The agent's own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// How requests are compressed.
    pub compression: Compression,
    /// Of one attempt.
    pub timeout: Duration,
    /// Attributes of the resource.
    pub resource: Vec<Pair>,
    /// Incidents that may wait.
    pub queue: u64,
    /// Bytes of an incident's JSON.
    pub json_bytes: usize,
}

impl Settings {
    /// What arguments and environment together say. `None`: nothing is to be sent.
    ///
    /// # Errors
    /// A variable of the environment that is no good.
    pub fn new(args: &OtlpArgs, environment: &Environment<'_>) -> Result<Option<Self>, Usage> {
        let from_environment = environment.endpoint()?;
        let Some(endpoint) = args.otlp_endpoint.clone().or(from_environment) else { return Ok(None) };
        let by_port = if endpoint.port == GRPC_PORT { Protocol::Grpc } else { Protocol::Http };
        let mut headers = environment.headers()?;
        headers.retain(|(name, _)| args.otlp_header.iter().all(|(other, _)| other != name));
        headers.extend(args.otlp_header.iter().cloned());
        let mut resource = environment.resource()?;
        resource.retain(|(key, _)| args.otlp_resource.iter().all(|(other, _)| other != key));
        resource.extend(args.otlp_resource.iter().cloned());
        let identity = args.otlp_cert_file.clone().zip(args.otlp_key_file.clone());
        Ok(Some(Self {
            endpoint,
            protocol: args.otlp_protocol.or(environment.protocol()?).unwrap_or(by_port),
            headers,
            headers_file: args.otlp_headers_file.clone(),
            ca_file: args.otlp_ca_file.clone().or_else(|| environment.ca_file()),
            identity: identity.or_else(|| environment.identity()),
            compression: args.otlp_compression.or(environment.compression()?).unwrap_or_default(),
            timeout: args.otlp_timeout.or(environment.timeout()?).unwrap_or(TIMEOUT),
            resource,
            queue: args.otlp_queue,
            json_bytes: usize::from(args.otlp_json_kib) << 10,
        }))
    }

    /// Files that are read again after the start.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.headers_file.iter().chain(&self.ca_file).chain(identity)
    }
}

/// A URL of a collector: of HTTP the part before `/v1/logs`, which may be there as well.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let mut endpoint = whole_endpoint(text)?;
    let base = endpoint.path.trim_end_matches('/');
    if !base.ends_with(LOGS) {
        endpoint.path = format!("{base}{LOGS}");
    }
    Ok(endpoint)
}

/// The same with all of its path.
pub(super) fn whole_endpoint(text: &str) -> Result<Endpoint, String> {
    const FORM: &str = "must be http://HOST:PORT or https://HOST:PORT";
    let uri: Uri = text.trim().parse().map_err(|error| format!("{FORM} ({error})"))?;
    let scheme = uri.scheme().ok_or(FORM)?;
    let tls = *scheme == Scheme::HTTPS;
    let authority = uri.authority().filter(|_| tls || *scheme == Scheme::HTTP).ok_or(FORM)?;
    if authority.as_str().contains('@') {
        return Err("a user in it would be seen by everybody: passwords belong into a file of headers".into());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(FORM.into());
    }
    let port = match authority.port_u16() {
        Some(0) => return Err("port 0 is none".into()),
        Some(port) => port,
        None if authority.as_str().len() > authority.host().len() => return Err(FORM.into()),
        None => [80, 443][usize::from(tls)],
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok(Endpoint { tls, host, port, authority: authority.as_str().to_owned(), path })
}

/// `NAME=VALUE`. What is wrong with it is said without its value.
pub(super) fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let name: HeaderName =
        name.trim().parse().map_err(|_| "must be NAME=VALUE, with a name of a header".to_owned())?;
    let mut value: HeaderValue = value
        .trim()
        .parse()
        .map_err(|_| format!("the value of {name} has characters that no header can have"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<Pair, String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    let key = key.trim();
    if key.is_empty() {
        Err("must be KEY=VALUE".into())
    } else {
        Ok((key.to_owned(), value.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests;
