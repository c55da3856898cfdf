//! One SQLite database of incidents: on disk or in memory.

use super::error::Error;
use super::queue::{self, Dropped};
use super::record::Record;
use super::resume::{self, Resume};
use crate::incident::id::first_id;
use crate::incident::model::Incident;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior, params,
};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The schema that this version writes (`PRAGMA user_version`).
pub(super) const VERSION: i64 = 1;
/// `OOMA`: whose file it is (`PRAGMA application_id`).
const APPLICATION: i64 = 0x4f4f_4d41;

/// `brief` is what lists need of `json`. The other columns are for SQL.
const SCHEMA: &str = "
CREATE TABLE incidents (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    unix_ms INTEGER,
    boot_id TEXT,
    boottime_ns INTEGER,
    scope TEXT,
    cgroup TEXT,
    comm TEXT,
    pid INTEGER,
    diagnosis TEXT,
    level TEXT,
    brief TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX natural ON incidents (boot_id, boottime_ns, pid);
CREATE TABLE processes (
    pid INTEGER NOT NULL,
    seq INTEGER NOT NULL REFERENCES incidents ON DELETE CASCADE,
    PRIMARY KEY (pid, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX processes_of ON processes (seq);
";

const INSERT: &str = "INSERT INTO incidents \
    (id, unix_ms, boot_id, boottime_ns, scope, cgroup, comm, pid, diagnosis, level, brief, json) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING";

/// Pages that SQLite keeps in memory for one database.
const CACHE_KIB: i64 = 512;
/// Pages in the write-ahead log before they are moved into the file: 1 MiB.
const CHECKPOINT_PAGES: i64 = 256;
/// What is expired by age goes in such steps, one a transaction. A wall clock that is wrong for a moment does not empty
/// the store.
const EXPIRED_AT_ONCE: i64 = 64;

/// How long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Older incidents are dropped, by the wall clock.
    pub max_age: Duration,
    /// Bytes of the database with its write-ahead log. Of more the oldest are dropped, never the newest one.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_age: Duration::from_hours(90 * 24), max_bytes: 64 << 20 }
    }
}

/// What a transaction did.
#[derive(Debug, Default)]
pub(super) struct Put {
    /// For each record whether it is new.
    pub(super) new: Vec<bool>,
    /// Incidents that had to go.
    pub(super) expired: u64,
    /// What will not be sent.
    pub(super) dropped: Dropped,
}

/// Incidents in a list.
#[derive(Debug, Default)]
pub struct Page {
    /// What lists show of them, newest first.
    pub incidents: Vec<Incident>,
    /// Rows that are damaged, and left out.
    pub unreadable: u64,
    /// The list goes on before this id.
    pub next: Option<String>,
    /// It ended since there is no room for more in it. Else, where it goes on, as much was looked at as may be at a time.
    pub full: bool,
    /// Bytes of JSON of those in it.
    pub bytes: usize,
}

/// How much a list may be and cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Incidents in it.
    pub incidents: usize,
    /// Incidents that are looked at.
    pub rows: usize,
    /// Bytes of JSON of those in it, about. One is always taken.
    pub bytes: usize,
}

impl Most {
    /// So many incidents, whatever that costs.
    pub const fn incidents(incidents: usize) -> Self {
        Self { incidents, rows: usize::MAX, bytes: usize::MAX }
    }
}

/// What an id, or the end of one, names.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    None,
    /// This incident's JSON.
    One(String),
    /// More than one.
    Several,
}

/// A database that is open.
#[derive(Debug)]
pub struct Database {
    pub(super) db: Connection,
}

impl Database {
    /// Opens the file, or begins it where it is empty, and looks for damage.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags)?;
        // Readers do not block the writer. Only a reader that recovers after a crash does, for a moment.
        db.busy_timeout(Duration::from_millis(200))?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let empty = check_version(&db, path)?;
        if empty {
            // Before the first table.
            db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(Error::Damaged(format!("no write-ahead log ({mode})")));
        }
        // Each commit is on the disk when it returns.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        db.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * 4096)?;
        if empty {
            begin(&mut db)?;
        } else {
            check_content(&db)?;
        }
        resume::prepare(&db)?;
        queue::prepare(&db)?;
        db.pragma_update(None, "foreign_keys", true)?;
        Ok(Self { db })
    }

    /// One that is gone when it is closed.
    pub(super) fn in_memory() -> Result<Self, Error> {
        let mut db = Connection::open_in_memory()?;
        begin(&mut db)?;
        resume::prepare(&db)?;
        queue::prepare(&db)?;
        db.pragma_update(None, "foreign_keys", true)?;
        Ok(Self { db })
    }

    /// Opens a file for reading, also beside an agent that writes to it, and without the permission to write.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::is_denied`], or it is not what it should be.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing(path.to_owned()));
            }
            Err(error) => return Err(Error::at("read", path)(error)),
            Ok(_) => {}
        }
        let open = |immutable: bool| -> Result<Self, Error> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = if immutable {
                Connection::open_with_flags(uri(path), flags | OpenFlags::SQLITE_OPEN_URI)?
            } else {
                Connection::open_with_flags(path, flags)?
            };
            db.busy_timeout(Duration::from_secs(5))?;
            db.pragma_update(None, "cache_size", -CACHE_KIB)?;
            if check_version(&db, path)? {
                return Err(Error::Missing(path.to_owned()));
            }
            Ok(Self { db })
        };
        match open(false) {
            // Without a writer there is no write-ahead log, and who may not write cannot make the empty one that SQLite
            // wants. Nothing changes then, so the file alone will do.
            Err(error) if error.is_denied() && !has_log(path) => open(true),
            other => other,
        }
    }

    /// Stores what is new, drops what is too old or too much, and notes where to go on, in one transaction. `queue`: what is
    /// new is to be sent, and so many may wait.
    pub(super) fn put(
        &mut self,
        records: &[Record],
        retention: &Retention,
        now_ms: u64,
        resume: Option<&Resume>,
        queue: Option<u64>,
    ) -> Result<Put, Error> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before: i64 = tx.query_row("SELECT ifnull(max(seq), 0) FROM incidents", [], |row| row.get(0))?;
        let mut put = Put::default();
        for record in records {
            put.new.push(insert(&tx, record, queue.is_some())?);
        }
        let waits = if queue.is_some() { queue::length(&tx)? } else { 0 };
        put.expired = expire(&tx, retention, now_ms, before)?;
        if let Some(most) = queue {
            put.dropped = queue::trim(&tx, waits, most)?;
        }
        if let Some(resume) = resume {
            resume::write(&tx, resume)?;
        }
        tx.commit()?;
        Ok(put)
    }

    /// Drops what is too old or too much, and gives free space at the end of the file back.
    pub(super) fn shrink(
        &mut self,
        retention: &Retention,
        now_ms: u64,
        queue: Option<u64>,
    ) -> Result<Put, Error> {
        let put = self.put(&[], retention, now_ms, None, queue)?;
        let limit = retention.max_bytes.saturating_sub(CHECKPOINT_PAGES as u64 * 4096);
        if pragma(&self.db, "page_count")?.saturating_mul(pragma(&self.db, "page_size")?) > limit {
            // Each step frees one page.
            let mut vacuum = self.db.prepare("PRAGMA incremental_vacuum(4096)")?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
        }
        Ok(put)
    }

    /// What lists show of the incidents before the id `before` that are wanted, newest first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn list(
        &self,
        before: Option<&str>,
        most: Most,
        wants: &mut dyn FnMut(&Incident) -> bool,
    ) -> Result<Page, Error> {
        let mut page = Page::default();
        let mut statement = self
            .db
            .prepare("SELECT brief, id FROM incidents WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC")?;
        let mut rows = statement.query([before])?;
        let (mut looked_at, mut last) = (0, None);
        while let Some(row) = rows.next()? {
            if looked_at == most.rows {
                page.next = last;
                break;
            }
            looked_at += 1;
            let brief = text(row, 0)?;
            match serde_json::from_str(&brief) {
                Ok(incident) if wants(&incident) => {
                    let heavy = !page.incidents.is_empty() && page.bytes + brief.len() > most.bytes;
                    if page.incidents.len() == most.incidents || heavy {
                        (page.next, page.full) = (last, true);
                        break;
                    }
                    page.bytes += brief.len();
                    page.incidents.push(incident);
                }
                Ok(_) => {}
                Err(_) => page.unreadable += 1,
            }
            last = Some(text(row, 1)?);
        }
        Ok(page)
    }

    /// The incident that an id, or its last characters, names.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find(&self, id: &str) -> Result<Lookup, Error> {
        let mut statement = self.db.prepare(
            "SELECT json FROM incidents WHERE id = ?1 \
             UNION ALL SELECT json FROM incidents WHERE id <> ?1 AND substr(id, -length(?1)) = ?1 LIMIT 2",
        )?;
        let mut rows = statement.query([id])?;
        let Some(first) = rows.next()? else { return Ok(Lookup::None) };
        let json = text(first, 0)?;
        Ok(if rows.next()?.is_some() { Lookup::Several } else { Lookup::One(json) })
    }

    /// Id and JSON of the first incident after an id, oldest first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn after(&self, id: &str) -> Result<Option<(String, String)>, Error> {
        let sql = "SELECT id, json FROM incidents WHERE id > ?1 ORDER BY id LIMIT 1";
        Ok(self.db.query_row(sql, [id], |row| Ok((text(row, 0)?, text(row, 1)?))).optional()?)
    }

    /// Id and JSON of the newest incident.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn latest(&self) -> Result<Option<(String, String)>, Error> {
        let sql = "SELECT id, json FROM incidents ORDER BY id DESC LIMIT 1";
        Ok(self.db.query_row(sql, [], |row| Ok((text(row, 0)?, text(row, 1)?))).optional()?)
    }

    /// How many there are.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn count(&self) -> Result<u64, Error> {
        let count: i64 = self.db.query_row("SELECT count(*) FROM incidents", [], |row| row.get(0))?;
        Ok(count as u64)
    }

    /// What it has in memory of the file is read again.
    #[cfg(test)]
    pub(super) fn forget_pages(&self) {
        self.db.execute_batch("PRAGMA shrink_memory").unwrap();
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> Result<u64, Error> {
        used(&self.db)
    }
}

fn insert(tx: &Transaction<'_>, record: &Record, queued: bool) -> rusqlite::Result<bool> {
    let Record {
        id,
        unix_ms,
        boot_id,
        boottime_ns,
        scope,
        cgroup,
        comm,
        pid,
        diagnosis,
        level,
        brief,
        json,
        processes,
        unsent,
    } = record;
    let values =
        params![id, unix_ms, boot_id, boottime_ns, scope, cgroup, comm, pid, diagnosis, level, brief, json];
    if tx.execute(INSERT, values)? == 0 {
        return Ok(false);
    }
    let seq = tx.last_insert_rowid();
    resume::add_unseen(tx, seq)?;
    if queued && *unsent {
        queue::add(tx, seq)?;
    }
    let mut statement = tx.prepare("INSERT OR IGNORE INTO processes (pid, seq) VALUES (?1, ?2)")?;
    for process in processes {
        statement.execute(params![process, seq])?;
    }
    Ok(true)
}

/// Drops what is too old or too much, of those up to the row `last`.
fn expire(tx: &Transaction<'_>, retention: &Retention, now_ms: u64, last: i64) -> Result<u64, Error> {
    let oldest = now_ms.saturating_sub(u64::try_from(retention.max_age.as_millis()).unwrap_or(u64::MAX));
    let mut expired = tx.execute(
        "DELETE FROM incidents WHERE seq IN \
         (SELECT seq FROM incidents WHERE id < ?1 AND seq <= ?2 ORDER BY id LIMIT ?3)",
        params![first_id(oldest), last, EXPIRED_AT_ONCE],
    )?;
    let room = retention.max_bytes.saturating_sub(CHECKPOINT_PAGES as u64 * 4096);
    while used(tx)? > room {
        let sql = "DELETE FROM incidents WHERE seq IN \
                   (SELECT seq FROM incidents WHERE seq <= ?1 ORDER BY id LIMIT 8)";
        match tx.execute(sql, [last])? {
            0 => break,
            some => expired += some,
        }
    }
    Ok(expired as u64)
}

fn begin(db: &mut Connection) -> Result<(), Error> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

/// Whether it is empty. An error if it is not one that this version knows.
fn check_version(db: &Connection, path: &Path) -> Result<bool, Error> {
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(true),
        (APPLICATION, 1..=VERSION) => Ok(false),
        (APPLICATION, VERSION..) => Err(Error::Newer(version)),
        _ => Err(Error::Foreign(path.to_owned())),
    }
}

/// Reads the whole file once. What is damaged would be found only when it is read, and by then be written around.
fn check_content(db: &Connection) -> Result<(), Error> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(Error::Damaged(found));
    }
    // Pages may be whole, and not ours.
    db.prepare("SELECT seq, brief, json FROM incidents")
        .map_err(|error| Error::Damaged(error.to_string()))?;
    db.prepare("SELECT pid, seq FROM processes").map_err(|error| Error::Damaged(error.to_string()))?;
    Ok(())
}

fn used(db: &Connection) -> Result<u64, Error> {
    let pages = pragma(db, "page_count")?.saturating_sub(pragma(db, "freelist_count")?);
    Ok(pages.saturating_mul(pragma(db, "page_size")?))
}

fn pragma(db: &Connection, name: &str) -> Result<u64, Error> {
    let value: i64 = db.pragma_query_value(None, name, |row| row.get(0))?;
    Ok(value as u64)
}

/// A column's text. SQLite has no checksums: a damaged page may hold anything.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(column)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default())
}

fn has_log(path: &Path) -> bool {
    std::fs::metadata(super::file::beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// `file:` with what says that nobody writes to it.
fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri + "?immutable=1"
}
