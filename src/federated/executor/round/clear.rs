//! Sums in the clear, for debugging: the same slots, added without cryptography.

use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::federated::round::chunking::Chunk;

/// The sums of a run in progress.
#[derive(Debug)]
pub(super) struct ClearSums {
    chunks: Vec<Mutex<Zeroizing<Vec<u128>>>>,
}

impl ClearSums {
    pub(super) fn new(chunks: impl Iterator<Item = Chunk>) -> Self {
        let zero = |chunk: Chunk| Mutex::new(Zeroizing::new(vec![0; chunk.values()]));
        Self { chunks: chunks.map(zero).collect() }
    }

    /// Adds a client's slots. The layout of the chunk has room for all clients.
    pub(super) fn add(&self, chunk: usize, slots: &[u64]) {
        let mut sum = self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner);
        sum.iter_mut().zip(slots).for_each(|(sum, slot)| *sum += u128::from(*slot));
    }

    /// Finishes a chunk's sum.
    pub(super) fn finish(&mut self, chunk: usize) -> Zeroizing<Vec<u128>> {
        core::mem::take(self.chunks[chunk].get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}
