//! Faults that tests cause.

use std::sync::atomic::{AtomicU64, Ordering};

/// Loses devices after a number of dispatches, reports right samples as wrong, and refuses buffers in the host's memory.
#[derive(Debug, Default)]
pub(crate) struct FaultInjection {
    dispatches: AtomicU64,
    losses: AtomicU64,
    rejections: AtomicU64,
    refusals: AtomicU64,
}

impl FaultInjection {
    /// Loses the device after `dispatches` more dispatches, and the next `times - 1` devices at their first one.
    pub(crate) fn lose_devices(&self, dispatches: u64, times: u64) {
        self.dispatches.store(dispatches, Ordering::Relaxed);
        self.losses.store(times, Ordering::Relaxed);
    }

    /// Reports the next `times` sampled results as wrong.
    pub(crate) fn reject_samples(&self, times: u64) {
        self.rejections.store(times, Ordering::Relaxed);
    }

    /// Refuses the next `times` buffers in the host's memory.
    pub(crate) fn refuse_host_memory(&self, times: u64) {
        self.refusals.store(times, Ordering::Relaxed);
    }

    /// Counts a buffer in the host's memory: whether it is to be refused.
    pub(crate) fn refuses_host_memory(&self) -> bool {
        take_one(&self.refusals)
    }

    /// Counts a dispatch: whether the device is to be lost before it.
    pub(crate) fn loses_device(&self) -> bool {
        self.losses.load(Ordering::Relaxed) > 0 && !take_one(&self.dispatches) && take_one(&self.losses)
    }

    /// Counts a right sample: whether it is to be reported as wrong.
    pub(crate) fn rejects_sample(&self) -> bool {
        take_one(&self.rejections)
    }
}

/// Takes one off a counter that is not zero.
fn take_one(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
