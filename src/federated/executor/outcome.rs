//! The outcome of a run.

use crate::federated::report::Report;

/// The outcome of a run: its value, its measurements, and the reports of its rounds.
///
/// | run | `value` | `measurements` |
/// | :-- | :-- | :-- |
/// | [`LocalExecutor::secure_sum`](crate::federated::LocalExecutor::secure_sum) and the means | the sum or mean, at the server | `()` |
/// | [`LocalExecutor::run`](crate::federated::LocalExecutor::run) | the [outputs](crate::federated::computation::Computation) | `()` |
/// | [`Process::run`](crate::federated::aggregation::Process::run) | the aggregate | those of the [aggregation](crate::federated::aggregation::AggregationFactory) |
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Outcome<T, M = ()> {
    /// The result.
    pub value: T,
    /// Further measurements of an aggregation.
    pub measurements: M,
    /// One report for each round over the clients. Sums, means and the aggregations of this crate
    /// have one round. A [`Computation`](crate::federated::computation::Computation) has [as
    /// many](crate::federated::computation::Computation::rounds) as it needs, and none if all of its values are
    /// at the server. The traffic between clients and server includes messages in the clear:
    /// broadcasts, and values that left the clients outside secure operations.
    pub rounds: Vec<Report>,
}

impl<T, M> Outcome<T, M> {
    pub(in crate::federated) const fn new(value: T, measurements: M, rounds: Vec<Report>) -> Self {
        Self { value, measurements, rounds }
    }

    /// The report of the last round. Most runs have only one.
    ///
    /// # Panics
    ///
    /// If there was no round over the clients, because all values of the
    /// [`Computation`](crate::federated::computation::Computation) are at the server.
    pub fn report(&self) -> &Report {
        self.rounds.last().expect("the computation has a round over the clients")
    }
}
