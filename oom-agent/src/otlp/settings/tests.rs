//! What flags and environment together say.

use super::*;
use clap::Parser;
use std::{cell::RefCell, collections::BTreeSet};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    otlp: OtlpArgs,
}

fn settings(args: &[&str], environment: &[(&str, &str)]) -> Result<Option<Settings>, String> {
    let args = ["x"].iter().chain(args);
    let cli = Cli::try_parse_from(args).map_err(|error| error.to_string())?;
    let get = |name: &str| environment.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    Settings::new(&cli.otlp, &Environment(&get)).map_err(|error| error.0)
}

fn some(args: &[&str], environment: &[(&str, &str)]) -> Settings {
    settings(args, environment).unwrap().unwrap()
}

#[test]
fn nothing_is_sent_unless_somebody_says_where_to() {
    assert!(settings(&[], &[]).unwrap().is_none());
    assert!(settings(&["--otlp-resource=a=b"], &[("OTEL_SERVICE_NAME", "x")]).unwrap().is_none());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
    assert!(settings(&[], &[endpoint]).unwrap().is_some());
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_LOGS_EXPORTER", "none")] {
        assert!(settings(&[], &[endpoint, off]).unwrap().is_none(), "{off:?}");
    }
}

#[test]
fn every_variable_that_is_read_is_named() {
    let asked = RefCell::new(BTreeSet::new());
    let record = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://collector:4317".to_owned())
    };
    assert!(Settings::new(&Cli::parse_from(["x"]).otlp, &Environment(&record)).unwrap().is_some());
    let named = Environment(&|_| Some("x".to_owned())).names();
    assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), asked.into_inner());
    assert_eq!(Environment(&|_| Some(" ".to_owned())).names(), [""; 0], "says nothing");
}

#[test]
fn addresses() {
    let of = |url| endpoint(url).map(|it| (it.tls, it.host, it.port, it.path));
    let good = |tls, host: &str, port, path: &str| Ok((tls, host.to_owned(), port, path.to_owned()));
    assert_eq!(of("http://collector:4318"), good(false, "collector", 4318, "/v1/logs"));
    assert_eq!(of("https://gateway.example/otlp/"), good(true, "gateway.example", 443, "/otlp/v1/logs"));
    assert_eq!(of("http://h/v1/logs"), good(false, "h", 80, "/v1/logs"));
    assert_eq!(of("http://[::1]:4317/"), good(false, "::1", 4317, "/v1/logs"));
    assert_eq!(endpoint("https://[::1]:4317").unwrap().to_string(), "https://[::1]:4317");
    for wrong in [
        "",
        "collector:4317",
        "collector",
        "ftp://x",
        "http://",
        "/v1/logs",
        "http://h:0",
        "http://h:99999",
        "http://h:",
    ] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    let secret = of("http://user:secret@h:1").unwrap_err();
    assert!(secret.contains("file of headers") && !secret.contains("secret@"), "{secret}");
}

#[test]
fn the_port_of_grpc_says_grpc() {
    let protocol = |args: &[&str]| some(args, &[]).protocol;
    assert_eq!(protocol(&["--otlp-endpoint=http://h:4317"]), Protocol::Grpc);
    assert_eq!(protocol(&["--otlp-endpoint=http://h:4318"]), Protocol::Http);
    assert_eq!(protocol(&["--otlp-endpoint=https://h"]), Protocol::Http);
    assert_eq!(protocol(&["--otlp-endpoint=https://h", "--otlp-protocol=grpc"]), Protocol::Grpc);
    let http = ["--otlp-endpoint=https://h:4317", "--otlp-protocol=http/protobuf"];
    assert_eq!(protocol(&http), Protocol::Http);
}

#[test]
fn flags_win_over_variables_and_those_for_logs_over_those_for_all() {
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1/base"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=one%20two, authorization=Basic%20YTpi"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=a,service.name=b,deployment.environment.name=c"),
        ("OTEL_SERVICE_NAME", "oom"),
    ];
    let from = some(&[], &environment);
    assert_eq!((from.endpoint.host.as_str(), from.endpoint.path.as_str()), ("all", "/base/v1/logs"));
    assert_eq!((from.protocol, from.compression), (Protocol::Http, Compression::Gzip));
    assert_eq!(from.timeout, Duration::from_millis(2500));
    let headers: Vec<_> = from.headers.iter().map(|it| (it.0.as_str(), it.1.to_str().unwrap())).collect();
    assert_eq!(headers, [("x-tenant", "one two"), ("authorization", "Basic YTpi")]);
    assert!(!format!("{from:?}").contains("YTpi"), "secrets are not shown");
    assert_eq!(from.files().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), ["/ca", "/cert", "/key"]);
    let resource: Vec<_> = from.resource.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    assert_eq!(
        resource,
        [("k8s.cluster.name", "a"), ("deployment.environment.name", "c"), ("service.name", "oom")]
    );

    let args = [
        "--otlp-endpoint=http://flag:4317",
        "--otlp-header=x-tenant=three",
        "--otlp-timeout=1s",
        "--otlp-resource=k8s.cluster.name=d",
        "--otlp-compression=none",
        "--otlp-ca-file=/own",
    ];
    let both = some(&args, &environment);
    assert_eq!((both.endpoint.host.as_str(), both.timeout), ("flag", Duration::from_secs(1)));
    assert_eq!((both.compression, both.ca_file), (Compression::None, Some("/own".into())));
    assert!(both.headers.iter().any(|it| it.0 == "x-tenant" && it.1 == "three") && both.headers.len() == 2);
    assert!(both.resource.contains(&("k8s.cluster.name".into(), "d".into())) && both.resource.len() == 3);

    let whole = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:1/as/it/is");
    let from = some(&[], &[environment[0], whole]);
    assert_eq!((from.endpoint.host.as_str(), from.endpoint.path.as_str()), ("logs", "/as/it/is"));
}

#[test]
fn what_is_wrong_is_named_and_secrets_are_not_told() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4317");
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "h:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret-without-a-name"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
    ] {
        let why = settings(&[], &[endpoint, (name, value)]).unwrap_err();
        assert!(why.contains(name) && !why.contains("secret"), "{why}");
    }
    assert!(header("x=\u{7}secret").unwrap_err().contains("the value of x"));
    for wrong in [
        "--otlp-endpoint=h",
        "--otlp-header=x",
        "--otlp-resource==x",
        "--otlp-queue=0",
        "--otlp-json-kib=2000",
        "--otlp-timeout=0s",
        "--otlp-protocol=http/json",
        "--otlp-cert-file=/x",
    ] {
        assert!(settings(&["--otlp-endpoint=http://h:1", wrong], &[]).is_err(), "{wrong}");
    }
}
