//! Who owns a store and answers the sender, as the daemon does.

use crate::collector::Protocol;
use clap::Parser;
use oom_agent::{
    incident::{id::incident_id, model::Incident},
    otlp::{
        Ask, Environment, OtlpArgs, Reason, Report, Sender, Settings, Target,
        resource::{About, resource},
    },
    store::{Outcome, Retention, Store, Waits},
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// Nothing takes so long, even on a slow machine with other work.
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    otlp: OtlpArgs,
}

/// The `number`th of this test.
pub(crate) fn incident(number: u32) -> Incident {
    let ns = u64::from(number) * 1_000_000;
    Incident {
        schema: 1,
        id: incident_id(4_000_000_000_000 + u64::from(number), "boot", ns, number.into()),
        node: Some("node-7".to_owned()),
        boot_id: Some("boot".to_owned()),
        boottime_ns: Some(ns),
        ..Incident::default()
    }
}

pub(crate) struct Owner {
    store: Store,
    sender: Sender,
    asks: mpsc::Receiver<Ask>,
    pub(crate) reports: Vec<Report>,
    settings: Settings,
    dir: PathBuf,
    next: u32,
}

impl Owner {
    pub(crate) fn new(url: &str, protocol: Protocol, more: &[&str]) -> Self {
        Self::try_new(url, protocol, more).unwrap_or_else(|error| panic!("{error:#}"))
    }

    pub(crate) fn try_new(url: &str, protocol: Protocol, more: &[&str]) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("otlp-{}-{number}", std::process::id()));
        let to = [format!("--otlp-endpoint={url}"), format!("--otlp-protocol={}", protocol.name())];
        let args = ["x"].into_iter().chain(to.iter().map(String::as_str)).chain(more.iter().copied());
        let settings = Settings::new(&Cli::try_parse_from(args)?.otlp, &Environment(&|_| None))?;
        Self::open(dir, settings.expect("an endpoint"), 0)
    }

    fn open(dir: PathBuf, settings: Settings, next: u32) -> anyhow::Result<Self> {
        let (store, messages) = Store::open_with(&dir, Retention::default(), Some(settings.queue))?;
        assert_eq!(messages, [""; 0]);
        let (sender, asks) = mpsc::channel(1);
        let about = About { node: Some("node-7"), ..About::default() };
        let sender =
            Sender::start(Target::open(settings.clone())?, resource(about, &settings.resource), sender)?;
        Ok(Self { store, sender, asks, reports: Vec::new(), settings, dir, next })
    }

    /// Another one on the same disk, which nobody had told of the end.
    pub(crate) fn restart(mut self) -> Self {
        let dir = std::mem::take(&mut self.dir);
        let (settings, next) = (self.settings.clone(), self.next);
        drop(self);
        Self::open(dir, settings, next).expect("as before")
    }

    /// Stores so many new ones. Their ids.
    pub(crate) fn put(&mut self, number: u32) -> Vec<String> {
        let all: Vec<_> = (self.next..self.next + number).map(incident).collect();
        self.next += number;
        for incident in &all {
            self.put_one(incident);
        }
        all.into_iter().map(|incident| incident.id).collect()
    }

    pub(crate) fn put_one(&mut self, incident: &Incident) {
        assert_eq!(self.store.put(incident), Outcome::Stored);
        self.sender.wake();
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Next(most, bytes, reply) => {
                let _ = reply.send(self.store.unsent(most, bytes).expect("it can be read"));
            }
            Ask::Done(report, reply) => {
                self.store.sent(report.done.clone());
                self.reports.push(report);
                let _ = reply.send(());
            }
        }
    }

    /// Answers until that is so.
    pub(crate) async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let answered = timeout(DEADLINE, async {
            while !done(self) {
                let ask = self.asks.recv().await.expect("it sends");
                self.answer(ask);
            }
        });
        let answered = answered.await;
        assert!(answered.is_ok(), "not in time: {:?}", self.reports);
    }

    /// Answers until it has ended.
    pub(crate) async fn finish(&mut self) {
        self.sender.stop();
        while let Some(ask) = self.asks.recv().await {
            self.answer(ask);
        }
        self.sender.ended().await;
    }

    pub(crate) fn waits(&self) -> Waits {
        self.store.waits().expect("it has a queue")
    }

    pub(crate) fn sent(&self) -> u64 {
        self.reports.iter().map(|report| report.sent).sum()
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.reports.iter().map(|report| report.rejected).sum()
    }

    pub(crate) fn failures(&self, reason: Reason) -> usize {
        self.reports.iter().filter(|it| it.failure.as_ref().is_some_and(|it| it.reason == reason)).count()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.dir.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
