//! Means: a sum of weighted values over a sum of weights, each of them an aggregation of its own.

use serde::{Deserialize, Serialize};

use super::{Aggregation, Counts, Floats, Price, Step, Sum, WeightedAggregation, floats};
use crate::{
    Error,
    federated::{Clients, Server, Value},
};

/// The mean with weights, `Σ wᵢ·xᵢ / Σ wᵢ` (TFF: `MeanFactory`).
///
/// Clients multiply their values by their weights. Two inner aggregations sum up products and weights, each in the clear
/// or securely, and the server divides. It sees what those show: both sums, not only the mean.
///
/// A weight that is negative or not finite is refused at its client ([`Error::Weight`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean<V = Sum, W = Sum> {
    values: V,
    weights: W,
    no_nan_division: bool,
}

/// The two sums of a [`Mean`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanSums<V, W> {
    /// Sums up the weighted values.
    pub values: V,
    /// Sums up the weights.
    pub weights: W,
}

impl<V, W> Mean<V, W> {
    /// A mean with these sums of weighted values and of weights. If all weights are zero, it is not a number.
    pub fn new(sums: MeanSums<V, W>) -> Self {
        let MeanSums { values, weights } = sums;
        Self { values, weights, no_nan_division: false }
    }

    /// If all weights are zero, so is the mean.
    #[must_use]
    pub fn no_nan_division(self) -> Self {
        Self { no_nan_division: true, ..self }
    }
}

/// In the clear: both sums are [`Sum`].
impl Default for Mean {
    fn default() -> Self {
        Self::new(MeanSums { values: Sum, weights: Sum })
    }
}

/// State of a [`Mean`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeanState<V, W> {
    /// State of the sum of weighted values.
    pub values: V,
    /// State of the sum of weights.
    pub weights: W,
}

/// What a [`Mean`] measures: what its sums do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeanMeasurements<V, W> {
    /// Of the sum of weighted values.
    pub mean_value: V,
    /// Of the sum of weights.
    pub mean_weight: W,
}

impl<T, V, W> WeightedAggregation<T> for Mean<V, W>
where
    T: Floats,
    V: Aggregation<T, Result = T>,
    W: Aggregation<f64, Result = f64>,
{
    type State = MeanState<V::State, W::State>;
    type Result = T;
    type Measurements = MeanMeasurements<V::Measurements, W::Measurements>;

    fn initialize(&self) -> Self::State {
        MeanState { values: self.values.initialize(), weights: self.weights.initialize() }
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
        weights: &Value<f64, Clients>,
    ) -> Step<Self::State, T, Self::Measurements> {
        let weights = weights.fallible("weight", |weight| {
            if weight.is_finite() && *weight >= 0.0 { Ok(*weight) } else { Err(Error::Weight) }
        });
        let products = values.zip(&weights).map(|(values, weight)| floats::multiplied(values, *weight));
        let values = self.values.next(&state.map(|state| state.values.clone()), &products.named("weighted"));
        let weights = self.weights.next(&state.map(|state| state.weights.clone()), &weights);

        let no_nan_division = self.no_nan_division;
        let result = values.result.zip(&weights.result).map(move |(values, weight)| {
            let divisor = if no_nan_division && *weight == 0.0 { f64::INFINITY } else { *weight };
            floats::divided(values, divisor)
        });
        let state = values.state.zip(&weights.state);
        let measurements = values.measurements.zip(&weights.measurements);
        let state =
            state.map(|(values, weights)| MeanState { values: values.clone(), weights: weights.clone() });
        let measurements = measurements.map(|(value, weight)| MeanMeasurements {
            mean_value: value.clone(),
            mean_weight: weight.clone(),
        });
        // A client's weight is part of its value: both sums are released.
        Step::new(state, result, measurements).priced(Price::of_all([values.price, weights.price]))
    }
}

/// The mean of all clients alike (TFF: `UnweightedMeanFactory`).
///
/// Two inner aggregations sum up values and ones, each in the clear or securely, and the server divides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnweightedMean<V = Sum, C = Sum> {
    values: V,
    counts: C,
}

impl<V, C> UnweightedMean<V, C> {
    /// A mean with these sums of values and of ones.
    pub fn new(values: V, counts: C) -> Self {
        Self { values, counts }
    }
}

/// In the clear: both sums are [`Sum`].
impl Default for UnweightedMean {
    fn default() -> Self {
        Self::new(Sum, Sum)
    }
}

/// State of an [`UnweightedMean`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnweightedMeanState<V, C> {
    /// State of the sum of values.
    pub values: V,
    /// State of the sum of ones.
    pub counts: C,
}

/// What an [`UnweightedMean`] measures: what its sums do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnweightedMeanMeasurements<V, C> {
    /// Of the sum of values.
    pub mean_value: V,
    /// Of the sum of ones.
    pub mean_count: C,
}

impl<T, V, C> Aggregation<T> for UnweightedMean<V, C>
where
    T: Floats,
    V: Aggregation<T, Result = T>,
    C: Counts,
{
    type State = UnweightedMeanState<V::State, <C as Aggregation<u32>>::State>;
    type Result = T;
    type Measurements = UnweightedMeanMeasurements<V::Measurements, <C as Aggregation<u32>>::Measurements>;

    fn initialize(&self) -> Self::State {
        UnweightedMeanState { values: self.values.initialize(), counts: self.counts.initialize() }
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, T, Self::Measurements> {
        let counts = self.counts.next(&state.map(|state| state.counts.clone()), &values.map(|_| 1));
        let values = self.values.next(&state.map(|state| state.values.clone()), values);
        let result = values.result.zip(&counts.result).map(|(values, count)| {
            #[expect(clippy::cast_precision_loss, reason = "clients are numbered by 32 bits")]
            let count = *count as f64;
            floats::divided(values, count)
        });
        let state = values.state.zip(&counts.state);
        let measurements = values.measurements.zip(&counts.measurements);
        let state = state
            .map(|(values, counts)| UnweightedMeanState { values: values.clone(), counts: counts.clone() });
        let measurements = measurements.map(|(value, count)| UnweightedMeanMeasurements {
            mean_value: value.clone(),
            mean_count: count.clone(),
        });
        // However the ones are summed up, the result tells how many clients take part and nothing of their values.
        let price = Price::of_all([values.price, Price::participation().into()]);
        Step::new(state, result, measurements).priced(price)
    }
}
