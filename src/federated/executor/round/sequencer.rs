//! The order in which clients are counted, where it matters, and the signal to stop.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Whether the workers of a round are to stop.
#[derive(Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The next client to be counted, if clients are counted in order.
///
/// Clients are queued in order, and each of them arrives here in the end. So the next client never
/// waits for another one.
pub(super) struct Sequencer {
    next: Mutex<u32>,
    moved: Condvar,
}

impl Sequencer {
    pub(super) fn starting_with(client: u32) -> Self {
        Self { next: Mutex::new(client), moved: Condvar::new() }
    }

    /// Waits until this client is next. `false` if the round stops before.
    pub(super) fn wait_for(&self, client: u32, stop: &Stop) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |next: &mut u32| *next < client && !stop.is_set();
        drop(self.moved.wait_while(next, waiting).unwrap_or_else(PoisonError::into_inner));
        !stop.is_set()
    }

    pub(super) fn pass(&self, client: u32) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(client + 1);
        self.moved.notify_all();
    }

    /// Makes waiting threads check again whether the round stops.
    pub(super) fn wake(&self) {
        drop(self.next.lock());
        self.moved.notify_all();
    }
}

/// Stops the other workers if this one panics, as a caller's iterator or callback may.
pub(super) struct StopOnPanic<'a> {
    pub(super) stop: &'a Stop,
    pub(super) sequencer: &'a Sequencer,
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop.set();
            self.sequencer.wake();
        }
    }
}
