//! The real reports in `report/testdata`, and what other writers would make of them.

use crate::logs::{Found, Options, Reader};
use std::fmt::Write as _;

/// A report as the kernel printed it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    /// Microseconds since boot and message.
    pub(super) lines: Vec<(u64, String)>,
}

/// A message at some microseconds since boot, as a line.
pub(super) type Writer<'a> = &'a dyn Fn(u64, &str) -> String;

/// All of them, by name.
pub(super) fn samples() -> Vec<Sample> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/testdata");
    let within = |folder: &str| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = within(folder).chain(within(&format!("{folder}/old")));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "txt")).collect();
    paths.sort();
    assert!(paths.len() >= 100);
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read(&path).unwrap();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| {
            let line = crate::logs::line::parse(line);
            (line.boot_ns.unwrap_or(0) / 1000, line.message.into_owned())
        });
        Sample { name: path.file_stem().unwrap().to_string_lossy().into_owned(), lines: lines.collect() }
    };
    paths.into_iter().map(read).collect()
}

pub(super) fn sample(name: &str) -> Sample {
    samples().into_iter().find(|sample| sample.name == name).unwrap()
}

impl Sample {
    pub(super) fn log(&self, write: impl Fn(u64, &str) -> String) -> Vec<String> {
        self.lines.iter().map(|(micros, message)| write(*micros, message)).collect()
    }
}

pub(super) fn dmesg(micros: u64, message: &str) -> String {
    format!("[{:5}.{:06}] {message}", micros / 1_000_000, micros % 1_000_000)
}

pub(super) fn tagged(thread: u32) -> impl Fn(u64, &str) -> String {
    move |micros, message| {
        format!("[{:5}.{:06}][{:>6}] {message}", micros / 1_000_000, micros % 1_000_000, format!("T{thread}"))
    }
}

/// With the kernel's stamp, as syslogd writes it that is told to keep it.
pub(super) fn syslog(host: &'static str) -> impl Fn(u64, &str) -> String {
    move |micros, message| format!("{}{}", header(host, micros), dmesg(micros, message))
}

/// Without the kernel's stamp.
pub(super) fn syslog_bare(host: &'static str) -> impl Fn(u64, &str) -> String {
    move |micros, message| format!("{}{message}", header(host, micros))
}

fn header(host: &str, micros: u64) -> String {
    let seconds = micros / 1_000_000;
    format!("Nov 20 10:{:02}:{:02} {host} kernel: ", seconds / 60 % 60, seconds % 60)
}

pub(super) fn journal(host: &'static str) -> impl Fn(u64, &str) -> String {
    move |micros, message| {
        let message = serde_json::to_string(message).unwrap();
        let wall = 1_763_630_103_000_000 + micros;
        let mut line = format!(r#"{{"__REALTIME_TIMESTAMP":"{wall}","_BOOT_ID":"0123{host}","#);
        write!(line, r#""_HOSTNAME":"{host}","_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"kernel","#).unwrap();
        write!(line, r#""_SOURCE_MONOTONIC_TIMESTAMP":"{micros}","MESSAGE":{message}}}"#).unwrap();
        line
    }
}

pub(super) fn read_bytes(log: &[u8], piece: usize) -> Vec<Found> {
    let mut reader = Reader::new(Options { source: "a.log".into(), ..Options::default() });
    let mut out = Vec::new();
    for piece in log.chunks(piece.max(1)) {
        reader.push(piece, &mut out);
    }
    reader.finish(&mut out);
    out
}

pub(super) fn read(lines: &[String]) -> Vec<Found> {
    read_bytes((lines.join("\n") + "\n").as_bytes(), 4096)
}
