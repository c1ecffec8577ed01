//! Clipping: values whose norm is too large are scaled down.

use serde::{Deserialize, Serialize};

use super::limit::{Limit, LimitRule, StateOf};
use crate::{
    federated::{
        Clients, Server,
        aggregation::{
            estimation::Estimation,
            factory::{AggregationFactory, Step, WeightedAggregationFactory},
            floats::{self, Floats, NormOrder},
            sums::{SecureClippingSum, counts},
        },
        computation::Value,
    },
    packing::IntegerRange,
    privacy::finite_or_none,
};

/// Scales every client's values to an L2 norm of at most an estimate, before an inner aggregation
/// receives them (TFF: `clipping_factory`).
///
/// The norm is that of all tensors together. Values with a larger norm are multiplied by estimate
/// divided by norm. Weights do not change. The estimate learns from the norms before clipping.
///
/// Measurements are the norm, the number of clipped clients (a secure sum), and the measurements of
/// the inner aggregation: `clipping_norm`, `clipped_count`, `inner`.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Clipping, Fixed, Process, SecureClippingSum}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut sum = Process::new(Clipping::new(Fixed::new(2.0)?, SecureClippingSum::floats_up_to(2.0)?));
/// let round = sum.run(&executor, [1.0_f32, 3.0, 5.0])?;
/// assert!((round.value - 5.0).abs() < 1e-6);
/// assert_eq!((round.measurements.clipped_count, round.measurements.clipping_norm), (2, 2.0));
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clipping<N, A, C = SecureClippingSum<IntegerRange>> {
    limit: Limit<N, C>,
    inner: A,
}

impl<N, A> Clipping<N, A> {
    /// Clips to an estimated norm. An estimate below zero counts as zero. A
    /// [fixed](crate::federated::aggregation::Fixed) norm below zero, or an estimate that is not a
    /// number, ends a run with
    /// [`aggregation::Error::NormLimit`](crate::federated::aggregation::Error::NormLimit).
    pub fn new(norm: N, inner: A) -> Self {
        Self { limit: Limit { norm, counts: counts() }, inner }
    }
}

impl<N, A, C> Clipping<N, A, C> {
    /// The same, with a count by another aggregation.
    pub fn counted_by<D: AggregationFactory<u32, Result = u64>>(self, counts: D) -> Clipping<N, A, D> {
        Clipping { limit: Limit { norm: self.limit.norm, counts }, inner: self.inner }
    }
}

/// The measurements of a [`Clipping`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClippingMeasurements<M> {
    /// Clients whose norm was above the clipping norm.
    pub clipped_count: u64,
    /// The norm to which this round clipped.
    #[serde(with = "finite_or_none")]
    pub clipping_norm: f64,
    /// The measurements of the inner aggregation.
    pub inner: M,
}

impl<M> ClippingMeasurements<M> {
    fn new(clipped_count: u64, clipping_norm: f64, inner: M) -> Self {
        Self { clipped_count, clipping_norm, inner }
    }
}

impl<T, N, A, C> AggregationFactory<T> for Clipping<N, A, C>
where
    T: Floats,
    N: Estimation,
    A: AggregationFactory<T>,
    C: AggregationFactory<u32, Result = u64>,
{
    type State = StateOf<N, C, A::State>;
    type Result = A::Result;
    type Measurements = ClippingMeasurements<A::Measurements>;

    fn initialize(&self) -> Self::State {
        self.limit.initialize(self.inner.initialize())
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, A::Result, Self::Measurements> {
        let inner = |state: &_, values: &_| self.inner.next(state, values);
        self.limit.next(&by_norm(), state, values, inner, ClippingMeasurements::new)
    }

    fn admitted(&self, state: &Value<Self::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let values = self.limit.apply_limit(&by_norm(), &state.map(|state| state.norm.clone()), values);
        self.inner.admitted(&state.map(|state| state.inner.clone()), &values)
    }

    fn next_toward_zero(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, A::Result, Self::Measurements> {
        let inner = |state: &_, values: &_| self.inner.next_toward_zero(state, values);
        self.limit.next(&by_norm(), state, values, inner, ClippingMeasurements::new)
    }
}

impl<T, N, A, C> WeightedAggregationFactory<T> for Clipping<N, A, C>
where
    T: Floats,
    N: Estimation,
    A: WeightedAggregationFactory<T>,
    C: AggregationFactory<u32, Result = u64>,
{
    type State = StateOf<N, C, A::State>;
    type Result = A::Result;
    type Measurements = ClippingMeasurements<A::Measurements>;

    fn initialize(&self) -> Self::State {
        self.limit.initialize(self.inner.initialize())
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
        weights: &Value<f64, Clients>,
    ) -> Step<Self::State, A::Result, Self::Measurements> {
        let inner = |state: &_, values: &_| self.inner.next(state, values, weights);
        self.limit.next(&by_norm(), state, values, inner, ClippingMeasurements::new)
    }
}

fn by_norm<T: Floats>() -> LimitRule<T> {
    LimitRule {
        name: "clipped",
        norm: |values| NormOrder::L2.of(values),
        // A NaN norm is not above the limit: the sum will refuse such values.
        is_above: |norm, limit| norm > limit,
        apply: floats::shortened,
    }
}
