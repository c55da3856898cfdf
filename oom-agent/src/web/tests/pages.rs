//! The pages over HTTP. What they look like: `page`, and `tests/page` with a browser.

use super::{api::server, *};
use crate::page::{POLICY, assets};

/// Status, headers in small letters, and text.
async fn page(address: SocketAddr, path: &str, header: &str) -> (u16, String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n");
    let answer = say(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn pages_are_html_that_may_load_nothing_from_elsewhere() {
    let (address, _dir) = server(120);
    let (_, _, list) = page(address, "/", "").await;
    let incident = list.split("href=\"/incidents/").nth(1).unwrap().split('"').next().unwrap();
    for (path, expected, says) in [
        ("/", 200, "The last 50 incidents"),
        ("/?q=java", 200, "The last 50 incidents that match"),
        ("/?q=nothing%20has%20this", 200, "Nothing matches"),
        (&format!("/?before={incident}"), 200, "50 incidents, earlier ones"),
        (&format!("/incidents/{incident}"), 200, "In words"),
        ("/docs/oom-killer", 200, "id=\"overcommit\""),
        ("/incidents/01M7ZE4XBGWZCDK9T8XC81JPRM", 404, "No such incident"),
        ("/incidents/%3Cscript%3E", 404, "No such incident"),
        ("/rank?cgroup=/no/such/../cgroup", 400, "no/such"),
        ("/?before=%3Cscript%3E", 400, "is not an id"),
        ("/?%3Cscript%3E=1", 400, "unknown parameter"),
    ] {
        let (status, head, text) = page(address, path, "").await;
        // Where there is no memory controller, nobody can say which cgroups there are.
        assert!(status == expected || path.starts_with("/rank") && status == 503, "{path}: {status}");
        assert!(text.contains(says) || status == 503, "{path}: {text}");
        assert!(!text.contains("<script>"), "{path}: {text}");
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", POLICY),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert!(head.contains(&format!("\r\n{name}: {}", value.to_lowercase())), "{path}: {head}");
        }
    }
}

#[tokio::test]
async fn what_does_not_change_is_kept() {
    let (address, _dir) = server(0);
    for asset in [assets::STYLE, assets::SCRIPT] {
        let (status, head, text) = page(address, &asset.path(), "").await;
        assert_eq!((status, text.as_str()), (200, asset.text));
        assert!(
            head.contains("immutable") && head.contains(&format!("content-type: {}", asset.kind)),
            "{head}"
        );
        let tag = format!("If-None-Match: \"{}\"\r\n", asset.name());
        let (status, _, text) = page(address, &asset.path(), &tag).await;
        assert_eq!((status, text.as_str()), (304, ""));
    }
    assert_eq!(page(address, "/assets/page.css", "").await.0, 404);
}
