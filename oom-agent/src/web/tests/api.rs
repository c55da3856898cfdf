//! The API, with a store on disk.

use super::*;
use crate::{
    incident::{diagnosis::diagnose, id::incident_id, model::Incident},
    page::About,
    sink::{json, samples},
    store::Retention,
};
use serde_json::Value;
use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// `number`th of some incidents, a second after the one before.
pub(super) fn incident(number: u64) -> Incident {
    let mut incident = if number.is_multiple_of(2) { samples::memcg() } else { samples::none_killable() };
    let unix_ms = 4_000_000_000_000 + number * 1000;
    incident.id = incident_id(unix_ms, "boot", number, number);
    incident.time = Some(jiff::Timestamp::from_millisecond(unix_ms as i64).unwrap().to_string());
    incident.boottime_ns = Some(number * 1_000_000_000);
    incident.diagnosis = diagnose(&incident);
    incident
}

/// Answers as the daemon does. `None`: the disk cannot be read.
fn answer(store: Option<&Store>, ask: Ask) {
    let unread = || "the store cannot be read: it is broken".to_owned();
    match ask {
        Ask::List(List { selection, before, most }, reply) => drop(reply.send(match store {
            Some(store) => {
                let mut wants = |incident: &Incident| selection.wants(incident);
                store.list(before.as_deref(), most, &mut wants).map_err(|error| error.to_string())
            }
            None => Err(unread()),
        })),
        Ask::Incident(id, reply) => drop(reply.send(match store {
            Some(store) => store.get(&id).map_err(|error| error.to_string()),
            None => Err(unread()),
        })),
        Ask::Next(id, reply) => drop(reply.send(match store {
            Some(store) => store.following(id.as_deref()).map_err(|error| error.to_string()),
            None => Err(unread()),
        })),
        Ask::About(reply) => drop(reply.send(About { node: Some("n".into()), ..About::default() })),
        Ask::Metrics(reply) | Ask::Healthy(reply) | Ask::Ready(reply) => {
            drop(reply.send(Answer::text(true, "ok\n".into())));
        }
    }
}

/// A store that incidents are put into while a server answers from it.
#[derive(Clone)]
pub(super) struct Shared {
    store: Arc<Mutex<Store>>,
    news: Arc<watch::Sender<Option<String>>>,
    server: Arc<OnceLock<Server>>,
    asked: Arc<AtomicUsize>,
}

impl Shared {
    pub(super) fn put(&self, incident: &Incident) {
        self.store.lock().unwrap().put(incident);
        self.news.send_replace(Some(incident.id.clone()));
    }

    pub(super) fn counts(&self) -> Counts {
        self.server.get().unwrap().counts()
    }
}

/// A server with so many incidents.
pub(super) fn server(incidents: u64) -> (SocketAddr, TestRoot) {
    let (address, dir, _) = shared(incidents);
    (address, dir)
}

pub(super) fn shared(incidents: u64) -> (SocketAddr, TestRoot, Shared) {
    shared_with(incidents, Patience::default())
}

pub(super) fn shared_with(incidents: u64, patience: Patience) -> (SocketAddr, TestRoot, Shared) {
    shared_by(incidents, open(), patience)
}

pub(super) fn shared_by(
    incidents: u64,
    access: Arc<Access>,
    patience: Patience,
) -> (SocketAddr, TestRoot, Shared) {
    let dir = TestRoot::new();
    let (mut store, _) = Store::open(dir.path(), Retention::default()).unwrap();
    store.put_all(&(0..incidents).map(incident).collect::<Vec<_>>());
    let (news, _) = watch::channel(store.last_stored().unwrap());
    let shared = Shared {
        store: Arc::new(Mutex::new(store)),
        news: Arc::new(news),
        server: Arc::default(),
        asked: Arc::default(),
    };
    (serve_with(Some(shared.clone()), access, patience), dir, shared)
}

fn serve_with(shared: Option<Shared>, access: Arc<Access>, patience: Patience) -> SocketAddr {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = address(&listener).unwrap();
    let (sender, mut asks) = mpsc::channel(16);
    let (none, _) = watch::channel(None);
    let news = shared.as_ref().map_or(&none, |shared| &shared.news).subscribe();
    let server = Server::new(sender, news, access, patience).unwrap();
    if let Some(shared) = &shared {
        let _ = shared.server.set(server.clone());
    }
    tokio::spawn(serve(listener, server));
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            if let Some(shared) = &shared {
                shared.asked.fetch_add(1, Ordering::Relaxed);
            }
            answer(shared.as_ref().map(|shared| shared.store.lock().unwrap()).as_deref(), ask);
        }
    });
    address
}

/// Status, content type and JSON.
async fn json(address: SocketAddr, path: &str) -> (u16, String, Value) {
    let answer = say(address, &get(path)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head[9..12].parse().unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, kind.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn ids(list: &Value) -> Vec<&str> {
    list["incidents"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_is_newest_first_and_goes_on_where_it_ended() {
    let (address, _dir) = server(7);
    let expected: Vec<String> = (0..7).rev().map(|number| incident(number).id).collect();
    let (status, kind, all) = json(address, "/api/v1/incidents").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert_eq!(ids(&all), expected);
    assert_eq!((&all["next"], &all["unreadable"]), (&Value::Null, &Value::from(0)));
    let mut seen = Vec::new();
    let mut path = "/api/v1/incidents?limit=3".to_owned();
    loop {
        let (_, _, page) = json(address, &path).await;
        seen.extend(ids(&page).iter().map(|id| (*id).to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/incidents?limit=3&before={next}");
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_list_has_what_is_short_and_one_has_everything() {
    let (address, _dir) = server(1);
    let (_, _, list) = json(address, "/api/v1/incidents").await;
    let brief = &list["incidents"][0];
    assert_eq!(brief["victims"][0]["comm"], "java");
    assert_eq!(brief["scope"]["cgroup"], "/demo");
    assert!(brief["headline"].as_str().unwrap().contains("was killed"), "{brief}");
    assert!(brief.get("candidates").is_none() && brief.get("kernel_log").is_none());
    let whole = say(address, &get(&format!("/api/v1/incidents/{}", incident(0).id))).await;
    let expected = json::line(&incident(0));
    assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with(expected.trim_end()), "{whole}");
}

#[tokio::test]
async fn filters_mean_what_those_of_the_command_mean() {
    let (address, _dir) = server(6);
    let since = jiff::Timestamp::from_millisecond(4_000_000_002_000).unwrap();
    for (query, numbers) in [
        ("victim=java", &[4, 2, 0][..]),
        ("victim=81234&limit=2", &[4, 2]),
        ("victim=nobody", &[]),
        ("cgroup=%2Fde*", &[4, 2, 0]),
        ("cgroup=%2Fde", &[]),
        ("scope=memcg&victim=j%3Fva", &[4, 2, 0]),
        ("scope=sysrq", &[]),
        (&format!("since={since}"), &[5, 4, 3, 2]),
        (&format!("until={since}"), &[1, 0]),
        ("since=3s&until=5s", &[4, 3]),
        ("diagnosis=fork_bomb", &[]),
    ] {
        let (status, _, list) = json(address, &format!("/api/v1/incidents?{query}")).await;
        assert_eq!(status, 200, "{query}: {list}");
        let expected: Vec<String> = numbers.iter().map(|number| incident(*number).id).collect();
        assert_eq!(ids(&list), expected, "{query}");
    }
    let code = serde_json::to_value(incident(0).diagnosis[0].code).unwrap();
    let (_, _, list) =
        json(address, &format!("/api/v1/incidents?diagnosis={}", code.as_str().unwrap())).await;
    assert_eq!(ids(&list).len(), 3);
}

#[tokio::test]
async fn what_nothing_fits_is_looked_for_in_steps_and_not_where_it_cannot_be() {
    let (address, _dir, shared) = shared(600);
    for (query, steps) in [("victim=nobody", 3), ("victim=nobody&since=2100-01-01T00:00:00Z", 1)] {
        shared.asked.store(0, Ordering::Relaxed);
        let (_, _, list) = json(address, &format!("/api/v1/incidents?{query}")).await;
        assert_eq!((ids(&list).len(), &list["next"]), (0, &Value::Null), "{query}");
        assert_eq!(shared.asked.load(Ordering::Relaxed), steps, "{query}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_named() {
    let (address, _dir) = server(1);
    for (path, status, parameter, says) in [
        ("incidents?frob=1", 400, "frob", "known: before, limit, since"),
        ("incidents?limit=0", 400, "limit", "from 1 to 200"),
        ("incidents?limit=201", 400, "limit", "from 1 to 200"),
        ("incidents?limit=5&limit=6", 400, "limit", "twice"),
        ("incidents?since=soon", 400, "since", "2026-11-20"),
        ("incidents?scope=all", 400, "scope", "`memcg`"),
        ("incidents?diagnosis=x", 400, "diagnosis", "`steady_leak`"),
        ("incidents?before=%27--", 400, "before", "next"),
        ("incidents/01M7ZE4XBGWZCDK9T8XC81JPRM?a=b", 400, "a", "known: none"),
        ("incidents/01M7ZE4XBGWZCDK9T8XC81JPRM", 404, "", "no incident with this id"),
        ("incidents/%ff%fe", 404, "", "no incident with this id"),
        ("incidents/latest", 404, "", "no incident with this id"),
        ("incidents/..%2F..%2Fetc%2Fpasswd", 404, "", "no incident with this id"),
        ("frob", 404, "", "/api/v1/incidents"),
    ] {
        let (got, kind, problem) = json(address, &format!("/api/v1/{path}")).await;
        assert_eq!((got, kind.as_str()), (status, "application/problem+json"), "{path}: {problem}");
        assert_eq!(problem["status"], status, "{path}");
        assert_eq!(problem["parameter"].as_str().unwrap_or_default(), parameter, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
    let refused = say(address, b"DELETE /api/v1/incidents HTTP/1.0\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.0 405 ") && refused.contains("\"only GET and HEAD\""), "{refused}");
    assert!(refused.contains("allow: GET,HEAD\r\n"), "{refused}");
    let head = say(address, b"HEAD /api/v1/incidents HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.0 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_said() {
    let address = serve_with(None, open(), Patience::default());
    for path in ["/api/v1/incidents".to_owned(), format!("/api/v1/incidents/{}", incident(1).id)] {
        let (status, kind, problem) = json(address, &path).await;
        assert_eq!((status, kind.as_str()), (503, "application/problem+json"), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains("it is broken"), "{problem}");
    }
}
