//! Whether an incident is stored already.

use super::{
    Store,
    database::{Database, text},
    error::Error,
};
use crate::incident::model::Incident;
use crate::incident::same::{is_same, processes, window_ns};
use rusqlite::{Row, params};

/// Process ids of an incident that it is looked for by. The members of a group are many and die together.
const LOOKED_FOR: usize = 16;

impl Database {
    /// Whether there is an incident of the same kill, see [`is_same`].
    pub(super) fn is_known(&self, incident: &Incident, suspended_ns: u64) -> Result<bool, Error> {
        let (Some(boot_id), Some(at)) = (incident.boot_id.as_deref(), incident.boottime_ns) else {
            return Ok(false);
        };
        let same = |row: &Row<'_>| -> rusqlite::Result<bool> {
            let known: Result<Incident, _> = serde_json::from_str(&text(row, 0)?);
            Ok(known.is_ok_and(|known| is_same(&known, incident, suspended_ns)))
        };
        let mut by_process = self.db.prepare(
            "SELECT brief FROM processes JOIN incidents USING (seq) WHERE processes.pid = ?1 AND boot_id = ?2",
        )?;
        let ids = processes(incident);
        for id in ids.iter().take(LOOKED_FOR) {
            for found in by_process.query_map(params![id, boot_id], same)? {
                if found? {
                    return Ok(true);
                }
            }
        }
        let mut without = self.db.prepare(
            "SELECT brief FROM incidents WHERE boot_id = ?1 AND boottime_ns BETWEEN ?2 AND ?3 \
             AND (?4 OR pid IS NULL)",
        )?;
        // Somewhat more than `is_same` allows.
        let around = window_ns(incident, suspended_ns).saturating_add(60_000_000_000);
        let (from, to) = (at.saturating_sub(around) as i64, at.saturating_add(around) as i64);
        for found in without.query_map(params![boot_id, from, to, ids.is_empty()], same)? {
            if found? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Store {
    /// Whether an incident, read from the kernel's log, is stored already, perhaps by another source and with another clock
    /// (`incident::same`). `suspended_ns`: how long the machine was suspended since boot.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn is_known(&self, incident: &Incident, suspended_ns: u64) -> Result<bool, Error> {
        for database in self.databases() {
            if database.is_known(incident, suspended_ns)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
