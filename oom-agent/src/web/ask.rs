//! What the web asks the agent. One thread owns the store, the metrics and the sources: it is asked, nothing is locked.

use crate::{
    filter::Selection,
    page::About,
    store::{Most, Page},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// How long the agent may take for an answer.
const BUSY: Duration = Duration::from_secs(5);

/// Who asks. Gone if it took too long.
pub type Reply<T> = oneshot::Sender<T>;
/// Of the store: else why it cannot be read.
pub type Read<T> = Result<T, String>;

/// For the one who knows.
#[derive(Debug)]
pub enum Ask {
    /// `/metrics`.
    Metrics(Reply<Answer>),
    /// `/healthz`: whether it is alive.
    Healthy(Reply<Answer>),
    /// `/readyz`: whether it sees OOM kills, and how much of them.
    Ready(Reply<Answer>),
    /// Some of the incidents.
    List(List, Reply<Read<Page>>),
    /// What is on every page.
    About(Reply<About>),
    /// An incident's JSON by its whole id.
    Incident(String, Reply<Read<Option<String>>>),
    /// Id and JSON of what was stored next after the incident with this id, or first.
    Next(Option<String>, Reply<Read<Option<(String, String)>>>),
}

/// Which incidents, newest first.
#[derive(Clone, Debug)]
pub struct List {
    /// Which.
    pub selection: Arc<Selection>,
    /// Before the one with this id.
    pub before: Option<String>,
    /// No more than that.
    pub most: Most,
}

/// A text that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// It is as it should be: status 200, else 503.
    pub good: bool,
    /// Content type.
    pub kind: &'static str,
    /// The text.
    pub body: Bytes,
}

impl Answer {
    /// Text for a person.
    pub fn text(good: bool, text: String) -> Self {
        Self { good, kind: "text/plain; charset=utf-8", body: text.into() }
    }
}

/// Asks.
#[derive(Clone, Debug)]
pub(super) struct Agent(pub(super) mpsc::Sender<Ask>);

impl Agent {
    /// `None`: it is busy, or ends.
    pub(super) async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let asked = async {
            self.0.send(ask(sender)).await.ok()?;
            receiver.await.ok()
        };
        timeout(BUSY, asked).await.ok().flatten()
    }
}
