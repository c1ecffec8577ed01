//! Requests of parties.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use cipherfold::federated::Party;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    body,
    metrics::{self, ByParty},
    refusal::Refusal,
    shared::{Shared, UNIT},
};
use crate::{
    objects::{Key, RoundKey},
    parties::label,
    store::Written,
};

/// The routes, for the connection of one party, which is an extension.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/o/{*name}", get(read).head(length).put(write).delete(remove))
        .route("/v1/list", get(list))
        .route("/v1/folders", get(folders))
        .route("/v1/changes", get(changes))
        .fallback(|| async { Refusal::Missing })
        .layer(from_fn_with_state(Arc::clone(&shared), measure))
        .with_state(shared)
}

/// Counts and logs requests, and limits the number of running requests of a party.
async fn measure(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    request: Request,
    next: Next,
) -> Response {
    let (start, method, path) = (Instant::now(), request.method().clone(), request.uri().path().to_owned());
    // A waiting request needs few resources, and must not prevent a party's writes.
    let permit = if path == "/v1/changes" { Some(None) } else { shared.begin(party).map(Some) };
    let response = match &permit {
        Some(_) => next.run(request).await,
        None => shared.refuse(party, &Refusal::Busy),
    };
    let status = response.status().as_u16();
    shared.metrics.requests.get_or_create(&metrics::Request { method: method_name(&method), status }).inc();
    shared.metrics.seconds.observe(start.elapsed().as_secs_f64());
    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(party = label(party), %method, path, status, milliseconds, "request");
    response
}

/// A method's name in metrics. All unusual methods share one name, so that clients cannot fill the
/// memory with names.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

impl Shared {
    fn begin(&self, party: Party) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.requests.get(&party)?).try_acquire_owned().ok()
    }

    /// Wakes requests that wait for this kind of object.
    fn notify(&self, key: &Key) {
        let waited_for = match key {
            Key::Round(_, _, of_round) if of_round.is_sealed() => return,
            Key::Round(_, _, RoundKey::Commit(_) | RoundKey::Checked(..) | RoundKey::Folded(_))
            | Key::Announcement(_, Party::Client(_)) => false,
            _ => true,
        };
        self.changes.send_modify(|changes| *changes += 1);
        if waited_for {
            self.milestones.send_modify(|changes| *changes += 1);
        }
    }

    fn refuse(&self, party: Party, refusal: &Refusal) -> Response {
        self.metrics.refuse(label(party), refusal.kind());
        refusal.clone().into_response()
    }

    /// Waits for memory for an object of this length, in the order of requests. A request that
    /// waits too long is refused and must be retried.
    async fn reserve_memory(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Refusal> {
        // An object that is larger than the whole memory takes all of it.
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units);
        let memory: Arc<Semaphore> = Arc::clone(&self.memory);
        let acquired = tokio::time::timeout(self.queue, memory.acquire_many_owned(units)).await;
        acquired.ok().and_then(Result::ok).ok_or(Refusal::Busy)
    }
}

/// Runs an operation of the store on a thread that may block.
async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&shared)).await.unwrap_or(Err(Refusal::Store))
}

fn key(name: &str) -> Result<Key, Refusal> {
    name.parse().map_err(|_| Refusal::Name)
}

async fn write(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match write_checked(&shared, party, &name, &headers, body).await {
        Ok(Written::New) => StatusCode::CREATED.into_response(),
        Ok(Written::Same) => StatusCode::OK.into_response(),
        Err(refusal) => shared.refuse(party, &refusal),
    }
}

async fn write_checked(
    shared: &Arc<Shared>,
    party: Party,
    name: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Written, Refusal> {
    let key = key(name)?;
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length: u64 = length.ok_or(Refusal::Length)?;
    let checked = blocking(shared, move |shared| {
        let rule = shared.admission.check(party, &key, length)?;
        shared.space.check(&key, length, rule)?;
        Ok(rule)
    });
    let rule = checked.await?;
    let _memory = shared.reserve_memory(length).await?;
    let contents = body::read(body, length, shared.grace, &shared.buffers).await?;
    let written = blocking(shared, move |shared| {
        shared.admission.verify(&key, &contents)?;
        let written = shared.space.put(&key, contents.clone(), rule);
        shared.buffers.give_back(contents);
        written
    });
    let written = written.await?;
    shared.metrics.received.get_or_create(&ByParty { party: label(party) }).inc_by(length);
    if written == Written::New {
        shared.notify(&key);
    }
    Ok(written)
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    Path(name): Path<String>,
) -> Response {
    let removed = async {
        let key = key(&name)?;
        let removed = blocking(&shared, move |shared| {
            shared.admission.check_removal(party, &key)?;
            shared.space.remove(&key)
        });
        removed.await
    };
    match removed.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => shared.refuse(party, &refusal),
    }
}

async fn length(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    Path(name): Path<String>,
) -> Response {
    let found = async {
        let key = key(&name)?;
        blocking(&shared, move |shared| Ok(shared.store.length(&key)?)).await?.ok_or(Refusal::Missing)
    };
    match found.await {
        Ok(length) => [(CONTENT_LENGTH, length)].into_response(),
        Err(refusal) => shared.refuse(party, &refusal),
    }
}

async fn read(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match read_checked(&shared, party, &name, &headers).await {
        Ok(response) => response,
        // Clients that wait for an object request it repeatedly, so this is not a fault.
        Err(Refusal::Missing) => Refusal::Missing.into_response(),
        Err(refusal) => shared.refuse(party, &refusal),
    }
}

async fn read_checked(
    shared: &Arc<Shared>,
    party: Party,
    name: &str,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let key = key(name)?;
    let length = blocking(shared, move |shared| Ok(shared.store.length(&key)?)).await?;
    let length = length.ok_or(Refusal::Missing)?;
    let range = match headers.get(RANGE) {
        None => None,
        Some(range) => {
            Some(range.to_str().ok().and_then(|text| parse_range(text, length)).ok_or(Refusal::Range)?)
        }
    };
    let bytes = range.as_ref().map_or(length, |range| range.end - range.start);
    let memory = shared.reserve_memory(bytes).await?;
    let wanted = range.clone();
    let contents = blocking(shared, move |shared| {
        let found = match wanted {
            None => shared.store.get(&key, length)?,
            Some(range) => shared.store.get_range(&key, range)?,
        };
        found.ok_or(Refusal::Missing)
    });
    let contents = contents.await?;
    shared.metrics.sent.get_or_create(&ByParty { party: label(party) }).inc_by(contents.len() as u64);
    // The memory is released when the answer has been sent or abandoned.
    let held = futures_util::stream::once(async move {
        let _memory = memory;
        Ok::<_, std::convert::Infallible>(contents)
    });
    let mut response = Response::new(Body::from_stream(held));
    response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(range) = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        response.headers_mut().insert(CONTENT_RANGE, text.parse().expect("digits are a header"));
    }
    Ok(response)
}

/// One range of bytes: `bytes=a-b`, `bytes=a-` or `bytes=-n`.
fn parse_range(text: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", last) => length.saturating_sub(last.parse().ok()?)..length,
        (first, "") => first.parse().ok()?..length,
        (first, last) => first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?.min(length),
    };
    (range.start < range.end).then_some(range)
}

#[derive(Deserialize)]
struct ListQuery {
    #[serde(default)]
    folder: String,
    after: Option<String>,
    limit: Option<usize>,
}

/// Maximum names in a page.
pub(crate) const PAGE: usize = 10_000;

async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    Query(query): Query<ListQuery>,
) -> Response {
    let found = blocking(&shared, move |shared| {
        check_folder(&query.folder)?;
        let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let page = shared.store.page(&query.folder, query.after.as_deref(), limit)?;
        let objects: Vec<Value> =
            page.iter().map(|entry| json!({ "name": entry.name, "bytes": entry.bytes })).collect();
        Ok(json!({ "objects": objects, "more": page.len() == limit }))
    });
    match found.await {
        Ok(page) => Json(page).into_response(),
        Err(refusal) => shared.refuse(party, &refusal),
    }
}

async fn folders(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    Query(query): Query<ListQuery>,
) -> Response {
    let found = blocking(&shared, move |shared| {
        check_folder(&query.folder)?;
        Ok(json!({ "folders": shared.store.folders(&query.folder)? }))
    });
    match found.await {
        Ok(folders) => Json(folders).into_response(),
        Err(refusal) => shared.refuse(party, &refusal),
    }
}

/// Folders are parts of names: letters, digits, hyphens and slashes.
fn check_folder(folder: &str) -> Result<(), Refusal> {
    let good = folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'/');
    if good && !folder.contains("//") {
        Ok(())
    } else {
        Err(Refusal::Query("this is not a folder of objects"))
    }
}

#[derive(Deserialize)]
struct ChangesQuery {
    since: Option<u64>,
    seconds: Option<u64>,
}

/// The maximum time to wait in one request, because proxies end longer requests.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

async fn changes(
    State(shared): State<Arc<Shared>>,
    Extension(party): Extension<Party>,
    Query(query): Query<ChangesQuery>,
) -> Response {
    let sender = if party == Party::Aggregator { &shared.changes } else { &shared.milestones };
    let wait = Duration::from_secs(query.seconds.unwrap_or(0)).min(LONGEST_WAIT);
    let mut changes = sender.subscribe();
    let differs = |now: &u64| Some(*now) != query.since;
    let _ = tokio::time::timeout(wait, changes.wait_for(differs)).await;
    let now = *sender.borrow();
    Json(json!({ "changes": now })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_within_the_object() {
        let cases = [
            ("bytes=0-9", Some(0..10)),
            ("bytes=5-", Some(5..100)),
            ("bytes=-7", Some(93..100)),
            ("bytes=-700", Some(0..100)),
            ("bytes=90-900", Some(90..100)),
            ("bytes=99-99", Some(99..100)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 100), expected, "{text}");
        }
        for text in ["bytes=100-", "bytes=9-5", "bytes=-0", "bytes=a-b", "0-9", "bytes=0-1,3-4"] {
            assert_eq!(parse_range(text, 100), None, "{text}");
        }
    }
}
