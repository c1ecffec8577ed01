//! Faults of a device.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::super::sync::lock;

/// The reason why the device could not do a batch. It contains no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

/// The faults of one device. Only the first one is recorded, because a device that has failed is
/// not used again.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    first: Mutex<Option<Fault>>,
    is_lost: AtomicBool,
}

impl Faults {
    /// Records a fault, and returns the first one of this device.
    pub(crate) fn record(&self, text: String) -> Fault {
        lock(&self.first).get_or_insert(Fault(text)).clone()
    }

    /// Records that the device is lost: it accepts no commands any more.
    pub(crate) fn record_loss(&self, text: String) {
        self.is_lost.store(true, Ordering::Relaxed);
        self.record(text);
    }

    /// The first fault, if there is one.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        lock(&self.first).clone().map_or(Ok(()), Err)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}
