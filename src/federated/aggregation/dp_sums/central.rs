//! Differential privacy against those who see results: the server adds the noise.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{grid::clip_to_grid, measurements::DpSumMeasurements};
#[cfg(doc)]
use crate::federated::round;
use crate::{
    federated::{
        Clients, Error, Result, Server,
        aggregation::{
            self,
            estimation::Estimation,
            factory::{AggregationFactory, Step},
            floats::{self, Floats, NormOrder},
            privacy_cost::PrivacyCost,
            quantile::Quantile,
        },
        computation::Value,
        tensor::Tensors,
    },
    packing::{Float, IntegerRange},
    privacy::{self, DiscreteGaussian, QuantileEstimator, QuantileParameters, split_noise},
};

/// A secure sum of clipped values, to which the server adds Gaussian noise
/// (TFF: `DifferentiallyPrivateFactory.gaussian_fixed` and `gaussian_adaptive`).
///
/// Clients clip to an L2 norm c and round to a grid of up to 2²⁰ steps to c. The rounding keeps
/// every vector within the norm. The sum of integers is exact, and the noise is a [discrete
/// Gaussian](DiscreteGaussian) on the grid, with a standard deviation of the noise multiplier times
/// c. So the cost of [Gaussian](crate::privacy::Gaussian) noise holds exactly, which
/// floating-point noise cannot guarantee.
///
/// The noise protects the participants from everyone who sees results; see [the
/// module](crate::federated::aggregation#privacy). **The server sees the sum before it adds the
/// noise**, as in TFF. A [`DistributedDpSum`](super::DistributedDpSum) does not rely on the server
/// for this.
///
/// A norm that is [learned](Quantile) without noise has no known cost, so ε is then infinite.
///
/// Measurements are the norm of the round, and the standard deviation of the noise in each element
/// of the result: `clipping_norm`, `noise_stddev`.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{CentralDpSum, Fixed, Process}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::Array1;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let central = CentralDpSum::new(Fixed::new(1.0)?, 2.0)?;
/// let process = Process::<Array1<f32>, _>::new(central.averaged_over(4)?);
/// let mut process = process.like(&Array1::<f32>::zeros(9))?.secure_only()?;
/// let round = process.run(&executor, vec![Array1::<f32>::from_elem(9, 0.25); 4])?;
/// assert_eq!(round.measurements.noise_stddev, 0.5); // 2·1/4
/// assert!((process.epsilon(1e-5)? - 2.0).abs() < 0.2);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CentralDpSum<N> {
    norm: N,
    noise_multiplier: f64,
    /// Number of grid steps up to the clipping norm.
    steps: u32,
    noise: DiscreteGaussian,
    /// The expected number of clients, if the sum is divided by it.
    averaged_over: Option<u32>,
    /// The maximum number of clients, if it was set.
    at_most: Option<u32>,
}

/// Parameters of [`CentralDpSum::adaptive`]. The names are TFF's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveParameters {
    /// The multiplier whose cost equals that of the noises on values and on counts *together*.
    pub noise_multiplier: f64,
    /// Expected number of clients of a round, by which the sum is divided.
    pub clients_per_round: u32,
    /// The first clipping norm.
    pub initial_l2_norm_clip: f64,
    /// The target fraction of clients whose norm is at or below the clipping norm.
    pub target_unclipped_quantile: f64,
    /// The step size with which a round changes the norm.
    pub learning_rate: f64,
    /// Standard deviation of the noise on the count of clients at or below the norm. `None` means
    /// one twentieth of `clients_per_round`.
    pub clipped_count_stddev: Option<f64>,
}

impl AdaptiveParameters {
    /// TFF's defaults. TFF has no defaults for the first two fields. Their values here are invalid,
    /// so a caller must set them.
    pub const DEFAULTS: Self = Self {
        noise_multiplier: f64::NAN,
        clients_per_round: 0,
        initial_l2_norm_clip: 0.1,
        target_unclipped_quantile: 0.5,
        learning_rate: 0.2,
        clipped_count_stddev: None,
    };
}

impl CentralDpSum<Quantile> {
    /// TFF's `gaussian_adaptive`: a mean of values that are clipped to a learned norm. The noises
    /// on values and on counts together cost as much as one `noise_multiplier`.
    ///
    /// With a multiplier z for both and noise of deviation b on counts, the noise on values has the
    /// multiplier (z⁻² − b⁻²)^(−½). It is larger than TFF's, which assumes that a
    /// client changes a count by one half.
    ///
    /// # Errors
    ///
    /// [`privacy::Error::Parameter`] unless the deviation of the counts is above the multiplier,
    /// and for parameters that [`QuantileEstimator::geometric`] or [`Quantile::with_noise`] refuse;
    /// [`Error::NoClients`] for zero clients.
    ///
    /// ```
    /// use cipherfold::federated::aggregation::{AdaptiveParameters, CentralDpSum};
    ///
    /// let mean = CentralDpSum::adaptive(AdaptiveParameters {
    ///     noise_multiplier: 1.0,
    ///     clients_per_round: 100,
    ///     ..AdaptiveParameters::DEFAULTS
    /// })?;
    /// assert!((mean.noise_multiplier() - (1.0 - 1.0 / 25.0_f64).powf(-0.5)).abs() < 1e-12);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn adaptive(parameters: AdaptiveParameters) -> Result<Self> {
        let AdaptiveParameters { noise_multiplier, clients_per_round, clipped_count_stddev, .. } = parameters;
        let count_stddev = clipped_count_stddev.unwrap_or(0.05 * f64::from(clients_per_round));
        let estimator = QuantileEstimator::geometric(QuantileParameters {
            initial: parameters.initial_l2_norm_clip,
            target: parameters.target_unclipped_quantile,
            learning_rate: parameters.learning_rate,
        })?;
        let norm = Quantile::new(estimator);
        // Without noise on values there is no guarantee, so the counts need no noise.
        let norm = if noise_multiplier == 0.0 { norm } else { norm.with_noise(count_stddev)? };
        Self::new(norm, split_noise(noise_multiplier, count_stddev)?)?.averaged_over(clients_per_round)
    }
}

impl<N: Estimation> CentralDpSum<N> {
    /// Clips to an estimated norm, and adds noise with a standard deviation of `noise_multiplier`
    /// times the norm.
    ///
    /// TFF's `gaussian_fixed(noise_multiplier, clients_per_round, clip)` equals this with the norm
    /// [`Fixed`](crate::federated::aggregation::Fixed), followed by
    /// [`averaged_over`](Self::averaged_over)`(clients_per_round)`.
    ///
    /// This multiplier covers only the noise on values. The noise of a
    /// [learned](Quantile::with_noise) norm has a separate cost. In TFF, the `noise_multiplier` of
    /// a learned norm covers both; that is [`adaptive`](CentralDpSum::adaptive).
    ///
    /// An estimate outside the range from 2⁻⁹⁶⁰ to the maximum number of the elements' type divided
    /// by 2⁶⁴ is replaced by the nearest number in the range. An estimate that is not a number ends
    /// a run with [`privacy::Error::Parameter`].
    ///
    /// # Errors
    ///
    /// [`privacy::Error::Parameter`] unless the multiplier is from 0 to 2²⁰. For a fixed norm:
    /// [`aggregation::Error::NormLimit`] unless it is positive and finite;
    /// [`privacy::Error::Parameter`] unless it is from 2⁻⁹⁶⁰ to 2⁹⁶⁰. The first run over `f32`
    /// refuses a fixed norm above the maximum `f32` divided by 2⁶⁴.
    pub fn new(norm: N, noise_multiplier: f64) -> Result<Self> {
        if let Some(clip) = norm.fixed() {
            if !(clip > 0.0 && clip.is_finite()) {
                return Err(aggregation::Error::NormLimit { limit: clip }.into());
            }
            floats::usable_clip::<f64>(clip, true)?;
        }
        let good = (0.0..=MAX_STEPS).contains(&noise_multiplier);
        if !good {
            let (name, allowed) = ("noise_multiplier", "from 0 to 2^20");
            return Err(privacy::Error::Parameter { name, value: noise_multiplier, allowed }.into());
        }
        // A deviation of at most 2^23 is possible for discrete noise, and at least 8 steps remain
        // even for huge noise.
        let steps =
            if noise_multiplier > 8.0 { (f64::from(1 << 23) / noise_multiplier).floor() } else { MAX_STEPS };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 8 to 2^20")]
        let whole = steps as u32;
        let noise = DiscreteGaussian::new((noise_multiplier * steps).powi(2))?;
        Ok(Self { norm, noise_multiplier, steps: whole, noise, averaged_over: None, at_most: None })
    }

    /// The cost of a round: the noise on the sum, and the cost of learning the norm.
    pub fn cost(&self) -> PrivacyCost {
        let (variance, steps) = (self.noise.variance(), f64::from(self.steps));
        // Discrete noise of at least 2^13 steps has the cost of continuous noise. Smaller noise
        // has the cost of rounded continuous noise whose variance is smaller by 2 (see
        // `privacy::Gaussian`).
        let is_fine = variance >= f64::from(1 << 26);
        let multiplier =
            if is_fine { self.noise_multiplier } else { (variance - 2.0).max(0.0).sqrt() / steps };
        let sum = PrivacyCost::sum(multiplier).expect("the multiplier was checked");
        sum.and(&self.norm.cost())
    }
}

impl<N> CentralDpSum<N> {
    /// Divides the noisy sum by the *expected* number of clients: a mean as in TFF.
    ///
    /// If more clients take part, the quotient is not a mean: it can be longer than any update.
    /// Such a round ends with [`round::Error::MoreClientsThanExpected`], before anything is
    /// decrypted, unless [`at_most`](Self::at_most) allows more.
    ///
    /// # Errors
    ///
    /// [`Error::NoClients`] for zero.
    pub fn averaged_over(self, clients: u32) -> Result<Self> {
        if clients == 0 { Err(Error::NoClients) } else { Ok(Self { averaged_over: Some(clients), ..self }) }
    }

    /// Refuses only rounds with more clients than this number.
    ///
    /// With random participation, more clients than expected may take part. The length of the
    /// quotient is then up to `max_clients` divided by the expected number, times the length of an
    /// update.
    #[must_use]
    pub fn at_most(self, max_clients: u32) -> Self {
        Self { at_most: Some(max_clients), ..self }
    }

    /// Standard deviation of the noise in each element of the sum, divided by the clipping norm.
    pub const fn noise_multiplier(&self) -> f64 {
        self.noise_multiplier
    }
}

impl<T: Floats, N: Estimation> AggregationFactory<T> for CentralDpSum<N> {
    type State = N::State;
    type Result = T;
    type Measurements = DpSumMeasurements;

    fn initialize(&self) -> N::State {
        self.norm.initialize()
    }

    fn next(
        &self,
        state: &Value<N::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<N::State, T, DpSumMeasurements> {
        let Self { steps, noise, averaged_over, at_most, .. } = *self;
        let divisor = averaged_over.unwrap_or(1);
        let clip = self.clip::<T>(state);
        let norms = values.map(|values| NormOrder::L2.of(values)).named("norm");

        let clipping = values.zip(&clip.broadcast()).keeping_structure();
        let on_grid = clipping.fallible("clip_to_grid", move |(values, clip)| {
            Ok(values.steps(&clip_to_grid(&floats::flat(values), *clip, steps)?))
        });
        let on_grid = on_grid.keeping_structure();
        let range = IntegerRange::new(-i128::from(steps), steps).expect("the bounds are in order");
        let sums = on_grid.secure_sum_of_at_most(at_most.or(averaged_over), range);
        let result = sums.zip(&clip).drawing("gaussian", move |(sums, clip), rng| {
            Ok(noisy::<T>(sums, noise, clip / f64::from(steps) / f64::from(divisor), rng)?)
        });
        let measurements = clip.map(move |&clip| {
            let unit = clip / f64::from(steps) / f64::from(divisor);
            DpSumMeasurements::new(clip, noise.variance().sqrt() * unit)
        });
        Step::new(self.norm.next(state, &norms), result, measurements).with_cost(self.cost())
    }

    fn admitted(&self, state: &Value<Self::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let (steps, divisor) = (self.steps, self.averaged_over.unwrap_or(1));
        let clip = self.clip::<T>(state).broadcast();
        let clipping = values.zip(&clip).keeping_structure();
        let admitted = clipping.fallible("admitted", move |(values, clip)| {
            let unit = clip / f64::from(steps) / f64::from(divisor);
            let on_grid = clip_to_grid(&floats::flat(values), *clip, steps)?;
            let mut admitted = Zeroizing::new(Vec::with_capacity(on_grid.len()));
            admitted.extend(on_grid.iter().map(|x| f64::from(*x) * unit));
            Ok(floats::like(values, &admitted))
        });
        admitted.keeping_structure()
    }
}

impl<N: Estimation> CentralDpSum<N> {
    fn clip<T: Floats>(&self, state: &Value<N::State, Server>) -> Value<f64, Server> {
        let fixed = self.norm.fixed().is_some();
        self.norm
            .report(state)
            .fallible("clip", move |clip| Ok(floats::usable_clip::<T::Float>(*clip, fixed)?))
    }
}

/// Adds noise to each sum on the grid, and multiplies it by the unit of the grid.
fn noisy<T: Floats>(
    sums: &T::StepSums,
    noise: DiscreteGaussian,
    unit: f64,
    rng: &mut dyn CryptoRng,
) -> Result<T, privacy::Error> {
    let mut broken = None;
    let mut sample = || {
        noise.sample_vartime(rng).unwrap_or_else(|error| {
            broken = Some(error);
            0
        })
    };
    let result = sums.map_tensors(|_, tensor| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "below 2^53, for fewer than 2^32 clients of 2^20 steps"
        )]
        tensor.mapv(|sum| T::Float::from_f64((sum + sample()) as f64 * unit))
    });
    broken.map_or(Ok(result), Err)
}

/// Steps of the finest grid.
const MAX_STEPS: f64 = 1_048_576.0; // 2^20

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::aggregation::estimation::Fixed;

    #[test]
    fn clips_out_of_all_bounds_are_refused_at_construction() {
        for clip in [5e-324, 1e-300, 1.7e308] {
            let error = CentralDpSum::new(Fixed::new(clip).unwrap(), 1.0).unwrap_err();
            assert!(
                matches!(error, Error::Privacy(privacy::Error::Parameter { name: "clip", .. })),
                "{error}"
            );
        }
    }

    #[test]
    fn the_grid_leaves_room_for_the_noise() {
        for (noise_multiplier, steps) in
            [(0.0, 1 << 20), (1.0, 1 << 20), (8.0, 1 << 20), (1000.0, 8388), (1_048_576.0, 8)]
        {
            let central = CentralDpSum::new(Fixed::new(1.0).unwrap(), noise_multiplier).unwrap();
            assert_eq!(central.steps, steps);
            let expected = (noise_multiplier * f64::from(steps)).powi(2);
            assert!((central.noise.variance() - expected).abs() <= 1e-9 * expected);
        }
        for noise_multiplier in [-1.0, f64::NAN, f64::INFINITY, 1_048_577.0] {
            let error = CentralDpSum::new(Fixed::new(1.0).unwrap(), noise_multiplier).unwrap_err();
            assert!(
                matches!(error, Error::Privacy(privacy::Error::Parameter { name: "noise_multiplier", .. })),
                "{error}"
            );
        }
        for clip in [0.0, -1.0] {
            let error = CentralDpSum::new(Fixed::new(clip).unwrap(), 1.0).unwrap_err();
            assert!(matches!(error, Error::Aggregation(aggregation::Error::NormLimit { .. })), "{error}");
        }
    }
}
