//! `/api/v1/events`: incidents as they are stored, as server-sent events (HTML Living Standard, 9.2).
//!
//! An event is read from the store when its reader is ready for it. So whoever is slow or comes back misses nothing and
//! keeps nothing in memory: not even a queue. Who does not read at all is left by [`crate::web::patient`].

use super::query::Query;
use crate::{
    incident::id,
    web::{
        ask::{Agent, Ask},
        problem::Problem,
        room::Room,
        route::App,
    },
};
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{sleep, sleep_until, timeout},
};

/// Who may listen at a time.
pub(in crate::web) const SUBSCRIBERS: usize = 16;
/// Between signs of life while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After this a stream ends. Whoever comes back with the last id goes on where it was.
const LONGEST: Duration = Duration::from_hours(1);
/// Room for one event: the store keeps no incident that is larger.
pub(super) const ROOM_KIB: u16 = 1120;

/// The id of the incident that was stored last.
pub type News = watch::Receiver<Option<String>>;

/// Who listens.
#[derive(Clone, Debug)]
pub(in crate::web) struct Subscribers {
    news: News,
    places: Arc<Semaphore>,
}

impl Subscribers {
    pub(in crate::web) fn new(news: News) -> Self {
        Self { news, places: Arc::new(Semaphore::new(SUBSCRIBERS)) }
    }

    /// How many there are.
    pub(in crate::web) fn number(&self) -> usize {
        SUBSCRIBERS - self.places.available_permits()
    }
}

/// `/api/v1/events`.
pub(super) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let mut news = app.subscribers.news.clone();
    let newest = news.borrow_and_update().clone();
    let last = match headers.get("last-event-id").map(HeaderValue::to_str) {
        Some(Ok(id)) if id::unix_ms(id).is_some() => Some(id.to_owned()),
        Some(Ok("")) | None => newest,
        Some(_) => return Err(Problem::parameter("Last-Event-ID", "not an incident's id".to_owned())),
    };
    let Ok(place) = Arc::clone(&app.subscribers.places).try_acquire_owned() else {
        app.counts.refuse_subscriber();
        return Err(Problem::unavailable(format!("{SUBSCRIBERS} listen already, there is no room for more")));
    };
    let (frames, stream) = mpsc::channel(1);
    let App { agent, room, .. } = app;
    tokio::spawn(Subscriber { agent, room, news, last, frames, _place: place }.run());
    let kind = HeaderValue::from_static("text/event-stream");
    Ok(([(CONTENT_TYPE, kind)], Body::new(Stream(stream))).into_response())
}

struct Subscriber {
    agent: Agent,
    room: Room,
    news: News,
    /// What it knows already.
    last: Option<String>,
    frames: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Subscriber {
    /// Until it has gone, or long enough.
    async fn run(mut self) {
        let end = tokio::time::Instant::now() + LONGEST;
        let frames = self.frames.clone();
        tokio::select! {
            _ = self.tell() => {}
            () = sleep_until(end) => {}
            () = frames.closed() => {}
        }
    }

    /// Everything after the last one that it knows, then what comes. `None`: it has gone.
    async fn tell(&mut self) -> Option<Infallible> {
        // An id without data is no event, but where to go on (9.2.6).
        let id = self.last.as_deref().map(|id| format!("id: {id}\n")).unwrap_or_default();
        self.frames.send(format!("retry: 3000\n{id}\n").into()).await.ok()?;
        loop {
            // Before it is looked for, so that what comes meanwhile is looked for again.
            self.news.mark_unchanged();
            match self.next().await {
                Ok(Some((id, frame))) => {
                    self.frames.send(frame).await.ok()?;
                    self.last = Some(id);
                }
                Ok(None) => {
                    let news = timeout(HEARTBEAT, self.news.changed());
                    match news.await {
                        Ok(changed) => changed.ok()?,
                        Err(_) => self.frames.send(Bytes::from_static(b":\n\n")).await.ok()?,
                    }
                }
                // The agent is busy, or its disk: it is there later.
                Err(_) => {
                    sleep(HEARTBEAT / 5).await;
                    self.frames.send(Bytes::from_static(b":\n\n")).await.ok()?;
                }
            }
        }
    }

    /// The next event, and the id of it.
    async fn next(&self) -> Result<Option<(String, Bytes)>, Problem> {
        let reserved = self.room.take(ROOM_KIB).await?;
        let last = self.last.clone();
        let asked = self.agent.ask(|reply| Ask::Next(last, reply)).await.ok_or_else(Problem::busy)?;
        let next = asked.map_err(Problem::unavailable)?;
        Ok(next.map(|(id, json)| {
            let mut frame = Vec::with_capacity(json.len() + 64);
            for part in ["id: ", &id, "\nevent: incident\ndata: ", json.trim_end(), "\n\n"] {
                frame.extend_from_slice(part.as_bytes());
            }
            (id, reserved.fill(frame))
        }))
    }
}

/// A body that is what comes from a channel.
struct Stream(mpsc::Receiver<Bytes>);

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
