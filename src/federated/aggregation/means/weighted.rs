//! The mean with weights.

use serde::{Deserialize, Serialize};

use super::state::MeanState;
#[cfg(doc)]
use crate::federated::aggregation::sums::SecureClippingSum;
use crate::federated::{
    Clients, Server,
    aggregation::{
        factory::{AggregationFactory, Step, WeightedAggregationFactory},
        floats::{self, Floats},
        privacy_cost::PrivacyCost,
        sums::Sum,
    },
    computation::Value,
    tensor::{self, weight::float_weight},
};

/// The mean with weights, `Σ wᵢ·xᵢ / Σ wᵢ` (TFF: `MeanFactory`).
///
/// Clients multiply their values by their weights. Two inner aggregations sum the products and the
/// weights, each in the clear or securely, and the server divides. The server sees both sums, not
/// only the mean. Measurements are those of both sums: `mean_value`, `mean_weight`.
///
/// A weight that is negative or not finite is refused at its client ([`tensor::Error::Weight`]). A
/// weight below 2⁻¹⁰⁰ counts as zero. A total weight of zero ends a run with
/// [`tensor::Error::ZeroTotalWeight`], where TFF's mean is not a number;
/// [`no_nan_division`](Self::no_nan_division) defines the mean as zero instead. A mean that is not
/// finite ends the run with [`tensor::Error::NotFiniteSum`].
///
/// # Definition of the mean
///
/// Clients multiply by the weight [as the sum of weights counts it](AggregationFactory::admitted),
/// clipped and rounded, so that both sums have the same weights. **TFF multiplies by the original
/// weight**, and clips the weight only in its sum. For example, in TFF three clients with values of
/// 0.5 and weights of 2,000,000, clipped to 1,048,575, have a mean of 0.95. If no weight is beyond
/// its bounds, as in all tests of TFF, the means are the same.
///
/// Let eᵥ be half a step of the sum of products between bounds b₁ and b₂: (b₂ − b₁)/(2³² − 1)/2 for
/// a [`SecureClippingSum`], (b₂ − b₁)/(2ᵇ − 2)/2 for one [with b
/// bits](SecureClippingSum::with_bits), 0 for a [`Sum`]. For n clients and a total weight w, and
/// except for roundings of the elements' type:
///
/// - If no product was clipped, the mean is within n·eᵥ/w of the mean of the clients' values with
///   their admitted weights. So it is at most n·eᵥ/w outside the range from the minimum to the
///   maximum value.
/// - A clipped product counts as one with a value nearer to zero, since the bounds of the products
///   are widened to include zero. The mean is then at most n·eᵥ/w outside the range of the values
///   and zero.
///
/// Noise in one of the sums is additional.
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

    /// Defines the mean as zero if all weights are zero (TFF: `no_nan_division`).
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

/// The measurements of a [`Mean`]: those of its sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MeanMeasurements<V, W> {
    /// The measurements of the sum of weighted values.
    pub mean_value: V,
    /// The measurements of the sum of weights.
    pub mean_weight: W,
}

impl<T, V, W> WeightedAggregationFactory<T> for Mean<V, W>
where
    T: Floats,
    V: AggregationFactory<T, Result = T>,
    W: AggregationFactory<f64, Result = f64>,
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
        let weights = weights.fallible("weight", |weight| Ok(float_weight(*weight)?));
        let weights_state = state.map(|state| state.weights.clone());
        let admitted = self.weights.admitted(&weights_state, &weights).fallible("weight", |&weight| {
            // Bounds below zero can make weights negative.
            if weight.is_finite() && weight >= 0.0 { Ok(weight) } else { Err(tensor::Error::Weight.into()) }
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
            .fallible("divide", move |(sums, total)| Ok(floats::mean(sums, *total, no_nan_division)?));
        let state = values.state.zip(&weights.state);
        let measurements = values.measurements.zip(&weights.measurements);
        let state =
            state.map(|(values, weights)| MeanState { values: values.clone(), weights: weights.clone() });
        let measurements = measurements.map(|(value, weight)| MeanMeasurements {
            mean_value: value.clone(),
            mean_weight: weight.clone(),
        });
        // A client's weight is part of its value, and both sums are released.
        Step::new(state, result, measurements).with_cost(PrivacyCost::of_all([values.cost, weights.cost]))
    }
}
