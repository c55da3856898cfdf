//! What is done with an incident, and what is answered.

use super::{
    calm::{Calm, Held},
    counted::Counted,
    next::Next,
    outgoing::{Asks, Outgoing},
    recovery::Found,
    texts::Texts,
};
use crate::{
    clock,
    incident::model::{Incident, Level},
    kernel::host::Host,
    kube::events::Events,
    live::{Live, Start},
    note::{note, warn},
    otlp, page,
    sink::{
        Tally,
        metrics::{About, Bounds, CONTENT_TYPE, Counts, Http, Kube, Metrics, Scrape, Stored},
        summary, terminal, units,
    },
    source::{cgroupfs::Tree, own},
    startup::sees,
    store::{self, Outcome, Page, Resume, Retention, Status, Store},
    web::{Answer, Ask, Counts as HttpCounts, List, News, Read},
};
use anyhow::Result;
use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The tree of cgroups is not looked at more often than this, however many ask.
const LOOK_NS: u64 = 1_000_000_000;
/// Lines about cgroups whose counters differ, in one look.
const MOST_WORDS: usize = 10;
/// How far the log was read is not written down more often than this, unless there is an incident.
const REMEMBER_NS: u64 = 60_000_000_000;
/// So long after the start, what only the log tells may be what the agent before this one has stored.
const TAKE_OVER_NS: u64 = 10_000_000_000;

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
    boot_id: Option<String>,
    started_ns: u64,
    /// When it was last written down where to go on.
    remembered_ns: u64,
    /// See [`Live::position`].
    position: Option<u64>,
    /// Records of the log that were overwritten before the start, where that is known.
    overwritten: Option<u64>,
    counted: Counted,
    events: Option<Events>,
    /// For who listens to events.
    news: watch::Sender<Option<String>>,
    pub(super) next: Next,
    /// Where incidents are sent to a collector.
    pub(super) outgoing: Option<Outgoing>,
    /// What it has given up, for `/readyz`.
    pub(super) confined: String,
}

impl Daemon {
    pub(super) fn new(start: &Start, host: &Host, store: Store, events: Option<Events>) -> Result<Self> {
        let kind = |hook: &crate::kernel::load::HookStatus| hook.used.map(crate::kernel::probes::Kind::name);
        let about = About {
            level: start.level,
            hooks: start.hooks.iter().map(|hook| (hook.target, kind(hook))).collect(),
        };
        let mut hooks = String::new();
        for (hook, kind) in &about.hooks {
            let _ = writeln!(hooks, "{hook}: {}", kind.unwrap_or("not attached"));
        }
        let tree = host.cgroups.value().and_then(|cgroups| Tree::whole(Path::new("/"), cgroups));
        if tree.is_none() {
            warn("the machine's memory cgroups cannot be seen here: their metrics begin with the first kill");
        }
        // Where it cannot be read: everything that can be later is new.
        let (news, _) = watch::channel(store.last_stored().unwrap_or_default());
        Ok(Self {
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
            boot_id: host.boot_id.value().cloned(),
            started_ns: clock::boottime_ns(),
            remembered_ns: 0,
            position: None,
            overwritten: None,
            counted: Counted::new(Path::new("/"), None),
            events,
            news,
            next: Next::default(),
            outgoing: None,
            confined: String::new(),
        })
    }

    /// How it does, for the service manager.
    pub(super) fn status(&self) -> String {
        let Tally { incidents, victims, .. } = self.tally;
        let incidents = units::plural(incidents, "incident", "incidents");
        format!("sees {}; {incidents}, {}", sees(self.level), units::plural(victims, "victim", "victims"))
    }

    /// It is attached. `found`: what happened while the agent did not run.
    pub(super) fn begin(&mut self, found: Option<Found>, live: &mut Live) {
        if let Some(Found { recovered, counted, overwritten, recent, .. }) = found {
            if let Some(events) = &self.events {
                recent.iter().rev().for_each(|incident| events.tell(incident));
            }
            self.overwritten = overwritten;
            self.counted = counted;
            self.metrics.recovered(recovered);
        }
        self.look(live);
        self.say_of_store();
        self.read_on(live);
    }

    /// The log was read on.
    pub(super) fn read_on(&mut self, live: &mut Live) {
        self.resume_at(live.position(), self.counted.stored_with(&[]));
        let now = clock::boottime_ns();
        if self.remembered_ns == 0 || now.saturating_sub(self.remembered_ns) >= REMEMBER_NS {
            self.remembered_ns = now;
            self.store.remember();
            self.say_of_store();
        }
    }

    /// Where the next agent is to go on, written with the next incident.
    fn resume_at(&mut self, position: Option<u64>, counted: Option<store::Counted>) {
        self.position = position.or(self.position);
        if let (Some(boot_id), Some(seq)) = (&self.boot_id, self.position) {
            let unix_ms = clock::wall(clock::boottime_ns()).map_or(0, |(unix_ms, _)| unix_ms);
            self.store.resume_at(Resume { boot_id: boot_id.clone(), seq, unix_ms, counted });
        }
    }

    /// What the log was just saying when this agent was started may have been told by the one before.
    fn is_known(&self, incident: &Incident) -> bool {
        let early = clock::boottime_ns().saturating_sub(self.started_ns) < TAKE_OVER_NS;
        let log_only = incident.evidence.level == Level::Kmsg;
        early && log_only && self.store.is_known(incident, clock::suspended_ns()).unwrap_or(false)
    }

    /// Does all that is done with an incident. Once, in the order of their being told. `position`: what of the kernel's log
    /// is told with it, see [`Live::position`]. Whether it got a line of its own.
    pub(super) fn incident(&mut self, incident: &Incident, position: Option<u64>) -> bool {
        if self.is_known(incident) {
            return false;
        }
        self.resume_at(position, self.counted.stored_with(std::slice::from_ref(incident)));
        // Durable before anything below announces it.
        let outcome = self.store.put(incident);
        self.say_of_store();
        if outcome == Outcome::Known {
            return false;
        }
        if let Some(outgoing) = &self.outgoing {
            outgoing.wake();
        }
        self.counted.tell(incident);
        self.news.send_replace(Some(incident.id.clone()));
        self.metrics.incident(incident);
        if let Some(events) = &self.events {
            events.tell(incident);
        }
        self.tally.count(incident);
        let said = self.calm.may_say(clock::boottime_ns(), incident.victims.len() as u64);
        if said {
            tracing::info!(incident = %incident.id, "{}", terminal::headline(incident));
        }
        said
    }

    /// Answers. Who asked may have lost patience.
    pub(super) fn answer(&mut self, ask: Ask, live: &mut Live, http: HttpCounts) {
        match ask {
            Ask::Healthy(reply) => drop(reply.send(Answer::text(true, "ok\n".to_owned()))),
            Ask::Ready(reply) => drop(reply.send(self.ready(live))),
            Ask::Metrics(reply) => {
                self.look(live);
                self.count(live, http);
                let all = self.metrics.recount(clock::boottime_ns());
                self.store.seen(all);
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

    /// Answers the one who sends incidents.
    pub(super) fn answer_sender(&mut self, ask: otlp::Ask) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.answer(ask, &mut self.store);
            self.say_of_store();
        }
    }

    /// Before the end.
    pub(super) async fn send_rest(&mut self, asks: &mut Asks) {
        if let Some(outgoing) = self.outgoing.take() {
            outgoing.finish(asks, &mut self.store).await;
            self.say_of_store();
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
        troubles.extend(self.outgoing.as_ref().and_then(|outgoing| outgoing.trouble(&self.store)));
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
        let Self { hooks, level, confined, .. } = self;
        Answer::text(good, format!("{word}: {}\n\n{confined}\nkernel log: {log}\n{hooks}", sees(*level)))
    }

    /// Cgroups have series from when they are seen, so that their first kill is an increase. Whoever scrapes sees what
    /// there is then. The kernel's counters are compared with what was told.
    fn look(&mut self, live: &mut Live) {
        let now = clock::boottime_ns();
        if self.looked_ns.is_some_and(|looked| now.saturating_sub(looked) < LOOK_NS) {
            return;
        }
        self.looked_ns = Some(now);
        self.counted.read();
        live.catch_up();
        let Self { tree, metrics, counted, .. } = self;
        let paths = tree.as_ref().map(Tree::list);
        if let Some(paths) = &paths {
            metrics.cgroups(paths.iter().map(String::as_str), now, |cgroup| live.labels(cgroup));
        }
        // While kills are being told, the counters are ahead.
        if live.is_idle() {
            let words = counted.compare(tree.as_ref(), paths.as_deref().unwrap_or_default());
            words.iter().take(MOST_WORDS).for_each(|words| note(words));
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
            overwritten_log_records: self.overwritten,
            kernel: self.counted.totals(),
            stored: self.stored(),
            kube: Kube { watched: live.watched(), written: self.events.as_ref().map(Events::stats) },
            http: Http {
                slow_readers: http.slow_readers,
                refused_logins: http.refused_logins,
                subscribers: http.subscribers,
                refused_subscribers: http.refused_subscribers,
            },
            otlp: self.outgoing.as_ref().map(|outgoing| {
                let now_ms = clock::wall(clock::boottime_ns()).map_or(0, |(unix_ms, _)| unix_ms);
                outgoing.counts(&self.store, now_ms)
            }),
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
            warn(&message);
        }
    }

    /// Waits until a disk that could not be used is to be tried again. For ever, if it can.
    pub(super) fn store_due(&self) -> impl Future<Output = ()> + use<> {
        clock::after(self.store.retry_after())
    }

    /// Keeps incidents for another time, up to another size.
    pub(super) fn retain(&mut self, retention: Retention) {
        self.store.retain(retention);
        self.say_of_store();
    }

    pub(super) fn retry_store(&mut self) {
        self.store.retry();
        self.say_of_store();
        if let Some(outgoing) = &self.outgoing {
            outgoing.wake();
        }
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
    pub(super) fn farewell(&mut self, ran: Duration, live: &mut Live) {
        self.resume_at(live.position(), self.counted.stored_with(&[]));
        self.store.remember();
        self.say_of_store();
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
