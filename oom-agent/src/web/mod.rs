//! HTTP: who may connect, for how long, and what is answered. The only place that knows HTTP.
//!
//! Whoever can reach the port may be hostile or merely broken: connections, headers and times are bounded, bodies are not
//! read. What needs the agent's state is asked of the one who owns it, by an [`Ask`]: there is nothing to lock, and an
//! agent that hangs is not healthy.
//!
//! # Layout
//! - [`listen`], [`serve`]: connections. Below them hyper by hand, for the bounds; above them axum.
//! - `patient`: a reader that does not read is left.
//! - `route`: which path is what. `api`: JSON. `page`: HTML.
//! - [`Access`]: TLS, passwords, the token.
//! - [`Ask`]: what the agent is asked. `problem`: why there is no answer. `room`: how much of answers may wait in memory.
//! - `worker`: a thread for what takes long.
//! - [`Counts`]: what is counted.

mod access;
mod api;
mod ask;
mod counts;
mod page;
mod patient;
mod problem;
mod room;
mod route;
mod worker;

pub use access::Access;
pub use api::News;
pub use ask::{Answer, Ask, List, Read, Reply};
pub use counts::Counts;

use anyhow::{Context as _, Result};
use api::{Looks, Subscribers};
use ask::Agent;
use axum::Router;
use counts::Counters;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use patient::Patient;
use room::Room;
use route::{App, router};
use std::{io::ErrorKind, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use worker::Worker;

/// Connections at a time. Others wait in the kernel's queue.
const CONNECTIONS: usize = 128;
/// Those that wait there.
const BACKLOG: u32 = 1024;
/// Bytes that the kernel keeps of an answer: they count against the agent's cgroup.
const SEND_BUFFER: u32 = 32 << 10;
/// Bytes of a request's line and headers.
const HEADERS_BYTES: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;

/// How long others may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until a request's headers are there: also how long a connection may be idle.
    pub headers: Duration,
    /// From the first byte of an answer that could not be sent at once until it is sent.
    pub write: Duration,
    /// After this a connection is closed as soon as it has its answer.
    pub connection: Duration,
}

/// How long they may take by how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For as many connections as find half of the room free.
    pub calm: Times,
    /// For the others: whoever waits for room waits for one of these.
    pub crowded: Times,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            calm: Times { headers: seconds(10), write: seconds(10), connection: seconds(60) },
            crowded: Times { headers: seconds(1), write: seconds(1), connection: seconds(3) },
        }
    }
}

/// Takes the address, within a tokio runtime. Nobody is answered yet.
///
/// # Errors
/// If it is taken, or none of this machine's.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let taken = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // After a restart connections of the last run may still be closing.
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    taken().map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => {
                "the address is in use: another oom-agent may be running; choose another with --listen"
            }
            ErrorKind::AddrNotAvailable => "this machine has no such address; choose another with --listen",
            ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE; choose another with --listen"
            }
            _ => "choose another address with --listen",
        };
        anyhow::Error::new(error).context(format!("cannot listen on {address}: {advice}"))
    })
}

/// The address that was taken, with the port that the kernel chose for port 0.
///
/// # Errors
/// If the kernel does not say.
pub fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().context("cannot read the address that is listened on")
}

/// Answers. What it does not know it asks.
#[derive(Clone, Debug)]
pub struct Server {
    app: App,
    patience: Patience,
}

impl Server {
    /// `asks`: to the one who knows. `news`: which incident was stored last.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub fn new(asks: mpsc::Sender<Ask>, news: News, access: Arc<Access>, patience: Patience) -> Result<Self> {
        let worker = Worker::start()?;
        let app = App {
            agent: Agent(asks),
            room: Room::default(),
            looks: Looks::new(worker.clone()),
            worker,
            subscribers: Subscribers::new(news),
            counts: Counters::default(),
            access,
            loopback: false,
        };
        Ok(Self { app, patience })
    }

    /// What it counted.
    pub fn counts(&self) -> Counts {
        self.app.counts.get(&self.app.subscribers)
    }
}

/// Answers, for ever.
pub async fn serve(listener: TcpListener, server: Server) {
    let Server { mut app, patience } = server;
    app.loopback = address(&listener).is_ok_and(|address| address.ip().is_loopback());
    let (counts, access) = (app.counts.clone(), Arc::clone(&app.access));
    let router = router(app);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // It is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole.
                let _ = stream.set_nodelay(true);
                let (router, counts, tls) = (router.clone(), counts.clone(), access.rules().tls.clone());
                let crowded = room.available_permits() < CONNECTIONS / 2;
                let times = if crowded { patience.crowded } else { patience.calm };
                tokio::spawn(async move {
                    connection(Patient::new(stream, times.write, counts), tls, router, times).await;
                    drop(permit);
                });
            }
            // One that was gone before it was accepted; or there are no descriptors left, which passes.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: Patient, tls: Option<Arc<ServerConfig>>, router: Router, times: Times) {
    match tls {
        None => talk(stream, router, times).await,
        Some(tls) => {
            // Who does not get that far need not be told why.
            if let Ok(Ok(stream)) = timeout(times.headers, TlsAcceptor::from(tls).accept(stream)).await {
                talk(stream, router, times).await;
            }
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, times: Times) {
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(times.headers)
        .max_buf_size(HEADERS_BYTES)
        .max_headers(HEADERS);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // How it ended is the other side's business.
    tokio::select! {
        _ = &mut connection => return,
        () = sleep(times.connection) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// For tests with bytes that others may write.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz {
    use super::*;
    use std::cell::RefCell;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        runtime::{Builder, Runtime},
    };

    /// The file that exporters share.
    pub(crate) fn config(text: &str) {
        access::try_config(text);
    }

    thread_local! {
        static SERVER: RefCell<Option<(Runtime, Router)>> = const { RefCell::new(None) };
    }

    fn server() -> Result<(Runtime, Router)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (asks, mut asked) = mpsc::channel(16);
        // Nobody knows anything.
        runtime.spawn(async move { while asked.recv().await.is_some() {} });
        let (_, news) = tokio::sync::watch::channel(None);
        let access = Arc::new(Access::open(None, None)?);
        let server = Server::new(asks, news, access, Patience::default())?;
        Ok((runtime, router(server.app)))
    }

    /// What a client sends until it has nothing more to say.
    pub(crate) fn request(bytes: &[u8]) {
        SERVER.with_borrow_mut(|server| {
            if server.is_none() {
                *server = self::server().ok();
            }
            let Some((runtime, router)) = server else { return };
            let answer = runtime.block_on(async {
                let (mut client, stream) = duplex(1 << 20);
                let talk = tokio::spawn(talk(stream, router.clone(), Patience::default().crowded));
                // It may be closed before all is taken.
                let _ = client.write_all(bytes).await;
                let _ = client.shutdown().await;
                let mut answer = Vec::new();
                // A stream of events does not end by itself.
                let _ = timeout(Duration::from_millis(5), client.read_to_end(&mut answer)).await;
                talk.abort();
                answer
            });
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1."),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        });
    }
}

#[cfg(test)]
mod tests;
