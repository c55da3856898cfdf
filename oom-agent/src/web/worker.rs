//! A thread for what takes too long for the one that reads the rings: looks at the machine, passwords.
//!
//! One, and from the start: in the worst moment of the machine no thread can be made, and tokio's own pool gives up the
//! whole process then.

use anyhow::{Context as _, Result};
use std::thread;
use tokio::sync::{mpsc, oneshot};

/// Jobs that wait; others wait to be among them.
const JOBS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// Does one job after the other.
#[derive(Clone, Debug)]
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// It ends with the last of its clones.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub(super) fn start() -> Result<Self> {
        let (sender, mut jobs) = mpsc::channel::<Job>(JOBS);
        let work = move || {
            while let Some(job) = jobs.blocking_recv() {
                job();
            }
        };
        thread::Builder::new()
            .name("oom-agent-http".to_owned())
            .spawn(work)
            .context("cannot start a thread")?;
        Ok(Self(sender))
    }

    /// What a job gives. It is done where nobody waits for it any more, too.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let job = move || drop(sender.send(job()));
        self.0.send(Box::new(job)).await.ok()?;
        receiver.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_one_after_the_other() {
        let worker = Worker::start().unwrap();
        let other = worker.clone();
        let first = tokio::spawn(async move { other.run(|| thread::current().id()).await.unwrap() });
        let second = worker.run(|| thread::current().id()).await.unwrap();
        assert_eq!(first.await.unwrap(), second);
        assert_ne!(second, thread::current().id());
    }
}
