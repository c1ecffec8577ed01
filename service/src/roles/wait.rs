//! Waiting for objects.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{
    error::{Error, Result},
    store::Store,
};

/// How long a command waits for what others do.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The longest time altogether.
    pub limit: Duration,
    /// The pause between two looks at the store.
    pub pause: Duration,
}

impl Patience {
    /// Waits this long, and looks every two seconds; more often if the time is short.
    pub fn of(limit: Duration) -> Self {
        let pause = (limit / 50).clamp(Duration::from_millis(20), Duration::from_secs(2));
        Self { limit, pause }
    }

    /// Looks at a store until there is something.
    ///
    /// # Errors
    ///
    /// [`Error::Waiting`] if it does not come in time; those of a look.
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

/// Seconds since 1970 by this machine's clock.
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
