//! The mean without weights.

use serde::{Deserialize, Serialize};

use super::state::MeanState;
#[cfg(doc)]
use super::weighted::Mean;
#[cfg(doc)]
use crate::federated::aggregation::sums::SecureClippingSum;
use crate::federated::{
    Clients, Server,
    aggregation::{
        factory::{AggregationFactory, Step},
        floats::{self, Floats},
        privacy_cost::PrivacyCost,
        sums::Sum,
    },
    computation::Value,
};

/// The unweighted mean over all clients (TFF: `UnweightedMeanFactory`).
///
/// Two inner aggregations sum values and ones, each in the clear or securely, and the server
/// divides. The result is the mean of the values as their sum counts them: clipped, if they are
/// beyond its bounds. As in a [`Mean`], a count of zero or a mean that is not finite ends a run.
/// Measurements are those of both sums: `mean_value`, `mean_count`.
///
/// [`SecureClippingSum::with_bits`] sets the bits of a value. Then this is the mean of
/// [`secure_mean`](crate::federated::LocalExecutor::secure_mean) as a process, within the same
/// error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnweightedMean<V = Sum, C = Sum> {
    values: V,
    counts: C,
    no_nan_division: bool,
}

impl<V, C> UnweightedMean<V, C> {
    /// A mean with these sums of values and of ones.
    pub fn new(values: V, counts: C) -> Self {
        Self { values, counts, no_nan_division: false }
    }

    /// Defines the mean as zero if no client is counted (TFF: `no_nan_division`).
    #[must_use]
    pub fn no_nan_division(self) -> Self {
        Self { no_nan_division: true, ..self }
    }
}

/// In the clear: both sums are [`Sum`].
impl Default for UnweightedMean {
    fn default() -> Self {
        Self::new(Sum, Sum)
    }
}

/// The measurements of an [`UnweightedMean`]: those of its sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnweightedMeanMeasurements<V, C> {
    /// The measurements of the sum of values.
    pub mean_value: V,
    /// The measurements of the sum of ones.
    pub mean_count: C,
}

impl<T, V, C> AggregationFactory<T> for UnweightedMean<V, C>
where
    T: Floats,
    V: AggregationFactory<T, Result = T>,
    C: AggregationFactory<u32, Result = u64>,
{
    type State = MeanState<V::State, <C as AggregationFactory<u32>>::State>;
    type Result = T;
    type Measurements =
        UnweightedMeanMeasurements<V::Measurements, <C as AggregationFactory<u32>>::Measurements>;

    fn initialize(&self) -> Self::State {
        MeanState { values: self.values.initialize(), weights: self.counts.initialize() }
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, T, Self::Measurements> {
        let counts = self.counts.next(&state.map(|state| state.weights.clone()), &values.map(|_| 1));
        let values = self.values.next(&state.map(|state| state.values.clone()), values);
        let no_nan_division = self.no_nan_division;
        let result = values.result.zip(&counts.result).fallible("divide", move |(sums, count)| {
            #[expect(clippy::cast_precision_loss, reason = "clients are numbered by 32 bits")]
            let count = *count as f64;
            Ok(floats::mean(sums, count, no_nan_division)?)
        });
        let state = values.state.zip(&counts.state);
        let measurements = values.measurements.zip(&counts.measurements);
        let state =
            state.map(|(values, counts)| MeanState { values: values.clone(), weights: counts.clone() });
        let measurements = measurements.map(|(value, count)| UnweightedMeanMeasurements {
            mean_value: value.clone(),
            mean_count: count.clone(),
        });
        // However the ones are summed, the result shows how many clients take part and nothing of
        // their values.
        let cost = PrivacyCost::of_all([values.cost, PrivacyCost::participation().into()]);
        Step::new(state, result, measurements).with_cost(cost)
    }
}
