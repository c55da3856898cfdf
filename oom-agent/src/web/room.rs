//! How much of answers may wait in memory for their readers.

use super::problem::Problem;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Of all answers together.
const KIB: usize = 8192;
/// How long one waits until others are sent.
const WAIT: Duration = Duration::from_secs(15);

/// Room for answers. One is taken before an answer is made: its size is not known by then, the most is.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// Room for one.
#[derive(Debug)]
pub(super) struct Reserved(OwnedSemaphorePermit);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(KIB)))
    }
}

impl Room {
    /// For an answer of so much, or less.
    ///
    /// # Errors
    /// There was none in time.
    pub(super) async fn take(&self, kib: u16) -> Result<Reserved, Problem> {
        let permit = timeout(WAIT, Arc::clone(&self.0).acquire_many_owned(u32::from(kib))).await;
        let full = || Problem::unavailable("others have not read what they asked for yet".to_owned());
        permit.ok().and_then(Result::ok).map(Reserved).ok_or_else(full)
    }
}

impl Reserved {
    /// The answer. It keeps what it needs until it is sent, the rest is for others.
    pub(super) fn fill(self, text: impl Into<Vec<u8>>) -> Bytes {
        let Self(mut permit) = self;
        let text = text.into();
        let kib = text.capacity().div_ceil(1024);
        let held = permit.split(kib.min(permit.num_permits()));
        Bytes::from_owner(Held { text, _permit: held })
    }
}

struct Held {
    text: Vec<u8>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_sent_yet_keeps_its_room() {
        let room = Room::default();
        let full =
            async || timeout(Duration::from_millis(50), room.take(u16::try_from(KIB / 2).unwrap())).await;
        let half = u16::try_from(KIB / 2).unwrap();
        let first = room.take(half).await.unwrap().fill(vec![1; KIB / 2 * 1024]);
        let small = room.take(half).await.unwrap().fill("x");
        assert!(full().await.is_err(), "the small one took a part of it");
        drop(small);
        let second = room.take(half).await.unwrap();
        let copy = first.clone();
        drop(first);
        assert!(full().await.is_err(), "somebody still reads it");
        drop(copy);
        assert!(full().await.is_ok());
        drop(second);
    }
}
