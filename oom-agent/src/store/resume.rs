//! Where the agent goes on after it was restarted: in the kernel's log, and in its counters, which begin with 0. In the same
//! file as the incidents, and written with them: both are on the disk or neither is.

use super::Store;
use super::error::Error;
use crate::clock;
use crate::incident::counted::Within;
use crate::incident::model::{Incident, Level};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The first record of the kernel's log that may tell of an incident that is not stored.
    pub seq: u64,
    /// When this was written, milliseconds since 1970.
    pub unix_ms: u64,
    /// How the kernel's counter of kills and what was told compare.
    pub counted: Option<Counted>,
}

/// What of the kernel's counter of kills is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// `oom_kill` of `/proc/vmstat` when nothing had been told.
    pub base: u64,
    /// What the incidents since explain.
    pub told: Within,
}

/// `resume` has one row, `unseen` one for each incident that no scrape has seen in the counters. An older version of the agent
/// does not look at them.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS unseen (
    seq INTEGER PRIMARY KEY REFERENCES incidents ON DELETE CASCADE
) STRICT;
CREATE TABLE IF NOT EXISTS resume (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    unix_ms INTEGER NOT NULL,
    base INTEGER,
    least INTEGER,
    most INTEGER
) STRICT";

impl Store {
    /// Where the last agent that wrote here would have gone on.
    pub fn resume(&self) -> Option<Resume> {
        read(&self.disk.as_ref().map(|disk| &disk.database).or(self.reader.as_ref())?.db)
    }

    /// From now on a restarted agent is to go on here: everything before it was put. It is written with the next incident.
    pub fn resume_at(&mut self, resume: Resume) {
        self.remembered &= self.resume.as_ref() == Some(&resume);
        self.resume = Some(resume);
    }

    /// Writes down where to go on without waiting for an incident, if the disk can be used.
    pub fn remember(&mut self) {
        if !self.remembered
            && self.ready()
            && let Err(error) = self.write(&[], true)
        {
            self.failed(&error);
        }
    }

    /// What lists show of the incidents since `unix_ms` that were stored before and that no scrape has seen.
    pub fn unseen(&self, unix_ms: u64, each: &mut dyn FnMut(&Incident)) {
        let Some(disk) = &self.disk else { return };
        // Without it the counters lack some, and the store tells of them all the same.
        let _ = unseen(&disk.database.db, unix_ms, &mut |brief| {
            if let Ok(incident) = serde_json::from_str(brief) {
                each(&incident);
            }
        });
    }

    /// What is stored now will be counted later: [`Self::seen`] is not about it until then.
    pub fn wait(&mut self) {
        let disk = self.disk.as_ref();
        self.waiting = disk.and_then(|disk| last_row(&disk.database.db).ok()).unwrap_or(0);
    }

    /// A scrape sees all that is stored now; `all`: also what had to wait.
    pub fn seen(&mut self, all: bool) {
        self.news |= all && self.waiting != 0;
        if all {
            self.waiting = 0;
        }
        let Some(disk) = self.disk.as_ref().filter(|_| self.news && self.again.is_none()) else { return };
        match seen_after(&disk.database.db, self.waiting) {
            Ok(()) => self.news = false,
            Err(error) => self.failed(&error),
        }
    }

    /// It was read from the log when the disk could not be asked whether it is known.
    pub(super) fn told_before(&self, incident: &Incident) -> bool {
        let disk = self.disk.as_ref().filter(|_| incident.evidence.level == Level::Kmsg);
        disk.is_some_and(|disk| disk.database.is_known(incident, clock::suspended_ns()).unwrap_or(false))
    }
}

/// Makes room for them where there is none. Else nothing is written.
pub(super) fn prepare(db: &Connection) -> Result<(), Error> {
    Ok(db.execute_batch(SCHEMA)?)
}

/// Writes it, in whatever transaction is open.
pub(super) fn write(db: &Connection, resume: &Resume) -> Result<(), Error> {
    let Resume { boot_id, seq, unix_ms, counted } = resume;
    let number = |of: fn(&Counted) -> u64| counted.as_ref().map(|counted| of(counted) as i64);
    let (base, least, most) = (number(|it| it.base), number(|it| it.told.least), number(|it| it.told.most));
    let sql = "INSERT OR REPLACE INTO resume (one, boot_id, seq, unix_ms, base, least, most) \
               VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
    db.execute(sql, params![boot_id, *seq as i64, *unix_ms as i64, base, least, most])?;
    Ok(())
}

/// What was written last. A file without it, or with a damaged row, says nothing.
fn read(db: &Connection) -> Option<Resume> {
    let row = db.query_row("SELECT boot_id, seq, unix_ms, base, least, most FROM resume", [], |row| {
        let number = |column| row.get::<_, i64>(column).map(|value| value as u64);
        let counted = row.get::<_, Option<i64>>(3)?.map(|base| {
            Ok::<_, rusqlite::Error>(Counted {
                base: base as u64,
                told: Within { least: number(4)?, most: number(5)? },
            })
        });
        let counted = counted.transpose()?;
        Ok(Resume { boot_id: row.get(0)?, seq: number(1)?, unix_ms: number(2)?, counted })
    });
    row.optional().ok().flatten()
}

/// No scrape has seen this incident yet. In the transaction that stores it.
pub(super) fn add_unseen(db: &Connection, row: i64) -> rusqlite::Result<()> {
    db.execute("INSERT OR IGNORE INTO unseen (seq) VALUES (?1)", [row])?;
    Ok(())
}

/// Those after a row were seen.
fn seen_after(db: &Connection, row: i64) -> Result<(), Error> {
    db.execute("DELETE FROM unseen WHERE seq > ?1", [row])?;
    Ok(())
}

/// The last row of all incidents.
fn last_row(db: &Connection) -> Result<i64, Error> {
    Ok(db.query_row("SELECT ifnull(max(seq), 0) FROM incidents", [], |row| row.get(0))?)
}

/// What lists show of the incidents since `unix_ms` that no scrape has seen.
fn unseen(db: &Connection, unix_ms: u64, each: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut statement = db.prepare(
        "SELECT brief FROM unseen JOIN incidents USING (seq) WHERE incidents.unix_ms >= ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([unix_ms as i64])?;
    while let Some(row) = rows.next()? {
        each(&row.get::<_, String>(0).unwrap_or_default());
    }
    Ok(())
}
