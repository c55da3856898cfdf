//! What happened while the agent did not run, as far as the kernel's log still tells of it.

use super::counted::Counted;
use crate::{
    clock,
    incident::{counted::Within, model::Incident},
    kernel::host::Host,
    live::Read,
    note::note,
    sink::{
        metrics::{self, Bounds},
        terminal, units,
    },
    store::{self, Outcome, Resume, Store},
};
use jiff::Timestamp;
use std::{collections::VecDeque, path::Path};

/// Incidents in one transaction.
const AT_ONCE: usize = 64;
/// What no scrape has seen for so long before the last run's end, nobody will miss: nobody scrapes.
const UNSEEN_MS: u64 = 3_600_000;
/// Incidents that get a line of their own.
const LINES: usize = 10;
/// What is older has no Event any more either where it got one (`--event-ttl` of the API server, by default).
const EVENT_MS: i64 = 3_600_000;
/// No more Events at once than a node may write.
const EVENTS: usize = 20;

/// Takes what the log tells of the time before this start. What is stored already is passed over.
pub(super) struct Recovery<'a> {
    store: &'a mut Store,
    boot_id: String,
    last: Option<Resume>,
    same_boot: bool,
    suspended_ns: u64,
    batch: Vec<Incident>,
    found: Found,
}

/// What came of it.
pub(super) struct Found {
    /// For the metrics.
    pub(super) recovered: metrics::Recovered,
    /// With what the last run told in this boot.
    pub(super) counted: Counted,
    /// Records of the log that nobody has read. `None`: the log was not read by numbers, now or last time.
    pub(super) overwritten: Option<u64>,
    /// The newest of those that Kubernetes' Events are still written of.
    pub(super) recent: VecDeque<Incident>,
    incidents: u64,
    victims: u64,
    span: Option<(String, String)>,
    lines: Vec<String>,
    /// When an agent last wrote where it was.
    last: Option<u64>,
    same_boot: bool,
    read: Option<Read>,
}

impl<'a> Recovery<'a> {
    /// `None`: what is stored could not be told from what is not, as this boot has no name.
    pub(super) fn new(store: &'a mut Store, host: &Host) -> Option<Self> {
        let boot_id = host.boot_id.value()?.clone();
        let last = store.resume();
        let same_boot = last.as_ref().is_some_and(|last| last.boot_id == boot_id);
        let counted = last.as_ref().and_then(|last| {
            // In a new boot nothing was told yet, and the counter began with 0.
            let new = store::Counted { base: 0, told: Within::default() };
            if same_boot { last.counted } else { Some(new) }
        });
        let mut recovered = metrics::Recovered::new(Bounds::default());
        if let Some(last) = &last {
            let since = last.unix_ms.saturating_sub(UNSEEN_MS);
            store.unseen(since, &mut |incident| recovered.unseen(incident));
        }
        let found = Found {
            recovered,
            counted: Counted::new(Path::new("/"), counted),
            // Nobody has missed what was before the first start ever.
            overwritten: last.is_none().then_some(0),
            recent: VecDeque::new(),
            incidents: 0,
            victims: 0,
            span: None,
            lines: Vec::new(),
            last: last.as_ref().map(|last| last.unix_ms),
            same_boot,
            read: None,
        };
        Some(Self {
            store,
            boot_id,
            last,
            same_boot,
            suspended_ns: clock::suspended_ns(),
            batch: Vec::new(),
            found,
        })
    }

    /// The record of the log to begin with.
    pub(super) fn since(&self) -> Option<u64> {
        self.last.as_ref().filter(|_| self.same_boot).map(|last| last.seq)
    }

    /// The log tells of this one.
    pub(super) fn take(&mut self, incident: Incident) {
        if self.store.is_known(&incident, self.suspended_ns).unwrap_or(false) {
            return;
        }
        self.batch.push(incident);
        if self.batch.len() >= AT_ONCE {
            self.put();
        }
    }

    fn put(&mut self) {
        let counted = self.found.counted.stored_with(&self.batch);
        // In whatever moment this is killed, what is stored is counted.
        if let Some(last) = &self.last
            && !self.batch.is_empty()
        {
            self.store.resume_at(Resume {
                boot_id: self.boot_id.clone(),
                seq: self.since().unwrap_or(0),
                unix_ms: last.unix_ms,
                counted,
            });
        }
        let outcomes = self.store.put_all(&self.batch);
        for (incident, outcome) in self.batch.drain(..).zip(outcomes) {
            if outcome != Outcome::Known {
                self.found.add(&incident);
            }
        }
    }

    /// The log was read, if `read` says how.
    pub(super) fn finish(mut self, read: Option<Read>) -> Found {
        self.put();
        let Self { store, last, same_boot, mut found, .. } = self;
        if last.is_some() {
            store.wait();
        }
        found.read = read;
        let Some(Read { first_seq, other_log }) = read else { return found };
        if other_log {
            found.counted.forget_base();
        }
        found.overwritten = match last {
            None => found.overwritten,
            // By syslog(2), see `Live::position`.
            Some(Resume { seq: 0, .. }) if same_boot => None,
            Some(Resume { seq, .. }) if same_boot && !other_log => Some(first_seq.saturating_sub(seq)),
            Some(_) => Some(first_seq),
        };
        found
    }
}

impl Found {
    fn add(&mut self, incident: &Incident) {
        if self.last.is_some() {
            self.recovered.incident(incident);
            self.keep_recent(incident);
        } else {
            self.recovered.uncounted();
        }
        self.counted.tell(incident);
        self.incidents += 1;
        self.victims += incident.victims.len() as u64;
        let time = incident.time.clone().unwrap_or_default();
        self.span = Some((self.span.take().map_or_else(|| time.clone(), |(first, _)| first), time.clone()));
        if self.lines.len() < LINES {
            self.lines.push(format!("{} {time} {}", incident.id, terminal::headline(incident)));
        }
    }

    fn keep_recent(&mut self, incident: &Incident) {
        let Some((now_ms, _)) = clock::wall(clock::boottime_ns()) else { return };
        if is_recent(incident, now_ms) {
            self.recent.truncate(EVENTS - 1);
            self.recent.push_front(incident.clone());
        }
    }

    /// Tells the operator.
    pub(super) fn say(&self) {
        let Some(Read { first_seq, .. }) = self.read else { return };
        let last = self.last.and_then(clock::local);
        let since = match (&last, self.same_boot) {
            (Some(last), true) => format!("since the last run, known to have gone on until {last}"),
            (Some(last), false) => format!("since boot; the last run was before, until {last}"),
            (None, _) => "since boot: the first run here".to_owned(),
        };
        match &self.span {
            None => note(&format!("the kernel's log tells of no other incident {since}")),
            Some((from, to)) => note(&format!(
                "recovered {} with {} from the kernel's log, from {from} to {to} ({since})",
                units::plural(self.incidents, "incident", "incidents"),
                units::plural(self.victims, "victim", "victims"),
            )),
        }
        for line in &self.lines {
            note(line);
        }
        if self.incidents > self.lines.len() as u64 {
            note(&format!("and {} more", self.incidents - self.lines.len() as u64));
        }
        if let Some(overwritten @ 1..) = self.overwritten {
            note(&format!(
                "{} of the kernel's log WERE OVERWRITTEN before this start: kills that they told of are not known \
                 (a larger ring: log_buf_len= on the kernel's command line)",
                units::plural(overwritten, "record", "records")
            ));
        } else if self.last.is_none() && first_seq > 0 {
            note(&format!(
                "the kernel's log begins with its record {first_seq}: what was before is not known"
            ));
        }
    }
}

/// Whether an Event of it would still be there.
fn is_recent(incident: &Incident, now_ms: u64) -> bool {
    let time = incident.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
    time.is_some_and(|time| {
        let age_ms = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(time.as_millisecond());
        age_ms < EVENT_MS
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    #[test]
    fn kills_of_the_last_hour_still_get_an_event() {
        let mut incident = samples::memcg();
        let at = |time: &str| u64::try_from(time.parse::<Timestamp>().unwrap().as_millisecond()).unwrap();
        incident.time = Some("2026-11-20T10:00:00Z".into());
        assert!(is_recent(&incident, at("2026-11-20T10:59:59Z")));
        assert!(!is_recent(&incident, at("2026-11-20T11:00:00Z")));
        incident.time = None;
        assert!(!is_recent(&incident, at("2026-11-20T10:00:00Z")), "when it was is not known");
    }
}
