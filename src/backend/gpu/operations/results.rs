//! Results of a batch, on their way to where they stay.

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

/// What a result must be, by its index.
pub(crate) type Expected<'a, U> = dyn Fn(usize) -> Pair<U> + 'a;

/// Results of a batch. They are read by several threads from the buffers that they came down in, straight into the memory
/// that the caller gets. That memory is made ready while the device works.
///
/// Wiped, if they are dropped before they are [taken](Self::into_pairs).
pub(crate) struct Results<'a, U: Limbs> {
    runtime: &'a Runtime,
    pairs: Zeroizing<Vec<Pair<U>>>,
    /// One result of every piece is compared with it.
    expected: Option<&'a Expected<'a, U>>,
}

impl<'a, U: Limbs> Results<'a, U> {
    /// For `len` results.
    pub(crate) fn new(runtime: &'a Runtime, len: usize, expected: Option<&'a Expected<'a, U>>) -> Self {
        // Room for all from the start: growing would leave copies behind.
        Self { runtime, pairs: Zeroizing::new(Vec::with_capacity(len)), expected }
    }

    pub(crate) fn into_pairs(mut self) -> Vec<Pair<U>> {
        core::mem::take(&mut *self.pairs)
    }
}

impl<U: Limbs> Collect for Results<'_, U> {
    fn expect(&mut self, items: &Range<usize>) {
        memory::grow_pairs(&self.runtime.threads, items.end, &mut self.pairs);
    }

    fn take(&mut self, items: Range<usize>, words: &[u32]) -> Result<(), Fault> {
        memory::write_pairs(&self.runtime.threads, words, &mut self.pairs[items.clone()]);
        let Some(expected) = self.expected else { return Ok(()) };
        let sample = random_index(&items);
        self.runtime.device.check_sample(self.pairs[sample] == expected(sample), "the results")
    }
}
