//! Incidents on their way to a collector: what the loop that owns the store does for who sends them, and what it counts.

use crate::{
    kernel::host::Host,
    note::{note, warn},
    otlp::{
        Ask, Reason, Report, Sender, Target,
        resource::{About, resource},
    },
    sink::{metrics::Otlp, units},
    store::{Store, Waits},
};
use anyhow::{Context as _, Result};
use std::time::Duration;
use tokio::{sync::mpsc, time::sleep};

/// How long the end waits for what is still to be sent.
const FAREWELL: Duration = Duration::from_secs(5);

/// Questions of the sender, where there is one.
pub(super) type Asks = Option<mpsc::Receiver<Ask>>;

/// What is sent, and how that goes.
#[derive(Debug)]
pub(super) struct Outgoing {
    sender: Sender,
    /// Where to, in words.
    to: String,
    counts: Otlp,
    /// Why it does not go now.
    problem: Option<(Reason, String)>,
    /// What a collector said to what it took or refused.
    said: String,
}

impl Outgoing {
    /// Begins to send what waits, within a tokio runtime.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub(super) fn start(target: Target, host: &Host) -> Result<(Self, mpsc::Receiver<Ask>)> {
        let about = About {
            node: host.node.value().map(String::as_str),
            kernel_release: host.kernel_release.value().map(String::as_str),
            in_kubernetes: std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
        };
        let settings = &target.settings;
        let resource = resource(about, &settings.resource);
        let to = format!("{} ({})", settings.endpoint, settings.protocol.name());
        // One question at a time.
        let (asks, questions) = mpsc::channel(1);
        let sender = Sender::start(target, resource, asks)
            .with_context(|| format!("incidents cannot be sent to {to}"))?;
        let counts = Otlp::default();
        Ok((Self { sender, to, counts, problem: None, said: String::new() }, questions))
    }

    /// For the first lines.
    pub(super) fn announce(&self) {
        note(&format!("incidents are sent to {}", self.to));
    }

    /// Something waits.
    pub(super) fn wake(&self) {
        self.sender.wake();
    }

    /// Why it does not go now, in a sentence.
    pub(super) fn trouble(&self, store: &Store) -> Option<String> {
        let (_, why) = self.problem.as_ref()?;
        let wait = units::plural(store.waits()?.incidents, "incident waits", "incidents wait");
        Some(format!("incidents cannot be sent to {}: {why}. {wait}", self.to))
    }

    pub(super) fn answer(&mut self, ask: Ask, store: &mut Store) {
        match ask {
            // Where the store cannot be read, it says so itself, and wakes the sender when it can.
            Ask::Next(most, bytes, reply) => {
                drop(reply.send(store.unsent(most, bytes).unwrap_or_default()));
            }
            Ask::Done(report, reply) => {
                self.report(report, store);
                let _ = reply.send(());
            }
        }
    }

    fn report(&mut self, report: Report, store: &mut Store) {
        let Report { done, sent, rejected, damaged, failure } = report;
        if !done.is_empty() {
            store.sent(done);
        }
        let counts = &mut self.counts;
        counts.sent += sent;
        counts.rejected += rejected;
        counts.damaged += damaged;
        let Some(failure) = failure else {
            self.works();
            return;
        };
        if sent == 0
            && let Some(failures) = counts.failures.get_mut(failure.reason as usize)
        {
            *failures += 1;
        }
        if failure.reason == Reason::Rejected {
            // It answers, and will not have these.
            self.works();
            if self.said != failure.message {
                let what = if rejected > 0 { "an incident was refused by" } else { "a word from" };
                warn(&format!("{what} {}: {}", self.to, failure.message));
                self.said = failure.message;
            }
        } else if self.problem.as_ref().is_none_or(|(reason, _)| *reason != failure.reason) {
            let again = match failure.reason {
                Reason::Refused => "They wait, and it is tried every few minutes",
                _ => "They wait, and it is tried again",
            };
            warn(&format!("INCIDENTS CANNOT BE SENT to {}: {}. {again}", self.to, failure.message));
            self.problem = Some((failure.reason, failure.message));
        }
    }

    fn works(&mut self) {
        if self.problem.take().is_some() {
            note(&format!("incidents are sent to {} again", self.to));
        }
    }

    /// For the metrics. `now_ms`: milliseconds since 1970.
    pub(super) fn counts(&self, store: &Store, now_ms: u64) -> Otlp {
        let Waits { incidents, oldest_unix_ms, full, expired } = store.waits().unwrap_or_default();
        let oldest_seconds = oldest_unix_ms.map_or(0.0, |at| now_ms.saturating_sub(at) as f64 / 1e3);
        Otlp { waiting: incidents, oldest_seconds, full, expired, ..self.counts }
    }

    /// Sends what there is, for some seconds, unless it fails. What is left the next agent sends.
    pub(super) async fn finish(mut self, asks: &mut Asks, store: &mut Store) {
        self.sender.stop();
        let mut late = std::pin::pin!(sleep(FAREWELL));
        loop {
            tokio::select! {
                // What has ended may have asked before.
                biased;
                ask = next(asks) => self.answer(ask, store),
                () = self.sender.ended() => break,
                () = &mut late => break,
            }
        }
        if let Some(Waits { incidents: left @ 1.., .. }) = store.waits() {
            let left = units::plural(left, "incident", "incidents");
            note(&format!("{left} could not be sent to {} yet: the next start does", self.to));
        }
    }
}

/// The next question of the sender. For ever, if there is none.
pub(super) async fn next(asks: &mut Asks) -> Ask {
    match asks {
        Some(asks) => match asks.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
