//! A store that fails, answers late, and returns old or broken objects.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use cipherfold_service::Store;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};

/// How often a store fails, in cases of a thousand, and how long it lags.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// An operation fails before anything is done.
    pub(crate) errors: u64,
    /// A write is done, and answers with an error.
    pub(crate) lost_answers: u64,
    /// A read gives fewer bytes than it announces.
    pub(crate) cut_reads: u64,
    /// A read gives bytes of the right length with one bit changed.
    pub(crate) broken_reads: u64,
    /// A read does not find an object that is there.
    pub(crate) stale_reads: u64,
    /// Lists have no objects that are younger than this.
    pub(crate) lists_lag: Duration,
    /// The longest time before an answer.
    pub(crate) delay: Duration,
}

/// A store in memory with faults, which follow from a seed.
#[derive(Debug)]
pub(crate) struct Faulty {
    store: Arc<InMemory>,
    faults: Faults,
    state: AtomicU64,
    written: Mutex<BTreeMap<Path, Instant>>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

impl Faulty {
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        let state = AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { store: Arc::new(InMemory::new()), faults, state, written: Mutex::default() }
    }

    /// The objects without any faults.
    pub(crate) fn without_faults(&self) -> Store {
        Store::over(self.store.clone(), Path::default(), "without faults".to_owned())
    }

    fn draw(&self) -> u64 {
        let step = |state: u64| {
            Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap() >> 33
    }

    fn happens(&self, of_thousand: u64) -> bool {
        of_thousand > 0 && self.draw() % 1000 < of_thousand
    }

    async fn answer(&self) -> Result<()> {
        let longest = u64::try_from(self.faults.delay.as_micros()).unwrap();
        if longest > 0 {
            tokio::time::sleep(Duration::from_micros(self.draw() % longest)).await;
        }
        if self.happens(self.faults.errors) { Err(failure()) } else { Ok(()) }
    }

    fn listed(&self, path: &Path) -> bool {
        let written = self.written.lock().unwrap();
        written.get(path).is_none_or(|at| at.elapsed() >= self.faults.lists_lag)
    }

    fn damage(&self, contents: &Bytes) -> Bytes {
        if self.happens(self.faults.cut_reads) {
            return contents.slice(..contents.len() / 2);
        }
        if self.happens(self.faults.broken_reads) && !contents.is_empty() {
            let mut broken = contents.to_vec();
            let place = usize::try_from(self.draw()).unwrap() % broken.len();
            broken[place] ^= 1 << (self.draw() % 8);
            return broken.into();
        }
        contents.clone()
    }
}

fn failure() -> Error {
    Error::Generic { store: "faulty", source: "no answer".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.answer().await?;
        let written = self.store.put_opts(path, payload, options).await;
        if written.is_ok() {
            self.written.lock().unwrap().insert(path.clone(), Instant::now());
        }
        if self.happens(self.faults.lost_answers) { Err(failure()) } else { written }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("objects are written whole")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.answer().await?;
        if self.happens(self.faults.stale_reads) {
            return Err(Error::NotFound { path: path.to_string(), source: "not yet".into() });
        }
        let head = options.head;
        let mut found = self.store.get_opts(path, options).await?;
        if head {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let extensions = std::mem::take(&mut found.extensions);
        let contents = self.damage(&found.bytes().await?);
        let payload = GetResultPayload::Stream(stream::once(async { Ok(contents) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.answer().await?;
        self.store.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.happens(self.faults.errors) {
            return stream::once(async { Err(failure()) }).boxed();
        }
        let found: Vec<_> =
            futures_util::FutureExt::now_or_never(self.store.list(prefix).try_collect::<Vec<_>>())
                .expect("memory does not wait")
                .unwrap();
        let listed: Vec<_> = found.into_iter().filter(|meta| self.listed(&meta.location)).map(Ok).collect();
        stream::iter(listed).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.answer().await?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
