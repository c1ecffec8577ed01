//! Faults that tests inject.

use std::sync::atomic::{AtomicU64, Ordering};

/// Loses devices after a number of dispatches, reports correct samples as wrong, and refuses
/// buffers in the host's memory.
#[derive(Debug, Default)]
pub(crate) struct FaultInjection {
    dispatches: AtomicU64,
    losses: AtomicU64,
    rejections: AtomicU64,
    refusals: AtomicU64,
}

impl FaultInjection {
    /// Loses the device after `dispatches` more dispatches, and the next `times - 1` devices at
    /// their first dispatch.
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

    /// Counts a buffer in the host's memory, and returns whether to refuse it.
    pub(crate) fn refuses_host_memory(&self) -> bool {
        take_one(&self.refusals)
    }

    /// Counts a dispatch, and returns whether to lose the device before it.
    pub(crate) fn loses_device(&self) -> bool {
        self.losses.load(Ordering::Relaxed) > 0 && !take_one(&self.dispatches) && take_one(&self.losses)
    }

    /// Counts a correct sample, and returns whether to report it as wrong.
    pub(crate) fn rejects_sample(&self) -> bool {
        take_one(&self.rejections)
    }
}

/// Decrements a counter unless it is zero, and returns whether it did.
fn take_one(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
