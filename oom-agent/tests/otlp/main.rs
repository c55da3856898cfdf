//! What is stored is sent, each incident once, whatever the collector does. Real sockets, a real store, a collector of the
//! test's own.

#![expect(clippy::expect_used, reason = "a test fails by panicking, also in what it is made of")]

mod collector;
mod encrypted;
mod owner;

use collector::{BOTH, Collector, Protocol, Reply, attribute};
use oom_agent::otlp::Reason;
use owner::{Owner, incident};
use std::time::Duration;

#[tokio::test]
async fn what_is_stored_arrives_once_and_in_order() {
    for protocol in BOTH {
        for more in [&[][..], &["--otlp-compression=gzip"], &["--otlp-json-kib=0"]] {
            let collector = Collector::start(protocol);
            let mut owner = Owner::new(&collector.url(), protocol, more);
            let ids = owner.put(100);
            owner.until(|owner| owner.sent() == 100).await;
            assert_eq!(collector.ids(), ids);
            assert_eq!(owner.waits().incidents, 0);
            let late = owner.put(1);
            owner.until(|owner| owner.sent() == 101).await;
            assert_eq!(collector.ids()[100..], late);

            let shared = collector.shared();
            assert!(shared.got.len() <= 4, "in batches: {}", shared.got.len());
            assert!(shared.got.iter().all(|got| got.connection == 1), "over one connection");
            let got = &shared.got[0];
            assert!(got.headers["user-agent"].to_str().expect("text").starts_with("oom-agent/"));
            let resource = got.request.resource_logs[0].resource.as_ref().expect("a resource");
            assert_eq!(attribute(&resource.attributes, "service.name"), Some("oom-agent"));
            assert_eq!(attribute(&resource.attributes, "host.name"), Some("node-7"));
            let record = got.records().next().expect("a record");
            assert_eq!(record.event_name, "oom.incident");
            let json = attribute(&record.attributes, "oom.incident");
            if more == ["--otlp-json-kib=0"] {
                assert_eq!(json, None);
            } else {
                let json: serde_json::Value = serde_json::from_str(json.expect("JSON")).expect("JSON");
                assert_eq!(json["id"], ids[0]);
            }
        }
    }
}

#[tokio::test]
async fn an_outage_loses_nothing_and_repeats_nothing() {
    for protocol in BOTH {
        let mut collector = Collector::start(protocol);
        let mut owner = Owner::new(&collector.url(), protocol, &[]);
        let mut ids = owner.put(3);
        owner.until(|owner| owner.sent() == 3).await;
        collector.stop();
        ids.extend(owner.put(5));
        owner.until(|owner| owner.failures(Reason::Unreachable) >= 2).await;
        assert_eq!(owner.waits().incidents, 5);
        collector.resume();
        owner.until(|owner| owner.sent() == 8).await;
        assert_eq!(collector.ids(), ids);
    }
}

#[tokio::test]
async fn a_restarted_agent_goes_on_with_what_was_not_acknowledged() {
    for protocol in BOTH {
        let mut collector = Collector::start(protocol);
        let mut owner = Owner::new(&collector.url(), protocol, &[]);
        let mut ids = owner.put(3);
        owner.until(|owner| owner.sent() == 3).await;
        collector.stop();
        ids.extend(owner.put(2));
        owner.until(|owner| owner.failures(Reason::Unreachable) >= 1).await;
        // As by kill -9: nothing is said to anybody.
        let mut owner = owner.restart();
        assert_eq!(owner.waits().incidents, 2);
        collector.resume();
        ids.extend(owner.put(1));
        owner.until(|owner| owner.sent() == 3).await;
        assert_eq!(collector.ids(), ids);
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_counted_and_not_sent_again() {
    for protocol in BOTH {
        let collector = Collector::start(protocol);
        let bad = if protocol == Protocol::Grpc { 3 } else { 400 };
        // One of three, told by the collector; then three at once, of which the second alone.
        collector.plan(&[
            Reply::Partial(1),
            Reply::Status(bad, None),
            Reply::Take,
            Reply::Status(bad, None),
            Reply::Take,
        ]);
        let mut owner = Owner::new(&collector.url(), protocol, &[]);
        owner.put(3);
        owner.until(|owner| owner.sent() == 2 && owner.rejected() == 1).await;
        let ids = owner.put(3);
        owner.until(|owner| owner.sent() == 4 && owner.rejected() == 2).await;
        assert_eq!(collector.ids()[3..], [ids[0].clone(), ids[2].clone()]);
        assert_eq!(owner.waits().incidents, 0);
        // And then together again.
        owner.put(2);
        owner.until(|owner| owner.sent() == 6).await;
        assert_eq!(collector.shared().got.len(), 6);
    }
}

#[tokio::test]
async fn a_busy_collector_is_left_alone_for_as_long_as_it_says() {
    for (protocol, status) in
        [(Protocol::Grpc, 14), (Protocol::Grpc, 8), (Protocol::Http, 503), (Protocol::Http, 429)]
    {
        let collector = Collector::start(protocol);
        collector.plan(&[Reply::Status(status, Some(2))]);
        let mut owner = Owner::new(&collector.url(), protocol, &[]);
        let ids = owner.put(2);
        owner.until(|owner| owner.sent() == 2).await;
        assert_eq!((owner.failures(Reason::Unavailable), collector.ids()), (1, ids));
        let shared = collector.shared();
        let pause = shared.got[1].at.duration_since(shared.got[0].at);
        assert!(pause >= Duration::from_secs(2), "{status}: {pause:?}");
    }
}

#[tokio::test]
async fn where_nobody_may_come_in_nothing_is_lost() {
    for (protocol, status) in [(Protocol::Grpc, 16), (Protocol::Http, 401), (Protocol::Http, 404)] {
        let collector = Collector::start(protocol);
        collector.plan(&[Reply::Status(status, None)]);
        let mut owner = Owner::new(&collector.url(), protocol, &[]);
        let ids = owner.put(2);
        owner.until(|owner| owner.failures(Reason::Refused) == 1).await;
        assert_eq!((owner.waits().incidents, owner.rejected()), (2, 0));
        // Somebody has put it right, and restarts the agent.
        let mut owner = owner.restart();
        owner.until(|owner| owner.sent() == 2).await;
        assert_eq!(collector.ids(), ids);
    }
}

#[tokio::test]
async fn who_does_not_answer_is_asked_again() {
    for protocol in BOTH {
        let collector = Collector::start(protocol);
        collector.plan(&[Reply::Hang, Reply::Close]);
        let mut owner = Owner::new(&collector.url(), protocol, &["--otlp-timeout=1s"]);
        let ids = owner.put(2);
        owner.until(|owner| owner.sent() == 2).await;
        assert_eq!((owner.failures(Reason::Timeout), owner.failures(Reason::Unreachable)), (1, 1));
        assert_eq!(collector.ids(), ids);
        let shared = collector.shared();
        let connections: Vec<_> = shared.got.iter().map(|got| got.connection).collect();
        assert_eq!(connections, [1, 2, 3], "each time over another connection");
    }
}

#[tokio::test]
async fn the_wrong_protocol_is_named() {
    for protocol in BOTH {
        let collector = Collector::start(protocol);
        let other = if protocol == Protocol::Grpc { Protocol::Http } else { Protocol::Grpc };
        let mut owner = Owner::new(&collector.url(), other, &["--otlp-timeout=2s"]);
        owner.put(1);
        owner.until(|owner| owner.reports.iter().any(|report| report.failure.is_some())).await;
        let failure = owner.reports[0].failure.as_ref().expect("it failed");
        let expected = if other == Protocol::Grpc { "no gRPC there" } else { "no HTTP/1.1 there" };
        assert!(failure.message.contains(expected), "{failure:?}");
        assert_eq!(owner.waits().incidents, 1);
    }
}

#[tokio::test]
async fn at_the_end_the_rest_is_sent() {
    for protocol in BOTH {
        let collector = Collector::start(protocol);
        let mut owner = Owner::new(&collector.url(), protocol, &[]);
        let ids = owner.put(70);
        owner.finish().await;
        assert_eq!(collector.ids(), ids);
        // But not for ever.
        let collector = Collector::start(protocol);
        collector.plan(&[Reply::Status(if protocol == Protocol::Grpc { 14 } else { 503 }, Some(3600))]);
        let mut owner = Owner::new(&collector.url(), protocol, &[]);
        owner.put(1);
        tokio::time::timeout(Duration::from_secs(20), owner.finish()).await.expect("it ends");
        assert_eq!(owner.waits().incidents, 1);
    }
}

#[tokio::test]
async fn headers_are_those_of_arguments_and_file_as_it_is_now() {
    for protocol in BOTH {
        let mut collector = Collector::start(protocol);
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "headers-{}-{}",
            std::process::id(),
            collector.address.port()
        ));
        std::fs::write(&file, "# a token\nauthorization = Bearer one\n").expect("a file");
        let from_file = format!("--otlp-headers-file={}", file.display());
        let mut owner =
            Owner::new(&collector.url(), protocol, &["--otlp-header=x-tenant=team a", &from_file]);
        owner.put(1);
        owner.until(|owner| owner.sent() == 1).await;
        std::fs::write(&file, "authorization=Bearer two").expect("a file");
        collector.stop();
        collector.resume();
        owner.put(1);
        owner.until(|owner| owner.sent() == 2).await;
        std::fs::remove_file(&file).expect("it is there");
        let shared = collector.shared();
        let last = shared.got.len() - 1;
        let headers = |at: usize| {
            ["x-tenant", "authorization"]
                .map(|name| shared.got[at].headers[name].to_str().expect("text").to_owned())
        };
        assert_eq!(headers(0), ["team a", "Bearer one"]);
        assert_eq!(headers(last), ["team a", "Bearer two"]);
    }
}

#[tokio::test]
async fn what_the_collector_asks_for_is_a_whole_incident() {
    let collector = Collector::start(Protocol::Grpc);
    let mut owner = Owner::new(&collector.url(), Protocol::Grpc, &[]);
    // Larger than the window of HTTP/2, and than what is kept of its JSON.
    let mut big = incident(1);
    big.kernel_log = Some("x".repeat(300_000));
    owner.put_one(&big);
    owner.until(|owner| owner.sent() == 1).await;
    let shared = collector.shared();
    let record = shared.got[0].records().next().expect("a record");
    let json = attribute(&record.attributes, "oom.incident").expect("JSON");
    assert!(json.len() <= 48 << 10 && json.contains("has only the begin of the kernel's text"));
}
