//! Means: a sum of weighted values over a sum of weights, each of them an aggregation of its own.

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::SecureSum;
use super::{Aggregation, Counts, Floats, Price, Step, Sum, WeightedAggregation, floats};
use crate::federated::{Clients, Error, Server, Value, tensor::weight::float_weight};

/// The mean with weights, `Σ wᵢ·xᵢ / Σ wᵢ` (TFF: `MeanFactory`).
///
/// Clients multiply their values by their weights. Two inner aggregations, both of them sums, sum up products and weights,
/// each in the clear or securely, and the server divides. It sees what those show: both sums, not only the mean.
///
/// A weight that is negative or not finite is refused at its client ([`Error::Weight`]); one below 2⁻¹⁰⁰ counts as zero.
/// A total weight of zero ends a run with [`Error::ZeroTotalWeight`], where TFF's mean is not a number, unless
/// [`no_nan_division`](Self::no_nan_division) makes the mean zero then. A mean that is not finite ends it with
/// [`Error::NotFiniteSum`].
///
/// # What the mean is
///
/// Clients multiply by the weight [as the sum of weights counts it](Aggregation::admitted), clipped and rounded, so that
/// both sums have the same weights. **TFF multiplies by the weight as it is**, and clips it in its sum only: there, three
/// clients with values of 0.5 and weights of 2,000,000, clipped to 1,048,575, have a mean of 0.95. Where no weight is
/// beyond its bounds, as in all tests of TFF, the means are the same.
///
/// Let eᵥ be half a step of the sum of products between bounds b₁ and b₂: (b₂ − b₁)/(2³² − 1)/2 for a [`SecureSum`],
/// (b₂ − b₁)/(2ᵇ − 2)/2 for one [with b bits](SecureSum::with_bits), 0 for a [`Sum`]. For n clients and a total weight w, and but for roundings of the elements' type,
///
/// - the mean is within n·eᵥ/w of the mean of the clients' values, with their admitted weights, if no product was clipped,
///   and so it is between the minimum and the maximum value, or out by that at most;
/// - a product that was clipped counts as one with a value nearer to zero, since bounds of the products are widened to
///   include zero: the mean is then between the minimum and the maximum of the values and zero, or out by that at most.
///
/// Noise in one of the sums comes on top.
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
    /// A mean with these sums of weighted values and of weights.
    pub fn new(sums: MeanSums<V, W>) -> Self {
        let MeanSums { values, weights } = sums;
        Self { values, weights, no_nan_division: false }
    }

    /// If all weights are zero, so is the mean (TFF: `no_nan_division`).
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
        let weights = weights.fallible("weight", |weight| float_weight(*weight));
        let weights_state = state.map(|state| state.weights.clone());
        let admitted = self.weights.admitted(&weights_state, &weights).fallible("weight", |&weight| {
            // Bounds below zero make weights negative.
            if weight.is_finite() && weight >= 0.0 { Ok(weight) } else { Err(Error::Weight) }
        });
        let weighted = values.zip(&admitted).keeping_structure();
        let products =
            weighted.map(|(values, weight)| floats::multiplied(values, *weight)).keeping_structure();
        let values_state = state.map(|state| state.values.clone());
        let values = self.values.next_toward_zero(&values_state, &products.named("weighted"));
        let weights = self.weights.next(&weights_state, &weights);

        let no_nan_division = self.no_nan_division;
        let result = values
            .result
            .zip(&weights.result)
            .fallible("divide", move |(sums, total)| floats::mean(sums, *total, no_nan_division));
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
/// Two inner aggregations, both of them sums, sum up values and ones, each in the clear or securely, and the server divides.
/// It is the mean of the values as their sum counts them: clipped, if they are beyond its bounds. As in a [`Mean`], a count of
/// zero and a mean that is not finite end a run.
///
/// [`SecureSum::with_bits`] states the bits of a value. Then this is the mean that
/// [`secure_mean`](crate::federated::LocalExecutor::secure_mean) gives, as a process, and within the same error.
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

    /// If no client is counted, the mean is zero (TFF: `no_nan_division`).
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
        let no_nan_division = self.no_nan_division;
        let result = values.result.zip(&counts.result).fallible("divide", move |(sums, count)| {
            #[expect(clippy::cast_precision_loss, reason = "clients are numbered by 32 bits")]
            let count = *count as f64;
            floats::mean(sums, count, no_nan_division)
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
