//! What the aggregator does: multiply ciphertexts. It knows the public key and who contributes.

use std::sync::{Mutex, PoisonError};

use crate::federated::{
    Aggregator, At, LocalExecutor, Placed,
    channel::message::{Contribution, EncryptedSum},
    round::plan::Chunk,
};
use crate::{
    Result,
    paillier::{self, Accumulator, KeySize, PublicKey},
};

/// The sums of a run in progress: one accumulator for each chunk, whatever the number of clients.
#[derive(Debug)]
pub(in crate::federated) struct Sums<S: KeySize> {
    key: PublicKey<S>,
    chunks: Vec<Mutex<Option<Accumulator<S>>>>,
}

impl<S: KeySize> Sums<S> {
    pub(in crate::federated) fn new(key: &PublicKey<S>, chunks: &[Chunk]) -> Self {
        let accumulator = |chunk: &Chunk| Mutex::new(Some(key.accumulator(chunk.plaintexts)));
        Self { key: key.clone(), chunks: chunks.iter().map(accumulator).collect() }
    }

    pub(in crate::federated) fn backend_name(&self) -> &'static str {
        self.key.backend_name()
    }

    /// Refuses a client's part that cannot be added: of another key, length or range.
    pub(in crate::federated) fn check(
        &self,
        chunk: &Chunk,
        contribution: &Placed<Contribution<S>, Aggregator>,
        here: &At<Aggregator>,
    ) -> Result<()> {
        let ciphertexts = &contribution.get(here).ciphertexts;
        if ciphertexts.len() != chunk.plaintexts {
            let (expected, found) = (chunk.plaintexts, ciphertexts.len());
            return Err(paillier::Error::BatchLength { expected, found }.into());
        }
        Ok(self.key.check_batch(ciphertexts)?)
    }

    /// Adds a client's part. Waits for the lock on the calling thread, which must be none of the executor's pool: one
    /// of those would take up other tasks while it holds the lock, and might meet it again.
    pub(in crate::federated) fn add(
        &self,
        executor: &LocalExecutor<S>,
        chunk: usize,
        contribution: Placed<Contribution<S>, Aggregator>,
        here: &At<Aggregator>,
    ) -> Result<()> {
        let mut sum = self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sum.as_mut().expect("nothing is added after the end");
        let contribution = contribution.into_inner(here);
        Ok(executor.on_pool(|| sum.add(&contribution.ciphertexts))??)
    }

    /// Ends a chunk's sum.
    pub(in crate::federated) fn finish(
        &self,
        executor: &LocalExecutor<S>,
        chunk: usize,
        here: &At<Aggregator>,
    ) -> Result<Placed<EncryptedSum<S>, Aggregator>> {
        let mut sum = self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sum.take().ok_or(paillier::Error::EmptySum)?;
        let contributions = sum.contributions();
        let ciphertexts = executor.on_pool(|| sum.finish())??;
        Ok(Placed::new(EncryptedSum { contributions, ciphertexts }, here))
    }
}
