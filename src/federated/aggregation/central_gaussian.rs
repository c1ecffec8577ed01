//! Differential privacy against those who see results: the server adds the noise.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use serde::{Deserialize, Serialize};

use super::{Aggregation, Estimation, Fixed, Floats, Norm, Price, Quantile, Step, floats};
use crate::{
    federated::{Clients, Error, Result, Server, Tensors, Value},
    packing::{Float, IntegerRange},
    privacy::{self, DiscreteGaussian, QuantileEstimator, QuantileParameters, in_units_of, split_noise},
};

/// A secure sum of clipped values, to which the server adds Gaussian noise
/// (TFF: `DifferentiallyPrivateFactory.gaussian_fixed` and `gaussian_adaptive`).
///
/// Clients clip to an L2 norm c and round to a grid of up to 2²⁰ steps to c. The rounding keeps
/// every vector within the norm. The sum of integers is exact, and the noise is a [discrete
/// Gaussian](DiscreteGaussian) on the grid, with a standard deviation of the noise multiplier times
/// c. So the price of [Gaussian](crate::privacy::Gaussian) noise holds exactly, which
/// floating-point noise cannot guarantee.
///
/// The noise protects the participants from everyone who sees results; see [the
/// module](super#privacy). **The server sees the sum before it adds the noise**, as in TFF. A
/// [`DistributedGaussian`](super::DistributedGaussian) does not rely on the server for this.
///
/// A norm that is [learned](Quantile) without noise has no known price, so ε is then infinite.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{CentralGaussian, CentralParameters, Process}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::Array1;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let central = CentralGaussian::fixed(CentralParameters { clip: 1.0, noise_multiplier: 2.0 })?;
/// let process = Process::<Array1<f32>, _>::new(central.averaged_over(4)?);
/// let mut process = process.like(&Array1::<f32>::zeros(9))?.secure_only()?;
/// let round = process.run(&executor, vec![Array1::<f32>::from_elem(9, 0.25); 4])?;
/// assert_eq!(round.measurements.noise_stddev, 0.5); // 2·1/4
/// assert!((process.epsilon(1e-5)? - 2.0).abs() < 0.2);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CentralGaussian<N> {
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

/// Parameters of [`CentralGaussian::fixed`]: a clipping norm, and the noise relative to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CentralParameters {
    /// L2 norm to which every client's values are clipped. Positive.
    pub clip: f64,
    /// Standard deviation of the noise in each element of the sum, divided by `clip`. Zero or
    /// positive.
    pub noise_multiplier: f64,
}

/// Parameters of [`CentralGaussian::adaptive`]. The names are TFF's.
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

impl CentralGaussian<Fixed> {
    /// Clips to `clip` and adds noise of standard deviation `noise_multiplier`·`clip`.
    ///
    /// TFF's `gaussian_fixed(noise_multiplier, clients_per_round, clip)` equals this, followed by
    /// [`averaged_over`](Self::averaged_over)`(clients_per_round)`.
    ///
    /// # Errors
    ///
    /// [`Error::NormLimit`] unless `clip` is positive and finite; [`privacy::Error::Parameter`]
    /// unless it is from 2⁻⁹⁶⁰ to 2⁹⁶⁰; those of [`new`](Self::new). The first run over `f32`
    /// refuses a clip above the maximum `f32` divided by 2⁶⁴.
    pub fn fixed(parameters: CentralParameters) -> Result<Self> {
        let CentralParameters { clip, noise_multiplier } = parameters;
        if !(clip > 0.0 && clip.is_finite()) {
            return Err(Error::NormLimit { limit: clip });
        }
        floats::usable_clip::<f64>(clip, true)?;
        Self::new(Fixed::new(clip)?, noise_multiplier)
    }
}

impl CentralGaussian<Quantile> {
    /// TFF's `gaussian_adaptive`: a mean of values that are clipped to a learned norm. The noises
    /// on values and on counts together cost as much as one `noise_multiplier`.
    ///
    /// [`split_noise`] computes the noise on values. It is larger than TFF's, which assumes that a
    /// client changes a count by one half.
    ///
    /// # Errors
    ///
    /// [`privacy::Error::Parameter`] for parameters that [`split_noise`],
    /// [`QuantileEstimator::geometric`] or [`Quantile::with_noise`] refuse; [`Error::NoClients`]
    /// for zero clients.
    ///
    /// ```
    /// use cipherfold::federated::aggregation::{AdaptiveParameters, CentralGaussian};
    ///
    /// let mean = CentralGaussian::adaptive(AdaptiveParameters {
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

impl<N: Estimation> CentralGaussian<N> {
    /// Clips to an estimated norm, and adds noise with a standard deviation of `noise_multiplier`
    /// times the norm.
    ///
    /// This multiplier covers only the noise on values. The noise of a
    /// [learned](Quantile::with_noise) norm has a separate cost. In TFF, the `noise_multiplier` of
    /// a learned norm covers both; that is [`adaptive`](CentralGaussian::adaptive).
    ///
    /// An estimate outside the range from 2⁻⁹⁶⁰ to the maximum number of the elements' type divided
    /// by 2⁶⁴ is replaced by the nearest number in the range. An estimate that is not a number ends
    /// a run with [`privacy::Error::Parameter`].
    ///
    /// # Errors
    ///
    /// [`privacy::Error::Parameter`] unless the multiplier is from 0 to 2²⁰.
    pub fn new(norm: N, noise_multiplier: f64) -> Result<Self> {
        let good = (0.0..=FINEST).contains(&noise_multiplier);
        if !good {
            let (name, allowed) = ("noise_multiplier", "from 0 to 2^20");
            return Err(privacy::Error::Parameter { name, value: noise_multiplier, allowed }.into());
        }
        // A deviation of at most 2^23 is possible for discrete noise, and at least 8 steps remain
        // even for huge noise.
        let steps =
            if noise_multiplier > 8.0 { (f64::from(1 << 23) / noise_multiplier).floor() } else { FINEST };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 8 to 2^20")]
        let whole = steps as u32;
        let noise = DiscreteGaussian::new((noise_multiplier * steps).powi(2))?;
        Ok(Self { norm, noise_multiplier, steps: whole, noise, averaged_over: None, at_most: None })
    }

    /// The price of a round: the noise on the sum, and the price of learning the norm.
    pub fn price(&self) -> Price {
        let (variance, steps) = (self.noise.variance(), f64::from(self.steps));
        // Discrete noise of at least 2^13 steps has the price of continuous noise. Smaller noise
        // has the price of rounded continuous noise whose variance is smaller by 2 (see
        // `privacy::Gaussian`).
        let is_fine = variance >= f64::from(1 << 26);
        let multiplier =
            if is_fine { self.noise_multiplier } else { (variance - 2.0).max(0.0).sqrt() / steps };
        let sum = Price::sum(multiplier).expect("the multiplier was checked");
        sum.and(&self.norm.price())
    }
}

impl<N> CentralGaussian<N> {
    /// Divides the noisy sum by the *expected* number of clients: a mean as in TFF.
    ///
    /// If more clients take part, the quotient is not a mean: it can be longer than any update.
    /// Such a round ends with [`Error::MoreClientsThanExpected`], before anything is decrypted,
    /// unless [`at_most`](Self::at_most) allows more.
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

/// The measurements of a private sum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PrivateMeasurements {
    /// The L2 norm to which this round clipped.
    pub clipping_norm: f64,
    /// Standard deviation of the noise in each element of the result.
    pub noise_stddev: f64,
}

impl PrivateMeasurements {
    pub(super) const fn new(clipping_norm: f64, noise_stddev: f64) -> Self {
        Self { clipping_norm, noise_stddev }
    }
}

impl<T: Floats, N: Estimation> Aggregation<T> for CentralGaussian<N> {
    type State = N::State;
    type Result = T;
    type Measurements = PrivateMeasurements;

    fn initialize(&self) -> N::State {
        self.norm.initialize()
    }

    fn next(
        &self,
        state: &Value<N::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<N::State, T, PrivateMeasurements> {
        let Self { steps, noise, averaged_over, at_most, .. } = *self;
        let divisor = averaged_over.unwrap_or(1);
        let clip = self.clip::<T>(state);
        let norms = values.map(|values| Norm::L2.of(values)).named("norm");

        let clipping = values.zip(&clip.broadcast()).keeping_structure();
        let on_grid = clipping.fallible("clip_to_grid", move |(values, clip)| {
            Ok(values.steps(&clip_to_grid(&floats::flat(values), *clip, steps)?))
        });
        let on_grid = on_grid.keeping_structure();
        let range = IntegerRange::new(-i128::from(steps), steps).expect("the bounds are in order");
        let sums = on_grid.secure_sum_of_at_most(at_most.or(averaged_over), range);
        let result = sums.zip(&clip).drawing("gaussian", move |(sums, clip), rng| {
            noisy::<T>(sums, noise, clip / f64::from(steps) / f64::from(divisor), rng)
        });
        let measurements = clip.map(move |&clip| {
            let unit = clip / f64::from(steps) / f64::from(divisor);
            PrivateMeasurements::new(clip, noise.variance().sqrt() * unit)
        });
        Step::new(self.norm.next(state, &norms), result, measurements).priced(self.price())
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

impl<N: Estimation> CentralGaussian<N> {
    fn clip<T: Floats>(&self, state: &Value<N::State, Server>) -> Value<f64, Server> {
        let fixed = self.norm.is_fixed();
        self.norm.report(state).fallible("clip", move |clip| floats::usable_clip::<T::Float>(*clip, fixed))
    }
}

/// Adds noise to each sum on the grid, and multiplies it by the unit of the grid.
fn noisy<T: Floats>(
    sums: &T::StepSums,
    noise: DiscreteGaussian,
    unit: f64,
    rng: &mut dyn CryptoRng,
) -> Result<T> {
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
    broken.map_or(Ok(result), |error| Err(error.into()))
}

/// A vector, clipped to a norm of `clip`, in units of `clip / steps`, whose norm is at most
/// `steps`, exactly.
///
/// It takes longer if rounding makes the vector too long.
fn clip_to_grid(values: &[f64], clip: f64, steps: u32) -> Result<Zeroizing<Vec<i32>>> {
    if !values.iter().fold(true, |all, x| all & x.is_finite()) {
        let index = values.iter().position(|x| !x.is_finite());
        let index = index.expect("one of the values is not finite");
        return Err(privacy::Error::NotFinite { index }.into());
    }
    // The norm is at most 1, within rounding errors, for all magnitudes.
    let mut units = Zeroizing::new(Vec::with_capacity(values.len()));
    units.extend(in_units_of(clip, values));
    let most = u128::from(steps).pow(2);
    let mut on_grid = Zeroizing::new(vec![0; values.len()]);
    let fits =
        |on_grid: &[i32]| on_grid.iter().map(|x| u128::from(x.unsigned_abs()).pow(2)).sum::<u128>() <= most;
    let steps = f64::from(steps);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most the number of steps, within rounding errors"
    )]
    let whole = |x: f64| x as i32;
    for (place, x) in on_grid.iter_mut().zip(units.iter()) {
        *place = whole((x * steps).round());
    }
    // Rounding towards zero makes the vector no longer than the exact one. Rounding errors of
    // floats add less than a part in 2^30, which one or two iterations remove.
    for shorter in 0_u32.. {
        if fits(&on_grid) {
            break;
        }
        let steps = steps * (1.0 - f64::from(shorter) / f64::from(1 << 30)).max(0.0);
        for (place, x) in on_grid.iter_mut().zip(units.iter()) {
            *place = whole((x * steps).trunc());
        }
    }
    Ok(on_grid)
}

const FINEST: f64 = 1_048_576.0; // 2^20

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::packing::tests::replayable(500))]

        #[test]
        fn vectors_on_the_grid_are_no_longer_than_the_bound(
            values in prop::collection::vec(-10.0..10.0_f64, 0..50),
            clip in 0.01..100.0_f64,
            steps in prop_oneof![8..100_u32, Just(1 << 20)],
        ) {
            let on_grid = clip_to_grid(&values, clip, steps).unwrap();
            let square: i64 = on_grid.iter().map(|x| i64::from(*x).pow(2)).sum();
            prop_assert!(square <= i64::from(steps).pow(2));
            for (x, on_grid) in in_units_of(clip, &values).zip(on_grid.iter()) {
                prop_assert!((x * f64::from(steps) - f64::from(*on_grid)).abs() <= 1.0 + 1e-6);
            }
        }
    }

    /// For the smallest floats, the loop must not take many millions of iterations.
    #[test]
    fn norms_of_all_magnitudes_have_a_grid() {
        for clip in [5e-324, 3e-323, 1e-310, 1e-300, 1.0, 1e300, f64::MAX] {
            let values = [clip, -clip, clip, clip].map(|x: f64| (x * 0.9).clamp(f64::MIN, f64::MAX));
            let on_grid = clip_to_grid(&values, clip, 1 << 20).unwrap();
            let half = (1 << 19) - 1..=1 << 19;
            assert!(on_grid.iter().all(|x| half.contains(&x.abs())), "{clip}: {on_grid:?}");
            assert_eq!(clip_to_grid(&[0.0, -0.0], clip, 1 << 20).unwrap().as_slice(), [0, 0]);
        }
    }

    #[test]
    fn clips_out_of_all_bounds_are_refused_at_construction() {
        for clip in [5e-324, 1e-300, 1.7e308] {
            let error =
                CentralGaussian::fixed(CentralParameters { clip, noise_multiplier: 1.0 }).unwrap_err();
            assert!(
                matches!(error, Error::Privacy(privacy::Error::Parameter { name: "clip", .. })),
                "{error}"
            );
        }
    }

    #[test]
    fn rounding_up_does_not_lengthen() {
        // Four equal coordinates of half the norm, on a grid of 9 steps: 4.5 would become 5, and
        // the norm 10.
        assert_eq!(clip_to_grid(&[7.0; 4], 1.0, 9).unwrap().as_slice(), [4; 4]);
        assert_eq!(clip_to_grid(&[7.0; 4], 1.0, 10).unwrap().as_slice(), [5; 4]);
        assert_eq!(clip_to_grid(&[0.3, 0.0], 1.0, 10).unwrap().as_slice(), [3, 0]);
        assert_eq!(
            clip_to_grid(&[f64::NAN], 1.0, 10),
            Err(Error::Privacy(privacy::Error::NotFinite { index: 0 }))
        );
    }

    #[test]
    fn the_grid_leaves_room_for_the_noise() {
        for (noise_multiplier, steps) in
            [(0.0, 1 << 20), (1.0, 1 << 20), (8.0, 1 << 20), (1000.0, 8388), (1_048_576.0, 8)]
        {
            let central = CentralGaussian::fixed(CentralParameters { clip: 1.0, noise_multiplier }).unwrap();
            assert_eq!(central.steps, steps);
            let expected = (noise_multiplier * f64::from(steps)).powi(2);
            assert!((central.noise.variance() - expected).abs() <= 1e-9 * expected);
        }
        for noise_multiplier in [-1.0, f64::NAN, f64::INFINITY, 1_048_577.0] {
            let error =
                CentralGaussian::fixed(CentralParameters { clip: 1.0, noise_multiplier }).unwrap_err();
            assert!(
                matches!(error, Error::Privacy(privacy::Error::Parameter { name: "noise_multiplier", .. })),
                "{error}"
            );
        }
        for clip in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            let error =
                CentralGaussian::fixed(CentralParameters { clip, noise_multiplier: 1.0 }).unwrap_err();
            assert!(matches!(error, Error::NormLimit { .. }), "{error}");
        }
    }
}
