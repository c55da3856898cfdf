//! Where the agent goes on after it was restarted. In the same file as the incidents, and written with them: both are on the
//! disk or neither is.

use super::error::Error;
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
}

/// One row. An older version of the agent does not look at it.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS resume (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    unix_ms INTEGER NOT NULL
) STRICT";

/// Makes room for it where there is none. Else nothing is written.
pub(super) fn prepare(db: &Connection) -> Result<(), Error> {
    Ok(db.execute_batch(SCHEMA)?)
}

/// Writes it, in whatever transaction is open.
pub(super) fn write(db: &Connection, resume: &Resume) -> Result<(), Error> {
    let Resume { boot_id, seq, unix_ms } = resume;
    let sql = "INSERT OR REPLACE INTO resume (one, boot_id, seq, unix_ms) VALUES (1, ?1, ?2, ?3)";
    db.execute(sql, params![boot_id, *seq as i64, *unix_ms as i64])?;
    Ok(())
}

/// What was written last. A file without it, or with a damaged row, says nothing.
pub(super) fn read(db: &Connection) -> Option<Resume> {
    let row = db.query_row("SELECT boot_id, seq, unix_ms FROM resume", [], |row| {
        let number = |column| row.get::<_, i64>(column).map(|value| value as u64);
        Ok(Resume { boot_id: row.get(0)?, seq: number(1)?, unix_ms: number(2)? })
    });
    row.optional().ok().flatten()
}
