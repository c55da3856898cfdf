//! Incidents on disk: durable when [`Store::put`] returns, kept for so long and up to so much, in memory while the disk
//! cannot be used.
//!
//! # Layout
//! - [`Store`]: what `run` writes to. [`Database`]: one SQLite file, also for the commands that only read.
//! - `resume`: where to go on after a restart. `queue`: what is still to be sent elsewhere. `record`: an incident as a row, pure. `file`: the files around SQLite.
//! - `follow`: what is stored next. `known`: whether it is there. `error`: why not.

mod database;
mod error;
mod file;
mod follow;
mod known;
mod queue;
mod record;
mod resume;

#[cfg(test)]
mod tests;

use crate::clock;
use crate::incident::model::Incident;
use crate::sink::units;
use database::Put;
pub use database::{Database, Lookup, Most, Page, Retention};
pub use error::Error;
use queue::Queue;
pub use queue::Waits;
use record::Record;
pub use resume::{Counted, Resume};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the agent keeps its incidents.
pub const STATE_DIR: &str = "/var/lib/oom-agent";
/// Bytes of incidents that are kept in memory while the disk cannot be used. Of more the oldest are lost.
const MEMORY_BYTES: u64 = 4 << 20;
/// Incidents that are moved from memory to disk in one transaction.
const MOVED_AT_ONCE: usize = 64;
/// Between attempts to use the disk again: from and to.
const PAUSE_NS: (u64, u64) = (1_000_000_000, 60_000_000_000);

/// The database's file in a state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(file::NAME)
}

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on the disk.
    Stored,
    /// It was there before.
    Known,
    /// It is in memory, until the disk can be used again. A kill of the agent loses it.
    Held,
    /// Not even that.
    Lost,
}

/// How the store does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Why the disk cannot be used now.
    pub problem: Option<String>,
    /// Incidents in memory that are not on the disk.
    pub held: u64,
    /// Incidents that found no room in memory either, since the start.
    pub lost: u64,
    /// Incidents that were dropped for age or size, since the start.
    pub expired: u64,
    /// Damaged files that were set aside, since the start.
    pub set_aside: u64,
}

/// Incidents of this machine.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    retention: Retention,
    disk: Option<Disk>,
    memory: Option<Database>,
    /// What can be read of a disk that cannot be written to.
    reader: Option<Database>,
    /// Where a restarted agent is to go on, and whether the file says so already.
    resume: Option<Resume>,
    remembered: bool,
    /// Incidents up to this row will only be counted later: no scrape sees them yet.
    waiting: i64,
    /// There may be incidents that were not seen until now.
    news: bool,
    /// Where incidents are sent elsewhere.
    queue: Option<Queue>,
    /// Held as long as the store, over all files.
    lock: Option<File>,
    /// When the disk is tried again, and how long after that.
    again: Option<(u64, u64)>,
    status: Status,
    messages: Vec<String>,
}

/// The database on disk.
#[derive(Debug)]
struct Disk {
    database: Database,
    identity: Option<(u64, u64)>,
}

impl Store {
    /// Opens the store in a state directory, and makes both where they are missing. What does not work, and is tried again
    /// later, is said in sentences.
    ///
    /// # Errors
    /// What somebody has to decide: it is of a later version, not the agent's, or another agent writes to it.
    pub fn open(state_dir: &Path, retention: Retention) -> Result<(Self, Vec<String>), Error> {
        Self::open_with(state_dir, retention, None)
    }

    /// The same. `queue`: what is stored is also to be sent elsewhere, and so many incidents may wait.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        state_dir: &Path,
        retention: Retention,
        queue: Option<u64>,
    ) -> Result<(Self, Vec<String>), Error> {
        let mut store = Self {
            path: path(state_dir),
            retention,
            disk: None,
            memory: None,
            reader: None,
            resume: None,
            remembered: true,
            waiting: 0,
            news: true,
            queue: queue.map(Queue::new),
            lock: None,
            again: None,
            status: Status::default(),
            messages: Vec::new(),
        };
        if let Err(error) = store.connect() {
            if error.is_final() {
                return Err(error);
            }
            store.failed(&error);
        }
        let messages = store.messages();
        Ok((store, messages))
    }

    /// Stores an incident. It is on the disk when this returns [`Outcome::Stored`].
    pub fn put(&mut self, incident: &Incident) -> Outcome {
        self.put_all(std::slice::from_ref(incident)).pop().unwrap_or(Outcome::Lost)
    }

    /// Stores several in one transaction: one wait for the disk.
    pub fn put_all(&mut self, incidents: &[Incident]) -> Vec<Outcome> {
        let records: Vec<_> = incidents.iter().map(Record::of).collect();
        if self.ready() {
            // After damage there is a new file to try.
            for _ in 0..2 {
                match self.write(&records, true) {
                    Ok(new) => {
                        let outcome = |new| if new { Outcome::Stored } else { Outcome::Known };
                        return new.into_iter().map(outcome).collect();
                    }
                    Err(error) if error.is_damage() => {
                        self.disk = None;
                        if let Err(error) = self.replace(&error) {
                            self.failed(&error);
                            break;
                        }
                    }
                    Err(error) => {
                        self.failed(&error);
                        break;
                    }
                }
            }
        }
        self.hold(&records)
    }

    /// Tries the disk again if it is time to. For whoever has a timer; [`Self::put`] does so too.
    pub fn retry(&mut self) {
        if self.again.is_some() {
            self.ready();
        }
    }

    /// Keeps incidents for another time, up to another size, from here on.
    pub fn retain(&mut self, retention: Retention) {
        self.retention = retention;
        let Some(disk) = &mut self.disk else { return };
        match disk.database.shrink(&self.retention, now_ms(), self.queue.as_ref().map(|queue| queue.most)) {
            Ok(put) => self.dropped(&put),
            Err(error) => self.failed(&error),
        }
    }

    /// How long until [`Self::retry`] has something to do.
    pub fn retry_after(&self) -> Option<Duration> {
        let (at, _) = self.again?;
        Some(Duration::from_nanos(at.saturating_sub(clock::boottime_ns())))
    }

    /// How it does.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Why nothing that is on the disk can be read now. What is in memory can.
    pub fn unreadable(&self) -> Option<&str> {
        match self.disk {
            Some(_) => None,
            None => Some(self.status.problem.as_deref().unwrap_or("it is not open")),
        }
    }

    /// How many incidents can be read.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn count(&self) -> Result<u64, Error> {
        self.databases().map(Database::count).sum()
    }

    /// Bytes in use on the disk.
    pub fn bytes(&self) -> Option<u64> {
        self.disk.as_ref()?.database.used().ok()
    }

    /// What an operator should know and was not told yet, in sentences.
    pub fn messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }

    /// What lists show of the incidents before the id `before` that are wanted, newest first, also of those in memory.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn list(
        &self,
        before: Option<&str>,
        most: Most,
        wants: &mut dyn FnMut(&Incident) -> bool,
    ) -> Result<Page, Error> {
        let mut all = Page::default();
        for database in self.databases() {
            let page = database.list(before, most, wants)?;
            all.incidents.extend(page.incidents);
            all.unreadable += page.unreadable;
            all.bytes += page.bytes;
            all.full |= page.full;
            // Before the later of two ends only one of them was looked at.
            all.next = all.next.max(page.next);
        }
        all.incidents.sort_by(|one, other| other.id.cmp(&one.id));
        all.incidents.dedup_by(|one, other| one.id == other.id);
        if let Some(next) = &all.next {
            all.incidents.retain(|incident| incident.id >= *next);
        }
        if all.incidents.len() > most.incidents {
            all.incidents.truncate(most.incidents);
            all.next = all.incidents.last().map(|last| last.id.clone());
            all.full = true;
        }
        Ok(all)
    }

    /// The JSON of an incident by its whole id.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<String>, Error> {
        for database in self.databases() {
            if let Lookup::One(json) = database.find(id)?
                && id.len() == ID
            {
                return Ok(Some(json));
            }
        }
        Ok(None)
    }

    fn databases(&self) -> impl Iterator<Item = &Database> {
        let disk = self.disk.as_ref().map(|disk| &disk.database);
        self.memory.iter().chain(disk.or(self.reader.as_ref()))
    }

    /// Whether the disk can be used. Opens it again where it could not, when it is time to, and moves to it what was held.
    fn ready(&mut self) -> bool {
        let now_ns = clock::boottime_ns();
        if self.again.is_some_and(|(at, _)| now_ns < at) {
            return false;
        }
        let gone = self.disk.as_ref().is_some_and(|disk| file::identity(&self.path) != disk.identity);
        if gone {
            // SQLite would go on writing to a file that nobody finds any more.
            self.messages.push(format!("{} was taken away: a new store is begun", self.path.display()));
        }
        if gone || self.again.is_some() || self.disk.is_none() {
            self.disk = None;
            if let Err(error) = self.connect() {
                self.failed(&error);
                return false;
            }
        }
        if let Err(error) = self.bring_up_to_date() {
            self.failed(&error);
            return false;
        }
        self.again = None;
        if self.status.problem.take().is_some() {
            let held = units::plural(std::mem::take(&mut self.status.held), "incident", "incidents");
            self.messages
                .push(format!("the store can be used again: {held} from memory are on the disk now"));
        }
        true
    }

    /// Opens the file. A damaged one is set aside, and a new one begun. One that cannot be written to may be read.
    fn connect(&mut self) -> Result<(), Error> {
        // SQLite shares what it maps of a file among all who have it open: who reads it read-only stays in the way.
        self.reader = None;
        let opened = match self.open_file() {
            Err(error) if error.is_damage() => self.replace(&error),
            other => other,
        };
        if opened.as_ref().is_err_and(|error| !error.is_final()) {
            self.reader = Database::read(&self.path).ok();
        }
        opened
    }

    fn replace(&mut self, damage: &Error) -> Result<(), Error> {
        let stamp = clock::wall(clock::boottime_ns()).map_or(0, |(unix_ms, _)| unix_ms);
        let stamp = jiff::Timestamp::from_millisecond(stamp as i64)
            .map_or_else(|_| stamp.to_string(), |time| time.strftime("%Y%m%dT%H%M%S%.3fZ").to_string());
        let aside = file::set_aside(&self.path, &stamp)?;
        self.remembered = self.resume.is_none();
        self.status.set_aside += 1;
        self.messages.push(format!(
            "THE STORE IS DAMAGED ({damage}): its file was set aside as {}, a new one is begun",
            aside.display()
        ));
        self.open_file()
    }

    fn open_file(&mut self) -> Result<(), Error> {
        file::prepare(&self.path)?;
        self.lock = file::lock(&self.path, self.lock.take())?;
        let identity = file::identity(&self.path);
        let mut database = Database::open(&self.path)?;
        let put = database.shrink(&self.retention, now_ms(), self.queue.as_ref().map(|queue| queue.most))?;
        self.dropped(&put);
        self.disk = Some(Disk { database, identity });
        Ok(())
    }

    fn dropped(&mut self, put: &Put) {
        self.status.expired += put.expired;
        if let Some(queue) = &mut self.queue {
            queue.dropped(put.dropped);
        }
    }

    /// `all`: nothing is held that is older, so it may be noted where to go on.
    fn write(&mut self, records: &[Record], all: bool) -> Result<Vec<bool>, Error> {
        let Some(disk) = &mut self.disk else { return Err(Error::Missing(self.path.clone())) };
        let resume = self.resume.as_ref().filter(|_| all && !self.remembered);
        let queue = self.queue.as_ref().map(|queue| queue.most);
        let put = disk.database.put(records, &self.retention, now_ms(), resume, queue)?;
        self.dropped(&put);
        self.remembered |= all;
        self.news |= put.new.contains(&true);
        Ok(put.new)
    }

    /// Moves what was held in memory to the disk.
    fn bring_up_to_date(&mut self) -> Result<(), Error> {
        self.note_sent()?;
        let Some(memory) = self.memory.take() else { return Ok(()) };
        let moved = self.move_all(&memory);
        if moved.is_err() {
            self.memory = Some(memory);
        }
        moved
    }

    fn move_all(&mut self, memory: &Database) -> Result<(), Error> {
        let (mut last, mut records) = (String::new(), Vec::new());
        loop {
            let next = memory.after(&last)?;
            let end = next.is_none();
            if let Some((id, json)) = next {
                let incident: Option<Incident> = serde_json::from_str(&json).ok();
                let new = incident.filter(|incident| !self.told_before(incident));
                let mut new = new.as_ref().map(Record::of);
                if let Some(new) = &mut new {
                    new.unsent = memory.is_unsent(&id)?;
                }
                records.extend(new);
                last = id;
            }
            if end || records.len() == MOVED_AT_ONCE {
                self.write(&records, false)?;
                records.clear();
            }
            if end {
                return Ok(());
            }
        }
    }

    fn hold(&mut self, records: &[Record]) -> Vec<Outcome> {
        let held = self.hold_in_memory(records);
        let outcome = if held.is_ok() { Outcome::Held } else { Outcome::Lost };
        if held.is_err() {
            self.status.lost += records.len() as u64;
        }
        vec![outcome; records.len()]
    }

    fn hold_in_memory(&mut self, records: &[Record]) -> Result<(), Error> {
        let memory = match &mut self.memory {
            Some(memory) => memory,
            None => self.memory.insert(Database::in_memory()?),
        };
        let retention = Retention { max_age: Duration::MAX, max_bytes: MEMORY_BYTES };
        let queue = self.queue.as_ref().map(|queue| queue.most);
        let put = memory.put(records, &retention, 0, None, queue)?;
        if let Some(queue) = &mut self.queue {
            queue.dropped(put.dropped);
        }
        let new = put.new.iter().filter(|new| **new).count() as u64;
        self.status.held = (self.status.held + new).saturating_sub(put.expired);
        self.status.lost += put.expired;
        if put.expired > 0 {
            let lost = units::plural(put.expired, "incident was", "incidents were");
            self.messages.push(format!("{lost} LOST: the store cannot be used, and its memory is full"));
        }
        Ok(())
    }

    /// Notes why the disk cannot be used, and when to try again. Said once for each reason.
    fn failed(&mut self, error: &Error) {
        let pause_ns = self.again.map_or(PAUSE_NS.0, |(_, pause)| (2 * pause).min(PAUSE_NS.1));
        self.again = Some((clock::boottime_ns().saturating_add(pause_ns), pause_ns));
        let problem = error.to_string();
        if self.status.problem.as_ref() != Some(&problem) {
            self.messages.push(format!(
                "INCIDENTS CANNOT BE STORED in {}: {problem}. They are kept in memory, at most {}, and tried again",
                self.path.display(),
                units::bytes(MEMORY_BYTES)
            ));
        }
        self.status.problem = Some(problem);
    }
}

/// Characters of an id.
const ID: usize = 26;

fn now_ms() -> u64 {
    clock::wall(clock::boottime_ns()).map_or(0, |(unix_ms, _)| unix_ms)
}
