use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use cipherfold::federated::SessionId;
use futures_util::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutResult,
};

use super::*;
use crate::objects::RoundKey;

const SESSION: SessionId = SessionId::from_bytes([5; 16]);

fn key(shard: u32) -> Key {
    Key::Round(SESSION, 3, RoundKey::Sum(shard))
}

fn every_store() -> Vec<(Store, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let directory = Store::open(folder.path().to_str().unwrap()).unwrap();
    let prefixed = Store::over(Arc::new(InMemory::new()), Path::parse("a/b").unwrap(), "prefixed".into());
    vec![(Store::memory(), None), (prefixed, None), (directory, Some(folder))]
}

#[test]
fn objects_are_written_once() {
    for (store, _folder) in every_store() {
        assert_eq!(store.get(&key(0), 100), Ok(None));
        assert_eq!(store.length(&key(0)), Ok(None));
        assert_eq!(store.put(&key(0), "first"), Ok(Written::New));
        assert_eq!(store.put(&key(0), "first"), Ok(Written::Same));
        for other in ["other", "first and more", ""] {
            assert_eq!(store.put(&key(0), other), Err(Error::Conflict { key: key(0) }), "{other}");
        }
        assert_eq!(store.get(&key(0), 5), Ok(Some("first".into())));
        assert_eq!(store.get(&key(0), 4), Err(Error::TooLong { key: key(0), limit: 4, found: 5 }));
        assert_eq!(store.length(&key(0)), Ok(Some(5)));
        store.remove(&key(0)).unwrap();
        store.remove(&key(0)).unwrap();
        assert_eq!(store.get(&key(0), 100), Ok(None));
    }
}

#[test]
fn lists_have_names_and_lengths_in_order() {
    for (store, _folder) in every_store() {
        assert_eq!(store.list(""), Ok(vec![]));
        for shard in [2, 0, 1] {
            store.put(&key(shard), vec![0; shard as usize]).unwrap();
        }
        store.put(&Key::Session(SESSION), "s").unwrap();
        let names: Vec<_> = store.list(&format!("{SESSION}/3/sum")).unwrap();
        let expected: Vec<_> =
            (0..3).map(|shard| Entry { name: key(shard).to_string(), bytes: shard.into() }).collect();
        assert_eq!(names, expected);
        assert_eq!(store.list("").unwrap().len(), 4);
        assert_eq!(store.folders(""), Ok(vec![SESSION.to_string()]));
        assert_eq!(store.folders(&SESSION.to_string()), Ok(vec!["3".to_owned()]));
    }
}

#[test]
fn pages_and_ranges_are_parts_of_the_whole() {
    for (store, _folder) in every_store() {
        for shard in 0..7 {
            store.put(&key(shard), vec![u8::try_from(shard).unwrap(); 3]).unwrap();
        }
        let all = store.list("").unwrap();
        let first = store.page("", None, 4).unwrap();
        let rest = store.page("", Some(&first[3].name), 4).unwrap();
        assert_eq!([first, rest].concat(), all);
        assert_eq!(store.usage(&format!("{SESSION}/3")), Ok((7, 21)));
        assert_eq!(store.get_range(&key(2), 1..3), Ok(Some(vec![2, 2].into())));
        assert_eq!(store.get_range(&key(9), 1..3), Ok(None));
    }
}

#[test]
fn of_writers_that_race_one_wins() {
    for (store, _folder) in every_store() {
        for shard in 0..20 {
            let writers: Vec<_> = (0..8_u8)
                .map(|writer| {
                    let store = store.clone();
                    thread::spawn(move || store.put(&key(shard), vec![writer; 1000]))
                })
                .collect();
            let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            let winner = written.iter().position(|written| *written == Ok(Written::New)).unwrap();
            let lost = written
                .iter()
                .filter(|written| **written == Err(Error::Conflict { key: key(shard) }))
                .count();
            assert_eq!(lost, 7);
            let found = store.get(&key(shard), 1000).unwrap().unwrap();
            assert_eq!(found, vec![u8::try_from(winner).unwrap(); 1000]);
        }
    }
}

#[test]
fn invalid_addresses_are_refused() {
    for (address, part) in [
        ("ftp://x", "no stores of kind `ftp`"),
        ("file://", "a directory must be named"),
        ("s3://", "bucket"),
        ("", "named"),
    ] {
        let error = Store::open(address).unwrap_err();
        assert!(error.to_string().contains(part), "{address}: {error}");
    }
}

/// Fails a given number of times before it succeeds. A failed call may still have done its work.
#[derive(Debug)]
struct Flaky {
    store: InMemory,
    failures: AtomicU32,
    works_all_the_same: bool,
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("flaky")
    }
}

impl Flaky {
    fn fails(&self) -> bool {
        self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn error() -> object_store::Error {
        object_store::Error::Generic { store: "flaky", source: "no answer".into() }
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if !self.fails() {
            return self.store.put_opts(location, payload, options).await;
        }
        if self.works_all_the_same {
            self.store.put_opts(location, payload, options).await?;
        }
        Err(Self::error())
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.fails() { Err(Self::error()) } else { self.store.get_opts(location, options).await }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.store.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[test]
fn a_write_without_an_answer_is_tried_again() {
    for works_all_the_same in [false, true] {
        let flaky = Flaky { store: InMemory::new(), failures: AtomicU32::new(1), works_all_the_same };
        let store = Store::over(Arc::new(flaky), Path::default(), "flaky".into());
        let expected = if works_all_the_same { Written::Same } else { Written::New };
        assert_eq!(store.put(&key(0), "bytes"), Ok(expected));
        assert_eq!(store.get(&key(0), 5), Ok(Some("bytes".into())));
    }
}

#[test]
fn a_store_that_does_not_come_back_is_named() {
    let flaky = Flaky { store: InMemory::new(), failures: AtomicU32::new(1000), works_all_the_same: false };
    let store = Store::over(Arc::new(flaky), Path::default(), "flaky".into());
    let error = store.put(&key(0), "bytes").unwrap_err();
    let expected =
        Error::Unreachable { address: "flaky".into(), reason: "Generic flaky error: no answer".into() };
    assert_eq!(error, expected);
}
