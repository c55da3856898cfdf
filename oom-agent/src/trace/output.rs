//! Writing to stdout from a thread of its own: a pipe that nobody reads must not keep the agent from reading the
//! kernel's rings.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// Texts that may wait.
const QUEUE: usize = 4096;
/// Bytes that may wait.
const QUEUE_BYTES: usize = 16 << 20;
/// How long the end waits for a reader.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes texts; never blocks.
pub struct Output {
    queue: SyncSender<String>,
    waiting: Arc<AtomicUsize>,
    dropped: u64,
    done: Receiver<io::Result<()>>,
}

/// How the writing went.
#[derive(Debug, Default)]
pub struct Written {
    /// Texts that found no room: stdout was not read.
    pub dropped: u64,
    /// Why it ended early.
    pub error: Option<io::Error>,
}

/// Resolves when stdout cannot be written any more.
pub struct Broken(oneshot::Receiver<()>);

impl Broken {
    /// Waits for it. Cancel-safe.
    pub async fn broken(&mut self) {
        // The sender is dropped when the writing ends in any way.
        let _ = (&mut self.0).await;
    }
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start() -> io::Result<(Self, Broken)> {
        Self::to(io::stdout())
    }

    fn to(mut out: impl Write + Send + 'static) -> io::Result<(Self, Broken)> {
        let (queue, texts) = sync_channel::<String>(QUEUE);
        let (tell_done, done) = sync_channel(1);
        let (alive, broken) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        std::thread::Builder::new().name("output".into()).stack_size(128 << 10).spawn(move || {
            let result = texts.iter().try_for_each(|text| {
                out.write_all(text.as_bytes())?;
                written.fetch_sub(text.len(), Ordering::Relaxed);
                out.flush()
            });
            // Nobody waits for it if the end lost patience.
            let _ = tell_done.send(result);
            drop(alive);
        })?;
        Ok((Self { queue, waiting, dropped: 0, done }, Broken(broken)))
    }

    /// Hands over a text, or counts it as dropped.
    pub fn write(&mut self, text: String) {
        let bytes = text.len();
        // A single text is always taken, however large.
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) > QUEUE_BYTES
            || self.queue.try_send(text).is_err()
        {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
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
                // What still waits is not known in texts; it is at least one.
                let stuck = u64::from(waiting.load(Ordering::Relaxed) > 0);
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
        let (mut output, _broken) = Output::to(sink.clone()).unwrap();
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
        let (mut output, mut broken) = Output::to(Closed).unwrap();
        output.write("x".into());
        broken.broken().await;
        assert_eq!(output.finish().error.unwrap().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_does_not_read_costs_texts_not_the_agent() {
        let sink = Sink::default();
        let (mut output, _broken) = Output::to(sink.clone()).unwrap();
        let stuck = sink.0.lock().unwrap();
        for _ in 0..QUEUE * 2 {
            output.write("x".into());
        }
        assert!(output.dropped >= QUEUE as u64 - 1, "{}", output.dropped);
        let dropped = output.dropped;
        drop(stuck);
        assert_eq!(output.finish().dropped, dropped);
    }
}
