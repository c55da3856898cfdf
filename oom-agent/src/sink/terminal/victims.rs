//! The table of those who died.

use super::{Page, whose, words};
use crate::incident::model::{Incident, Role, Rule, Victim};
use crate::sink::table::{Column, Fit, Table};
use crate::sink::text::{Line, Tone};
use crate::sink::{escape, path, units};

pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let victims = &incident.victims;
    if victims.is_empty() {
        let none =
            matches!(incident.decision.as_ref().map(|it| it.rule), Some(Rule::NoneKillable | Rule::Panic));
        return vec![Line::new(Tone::Plain, if none { "none" } else { "? (none was seen)" })];
    }
    let any = |of: fn(&Victim) -> bool| victims.iter().any(of);
    let threads = any(|victim| victim.tid != victim.pid);
    let parts = any(|victim| victim.memory.anon_bytes.is_some());
    let sums =
        !parts || any(|victim| victim.memory.anon_bytes.is_none() && victim.memory.rss_bytes.is_some());
    let base = incident.scope.cgroup.as_deref().map(path::shown);

    let mut columns = Vec::new();
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); victims.len()];
    let mut column = |column: Column, of: &dyn Fn(&Victim) -> String| {
        columns.push(column);
        for (row, victim) in cells.iter_mut().zip(victims) {
            row.push(of(victim));
        }
    };
    column(Column::right("PID"), &|victim| victim.pid.to_string());
    if threads {
        column(Column::right("THREAD"), &|victim| victim.tid.to_string());
    }
    column(Column::left("COMMAND").fit(Fit::Cut(12)), &|victim| escape::name(&victim.comm));
    column(Column::right("UID").rank(5), &|victim| victim.uid.map_or("?".into(), |uid| uid.to_string()));
    if sums {
        column(Column::right("RSS"), &|victim| units::maybe_bytes(words::resident(&victim.memory)));
    }
    if parts {
        column(Column::right("ANON"), &|victim| units::maybe_bytes(victim.memory.anon_bytes));
        column(Column::right("FILE").rank(1), &|victim| units::maybe_bytes(victim.memory.file_bytes));
        column(Column::right("SHMEM").rank(1), &|victim| units::maybe_bytes(victim.memory.shmem_bytes));
    }
    column(Column::right("SWAP"), &|victim| units::maybe_bytes(victim.memory.swap_bytes));
    column(Column::right("TABLES").rank(2), &|victim| units::maybe_bytes(victim.memory.pgtables_bytes));
    column(Column::right("ADJ"), &|victim| victim.oom_score_adj.map_or("?".into(), |adj| adj.to_string()));
    column(Column::right("EXIT").rank(3), &|victim| match victim.exit_after_ns {
        None if victim.exited_boottime_ns.is_some() => "exited".to_owned(),
        exit => units::maybe_nanoseconds(exit),
    });
    column(Column::left("ROLE"), &|victim| role(victim.role).to_owned());
    if any(|victim| victim.cgroup.is_some()) && !victims.iter().all(|it| it.cgroup == incident.scope.cgroup) {
        let name = |victim: &Victim| whose::cell(&victim.identity, &incident.scope.identity);
        let named = victims.iter().all(|victim| name(victim).is_some());
        let title = if named { "CONTAINER" } else { "CGROUP" };
        column(Column::left(title).fit(Fit::Path(30)).rank(4), &|victim| match victim.cgroup.as_deref() {
            Some(cgroup) => {
                name(victim).unwrap_or_else(|| path::relative(&path::shown(cgroup), base.as_deref()))
            }
            None => "?".to_owned(),
        });
    }
    let mut table = Table::new(columns);
    for row in cells {
        table.row(Tone::Plain, row);
    }
    table.lines(page.room())
}

/// A role in a word or two.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Selected => "selected",
        Role::Group => "group",
        Role::SharedMemory => "shared memory",
        Role::AlreadyDying => "already dying",
    }
}
