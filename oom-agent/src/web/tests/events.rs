//! Server-sent events.

use super::{
    api::{self, Shared, incident, shared},
    *,
};
use crate::{sink::json, web::api::SUBSCRIBERS};

/// A stream of events, read piece by piece.
struct Events {
    stream: TcpStream,
    seen: String,
}

impl Events {
    /// `last`: a header line.
    async fn open(address: SocketAddr, last: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, seen: String::new() }
    }

    /// Until it has been sent this.
    async fn until(&mut self, text: &str) {
        let mut buffer = vec![0; 1 << 16];
        let mut from = 0;
        while !self.seen[from..].contains(text) {
            // Only what is new can hold it; all of it is ASCII.
            from = self.seen.len().saturating_sub(text.len());
            let read = timeout(Duration::from_secs(20), self.stream.read(&mut buffer)).await;
            let read = read.unwrap_or_else(|_| panic!("{text} was not sent: {}", self.seen)).unwrap();
            assert!(read > 0, "it was closed: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }
}

fn event(number: u64) -> String {
    let incident = incident(number);
    format!("id: {}\nevent: incident\ndata: {}\n", incident.id, json::line(&incident))
}

#[tokio::test]
async fn what_is_stored_is_told_and_what_was_missed_is_told_first() {
    let (address, _dir, shared) = shared(3);
    let mut new = Events::open(address, "").await;
    new.until(&format!("retry: 3000\nid: {}\n\n", incident(2).id)).await;
    assert!(new.seen.contains("content-type: text/event-stream\r\n"), "{}", new.seen);
    let mut old = Events::open(address, &format!("Last-Event-ID: {}\r\n", incident(0).id)).await;
    old.until(&event(2)).await;
    assert!(old.seen.contains(&event(1)), "{}", old.seen);
    // One that is older than the last one, as those from the log of before a restart.
    for number in [5, 4, 6] {
        shared.put(&incident(number));
        for events in [&mut new, &mut old] {
            events.until(&event(number)).await;
        }
    }
    for events in [new, old] {
        let order: Vec<_> = [5, 4, 6].iter().map(|number| events.seen.find(&event(*number))).collect();
        assert!(order.is_sorted() && !events.seen.contains(&event(0)), "{}", events.seen);
    }
}

#[tokio::test]
async fn an_incident_that_is_gone_is_gone_on_from_by_its_time() {
    let (address, _dir, _shared) = shared(3);
    let gone = crate::incident::id::first_id(4_000_000_000_500);
    let mut events = Events::open(address, &format!("last-event-id: {gone}\r\n")).await;
    events.until(&event(2)).await;
    assert!(events.seen.contains(&event(1)) && !events.seen.contains(&event(0)), "{}", events.seen);
    let wrong =
        say(address, b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 7\r\n\r\n").await;
    assert!(wrong.starts_with("HTTP/1.1 400 ") && wrong.contains("Last-Event-ID"), "{wrong}");
}

#[tokio::test]
async fn so_many_may_listen_and_who_leaves_makes_room() {
    let (address, _dir, _shared) = shared(0);
    let mut listening = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut events = Events::open(address, "").await;
        events.until("retry").await;
        listening.push(events);
    }
    let refused = say(address, &get("/api/v1/events")).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("16 listen already"), "{refused}");
    listening.pop();
    let began = Instant::now();
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        if &head == b"HTTP/1.1 200" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "there is room again");
    }
}

/// The times of connections do not end a stream on which nothing happens; who does not read is left.
#[tokio::test]
async fn an_idle_stream_stays_and_a_slow_one_is_left() {
    // Who reads is not slow, on a busy machine either.
    let times = Times { write: Duration::from_secs(2), ..SHORT };
    let (address, _dir, shared) = api::shared_with(1, Patience { calm: times, crowded: times });
    let mut idle = Events::open(address, "").await;
    idle.until("retry").await;
    let slow = Events::open(address, "").await;
    sleep(SHORT.connection * 2).await;
    let mut big = incident(1);
    big.kernel_log = Some("x".repeat(200_000));
    let mut put = |shared: &Shared, number| {
        big.id = incident(number).id;
        big.boottime_ns = Some(number);
        shared.put(&big);
    };
    for number in 2..30 {
        put(&shared, number);
    }
    idle.until(&format!("id: {}\n", incident(29).id)).await;
    drop(idle);
    let began = Instant::now();
    while shared.counts().slow_readers == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "it is left");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shared.counts().slow_readers, 1);
    drop(slow);
}
