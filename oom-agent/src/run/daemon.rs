//! What is done with an incident, and what is answered.

use super::{
    calm::{Calm, Held},
    next::Next,
    texts::Texts,
};
use crate::{
    clock,
    incident::model::{Incident, Level},
    kernel::host::Host,
    live::{Live, Start},
    note::note,
    page,
    sink::{
        Tally,
        metrics::{About, Bounds, CONTENT_TYPE, Counts, Http, Metrics, Scrape, Stored},
        summary, terminal, units,
    },
    source::{cgroupfs::Tree, own},
    startup::sees,
    store::{Outcome, Page, Status, Store},
    web::{Answer, Ask, Counts as HttpCounts, List, News, Read},
};
use anyhow::Result;
use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The tree of cgroups is not looked at more often than this, however many ask.
const LOOK_NS: u64 = 1_000_000_000;

/// Everything that the daemon keeps.
pub(super) struct Daemon {
    metrics: Metrics,
    texts: Texts,
    calm: Calm,
    tally: Tally,
    /// Absent: no memory controller can be reached here.
    tree: Option<Tree>,
    looked_ns: Option<u64>,
    level: Level,
    /// For `/readyz`: a line for each hook.
    hooks: String,
    /// Name of the machine.
    node: Option<String>,
    store: Store,
    /// For who listens to events.
    news: watch::Sender<Option<String>>,
    pub(super) next: Next,
}

impl Daemon {
    pub(super) fn new(start: &Start, host: &Host, store: Store, live: &mut Live) -> Result<Self> {
        let kind = |hook: &crate::kernel::load::HookStatus| hook.used.map(crate::kernel::probes::Kind::name);
        let about = About {
            level: start.level,
            hooks: start.hooks.iter().map(|hook| (hook.target, kind(hook))).collect(),
        };
        let mut hooks = String::new();
        for (hook, kind) in &about.hooks {
            let _ = writeln!(hooks, "{hook}: {}", kind.unwrap_or("not attached"));
        }
        let tree = host.cgroups.value().and_then(|cgroups| Tree::find(Path::new("/"), cgroups));
        if tree.is_none() {
            note("no memory cgroups can be seen here: their metrics begin with the first kill");
        }
        // Where it cannot be read: everything that can be later is new.
        let (news, _) = watch::channel(store.last_stored().unwrap_or_default());
        let mut daemon = Self {
            metrics: Metrics::new(about, Bounds::default())?,
            texts: Texts::default(),
            calm: Calm::default(),
            tally: Tally::default(),
            tree,
            looked_ns: None,
            level: start.level,
            hooks,
            node: host.node.value().filter(|node| *node != "(none)").cloned(),
            store,
            news,
            next: Next::default(),
        };
        daemon.look(live);
        Ok(daemon)
    }

    /// Does all that is done with an incident. Once, in the order of their being told.
    pub(super) fn incident(&mut self, incident: &Incident) {
        // Durable before anything below announces it.
        let outcome = self.store.put(incident);
        self.say_of_store();
        if outcome == Outcome::Known {
            return;
        }
        self.news.send_replace(Some(incident.id.clone()));
        self.metrics.incident(incident);
        self.tally.count(incident);
        if self.calm.may_say(clock::boottime_ns(), incident.victims.len() as u64) {
            note(&format!("{} {}", incident.id, terminal::headline(incident)));
        }
    }

    /// Answers. Who asked may have lost patience.
    pub(super) fn answer(&mut self, ask: Ask, live: &mut Live, http: HttpCounts) {
        match ask {
            Ask::Healthy(reply) => drop(reply.send(Answer::text(true, "ok\n".to_owned()))),
            Ask::Ready(reply) => drop(reply.send(self.ready(live))),
            Ask::Metrics(reply) => {
                self.look(live);
                self.count(live, http);
                self.scrape(live);
                let Self { texts, metrics, .. } = self;
                let text = texts.get(|| metrics.text());
                drop(reply.send(Answer { good: true, kind: CONTENT_TYPE, body: Shared(text).into() }));
            }
            Ask::About(reply) => drop(reply.send(self.about(live))),
            Ask::List(list, reply) => drop(reply.send(self.list(&list))),
            Ask::Incident(id, reply) => drop(reply.send(self.find(&id))),
            Ask::Next(id, reply) => drop(reply.send(self.next(id.as_deref()))),
        }
    }

    fn about(&self, live: &Live) -> page::About {
        let Status { problem, held, .. } = self.store.status();
        let mut troubles = Vec::new();
        if !live.has_bpf() && !live.reads_log() {
            troubles.push("it sees no OOM kills any more".to_owned());
        }
        troubles.extend(problem.as_ref().map(|problem| {
            let held = units::plural(*held, "incident is", "incidents are");
            format!("incidents cannot be stored: {problem}. {held} in memory only")
        }));
        let sees = sees(self.level).to_owned();
        page::About { node: self.node.clone(), sees, troubles, stored: self.store.count().ok() }
    }

    fn list(&self, list: &List) -> Read<Page> {
        let List { selection, before, most } = list;
        self.readable()?;
        self.store
            .list(before.as_deref(), *most, &mut |incident| selection.wants(incident))
            .map_err(|error| unreadable(&error.to_string()))
    }

    fn find(&self, id: &str) -> Read<Option<String>> {
        let found = self.store.get(id).map_err(|error| unreadable(&error.to_string()))?;
        if found.is_none() {
            // It may be on the disk.
            self.readable()?;
        }
        Ok(found)
    }

    fn next(&self, id: Option<&str>) -> Read<Option<(String, String)>> {
        self.store.following(id).map_err(|error| unreadable(&error.to_string()))
    }

    /// For who is told when something is stored.
    pub(super) fn news(&self) -> News {
        self.news.subscribe()
    }

    fn readable(&self) -> Read<()> {
        self.store.unreadable().map_or(Ok(()), |why| Err(unreadable(why)))
    }

    fn ready(&self, live: &Live) -> Answer {
        // Without BPF the log is all there is, and it may break.
        let good = live.has_bpf() || live.reads_log();
        let word = if good { "ready" } else { "not ready" };
        let log = if live.reads_log() { "read" } else { "not read" };
        let Self { hooks, level, .. } = self;
        Answer::text(good, format!("{word}: {}\n\nkernel log: {log}\n{hooks}", sees(*level)))
    }

    /// Cgroups have series from when they are seen, so that their first kill is an increase. Whoever scrapes sees what
    /// there is then.
    fn look(&mut self, live: &mut Live) {
        let now = clock::boottime_ns();
        let Some(tree) = &self.tree else { return };
        if self.looked_ns.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_NS) {
            self.looked_ns = Some(now);
            let list = tree.list();
            self.metrics.cgroups(list.iter().map(String::as_str), now, |cgroup| live.labels(cgroup));
        }
    }

    fn count(&mut self, live: &Live, http: HttpCounts) {
        let (totals, dropped) = (live.totals(), live.dropped());
        self.metrics.counts(Counts {
            lost_events: dropped.events,
            lost_bulk: dropped.bulk,
            missed_log_records: totals.missed_lines,
            none_killable: totals.none_killable,
            unresolved: live.unresolved(),
            reads_log: live.reads_log(),
            stored: self.stored(),
            http: Http {
                slow_readers: http.slow_readers,
                refused_logins: http.refused_logins,
                subscribers: http.subscribers,
                refused_subscribers: http.refused_subscribers,
            },
        });
    }

    fn scrape(&mut self, live: &mut Live) {
        let scrape = Scrape {
            reclaim: live.reclaim(),
            next: self.next.asked(Path::new("/"), clock::boottime_ns()),
            own: own::read(Path::new("/")),
            standings: live.standings().collect(),
        };
        self.metrics.scrape(scrape);
    }

    fn stored(&self) -> Stored {
        let Status { problem, held, lost, expired, set_aside } = self.store.status();
        Stored {
            on_disk: problem.is_none(),
            bytes: self.store.bytes(),
            held: *held,
            lost: *lost,
            expired: *expired,
            set_aside: *set_aside,
        }
    }

    fn say_of_store(&mut self) {
        for message in self.store.messages() {
            note(&message);
        }
    }

    /// Waits until a disk that could not be used is to be tried again. For ever, if it can.
    pub(super) fn store_due(&self) -> impl Future<Output = ()> + use<> {
        clock::after(self.store.retry_after())
    }

    pub(super) fn retry_store(&mut self) {
        self.store.retry();
        self.say_of_store();
    }

    /// Waits until there is something to say about incidents that had no line of their own. For ever, if there was none.
    pub(super) fn held_back(&self) -> impl Future<Output = ()> + use<> {
        let due = self.calm.due_ns();
        let wait = due.map(|due| Duration::from_nanos(due.saturating_sub(clock::boottime_ns())));
        clock::after(wait)
    }

    pub(super) fn say_held_back(&mut self) {
        let Held { incidents, victims } = self.calm.take(clock::boottime_ns());
        note(&format!(
            "and {} with {} without a line of their own",
            units::plural(incidents, "incident", "incidents"),
            units::plural(victims, "victim", "victims"),
        ));
    }

    /// The last line.
    pub(super) fn farewell(&mut self, ran: Duration, live: &Live) {
        if self.calm.due_ns().is_some() {
            self.say_held_back();
        }
        let totals = live.totals();
        self.tally.lost_records = totals.lost_records.max(live.dropped().events);
        note(&format!("ended: {}", summary(&self.tally, ran)));
    }
}

fn unreadable(why: &str) -> String {
    format!("the store cannot be read: {why}")
}

/// A text that several may be sent.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Shared> for bytes::Bytes {
    fn from(text: Shared) -> Self {
        Self::from_owner(text)
    }
}
