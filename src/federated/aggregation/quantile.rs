//! A quantile of one number of each client, learned from counts.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Aggregation, Counts, Estimation, SecureSum, counts};
use crate::{
    Error, Result,
    federated::{Clients, Server, Value},
    packing::IntegerRange,
    privacy::{Gaussian, QuantileEstimator, QuantileNoise},
};

/// A [`QuantileEstimator`] whose clients are asked in every round whether they are at or below its estimate
/// (TFF: `PrivateQuantileEstimationProcess`).
///
/// How many are, and how many took part, are securely summed, so that the server sees two numbers a round. Without
/// [noise](Self::with_noise) nothing more is promised.
///
/// ```
/// use cipherfold::{federated::aggregation::Quantile, privacy::QuantileEstimator};
///
/// // A bit above the 95th percentile, to start with 50; with noise on the count of about 100 clients.
/// let estimator = QuantileEstimator::geometric(50.0, 0.95, 1.0)?.reporting(1.1, 0.0)?;
/// let estimation = Quantile::new(estimator).with_noise(5.0, 100)?;
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Quantile<C = SecureSum<IntegerRange>> {
    start: QuantileEstimator,
    noise: Option<Noise>,
    counts: C,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Noise {
    noise: QuantileNoise,
    mechanism: Gaussian,
}

impl Quantile {
    /// The estimator, as it is before the first round. Counts are securely summed.
    pub fn new(start: QuantileEstimator) -> Self {
        Self { start, noise: None, counts: counts() }
    }
}

impl<C> Quantile<C> {
    /// With [discrete Gaussian noise](QuantileNoise) of standard deviation `stddev`, which the server adds to the count of
    /// clients at or below the estimate, where `expected_clients` take part in a round. TFF takes a twentieth of them for
    /// `stddev`.
    ///
    /// # Errors
    ///
    /// Those of [`QuantileNoise::new`].
    pub fn with_noise(self, stddev: f64, expected_clients: u32) -> Result<Self> {
        let noise = QuantileNoise::new(stddev, expected_clients)?;
        // A client changes the count by ½.
        Ok(Self { noise: Some(Noise { noise, mechanism: Gaussian::new(2.0 * stddev)? }), ..self })
    }

    /// With counts that another aggregation sums up.
    pub fn counted_by<D: Counts>(self, counts: D) -> Quantile<D> {
        Quantile { start: self.start, noise: self.noise, counts }
    }
}

/// State of a [`Quantile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize", deserialize = "C: DeserializeOwned"))]
#[non_exhaustive]
pub struct QuantileState<C> {
    /// The estimate, and how it moves.
    pub estimator: QuantileEstimator,
    /// State of the count of clients at or below the estimate.
    pub below: C,
    /// State of the count of all clients.
    pub clients: C,
}

impl<C: Counts> Estimation for Quantile<C> {
    type State = QuantileState<<C as Aggregation<u32>>::State>;

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

        let noise = self.noise;
        let estimator = Value::from((estimator, below.result, clients.result)).drawing(
            "quantile",
            move |&(estimator, below, clients), rng| {
                let fraction = match noise {
                    // Clients are numbered by 32 bits.
                    Some(Noise { noise, .. }) => {
                        noise.fraction_vartime(small(below)?, small(clients)?, rng)?
                    }
                    #[expect(clippy::cast_precision_loss, reason = "below 2^32")]
                    None => below as f64 / clients as f64,
                };
                estimator.next(fraction)
            },
        );
        Value::from((estimator, below.state, clients.state)).map(|(estimator, below, clients)| {
            QuantileState { estimator: *estimator, below: below.clone(), clients: clients.clone() }
        })
    }

    fn mechanism(&self) -> Option<Gaussian> {
        let nothing = Gaussian::new(0.0).expect("zero is a multiplier");
        Some(self.noise.map_or(nothing, |noise| noise.mechanism))
    }
}

fn small(count: u64) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::ClientCount { stated: u32::MAX.into(), found: count })
}
