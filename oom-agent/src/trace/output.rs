//! Writing to stdout from a thread of its own: a pipe that nobody reads must not keep the agent from reading the
//! kernel's rings.

use crate::watched::Watched;
use bytes::Bytes;
use std::{
    io::{self, Write},
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};
use tokio::{io::Interest, sync::oneshot};

/// Texts that may wait.
const QUEUE: usize = 4096;
/// Bytes that may wait.
const QUEUE_BYTES: usize = 16 << 20;
/// How long the end waits for a reader.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });

/// Takes texts; never blocks.
pub struct Output {
    queue: SyncSender<Bytes>,
    waiting: Arc<Waiting>,
    dropped: u64,
    done: Receiver<io::Result<()>>,
}

/// What was handed over and is not written yet.
#[derive(Debug, Default)]
struct Waiting {
    texts: AtomicU64,
    bytes: AtomicUsize,
}

impl Waiting {
    fn less(&self, bytes: usize) {
        self.texts.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How the writing went.
#[derive(Debug, Default)]
pub struct Written {
    /// Texts that found no room, or were not written in whole by the end: stdout was not read.
    pub dropped: u64,
    /// Why it ended early.
    pub error: Option<io::Error>,
}

/// Resolves when stdout cannot be written any more.
pub struct Broken {
    ended: oneshot::Receiver<()>,
    /// Absent where epoll cannot watch it: a file.
    pipe: Option<Watched>,
}

impl Broken {
    /// Waits for it. Cancel-safe.
    pub async fn broken(&mut self) {
        let Self { ended, pipe } = self;
        let reader_left = async {
            match pipe {
                // The kernel reports an error on a pipe without readers (`pipe_poll` in fs/pipe.c).
                Some(pipe) => drop(pipe.ready(Interest::ERROR).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The sender is dropped when the writing ends in any way.
            _ = ended => {}
            // Else `| head -1` would keep the agent until the next incident.
            () = reader_left => {}
        }
    }
}

impl Output {
    /// Starts the thread, within a tokio runtime.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start() -> io::Result<(Self, Broken)> {
        Self::to(io::stdout(), io::stdout().as_fd().try_clone_to_owned().ok())
    }

    fn to(mut out: impl Write + Send + 'static, pipe: Option<OwnedFd>) -> io::Result<(Self, Broken)> {
        let (queue, texts) = sync_channel::<Bytes>(QUEUE);
        let (tell_done, done) = sync_channel(1);
        let (alive, broken) = oneshot::channel();
        let waiting = Arc::new(Waiting::default());
        let written = Arc::clone(&waiting);
        std::thread::Builder::new().name("output".into()).stack_size(128 << 10).spawn(move || {
            let result = texts.iter().try_for_each(|text| {
                out.write_all(&text)?;
                written.less(text.len());
                out.flush()
            });
            // Nobody waits for it if the end lost patience.
            let _ = tell_done.send(result);
            drop(alive);
        })?;
        let watch = |pipe| Watched::new(pipe, Interest::ERROR).ok();
        let broken = Broken { ended: broken, pipe: pipe.and_then(watch) };
        Ok((Self { queue, waiting, dropped: 0, done }, broken))
    }

    /// Hands over a text, or counts it as dropped.
    pub fn write(&mut self, text: impl Into<Bytes>) {
        let text = text.into();
        let bytes = text.len();
        // A single text is always taken, however large.
        self.waiting.texts.fetch_add(1, Ordering::Relaxed);
        if self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed) > QUEUE_BYTES
            || self.queue.try_send(text).is_err()
        {
            self.waiting.less(bytes);
            self.dropped += 1;
        }
    }

    /// Waits until everything is written, but not for long.
    pub fn finish(self) -> Written {
        let Self { queue, waiting, dropped, done } = self;
        drop(queue);
        match done.recv_timeout(PATIENCE) {
            Ok(result) => Written { dropped, error: result.err() },
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let stuck = waiting.texts.load(Ordering::Relaxed);
                Written { dropped: dropped + stuck, error: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_handed_over_is_written_in_order() {
        let sink = Sink::default();
        let (mut output, _broken) = Output::to(sink.clone(), None).unwrap();
        for number in 0..100 {
            output.write(format!("{number}\n"));
        }
        let written = output.finish();
        assert!(written.error.is_none());
        assert_eq!(written.dropped, 0);
        let expected = (0..100).map(|number| number.to_string() + "\n").collect::<Vec<_>>().concat();
        assert_eq!(String::from_utf8(sink.0.lock().unwrap().clone()).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_closed_pipe_is_told() {
        let (mut output, mut broken) = Output::to(Closed, None).unwrap();
        output.write("x");
        broken.broken().await;
        assert_eq!(output.finish().error.unwrap().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed_without_writing() {
        let (reader, writer) = io::pipe().unwrap();
        let (output, mut broken) = Output::to(writer.try_clone().unwrap(), Some(writer.into())).unwrap();
        tokio::select! {
            biased;
            () = broken.broken() => panic!("it is still there"),
            () = tokio::task::yield_now() => {}
        }
        drop(reader);
        broken.broken().await;
        assert!(output.finish().error.is_none());
    }

    #[test]
    fn a_reader_that_does_not_read_costs_texts_not_the_agent() {
        let sink = Sink::default();
        let (mut output, _broken) = Output::to(sink.clone(), None).unwrap();
        let stuck = sink.0.lock().unwrap();
        for _ in 0..QUEUE * 2 {
            output.write("x");
        }
        assert!(output.dropped >= QUEUE as u64 - 1, "{}", output.dropped);
        let dropped = output.dropped;
        drop(stuck);
        assert_eq!(output.finish().dropped, dropped);
    }

    #[test]
    fn what_still_waits_at_the_end_is_counted() {
        let sink = Sink::default();
        let (mut output, _broken) = Output::to(sink.clone(), None).unwrap();
        let _stuck = sink.0.lock().unwrap();
        for _ in 0..7 {
            output.write("x");
        }
        assert_eq!(output.finish().dropped, 7);
    }
}
