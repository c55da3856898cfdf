//! Any message comes back from any layers, and nothing else does.

use super::super::{MOST_LAYERS, Part, Peeler, parse};
use crate::report::line::utf8;
use proptest::prelude::*;
use proptest::sample::select;

/// Writes a message as one kind of log does.
type Wrap = fn(&str) -> String;

/// Who takes the message from the kernel, and says when it was printed.
const KERNEL: [Wrap; 9] = [
    |message| format!("[    7.338835] {message}"),
    |message| format!("[    7.338835][ T1234] {message}"),
    |message| format!("<4>[    7.338835] {message}"),
    |message| format!("[Fri Nov 20 10:15:03 2026] {message}"),
    |message| format!("[    7.338835 <    0.000012>] {message}"),
    |message| format!("kern  :warn  : [    7.338835] {message}"),
    |message| format!("2026-11-20T10:15:03,214123+01:00 {message}"),
    |message| format!("[Nov20 10:15] {message}"),
    |message| format!("\x1b[32m[    7.338835] \x1b[0m{message}"),
];

/// Who takes it from printk with its stamp.
const SYSLOG: [Wrap; 9] = [
    |message| format!("[    7.338835] {message}"),
    |message| format!("Nov  2 10:15:03 n1 kernel: [    7.338835] {message}"),
    |message| format!("<4>Nov 20 10:15:03 n1 kernel: [    7.338835][    C1] {message}"),
    |message| format!("2026-11-20T10:15:03.214123+01:00 n1 kernel: [    7.338835] {message}"),
    |message| format!("<4>1 2026-11-20T10:15:03Z n1 kernel - - [a b=\"]\"] [    7.338835] {message}"),
    |message| format!("Nov 20 10:15:03 n1 kern.warn kernel: [    7.338835] {message}"),
    |message| format!("Fri Nov 20 10:15:03 2026 kern.warn kernel: [    7.338835] {message}"),
    |message| format!("Fri 2026-11-20 10:15:03 CET n1 kernel: [    7.338835] {message}"),
    |message| format!("1763630103.214123 n1 kernel: [    7.338835] {message}"),
];

/// Who takes lines of any log.
const COLLECTORS: [Wrap; 6] = [
    str::to_owned,
    |line| format!("2026-11-20T10:15:04.214123456Z stdout F {line}"),
    |line| format!("2026-11-20T10:15:04.214123456Z {line}"),
    |line| format!("[pod/collector/main] {line}"),
    |line| object(&[("log", &format!("{line}\n")), ("stream", "stderr"), ("time", "2026-11-20T10:15:04Z")]),
    |line| object(&[("host", "n1"), ("message", line)]),
];

/// What happens to a file.
const DAMAGE: [Wrap; 3] =
    [str::to_owned, |line| format!("\0\0{line}\r\n"), |line| format!("\u{feff}{line}\n")];

fn object(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    serde_json::Value::Object(fields).to_string()
}

/// What layers are made of, and names that look like them.
const WORDS: [&str; 24] = [
    "[    7.338835] ",
    "[    7.338835]",
    "[ T12] ",
    "<4>",
    "Nov 20 10:15:03 ",
    "2026-11-20T10:15:03,214123+01:00 ",
    "2026-11-20T10:15:03.214123456Z ",
    "Fri Nov 20 10:15:03 2026",
    "stdout F ",
    "n1 ",
    "kernel: ",
    "kern.warn ",
    "kern  :warn  : ",
    "x[1]: ",
    "a invoked oom-killer: gfp_mask=0x0",
    "Out of memory: Killed process 1 (a)",
    "{\"log\":\"a\"}",
    "#012",
    "\\x0a",
    " ",
    "1763630103.214123 ",
    "[pod/a/b] ",
    "1 ",
    "é\u{1b}[1m",
];

/// Text of words that look like layers, and of anything else.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![4 => select(&WORDS[..]).prop_map(str::to_owned), 1 => "\\PC{0,12}"];
    prop::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

/// A message as the kernel may print it with a stamp. What dmesg writes in the same way as it writes its own is left out.
fn message() -> impl Strategy<Value = String> {
    let is_plain = |text: &String| {
        let begins_as_caller = text.starts_with("[ T12]");
        let names_a_machine = text.split(' ').take(2).any(|word| word.starts_with("kernel:"));
        !begins_as_caller && !names_a_machine && !text.starts_with("invoked oom-killer: ")
    };
    text().prop_filter("not told apart", is_plain)
}

proptest! {
    #[test]
    fn a_message_comes_back(
        message in message(),
        kernel in prop_oneof![select(&KERNEL[..]), select(&SYSLOG[..])],
        inner in select(&COLLECTORS[..]),
        outer in select(&COLLECTORS[..]),
        damage in select(&DAMAGE[..]),
    ) {
        let written = kernel(&message);
        let expected = if written.starts_with('\x1b') { plain(&message) } else { message };
        let line = damage(&outer(&inner(&written)));
        let read = parse(line.as_bytes());
        prop_assert_eq!(&read.message, &expected, "{}", line);
        prop_assert!(!read.is_foreign, "{}", line);
        // The same after another line of the same log, but for what looks like a further line of that one's message.
        let before = damage(&outer(&inner(&kernel("x"))));
        let mut peeler = Peeler::default();
        peeler.peel(before.as_bytes());
        let again = peeler.peel(line.as_bytes());
        prop_assert!(again.part == Part::Next || again == read, "{} {:?}", line, again);
    }

    #[test]
    fn what_a_program_wrote_is_foreign(
        message in text(),
        before in select(&["Nov 20 10:15:03 n1 x[1]: ", "<13>Nov 20 10:15:03 n1 kernel: ", "Nov 20 10:15:03 n1 "][..]),
        outer in select(&COLLECTORS[..]),
    ) {
        prop_assume!(!message.starts_with("kernel:") && !message.starts_with("kern.warn kernel:"));
        let line = outer(&format!("{before}{message}"));
        prop_assert!(parse(line.as_bytes()).is_foreign, "{}", line);
    }

    #[test]
    fn nothing_is_invented(lines in prop::collection::vec(text(), 1..5)) {
        let mut peeler = Peeler::default();
        for line in lines {
            let read = peeler.peel(line.as_bytes());
            let is_decoded = ["{", "\x1b", "\\x", "#012"].iter().any(|mark| line.contains(mark));
            prop_assert!(is_decoded || line.ends_with(&*read.message), "{:?} in {:?}", read.message, line);
            for said in [read.host.as_deref(), read.stamp.as_ref().map(|stamp| &*stamp.text)] {
                prop_assert!(said.is_none_or(|said| line.contains(said)), "{:?} in {:?}", said, line);
            }
        }
    }

    #[test]
    fn any_bytes_may_come(lines in prop::collection::vec(any::<Vec<u8>>(), 1..4), cut: u8, wrap in select(&SYSLOG[..])) {
        let mut peeler = Peeler::default();
        for line in &lines {
            peeler.peel(line);
            let mut wrapped = wrap(&utf8(line)).into_bytes();
            wrapped.truncate(usize::from(cut));
            peeler.peel(&wrapped);
        }
    }
}

fn plain(text: &str) -> String {
    text.replace("\x1b[1m", "")
}

#[test]
fn the_time_grows_with_the_length_only() {
    const LENGTH: usize = 1 << 18;
    for begin in [
        "",
        "[",
        "Nov 20 10:15:03 ",
        "<4>1 - n kernel - - [a b=\"",
        "{\"log\":\"",
        "\x1b[1m",
        "\x1b[1m[    7.338835] ",
    ] {
        for part in [" ", "a", "\x1b[1m", "\\", "[", "#012", "anon 12#012", "{\"log\":", "\0", "n kernel: "] {
            let line = format!("{begin}{}", part.repeat(LENGTH / part.len()));
            // A quadratic reader would not come to an end.
            assert!(parse(line.as_bytes()).message.len() <= line.len());
        }
    }
}

#[test]
fn nested_layers_end() {
    let mut lines = vec!["[    7.338835] a".to_owned()];
    for depth in 0..12 {
        lines.push(object(&[("log", &lines[depth])]));
    }
    assert_eq!(parse(lines[4].as_bytes()).message, "a");
    assert_eq!(parse(lines[12].as_bytes()).message, lines[12 - MOST_LAYERS]);
}

#[test]
fn real_reports_come_back_from_every_log() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/testdata");
    let mut lines = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let messages: Vec<_> = text.lines().filter_map(|line| Some(line.split_once("] ")?.1)).collect();
        for wrap in KERNEL.iter().chain(&SYSLOG) {
            let mut peeler = Peeler::default();
            for message in &messages {
                let line = wrap(message);
                let read = peeler.peel(line.as_bytes());
                assert_eq!((&*read.message, read.is_foreign), (*message, false), "{line}");
            }
        }
        for before in [
            "",
            "Nov 20 10:15:03 n1 kernel: ",
            "[    7.338835] node-0001 kernel: ",
            "1763630103.214123 n1 kernel: ",
        ] {
            let mut peeler = Peeler::default();
            for message in &messages {
                let line = format!("{before}{message}");
                assert_eq!(peeler.peel(line.as_bytes()).message, *message, "{line}");
            }
        }
        lines += messages.len();
    }
    assert!(lines > 5000, "only {lines} lines");
}
