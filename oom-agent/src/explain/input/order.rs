//! Which files are one log that was rotated, and which of them is older.
//!
//! By name, as `logrotate` names them: `syslog.2.gz`, `syslog.1`, `syslog`; `messages-20261119.xz`, `messages`. Not by the
//! time of their last change: a copy of a log has that of the copying.

use super::Input;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// How old a file is among those of its log, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// `-20261119`, digits; of the same length they sort by time.
    Dated(usize, String),
    /// `.2`: the higher the older.
    Numbered(Reverse<u32>),
    /// The one that is written.
    Current,
}

/// Files of one log.
struct Log {
    /// Its path without what rotation adds. `None`: nothing else belongs to it.
    base: Option<PathBuf>,
    files: Vec<(Age, Input)>,
}

/// The inputs by log: each log at the place of its first file, its files from the oldest to the newest.
///
/// Files called `dmesg` are ordered but not put together: each is the log of another boot.
pub(in crate::explain) fn logs(inputs: Vec<Input>) -> Vec<Vec<Input>> {
    let mut logs: Vec<Log> = Vec::new();
    for input in inputs {
        let (base, age) = match &input {
            Input::Stdin => (None, Age::Current),
            Input::File(path) => parts(path),
        };
        match logs.iter_mut().find(|log| base.is_some() && log.base == base) {
            Some(log) => log.files.push((age, input)),
            None => logs.push(Log { base, files: vec![(age, input)] }),
        }
    }
    let mut out = Vec::new();
    for Log { base, mut files } in logs {
        // Stable: what cannot be told apart stays in the order that was given.
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        let files = files.into_iter().map(|(_, input)| input);
        let name = base.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
        if name.is_some_and(|name| name.starts_with("dmesg")) {
            out.extend(files.map(|input| vec![input]));
        } else {
            out.push(files.collect());
        }
    }
    out
}

/// The path without what rotation and packing added, and the age that this says.
fn parts(path: &Path) -> (Option<PathBuf>, Age) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return (None, Age::Current) };
    let name = [".gz", ".xz", ".zst", ".bz2", ".lz4"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    let (base, age) = match name.rfind(['.', '-']) {
        Some(at) if at > 0 => {
            let (base, digits) = (&name[..at], &name[at + 1..]);
            match (digits.bytes().all(|byte| byte.is_ascii_digit()), digits.len()) {
                (true, 1..=4) if name[at..].starts_with('.') => {
                    (base, Age::Numbered(Reverse(digits.parse().unwrap_or(0))))
                }
                (true, 8..=14) if is_date(digits) => (base, Age::Dated(digits.len(), digits.to_owned())),
                _ => (name, Age::Current),
            }
        }
        _ => (name, Age::Current),
    };
    (Some(path.with_file_name(base)), age)
}

/// `20261119`, perhaps with a time of day; not any other number that a file may have, such as seconds since 1970.
fn is_date(digits: &str) -> bool {
    let (year, month, day) = (&digits[..4], &digits[4..6], &digits[6..8]);
    ("2000".."2100").contains(&year) && ("01"..="12").contains(&month) && ("01"..="31").contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(names: &str) -> String {
        let inputs = names.split(' ').map(|name| match name {
            "-" => Input::Stdin,
            name => Input::File(name.into()),
        });
        let logs = logs(inputs.collect());
        let log = |log: &Vec<Input>| log.iter().map(Input::shown).collect::<Vec<_>>().join(" ");
        logs.iter().map(log).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn rotated_files_are_one_log_from_the_oldest_on() {
        for (given, expected) in [
            (
                "l/syslog l/syslog.1 l/syslog.10.gz l/syslog.2.gz",
                "l/syslog.10.gz l/syslog.2.gz l/syslog.1 l/syslog",
            ),
            (
                "messages messages-20261119.xz messages-20261112",
                "messages-20261112 messages-20261119.xz messages",
            ),
            ("a.log b.log", "a.log | b.log"),
            ("kern.log.1 syslog kern.log syslog.1", "kern.log.1 kern.log | syslog.1 syslog"),
            ("x/syslog.1 y/syslog", "x/syslog.1 | y/syslog"),
            ("dmesg dmesg.0 dmesg.1.gz", "dmesg.1.gz | dmesg.0 | dmesg"),
            ("node-7 node-8", "node-7 | node-8"),
            ("6.12.117-memcg.txt 6.12.117-global.txt", "6.12.117-memcg.txt | 6.12.117-global.txt"),
            ("kmsg-1700000500 kmsg-1700000000", "kmsg-1700000500 | kmsg-1700000000"),
            ("a-2026111913 a-2026111912", "a-2026111912 a-2026111913"),
            ("- - a", "stdin | stdin | a"),
            (".1 .2", ".1 | .2"),
            ("a a", "a a"),
        ] {
            assert_eq!(ordered(given), expected, "{given}");
        }
    }
}
