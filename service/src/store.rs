//! Stores of objects. An object is written once under its name, and read by that name.
//!
//! | address | store |
//! | :-- | :-- |
//! | a path, or `file:///path` | a directory, synced to the disk before a write is acknowledged |
//! | `https://host:port` | a [board](crate::board) that another party runs |
//! | `s3://bucket/prefix` | S3 and compatible stores; keys from the same environment variables as for the AWS tools |
//!
//! Writing the same bytes again succeeds, because a process that was stopped between a write and
//! its answer writes again. Other bytes under the same name are a [conflict](Error::Conflict), and
//! the first ones stay.

mod address;
#[cfg(feature = "board")]
mod board;
mod error;

use std::{
    collections::BinaryHeap,
    ops::Range,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, memory::InMemory, path::Path,
};
use tokio::runtime::Runtime;

pub use error::{Error, Quota, Result};

use crate::objects::Key;

/// A store of objects. Clones share the store.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    address: String,
    #[cfg(feature = "board")]
    board: Option<board::Board>,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The object is new.
    New,
    /// The object existed with the same bytes.
    Same,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, from the store's root.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Store {
    /// A store in this process's memory.
    pub fn memory() -> Self {
        Self::over(Arc::new(InMemory::new()), Path::default(), "memory".to_owned())
    }

    /// A store over any other one.
    pub fn over(objects: Arc<dyn ObjectStore>, prefix: Path, address: String) -> Self {
        Self {
            objects,
            prefix,
            address,
            #[cfg(feature = "board")]
            board: None,
        }
    }

    #[cfg(feature = "board")]
    fn over_board(board: board::Board, address: String) -> Self {
        let objects = Arc::new(board.clone());
        Self { board: Some(board), ..Self::over(objects, Path::default(), address) }
    }

    /// Waits for some time before the next read of the store. A board reports new objects, and the
    /// wait then ends early.
    pub fn pause(&self, pause: Duration) {
        #[cfg(feature = "board")]
        if let Some(board) = &self.board
            && RUNTIME.block_on(board.wait_for_change(pause)).is_ok()
        {
            return;
        }
        thread::sleep(pause);
    }

    /// The address, for people.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Writes an object, unless it exists with other bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if the object exists with other bytes; [`Error::Unreachable`],
    /// [`Error::Refused`].
    pub fn put(&self, key: &Key, contents: impl Into<Bytes>) -> Result<Written> {
        let (path, contents) = (self.path(&key.to_string()), contents.into());
        let created = self.persistently(|| {
            let options = PutOptions::from(PutMode::Create);
            let put = self.objects.put_opts(&path, PutPayload::from(contents.clone()), options);
            match RUNTIME.block_on(put) {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        })?;
        if created {
            return Ok(Written::New);
        }
        // The first attempt of this write may have succeeded without an answer.
        let limit = contents.len() as u64;
        let mut before = None;
        let found = look_again(
            || self.get(key, limit),
            |found| match found {
                Ok(Some(found)) if *found == contents => true,
                // Other bytes, twice: the object does have them.
                Ok(Some(_)) | Err(Error::TooLong { .. }) => {
                    before.replace(found.clone()).as_ref() == Some(found)
                }
                Ok(None) => false,
                Err(_) => true,
            },
        );
        match found {
            Ok(Some(found)) if found == contents => Ok(Written::Same),
            Ok(Some(_)) | Err(Error::TooLong { .. }) => Err(Error::Conflict { key: *key }),
            Ok(None) => {
                let reason = format!("{key}: exists when it is written, and does not when it is read");
                Err(Error::Unreachable { address: self.address.clone(), reason })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads an object of at most this number of bytes, if it exists.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`]; [`Error::Unreachable`], [`Error::Refused`].
    pub fn get(&self, key: &Key, limit: u64) -> Result<Option<Bytes>> {
        let path = self.path(&key.to_string());
        let read = self.persistently(|| {
            RUNTIME.block_on(async {
                let found = match self.objects.get(&path).await {
                    Ok(found) => found,
                    Err(object_store::Error::NotFound { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                };
                let bytes = found.meta.size;
                if bytes > limit {
                    return Ok(Some(Err(bytes)));
                }
                let contents = found.bytes().await?;
                if contents.len() as u64 != bytes {
                    return Err(cut_off(&path, bytes, contents.len()));
                }
                Ok(Some(Ok(contents)))
            })
        })?;
        match read {
            None => Ok(None),
            Some(Ok(contents)) => Ok(Some(contents)),
            Some(Err(found)) => Err(Error::TooLong { key: *key, limit, found }),
        }
    }

    /// Reads a range of an object's bytes, if the object exists. The range is limited to the
    /// object's length.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>> {
        let path = self.path(&key.to_string());
        let read = || match RUNTIME.block_on(self.objects.get_range(&path, range.clone())) {
            Ok(contents) => Ok(Some(contents)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        self.persistently(read)
    }

    /// The length of an object in bytes, if it exists.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub fn length(&self, key: &Key) -> Result<Option<u64>> {
        let path = self.path(&key.to_string());
        self.persistently(|| match RUNTIME.block_on(self.objects.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// All objects whose names begin with this folder, in the order of their names. An empty folder
    /// is the root.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let path = self.path(folder);
        let prefix = Some(&path).filter(|path| !path.as_ref().is_empty());
        let found =
            self.persistently(|| RUNTIME.block_on(self.objects.list(prefix).try_collect::<Vec<_>>()))?;
        let entry =
            |meta: object_store::ObjectMeta| Entry { name: self.name(&meta.location), bytes: meta.size };
        let mut entries: Vec<_> = found.into_iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The first objects of a folder after a name, in the order of their names.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub fn page(&self, folder: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>> {
        let path = self.path(folder);
        let prefix = Some(&path).filter(|path| !path.as_ref().is_empty());
        let first = self.persistently(|| {
            RUNTIME.block_on(async {
                // Stores list names in any order. Only the first `limit` of all names are kept.
                let mut first = BinaryHeap::new();
                let mut found = self.objects.list(prefix);
                while let Some(meta) = found.try_next().await? {
                    let name = self.name(&meta.location);
                    if after.is_some_and(|after| *name <= *after) {
                        continue;
                    }
                    first.push((name, meta.size));
                    if first.len() > limit {
                        first.pop();
                    }
                }
                Ok(first)
            })
        })?;
        Ok(first.into_sorted_vec().into_iter().map(|(name, bytes)| Entry { name, bytes }).collect())
    }

    /// The number of objects in a folder, and their bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub fn usage(&self, folder: &str) -> Result<(u64, u64)> {
        let path = self.path(folder);
        let prefix = Some(&path).filter(|path| !path.as_ref().is_empty());
        self.persistently(|| {
            let add = |(objects, bytes), meta: object_store::ObjectMeta| async move {
                Ok((objects + 1, bytes + meta.size))
            };
            RUNTIME.block_on(self.objects.list(prefix).try_fold((0, 0), add))
        })
    }

    /// The names of the folders directly in a folder.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        let prefix = Some(&path).filter(|path| !path.as_ref().is_empty());
        let found = self.persistently(|| RUNTIME.block_on(self.objects.list_with_delimiter(prefix)))?;
        Ok(found.common_prefixes.iter().filter_map(|path| Some(path.filename()?.to_owned())).collect())
    }

    /// Removes an object.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Refused`].
    pub fn remove(&self, key: &Key) -> Result<()> {
        let path = self.path(&key.to_string());
        self.persistently(|| match RUNTIME.block_on(self.objects.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        })
    }

    fn path(&self, name: &str) -> Path {
        if name.is_empty() {
            return self.prefix.clone();
        }
        let parts = self.prefix.parts().map(|part| part.as_ref().to_owned());
        parts.chain(name.split('/').map(str::to_owned)).collect()
    }

    fn name(&self, path: &Path) -> String {
        let parts = path.prefix_match(&self.prefix);
        parts.map_or_else(String::new, |parts| {
            parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")
        })
    }

    /// Repeats an operation that may succeed later.
    fn persistently<T>(&self, mut operation: impl FnMut() -> object_store::Result<T>) -> Result<T> {
        let mut pauses = PAUSES.iter();
        loop {
            let error = match operation() {
                Ok(done) => return Ok(done),
                Err(error) => Error::of(&self.address, &error),
            };
            match (&error, pauses.next()) {
                (Error::Unreachable { .. }, Some(pause)) => thread::sleep(*pause),
                _ => return Err(error),
            }
        }
    }
}

/// An object whose length was not the announced one. The next attempt may return all of it.
fn cut_off(path: &Path, announced: u64, found: usize) -> object_store::Error {
    let source = format!("{path}: {found} of {announced} bytes came").into();
    object_store::Error::Generic { store: "store", source }
}

/// Calls `look` until its result is good, for at most a second. A store may return an old object,
/// or one that was damaged in transit.
pub(crate) fn look_again<T>(mut look: impl FnMut() -> T, mut good: impl FnMut(&T) -> bool) -> T {
    for milliseconds in [0, 50, 200, 750] {
        let found = look();
        if good(&found) {
            return found;
        }
        thread::sleep(Duration::from_millis(milliseconds));
    }
    look()
}

/// Pauses between attempts.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
    Duration::from_millis(6400),
];

/// The runtime for the stores' futures. Callers are ordinary threads.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("store")
        .enable_all()
        .build()
        .expect("the system starts threads")
});

#[cfg(test)]
mod tests;
