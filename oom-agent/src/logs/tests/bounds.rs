//! How a log is cut into pieces, and how long its lines are.

use crate::logs::{Found, Options, Reader};

fn read(log: &[u8], piece: usize) -> Vec<Found> {
    let mut reader = Reader::new(Options::default());
    let mut out = Vec::new();
    for piece in log.chunks(piece.max(1)) {
        reader.push(piece, &mut out);
    }
    reader.finish(&mut out);
    out
}

#[test]
fn x() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/testdata")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "txt") {
            let text = std::fs::read(&path).unwrap();
            let found = read(&text, 1 << 20);
            println!("{path:?} {}", found.len());
        }
    }
}
