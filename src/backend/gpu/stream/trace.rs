//! A trace of the stages of each piece, for tests.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
    time::Instant,
};

use crate::backend::gpu::sync::lock;

/// Stages of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Its words are in an upload buffer.
    Filled,
    /// Its copies and kernels have been submitted.
    Launched,
    /// The device has finished its copies and kernels.
    Finished,
    /// The caller has its results, and its buffers have been released.
    Collected,
}

/// A piece that has reached a stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// The number of the piece on this device.
    pub(crate) piece: u64,
    pub(crate) stage: Stage,
    /// The thread of the caller, or for [`Stage::Filled`] the thread that filled the piece.
    pub(crate) thread: ThreadId,
    pub(crate) at: Instant,
}

/// The events of a device.
#[derive(Default)]
pub(crate) struct Trace {
    pieces: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl Trace {
    /// Records the first stage of a piece, and returns the number of the piece.
    pub(crate) fn record_new(&self, stage: Stage) -> u64 {
        let piece = self.pieces.fetch_add(1, Ordering::Relaxed);
        self.record(piece, stage);
        piece
    }

    pub(crate) fn record(&self, piece: u64, stage: Stage) {
        let mut events = lock(&self.events);
        // The time is read while the lock is held, so that events are in the order of their times.
        events.push(Event { piece, stage, thread: thread::current().id(), at: Instant::now() });
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }
}
