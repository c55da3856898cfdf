//! What waits in the store is sent, in the order of being stored. It is taken from there when the collector has it: what is
//! not acknowledged is sent again, also by the next agent. The collector knows it by `log.record.uid`.
//!
//! Nothing here wakes up while nothing waits. A connection is made for what there is, and kept for some seconds: ten
//! thousand agents with an open connection each would be a burden for who has none to tell.

use super::{
    answer::{Answer, Failure, Reason},
    client::Client,
    connect::Target,
    messages::Resource,
    record::{Stored, record, request},
};
use crate::backoff::{Backoff, random};
use anyhow::Result;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Incidents in one request, at most.
const RECORDS: usize = 64;
/// Bytes of their JSON as it is stored, at most; one always fits. Collectors take 4 MiB.
const BYTES: usize = 512 << 10;
/// How long a connection is kept for the next incident.
const LINGER: Duration = Duration::from_secs(5);

/// For who owns the store.
#[derive(Debug)]
pub enum Ask {
    /// What has waited longest: so many incidents, so many bytes.
    Next(usize, usize, oneshot::Sender<Vec<Stored>>),
    /// What became of it.
    Done(Report, oneshot::Sender<()>),
}

/// What became of a request.
#[derive(Debug, Default)]
pub struct Report {
    /// Ids of what is not to be sent again: what was taken, and what never will be.
    pub done: Vec<String>,
    /// How many of them were taken.
    pub sent: u64,
    /// How many the collector will never take.
    pub rejected: u64,
    /// How many could not be made records of: damaged rows.
    pub damaged: u64,
    /// Why it failed, or what the collector says to what it took.
    pub failure: Option<Failure>,
}

/// Sends, for as long as this lives.
#[derive(Debug)]
pub struct Sender {
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sender {
    /// Starts, within a tokio runtime. Who owns the store answers at `asks`.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub fn start(target: Target, resource: Resource, asks: mpsc::Sender<Ask>) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let json_bytes = target.settings.json_bytes;
        let client = Client::new(target)?;
        let work = Work {
            client,
            resource,
            json_bytes,
            asks,
            wake: Arc::clone(&wake),
            stopped,
            backoff: Backoff::default(),
            one_by_one: 0,
        };
        Ok(Self { wake, stop, task: tokio::spawn(work.run()) })
    }

    /// Something waits.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends what there is, unless that fails, and ends. [`Self::ended`] says when.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end. Cancel safe.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Work {
    client: Client,
    resource: Resource,
    json_bytes: usize,
    asks: mpsc::Sender<Ask>,
    wake: Arc<Notify>,
    stopped: watch::Receiver<bool>,
    backoff: Backoff,
    /// So many were refused together: each is sent alone, so that one of them does not take the others with it.
    one_by_one: usize,
}

impl Work {
    async fn run(mut self) {
        while let Some(batch) = self.ask(|reply| Ask::Next(self.records(), BYTES, reply)).await {
            if batch.is_empty() {
                if *self.stopped.borrow() {
                    return;
                }
                self.idle().await;
                continue;
            }
            let (report, wait) = self.send(&batch).await;
            if self.ask(|reply| Ask::Done(report, reply)).await.is_none() {
                return;
            }
            let Some(wait) = wait else { continue };
            tokio::select! {
                () = sleep(wait) => {}
                // What is left the next agent sends.
                _ = self.stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    const fn records(&self) -> usize {
        if self.one_by_one > 0 { 1 } else { RECORDS }
    }

    /// `None`: nobody answers any more.
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Waits until something is to be sent, or the end.
    async fn idle(&mut self) {
        let Self { client, wake, stopped, .. } = self;
        let mut woken = std::pin::pin!(async {
            tokio::select! {
                () = wake.notified() => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
        if client.is_open() && timeout(LINGER, woken.as_mut()).await.is_ok() {
            return;
        }
        client.close();
        woken.await;
    }

    /// What became of it, and how long to wait.
    async fn send(&mut self, batch: &[Stored]) -> (Report, Option<Duration>) {
        let mut report = Report::default();
        let now_ns = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0);
        let mut records = Vec::with_capacity(batch.len());
        let mut ids = Vec::with_capacity(batch.len());
        for stored in batch {
            if let Some(record) = record(stored, self.json_bytes, now_ns) {
                records.push(record);
                ids.push(stored.id.clone());
            } else {
                report.damaged += 1;
                report.done.push(stored.id.clone());
            }
        }
        let number = records.len();
        if number == 0 {
            return (report, None);
        }
        match self.client.send(&request(&self.resource, records)).await {
            Answer::Taken { rejected, message } => {
                self.backoff.worked();
                self.one_by_one = self.one_by_one.saturating_sub(number);
                let rejected = rejected.min(number as u64);
                report.rejected = rejected;
                report.sent = number as u64 - rejected;
                report.done.extend(ids);
                if !message.is_empty() {
                    report.failure = Some(Failure::new(Reason::Rejected, message));
                }
                (report, None)
            }
            Answer::Not(failure) => {
                let wait = match failure.reason {
                    // It answers.
                    Reason::Rejected if number == 1 => {
                        self.backoff.worked();
                        self.one_by_one = self.one_by_one.saturating_sub(1);
                        report.rejected = 1;
                        report.done.extend(ids);
                        None
                    }
                    Reason::Rejected => {
                        self.one_by_one = number;
                        None
                    }
                    Reason::Unreachable | Reason::Timeout | Reason::Unavailable | Reason::Refused => {
                        let refused = failure.reason == Reason::Refused;
                        Some(self.backoff.failed(failure.wait, refused, random()))
                    }
                };
                report.failure = Some(failure);
                (report, wait)
            }
        }
    }
}
