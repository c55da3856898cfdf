use super::*;
use serde_json::json;

const SECOND: u64 = 1_000_000_000;

fn watch() -> Watch {
    Watch::new("node-7", Vec::new())
}

fn pod(uid: &str, version: &str) -> String {
    json!({ "metadata": { "name": "p", "namespace": "n", "uid": uid, "resourceVersion": version } })
        .to_string()
}

fn event(kind: &str, object: &str) -> Vec<u8> {
    format!(r#"{{"type":"{kind}","object":{object}}}"#).into_bytes()
}

/// As it is after a list of two pods.
fn listed() -> Watch {
    let mut watch = watch();
    assert!(matches!(watch.next(0, 0.0).0, Step::List(_)));
    for uid in ["a", "b"] {
        assert!(matches!(watch.item(pod(uid, "3").as_bytes()), Some(Update::Pod(_))));
    }
    let around = br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}"#;
    assert_eq!(watch.listed(around), Ok(vec![Update::Watched(Some(true))]));
    assert_eq!(watch.over(Ok(()), 0, 0.0), None);
    watch
}

fn version(watch: &mut Watch) -> String {
    match watch.next(0, 0.5) {
        (Step::Watch(path, 360), _) => {
            let (begin, rest) = path.split_once("&resourceVersion=").unwrap();
            assert_eq!(
                begin,
                "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-7&watch=true&allowWatchBookmarks=true"
            );
            rest.strip_suffix("&timeoutSeconds=360").unwrap().to_owned()
        }
        (step, _) => format!("{step:?}"),
    }
}

#[test]
fn a_list_out_of_the_cache_then_a_watch_from_its_version_on() {
    let list = "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-7&resourceVersion=0";
    assert_eq!(watch().next(5, 0.9), (Step::List(list.into()), 0));
    assert_eq!(version(&mut listed()), "7");
    let mut strange = Watch::new("a&b=\u{1b}", Vec::new());
    let Step::List(path) = strange.next(0, 0.0).0 else { panic!() };
    assert!(path.contains("%3Da%26b%3D%1B&"), "{path}");
}

#[test]
fn a_watch_goes_on_from_what_was_seen_last() {
    let mut watch = listed();
    assert_eq!(watch.opened(SECOND), Update::Watched(Some(true)));
    let Ok(Some(Update::Pod(seen))) = watch.line(&event("ADDED", &pod("c", "8"))) else { panic!() };
    assert_eq!((&*seen.uid, watch.pods()), ("c", 3));
    assert!(matches!(watch.line(&event("MODIFIED", &pod("c", "9"))), Ok(Some(Update::Pod(_)))));
    assert_eq!(watch.line(&event("DELETED", &pod("a", "10"))), Ok(Some(Update::Gone("a".into()))));
    assert_eq!(version(&mut watch), "10");
    let bookmark = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"12746","creationTimestamp":null},"spec":{"containers":null},"status":{}}"#;
    assert_eq!(watch.line(&event("BOOKMARK", bookmark)), Ok(None));
    assert_eq!((version(&mut watch), watch.pods(), watch.odd()), ("12746".into(), 2, 0));
    assert_eq!(watch.line(b"  "), Ok(None));
    assert_eq!(watch.line(&event("LATER", &pod("d", "13"))), Ok(None), "a kind that is not known");
    // The server ends it by its timeout: at once again, and nothing is wrong.
    assert_eq!(watch.over(Ok(()), 300 * SECOND, 0.5), None);
    assert_eq!(watch.next(300 * SECOND, 0.5).1, 0);
}

#[test]
fn what_the_server_does_not_know_any_more_is_listed_again() {
    let mut watch = listed();
    watch.opened(0);
    let gone = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 7 (99)","reason":"Expired","code":410}"#;
    let failed = watch.line(&event("ERROR", gone)).unwrap_err();
    assert_eq!(failed, Failure::Gone);
    let (failure, update) = watch.over(Err(failed), 100 * SECOND, 1.0).unwrap();
    assert_eq!((failure, update), (Failure::Gone, Update::Watched(Some(false))));
    assert!(matches!(watch.next(100 * SECOND, 0.0), (Step::List(_), SECOND)));
    // What is not there any more was deleted in the meantime.
    watch.item(pod("b", "90").as_bytes());
    watch.item(pod("c", "91").as_bytes());
    let updates = watch.listed(br#"{"metadata":{"resourceVersion":"99"}}"#).unwrap();
    assert_eq!(updates, [Update::Gone("a".into()), Update::Watched(Some(true))]);
    assert_eq!(version(&mut watch), "99");
}

#[test]
fn failures_are_further_and_further_apart_and_nodes_too() {
    let mut watch = listed();
    let unreachable = || Err(Failure::Unreachable("refused".into()));
    let mut waits = Vec::new();
    for _ in 0..8 {
        watch.over(unreachable(), 0, 1.0);
        waits.push(watch.next(0, 0.0).1 / SECOND);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    watch.over(unreachable(), 0, 0.0);
    assert_eq!(watch.next(0, 0.0).1, 30 * SECOND, "half of it at least");
    assert_eq!(version(&mut watch), "7", "what was seen stays");
    // One that lasted begins anew.
    watch.opened(0);
    watch.over(unreachable(), SHORT_NS, 1.0);
    assert_eq!((watch.next(SHORT_NS, 0.0).1, watch.failures()), (SECOND, 1));
    // One that ends as soon as it begins, without a word, would else be opened for ever.
    watch.opened(0);
    assert_eq!(watch.over(Ok(()), 1, 1.0).unwrap().0, Failure::Short);
    assert_eq!(watch.next(1, 0.0).1, 2 * SECOND);
    watch.opened(1);
    watch.line(&event("ADDED", &pod("c", "8"))).unwrap();
    assert_eq!(watch.over(Ok(()), 2, 1.0).unwrap().0, Failure::Short);
    assert_eq!(watch.next(2, 0.0).1, SECOND, "it told something");
}

#[test]
fn a_server_may_ask_for_patience_and_who_may_not_does_not_insist() {
    let mut watch = listed();
    watch.over(Err(Failure::Busy(Some(Duration::from_secs(30)))), 0, 0.0);
    assert_eq!(watch.next(0, 0.0).1, 30 * SECOND, "never earlier than asked");
    watch.over(Err(Failure::Busy(Some(Duration::from_secs(30)))), 0, 1.0);
    assert_eq!(watch.next(0, 0.0).1, 31 * SECOND, "later, so that not all come at once");
    watch.over(Err(Failure::Busy(Some(Duration::MAX))), 0, 0.0);
    assert_eq!(watch.next(0, 0.0).1, 60 * SECOND);
    let (_, update) = watch.over(Err(Failure::Forbidden("pods is forbidden".into())), 0, 1.0).unwrap();
    assert_eq!((update, watch.next(0, 0.0).1), (Update::Watched(None), 600 * SECOND));
}

#[test]
fn what_cannot_be_read_is_a_failure_and_what_is_no_pod_is_counted() {
    let mut watch = listed();
    for wrong in [&b"x"[..], b"{}", br#"{"type":"ADDED"}"#, br#"{"type":"ADDED","object":7}"#] {
        assert!(matches!(watch.line(wrong), Err(Failure::Unreadable(_))), "{wrong:?}");
    }
    assert!(matches!(watch.listed(b"{}"), Err(Failure::Unreadable(_))));
    assert!(matches!(watch.listed(br#"{"kind":"PodList","metadata":null}"#), Err(Failure::Unreadable(_))));
    assert_eq!(watch.item(b"{\"metadata\":7}"), None);
    assert_eq!(watch.line(&event("ADDED", r#"{"metadata":{"resourceVersion":"8"}}"#)), Ok(None));
    let odd = r#"{"metadata":{"resourceVersion":"9","name":"p"},"spec":{"containers":7}}"#;
    assert_eq!(watch.line(&event("MODIFIED", odd)), Ok(None), "the others are still watched");
    assert_eq!((watch.odd(), version(&mut watch).as_str()), (3, "9"));
}

proptest::proptest! {
    #[test]
    fn nothing_that_a_server_says_is_believed_blindly(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut watch = listed();
        let _ = (watch.line(&line), watch.item(&line), watch.listed(&line));
    }
}
