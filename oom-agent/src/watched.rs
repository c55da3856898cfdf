//! A descriptor that the runtime waits for.

use std::{io, ops::Deref, os::fd::OwnedFd};
use tokio::io::{Interest, unix::AsyncFd};

/// An [`AsyncFd`] that keeps its descriptor: whoever has it can look at it and wait, not put another in its place.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Within a runtime.
    ///
    /// # Errors
    /// The descriptor is of a kind that nobody can wait for, or there is no memory for it.
    pub fn new(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is open until it is dropped and always has the same number. Nobody gets this one out of here, or
        // a reference by which to exchange it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(fd, interest) }?))
    }
}

impl Deref for Watched {
    type Target = AsyncFd<OwnedFd>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[tokio::test]
    async fn a_pipe_is_waited_for_and_a_file_cannot_be() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let watched = Watched::new(reader.try_clone().unwrap().into(), Interest::READABLE).unwrap();
        writer.write_all(b"x").unwrap();
        watched.readable().await.unwrap().clear_ready();
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        assert!(Watched::new(file.into(), Interest::READABLE).is_err());
    }
}
