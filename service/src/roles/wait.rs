//! Waits for objects.

use std::time::{Duration, Instant};

use crate::{
    error::{Error, Result},
    store::Store,
};

/// The limits of a command's wait for other parties.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    /// The maximum total time.
    pub limit: Duration,
    /// The pause between two reads of the store.
    pub pause: Duration,
}

impl Timeout {
    /// Waits for this time, and reads the store every two seconds, or more often if the time is
    /// short.
    pub fn of(limit: Duration) -> Self {
        let pause = (limit / 50).clamp(Duration::from_millis(20), Duration::from_secs(2));
        Self { limit, pause }
    }

    /// Reads a store until an object exists.
    ///
    /// # Errors
    ///
    /// [`Error::Waiting`] if it does not come in time; those of `look`.
    pub fn wait<T>(
        self,
        store: &Store,
        what: impl Fn() -> String,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if start.elapsed() >= self.limit {
                return Err(Error::Waiting { what: what(), seconds: self.limit.as_secs() });
            }
            store.pause(self.pause.min(self.limit.saturating_sub(start.elapsed())));
        }
    }
}
