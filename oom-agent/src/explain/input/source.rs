//! Bytes of a file or a pipe, in a buffer that does not grow.

use std::io::{self, BufRead, ErrorKind, Read};

/// Bytes that are read at once. More is not faster.
const BUFFER: usize = 256 << 10;

/// A buffered reader that can look ahead.
pub(super) struct Source {
    inner: Box<dyn Read>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes that were handed out.
    taken: u64,
}

impl Source {
    pub(super) fn new(inner: Box<dyn Read>) -> Self {
        Self { inner, buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0, taken: 0 }
    }

    /// Bytes that were handed out.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// What comes next, at least `wanted` bytes unless the end comes first. At most a few are wanted.
    pub(super) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        while self.end - self.start < wanted && self.more()? > 0 {}
        Ok(&self.buffer[self.start..self.end])
    }

    /// The next bytes, all that are there; none at the end.
    pub(super) fn take(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.more()?;
        }
        let range = self.start..self.end;
        self.consume(range.len());
        Ok(&self.buffer[range])
    }

    /// Adds to the buffer what one read gives.
    fn more(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, amount: usize) {
        self.start += amount;
        self.taken += amount as u64;
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}
