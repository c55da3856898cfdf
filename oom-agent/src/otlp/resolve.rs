//! Addresses of a name, from the system's resolver.
//!
//! `getaddrinfo` blocks, for long where no name server answers, so it has a thread of its own, from the start: in the
//! worst moment of the machine no thread can be made. What it needs of files is in `sandbox/files.rs`.

use anyhow::{Context as _, Result, bail};
use std::{
    io::{Error, ErrorKind},
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    thread,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Addresses that are tried, at most.
const MOST: usize = 8;

/// For a name server, before what was found last is taken.
const PATIENCE: Duration = Duration::from_secs(4);

type Reply = oneshot::Sender<Result<Vec<SocketAddr>, Error>>;

/// Where a collector is.
#[derive(Debug)]
pub struct Resolver {
    host: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Address(SocketAddr),
    Name {
        ask: mpsc::Sender<Reply>,
        /// What it was last.
        last: Vec<SocketAddr>,
    },
}

impl Resolver {
    /// For this host, a name or an address.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub fn new(host: &str, port: u16) -> Result<Self> {
        let kind = match host.parse::<IpAddr>() {
            Ok(address) => Kind::Address(SocketAddr::new(address, port)),
            Err(_) => Kind::Name { ask: start(host.to_owned(), port)?, last: Vec::new() },
        };
        Ok(Self { host: host.to_owned(), kind })
    }

    /// The addresses now. Where no name server says so, what they were last. Cancel safe.
    ///
    /// # Errors
    /// There is none.
    pub async fn addresses(&mut self) -> Result<Vec<SocketAddr>> {
        let (ask, last) = match &mut self.kind {
            Kind::Address(address) => return Ok(vec![*address]),
            Kind::Name { ask, last } => (ask, last),
        };
        let (reply, answer) = oneshot::channel();
        // Where it is still looking for somebody who has lost patience, name servers are slow.
        let answer = match ask.try_send(reply) {
            Ok(()) => timeout(PATIENCE, answer).await.ok(),
            Err(_) => None,
        };
        let late = || Ok(Err(ErrorKind::TimedOut.into()));
        let answer = answer.unwrap_or_else(late).context("the resolver's thread has ended")?;
        match answer {
            Ok(found) if !found.is_empty() => last.clone_from(&found),
            Ok(_) => bail!("{} has no address", self.host),
            Err(error) if last.is_empty() => {
                return Err(error).with_context(|| format!("cannot find the address of {}", self.host));
            }
            Err(_) => {}
        }
        Ok(last.clone())
    }
}

fn start(host: String, port: u16) -> Result<mpsc::Sender<Reply>> {
    let (sender, mut questions) = mpsc::channel::<Reply>(1);
    let work = move || {
        while let Some(reply) = questions.blocking_recv() {
            if !reply.is_closed() {
                let found = (host.as_str(), port).to_socket_addrs();
                drop(reply.send(found.map(|all| all.take(MOST).collect())));
            }
        }
    };
    thread::Builder::new().name("oom-agent-dns".to_owned()).spawn(work).context("cannot start a thread")?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_themselves_and_names_are_looked_up() {
        for (host, address) in [("127.0.0.1", "127.0.0.1:4317"), ("::1", "[::1]:4317")] {
            let mut resolver = Resolver::new(host, 4317).unwrap();
            assert_eq!(resolver.addresses().await.unwrap(), [address.parse().unwrap()]);
        }
        let mut resolver = Resolver::new("localhost", 4317).unwrap();
        let found = resolver.addresses().await.unwrap();
        assert!(found.iter().all(|it| it.ip().is_loopback() && it.port() == 4317) && !found.is_empty());
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_any_more_is_where_it_was() {
        let mut resolver = Resolver::new("no-such-host.invalid", 1).unwrap();
        let error = format!("{:#}", resolver.addresses().await.unwrap_err());
        assert!(error.starts_with("cannot find the address of no-such-host.invalid: "), "{error}");
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        if let Kind::Name { last, .. } = &mut resolver.kind {
            last.push(address);
        }
        assert_eq!(resolver.addresses().await.unwrap(), [address]);
    }
}
