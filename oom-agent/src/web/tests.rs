//! Bounds, with sockets.

mod access;
mod api;
mod events;
mod pages;

use super::*;
use crate::{kernel::host::test_root::TestRoot, store::Store};
use axum::body::Bytes;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};

const SHORT: Times = Times {
    headers: Duration::from_millis(300),
    write: Duration::from_millis(300),
    connection: Duration::from_millis(1500),
};
/// The times where there is room: long enough to be told from those of a crowd.
const LONG: Times = Times { headers: Duration::from_mins(1), write: Duration::from_mins(1), ..SHORT };

/// Everybody may come in.
fn open() -> Arc<Access> {
    Arc::new(Access::open(None, None).unwrap())
}

/// A server whose `/metrics` has this many bytes.
fn server(bytes: usize) -> SocketAddr {
    server_with(bytes, Patience { calm: SHORT, crowded: SHORT })
}

fn server_with(bytes: usize, patience: Patience) -> SocketAddr {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = address(&listener).unwrap();
    let (sender, mut asks) = mpsc::channel::<Ask>(16);
    let body = Bytes::from(vec![b'x'; bytes]);
    let (_, news) = watch::channel(None);
    tokio::spawn(serve(listener, Server::new(sender, news, open(), patience).unwrap()));
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Metrics(reply) => {
                    drop(reply.send(Answer { good: true, kind: "text/plain", body: body.clone() }));
                }
                Ask::Healthy(reply) => drop(reply.send(Answer::text(true, "ok\n".into()))),
                Ask::Ready(reply) => drop(reply.send(Answer::text(false, "no\n".into()))),
                Ask::List(_, reply) => drop(reply.send(Err("none here".into()))),
                Ask::About(reply) => drop(reply.send(crate::page::About::default())),
                Ask::Incident(_, reply) => drop(reply.send(Err("none here".into()))),
                Ask::Next(_, reply) => drop(reply.send(Err("none here".into()))),
            }
        }
    });
    address
}

/// What comes back until the connection is closed.
async fn say(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be closed before all is taken.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("it is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn paths_and_methods() {
    let address = server(3);
    for (request, begins, ends) in [
        (get("/metrics"), "HTTP/1.1 200 OK\r\n", "\r\n\r\nxxx"),
        (get("/metrics?a=b"), "HTTP/1.1 200 OK\r\n", "\r\n\r\nxxx"),
        (get("/healthz"), "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n"),
        (get("/readyz"), "HTTP/1.1 503 ", "\r\n\r\nno\n"),
        (get("/../etc/passwd"), "HTTP/1.1 404 ", "/api/v1/incidents\n"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n".into(), "HTTP/1.0 200 OK\r\n", "\r\n\r\n"),
        (b"DELETE /metrics HTTP/1.0\r\n\r\n".into(), "HTTP/1.0 405 ", "only GET and HEAD\n"),
        (
            b"POST /metrics HTTP/1.1\r\nContent-Length: 999999999\r\n\r\nxx".into(),
            "HTTP/1.1 413 ",
            "a body\n",
        ),
        (b"GET /healthz HTTP/1.1\r\nContent-Length: 1\r\n\r\nx".into(), "HTTP/1.1 413 ", "a body\n"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".into(), "HTTP/1.1 413 ", "a body\n"),
        (b"GET /healthz HTTP/1.0\r\nContent-Length: 0\r\n\r\n".into(), "HTTP/1.0 200 ", "ok\n"),
        (b"garbage\r\n\r\n".into(), "HTTP/1.1 400 ", "\r\n\r\n"),
        (
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, b'\r', b'\n', b'\r', b'\n'],
            "HTTP/1.1 400 ",
            "\r\n\r\n",
        ),
    ] {
        let answer = say(address, &request).await;
        let asked = String::from_utf8_lossy(&request);
        assert!(answer.starts_with(begins) && answer.ends_with(ends), "{asked}: {answer}");
    }
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_bytes() {
    let address = server(3);
    let many = "X: y\r\n".repeat(HEADERS + 1);
    let huge = format!("X: {}\r\n", "y".repeat(HEADERS_BYTES * 4));
    for headers in [many, huge] {
        let request = format!("GET /healthz HTTP/1.1\r\n{headers}\r\n");
        let answer = say(address, request.as_bytes()).await;
        // Where much was not read, the kernel may throw the answer away with it.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let path = format!("/{}", "y".repeat(HEADERS_BYTES * 4));
    let answer = say(address, &get(&path)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn who_says_nothing_is_left() {
    let address = server(3);
    let began = Instant::now();
    for request in [&b""[..], b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        say(address, request).await;
    }
    assert!(began.elapsed() >= SHORT.headers, "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_does_not_read_is_left_and_others_are_answered_meanwhile() {
    // More than the kernel's buffers of both sides take.
    let address = server(32 << 20);
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&get("/metrics")).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS - 2 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(say(address, &get("/healthz")).await.ends_with("ok\n"));
    sleep(SHORT.write * 3).await;
    // It was sent a part, and then no more.
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(20), slow.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(rest.len() < 32 << 20, "{}", rest.len());
}

#[tokio::test]
async fn who_finds_no_room_waits_and_is_answered() {
    let address = server(3);
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS * 2 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(say(address, &get("/healthz")).await.ends_with("ok\n"));
}

#[tokio::test]
async fn in_a_crowd_half_of_the_connections_change_fast() {
    let address = server_with(32 << 20, Patience { calm: LONG, crowded: SHORT });
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS * 2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&get("/metrics")).await.unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    assert!(say(address, &get("/healthz")).await.ends_with("ok\n"));
    assert!(began.elapsed() < LONG.write / 4, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_may_be_used_again_but_not_for_ever() {
    let address = server(3);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    let mut answers = 0;
    let mut buffer = [0; 1024];
    loop {
        if stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_err() {
            break;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => answers += 1,
        }
        sleep(Duration::from_millis(50)).await;
        assert!(began.elapsed() < Duration::from_secs(20), "it is closed");
    }
    assert!(answers > 2 && began.elapsed() >= SHORT.connection, "{answers} {:?}", began.elapsed());
}

#[tokio::test]
async fn an_address_that_is_taken_is_said() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = format!("{:#}", listen(address(&listener).unwrap()).unwrap_err());
    assert!(error.contains("another oom-agent may be running") && error.contains("--listen"), "{error}");
    let error = format!("{:#}", listen("192.0.2.1:9758".parse().unwrap()).unwrap_err());
    assert!(error.contains("no such address"), "{error}");
}
