//! Zeroing: values whose norm is far too large count as zero.

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

/// Replaces every client's values by zeros if their norm is strictly above an estimate, before an
/// inner aggregation receives them (TFF: `zeroing_factory`).
///
/// Use it against faulty clients whose values would distort the sum even when clipped. Values that
/// are infinite or NaN are replaced as well; TFF keeps NaN. Weights do not change. The norm is that
/// of all tensors together, and the estimate learns from it.
///
/// Measurements are the norm, the number of zeroed clients (a secure sum), and the measurements of
/// the inner aggregation: `zeroing_norm`, `zeroed_count`, `inner`.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Fixed, NormOrder, Process, SecureClippingSum, Zeroing}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let sum = SecureClippingSum::floats_up_to(10.0)?;
/// let mut process = Process::new(Zeroing::new(Fixed::new(10.0)?, NormOrder::LInf, sum));
/// let round = process.run(&executor, [1.0_f32, 1e30, 5.0])?;
/// assert!((round.value - 6.0).abs() < 1e-6);
/// assert_eq!((round.measurements.zeroed_count, round.measurements.zeroing_norm), (1, 10.0));
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zeroing<N, A, C = SecureClippingSum<IntegerRange>> {
    limit: Limit<N, C>,
    order: NormOrder,
    inner: A,
}

impl<N, A> Zeroing<N, A> {
    /// Zeroes values whose norm is above an estimated one. An estimate below zero counts as zero. A
    /// [fixed](crate::federated::aggregation::Fixed) norm below zero, or an estimate that is not a
    /// number, ends a run with
    /// [`aggregation::Error::NormLimit`](crate::federated::aggregation::Error::NormLimit).
    pub fn new(norm: N, order: NormOrder, inner: A) -> Self {
        Self { limit: Limit { norm, counts: counts() }, order, inner }
    }
}

impl<N, A, C> Zeroing<N, A, C> {
    /// The same, with a count by another aggregation.
    pub fn counted_by<D: AggregationFactory<u32, Result = u64>>(self, counts: D) -> Zeroing<N, A, D> {
        Zeroing { limit: Limit { norm: self.limit.norm, counts }, order: self.order, inner: self.inner }
    }
}

/// The measurements of a [`Zeroing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ZeroingMeasurements<M> {
    /// Clients whose norm was above the zeroing norm.
    pub zeroed_count: u64,
    /// The norm above which this round zeroed.
    #[serde(with = "finite_or_none")]
    pub zeroing_norm: f64,
    /// The measurements of the inner aggregation.
    pub inner: M,
}

impl<M> ZeroingMeasurements<M> {
    fn new(zeroed_count: u64, zeroing_norm: f64, inner: M) -> Self {
        Self { zeroed_count, zeroing_norm, inner }
    }
}

impl<T, N, A, C> AggregationFactory<T> for Zeroing<N, A, C>
where
    T: Floats,
    N: Estimation,
    A: AggregationFactory<T>,
    C: AggregationFactory<u32, Result = u64>,
{
    type State = StateOf<N, C, A::State>;
    type Result = A::Result;
    type Measurements = ZeroingMeasurements<A::Measurements>;

    fn initialize(&self) -> Self::State {
        self.limit.initialize(self.inner.initialize())
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, A::Result, Self::Measurements> {
        let inner = |state: &_, values: &_| self.inner.next(state, values);
        self.limit.next(&by_norm(self.order), state, values, inner, ZeroingMeasurements::new)
    }

    fn admitted(&self, state: &Value<Self::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let values =
            self.limit.apply_limit(&by_norm(self.order), &state.map(|state| state.norm.clone()), values);
        self.inner.admitted(&state.map(|state| state.inner.clone()), &values)
    }

    fn next_toward_zero(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, A::Result, Self::Measurements> {
        let inner = |state: &_, values: &_| self.inner.next_toward_zero(state, values);
        self.limit.next(&by_norm(self.order), state, values, inner, ZeroingMeasurements::new)
    }
}

impl<T, N, A, C> WeightedAggregationFactory<T> for Zeroing<N, A, C>
where
    T: Floats,
    N: Estimation,
    A: WeightedAggregationFactory<T>,
    C: AggregationFactory<u32, Result = u64>,
{
    type State = StateOf<N, C, A::State>;
    type Result = A::Result;
    type Measurements = ZeroingMeasurements<A::Measurements>;

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
        self.limit.next(&by_norm(self.order), state, values, inner, ZeroingMeasurements::new)
    }
}

fn by_norm<T: Floats>(order: NormOrder) -> LimitRule<T> {
    LimitRule {
        name: "zeroed",
        norm: match order {
            NormOrder::L2 => |values| NormOrder::L2.of(values),
            NormOrder::LInf => |values| NormOrder::LInf.of(values),
        },
        is_above,
        apply: |values, norm, limit| floats::zeros_if(values, is_above(norm, limit)),
    }
}

/// An infinite or NaN norm is above every limit.
fn is_above(norm: f64, limit: f64) -> bool {
    (norm > limit) | !norm.is_finite()
}
