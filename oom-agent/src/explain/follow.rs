//! Following a file that grows, or a pipe: incidents as they come.

use super::input::Input;
use super::read::{name, reader};
use super::tell::Teller;
use crate::logs::Reader;
use crate::note::note;
use crate::sink::{escape, summary};
use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A log that says nothing for so long says nothing for now. Also how often a file is looked at.
const SILENCE: Duration = Duration::from_millis(250);
/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// Reads until a pipe's end, a signal, or until nobody reads stdout any more.
///
/// # Errors
/// What could not be read or written.
pub(super) fn run(input: &Input, mut teller: Teller<'_>) -> Result<()> {
    let began = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot catch signals")?;
    }
    let mut tail = Tail::open(input)?;
    note(&format!("following {} (Ctrl-C ends)", escape::escape(&input.shown())));
    let file = name(std::slice::from_ref(input));
    let mut reader = reader(std::slice::from_ref(input));
    let done = tail.follow(&mut reader, &mut teller, &file, &stop);
    let mut found = Vec::new();
    reader.finish(&mut found);
    let _ = teller.all(found, &file)?;
    // Whoever ends it by a signal may do so within an entry.
    if let Some(unread) = reader.unread().filter(|_| !stop.load(Ordering::Relaxed)) {
        note(&format!("cannot read all of {file}: {unread}"));
    }
    let (tally, filtered) = teller.tally();
    let narrowed = teller.narrowed_by();
    let left = if filtered > 0 { format!(", {filtered} not shown ({narrowed})") } else { String::new() };
    note(&format!("{}{left}", summary(&tally, began.elapsed())));
    done.with_context(|| format!("cannot read {}", input.shown()))
}

/// The end of something that grows.
struct Tail {
    file: File,
    /// Where it is found again after a rotation. `None`: a pipe.
    path: Option<PathBuf>,
    position: u64,
}

/// What there is to read.
enum Next {
    Bytes(usize),
    /// Nothing for now.
    Silence,
    /// Nothing ever.
    End,
}

impl Tail {
    fn open(input: &Input) -> Result<Self> {
        let file = input.open()?;
        // `< file` is a file without a name: it has an end.
        let path = match input {
            Input::File(path) if file.metadata().is_ok_and(|it| it.is_file()) => Some(path.clone()),
            Input::File(_) | Input::Stdin => None,
        };
        Ok(Self { file, path, position: 0 })
    }

    fn follow(
        &mut self,
        reader: &mut Reader,
        teller: &mut Teller<'_>,
        file: &str,
        stop: &AtomicBool,
    ) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut found = Vec::new();
        // Nothing came since the reader was told that nothing comes.
        let mut silent = false;
        let mut first = true;
        while !stop.load(Ordering::Relaxed) {
            match self.next(&mut buffer)? {
                Next::End => break,
                Next::Bytes(read) => {
                    if read > 0 && std::mem::replace(&mut first, false) && Input::is_packed(&buffer[..read]) {
                        bail!("it is packed, and cannot be followed; leave --follow out");
                    }
                    silent = false;
                    reader.push(&buffer[..read], &mut found);
                }
                Next::Silence => {
                    if !std::mem::replace(&mut silent, true) {
                        reader.pause(&mut found);
                    }
                }
            }
            if teller.all(found.drain(..), file)?.is_break() || reader_left()? {
                break;
            }
        }
        Ok(())
    }

    /// Waits for bytes, but not longer than [`SILENCE`].
    fn next(&mut self, buffer: &mut [u8]) -> Result<Next> {
        if self.path.is_none() {
            let stdout = io::stdout();
            let fds = &mut [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
            wait(fds)?;
            if fds[0].revents().is_empty() {
                return Ok(Next::Silence);
            }
        }
        match self.file.read(buffer) {
            Ok(0) if self.path.is_none() => Ok(Next::End),
            Ok(0) => self.at_end(),
            Ok(read) => {
                self.position += read as u64;
                Ok(Next::Bytes(read))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Next::Bytes(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// A file has no more: it was rotated, cut, or nothing was written.
    fn at_end(&mut self) -> Result<Next> {
        let Some(path) = &self.path else { return Ok(Next::End) };
        let own = self.file.metadata()?;
        if own.len() < self.position {
            note(&format!("{} was cut: reading it from its begin", path.display()));
            self.file.rewind()?;
            self.position = 0;
            return Ok(Next::Bytes(0));
        }
        // While there is none under that name, the old one is all that there is.
        if let Ok(file) = File::open(path)
            && let Ok(new) = file.metadata()
            && (new.dev(), new.ino()) != (own.dev(), own.ino())
        {
            // What was written to the old one after it was read to its end, but before it was replaced.
            if own.len() > self.position {
                return Ok(Next::Bytes(0));
            }
            note(&format!("{} was replaced: reading the new one", path.display()));
            self.file = file;
            self.position = 0;
            return Ok(Next::Bytes(0));
        }
        let stdout = io::stdout();
        wait(&mut [PollFd::new(&stdout, PollFlags::empty())])?;
        Ok(Next::Silence)
    }
}

/// Waits until something happens, but not longer than [`SILENCE`]. A signal ends it too.
fn wait(fds: &mut [PollFd<'_>]) -> Result<()> {
    let time = Timespec { tv_sec: 0, tv_nsec: i64::from(SILENCE.subsec_nanos()) };
    match poll(fds, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait"),
    }
}

/// Nobody reads stdout any more: the kernel says so without being written to (`pipe_poll` in fs/pipe.c).
fn reader_left() -> Result<bool> {
    let stdout = io::stdout();
    let fds = &mut [PollFd::new(&stdout, PollFlags::empty())];
    match poll(fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) => Ok(fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error).context("cannot wait"),
    }
}
