//! Sums in the clear, for debugging: the same slots, added without any cryptography.

use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::federated::round::plan::Chunk;

/// The sums of a run in progress, and how many clients are in each.
#[derive(Debug)]
pub(in crate::federated) struct ClearSums {
    chunks: Vec<Mutex<(u64, Zeroizing<Vec<u128>>)>>,
}

impl ClearSums {
    pub(in crate::federated) fn new(chunks: &[Chunk]) -> Self {
        let zero = |chunk: &Chunk| Mutex::new((0, Zeroizing::new(vec![0; chunk.values()])));
        Self { chunks: chunks.iter().map(zero).collect() }
    }

    /// Adds a client's slots. The layout of the chunk has room for all clients.
    pub(in crate::federated) fn add(&self, chunk: usize, slots: &[u64]) {
        let mut sum = self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner);
        sum.0 += 1;
        sum.1.iter_mut().zip(slots).for_each(|(sum, slot)| *sum += u128::from(*slot));
    }

    /// Ends a chunk's sum: the number of clients in it, and the sums.
    pub(in crate::federated) fn finish(&self, chunk: usize) -> (u64, Zeroizing<Vec<u128>>) {
        core::mem::take(&mut *self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner))
    }
}
