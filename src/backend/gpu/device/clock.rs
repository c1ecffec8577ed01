//! Time that kernels take.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Time that kernels have taken, over all devices that were opened.
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
