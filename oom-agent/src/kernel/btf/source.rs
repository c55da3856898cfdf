//! Positioned reads through one small buffer.

use super::BtfError;
use std::io::{Read, Seek, SeekFrom};

/// Bytes read at once where the input is read from end to end.
const STREAM: usize = 64 * 1024;
/// Bytes read at once where it is read here and there; the file gives a page for a read.
const RANDOM: usize = 4096;

/// An input with a window of it in memory.
pub(super) struct Source<'a, R> {
    input: &'a mut R,
    window: Vec<u8>,
    start: u64,
    refill: usize,
}

impl<'a, R: Read + Seek> Source<'a, R> {
    pub(super) fn new(input: &'a mut R) -> Self {
        Self { input, window: Vec::new(), start: 0, refill: STREAM }
    }

    /// From now on the input is read here and there.
    pub(super) fn random_access(&mut self) {
        self.window = Vec::new();
        self.refill = RANDOM;
    }

    /// `N` bytes at a place.
    pub(super) fn array<const N: usize>(&mut self, at: u64, what: &'static str) -> Result<[u8; N], BtfError> {
        let mut bytes = [0; N];
        let mut done = 0;
        while done < N {
            let some = self.some(at + done as u64, what)?;
            let count = some.len().min(N - done);
            bytes[done..done + count].copy_from_slice(&some[..count]);
            done += count;
        }
        Ok(bytes)
    }

    /// As many bytes from a place on as are at hand, at least one.
    pub(super) fn some(&mut self, at: u64, what: &'static str) -> Result<&[u8], BtfError> {
        let inside = at.checked_sub(self.start).filter(|skip| *skip < self.window.len() as u64);
        let skip = if let Some(skip) = inside {
            skip as usize
        } else {
            self.fill(at, what)?;
            0
        };
        Ok(&self.window[skip..])
    }

    fn fill(&mut self, at: u64, what: &'static str) -> Result<(), BtfError> {
        self.window.clear();
        self.start = at;
        let io = |source| BtfError::Io { what, at, source };
        self.input.seek(SeekFrom::Start(at)).map_err(io)?;
        let limit = self.refill as u64;
        self.input.by_ref().take(limit).read_to_end(&mut self.window).map_err(io)?;
        if self.window.is_empty() {
            return Err(BtfError::Truncated { what, at });
        }
        Ok(())
    }
}
