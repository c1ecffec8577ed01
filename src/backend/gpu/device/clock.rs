//! Total time of the kernels.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Total time of the kernels, over all devices that were opened.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, nanos: u64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}
