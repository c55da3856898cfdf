//! Follows `/var/log/pods` and `/var/log/containers`: what a pod or container that came or went is called.
//!
//! The kernel tells of each file that is made or removed, with its name (inotify), so a container that is gone in the next
//! moment is known all the same, and without one nothing wakes up. What is in the logs is not looked at.

use super::names::{Names, files};
use crate::watched::Watched;
use anyhow::{Context as _, Result};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::fs::read_dir;
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use tokio::io::Interest;

/// Entries of a directory that are read, at most.
const ENTRIES: usize = 16_384;
/// Bytes of events that are read at once: at least one with the longest name.
const BUFFER: usize = 4096;

/// Where the kubelet makes them at its first start, which may be after the agent's.
const ABOVE: &str = "var/log";
/// The directories.
const DIRECTORIES: [(&str, Learn); 2] =
    [("var/log/pods", Learn::Pods), ("var/log/containers", Learn::Containers)];

/// What a directory's entries are called after.
#[derive(Clone, Copy, Debug)]
enum Learn {
    Pods,
    Containers,
}

impl Learn {
    fn came(self, name: &str, names: &mut Names) {
        match self {
            Self::Pods => {
                if let Some((uid, pod)) = files::pod(name) {
                    names.pod(uid, pod);
                }
            }
            Self::Containers => {
                if let Some((id, container)) = files::container(name) {
                    names.container(id, container);
                }
            }
        }
    }

    fn went(self, name: &str, names: &mut Names) {
        match self {
            Self::Pods => {
                if let Some((uid, _)) = files::pod(name) {
                    names.pod_gone(uid);
                }
            }
            Self::Containers => {
                if let Some((id, _)) = files::container(name) {
                    names.container_gone(id);
                }
            }
        }
    }
}

/// The kubelet's log directories.
#[derive(Debug)]
pub struct Logs {
    events: Watched,
    directories: Vec<Directory>,
    above: PathBuf,
    /// The watch of what is above them, while one of them is not there.
    above_watch: Option<i32>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    learn: Learn,
    /// The watch. `None`: it is not there, or may not be watched.
    watch: Option<i32>,
}

impl Logs {
    /// Nothing is watched yet. Within a tokio runtime. `root`: what stands for `/`.
    ///
    /// # Errors
    /// If there is no inotify to be had.
    pub fn new(root: &Path) -> Result<Self> {
        const FAILED: &str = "cannot follow directories (inotify)";
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let events = events.map_err(io::Error::from).context(FAILED)?;
        let events = Watched::new(events, Interest::READABLE).context(FAILED)?;
        let directory =
            |(path, learn): &(&str, Learn)| Directory { path: root.join(path), learn: *learn, watch: None };
        let directories = DIRECTORIES.iter().map(directory).collect();
        Ok(Self { events, directories, above: root.join(ABOVE), above_watch: None })
    }

    /// Watches what is there and is not watched, and reads it. Whether anything is.
    pub fn watch(&mut self, names: &mut Names) -> bool {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        if !self.watches_all() && self.above_watch.is_none() {
            let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            self.above_watch = inotify::add_watch(self.events.get_ref(), &self.above, flags).ok();
        }
        for directory in self.directories.iter_mut().filter(|it| it.watch.is_none()) {
            directory.watch = inotify::add_watch(self.events.get_ref(), &directory.path, flags).ok();
            // After that nothing that comes is missed.
            if directory.watch.is_some() {
                directory.list(names);
            }
        }
        if self.watches_all()
            && let Some(above) = self.above_watch.take()
        {
            let _ = inotify::remove_watch(self.events.get_ref(), above);
        }
        self.directories.iter().any(|it| it.watch.is_some())
    }

    /// Nothing that comes is missed.
    pub fn watches_all(&self) -> bool {
        self.directories.iter().all(|it| it.watch.is_some())
    }

    /// Reads what is there, once. Whether anything could be.
    pub fn list(root: &Path, names: &mut Names) -> bool {
        let mut any = false;
        for (path, learn) in DIRECTORIES {
            any |= Directory { path: root.join(path), learn, watch: None }.list(names);
        }
        any
    }

    /// Waits until something came or went, which is to be read then.
    ///
    /// # Errors
    /// If epoll fails.
    pub async fn changed(&self) -> Result<()> {
        let mut ready = self.events.readable().await.context("cannot wait for changes of directories")?;
        ready.clear_ready();
        Ok(())
    }

    /// Reads what came and went until now.
    pub fn read(&mut self, names: &mut Names) {
        let Self { events, directories, above: _, above_watch } = self;
        let mut look = false;
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(events.get_ref(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // The usual end. After any other what was there is known; what comes is not, and is told of as such.
                Err(_) => break,
            };
            let happened = event.events();
            if happened.contains(ReadFlags::QUEUE_OVERFLOW) {
                directories.iter().filter(|it| it.watch.is_some()).for_each(|it| {
                    it.list(names);
                });
                continue;
            }
            let gone = happened.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF);
            if *above_watch == Some(event.wd()) {
                look = true;
                *above_watch = above_watch.filter(|_| !gone);
                continue;
            }
            let Some(directory) = directories.iter_mut().find(|it| it.watch == Some(event.wd())) else {
                continue;
            };
            if gone {
                (directory.watch, look) = (None, true);
                continue;
            }
            let Some(name) = event.file_name().and_then(|name| name.to_str().ok()) else { continue };
            if happened.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                directory.learn.came(name, names);
            } else if happened.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
                directory.learn.went(name, names);
            }
        }
        if look {
            self.watch(names);
        }
    }
}

impl Directory {
    fn list(&self, names: &mut Names) -> bool {
        let Ok(entries) = read_dir(&self.path) else { return false };
        for entry in entries.take(ENTRIES).flatten() {
            if let Some(name) = entry.file_name().to_str() {
                self.learn.came(name, names);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::path::parse;
    use std::fs;
    use std::os::unix::fs::symlink;

    const ID: &str = "9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766";
    const UID: &str = "3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f";

    /// `NAMESPACE/POD/CONTAINER` of a container.
    fn named(names: &Names) -> String {
        let mut identity = parse(&format!("/kubepods/burstable/pod{UID}/{ID}"));
        names.name(&mut identity);
        let (pod, container) = (identity.pod.unwrap(), identity.container.unwrap());
        [&pod.namespace, &pod.name, &container.name].map(|it| it.as_deref().unwrap_or("-")).join("/")
    }

    #[tokio::test]
    async fn what_comes_is_known_and_stays_known() {
        let root = std::env::temp_dir().join(format!("oom-agent-logs-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (pods, containers) = (root.join("var/log/pods"), root.join("var/log/containers"));
        let mut names = Names::default();
        let mut logs = Logs::new(&root).unwrap();
        assert!(!logs.watch(&mut names), "no kubelet has run here");

        // What is there when the watch begins.
        let pod = pods.join(format!("payments_checkout-7c9f_{UID}"));
        fs::create_dir_all(&pod).unwrap();
        assert!(logs.watch(&mut names));
        assert_eq!(named(&names), "payments/checkout-7c9f/-");
        // Made after the watch began: by its first container.
        fs::create_dir_all(&containers).unwrap();
        logs.changed().await.unwrap();
        logs.read(&mut names);
        assert!(logs.watches_all());

        // A container that is gone before anybody looks.
        let link = containers.join(format!("checkout-7c9f_payments_app-{ID}.log"));
        symlink(pod.join("app/0.log"), &link).unwrap();
        fs::remove_file(&link).unwrap();
        fs::remove_dir(&pod).unwrap();
        logs.changed().await.unwrap();
        logs.read(&mut names);
        assert_eq!(named(&names), "payments/checkout-7c9f/app");
        tokio::select! {
            biased;
            _ = logs.changed() => panic!("everything was read"),
            () = tokio::task::yield_now() => {}
        }

        // The directory itself is made anew.
        fs::remove_dir_all(&containers).unwrap();
        logs.read(&mut names);
        fs::create_dir_all(&containers).unwrap();
        let other = ID.replace('9', "8");
        fs::write(containers.join(format!("x_y_z-{other}.log")), "").unwrap();
        logs.changed().await.unwrap();
        logs.read(&mut names);
        let mut identity = parse(&format!("/k8s.io/{other}"));
        names.name(&mut identity);
        assert_eq!(identity.container.unwrap().name.as_deref(), Some("z"));
        fs::remove_dir_all(&root).unwrap();
    }
}
