//! `oom-agent incidents`: what `oom-agent run` stored, read beside it and without root.

mod args;
#[cfg(test)]
mod tests;

use crate::{
    explain::{
        moment::Moment,
        summary::{Entry, rows},
    },
    incident::model::Incident,
    note::note,
    print::{Format, Printer, write},
    sink::{
        table::Column,
        terminal::{Show, Style},
        text::{Line, Tone},
        units,
    },
    startup::NotPermitted,
    store::{self, Database, Error, Lookup, Most, Page},
};
use anyhow::{Context as _, Result, bail};
pub use args::{IncidentsArgs, ListArgs, ShowArgs, What};
use serde::de::IgnoredAny;
use std::path::Path;

/// The last characters of an id that a list shows: 40 bits that differ between incidents of the same second.
const SHORT: usize = 8;

/// Runs the command until its end.
///
/// # Errors
/// [`NotPermitted`] where the files may not be read; there is no store, or it cannot be read.
pub fn run(args: &IncidentsArgs) -> Result<()> {
    let store = open(&args.state_dir)?;
    match &args.what {
        What::List(list) => self::list(&store, list),
        What::Show(show) => self::show(&store, show),
        What::Export => export(&store),
    }
}

fn open(state_dir: &Path) -> Result<Database> {
    Database::read(&store::path(state_dir)).map_err(|error| match error {
        Error::Missing(_) => {
            anyhow::anyhow!("{error}: `oom-agent run` begins one, --state-dir names another directory")
        }
        _ if error.is_denied() => {
            let who = "Run it as root, or let your group read the state directory and its files";
            NotPermitted(format!("not permitted: {error}. {who}")).into()
        }
        _ => anyhow::Error::new(error).context(format!("cannot read the store in {}", state_dir.display())),
    })
}

fn list(store: &Database, args: &ListArgs) -> Result<()> {
    let selection = args.selection();
    let page =
        store.list(None, Most::incidents(args.limit.get()), &mut |incident| selection.wants(incident))?;
    if page.unreadable > 0 {
        let number = units::plural(page.unreadable, "incident is", "incidents are");
        note(&format!("{number} damaged in the store, and not listed"));
    }
    if args.format == Format::Json {
        for incident in page.incidents.iter().rev() {
            // It may have expired since.
            let Lookup::One(json) = store.find(&incident.id)? else { continue };
            if write(&(json + "\n"))?.is_break() {
                break;
            }
        }
        return Ok(());
    }
    let style = Style::detect(Show::None);
    let _ = write(&text(&page, store.count()?, args.narrows(), &style))?;
    Ok(())
}

/// The list as a person reads it. `all`: how many are stored.
fn text(page: &Page, all: u64, narrowed: bool, style: &Style) -> String {
    let shown = page.incidents.len() as u64;
    let stored = units::plural(all, "incident", "incidents");
    let title = match (narrowed, page.next.is_some()) {
        (false, false) => format!("{stored} in the store"),
        (false, true) => format!("The last {} of {stored} in the store", units::count(shown)),
        (true, false) => format!("{} of {stored} in the store match", units::count(shown)),
        (true, true) => format!("The last {} that match, of {stored} in the store", units::count(shown)),
    };
    let mut lines = vec![Line::new(Tone::Strong, title)];
    if shown > 0 {
        let machine = page.incidents.first().and_then(|first| first.node.as_deref());
        let several = page.incidents.iter().any(|it| it.node.as_deref() != machine);
        let entry = |incident: &Incident| {
            let id = &incident.id;
            let short = id.len().checked_sub(SHORT).and_then(|at| id.get(at..)).unwrap_or(id);
            Entry::new(short.to_owned(), Moment::of(incident), incident)
        };
        let entries: Vec<_> = page.incidents.iter().rev().map(entry).collect();
        lines.extend(rows(Column::left("ID"), &entries, several).lines(style.width));
        lines.push(Line::default());
        let more = if page.next.is_some() { " Earlier ones: --until, --limit." } else { "" };
        lines.push(Line::new(Tone::Plain, format!("One in full: oom-agent incidents show ID.{more}")));
    }
    let mut out = String::new();
    for line in lines {
        line.write(&mut out, style.color);
    }
    out
}

fn show(store: &Database, args: &ShowArgs) -> Result<()> {
    let json = if args.id == "latest" {
        store.latest()?.map(|(_, json)| json).context("there are no incidents in the store")?
    } else {
        match store.find(&args.id)? {
            Lookup::One(json) => json,
            Lookup::None => bail!("there is no incident {} in the store", args.id),
            Lookup::Several => bail!("more than one incident ends in {}: give more of its id", args.id),
        }
    };
    let incident: Incident = serde_json::from_str(&json).context("the incident is damaged in the store")?;
    let _ = write(&Printer::new(args.format, args.candidates).text(&incident))?;
    Ok(())
}

/// One by one: a reader that waits must not keep the agent from tidying up its write-ahead log.
fn export(store: &Database) -> Result<()> {
    let (mut last, mut damaged) = (String::new(), 0);
    while let Some((id, json)) = store.after(&last)? {
        last = id;
        if serde_json::from_str::<IgnoredAny>(&json).is_err() {
            damaged += 1;
        } else if write(&(json + "\n"))?.is_break() {
            return Ok(());
        }
    }
    if damaged > 0 {
        bail!(
            "{} damaged in the store, and left out",
            units::plural(damaged, "incident is", "incidents are")
        );
    }
    Ok(())
}
