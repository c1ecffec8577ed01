//! The number of bytes in the store, and its limit.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::refusal::Refusal;
use crate::{
    objects::Key,
    store::{Quota, Result, Store, Written},
};

/// Whether the limit of the store applies to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpaceRule {
    /// It applies, and this number of bytes stays free for the objects that end the round.
    Reserve(u64),
    /// It does not apply, because the write ends a round: sums, receipts, notes. So a full store
    /// stops no round and can be emptied.
    Exempt,
}

/// A store with a limit for the bytes of all of its objects together.
pub(super) struct Space {
    store: Store,
    limit: Option<u64>,
    count: Mutex<Count>,
    /// Writers and removers share it while they change the store. A count holds it alone.
    counting: RwLock<()>,
    /// Held during a removal, so that no object is subtracted from the count twice.
    removing: Mutex<()>,
}

#[derive(Clone, Copy)]
struct Count {
    stored: u64,
    /// When all objects were counted, and how long that took.
    counted: Instant,
    took: Duration,
}

/// The minimum time from one count of all objects to the next. A count takes at most a tenth of the
/// time.
const COUNT_AFTER: Duration = Duration::from_secs(2);

impl Space {
    /// Counts what the store has, if there is a limit.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(super) fn new(store: Store, limit: Option<u64>) -> Result<Self> {
        let start = Instant::now();
        let stored = if limit.is_some() { store.usage("")?.1 } else { 0 };
        let count = Count { stored, counted: Instant::now(), took: start.elapsed() };
        Ok(Self {
            store,
            limit,
            count: Mutex::new(count),
            counting: RwLock::default(),
            removing: Mutex::default(),
        })
    }

    /// The bytes of all objects, and the limit.
    pub(super) fn usage(&self) -> Option<(u64, u64)> {
        self.limit.map(|limit| (self.count().stored, limit))
    }

    /// Refuses a write before its body is read.
    pub(super) fn check(&self, key: &Key, bytes: u64, rule: SpaceRule) -> Result<(), Refusal> {
        if self.fits(bytes, rule).is_ok() || self.store.length(key)?.is_some() {
            return Ok(());
        }
        // Another process may have removed objects.
        self.count_again()?;
        self.fits(bytes, rule).map_err(|quota| Refusal::Full(Some(quota)))
    }

    /// Writes an object, and counts it.
    pub(super) fn put(&self, key: &Key, contents: Bytes, rule: SpaceRule) -> Result<Written, Refusal> {
        let bytes = contents.len() as u64;
        self.check(key, bytes, rule)?;
        let _writing = self.counting.read().unwrap_or_else(PoisonError::into_inner);
        {
            let mut count = self.count();
            let quota = self.fits_in(&count, bytes, rule);
            if let Err(quota) = quota
                && self.store.length(key)?.is_none()
            {
                return Err(Refusal::Full(Some(quota)));
            }
            count.stored = count.stored.saturating_add(bytes);
        }
        let written = self.store.put(key, contents);
        // A write that failed may still have taken effect. It stays in the count until all objects
        // are counted again.
        if let Ok(Written::Same) | Err(crate::store::Error::Conflict { .. }) = written {
            self.free(bytes);
        }
        Ok(written?)
    }

    /// Removes an object. A missing object is not an error.
    pub(super) fn remove(&self, key: &Key) -> Result<(), Refusal> {
        let _writing = self.counting.read().unwrap_or_else(PoisonError::into_inner);
        let _removing = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = self.store.length(key)? else { return Ok(()) };
        self.store.remove(key)?;
        self.free(bytes);
        Ok(())
    }

    fn fits(&self, bytes: u64, rule: SpaceRule) -> std::result::Result<(), Quota> {
        self.fits_in(&self.count(), bytes, rule)
    }

    fn fits_in(&self, count: &Count, bytes: u64, rule: SpaceRule) -> std::result::Result<(), Quota> {
        let (Some(limit), SpaceRule::Reserve(reserved)) = (self.limit, rule) else { return Ok(()) };
        let stored = count.stored;
        let needed = stored.saturating_add(bytes).saturating_add(reserved);
        if needed <= limit { Ok(()) } else { Err(Quota { limit, stored, reserved, asked: bytes }) }
    }

    fn count_again(&self) -> Result<()> {
        let alone = self.counting.write().unwrap_or_else(PoisonError::into_inner);
        let Count { counted, took, .. } = *self.count();
        if counted.elapsed() < COUNT_AFTER.max(10 * took) {
            return Ok(());
        }
        let start = Instant::now();
        let stored = self.store.usage("")?.1;
        *self.count() = Count { stored, counted: Instant::now(), took: start.elapsed() };
        drop(alone);
        Ok(())
    }

    fn free(&self, bytes: u64) {
        let mut count = self.count();
        count.stored = count.stored.saturating_sub(bytes);
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cipherfold::federated::SessionId;

    use super::*;
    use crate::objects::RoundKey;

    fn key(shard: u32) -> Key {
        Key::Round(SessionId::from_bytes([7; 16]), 0, RoundKey::Sum(shard))
    }

    fn put(space: &Space, shard: u32, bytes: usize, rule: SpaceRule) -> Result<Written, Refusal> {
        space.put(&key(shard), vec![0; bytes].into(), rule)
    }

    fn full(stored: u64, reserved: u64, asked: u64) -> Result<Written, Refusal> {
        Err(Refusal::Full(Some(Quota { limit: 100, stored, reserved, asked })))
    }

    #[test]
    fn all_bytes_count_once() {
        let store = Store::memory();
        store.put(&key(0), vec![0; 30]).unwrap();
        let space = Space::new(store.clone(), Some(100)).unwrap();
        assert_eq!(space.usage(), Some((30, 100)), "what was there before");
        let free = SpaceRule::Reserve(0);
        assert_eq!(put(&space, 1, 60, free), Ok(Written::New));
        assert_eq!(put(&space, 1, 60, free), Ok(Written::Same), "again, when there is no space for it twice");
        assert_eq!(put(&space, 1, 61, free), Err(Refusal::Conflict));
        assert_eq!(space.usage(), Some((90, 100)));
        assert_eq!(put(&space, 2, 11, free), full(90, 0, 11));
        assert_eq!(put(&space, 2, 6, SpaceRule::Reserve(5)), full(90, 5, 6));
        assert_eq!(store.length(&key(2)), Ok(None));
        assert_eq!(put(&space, 2, 5, SpaceRule::Reserve(5)), Ok(Written::New));
        assert_eq!(put(&space, 3, 50, SpaceRule::Exempt), Ok(Written::New));
        assert_eq!(put(&space, 4, 1, free), full(145, 0, 1));
        space.remove(&key(1)).unwrap();
        space.remove(&key(1)).unwrap();
        assert_eq!(space.usage(), Some((85, 100)));
        assert_eq!(put(&space, 4, 1, free), Ok(Written::New));
        assert_eq!(Space::new(store, Some(100)).unwrap().usage(), Some((86, 100)), "after a restart");
    }

    #[test]
    fn writers_that_race_do_not_pass_the_limit() {
        let store = Store::memory();
        let space = Space::new(store.clone(), Some(100)).unwrap();
        let written: Vec<_> = std::thread::scope(|scope| {
            let space = &space;
            let writers: Vec<_> = (0..32)
                .map(|shard| scope.spawn(move || put(space, shard, 7, SpaceRule::Reserve(0))))
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(written.iter().filter(|written| written.is_ok()).count(), 100 / 7);
        assert_eq!(space.usage(), Some((98, 100)));
        assert_eq!(store.usage("").unwrap(), (14, 98));
    }

    #[test]
    fn without_a_limit_nothing_is_counted_or_refused() {
        let space = Space::new(Store::memory(), None).unwrap();
        assert_eq!(put(&space, 0, 1 << 20, SpaceRule::Reserve(u64::MAX)), Ok(Written::New));
        assert_eq!(space.usage(), None);
    }
}
