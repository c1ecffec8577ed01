//! A clipping norm: a quantile of the clients' norms, learned from counts.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{DiscreteGaussian, checked, finite};
use super::{Error, Result};

/// The update rule of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantileUpdate {
    /// C ← C·exp(−η(b − γ)): for positive quantities of unknown magnitude, such as norms.
    Geometric,
    /// C ← C − η(b − γ).
    Linear,
}

/// The start of an estimate, and its learning parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileParameters {
    /// The first estimate. Positive for [`QuantileUpdate::Geometric`].
    #[serde(deserialize_with = "finite")]
    pub initial: f64,
    /// γ: the target share of clients at or below the estimate. From 0 to 1.
    #[serde(deserialize_with = "finite")]
    pub target: f64,
    /// η: the learning rate, which limits the move of one round. Positive.
    #[serde(deserialize_with = "finite")]
    pub learning_rate: f64,
}

/// The function `multiplier`·x + `increment`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AffineMap {
    /// The factor of x.
    #[serde(deserialize_with = "finite")]
    pub multiplier: f64,
    /// The summand.
    #[serde(deserialize_with = "finite")]
    pub increment: f64,
}

impl AffineMap {
    /// The function's value at x.
    pub fn at(&self, x: f64) -> f64 {
        self.multiplier * x + self.increment
    }
}

/// An estimate of a quantile that follows the quantile from round to round. It only learns the
/// fraction of clients below the estimate.
///
/// Every client compares its value with the current estimate C and reports one bit. The next
/// estimate follows from the fraction b of clients at or below C, the target quantile γ and the
/// learning rate η, by one of the [two rules](QuantileUpdate): gradient descent on the quantile's
/// loss (Andrew et al., "Differentially Private Learning with Adaptive Clipping", 2021,
/// arXiv:1905.03871, section 2). The paper suggests the geometric rule with η = 0.2, and
/// [noise](QuantileNoise) of a twentieth of the expected number of clients. The reported value may
/// be an affine function of C, as in TFF: for example, twice the 98 % quantile plus one.
///
/// It is the state of TFF's `PrivateQuantileEstimationProcess`, and can be serialised.
///
/// ```
/// use cipherfold::privacy::{QuantileEstimator, QuantileParameters};
///
/// // Median of the norms.
/// let parameters = QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 };
/// let mut estimator = QuantileEstimator::geometric(parameters)?;
/// let norms = [2.0, 3.0, 5.0, 7.0, 11.0];
/// for _ in 0..200 {
///     let below = norms.iter().filter(|norm| estimator.is_below(**norm)).count();
///     estimator = estimator.next(below as f64 / 5.0)?;
/// }
/// assert!((4.5..5.5).contains(&estimator.report()));
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct QuantileEstimator {
    fields: Fields,
}

/// The serialised state. Reading does not check it yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "QuantileEstimator")]
struct Fields {
    estimate: f64,
    target: f64,
    learning_rate: f64,
    update: QuantileUpdate,
    multiplier: f64,
    increment: f64,
}

impl QuantileEstimator {
    /// An estimator with the geometric rule.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless `initial` and `learning_rate` are positive and finite, and
    /// `target` is from 0 to 1.
    pub fn geometric(parameters: QuantileParameters) -> Result<Self> {
        Self::new(parameters, QuantileUpdate::Geometric)
    }

    /// An estimator with the linear rule.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless `initial` is finite, `learning_rate` positive and finite, and
    /// `target` from 0 to 1.
    pub fn linear(parameters: QuantileParameters) -> Result<Self> {
        Self::new(parameters, QuantileUpdate::Linear)
    }

    fn new(parameters: QuantileParameters, update: QuantileUpdate) -> Result<Self> {
        let QuantileParameters { initial, target, learning_rate } = parameters;
        Fields { estimate: initial, target, learning_rate, update, multiplier: 1.0, increment: 0.0 }
            .try_into()
    }

    /// The same estimator, but it reports a function of C.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless the multiplier is positive and finite, and the increment a
    /// finite number from 0.
    pub fn reporting(self, map: AffineMap) -> Result<Self> {
        let AffineMap { multiplier, increment } = map;
        Fields { multiplier, increment, ..self.fields }.try_into()
    }

    /// C: the current estimate of the quantile.
    pub const fn estimate(&self) -> f64 {
        self.fields.estimate
    }

    /// The reported value: `multiplier`·C + `increment`.
    pub fn report(&self) -> f64 {
        self.fields.multiplier * self.fields.estimate + self.fields.increment
    }

    /// γ: the target share of clients at or below the estimate.
    pub const fn target(&self) -> f64 {
        self.fields.target
    }

    /// η: how far one round may move the estimate.
    pub const fn learning_rate(&self) -> f64 {
        self.fields.learning_rate
    }

    /// The update rule.
    pub const fn update(&self) -> QuantileUpdate {
        self.fields.update
    }

    /// The bit that a client reports: whether its value is at or below the current estimate C (not
    /// the [reported](Self::report) value).
    pub fn is_below(&self, value: f64) -> bool {
        value <= self.fields.estimate
    }

    /// The estimator of the next round, given the fraction of clients at or below this estimate.
    /// With [noise](QuantileNoise) a fraction may be outside [0, 1]; it is clamped.
    ///
    /// A geometric estimate stays a positive and finite float.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] if the fraction is not a number.
    pub fn next(&self, below: f64) -> Result<Self> {
        checked("below", below, !below.is_nan(), "a number")?;
        let Fields { estimate, target, learning_rate, update, .. } = self.fields;
        let step = learning_rate * (below.clamp(0.0, 1.0) - target);
        let estimate = match update {
            QuantileUpdate::Geometric => (estimate * (-step).exp()).max(f64::MIN_POSITIVE),
            QuantileUpdate::Linear => estimate - step,
        };
        let estimate = estimate.clamp(f64::MIN, f64::MAX);
        Ok(Self { fields: Fields { estimate, ..self.fields } })
    }
}

impl TryFrom<Fields> for QuantileEstimator {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let Fields { estimate, target, learning_rate, update, multiplier, increment } = fields;
        match update {
            QuantileUpdate::Geometric => positive("estimate", estimate)?,
            QuantileUpdate::Linear => checked("estimate", estimate, estimate.is_finite(), "finite")?,
        };
        checked("target", target, (0.0..=1.0).contains(&target), "from 0 to 1")?;
        positive("learning_rate", learning_rate)?;
        positive("multiplier", multiplier)?;
        checked("increment", increment, (0.0..f64::INFINITY).contains(&increment), FROM_0)?;
        Ok(Self { fields })
    }
}

impl From<QuantileEstimator> for Fields {
    fn from(estimator: QuantileEstimator) -> Self {
        estimator.fields
    }
}

fn positive(name: &'static str, value: f64) -> Result<f64> {
    checked(name, value, value > 0.0 && value.is_finite(), "positive and finite")
}

/// Noise on the count of clients at or below an estimate.
///
/// One client changes the count by at most 1, by its answer yes or no. One round therefore costs as
/// much as [`Gaussian`](super::Gaussian) noise of multiplier `stddev`, and [`split_noise`]
/// subtracts this cost from a budget. (Andrew et al. and TFF charge for ½ a client: they protect
/// participation alone, and count an absent client as half an answer. See [the
/// module](super#who-is-protected).)
///
/// The noise is discrete Gaussian on a fine grid of fractions of a client, so that its cost is that
/// of continuous noise.
///
/// ```
/// use cipherfold::privacy::QuantileNoise;
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
/// let noise = QuantileNoise::new(5.0)?; // 5 clients more or less
/// let fraction = noise.count_vartime(60, &mut rng)? / 100.0;
/// assert!((fraction - 0.6).abs() < 0.3);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileNoise {
    stddev: f64,
    /// Steps of the grid to one client.
    steps: f64,
    noise: DiscreteGaussian,
}

impl QuantileNoise {
    /// Noise of standard deviation `stddev` on a count of clients. Zero means no noise.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless `stddev` is zero, or from 2⁻⁷ to 2²³.
    pub fn new(stddev: f64) -> Result<Self> {
        let good = stddev == 0.0 || (MIN..=MAX).contains(&stddev);
        checked("stddev", stddev, good, "zero, or from 2^-7 to 2^23")?;
        let steps = if stddev == 0.0 { 1.0 } else { (MAX / stddev).floor().min(FINEST) };
        Ok(Self { stddev, steps, noise: DiscreteGaussian::new((stddev * steps).powi(2))? })
    }

    /// Standard deviation of the noise, in clients.
    pub const fn stddev(&self) -> f64 {
        self.stddev
    }

    /// A count with noise. It may be negative, and is rarely an integer.
    ///
    /// **Time depends on the noise**, as for [`DiscreteGaussian::sample_vartime`].
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`] if `rng` repeats itself.
    pub fn count_vartime(&self, count: u32, rng: &mut (impl CryptoRng + ?Sized)) -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 in all but extraordinary draws")]
        let noise = self.noise.sample_vartime(rng)? as f64;
        Ok(f64::from(count) + noise / self.steps)
    }
}

/// The noise multiplier z' for updates. Together with noise of standard deviation
/// b = `count_stddev` on the count of a [`QuantileEstimator`], it costs as much as
/// z = `noise_multiplier` for the updates alone.
///
/// z' = (z⁻² − b⁻²)^(−1/2), because one client changes the count by at most 1. Zero if
/// `noise_multiplier` is zero: then there is no guarantee, and the count needs no noise either. TFF
/// uses a twentieth of the expected number of clients for `count_stddev`, and charges for half a
/// client: z' = (z⁻² − (2b)⁻²)^(−1/2) (Andrew et al., arXiv:1905.03871, theorem 1).
///
/// # Errors
///
/// [`Error::Parameter`] unless the multiplier is a finite number from 0, and `count_stddev` above
/// it.
///
/// ```
/// use cipherfold::privacy::split_noise;
///
/// assert_eq!(split_noise(3.0, 5.0)?, 3.75); // 1/3² = 1/3.75² + 1/5²
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn split_noise(noise_multiplier: f64, count_stddev: f64) -> Result<f64> {
    let good = (0.0..f64::INFINITY).contains(&noise_multiplier);
    checked("noise_multiplier", noise_multiplier, good, FROM_0)?;
    if noise_multiplier == 0.0 {
        return Ok(0.0);
    }
    let good = count_stddev > noise_multiplier && count_stddev.is_finite();
    checked("count_stddev", count_stddev, good, "above the noise multiplier")?;
    // The formula above, in factors that neither cancel nor overflow.
    let ratio = noise_multiplier / count_stddev;
    Ok(noise_multiplier / ((1.0 - ratio) * (1.0 + ratio)).sqrt())
}

/// Steps of the finest grid, 2^20: finer grids change no significant digit of a cost.
const FINEST: f64 = 1_048_576.0;
/// The minimum deviation, 2^-7: 2^13 steps of the finest grid, so that its cost is that of
/// continuous noise.
const MIN: f64 = 1.0 / 128.0;
/// The maximum deviation of discrete noise, 2^23.
const MAX: f64 = 8_388_608.0;
const FROM_0: &str = "a finite number from 0";

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::{
        super::{
            tests::{moments, rng},
            to_float,
        },
        *,
    };
    use rand_core::Rng;

    #[test]
    fn one_step_is_the_rule() {
        // TFF's distributed_dp_test, test_auto_tuning: one client in three below, target 1, rate 1.
        let estimator = QuantileEstimator::geometric(QuantileParameters {
            initial: 1.0,
            target: 1.0,
            learning_rate: 1.0,
        })
        .unwrap();
        assert!((estimator.next(1.0 / 3.0).unwrap().estimate() - (2.0_f64 / 3.0).exp()).abs() < 1e-15);

        let estimator =
            QuantileEstimator::linear(QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 })
                .unwrap();
        assert!((estimator.next(1.0).unwrap().estimate() - 0.9).abs() < 1e-15);
        assert!((estimator.next(0.25).unwrap().estimate() - 1.05).abs() < 1e-15);
        assert_eq!(estimator.next(0.5).unwrap(), estimator);
        // Noisy fractions outside [0, 1] are clamped.
        assert_eq!(estimator.next(7.0), estimator.next(1.0));
        assert_eq!(estimator.next(-7.0), estimator.next(0.0));
        assert!(estimator.next(f64::NAN).is_err());
    }

    #[test]
    fn reports_are_affine_and_comparisons_are_not() {
        // TFF's zeroing norm.
        let estimator = QuantileEstimator::geometric(QuantileParameters {
            initial: 10.0,
            target: 0.98,
            learning_rate: 10.0_f64.ln(),
        })
        .unwrap()
        .reporting(AffineMap { multiplier: 2.0, increment: 1.0 })
        .unwrap();
        assert_eq!((estimator.estimate(), estimator.report()), (10.0, 21.0));
        assert!(estimator.is_below(10.0) && !estimator.is_below(10.0_f64.next_up()));
        assert_eq!((estimator.target(), estimator.learning_rate()), (0.98, 10.0_f64.ln()));
        assert_eq!(estimator.update(), QuantileUpdate::Geometric);
        assert!(
            (estimator.next(0.0).unwrap().report() - (2.0 * 10.0 * (10.0_f64.ln() * 0.98).exp() + 1.0)).abs()
                < 1e-9
        );
    }

    #[test]
    fn estimates_reach_the_quantile() {
        let rng = &mut rng(1);
        let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
        let mut norms: Vec<f64> = (0..1000).map(|_| 3.0 * uniform().powi(3)).collect();
        norms.sort_by(f64::total_cmp);
        for (target, start, expected) in
            [(0.2, 100.0, norms[199]), (0.5, 1e-6, norms[499]), (0.9, 1.0, norms[899])]
        {
            let mut estimator = QuantileEstimator::geometric(QuantileParameters {
                initial: start,
                target,
                learning_rate: 0.2,
            })
            .unwrap();
            for _ in 0..600 {
                let below = norms.iter().filter(|norm| estimator.is_below(**norm)).count();
                estimator = estimator.next(to_float(below) / 1000.0).unwrap();
            }
            assert!(
                (estimator.estimate() / expected - 1.0).abs() < 0.05,
                "{target}: {}",
                estimator.estimate()
            );
        }
        let mut estimator =
            QuantileEstimator::linear(QuantileParameters { initial: 0.0, target: 0.5, learning_rate: 0.1 })
                .unwrap();
        for _ in 0..600 {
            let below = norms.iter().filter(|norm| estimator.is_below(**norm)).count();
            estimator = estimator.next(to_float(below) / 1000.0).unwrap();
        }
        assert!((estimator.estimate() / norms[499] - 1.0).abs() < 0.05, "{}", estimator.estimate());
    }

    #[test]
    fn estimates_stay_floats() {
        let mut up = QuantileEstimator::geometric(QuantileParameters {
            initial: 1e300,
            target: 1.0,
            learning_rate: 500.0,
        })
        .unwrap();
        let mut down = QuantileEstimator::geometric(QuantileParameters {
            initial: 1e-300,
            target: 0.0,
            learning_rate: 500.0,
        })
        .unwrap();
        for _ in 0..10 {
            (up, down) = (up.next(0.0).unwrap(), down.next(1.0).unwrap());
        }
        assert_eq!((up.estimate(), down.estimate()), (f64::MAX, f64::MIN_POSITIVE));
        let far = QuantileEstimator::linear(QuantileParameters {
            initial: f64::MAX,
            target: 1.0,
            learning_rate: 1e308,
        })
        .unwrap()
        .next(0.0)
        .unwrap();
        assert_eq!(far.estimate(), f64::MAX);
    }

    #[test]
    fn noisy_counts_have_the_stated_noise() {
        for stddev in [0.3, 5.0, 100.0] {
            let noise = QuantileNoise::new(stddev).unwrap();
            let rng = &mut rng(2);
            let sample: Vec<f64> = (0..20_000).map(|_| noise.count_vartime(54, rng).unwrap()).collect();
            let (mean, variance) = moments(&sample);
            assert!((mean - 54.0).abs() < 5.0 * stddev / 20_000.0_f64.sqrt(), "{mean}");
            let ratio = variance / stddev.powi(2);
            assert!((ratio - 1.0).abs() < 5.0 * (2.0_f64 / 20_000.0).sqrt(), "{ratio}");
        }
        let exact = QuantileNoise::new(0.0).unwrap();
        assert_eq!(exact.count_vartime(7, &mut rng(2)), Ok(7.0));
    }

    #[test]
    fn noise_on_a_count_lies_on_a_fine_grid() {
        // The cost of continuous noise is valid if a grid step is far below the deviation.
        for stddev in [MIN, 1e-2, 0.3, 1.0, 7.9, 8.1, 1e6, MAX] {
            let noise = QuantileNoise::new(stddev).unwrap();
            assert!(noise.steps >= 1.0 && noise.steps.fract() == 0.0);
            assert!((noise.noise.variance().sqrt() / noise.steps / stddev - 1.0).abs() < 1e-12);
            assert!(noise.noise.variance() >= 8192.0_f64.powi(2) * 0.999, "{stddev}");
        }
    }

    #[test]
    fn split_noise_keeps_the_total_cost() {
        for (z, b) in [(1.0_f64, 5.0_f64), (2.0, 2.5), (0.3, 0.301), (1e200, 2e200)] {
            let split = split_noise(z, b).unwrap();
            assert!(((z / split).powi(2) + (z / b).powi(2) - 1.0).abs() < 1e-12);
            assert!(split > z);
        }
        assert_eq!(split_noise(0.0, 0.0), Ok(0.0));
        for (z, b) in [
            (2.0, 1.0),
            (2.0, 2.0),
            (2.0, 0.0),
            (2.0, f64::NAN),
            (2.0, f64::INFINITY),
            (-1.0, 5.0),
            (f64::NAN, 5.0),
        ] {
            assert!(split_noise(z, b).is_err(), "{z}, {b}");
        }
    }

    #[test]
    fn bad_parameters_are_refused() {
        for (name, result) in [
            (
                "estimate",
                QuantileEstimator::geometric(QuantileParameters {
                    initial: 0.0,
                    target: 0.5,
                    learning_rate: 0.2,
                }),
            ),
            (
                "estimate",
                QuantileEstimator::geometric(QuantileParameters {
                    initial: f64::INFINITY,
                    target: 0.5,
                    learning_rate: 0.2,
                }),
            ),
            (
                "estimate",
                QuantileEstimator::linear(QuantileParameters {
                    initial: f64::NAN,
                    target: 0.5,
                    learning_rate: 0.2,
                }),
            ),
            (
                "target",
                QuantileEstimator::geometric(QuantileParameters {
                    initial: 1.0,
                    target: 1.1,
                    learning_rate: 0.2,
                }),
            ),
            (
                "target",
                QuantileEstimator::geometric(QuantileParameters {
                    initial: 1.0,
                    target: -0.1,
                    learning_rate: 0.2,
                }),
            ),
            (
                "learning_rate",
                QuantileEstimator::geometric(QuantileParameters {
                    initial: 1.0,
                    target: 0.5,
                    learning_rate: 0.0,
                }),
            ),
            (
                "learning_rate",
                QuantileEstimator::linear(QuantileParameters {
                    initial: 1.0,
                    target: 0.5,
                    learning_rate: f64::NAN,
                }),
            ),
            (
                "multiplier",
                QuantileEstimator::linear(QuantileParameters {
                    initial: 1.0,
                    target: 0.5,
                    learning_rate: 0.2,
                })
                .unwrap()
                .reporting(AffineMap { multiplier: 0.0, increment: 0.0 }),
            ),
            (
                "increment",
                QuantileEstimator::linear(QuantileParameters {
                    initial: 1.0,
                    target: 0.5,
                    learning_rate: 0.2,
                })
                .unwrap()
                .reporting(AffineMap { multiplier: 1.0, increment: -1.0 }),
            ),
        ] {
            match result {
                Err(Error::Parameter { name: found, .. }) => assert_eq!(found, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(
            QuantileEstimator::linear(QuantileParameters { initial: -5.0, target: 0.5, learning_rate: 0.2 })
                .is_ok()
        );
        for stddev in [-1.0, f64::NAN, f64::INFINITY, 1e7, 7e-3, 5e-324] {
            assert!(QuantileNoise::new(stddev).is_err());
        }
    }

    #[test]
    fn the_state_survives_serialisation_and_is_checked() {
        let estimator = QuantileEstimator::geometric(QuantileParameters {
            initial: 0.1,
            target: 0.8,
            learning_rate: 0.2,
        })
        .unwrap()
        .reporting(AffineMap { multiplier: 2.0, increment: 0.5 })
        .unwrap();
        let text = serde_json::to_string(&estimator).unwrap();
        assert_eq!(serde_json::from_str::<QuantileEstimator>(&text).unwrap(), estimator);
        let bad = text.replace("0.8", "1.8");
        assert_ne!(bad, text);
        assert!(serde_json::from_str::<QuantileEstimator>(&bad).is_err());
    }
}
