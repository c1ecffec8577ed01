//! What a run gives.

use super::Report;

/// What a run gives: its value, what it measured, and what happened in its rounds.
///
/// | run | `value` | `measurements` |
/// | :-- | :-- | :-- |
/// | [`LocalExecutor::secure_sum`](super::LocalExecutor::secure_sum) and the means | the sum or mean, at the server | `()` |
/// | [`LocalExecutor::run`](super::LocalExecutor::run) | the [outputs](super::Computation) | `()` |
/// | [`Process::run`](super::aggregation::Process::run) | the aggregate | those of the [aggregation](super::aggregation::Aggregation) |
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Outcome<T, M = ()> {
    /// The result.
    pub value: T,
    /// What an aggregation measured beside it.
    pub measurements: M,
    /// One report for each round over the clients. Sums, means and the aggregations of this crate have one round; a
    /// [`Computation`](super::Computation) has [as many](super::Computation::rounds) as it needs, none if it is all at the
    /// server. Traffic between clients and server is also what travelled in the clear: broadcasts, and values that left the
    /// clients outside secure operations.
    pub rounds: Vec<Report>,
}

impl<T, M> Outcome<T, M> {
    pub(super) const fn new(value: T, measurements: M, rounds: Vec<Report>) -> Self {
        Self { value, measurements, rounds }
    }

    /// The report of the only round, or of the last one.
    ///
    /// # Panics
    ///
    /// If there was no round over the clients: a [`Computation`](super::Computation) of the server's values only.
    pub fn report(&self) -> &Report {
        self.rounds.last().expect("a computation of the server's values only has no rounds")
    }
}
