//! The pages: what [`crate::page`] makes, for browsers. What is wrong is answered as a page, too.

use super::{
    api::{
        incidents::{find, look},
        query::Query,
        rank::Form,
    },
    ask::{Ask, List},
    problem::Problem,
    route::App,
};
use crate::{
    filter::{Filter, Selection, Words},
    incident::{id, model::Incident},
    page::{self, About, POLICY, assets},
    rank::answer::Answer,
    store::Most,
};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

/// Incidents in a list.
const LISTED: usize = 50;
/// Incidents that are looked at without others having their turn.
const ROWS: usize = 256;
/// Bytes of the incidents in a list, as JSON: of group kills of thousands it has less of them.
const BYTES: usize = 256 << 10;
/// Room for a list, and for what it was made of.
const LIST_KIB: u16 = 768;
/// Room for an incident: its JSON, what that was read to, the page.
const INCIDENT_KIB: u16 = 2048;
/// Bytes of what is searched for.
const QUERY: usize = 200;

/// All of their paths.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(list))
        .route("/incidents/{id}", get(incident))
        .route("/rank", get(ranking))
        .route("/docs/oom-killer", get(docs))
        .layer(middleware::map_response(guard))
        .route("/assets/{name}", get(asset))
}

async fn list(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let about = about(&app).await;
    let query = match Query::parse(query.as_deref(), &["q", "before"]) {
        Ok(query) => query,
        Err(problem) => return wrong(&about, &problem),
    };
    let text = query.get("q").unwrap_or_default().trim();
    let text = &text[..text.floor_char_boundary(QUERY)];
    let before = query.get("before").filter(|before| !before.is_empty());
    if before.is_some_and(|before| id::unix_ms(before).is_none()) {
        return failed(StatusCode::BAD_REQUEST, &about, "Not a page of the list", "before= is not an id.");
    }
    let mut filter = Filter::default();
    filter.words = Words::of(text);
    let list = List {
        selection: Arc::new(Selection { filter, ..Selection::default() }),
        before: before.map(str::to_owned),
        most: Most { incidents: LISTED, rows: ROWS, bytes: BYTES },
    };
    let reserved = match app.room.take(LIST_KIB).await {
        Ok(reserved) => reserved,
        Err(problem) => return wrong(&about, &problem),
    };
    match look(&app.agent, list).await {
        Ok(found) => html(reserved.fill(page::list::page(
            &about,
            &page::list::List {
                incidents: &found.incidents,
                next: found.next.as_deref(),
                unreadable: found.unreadable,
                query: text,
                before,
            },
        ))),
        Err(problem) => wrong(&about, &problem),
    }
}

async fn incident(State(app): State<App>, Path(id): Path<String>) -> Response {
    let about = about(&app).await;
    let reserved = match app.room.take(INCIDENT_KIB).await {
        Ok(reserved) => reserved,
        Err(problem) => return wrong(&about, &problem),
    };
    let json = match find(&app.agent, &id).await {
        Ok(json) => json,
        Err(problem) => return wrong(&about, &problem),
    };
    let Some(json) = json else {
        let text = "There is no incident with this id in the store. It may be older than what is kept.";
        return failed(StatusCode::NOT_FOUND, &about, "No such incident", text);
    };
    match serde_json::from_str::<Incident>(&json) {
        Ok(incident) => html(reserved.fill(page::incident::page(&about, &incident))),
        Err(_) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            &about,
            "Damaged",
            "This incident is damaged in the store: it cannot be read.",
        ),
    }
}

async fn ranking(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let about = about(&app).await;
    let query = match Query::parse(query.as_deref(), &["cgroup"]) {
        Ok(query) => query,
        Err(problem) => return wrong(&about, &problem),
    };
    let asked = query.get("cgroup").unwrap_or_default().trim().to_owned();
    let (on_page, typed) = (about.clone(), asked.clone());
    let make = move |answer: &Answer| page::rank::page(&on_page, &typed, Ok(answer));
    let cgroup = Some(asked.as_str()).filter(|asked| !asked.is_empty());
    match app.looks.get(&app.room, cgroup, Form::Page, make).await {
        Ok(text) => html(text),
        Err(problem) => {
            let text = page::rank::page(&about, &asked, Err(problem.detail()));
            (problem.status(), html(text)).into_response()
        }
    }
}

async fn docs(State(app): State<App>) -> Response {
    html(page::docs::page(&about(&app).await))
}

/// A file whose name says what is in it never changes.
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = assets::find(&name) else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    let tag = format!("\"{name}\"");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes());
    let keep = [
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (header::ETAG, tag),
        (header::CONTENT_TYPE, asset.kind.to_owned()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, keep).into_response();
    }
    (keep, asset.text).into_response()
}

/// Where the agent does not answer, the page says so, and nothing else.
async fn about(app: &App) -> About {
    app.agent.ask(Ask::About).await.unwrap_or_default()
}

fn html(text: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], text.into())
        .into_response()
}

fn failed(status: StatusCode, about: &About, title: &str, text: &str) -> Response {
    (status, html(page::error(about, title, text))).into_response()
}

fn wrong(about: &About, problem: &Problem) -> Response {
    failed(problem.status(), about, problem.title(), problem.detail())
}

/// What a browser may do with a page.
async fn guard(mut response: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
