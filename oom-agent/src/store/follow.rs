//! What is stored next: for who follows.

use super::{
    Store,
    database::{Database, text},
    error::Error,
};
use rusqlite::OptionalExtension as _;

impl Database {
    /// Id and JSON of the incident that was stored next after the one with this id, or first. Incidents are not always
    /// stored in the order of their ids. After one that is gone: of those with later ids.
    fn following(&self, id: Option<&str>) -> Result<Option<(String, String)>, Error> {
        let sql = match id {
            Some(id) if self.has(id)? => "seq > (SELECT seq FROM incidents WHERE id = ?1)",
            Some(_) => "id > ?1",
            None => "?1 IS NULL",
        };
        let sql = format!("SELECT id, json FROM incidents WHERE {sql} ORDER BY seq LIMIT 1");
        Ok(self.db.query_row(&sql, [id], |row| Ok((text(row, 0)?, text(row, 1)?))).optional()?)
    }

    fn has(&self, id: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM incidents WHERE id = ?1)";
        Ok(self.db.query_row(sql, [id], |row| row.get(0))?)
    }

    fn last_stored(&self) -> Result<Option<String>, Error> {
        let sql = "SELECT id FROM incidents ORDER BY seq DESC LIMIT 1";
        Ok(self.db.query_row(sql, [], |row| text(row, 0)).optional()?)
    }
}

impl Store {
    /// Id and JSON of the incident that was stored next after the one with this id, or first, also of those in memory.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn following(&self, id: Option<&str>) -> Result<Option<(String, String)>, Error> {
        // What is in memory came after what is on the disk.
        if let (Some(memory), Some(id)) = (&self.memory, id)
            && memory.has(id)?
        {
            return memory.following(Some(id));
        }
        if let Some(disk) = &self.disk
            && let Some(next) = disk.database.following(id)?
        {
            return Ok(Some(next));
        }
        self.memory.as_ref().map_or(Ok(None), |memory| memory.following(None))
    }

    /// The id of the incident that was stored last.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn last_stored(&self) -> Result<Option<String>, Error> {
        for database in self.databases() {
            if let Some(id) = database.last_stored()? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}
