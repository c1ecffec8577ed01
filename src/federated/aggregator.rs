//! What the aggregator does: multiply ciphertexts. It knows the public key and who contributes.

use std::sync::{Mutex, PoisonError};

use super::{
    Aggregator, At, LocalExecutor, Placed,
    message::{Contribution, EncryptedSum},
    plan::Chunk,
};
use crate::{
    Error, Result,
    paillier::{Accumulator, KeySize, PublicKey},
};

/// The sums of a run in progress: one accumulator for each chunk, whatever the number of clients.
#[derive(Debug)]
pub(super) struct Sums<S: KeySize> {
    chunks: Vec<Mutex<Option<Accumulator<S>>>>,
}

impl<S: KeySize> Sums<S> {
    pub(super) fn new(key: &PublicKey<S>, chunks: &[Chunk]) -> Self {
        let accumulator = |chunk: &Chunk| Mutex::new(Some(key.accumulator(chunk.plaintexts)));
        Self { chunks: chunks.iter().map(accumulator).collect() }
    }

    /// Adds a client's part. Waits for the lock on the calling thread, which must be none of the executor's pool: one
    /// of those would take up other tasks while it holds the lock, and might meet it again.
    pub(super) fn add(
        &self,
        executor: &LocalExecutor<S>,
        chunk: usize,
        contribution: Placed<Contribution<S>, Aggregator>,
        here: &At<Aggregator>,
    ) -> Result<()> {
        let mut sum = self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sum.as_mut().expect("nothing is added after the end");
        let contribution = contribution.into_inner(here);
        executor.on_pool(|| sum.add(&contribution.ciphertexts))
    }

    /// Ends a chunk's sum.
    pub(super) fn finish(
        &self,
        executor: &LocalExecutor<S>,
        chunk: usize,
        here: &At<Aggregator>,
    ) -> Result<Placed<EncryptedSum<S>, Aggregator>> {
        let mut sum = self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sum.take().ok_or(Error::EmptySum)?;
        let contributions = sum.contributions();
        let ciphertexts = executor.on_pool(|| sum.finish())?;
        Ok(Placed::new(EncryptedSum { contributions, ciphertexts }, here))
    }
}
