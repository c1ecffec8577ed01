//! The results of a batch, read back to the host.

use std::ops::Range;

use zeroize::Zeroizing;

use super::sample::random_index;
use crate::{
    backend::gpu::{
        device::Fault,
        memory,
        stream::{Collect, Runtime},
    },
    residue::{Limbs, Pair},
};

/// The correct result, by its index.
pub(crate) type Expected<'a, U> = dyn Fn(usize) -> Pair<U> + 'a;

/// The results of a batch. Several threads copy them from download buffers directly to the memory
/// that the caller receives. That memory is prepared while the device works.
///
/// They are wiped if they are dropped before [`into_pairs`](Self::into_pairs).
pub(crate) struct Results<'a, U: Limbs> {
    runtime: &'a Runtime,
    pairs: Zeroizing<Vec<Pair<U>>>,
    /// One result of every piece is compared with this function's.
    expected: Option<&'a Expected<'a, U>>,
}

impl<'a, U: Limbs> Results<'a, U> {
    /// For `len` results.
    pub(crate) fn new(runtime: &'a Runtime, len: usize, expected: Option<&'a Expected<'a, U>>) -> Self {
        // The full capacity at once, because growth would leave copies of secrets behind.
        Self { runtime, pairs: Zeroizing::new(Vec::with_capacity(len)), expected }
    }

    pub(crate) fn into_pairs(mut self) -> Vec<Pair<U>> {
        core::mem::take(&mut *self.pairs)
    }
}

impl<U: Limbs> Collect for Results<'_, U> {
    fn prepare(&mut self, items: &Range<usize>) {
        memory::grow_pairs(&self.runtime.threads, items.end, &mut self.pairs);
    }

    fn take(&mut self, items: Range<usize>, words: &[u32]) -> Result<(), Fault> {
        memory::write_pairs(&self.runtime.threads, words, &mut self.pairs[items.clone()]);
        let Some(expected) = self.expected else { return Ok(()) };
        let sample = random_index(&items);
        self.runtime.device.check_sample(self.pairs[sample] == expected(sample), "the results")
    }
}
