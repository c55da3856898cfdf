//! `/api/v1/rank`: who would be killed now.

use super::query::Query;
use crate::{
    rank::{self, answer::Answer},
    startup::NotPermitted,
    web::{
        problem::Problem,
        room::{Reserved, Room},
        route::App,
        worker::Worker,
    },
};
use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout},
};

/// Candidates in an answer: where nothing is said, and the most.
pub(super) const TOP: (usize, usize) = (100, 1000);
/// Room for an answer: [`TOP`] candidates with long cgroups.
const ROOM_KIB: u16 = 1024;
/// How long a look at the machine is good for others who ask the same.
const GOOD: Duration = Duration::from_secs(2);
/// Different looks that are kept so long.
const LOOKS: usize = 4;
/// How long one waits for others' looks.
const WAIT: Duration = Duration::from_secs(10);

/// Its parameters.
pub(super) const PARAMETERS: &[&str] = &["cgroup", "top"];

/// The last looks. Whoever holds the lock looks; there is one at a time.
#[derive(Clone, Debug)]
pub(in crate::web) struct Looks(Arc<Mutex<Vec<Look>>>, Worker);

#[derive(Debug)]
struct Look {
    asked: (Option<String>, Form),
    at: Instant,
    text: Bytes,
}

/// What a look is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Form {
    /// JSON with so many candidates.
    Json(usize),
    /// A page.
    Page,
}

/// `/api/v1/rank`.
pub(super) async fn rank(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), PARAMETERS)?;
    let top = query.number("top", TOP.1)?.unwrap_or(TOP.0);
    let make = move |answer: &Answer| rank::json(answer, top);
    let json = app.looks.get(&app.room, query.get("cgroup"), Form::Json(top), make).await?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response())
}

impl Looks {
    pub(in crate::web) fn new(worker: Worker) -> Self {
        Self(Arc::default(), worker)
    }

    /// A text made of a look, or of the one before where that is still good.
    pub(in crate::web) async fn get(
        &self,
        room: &Room,
        cgroup: Option<&str>,
        form: Form,
        make: impl FnOnce(&Answer) -> String + Send + 'static,
    ) -> Result<Bytes, Problem> {
        let asked = (cgroup.map(str::to_owned), form);
        let locked = timeout(WAIT, Arc::clone(&self.0).lock_owned());
        let mut looks = locked.await.map_err(|_| Problem::unavailable("others ask as well".to_owned()))?;
        looks.retain(|look| look.at.elapsed() < GOOD);
        if let Some(look) = looks.iter().find(|look| look.asked == asked) {
            return Ok(look.text.clone());
        }
        if looks.len() == LOOKS {
            looks.remove(0);
        }
        let reserved = room.take(ROOM_KIB).await?;
        // It goes on, and others get it, where who asked has gone.
        let done = self.1.run(move || look(looks, asked, reserved, make)).await;
        done.ok_or_else(Problem::busy)?
    }
}

fn look(
    mut looks: OwnedMutexGuard<Vec<Look>>,
    asked: (Option<String>, Form),
    reserved: Reserved,
    make: impl FnOnce(&Answer) -> String,
) -> Result<Bytes, Problem> {
    let answer = rank::now(asked.0.as_deref()).map_err(|error| {
        let why = format!("{error:#}");
        match asked.0 {
            Some(_) if !error.is::<NotPermitted>() => Problem::parameter("cgroup", why),
            _ => Problem::unavailable(why),
        }
    })?;
    let text = reserved.fill(make(&answer));
    looks.push(Look { asked, at: Instant::now(), text: text.clone() });
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    async fn json(looks: &Looks, room: &Room, cgroup: Option<&str>, top: usize) -> Result<Bytes, Problem> {
        looks.get(room, cgroup, Form::Json(top), move |answer| rank::json(answer, top)).await
    }

    #[tokio::test]
    async fn a_hundred_who_ask_the_same_cost_one_look() {
        let (looks, room) = (Looks::new(Worker::start().unwrap()), Room::default());
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let (looks, room) = (looks.clone(), room.clone());
                tokio::spawn(async move { json(&looks, &room, None, 3).await.unwrap() })
            })
            .collect();
        let mut seen = Vec::new();
        for asked in asked {
            seen.push(asked.await.unwrap().as_ptr());
        }
        seen.dedup();
        assert_eq!(seen.len(), 1);
        let other = json(&looks, &room, None, 1).await.unwrap();
        let other: Value = serde_json::from_slice(&other).unwrap();
        assert_eq!(other["now"]["candidates"].as_array().unwrap().len(), 1);
        assert_eq!(looks.0.lock().await.len(), 2);
        for top in 5..10 {
            json(&looks, &room, None, top).await.unwrap();
        }
        assert_eq!(looks.0.lock().await.len(), LOOKS);
    }

    #[tokio::test]
    async fn a_cgroup_that_is_none_is_said() {
        let asked =
            json(&Looks::new(Worker::start().unwrap()), &Room::default(), Some("/no/such/../cgroup"), 3)
                .await;
        let problem = serde_json::to_value(asked.unwrap_err()).unwrap();
        // Where there is no memory controller, nobody can say.
        assert!(problem["status"] == 503 || problem["parameter"] == "cgroup", "{problem}");
    }
}
