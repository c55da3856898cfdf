//! Any bytes as a log: no panic, and nothing invented.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oom_agent::incident::model::Incident;
use oom_agent::logs::{Found, Options, Reader};

fuzz_target!(|data: &[u8]| {
    // The first byte says in which pieces the rest comes.
    let Some((&size, log)) = data.split_first() else { return };
    let mut reader = Reader::new(Options { source: "fuzz".into(), ..Options::default() });
    let mut found = Vec::new();
    for piece in log.chunks(usize::from(size) * 16 + 1) {
        reader.push(piece, &mut found);
    }
    reader.finish(&mut found);
    for Found { incident, .. } in &found {
        check(incident, log);
    }
});

/// Every process that is named is in the text: its number stands there in digits.
fn check(incident: &Incident, log: &[u8]) {
    let pids = incident.victims.iter().map(|victim| victim.tid);
    let pids = pids.chain(incident.candidates.iter().map(|candidate| candidate.pid));
    for pid in pids {
        // The kernel prints an id of more than 31 bits as a negative number.
        let written = [pid.to_string(), pid.cast_signed().to_string()];
        let stands = |number: &String| log.windows(number.len()).any(|at| at == number.as_bytes());
        // Escaped or packed text is another matter.
        let plain = !log.iter().any(|byte| matches!(byte, b'{' | b'\\'));
        assert!(!plain || written.iter().any(stands), "{pid} is not in the log");
    }
}
