//! Counts the finished work of a run, and reports it to the caller.

use core::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use crate::federated::report::{Phase, Progress};

/// The callback asked for the run to stop.
#[derive(Clone, Copy, Debug)]
pub(in crate::federated) struct Cancelled;

/// Calls the caller's callback from the thread that did the work.
pub(in crate::federated) struct Counter<'a> {
    callback: &'a (dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync),
    state: Mutex<Done>,
    total: u64,
}

#[derive(Default)]
struct Done {
    ciphertexts: u64,
    cancelled: bool,
}

impl<'a> Counter<'a> {
    pub(in crate::federated) fn new(
        callback: &'a (dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync),
        total: u64,
    ) -> Self {
        Self { callback, state: Mutex::default(), total }
    }

    /// Counts ciphertexts and calls back.
    pub(in crate::federated) fn add(&self, phase: Phase, ciphertexts: usize) -> Result<(), Cancelled> {
        // Locked during the call, so that the caller sees increasing numbers.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.cancelled {
            state.ciphertexts += ciphertexts as u64;
            let progress = Progress { phase, done: state.ciphertexts, total: self.total };
            state.cancelled = (self.callback)(&progress).is_break();
        }
        if state.cancelled { Err(Cancelled) } else { Ok(()) }
    }

    /// Counts ciphertexts that will not arrive.
    pub(in crate::federated) fn skip(&self, ciphertexts: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ciphertexts += ciphertexts;
    }
}
