//! Which incidents are shown, and how: each one, only one, or a summary.

use super::args::ExplainArgs;
use super::moment::{Stamp, Told};
use super::summary::Summary;
use super::when::Window;
use crate::filter::Filter;
use crate::logs::Found;
use crate::note::note;
use crate::print::{Format, Printer, write};
use crate::sink::{Tally, units};
use anyhow::{Result, bail};
use std::ops::ControlFlow;

/// Takes incidents, writes to stdout what is wanted.
pub(super) struct Teller<'a> {
    args: &'a ExplainArgs,
    filter: Filter,
    window: Window,
    printer: Printer,
    stamp: Stamp,
    mode: Mode,
    /// What was shown.
    tally: Tally,
    filtered: u64,
    /// Of these, those whose time is not known.
    undated: u64,
    /// Nobody reads stdout any more.
    closed: bool,
}

/// How incidents are shown.
enum Mode {
    /// As they come.
    Each,
    /// Only this one.
    One(Wanted),
    /// At the end: the only one in full, or what many have in common.
    Together { only: Option<Box<Told>>, summary: Box<Summary> },
}

/// `--id`.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Number(u64),
    Id(String),
}

impl Wanted {
    fn parse(text: &str) -> Self {
        // Ids have 26 characters: even one of digits only is no number.
        text.parse().map_or_else(|_| Self::Id(text.to_ascii_uppercase()), Self::Number)
    }

    fn is(&self, told: &Told) -> bool {
        match self {
            Self::Number(number) => told.number == *number,
            Self::Id(id) => told.incident.id == *id,
        }
    }
}

impl<'a> Teller<'a> {
    pub(super) fn new(args: &'a ExplainArgs) -> Self {
        let mode = match &args.id {
            Some(id) => Mode::One(Wanted::parse(id)),
            None if args.all || args.follow || args.format == Format::Json => Mode::Each,
            None => Mode::Together { only: None, summary: Box::default() },
        };
        Self {
            args,
            filter: args.narrow.filter(),
            window: args.narrow.window(),
            printer: Printer::new(args.format, args.candidates),
            stamp: Stamp::default(),
            mode,
            tally: Tally::default(),
            filtered: 0,
            undated: 0,
            closed: false,
        }
    }

    /// Whether incidents are written as they come.
    pub(super) fn writes_at_once(&self) -> bool {
        !matches!(self.mode, Mode::Together { .. })
    }

    /// How many incidents there were, also of those that are not wanted.
    pub(super) fn found(&self) -> u64 {
        self.stamp.count()
    }

    /// The same with those that an earlier log had.
    pub(super) fn read(&self) -> u64 {
        self.stamp.count() + self.stamp.doubles()
    }

    /// What comes now is from another log.
    pub(super) fn next_log(&mut self) {
        self.stamp.next_log();
    }

    /// Takes incidents of a log. Breaks off when no more is wanted.
    pub(super) fn all(
        &mut self,
        found: impl IntoIterator<Item = Found>,
        file: &str,
    ) -> Result<ControlFlow<()>> {
        for found in found {
            let Some(told) = self.stamp.next(found, file) else { continue };
            if self.wants(&told) && self.tell(told)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn wants(&mut self, told: &Told) -> bool {
        let in_window = self.window.holds(&told.moment);
        let wanted = in_window == Some(true) && self.filter.wants(&told.incident);
        self.filtered += u64::from(!wanted);
        self.undated += u64::from(in_window.is_none());
        wanted
    }

    fn tell(&mut self, told: Told) -> Result<ControlFlow<()>> {
        match &mut self.mode {
            Mode::Each => {}
            Mode::One(wanted) if wanted.is(&told) => {}
            Mode::One(_) => return Ok(ControlFlow::Continue(())),
            Mode::Together { only, summary } => {
                summary.add(&told);
                *only = (summary.incidents() == 1).then(|| Box::new(told));
                return Ok(ControlFlow::Continue(()));
            }
        }
        self.tally.count(&told.incident);
        let text = self.printer.text(&told.incident);
        let written = self.write(&text)?;
        Ok(if matches!(self.mode, Mode::One(_)) { ControlFlow::Break(()) } else { written })
    }

    /// Writes and flushes. A reader that went away has seen enough.
    fn write(&mut self, text: &str) -> Result<ControlFlow<()>> {
        let written = write(text)?;
        self.closed |= written.is_break();
        Ok(written)
    }

    /// Shows what waited for the end, and says on stderr what was left out.
    pub(super) fn finish(mut self) -> Result<()> {
        let style = *self.printer.style();
        let text = match &mut self.mode {
            Mode::Together { only: Some(told), .. } => self.printer.text(&told.incident),
            Mode::Together { only: None, summary } if summary.incidents() > 0 => {
                summary.text(style.width, style.color)
            }
            Mode::Together { .. } | Mode::Each | Mode::One(_) => String::new(),
        };
        let _ = self.write(&text)?;
        if self.closed {
            return Ok(());
        }
        let narrowed = self.args.narrow.narrowed_by();
        if let Mode::One(_) = self.mode
            && self.tally.incidents == 0
        {
            let id = self.args.id.as_deref().unwrap_or_default();
            let left_out = if self.filtered > 0 {
                format!(", {} left out by {narrowed}", self.filtered)
            } else {
                String::new()
            };
            bail!("there is no incident {id}, of {}{left_out}", self.incidents());
        }
        if !matches!(self.mode, Mode::One(_)) {
            self.left_out(&narrowed);
        }
        Ok(())
    }

    fn left_out(&self, narrowed: &str) {
        if self.filtered > 0 {
            note(&format!("{} of {} not shown ({narrowed})", units::count(self.filtered), self.incidents()));
        }
        if self.undated > 0 {
            let number = units::count(self.undated);
            note(&format!("of these {number} without a time that --since or --until could be compared with"));
        }
        if self.stamp.doubles() > 0 {
            note(&format!(
                "{} in more than one file, shown once",
                units::plural(self.stamp.doubles(), "incident was", "incidents were")
            ));
        }
    }

    fn incidents(&self) -> String {
        units::plural(self.found(), "incident", "incidents")
    }

    /// The options that leave incidents out.
    pub(super) fn narrowed_by(&self) -> String {
        self.args.narrow.narrowed_by()
    }

    /// What was shown, for the last line, and how many were not.
    pub(super) fn tally(&self) -> (Tally, u64) {
        (self.tally, self.filtered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_or_what_the_json_has() {
        assert_eq!(Wanted::parse("7"), Wanted::Number(7));
        assert_eq!(
            Wanted::parse("01arz3ndektsv4rrffq69g5fav"),
            Wanted::Id("01ARZ3NDEKTSV4RRFFQ69G5FAV".into())
        );
        let digits = "01234567890123456789012345";
        assert_eq!(Wanted::parse(digits), Wanted::Id(digits.into()));
    }
}
