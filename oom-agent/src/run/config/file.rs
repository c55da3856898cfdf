//! A TOML file as values of flags, with everything that is wrong with it.

use super::{NOT_KEYS, Origin, Setting, flag, name};
use crate::explain::Usage;
use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::{error::Error as _, ffi::OsStr, fs::File, io::Read as _, path::Path};
use toml::de::{DeTable, DeValue};

/// Bytes of a file.
const LONGEST: u64 = 1 << 20;

pub(super) fn read(path: &Path, command: &Command) -> Result<Vec<Setting>, Usage> {
    let name = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    read.map_err(|error| Usage(format!("cannot read the configuration {name}: {error}")))?;
    if text.len() as u64 > LONGEST {
        return Err(Usage(format!("the configuration {name} is larger than 1 MiB")));
    }
    parse(&text, command).map_err(|wrong| {
        let lines = wrong.into_iter().map(|(line, why)| format!("{name}:{line}: {why}"));
        Usage(lines.collect::<Vec<_>>().join("; "))
    })
}

/// The values by their keys, or what is wrong by line.
pub(super) fn parse(text: &str, command: &Command) -> Result<Vec<Setting>, Vec<(usize, String)>> {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        vec![(line(error.span().map_or(0, |span| span.start)), error.message().replace('\n', ", "))]
    })?;
    let (mut settings, mut wrong) = (Vec::new(), Vec::new());
    for (key, value) in table.get_ref() {
        let at = line(key.span().start);
        match values(key.get_ref(), value.get_ref(), command) {
            Ok(values) => {
                let values = values.into_iter().map(Into::into).collect();
                let key = key.get_ref().clone().into_owned();
                settings.push(Setting { key, values, origin: Origin::File(at) });
            }
            Err(why) => wrong.push((at, why)),
        }
    }
    wrong.sort();
    if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
}

fn values(key: &str, value: &DeValue<'_>, command: &Command) -> Result<Vec<String>, String> {
    let arg = command.get_arguments().find(|arg| name(arg) == key && !NOT_KEYS.contains(&key));
    let arg = arg.ok_or_else(|| unknown(key, command))?;
    let several = matches!(arg.get_action(), clap::ArgAction::Append);
    let values = match value {
        DeValue::Array(values) if several => values.iter().map(|value| scalar(value.get_ref())).collect(),
        one => scalar(one).map(|value| vec![value]),
    };
    let values = values.map_err(|kind| format!("{key} is {kind}; expected {}", expected(arg)))?;
    for value in &values {
        check(key, value, arg, command)?;
    }
    Ok(values)
}

/// As it would stand on the command line, or what it is instead.
fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| "a number too large"),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Datetime(_) => Err("a date"),
        DeValue::Array(_) => Err("an array"),
        DeValue::Table(_) => Err("a table"),
    }
}

/// By the parser of the flag.
fn check(key: &str, value: &str, arg: &Arg, command: &Command) -> Result<(), String> {
    let Err(error) = command.clone().try_get_matches_from([flag(key, OsStr::new(value))]) else {
        return Ok(());
    };
    let why = match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            error.source().map(|source| format!(": {source}"))
        }
        // It needs another one, or excludes one: all together are checked later.
        _ => return Ok(()),
    };
    Err(format!("{key} = {value:?} cannot be{}; expected {}", why.unwrap_or_default(), expected(arg)))
}

/// What a value looks like.
fn expected(arg: &Arg) -> String {
    let possible = arg.get_possible_values();
    if possible.is_empty() {
        let names = arg.get_value_names().unwrap_or_default();
        return names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    }
    possible.iter().map(clap::builder::PossibleValue::get_name).collect::<Vec<_>>().join(", ")
}

/// With the key that was perhaps meant, as clap finds it.
fn unknown(key: &str, command: &Command) -> String {
    if NOT_KEYS.contains(&key) {
        return format!("{key} is for the command line only");
    }
    let error = command.clone().try_get_matches_from([format!("--{key}")]).err();
    let meant = error.as_ref().and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(meant)) => Some(meant.trim_start_matches('-')),
        _ => None,
    });
    match meant {
        Some(meant) => format!("unknown key {key}; {meant} is one"),
        None => format!("unknown key {key}; `oom-agent run --print-config` shows all"),
    }
}
