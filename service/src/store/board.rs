//! A store that is a board, over HTTPS.

#![expect(clippy::default_trait_access, reason = "types of crates that are not dependencies")]

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};

use super::error::{NoRoom, Quota};

/// A board's client.
#[derive(Clone, Debug)]
pub(super) struct Board {
    client: Client,
    base: Arc<Url>,
    /// The number of the last change that the board reported.
    seen: Arc<AtomicU64>,
}

impl Board {
    pub(super) fn new(client: Client, base: Url) -> Self {
        Self { client, base: Arc::new(base), seen: Arc::default() }
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let url = self.base.join(path).map_err(generic)?;
        Ok(self.client.request(method, url))
    }

    fn object(&self, method: Method, location: &Path) -> Result<RequestBuilder> {
        self.request(method, &format!("v1/o/{location}"))
    }

    async fn json<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        let mut url = self.base.join(path).map_err(generic)?;
        url.query_pairs_mut().extend_pairs(query);
        let response = send(self.client.get(url), &Path::from(path)).await?;
        let bytes = response.bytes().await.map_err(generic)?;
        serde_json::from_slice(&bytes).map_err(generic)
    }

    /// Waits until there may be a new object, or for this time.
    pub(super) async fn wait_for_change(&self, limit: Duration) -> Result<()> {
        let since = self.seen.load(Ordering::Relaxed).to_string();
        let seconds = limit.as_secs().max(1).to_string();
        let found: Changes = self.json("v1/changes", &[("since", &since), ("seconds", &seconds)]).await?;
        self.seen.store(found.changes, Ordering::Relaxed);
        Ok(())
    }

    async fn page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        let mut query = vec![("folder", folder)];
        query.extend(after.map(|after| ("after", after)));
        self.json("v1/list", &query).await
    }
}

#[derive(Deserialize)]
struct Changes {
    changes: u64,
}

#[derive(Deserialize)]
struct Page {
    objects: Vec<Entry>,
    more: bool,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
}

#[derive(Deserialize)]
struct Folders {
    folders: Vec<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    /// The limit of a store that is full.
    quota: Option<Quota>,
}

/// Sends a request. Refusals are errors.
async fn send(request: RequestBuilder, location: &Path) -> Result<Response> {
    let response = request.send().await.map_err(generic)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let told = serde_json::from_slice::<Refusal>(&body).ok();
    let quota = told.as_ref().and_then(|refusal| refusal.quota);
    let told = told.map(|refusal| refusal.error).filter(|told| !told.is_empty());
    let told = told.unwrap_or_else(|| status.to_string());
    let path = location.to_string();
    let source: Box<dyn std::error::Error + Send + Sync> = told.into();
    Err(match status {
        StatusCode::NOT_FOUND => Error::NotFound { path, source },
        StatusCode::CONFLICT => Error::AlreadyExists { path, source },
        StatusCode::FORBIDDEN => Error::PermissionDenied { path, source },
        StatusCode::INSUFFICIENT_STORAGE => Error::Generic { store: NAME, source: Box::new(NoRoom(quota)) },
        // A retry may succeed: the board was busy or too slow, or could not reach its store.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Error::Generic { store: NAME, source },
        status if status.is_server_error() => Error::Generic { store: NAME, source },
        _ => Error::NotSupported { source },
    })
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: NAME, source: Box::new(error) }
}

const NAME: &str = "board";

fn meta(location: Path, size: u64) -> ObjectMeta {
    // Objects are written once, so their time does not matter.
    ObjectMeta { location, last_modified: Default::default(), size, e_tag: None, version: None }
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: NAME.to_owned() }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)
    }
}

#[async_trait]
impl ObjectStore for Board {
    async fn put_opts(&self, location: &Path, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
        let body = Bytes::from(payload);
        let request = self.object(Method::PUT, location)?.body(body);
        if send(request, location).await?.status() != StatusCode::CREATED {
            // The object existed with the same bytes.
            let (path, source) = (location.to_string(), "the object exists".into());
            return Err(Error::AlreadyExists { path, source });
        }
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(unsupported("writes in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let method = if options.head { Method::HEAD } else { Method::GET };
        let mut request = self.object(method, location)?;
        if let Some(range) = &options.range {
            let text = match range {
                GetRange::Bounded(Range { start, end }) => format!("bytes={start}-{}", end.saturating_sub(1)),
                GetRange::Offset(start) => format!("bytes={start}-"),
                GetRange::Suffix(len) => format!("bytes=-{len}"),
            };
            request = request.header("range", text);
        }
        let response = send(request, location).await?;
        let number = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let length: u64 = number("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        // `bytes 5-9/100`
        let part = number("content-range").and_then(|text| {
            let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
            let (start, end) = range.split_once('-')?;
            Some((start.parse().ok()?..end.parse::<u64>().ok()?.checked_add(1)?, size.parse().ok()?))
        });
        let (range, size) = part.unwrap_or((0..length, length));
        let payload = response.bytes_stream().map_err(generic).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta: meta(location.clone(), size),
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let board = self.clone();
        let removed = locations.and_then(move |location| {
            let board = board.clone();
            async move {
                send(board.object(Method::DELETE, &location)?, &location).await?;
                Ok(location)
            }
        });
        removed.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (board, folder) = (self.clone(), prefix.map(ToString::to_string).unwrap_or_default());
        let pages = stream::try_unfold(Some(None::<String>), move |after| {
            let (board, folder) = (board.clone(), folder.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = board.page(&folder, after.as_deref()).await?;
                let next = page.objects.last().filter(|_| page.more).map(|last| Some(last.name.clone()));
                let objects =
                    page.objects.into_iter().map(|entry| Ok(meta(Path::from(entry.name), entry.bytes)));
                Ok::<_, Error>(Some((stream::iter(objects), next)))
            }
        });
        pages.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = prefix.map(ToString::to_string).unwrap_or_default();
        let found: Folders = self.json("v1/folders", &[("folder", &folder)]).await?;
        let path = |name: String| {
            if folder.is_empty() { Path::from(name) } else { Path::from(format!("{folder}/{name}")) }
        };
        let common_prefixes = found.folders.into_iter().map(path).collect();
        Ok(ListResult { common_prefixes, objects: Vec::new(), extensions: Default::default() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unsupported("copies"))
    }
}
