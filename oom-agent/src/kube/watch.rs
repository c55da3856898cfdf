//! This node's pods by list and watch, as a state machine: what to ask next and when, what an answer says. Pure.
//!
//! As client-go's reflector does it (`tools/cache/reflector.go`): a list out of the API server's cache, then a watch from its
//! version on, which is opened again from the last version seen; a list again where the server does not know that one any
//! more (410).

use super::{
    failure::Failure,
    pod::{Metadata, Pod, Seen},
};
use crate::backoff;
use serde::Deserialize;
use std::{collections::HashSet, time::Duration};

/// The API server may not ask for a longer wait.
const ASKED: Duration = Duration::from_mins(1);
/// Who may not is not asked more often than this: the permission may be given later.
const FORBIDDEN: Duration = Duration::from_mins(10);
/// A watch that was open for so long was one.
const SHORT_NS: u64 = 5_000_000_000;
/// A watch ends after so many seconds and up to as many more, so that not all nodes come at once.
const WATCH_SECONDS: u64 = 240;

/// What is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All pods, at this path.
    List(String),
    /// What changes, at this path, for at most so many seconds.
    Watch(String, u64),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// A pod is there, or has changed.
    Pod(Box<Seen>),
    /// One is not any more.
    Gone(Box<str>),
    /// Whether all are known now. `None`: they are not to be.
    Watched(Option<bool>),
}

/// How far it is.
#[derive(Debug)]
pub(super) struct Watch {
    /// The node, as a part of a query.
    node: String,
    labels: Vec<String>,
    /// What was seen last. Absent: a list is needed.
    version: Option<String>,
    /// UIDs of the pods that are there.
    known: HashSet<Box<str>>,
    /// Those of the list that is being read.
    listed: HashSet<Box<str>>,
    failures: u32,
    due_ns: u64,
    opened_ns: Option<u64>,
    /// The watch told something.
    told: bool,
    /// Objects that were no pods as Kubernetes has them.
    odd: u64,
}

/// What stands around the pods of a list, or what any object has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct List {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Kind<'a> {
    r#type: &'a str,
}

#[derive(Deserialize)]
struct Of<T> {
    object: T,
}

/// What a watch ends with.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

impl Watch {
    /// Of the pods of a node, with these labels of each.
    pub(super) fn new(node: &str, labels: Vec<String>) -> Self {
        Self {
            node: form_urlencoded::byte_serialize(node.as_bytes()).collect(),
            labels,
            version: None,
            known: HashSet::new(),
            listed: HashSet::new(),
            failures: 0,
            due_ns: 0,
            opened_ns: None,
            told: false,
            odd: 0,
        }
    }

    /// What to ask next, and how many nanoseconds from now. `random`: from 0 to 1.
    pub(super) fn next(&mut self, now_ns: u64, random: f64) -> (Step, u64) {
        let all = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", self.node);
        let wait = self.due_ns.saturating_sub(now_ns);
        let Some(version) = &self.version else {
            self.listed.clear();
            // Version 0: what the server has in memory, by node. Else it would read all pods of the cluster from etcd.
            return (Step::List(format!("{all}&resourceVersion=0")), wait);
        };
        let seconds = WATCH_SECONDS + (random * WATCH_SECONDS as f64) as u64;
        let version: String = form_urlencoded::byte_serialize(version.as_bytes()).collect();
        let path = format!(
            "{all}&watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
        );
        (Step::Watch(path, seconds), wait)
    }

    /// A pod of a list.
    pub(super) fn item(&mut self, bytes: &[u8]) -> Option<Update> {
        let pod: Pod = serde_json::from_slice(bytes).unwrap_or_default();
        let seen = self.seen(pod)?;
        self.listed.insert(seen.uid.clone());
        Some(Update::Pod(Box::new(seen)))
    }

    /// A list is complete. `around`: what stood around its pods.
    ///
    /// # Errors
    /// It does not say which version it is of.
    pub(super) fn listed(&mut self, around: &[u8]) -> Result<Vec<Update>, Failure> {
        let List { metadata } = read(around)?;
        if metadata.resource_version.is_empty() {
            return Err(Failure::Unreadable("a list without a version".to_owned()));
        }
        self.version = Some(metadata.resource_version);
        let there = std::mem::take(&mut self.listed);
        let before = std::mem::replace(&mut self.known, there);
        let gone = before.into_iter().filter(|uid| !self.known.contains(uid)).map(Update::Gone);
        Ok(gone.chain([Update::Watched(Some(true))]).collect())
    }

    /// A watch begins.
    pub(super) fn opened(&mut self, now_ns: u64) -> Update {
        (self.opened_ns, self.told) = (Some(now_ns), false);
        Update::Watched(Some(true))
    }

    /// A line of a watch.
    ///
    /// # Errors
    /// It cannot be read, or says that the watch is over.
    pub(super) fn line(&mut self, bytes: &[u8]) -> Result<Option<Update>, Failure> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let Kind { r#type } = read(bytes)?;
        if r#type == "ERROR" {
            let Of { object: Status { code, message } } = read(bytes)?;
            return Err(Failure::of_status(code, message, None));
        }
        let Of::<List> { object } = read(bytes)?;
        let version = object.metadata.resource_version;
        self.told = true;
        if !version.is_empty() {
            self.version = Some(version);
        }
        if r#type == "BOOKMARK" {
            return Ok(None);
        }
        let pod = read(bytes).map(|Of::<Pod> { object }| object).unwrap_or_default();
        Ok(match r#type {
            "ADDED" | "MODIFIED" => self.seen(pod).map(|seen| {
                self.known.insert(seen.uid.clone());
                Update::Pod(Box::new(seen))
            }),
            "DELETED" => self.seen(pod).map(|seen| {
                self.known.remove(&seen.uid);
                Update::Gone(seen.uid)
            }),
            _ => None,
        })
    }

    fn seen(&mut self, pod: Pod) -> Option<Seen> {
        let seen = pod.seen(&self.labels);
        self.odd += u64::from(seen.is_none());
        seen
    }

    /// A step is over. What of it was a failure, if anything. `random`: from 0 to 1.
    pub(super) fn over(
        &mut self,
        done: Result<(), Failure>,
        now_ns: u64,
        random: f64,
    ) -> Option<(Failure, Update)> {
        let opened = self.opened_ns.take();
        let was_long = opened.is_some_and(|opened| now_ns.saturating_sub(opened) >= SHORT_NS);
        if was_long || std::mem::take(&mut self.told) {
            self.failures = 0;
        }
        let failure = match done {
            Ok(()) if was_long || opened.is_none() => {
                self.due_ns = now_ns;
                return None;
            }
            Ok(()) => Failure::Short,
            Err(failure) => failure,
        };
        if failure == Failure::Gone {
            self.version = None;
        }
        let wait = backoff::longest(self.failures);
        self.failures += 1;
        let wait = if matches!(failure, Failure::Forbidden(_)) { FORBIDDEN } else { wait };
        // Nodes that failed together do not come again together.
        let wait = backoff::spread(wait, random);
        let wait = match failure {
            Failure::Busy(Some(asked)) => wait.max(backoff::later(asked.min(ASKED), random)),
            _ => wait,
        };
        self.due_ns = now_ns.saturating_add(wait.as_nanos() as u64);
        let watched = if matches!(failure, Failure::Forbidden(_)) { None } else { Some(false) };
        Some((failure, Update::Watched(watched)))
    }

    /// How often it failed since it last worked.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Pods that are there.
    pub(super) fn pods(&self) -> u64 {
        self.known.len() as u64
    }

    /// Objects that were no pods as Kubernetes has them.
    pub(super) const fn odd(&self) -> u64 {
        self.odd
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests;
