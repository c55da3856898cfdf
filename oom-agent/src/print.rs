//! How incidents are put on stdout: what the commands that show them share.

use crate::{
    incident::model::Incident,
    sink::{
        json,
        terminal::{Show, Style, render},
    },
};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use std::borrow::Cow;
use std::io::{self, ErrorKind, Write as _};
use std::ops::ControlFlow;

/// How incidents are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// One line an incident, see docs/incident.schema.json.
    Json,
}

/// Makes the texts of incidents that follow each other.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    candidates: Show,
    style: Style,
    separate: bool,
}

impl Printer {
    /// For stdout. Without `candidates`: 10 as text, all as JSON.
    pub fn new(format: Format, candidates: Option<Show>) -> Self {
        let default = if format == Format::Json { Show::All } else { Show::Top(10) };
        let candidates = candidates.unwrap_or(default);
        Self { format, candidates, style: Style::detect(candidates), separate: false }
    }

    /// How it looks.
    pub fn style(&self) -> &Style {
        &self.style
    }

    /// The next incident, with what separates it from the one before.
    pub fn text(&mut self, incident: &Incident) -> String {
        let separate = std::mem::replace(&mut self.separate, true);
        match self.format {
            Format::Json => json::line(&limited(incident, self.candidates)),
            Format::Text if separate => format!("\n{}", render(incident, &self.style)),
            Format::Text => render(incident, &self.style),
        }
    }
}

/// Writes to stdout and flushes. Breaks off where the reader went away: it has seen enough.
///
/// # Errors
/// What else is wrong with stdout.
pub fn write(text: &str) -> Result<ControlFlow<()>> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}

/// Parses `--candidates`.
///
/// # Errors
/// If it is neither a number nor `all` nor `none`.
pub fn show(text: &str) -> std::result::Result<Show, String> {
    match text {
        "all" => Ok(Show::All),
        "none" => Ok(Show::None),
        number => number.parse().map(Show::Top).map_err(|_| "neither a number nor all nor none".into()),
    }
}

/// The incident with as many candidates as wanted, those with the most points first.
fn limited(incident: &Incident, show: Show) -> Cow<'_, Incident> {
    let wanted = match show {
        Show::All => usize::MAX,
        Show::Top(number) => number,
        Show::None => 0,
    };
    if incident.candidates.len() <= wanted {
        return Cow::Borrowed(incident);
    }
    Cow::Owned(Incident { candidates: incident.candidates[..wanted].to_vec(), ..incident.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    #[test]
    fn candidates_are_a_number_all_or_none() {
        assert_eq!(show("all"), Ok(Show::All));
        assert_eq!(show("none"), Ok(Show::None));
        assert_eq!(show("3"), Ok(Show::Top(3)));
        assert!(show("-1").is_err());
    }

    #[test]
    fn texts_are_separated_and_lines_are_not() {
        let incident = samples::memcg();
        let mut text = Printer::new(Format::Text, None);
        assert!(text.text(&incident).starts_with("OOM kill"));
        assert!(text.text(&incident).starts_with("\nOOM kill"));
        let mut lines = Printer::new(Format::Json, Some(Show::Top(1)));
        for _ in 0..2 {
            let line = lines.text(&incident);
            let parsed: Incident = serde_json::from_str(&line).unwrap();
            assert_eq!(parsed.candidates.len(), 1);
            assert_eq!(line.matches('\n').count(), 1);
        }
    }
}
