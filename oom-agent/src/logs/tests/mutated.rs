//! Broken logs: cut, repeated, mixed, with bits flipped. Nothing that is told is invented.

use super::samples::*;
use crate::incident::model::Incident;
use proptest::prelude::*;
use std::sync::LazyLock;

static LOGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let writers: [Writer<'_>; 4] = [&dmesg, &tagged(7), &syslog_bare("a"), &journal("b")];
    let samples = samples();
    let write = |(at, sample): (usize, &Sample)| (sample.log(writers[at % 4]).join("\n") + "\n").into_bytes();
    samples.iter().enumerate().map(write).collect()
});

#[derive(Clone, Debug)]
enum Change {
    Cut(usize, usize),
    Repeat(usize, usize),
    Put(usize, u8),
    Flip(usize, u8),
    Move(usize, usize, usize),
    LineEnds,
}

impl Change {
    fn make(&self, log: &mut Vec<u8>) {
        let len = log.len();
        let range = |from: usize, to: usize| {
            let (from, to) = (from % (len + 1), to % (len + 1));
            from.min(to)..from.max(to)
        };
        match *self {
            Self::Cut(from, to) => drop(log.drain(range(from, to).start..range(from, from + to % 300).end)),
            Self::Repeat(from, to) => {
                let piece = log[range(from, from.wrapping_add(to % 2000))].to_vec();
                log.splice(from % (len + 1)..from % (len + 1), piece);
            }
            Self::Put(at, byte) => log.insert(at % (len + 1), byte),
            Self::Flip(at, bit) => {
                if let Some(byte) = log.get_mut(at % len.max(1)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Move(from, to, at) => {
                let piece: Vec<u8> = log.drain(range(from, from.wrapping_add(to % 2000))).collect();
                let at = at % (log.len() + 1);
                log.splice(at..at, piece);
            }
            Self::LineEnds => {
                *log = log.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    prop_oneof![
        (at(), at()).prop_map(|(from, to)| Change::Cut(from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (at(), prop_oneof![Just(0), Just(b'\n'), Just(b'\r'), Just(b'['), any::<u8>()])
            .prop_map(|(at, byte)| Change::Put(at, byte)),
        (at(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), at(), at()).prop_map(|(from, to, at)| Change::Move(from, to, at)),
        Just(Change::LineEnds),
    ]
}

/// Without what is said of bytes that are not text, and without quoting: what is left is in the log as it stands.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        out.push_str(&rest[..at]);
        rest = rest.get(at + 4..).unwrap_or("");
    }
    out.push_str(rest);
    out.retain(|c| c.is_ascii_graphic() && c != '\\' && c != '"');
    out
}

fn nothing_is_invented(incident: &Incident, log: &str) {
    let names = incident.victims.iter().map(|it| &it.comm);
    let names = names.chain(incident.candidates.iter().map(|it| &it.comm));
    let names = names.chain(incident.trigger.iter().map(|it| &it.comm));
    let cgroups = incident.victims.iter().filter_map(|it| it.cgroup.as_ref());
    let cgroups = cgroups.chain(incident.candidates.iter().filter_map(|it| it.cgroup.as_ref()));
    for name in names.chain(cgroups).chain(&incident.scope.cgroup).chain(&incident.kernel_release) {
        assert!(log.contains(&plain(name)), "{name:?} is not in the log");
    }
    let pids = incident.victims.iter().flat_map(|it| [it.pid, it.tid]);
    let pids = pids.chain(incident.candidates.iter().flat_map(|it| [it.pid, it.tid]));
    for pid in pids.filter(|pid| *pid > 0 && i32::try_from(*pid).is_ok()) {
        assert!(log.contains(&pid.to_string()), "{pid} is not in the log");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_a_log_nothing_is_invented(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        changes in prop::collection::vec(change(), 0..40),
        piece in 1_usize..5000,
    ) {
        let mut log: Vec<u8> = picks.iter().flat_map(|pick| pick.get(&LOGS).clone()).collect();
        for change in &changes {
            change.make(&mut log);
        }
        let found = read_bytes(&log, piece);
        let text = plain(&String::from_utf8_lossy(&log));
        for found in &found {
            nothing_is_invented(&found.incident, &text);
        }
        // Every incident has a line of its own, so their number is bounded by that of the lines.
        let lines = log.split(|byte| *byte == b'\n').count();
        assert!(found.len() <= lines);
    }
}
