//! Packed text, whole and damaged.

use super::Text;
use expect_test::expect;
use flate2::{Compression, write::GzEncoder};
use std::io::{Read, Write as _};

/// Gives a byte at a time, as a slow pipe does.
struct Slow(std::io::Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let room = out.len().min(1);
        self.0.read(&mut out[..room])
    }
}

/// The text, and the error at its end.
fn read(bytes: &[u8]) -> (String, Option<String>) {
    let text = |mut text: Text| {
        let mut out = Vec::new();
        loop {
            match text.next() {
                Ok([]) => break (String::from_utf8(out).unwrap(), None),
                Ok(bytes) => out.extend_from_slice(bytes),
                Err(error) => {
                    assert_eq!(text.next().unwrap(), b"", "nothing comes after an error");
                    break (String::from_utf8(out).unwrap(), Some(error.to_string()));
                }
            }
        }
    };
    let at_once = text(Text::new(Box::new(std::io::Cursor::new(bytes.to_vec()))));
    let slowly = text(Text::new(Box::new(Slow(std::io::Cursor::new(bytes.to_vec())))));
    assert_eq!(at_once, slowly);
    at_once
}

fn gz(text: &str) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

/// `printf 'hello\n' | xz -9 --check=crc32`: a dictionary of 64 MiB.
const XZ: &[u8] = include_bytes!("testdata/hello.xz");
/// `printf 'hello\n' | zstd`.
const ZSTD: &[u8] = include_bytes!("testdata/hello.zst");

#[test]
fn plain_text_is_left_alone() {
    for text in ["", "x", "\u{1}", "[    1.0] x\n", "P*", "Z"] {
        assert_eq!(read(text.as_bytes()), (text.to_owned(), None));
    }
    assert_eq!(read(b"\x1f"), ("\x1f".to_owned(), None));
}

#[test]
fn members_follow_each_other_in_any_format() {
    assert_eq!(read(XZ), ("hello\n".to_owned(), None));
    assert_eq!(read(ZSTD), ("hello\n".to_owned(), None));
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc";
    let all = [&gz("one\n"), XZ, &[0; 8], ZSTD, skippable, ZSTD, &gz(""), &gz("two\n"), &[0; 512]].concat();
    assert_eq!(read(&all), ("one\nhello\nhello\nhello\ntwo\n".to_owned(), None));
    assert_eq!(read(&[skippable, ZSTD].concat()), ("hello\n".to_owned(), None));
}

#[test]
fn what_is_cut_is_read_as_far_as_it_goes() {
    let long: String = (0..20_000).map(|number| number.to_string() + " ").collect();
    let packed = gz(&long);
    let (text, error) = read(&packed[..packed.len() / 2]);
    assert!(text.len() > long.len() / 4 && long.starts_with(&text), "{}", text.len());
    assert_eq!(error.unwrap(), "the gzip data ends too early");
    for (name, packed) in [("gzip", gz("hello\n")), ("xz", XZ.to_vec()), ("zstd", ZSTD.to_vec())] {
        let shortest = if name == "gzip" { 3 } else { 6 };
        for length in shortest..packed.len() {
            let (text, error) = read(&packed[..length]);
            assert!("hello\n".starts_with(&text), "{name} {length}: {text}");
            assert!(
                error.is_some_and(|error| error.starts_with(&format!("the {name} data"))),
                "{name} {length}"
            );
        }
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    for packed in [gz("hello\n"), XZ.to_vec(), ZSTD.to_vec()] {
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut damaged = packed.clone();
                damaged[at] ^= 1 << bit;
                // A gzip header has fields that nothing checks. Otherwise it is an error, or not packed any more.
                let mut text = Text::new(Box::new(std::io::Cursor::new(damaged)));
                while matches!(text.next(), Ok([_, ..])) {}
            }
        }
    }
    let mut wrong = ZSTD.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    expect!["the zstd data cannot be unpacked: wrong checksum"].assert_eq(&read(&wrong).1.unwrap());
}

#[test]
fn what_follows_packed_data_must_be_packed() {
    let (text, error) = read(&[&gz("hello\n")[..], b"tail"].concat());
    assert_eq!(text, "hello\n");
    expect!["the gzip data ends at byte 26, and what follows is not packed"].assert_eq(&error.unwrap());
}

#[test]
fn what_is_not_read_says_how_it_can_be() {
    let (text, error) = read(b"BZh91AY&SY\x01\x02\x03");
    assert_eq!(text, "");
    expect!["it is packed with bzip2: `bzip2 -dc FILE | oom-agent explain`"].assert_eq(&error.unwrap());
}

#[test]
fn windows_beyond_the_limit_are_refused_before_they_are_allocated() {
    // A frame header with a window of 128 MiB (RFC 8878, 3.1.1.1.2: exponent 17, mantissa 0), and an empty last block.
    let zstd = b"\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00";
    assert!(read(zstd).1.unwrap().contains("more than 64 MiB"), "{:?}", read(zstd));
}
