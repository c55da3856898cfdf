//! The text of a file, unpacked where it is packed.

use super::magic::{Head, LONGEST, Packed, head};
use super::source::Source;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::io::{self, BufRead as _, ErrorKind, Read};

/// The most that a packed file may have the unpacker remember: what `xz -9` asks for. `xz -6`, `zstd -19` and less ask
/// for 8 MiB; gzip for 32 KiB.
const DICTIONARY: u32 = 64 << 20;
/// What the xz reader takes beside the dictionary, generously.
const XZ_OVERHEAD: u32 = 1 << 20;
/// Bytes that are unpacked at once.
const BUFFER: usize = 128 << 10;

/// The text of a file. Packed members may follow each other (`cat a.gz b.xz`).
pub(in crate::explain) struct Text {
    member: Member,
    buffer: Vec<u8>,
}

enum Member {
    /// Not looked at yet. After a packed member nothing but packed ones may follow.
    Start {
        source: Source,
        after: Option<Packed>,
    },
    Plain(Source),
    Gzip(Box<GzDecoder<Source>>),
    Xz(Box<XzReader<Source>>),
    Zstd(Box<StreamingDecoder<Source, FrameDecoder>>),
    /// At its end, or failed.
    Done,
}

impl Text {
    pub(in crate::explain) fn new(inner: Box<dyn Read>) -> Self {
        Self { member: Member::Start { source: Source::new(inner), after: None }, buffer: Vec::new() }
    }

    /// The next bytes; none at the end. After an error there is nothing more.
    pub(in crate::explain) fn next(&mut self) -> io::Result<&[u8]> {
        loop {
            let (kind, read) = match std::mem::replace(&mut self.member, Member::Done) {
                Member::Done => return Ok(&[]),
                Member::Plain(source) => {
                    self.member = Member::Plain(source);
                    let Member::Plain(source) = &mut self.member else { return Ok(&[]) };
                    return source.take();
                }
                Member::Start { source, after } => {
                    self.member = start(source, after)?;
                    if !matches!(self.member, Member::Plain(_)) {
                        self.buffer.resize(BUFFER, 0);
                    }
                    continue;
                }
                Member::Gzip(mut gzip) => {
                    let read = read(&mut gzip, &mut self.buffer);
                    self.member = match read {
                        Ok(0) => Member::Start { source: gzip.into_inner(), after: Some(Packed::Gzip) },
                        _ => Member::Gzip(gzip),
                    };
                    (Packed::Gzip, read)
                }
                Member::Xz(mut xz) => {
                    let read = read(&mut xz, &mut self.buffer);
                    self.member = match read {
                        Ok(0) => Member::Start { source: xz.into_inner(), after: Some(Packed::Xz) },
                        _ => Member::Xz(xz),
                    };
                    (Packed::Xz, read)
                }
                Member::Zstd(mut zstd) => {
                    let read = read(&mut zstd, &mut self.buffer);
                    let ended = matches!(read, Ok(0));
                    let read = if ended { checked(&zstd).map(|()| 0) } else { read };
                    self.member = if ended {
                        Member::Start { source: zstd.into_inner(), after: Some(Packed::Zstd) }
                    } else {
                        Member::Zstd(zstd)
                    };
                    (Packed::Zstd, read)
                }
            };
            match read {
                Ok(0) => {}
                Ok(read) => return Ok(&self.buffer[..read]),
                Err(error) => {
                    self.member = Member::Done;
                    return Err(explained(kind, &error));
                }
            }
        }
    }
}

/// Reads, also when a signal comes.
fn read(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Looks at what comes next.
fn start(mut source: Source, after: Option<Packed>) -> io::Result<Member> {
    loop {
        if after.is_some() {
            skip_zeros(&mut source)?;
        }
        let (mut wanted, mut found) = (1, Head::Short);
        // A live pipe may have sent less than what tells: only as much is waited for as is needed.
        while found == Head::Short && wanted <= LONGEST {
            let bytes = source.peek(wanted)?;
            let end = bytes.len() < wanted;
            found = head(bytes);
            if end {
                break;
            }
            wanted += 1;
        }
        return Ok(match (found, after) {
            (Head::Packed(Packed::ZstdSkippable), _) => {
                skip_frame(&mut source)?;
                continue;
            }
            (Head::Packed(Packed::Gzip), _) => Member::Gzip(Box::new(GzDecoder::new(source))),
            (Head::Packed(Packed::Xz), _) => {
                let limit = (DICTIONARY + XZ_OVERHEAD) >> 10;
                Member::Xz(Box::new(XzReader::new_mem_limit(source, false, limit)))
            }
            (Head::Packed(Packed::Zstd), _) => {
                let decoder = StreamingDecoder::new_with_max_window_size(source, u64::from(DICTIONARY));
                Member::Zstd(Box::new(decoder.map_err(|error| match error {
                    FrameDecoderError::WindowSizeTooBig { .. } => too_big(Packed::Zstd),
                    error => explained(Packed::Zstd, &io::Error::other(error)),
                })?))
            }
            (Head::Foreign(what), None) => return Err(io::Error::new(ErrorKind::InvalidData, what)),
            (Head::Plain | Head::Short, None) => Member::Plain(source),
            (Head::Plain | Head::Short, Some(_)) if source.peek(1)?.is_empty() => Member::Done,
            (Head::Plain | Head::Short | Head::Foreign(_), Some(packed)) => {
                let (name, at) = (packed.name(), source.taken());
                let text = format!("the {name} data ends at byte {at}, and what follows is not packed");
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
        });
    }
}

/// xz pads with zeros between streams, tapes and disks behind anything.
fn skip_zeros(source: &mut Source) -> io::Result<()> {
    loop {
        let bytes = source.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(());
        }
        source.consume(zeros);
    }
}

/// Magic, length, and so many bytes.
fn skip_frame(source: &mut Source) -> io::Result<()> {
    let mut header = [0; 8];
    source.read_exact(&mut header)?;
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    io::copy(&mut Read::take(source, u64::from(length)), &mut io::sink()).map(drop)
}

/// The decoder computes the checksum of a frame and leaves it to us to compare.
fn checked(zstd: &StreamingDecoder<Source, FrameDecoder>) -> io::Result<()> {
    let (said, is) = (zstd.decoder.get_checksum_from_data(), zstd.decoder.get_calculated_checksum());
    if said.is_some() && said != is {
        return Err(io::Error::new(ErrorKind::InvalidData, "wrong checksum"));
    }
    Ok(())
}

fn explained(packed: Packed, error: &io::Error) -> io::Error {
    let name = packed.name();
    let text = match error.kind() {
        ErrorKind::OutOfMemory => return too_big(packed),
        ErrorKind::UnexpectedEof => format!("the {name} data ends too early"),
        _ => format!("the {name} data cannot be unpacked: {error}"),
    };
    io::Error::new(error.kind(), text)
}

fn too_big(packed: Packed) -> io::Error {
    let name = packed.name();
    let program = if packed == Packed::Xz { "xz -dc" } else { "zstd -dc --long=31" };
    let text = format!(
        "the {name} data needs more than {} MiB of memory to unpack (`{program} FILE | oom-agent explain`)",
        DICTIONARY >> 20
    );
    io::Error::new(ErrorKind::OutOfMemory, text)
}
