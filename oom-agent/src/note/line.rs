//! What was said as a line, in the ways that there are.

use crate::sink::{escape, json};
use serde::{Serialize, Serializer};
use std::fmt::{Debug, Write as _};
use tracing::{
    Level, Metadata,
    field::{Field, Visit},
};

/// What was said.
#[derive(Debug)]
pub(super) struct Said<'a> {
    level: Level,
    target: &'a str,
    message: String,
    /// What was said besides, by name.
    fields: Vec<(&'static str, String)>,
}

impl<'a> Said<'a> {
    pub(super) fn new(metadata: &Metadata<'a>) -> Self {
        Self {
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        }
    }
}

impl Visit for Said<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `oom-agent: ...`.
    Plain,
    /// With time and level.
    Text { colour: bool },
    /// For systemd's journal, which has the time: the level as it wants it (sd-daemon(3)).
    Journal,
    /// An object.
    Json,
}

impl Line {
    const ALL: [Self; 5] =
        [Self::Plain, Self::Text { colour: false }, Self::Text { colour: true }, Self::Journal, Self::Json];

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Text { colour: false } => 1,
            Self::Text { colour: true } => 2,
            Self::Journal => 3,
            Self::Json => 4,
        }
    }

    pub(super) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Plain)
    }

    pub(super) const fn has_time(self) -> bool {
        matches!(self, Self::Text { .. } | Self::Json)
    }

    /// With its line feed. Names that others chose are escaped.
    pub(super) fn write(self, time: Option<&str>, said: &Said<'_>) -> String {
        let Said { level, target, message, fields } = said;
        let (word, priority, colour) = match *level {
            Level::ERROR => ("error", 3, "31"),
            Level::WARN => ("warn", 4, "33"),
            Level::INFO => ("info", 6, "32"),
            Level::DEBUG | Level::TRACE => ("debug", 7, "2"),
        };
        let mut out = match self {
            Self::Json => return as_json(time, word, target, message, fields),
            Self::Plain => "oom-agent: ".to_owned(),
            Self::Journal => format!("<{priority}>"),
            Self::Text { colour: false } => format!("{} {word:5} ", time.unwrap_or("?")),
            Self::Text { colour: true } => format!("{} \x1b[{colour}m{word:5}\x1b[0m ", time.unwrap_or("?")),
        };
        out.push_str(&escape::escape(message));
        for (name, value) in fields {
            let _ = write!(out, " {name}={}", escape::escape(value));
        }
        out.push('\n');
        out
    }
}

fn as_json(
    time: Option<&str>,
    level: &str,
    target: &str,
    message: &str,
    fields: &[(&'static str, String)],
) -> String {
    let known =
        [("time", time), ("level", Some(level)), ("target", Some(target)), ("message", Some(message))];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    json::any_line(&Object(known.chain(fields.iter().map(|(name, value)| (*name, value.as_str()))).collect()))
}

/// Names and values in this order.
struct Object<'a>(Vec<(&'a str, &'a str)>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(level: Level) -> Said<'static> {
        Said {
            level,
            target: "oom_agent::run",
            message: "evil\n<0>\u{1b}[2J \u{202e}was killed".to_owned(),
            fields: vec![("incident", "01ABC".to_owned())],
        }
    }

    #[test]
    fn every_way_has_one_line_whatever_the_names_are() {
        let time = Some("2026-11-20T10:15:03.496+01:00");
        let text = "evil\\x0a<0>\\x1b[2J \\u{202e}was killed incident=01ABC\n";
        let lines = [
            (Line::Plain, format!("oom-agent: {text}")),
            (Line::Text { colour: false }, format!("2026-11-20T10:15:03.496+01:00 warn  {text}")),
            (
                Line::Text { colour: true },
                format!("2026-11-20T10:15:03.496+01:00 \x1b[33mwarn \x1b[0m {text}"),
            ),
            (Line::Journal, format!("<4>{text}")),
        ];
        for (line, expected) in lines {
            assert_eq!(line.write(time, &said(Level::WARN)), expected, "{line:?}");
            assert_eq!(Line::from_number(line.number()), line);
        }
    }

    #[test]
    fn json_has_the_same_names_each_time() {
        let line = Line::Json.write(Some("t"), &said(Level::ERROR));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.starts_with(
                "{\"time\":\"t\",\"level\":\"error\",\"target\":\"oom_agent::run\",\"message\":"
            ),
            "{line}"
        );
        assert!(!line.contains('\u{202e}') && line.ends_with(",\"incident\":\"01ABC\"}\n"), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "evil\n<0>\u{1b}[2J \u{202e}was killed");
        let names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["incident", "level", "message", "target", "time"]);
        assert_eq!((&value["level"], &value["incident"]), (&"error".into(), &"01ABC".into()));
        assert_eq!(Line::from_number(Line::Json.number()), Line::Json);
    }
}
