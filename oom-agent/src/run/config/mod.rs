//! What is in effect: flags, then a file, then defaults. The file's keys are the names of the flags.
//!
//! There is no second table: keys, their values and what is wrong with them come from the arguments as clap knows them.
//!
//! # Layout
//! - [`Config`]: what is in effect and where it comes from.
//! - `file`: a TOML file as values of flags.
//! - `print`: what is in effect as such a file.

mod file;
mod print;
#[cfg(test)]
mod tests;

use super::RunArgs;
use crate::explain::Usage;
use clap::{Arg, ArgMatches, Args as _, Command, FromArgMatches as _, parser::ValueSource};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Flags that are no keys.
const NOT_KEYS: [&str; 2] = ["config", "print-config"];

/// What is in effect.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// For the daemon.
    pub(super) args: RunArgs,
    settings: Vec<Setting>,
    given: Vec<Setting>,
    file: Option<PathBuf>,
}

/// A flag or key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    key: String,
    /// None: not set. Several: it may be given several times.
    values: Vec<OsString>,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    CommandLine,
    /// A line of the file, from 1.
    File(usize),
    /// The variable that its help names.
    Environment,
    Default,
}

impl Config {
    /// Reads the file that the arguments name, if any, and puts both together.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub(super) fn new(matches: &ArgMatches) -> Result<Self, Usage> {
        let command = command();
        let given = keys(&command).filter_map(|arg| {
            let id = arg.get_id().as_str();
            let values = matches.get_raw(id)?;
            (matches.value_source(id) == Some(ValueSource::CommandLine)).then(|| Setting {
                key: name(arg).to_owned(),
                values: values.map(OsString::from).collect(),
                origin: Origin::CommandLine,
            })
        });
        let file: Option<&PathBuf> = matches.get_one("config");
        Self::combine(given.collect(), file.cloned())
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn again(&self) -> Result<Self, Usage> {
        Self::combine(self.given.clone(), self.file.clone())
    }

    /// The file, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The keys of which another one has other values.
    pub(super) fn differences(&self, other: &Self) -> Vec<&str> {
        let pairs = self.settings.iter().zip(&other.settings);
        pairs.filter(|(one, other)| one.values != other.values).map(|(one, _)| one.key.as_str()).collect()
    }

    /// Has the values of another one for these keys from here on.
    pub(super) fn take(&mut self, other: Self, keys: &[&str]) {
        // What is in effect is what the next one is compared with.
        let kept = std::mem::replace(self, other);
        let settings = self.settings.iter_mut().zip(kept.settings);
        for (setting, old) in settings.filter(|(setting, _)| !keys.contains(&setting.key.as_str())) {
            *setting = old;
        }
    }

    fn combine(given: Vec<Setting>, file: Option<PathBuf>) -> Result<Self, Usage> {
        let command = command();
        let read = file.as_deref().map(|path| file::read(path, &command)).transpose()?.unwrap_or_default();
        let mut settings = given.clone();
        settings.extend(read.into_iter().filter(|it| given.iter().all(|given| given.key != it.key)));
        let args =
            settings.iter().flat_map(|setting| setting.values.iter().map(|value| flag(&setting.key, value)));
        let args: Vec<OsString> = args.collect();
        let wrong =
            |error: clap::Error| Usage(format!("the flags and the file do not fit together: {error}"));
        let matches = command.clone().try_get_matches_from(args).map_err(wrong)?;
        let mut effective = RunArgs::from_arg_matches(&matches).map_err(wrong)?;
        effective.config.clone_from(&file);
        let settings = keys(&command).map(|arg| {
            let set = settings.iter().find(|setting| setting.key == name(arg));
            let id = arg.get_id().as_str();
            set.cloned().unwrap_or_else(|| Setting {
                key: name(arg).to_owned(),
                values: matches.get_raw(id).unwrap_or_default().map(OsString::from).collect(),
                origin: match matches.value_source(id) {
                    Some(ValueSource::EnvVariable) => Origin::Environment,
                    _ => Origin::Default,
                },
            })
        });
        Ok(Self { args: effective, settings: settings.collect(), given, file })
    }
}

/// Reads a text as the file, for tests with bytes that others may write.
#[cfg(any(test, fuzzing))]
pub(super) fn try_file(text: &str) {
    drop(file::parse(text, &command()));
}

/// `run` as clap knows it, for arguments without the program's name.
pub(super) fn command() -> Command {
    RunArgs::augment_args(Command::new("run").no_binary_name(true))
}

fn keys(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !NOT_KEYS.contains(&name(arg)))
}

fn name(arg: &Arg) -> &str {
    // A test checks that every argument has a long name.
    arg.get_long().unwrap_or_default()
}

fn flag(key: &str, value: &std::ffi::OsStr) -> OsString {
    let mut flag = OsString::from(format!("--{key}="));
    flag.push(value);
    flag
}
