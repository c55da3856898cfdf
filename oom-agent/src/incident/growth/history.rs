//! Recent samples of every memory cgroup that has a limit, and of the machine.
//!
//! A tick is a column, a cgroup a row; the time belongs to the column. All memory is allocated at the start: what is never
//! written is never in use.

use super::Growth;
use super::curve::{Curve, slope, thousandths};
use crate::incident::model::{Incident, ScopeKind, limited};
use std::collections::HashMap;

/// Bytes of a unit: usage is kept as a number of them in 32 bits, up to 16 TiB.
const UNIT: u64 = 4096;
/// The machine's row.
const MACHINE: usize = 0;
/// Hundredths of its limit that a cgroup's usage changes by before that counts as a change.
const CHANGE_PERCENT: u64 = 1;
/// Ticks for which a cgroup has not changed before another one may take its place.
const IDLE_TICKS: u64 = 6;

/// For how long before the last sample the present growth is looked at, seconds.
const PRESENT: f64 = 600.0;

/// How a cgroup stands to its limit now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// `memory.current` at the last sample.
    pub usage_bytes: u64,
    /// `memory.max` then.
    pub limit_bytes: u64,
    /// The slope of the straight line through the samples of the last 10 minutes (least squares); negative: it shrinks.
    /// `None`: fewer than three samples.
    pub bytes_per_second: Option<f64>,
}

/// Fixed memory for samples.
#[derive(Debug)]
pub struct History {
    columns: usize,
    /// Cgroups that there is room for.
    most: usize,
    /// Of each column, `CLOCK_BOOTTIME` in nanoseconds.
    times: Vec<u64>,
    /// Columns that were begun since the start.
    ticks: u64,
    /// In units and one more; 0: not sampled. Row by row.
    usage: Vec<u32>,
    /// File refaults, as far as they fit, and one more; 0: not read. Row by row.
    refaults: Vec<u32>,
    rows: Vec<Row>,
    by_id: HashMap<u64, usize>,
    changed: bool,
}

/// What is known of a cgroup besides its samples.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Inode of its directory.
    id: u64,
    limit_bytes: Option<u64>,
    /// What later usage is compared with.
    reference: Option<u64>,
    /// The tick when it last changed.
    changed: u64,
    gone: bool,
}

impl History {
    /// Room for so many samples of so many cgroups, and of the machine.
    pub fn new(columns: usize, cgroups: usize) -> Self {
        let (columns, rows) = (columns.max(1), cgroups + 1);
        let mut history = Self {
            columns,
            most: cgroups,
            times: vec![0; columns],
            ticks: 0,
            usage: vec![0; columns * rows],
            refaults: vec![0; columns * rows],
            rows: Vec::with_capacity(rows),
            by_id: HashMap::with_capacity(cgroups),
            changed: false,
        };
        history.rows.push(Row::default());
        history
    }

    /// Begins a column. What was sampled a whole history ago is forgotten.
    pub fn tick(&mut self, boottime_ns: u64) {
        self.ticks += 1;
        self.changed = false;
        let column = self.column(self.ticks);
        self.times[column] = boottime_ns;
        for row in 0..self.rows.len() {
            self.usage[row * self.columns + column] = 0;
            self.refaults[row * self.columns + column] = 0;
        }
    }

    /// Whether anything changed in this column by more than a hundredth of its limit, or came.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// How much of the machine's memory is in use in this column.
    pub fn machine(&mut self, usage_bytes: u64, total_bytes: u64) {
        self.rows[MACHINE].limit_bytes = Some(total_bytes);
        self.set(MACHINE, usage_bytes);
    }

    /// A cgroup that has a limit: its samples will come. If there is no room, one that is gone, else the one that has not
    /// changed for the longest time makes room.
    ///
    /// Returns the id of the one that lost its place, if any.
    ///
    /// # Errors
    /// There is no room: all others have changed of late.
    pub fn admit(&mut self, id: u64, limit_bytes: u64) -> Result<Option<u64>, NoRoom> {
        if let Some(row) = self.by_id.get(&id) {
            let row = &mut self.rows[*row];
            row.gone = false;
            row.limit_bytes = Some(limit_bytes);
            return Ok(None);
        }
        let (at, lost) = if self.rows.len() <= self.most {
            self.rows.push(Row::default());
            (self.rows.len() - 1, None)
        } else {
            let rows = self.rows.iter().enumerate().skip(1);
            let (at, row) = rows.min_by_key(|(_, row)| (!row.gone, row.changed)).ok_or(NoRoom)?;
            if !row.gone && row.changed + IDLE_TICKS > self.ticks {
                return Err(NoRoom);
            }
            (at, Some(row.id))
        };
        if let Some(lost) = lost {
            self.by_id.remove(&lost);
            self.usage[at * self.columns..][..self.columns].fill(0);
            self.refaults[at * self.columns..][..self.columns].fill(0);
        }
        self.by_id.insert(id, at);
        self.rows[at] =
            Row { id, limit_bytes: Some(limit_bytes), reference: None, changed: self.ticks, gone: false };
        Ok(lost)
    }

    /// A cgroup was removed, or has no limit any more. What it had is kept until its place is needed.
    pub fn gone(&mut self, id: u64) {
        if let Some(row) = self.by_id.get(&id) {
            self.rows[*row].gone = true;
        }
    }

    /// How much a cgroup uses in this column.
    pub fn cgroup(&mut self, id: u64, usage_bytes: u64) {
        if let Some(row) = self.by_id.get(&id) {
            self.set(*row, usage_bytes);
        }
    }

    /// How often a cgroup has read evicted file pages again since it was made (`workingset_refault_file`).
    pub fn file_refaults(&mut self, id: u64, count: u64) {
        if let Some(row) = self.by_id.get(&id) {
            let at = row * self.columns + self.column(self.ticks);
            self.refaults[at] = (count % u64::from(u32::MAX)) as u32 + 1;
        }
    }

    fn column(&self, tick: u64) -> usize {
        (tick % self.columns as u64) as usize
    }

    fn set(&mut self, at: usize, usage_bytes: u64) {
        if self.ticks == 0 {
            return;
        }
        let cell = at * self.columns + self.column(self.ticks);
        self.usage[cell] = u32::try_from(usage_bytes.div_ceil(UNIT) + 1).unwrap_or(u32::MAX);
        let row = &mut self.rows[at];
        let step = row.limit_bytes.unwrap_or(usage_bytes) / 100 * CHANGE_PERCENT;
        if row.reference.is_none_or(|reference| usage_bytes.abs_diff(reference) > step) {
            row.reference = Some(usage_bytes);
            row.changed = self.ticks;
            self.changed = true;
        }
    }

    /// The ticks of the columns, oldest first.
    fn held(&self) -> impl DoubleEndedIterator<Item = u64> + use<> {
        (self.ticks + 1).saturating_sub(self.columns as u64).max(1)..=self.ticks
    }

    /// How a cgroup stands now. `None`: the last sample has not got it, or it has no limit.
    pub fn standing(&self, id: u64) -> Option<Standing> {
        let at = *self.by_id.get(&id)?;
        let row = self.rows.get(at).filter(|row| !row.gone)?;
        let usage = |tick: u64| {
            let units = self.usage[at * self.columns + self.column(tick)].checked_sub(1)?;
            Some(u64::from(units) * UNIT)
        };
        let time = |tick: u64| self.times[self.column(tick)];
        let age = |tick: u64| time(self.ticks).saturating_sub(time(tick)) as f64 / 1e9;
        let recent = self.held().filter(|tick| age(*tick) <= PRESENT);
        let points = recent.filter_map(|tick| Some((-age(tick), usage(tick)? as f64)));
        Some(Standing {
            usage_bytes: usage(self.ticks)?,
            limit_bytes: row.limit_bytes?,
            bytes_per_second: slope(points),
        })
    }

    /// How the memory in an incident's scope had grown. `cgroup_id`: the full cgroup's. `None`: nothing was sampled before
    /// the kill, or no limit was hit of what is sampled.
    pub fn growth(&self, incident: &Incident, cgroup_id: Option<u64>) -> Option<Growth> {
        let at_ns = incident.boottime_ns?;
        match incident.scope.kind? {
            ScopeKind::Memcg => {
                let row = *self.by_id.get(&cgroup_id?)?;
                let full = incident.state.as_ref().and_then(|state| state.cgroups.first());
                let usage = incident.limits.usage_bytes.or(full.and_then(|full| full.usage_bytes));
                let limit = incident.limits.memory_bytes.or(full.and_then(|full| full.max_bytes));
                let limit = limited(limit);
                self.curve(row, at_ns, Curve { limit, at_kill: usage, full: true, ..Curve::default() })
            }
            // Of the machine nothing tells what was available at the kill. Much free memory is memory that could not be
            // used for what was asked.
            ScopeKind::Global => {
                let known = |name| incident.memory.get(name).copied();
                let full =
                    known("free_bytes").zip(known("ram_bytes")).is_none_or(|(free, ram)| free < ram / 4);
                self.curve(MACHINE, at_ns, Curve { full, ..Curve::default() })
            }
            ScopeKind::Sysrq => self.curve(MACHINE, at_ns, Curve::default()),
            ScopeKind::Cpuset | ScopeKind::MemoryPolicy => None,
        }
    }

    fn curve(&self, at: usize, boottime_ns: u64, mut curve: Curve) -> Option<Growth> {
        let row = self.rows.get(at)?;
        let cells = at * self.columns;
        let mut refaults: Vec<u32> = Vec::new();
        for tick in self.held() {
            let column = self.column(tick);
            // What is sampled between the kill and its telling is not what led to it.
            let Some(age) = boottime_ns.checked_sub(self.times[column]) else { continue };
            if let Some(units) = self.usage[cells + column].checked_sub(1) {
                curve.samples.push((thousandths(age as f64 / 1e9), u64::from(units) * UNIT));
            }
            if let Some(count) = self.refaults[cells + column].checked_sub(1) {
                refaults.push(count);
            }
        }
        curve.limit = curve.limit.or(row.limit_bytes);
        if let [first, .., last] = refaults[..] {
            // Less than 2^32 pages are read again within a history.
            let wraps = u64::from(u32::MAX);
            curve.file_refaults = Some((u64::from(last) + wraps - u64::from(first)) % wraps);
        }
        curve.growth()
    }
}

/// A cgroup is not sampled: there are too many others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

#[cfg(test)]
mod tests;
