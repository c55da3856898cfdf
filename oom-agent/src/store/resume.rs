//! Where the agent goes on after it was restarted. In the same file as the incidents, and written with them: both are on the
//! disk or neither is.

use super::error::Error;
use crate::incident::counted::Within;
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

/// One row. An older version of the agent does not look at it.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS resume (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    unix_ms INTEGER NOT NULL,
    base INTEGER,
    least INTEGER,
    most INTEGER
) STRICT";

/// Makes room for it where there is none. Else nothing is written.
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
pub(super) fn read(db: &Connection) -> Option<Resume> {
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
