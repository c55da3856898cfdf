//! What is fed with what others may write: one function for each place where such bytes come in. For `tests/fuzz`, and for a
//! test that feeds them what was found once. Each panics where something does not hold.

use crate::{
    backoff::Backoff,
    identity,
    incident::{
        assembler::{Assembler, Config},
        diagnosis::diagnose,
        model::{Incident, Level},
    },
    kernel::{btf, decode::Decoder, fields},
    logs,
    otlp::answer,
    page::{self, About},
    report::{line::Record, parser::Parser},
    run::fuzz as run,
    sink::{
        escape::{is_unsafe, width},
        json, path,
        terminal::{Show, Style, render},
    },
    web::fuzz as web,
};
use oom_ebpf as wire;
use prost::Message as _;

/// One of them.
pub type Target = fn(&[u8]);

/// All of them, by their names.
pub const TARGETS: [(&str, Target); 10] = [
    ("btf", btf),
    ("cgroup_path", cgroup_path),
    ("collector", collector),
    ("config", config),
    ("cri", cri),
    ("http", http),
    ("incident", incident),
    ("kmsg", kmsg),
    ("log", log),
    ("wire", wire),
];

/// The kernel's type data.
fn btf(bytes: &[u8]) {
    let paths = fields::paths();
    let wanted =
        fields::wanted(&paths, &["out_of_memory", "oom_badness"], &["mark_victim", "signal_generate"]);
    if let Ok(answers) = btf::read(bytes, &wanted) {
        fields::resolve(&answers, true);
    }
}

/// A cgroup's path, which may have any name between slashes.
fn cgroup_path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(identity::path::parse(&text));
    let shown = path::shown(&text);
    is_plain(&shown);
    for columns in [12, 40] {
        let short = path::shorten(&shown, columns);
        is_plain(&short);
        assert!(width(&short) <= columns, "{short:?}");
    }
    path::without_ids(&text);
}

/// The configuration and the file that exporters share.
fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    run::config(text);
    web::config(text);
}

/// What a collector answers: a status, what it says to it, when to come again.
pub fn collector(bytes: &[u8]) {
    let Some((status, said)) = bytes.split_first_chunk() else { return };
    let status = u16::from_be_bytes(*status);
    let text = String::from_utf8_lossy(said);
    let failures = [
        answer::grpc(status.into(), &text, Some(said)),
        answer::http(status, Some(&text), said, jiff::Timestamp::UNIX_EPOCH),
    ];
    for failure in failures {
        is_plain(&failure.message);
        Backoff::default().failed(failure.wait, false, u64::MAX);
    }
    if let answer::Answer::Taken { message, .. } = answer::taken(said) {
        is_plain(&message);
    }
}

/// What a container runtime answers.
fn cri(bytes: &[u8]) {
    use identity::cri::messages::{ListContainersResponse, ListPodSandboxResponse};
    let middle = bytes.len() / 2;
    let (pods, containers) = bytes.split_at(middle);
    let (Ok(pods), Ok(containers)) =
        (ListPodSandboxResponse::decode(pods), ListContainersResponse::decode(containers))
    else {
        return;
    };
    identity::cri::listing(pods, containers).learn(&mut identity::names::Names::default());
}

/// What a client sends.
fn http(bytes: &[u8]) {
    web::request(bytes);
}

/// An incident as JSON: whatever is in it can be shown.
fn incident(bytes: &[u8]) {
    if let Ok(incident) = serde_json::from_slice::<Incident>(bytes) {
        show(incident);
    }
}

/// Records of `/dev/kmsg`, one a line.
fn kmsg(bytes: &[u8]) {
    let (mut parser, mut events) = (Parser::new(), Vec::new());
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(record) = Record::parse(line) {
            parser.message(Some(record.time_ns), record.context, &record.text(), &mut events);
        }
    }
    parser.finish(&mut events);
}

/// A log. Its first byte says in what pieces it comes.
fn log(bytes: &[u8]) {
    let [piece, text @ ..] = bytes else { return };
    let mut reader = logs::Reader::new(logs::Options::default());
    let mut found = Vec::new();
    // The first piece must be enough to see what kind of log it is.
    for piece in text.chunks((usize::from(*piece) * 16).max(9)) {
        reader.push(piece, &mut found);
    }
    reader.finish(&mut found);
    for logs::Found { incident, .. } in found {
        is_in(&incident, text);
        show(incident);
    }
}

/// Nothing is invented: every process that is named stands in the text, in digits.
fn is_in(incident: &Incident, text: &[u8]) {
    // Escaped or packed text is another matter.
    if text.iter().any(|byte| matches!(byte, b'{' | b'\\')) {
        return;
    }
    let pids = incident.victims.iter().map(|victim| victim.tid);
    for pid in pids.chain(incident.candidates.iter().map(|candidate| candidate.pid)) {
        // The kernel prints an id of more than 31 bits as a negative number.
        let written = [pid.to_string(), pid.cast_signed().to_string()];
        let stands = |number: &String| text.windows(number.len()).any(|at| at == number.as_bytes());
        assert!(written.iter().any(stands), "{pid} is not in the log");
    }
}

/// Records of the BPF programs: a byte each for the kind, the time that passed and the call, and 63 that are repeated to the
/// record's length.
fn wire(bytes: &[u8]) {
    let decoder = Decoder { page_size: 4096 };
    let mut assembler = Assembler::new(Config::new(Level::Full));
    let mut incidents = Vec::new();
    let mut now_ns = 0;
    for record in bytes.chunks(66) {
        let [kind, passed, call, body @ ..] = record else { break };
        now_ns += u64::from(*passed) << 24;
        // Few calls, so that records belong together.
        let head = [u64::from(*kind % 16), u64::from(*call % 4), now_ns];
        let mut raw: Vec<u8> = head.iter().flat_map(|word| word.to_ne_bytes()).collect();
        raw.extend(body.iter().cycle().take(size_of::<wire::Victim>().max(size_of::<wire::Escalation>())));
        decoder.facts(&raw).flatten().for_each(|fact| assembler.push(now_ns, fact));
        while let Some(incident) = assembler.ready(now_ns) {
            incidents.push(incident);
        }
    }
    incidents.extend(assembler.finish());
    incidents.into_iter().for_each(show);
}

/// In every way there is, and no name acts on a terminal or becomes a part of the page.
fn show(mut incident: Incident) {
    incident.diagnosis = diagnose(&incident);
    for (width, candidates) in [(80, Show::Top(10)), (200, Show::All)] {
        render(&incident, &Style { width, color: false, candidates }).lines().for_each(is_plain);
    }
    let line = json::line(&incident);
    assert!(!line.trim_end_matches('\n').contains('\n'), "a line is one line");
    assert!(serde_json::from_str::<Incident>(&line).is_ok(), "{line}");
    let html = page::incident::page(&About::default(), &incident);
    assert!(!html.contains("<script>"), "the page has no inline script");
    page::ticket::markdown(&incident);
}

/// A terminal shows all of it where it stands.
fn is_plain(line: &str) {
    assert!(!line.contains(is_unsafe), "{line:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn what_was_found_once_holds() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/kept");
        for (name, target) in TARGETS {
            let dir = kept.join(name);
            let files: Vec<_> =
                fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}")).collect();
            assert!(!files.is_empty(), "{dir:?}");
            for file in files {
                target(&fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
}
