//! What is still to be sent elsewhere: a row for each incident, written with it, and taken away when it was acknowledged.
//! It goes with the incident, so what the store drops is not sent.

use super::{
    Store,
    database::{Database, text},
    error::Error,
};
use crate::otlp::record::Stored;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// An older version of the agent does not look at it.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS unsent (
    seq INTEGER PRIMARY KEY REFERENCES incidents ON DELETE CASCADE
) STRICT";

/// The queue of a store that has one.
#[derive(Debug)]
pub(super) struct Queue {
    /// Incidents in it, at most.
    pub(super) most: u64,
    /// What was sent, and could not be taken away since the disk refused. Until it can, nothing is taken from the disk.
    sent: Vec<String>,
    waits: Waits,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many.
    pub incidents: u64,
    /// When the one that has waited longest happened, milliseconds since 1970.
    pub oldest_unix_ms: Option<u64>,
    /// How many will not be sent, since the queue was full. They are in the store.
    pub full: u64,
    /// How many will not be sent, since the store had to drop them.
    pub expired: u64,
}

/// What a transaction did to the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dropped {
    full: u64,
    expired: u64,
}

impl Queue {
    pub(super) fn new(most: u64) -> Self {
        Self { most, sent: Vec::new(), waits: Waits::default() }
    }

    /// Counts what was dropped.
    pub(super) const fn dropped(&mut self, Dropped { full, expired }: Dropped) {
        self.waits.full += full;
        self.waits.expired += expired;
    }
}

impl Store {
    /// What has waited longest: so many incidents, so many bytes of JSON, but one. Of those on a disk that cannot be used,
    /// none: it could not be noted that they were sent.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn unsent(&self, most: usize, bytes: usize) -> Result<Vec<Stored>, Error> {
        let usable = self.again.is_none() && self.queue.as_ref().is_some_and(|queue| queue.sent.is_empty());
        if let Some(disk) = self.disk.as_ref().filter(|_| usable) {
            let first = unsent(&disk.database.db, most, bytes)?;
            if !first.is_empty() {
                return Ok(first);
            }
        }
        self.memory.as_ref().map_or_else(|| Ok(Vec::new()), |memory| unsent(&memory.db, most, bytes))
    }

    /// These are not to be sent again.
    pub fn sent(&mut self, ids: Vec<String>) {
        if let Some(memory) = &mut self.memory {
            // What is only there is not on the disk.
            let _ = take(memory, &ids);
        }
        if let Some(queue) = &mut self.queue {
            queue.sent.extend(ids);
        }
        if self.again.is_none()
            && let Err(error) = self.note_sent()
        {
            self.failed(&error);
        }
    }

    /// Writes down what was sent, if that could not be done before.
    pub(super) fn note_sent(&mut self) -> Result<(), Error> {
        let (Some(disk), Some(queue)) = (&mut self.disk, &mut self.queue) else { return Ok(()) };
        if !queue.sent.is_empty() {
            take(&mut disk.database, &queue.sent)?;
            queue.sent.clear();
        }
        Ok(())
    }

    /// How the queue does. `None`: nothing is to be sent.
    pub fn waits(&self) -> Option<Waits> {
        let queue = self.queue.as_ref()?;
        let mut waits = queue.waits;
        for database in self.databases() {
            // Where it cannot be read, nothing is sent either, and the store says why.
            waits.incidents += length(&database.db).unwrap_or(0);
            let oldest = oldest(&database.db).ok().flatten();
            waits.oldest_unix_ms = waits.oldest_unix_ms.into_iter().chain(oldest).min();
        }
        waits.incidents = waits.incidents.saturating_sub(queue.sent.len() as u64);
        Some(waits)
    }
}

impl Database {
    /// Whether this incident is still to be sent.
    pub(super) fn is_unsent(&self, id: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM unsent JOIN incidents USING (seq) WHERE id = ?1)";
        Ok(self.db.query_row(sql, [id], |row| row.get(0))?)
    }
}

/// Makes room for it where there is none. Else nothing is written.
pub(super) fn prepare(db: &Connection) -> Result<(), Error> {
    Ok(db.execute_batch(SCHEMA)?)
}

/// This incident is to be sent. In the transaction that stores it.
pub(super) fn add(tx: &Transaction<'_>, row: i64) -> rusqlite::Result<()> {
    tx.execute("INSERT OR IGNORE INTO unsent (seq) VALUES (?1)", [row])?;
    Ok(())
}

pub(super) fn length(db: &Connection) -> rusqlite::Result<u64> {
    let count: i64 = db.query_row("SELECT count(*) FROM unsent", [], |row| row.get(0))?;
    Ok(count as u64)
}

/// The oldest beyond `most` are not sent. `before`: what was in it before some were expired.
pub(super) fn trim(tx: &Transaction<'_>, before: u64, most: u64) -> rusqlite::Result<Dropped> {
    let left = length(tx)?;
    let full = left.saturating_sub(most);
    if full > 0 {
        let sql = "DELETE FROM unsent WHERE seq IN (SELECT seq FROM unsent ORDER BY seq LIMIT ?1)";
        tx.execute(sql, [full as i64])?;
    }
    Ok(Dropped { full, expired: before.saturating_sub(left) })
}

fn oldest(db: &Connection) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT unix_ms FROM unsent JOIN incidents USING (seq) ORDER BY seq LIMIT 1";
    let ms = db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).optional()?;
    Ok(ms.flatten().and_then(|ms| ms.try_into().ok()))
}

fn unsent(db: &Connection, most: usize, bytes: usize) -> Result<Vec<Stored>, Error> {
    let sql = "SELECT id, brief, json FROM unsent JOIN incidents USING (seq) ORDER BY seq LIMIT ?1";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query(params![most as i64])?;
    let (mut all, mut sum) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let stored = Stored { id: text(row, 0)?, brief: text(row, 1)?, json: text(row, 2)? };
        sum += stored.json.len();
        if sum > bytes && !all.is_empty() {
            break;
        }
        all.push(stored);
    }
    Ok(all)
}

/// These are not to be sent any more. Each that is not there is passed over.
fn take(database: &mut Database, ids: &[String]) -> Result<(), Error> {
    let tx = database.db.transaction()?;
    for id in ids {
        let sql = "DELETE FROM unsent WHERE seq = (SELECT seq FROM incidents WHERE id = ?1)";
        tx.execute(sql, [id])?;
    }
    Ok(tx.commit()?)
}
