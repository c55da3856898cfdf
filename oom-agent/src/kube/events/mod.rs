//! Kills as Kubernetes Events, on the pod and, where the machine was full, on the node. Nobody waits for them: what cannot be
//! written in time is dropped and counted.
//!
//! # Layout
//! - [`Events`]: takes incidents, writes in a task of its own.
//! - `event`: PURE. An incident as Events. `pace`: PURE. Which are written when.

mod event;
mod pace;

use super::{
    client::{self, Client, Connection},
    failure::Failure,
    stats::{FailureCounts, Failures},
};
use crate::{
    clock,
    incident::model::Incident,
    note::{note, warn},
};
use event::Draft;
use http::Method;
use jiff::Timestamp;
pub use pace::Dropped;
use pace::{Job, Pace};
use serde::Deserialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};

/// Events that wait to be looked at.
const WAITING: usize = 128;
/// Where it is asked whether Events may be written.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const REVIEW: &str = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"group":"events.k8s.io","resource":"events","verb":"create"}}}"#;
/// What a namespace that is being deleted says against new objects (`NamespaceTerminatingCause`); no want of permission.
const TERMINATING: &str = "is being terminated";

/// Takes incidents and writes Events.
#[derive(Debug)]
pub struct Events {
    drafts: Sender<Draft>,
    stats: Arc<Stats>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Stats {
    created: AtomicU64,
    updated: AtomicU64,
    failures: Failures,
    dropped: [AtomicU64; Dropped::NAMES.len()],
    /// Of those, what this side counts.
    full: AtomicU64,
    nameless: AtomicU64,
}

/// What was written and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Events that were made.
    pub created: u64,
    /// Times that one was changed since it happened again.
    pub updated: u64,
    /// Requests that failed; those that are worth it are tried again.
    pub failures: FailureCounts,
    /// Events that were not written, in the order of [`Dropped::NAMES`].
    pub dropped: [u64; Dropped::NAMES.len()],
}

impl Events {
    /// Asks whether it may, within a tokio runtime.
    pub fn start(client: Arc<Client>) -> Self {
        let (drafts, waiting) = channel(WAITING);
        let stats = Arc::new(Stats::default());
        let task = tokio::spawn(write(client, waiting, Arc::clone(&stats)));
        Self { drafts, stats, task }
    }

    /// An incident was told. Never waits.
    pub fn tell(&self, incident: &Incident) {
        let (drafts, nameless) = event::drafts(incident, Timestamp::now().as_microsecond());
        self.stats.nameless.fetch_add(nameless, Relaxed);
        for draft in drafts {
            if self.drafts.try_send(draft).is_err() {
                self.stats.full.fetch_add(1, Relaxed);
            }
        }
    }

    /// What was written and what was not.
    pub fn stats(&self) -> Written {
        let Stats { created, updated, failures, dropped, full, nameless } = &*self.stats;
        let mut dropped = dropped.each_ref().map(|count| count.load(Relaxed));
        for (why, count) in [(Dropped::Full, full), (Dropped::Nameless, nameless)] {
            dropped[why as usize] += count.load(Relaxed);
        }
        Written {
            created: created.load(Relaxed),
            updated: updated.load(Relaxed),
            failures: failures.read(),
            dropped,
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(client: Arc<Client>, mut drafts: Receiver<Draft>, stats: Arc<Stats>) {
    let mut pace = Pace::new(clock::boottime_ns());
    let mut said = false;
    match may_write(&client).await {
        Ok(true) => note("Events: each kill is written on its pod"),
        Ok(false) => forbidden(&mut pace, &mut said, "create events.events.k8s.io"),
        // It will be seen with the first Event.
        Err(failure) => tracing::debug!("may Events be written? The API server {failure}"),
    }
    loop {
        let wait = pace.due_ns().map(|due| due.saturating_sub(clock::boottime_ns()));
        tokio::select! {
            draft = drafts.recv() => match draft {
                Some(draft) => pace.offer(draft, clock::boottime_ns()),
                None => return,
            },
            () = clock::after(wait.map(Duration::from_nanos)) => {}
        }
        // One connection for all that is due.
        let mut connection = None;
        while let Some(job) = pace.next(clock::boottime_ns()) {
            let done = put(&client, &mut connection, &job).await;
            match &done {
                Ok(()) if job.create => drop(stats.created.fetch_add(1, Relaxed)),
                Ok(()) => drop(stats.updated.fetch_add(1, Relaxed)),
                Err(failure) => {
                    stats.failures.count(failure);
                    tracing::debug!("an Event in {}: the API server {failure}", job.namespace);
                    connection = None;
                }
            }
            match &done {
                Ok(()) => said = false,
                Err(Failure::Forbidden(why)) => forbidden(&mut pace, &mut said, why),
                Err(_) => {}
            }
            pace.done(&job, done, clock::boottime_ns());
            while let Ok(draft) = drafts.try_recv() {
                pace.offer(draft, clock::boottime_ns());
            }
        }
        for (count, dropped) in stats.dropped.iter().zip(pace.dropped()) {
            count.store(dropped, Relaxed);
        }
    }
}

fn forbidden(pace: &mut Pace, said: &mut bool, why: &str) {
    pace.forbidden(clock::boottime_ns());
    if !std::mem::replace(said, true) {
        warn(&format!(
            "no Events on pods: Kubernetes does not permit it ({why}); it is tried again every 10 min"
        ));
    }
}

async fn may_write(client: &Client) -> Result<bool, Failure> {
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        allowed: bool,
    }
    let mut connection = client.connect().await?;
    let body = Some(("application/json", REVIEW.to_owned()));
    let answer = client.ask(&mut connection, Method::POST, REVIEWS, body).await?;
    let review: Result<Review, _> = serde_json::from_slice(&client::whole(answer).await?);
    review.map(|it| it.status.allowed).map_err(|error| Failure::Unreadable(error.to_string()))
}

async fn put(client: &Client, connection: &mut Option<Connection>, job: &Job) -> Result<(), Failure> {
    let open = match connection.take().filter(|open| !open.is_closed()) {
        Some(open) => open,
        None => client.connect().await?,
    };
    let open = connection.insert(open);
    let Job { create, namespace, name, body, .. } = job;
    let all = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let (method, path, kind) = if *create {
        (Method::POST, all, "application/json")
    } else {
        (Method::PATCH, format!("{all}/{name}"), "application/merge-patch+json")
    };
    let answer = match client.ask(open, method, &path, Some((kind, body.clone()))).await {
        Err(Failure::Forbidden(why)) if why.contains(TERMINATING) => return Err(Failure::Refused(403, why)),
        other => other?,
    };
    // The connection is free for the next one when all was read.
    client::whole(answer).await.map(drop)
}
