//! `/api/v1/incidents`: what is stored.

use super::{events::ROOM_KIB, listed::Listed, query::Query};
use crate::{
    explain::when::{When, Window},
    filter::{Filter, Selection, WhereArgs},
    incident::id,
    sink::json,
    store::{Most, Page},
    web::{
        ask::{Agent, Ask, List},
        problem::Problem,
        room::Reserved,
        route::App,
    },
};
use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use jiff::Zoned;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Incidents in an answer: where nothing is said, and the most.
pub(super) const LIMIT: (usize, usize) = (50, 200);
/// Incidents that are looked at without others having their turn: some milliseconds.
const ROWS: usize = 256;
/// Bytes of an answer, about.
const BYTES: usize = 512 << 10;
/// How long a store is looked through for one answer. It goes on where it ended.
const LOOK: Duration = Duration::from_secs(2);
/// Room for a list: [`BYTES`], and what the last incident in it is more.
const LIST_KIB: u16 = 768;
/// Parameters of a list.
pub(super) const PARAMETERS: &[&str] =
    &["before", "limit", "since", "until", "cgroup", "pod", "namespace", "victim", "scope", "diagnosis"];

/// `/api/v1/incidents`.
pub(super) async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let list = wanted(query.as_deref())?;
    let reserved = app.room.take(LIST_KIB).await?;
    let page = look(&app.agent, list).await?;
    Ok(answer(reserved, json::any_line(&Listed::of(&page))))
}

/// `/api/v1/incidents/{id}`: the whole JSON.
pub(super) async fn one(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    // What is not UTF-8 is none either.
    let Path(id) = id.unwrap_or(Path(String::new()));
    let reserved = app.room.take(ROOM_KIB).await?;
    let known = find(&app.agent, &id).await?;
    let known = known.ok_or_else(|| Problem::not_found("there is no incident with this id".to_owned()))?;
    Ok(answer(reserved, known))
}

/// The JSON of an incident by its whole id.
///
/// # Errors
/// The store cannot be read.
pub(in crate::web) async fn find(agent: &Agent, id: &str) -> Result<Option<String>, Problem> {
    if id::unix_ms(id).is_none() {
        return Ok(None);
    }
    let asked = agent.ask(|reply| Ask::Incident(id.to_owned(), reply)).await;
    asked.ok_or_else(Problem::busy)?.map_err(Problem::unavailable)
}

/// What a query asks for.
///
/// # Errors
/// It asks for what is not known.
pub(in crate::web) fn wanted(query: Option<&str>) -> Result<List, Problem> {
    let query = Query::parse(query, PARAMETERS)?;
    let now = Zoned::now();
    let when = |name| query.read(name, |value| When::parse(value, &now));
    let [cgroup, pod, namespace] =
        ["cgroup", "pod", "namespace"].map(|name| query.get(name).map(str::to_owned));
    let mut filter = Filter::new(&WhereArgs { cgroup, pod, namespace }, query.get("victim"));
    filter.scope = query.name("scope")?;
    filter.diagnosis = query.name("diagnosis")?;
    let selection = Selection { filter, window: Window { since: when("since")?, until: when("until")? } };
    let before = query.read("before", |value| {
        let id = id::unix_ms(value).map(|_| value.to_owned());
        id.ok_or_else(|| "not the `next` of an answer, nor an incident's id".to_owned())
    })?;
    let limit = query.number("limit", LIMIT.1)?.unwrap_or(LIMIT.0);
    let most = Most { incidents: limit, rows: ROWS, bytes: BYTES };
    Ok(List { selection: Arc::new(selection), before, most })
}

/// Looks through the store in steps: others are answered between them.
///
/// # Errors
/// The store cannot be read.
pub(in crate::web) async fn look(agent: &Agent, mut list: List) -> Result<Page, Problem> {
    let (began, mut all) = (Instant::now(), Page::default());
    let earliest = list.selection.window.earliest_ms();
    loop {
        let step = list.clone();
        let asked = agent.ask(|reply| Ask::List(step, reply)).await.ok_or_else(Problem::busy)?;
        let page = asked.map_err(Problem::unavailable)?;
        list.most.incidents = list.most.incidents.saturating_sub(page.incidents.len());
        list.most.bytes = list.most.bytes.saturating_sub(page.bytes);
        all.unreadable += page.unreadable;
        all.bytes += page.bytes;
        all.full = page.full;
        all.incidents.extend(page.incidents);
        all.next.clone_from(&page.next);
        list.before = page.next;
        // Ids begin with the time.
        if list.before.as_deref().and_then(id::unix_ms) < earliest {
            all.next = None;
            return Ok(all);
        }
        if list.before.is_none() || all.full || began.elapsed() >= LOOK {
            return Ok(all);
        }
    }
}

fn answer(reserved: Reserved, json: String) -> Response {
    let json = reserved.fill(json);
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}
