//! A quantile of the clients' numbers, learned from counts.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    estimation::Estimation,
    factory::AggregationFactory,
    privacy_cost::PrivacyCost,
    sums::{SecureClippingSum, counts},
};
use crate::{
    federated::{Clients, Error, Result, Server, computation::Value, round},
    packing::IntegerRange,
    privacy::{self, CountNoise, QuantileEstimator},
};

/// A [`QuantileEstimator`] that asks the clients in every round whether their number is at or below
/// its estimate (TFF: `PrivateQuantileEstimationProcess`).
///
/// Two secure sums count the clients at or below the estimate, and those that take part, so the
/// server sees two numbers a round. Without [noise](Self::with_noise) there is no further
/// protection.
///
/// ```
/// use cipherfold::{
///     federated::aggregation::Quantile,
///     privacy::{AffineMap, QuantileEstimator, QuantileParameters},
/// };
///
/// // A bit above the 95th percentile; with noise of 5 clients on the count.
/// let parameters = QuantileParameters { initial: 50.0, target: 0.95, learning_rate: 1.0 };
/// let estimator = QuantileEstimator::geometric(parameters)?;
/// let estimator = estimator.reporting(AffineMap { multiplier: 1.1, increment: 0.0 })?;
/// let estimation = Quantile::new(estimator).with_noise(5.0)?;
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Quantile<C = SecureClippingSum<IntegerRange>> {
    start: QuantileEstimator,
    noise: Option<CountNoise>,
    /// The expected number of clients by which the count is divided, if it is not the true number.
    out_of: Option<u32>,
    /// The maximum number of clients, if it was set.
    at_most: Option<u32>,
    counts: C,
}

impl Quantile {
    /// A quantile that starts with this estimator. Its counts are secure sums.
    pub fn new(start: QuantileEstimator) -> Self {
        Self { start, noise: None, out_of: None, at_most: None, counts: counts() }
    }
}

impl<C> Quantile<C> {
    /// Adds Gaussian noise of standard deviation `stddev`, in clients, at the
    /// server, to the count of clients at or below the estimate. TFF uses one twentieth of the
    /// clients of a round.
    ///
    /// The count is divided by the number of clients that took part, which is public. TFF divides
    /// by an expected number. If the number must stay secret, set [an expected one](Self::out_of).
    ///
    /// # Errors
    ///
    /// [`privacy::Error::Parameter`](crate::privacy::Error::Parameter) unless `stddev` is zero, or
    /// from 2⁻⁷ to 2²³.
    pub fn with_noise(self, stddev: f64) -> Result<Self, privacy::Error> {
        Ok(Self { noise: Some(CountNoise::new(stddev)?), ..self })
    }

    /// Divides the count by an *expected* number of clients instead of the true one, so that the
    /// estimate does not show how many clients took part. Use it for [random
    /// participation](super::Process::sampled) that results must not show.
    ///
    /// A client that does not take part counts like one above the estimate. With fewer clients than
    /// expected, the estimate is too high. It grows without limit if fewer clients take part than
    /// the target fraction of the expected number. With more clients, the fraction at or below the
    /// estimate is too large. Such a round ends with [`round::Error::MoreClientsThanExpected`],
    /// unless [`at_most`](Self::at_most) allows more.
    ///
    /// # Errors
    ///
    /// [`Error::NoClients`] for zero.
    pub fn out_of(self, expected_clients: u32) -> Result<Self> {
        if expected_clients == 0 {
            return Err(Error::NoClients);
        }
        Ok(Self { out_of: Some(expected_clients), ..self })
    }

    /// Refuses rounds with more clients than this number, if the count is divided by an expected
    /// number.
    ///
    /// With random participation, more clients than expected may take part. The fraction at or
    /// below the estimate is then too large, at most by the same factor.
    #[must_use]
    pub fn at_most(self, max_clients: u32) -> Self {
        Self { at_most: Some(max_clients), ..self }
    }

    /// The same, with counts by another aggregation. Its own state and measurements are not
    /// released.
    pub fn counted_by<D: AggregationFactory<u32, Result = u64>>(self, counts: D) -> Quantile<D> {
        let Self { start, noise, out_of, at_most, .. } = self;
        Quantile { start, noise, out_of, at_most, counts }
    }
}

/// State of a [`Quantile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize", deserialize = "C: DeserializeOwned"))]
#[non_exhaustive]
pub struct QuantileState<C> {
    /// The estimate, and the parameters of its changes.
    pub estimator: QuantileEstimator,
    /// State of the count of clients at or below the estimate.
    pub below: C,
    /// State of the count of all clients.
    pub clients: C,
}

impl<C: AggregationFactory<u32, Result = u64>> Estimation for Quantile<C> {
    type State = QuantileState<<C as AggregationFactory<u32>>::State>;

    fn initialize(&self) -> Self::State {
        let [below, clients] = [(); 2].map(|()| self.counts.initialize());
        QuantileState { estimator: self.start, below, clients }
    }

    fn report(&self, state: &Value<Self::State, Server>) -> Value<f64, Server> {
        state.map(|state| state.estimator.report())
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<f64, Clients>,
    ) -> Value<Self::State, Server> {
        let estimator = state.map(|state| state.estimator);
        let is_below = values
            .zip(&estimator.broadcast())
            .map(|(value, estimator)| u32::from(estimator.is_below(*value)))
            .named("at or below the estimate");
        let below = self.counts.next(&state.map(|state| state.below.clone()), &is_below);
        let clients = self.counts.next(&state.map(|state| state.clients.clone()), &values.map(|_| 1));

        let (noise, out_of) = (self.noise, self.out_of);
        let expected = out_of.map(|expected| self.at_most.unwrap_or(expected));
        let estimator = Value::from((estimator, below.result, clients.result)).drawing(
            "quantile",
            move |&(estimator, below, clients), rng| {
                let (below, clients) = (small(below)?, small(clients)?);
                if let Some(expected) = expected.filter(|expected| clients > *expected) {
                    return Err(round::Error::MoreClientsThanExpected { expected, found: clients }.into());
                }
                let below = noise.map_or(Ok(f64::from(below)), |noise| noise.count_vartime(below, rng))?;
                Ok(estimator.next(below / f64::from(out_of.unwrap_or(clients)))?)
            },
        );
        Value::from((estimator, below.state, clients.state)).map(|(estimator, below, clients)| {
            QuantileState { estimator: *estimator, below: below.clone(), clients: clients.clone() }
        })
    }

    /// The cost of a count with the stated deviation of noise. Unknown without noise.
    fn cost(&self) -> PrivacyCost {
        // The number of participants does not depend on their values.
        let participants = self.out_of.map_or_else(PrivacyCost::participation, |_| PrivacyCost::nothing());
        self.noise.map_or_else(PrivacyCost::unknown, |noise| {
            PrivacyCost::count(noise.stddev()).expect("the deviation was checked").and(&participants)
        })
    }
}

fn small(count: u64) -> Result<u32> {
    // Clients are numbered by 32 bits.
    u32::try_from(count).map_err(|_| Error::ClientCount { stated: u32::MAX.into(), found: count })
}
