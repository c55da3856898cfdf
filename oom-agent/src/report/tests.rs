//! The parser over real kernels' logs: goldens, and counts that are taken from the same text in a simpler way.

mod golden;
mod independent;
mod old;
mod points;
mod robust;
mod speed;
mod states;

use super::parser::Parser;
use super::{Event, Killed, Report, What};
use std::fs;
use std::path::{Path, PathBuf};

/// A log of one OOM case of one kernel, `<kernel>-<case>.txt`.
struct Sample {
    path: PathBuf,
    name: String,
    text: Vec<u8>,
}

/// All logs of kernels that were run. They come from real kernels; registers, most of the stack and most counters that are 0 were cut out.
fn samples() -> Vec<Sample> {
    let samples = read_dir("src/report/testdata");
    assert!(samples.len() >= 90, "only {} logs", samples.len());
    samples
}

/// Logs that were written by hand from the sources of kernels that nobody here has run: see the README beside them.
fn old_samples() -> Vec<Sample> {
    let samples = read_dir("src/report/testdata/old");
    assert!(samples.len() >= 12, "only {} logs", samples.len());
    samples
}

fn all_samples() -> Vec<Sample> {
    samples().into_iter().chain(old_samples()).collect()
}

fn read_dir(dir: &str) -> Vec<Sample> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut samples: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| Sample {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            text: fs::read(&path).unwrap(),
            path,
        })
        .collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

impl Sample {
    /// Its lines without their prefix.
    fn messages(&self) -> Vec<String> {
        lines(&self.text).map(|line| crate::logs::line::parse(line).message.into_owned()).collect()
    }

    fn events(&self) -> Vec<Event> {
        read(&self.text)
    }
}

fn kills(events: &[Event]) -> Vec<&Killed> {
    let kills = events.iter().filter_map(|event| match &event.what {
        What::Killed(killed) => Some(&**killed),
        _ => None,
    });
    kills.collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// What the parser makes of a text log.
fn read(text: &[u8]) -> Vec<Event> {
    let mut parser = Parser::new();
    let mut out = Vec::new();
    for line in lines(text) {
        let line = crate::logs::line::parse(line);
        if parser.wants(line.message.as_bytes()) {
            parser.message(line.boot_ns, line.context, &line.message, &mut out);
        }
    }
    parser.finish(&mut out);
    out
}

fn reports(events: &[Event]) -> Vec<&Report> {
    events
        .iter()
        .filter_map(|event| match &event.what {
            What::Report(report) => Some(&**report),
            _ => None,
        })
        .collect()
}
