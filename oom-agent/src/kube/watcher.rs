//! Follows this node's pods: asks what [`Watch`] says, and hands on what it makes of the answers.

use super::{
    client::{self, Client},
    failure::Failure,
    parts::{Items, Lines},
    stats::{WatchStats, Watched},
    watch::{Step, Update, Watch},
};
use crate::{
    backoff::{part, random},
    clock,
    identity::names::Names,
    note::{note, warn},
};
use http::Method;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
    time::timeout,
};

/// Updates that wait for the agent's loop; then the server waits.
const WAITING: usize = 64;
/// A list is read in this time.
const LIST: Duration = Duration::from_mins(2);
/// A watch that the server should have ended is given up after so many seconds more.
const GRACE_SECONDS: u64 = 30;
/// It is said that it failed after so many times in a row: a server that is started again is no news.
const NEWS: u32 = 3;

/// This node's pods, as they come and go.
#[derive(Debug)]
pub struct Pods {
    updates: Receiver<Update>,
    stats: Arc<WatchStats>,
    task: JoinHandle<()>,
}

impl Pods {
    /// Begins to watch, within a tokio runtime. `labels`: which labels are kept.
    pub fn watch(client: Arc<Client>, node: &str, labels: Vec<String>) -> Self {
        let (sender, updates) = channel(WAITING);
        let stats = Arc::new(WatchStats::default());
        let watch = Watch::new(node, labels);
        let task = tokio::spawn(follow(client, watch, sender, Arc::clone(&stats)));
        Self { updates, stats, task }
    }

    /// Waits for the next update. For ever, if there will be none. Cancel safe.
    pub(crate) async fn next(&mut self) -> Update {
        match self.updates.recv().await {
            Some(update) => update,
            None => std::future::pending().await,
        }
    }

    /// The next update, if it is there.
    pub(crate) fn ready(&mut self) -> Option<Update> {
        self.updates.try_recv().ok()
    }

    /// How it does.
    pub fn stats(&self) -> Watched {
        self.stats.read()
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Update {
    /// Adds it to what is known.
    pub(crate) fn learn(self, names: &mut Names) {
        match self {
            Self::Pod(seen) => {
                let super::pod::Seen { uid, name, containers, described } = *seen;
                names.pod(&uid, name);
                for (id, container) in containers {
                    names.container(&id, container);
                }
                names.describe(&uid, described);
            }
            Self::Gone(uid) => names.pod_gone(&uid),
            Self::Watched(watched) => {
                names.watched = watched;
                names.has_source |= watched == Some(true);
            }
        }
    }
}

async fn follow(client: Arc<Client>, mut watch: Watch, updates: Sender<Update>, stats: Arc<WatchStats>) {
    let address = client.cluster().address();
    let mut said = false;
    // Until an answer comes.
    if updates.send(Update::Watched(Some(false))).await.is_err() {
        return;
    }
    loop {
        let (step, wait_ns) = watch.next(clock::boottime_ns(), part(random()));
        tokio::time::sleep(Duration::from_nanos(wait_ns)).await;
        let mut ok = || {
            stats.watching.store(true, Relaxed);
            if std::mem::take(&mut said) {
                note(&format!("Kubernetes' API server at {address} tells of pods again"));
            }
        };
        let done = match step {
            Step::List(path) => timeout(LIST, list(&client, &mut watch, &path, &updates)).await,
            Step::Watch(path, seconds) => {
                let most = Duration::from_secs(seconds + GRACE_SECONDS);
                timeout(most, changes(&client, &mut watch, &path, &updates, &stats, &mut ok)).await
            }
        };
        let done = done.map_err(|_| Failure::Silent).flatten();
        stats.pods.store(watch.pods(), Relaxed);
        stats.odd.store(watch.odd(), Relaxed);
        let Some((failure, update)) = watch.over(done, clock::boottime_ns(), part(random())) else {
            continue;
        };
        stats.watching.store(false, Relaxed);
        stats.failures.count(&failure);
        tracing::debug!("watching pods: the API server {failure}");
        let now = matches!(failure, Failure::Forbidden(_) | Failure::Unauthorized);
        if !said && (now || watch.failures() >= NEWS) {
            said = true;
            warn(&format!(
                "no workloads, labels and limits of pods: Kubernetes' API server at {address} {failure}"
            ));
        }
        if updates.send(update).await.is_err() {
            return;
        }
    }
}

async fn list(
    client: &Client,
    watch: &mut Watch,
    path: &str,
    updates: &Sender<Update>,
) -> Result<(), Failure> {
    let mut connection = client.connect().await?;
    let mut answer = client.ask(&mut connection, Method::GET, path, None).await?;
    let mut items = Items::default();
    while let Some(bytes) = client::more(&mut answer).await? {
        let mut found = Vec::new();
        items.push(&bytes, |item| {
            found.extend(watch.item(item));
            Ok::<(), Failure>(())
        })?;
        send(updates, found).await;
    }
    let found = watch.listed(&items.around())?;
    send(updates, found).await;
    Ok(())
}

async fn changes(
    client: &Client,
    watch: &mut Watch,
    path: &str,
    updates: &Sender<Update>,
    stats: &WatchStats,
    ok: &mut impl FnMut(),
) -> Result<(), Failure> {
    let mut connection = client.connect().await?;
    let mut answer = client.ask(&mut connection, Method::GET, path, None).await?;
    send(updates, vec![watch.opened(clock::boottime_ns())]).await;
    ok();
    stats.pods.store(watch.pods(), Relaxed);
    let mut lines = Lines::default();
    while let Some(bytes) = client::more(&mut answer).await? {
        let mut found = Vec::new();
        let read = lines.push(&bytes, |line| {
            found.extend(watch.line(line)?);
            Ok::<(), Failure>(())
        });
        send(updates, found).await;
        stats.pods.store(watch.pods(), Relaxed);
        stats.odd.store(watch.odd(), Relaxed);
        read?;
    }
    Ok(())
}

/// If nobody takes them any more, this task ends soon.
async fn send(updates: &Sender<Update>, found: Vec<Update>) {
    for update in found {
        let _ = updates.send(update).await;
    }
}
