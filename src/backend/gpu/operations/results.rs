//! The results of a batch, read back to the host.

use std::{
    collections::VecDeque,
    ops::Range,
    panic,
    thread::{Scope, ScopedJoinHandle},
};

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
pub(crate) type Expected<'a, U> = dyn Fn(usize) -> Pair<U> + Sync + 'a;

/// The results of a batch. Several threads copy them from download buffers directly to the memory
/// that the caller receives. That memory is prepared while the device works.
///
/// They are wiped if they are dropped before [`into_pairs`](Self::into_pairs).
pub(crate) struct Results<'scope, 'env, U: Limbs> {
    runtime: &'env Runtime,
    pairs: Zeroizing<Vec<Pair<U>>>,
    samples: Option<Samples<'scope, 'env, U>>,
}

/// One result of every piece, which the host computes too.
///
/// A thread computes it while the device works on the piece. The host needs as long for a power as
/// a card for thousands, so pieces would otherwise wait for it.
struct Samples<'scope, 'env, U: Limbs> {
    scope: &'scope Scope<'scope, 'env>,
    expected: &'env Expected<'env, U>,
    /// The samples of the pieces in flight, oldest first: their indices, and the threads that
    /// compute them.
    in_flight: VecDeque<(usize, ScopedJoinHandle<'scope, Computed<U>>)>,
}

/// One result, which may be secret. It is in a list, which is wiped. A result inside of the thread's
/// handle would leave a copy there.
type Computed<U> = Zeroizing<Vec<Pair<U>>>;

impl<'scope, 'env, U: Limbs> Results<'scope, 'env, U> {
    /// For `len` results.
    pub(crate) fn new(runtime: &'env Runtime, len: usize) -> Self {
        // The full capacity at once, because growth would leave copies of secrets behind.
        Self { runtime, pairs: Zeroizing::new(Vec::with_capacity(len)), samples: None }
    }

    /// For `len` results, one of which is compared with `expected` in every piece.
    pub(crate) fn sampled(
        runtime: &'env Runtime,
        len: usize,
        scope: &'scope Scope<'scope, 'env>,
        expected: &'env Expected<'env, U>,
    ) -> Self {
        let samples = Some(Samples { scope, expected, in_flight: VecDeque::new() });
        Self { samples, ..Self::new(runtime, len) }
    }

    pub(crate) fn into_pairs(mut self) -> Vec<Pair<U>> {
        core::mem::take(&mut *self.pairs)
    }
}

impl<U: Limbs> Collect for Results<'_, '_, U> {
    fn prepare(&mut self, items: &Range<usize>) {
        if let Some(Samples { scope, expected, in_flight }) = &mut self.samples {
            let (sample, expected) = (random_index(items), *expected);
            in_flight.push_back((sample, scope.spawn(move || Zeroizing::new(vec![expected(sample)]))));
        }
        memory::grow_pairs(&self.runtime.threads, items.end, &mut self.pairs);
    }

    fn take(&mut self, items: Range<usize>, words: &[u32]) -> Result<(), Fault> {
        memory::write_pairs(&self.runtime.threads, words, &mut self.pairs[items]);
        let Some(samples) = &mut self.samples else { return Ok(()) };
        let (sample, expected) = samples.in_flight.pop_front().expect("every piece was prepared");
        let expected = expected.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        self.runtime.device.check_sample(self.pairs[sample] == expected[0], "the results")
    }
}
