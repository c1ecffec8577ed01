//! Where to clip: a quantile of the clients' norms, learned from counts.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{DiscreteGaussian, checked};
use crate::{Error, Result};

/// How an estimate moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantileUpdate {
    /// C ← C·exp(−η(b − γ)): for positive quantities of unknown magnitude, such as norms.
    Geometric,
    /// C ← C − η(b − γ).
    Linear,
}

/// An estimate of a quantile that follows it from round to round, knowing only which fraction of the clients was below.
///
/// Every client compares its value with the current estimate C and reports one bit. From the fraction b of those at or
/// below it, the target quantile γ and the learning rate η follows the next estimate, by one of the
/// [two rules](QuantileUpdate): gradient descent on the quantile's loss (Andrew et al.,
/// "Differentially Private Learning with Adaptive Clipping", 2021, arXiv:1905.03871, section 2). The paper suggests the geometric
/// rule with η = 0.2, and [noise](QuantileNoise) of a twentieth of the expected number of clients. What is reported to
/// others may be an affine function of C, as in TFF, say twice the 98 % quantile and one more.
///
/// It is the state of TFF's `PrivateQuantileEstimationProcess`, and can be serialised.
///
/// ```
/// use cipherfold::privacy::QuantileEstimator;
///
/// // Median of the norms, starting from 1.
/// let mut estimator = QuantileEstimator::geometric(1.0, 0.5, 0.2)?;
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

/// The state as it is written down, unchecked when read.
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
    /// An estimator with the geometric rule, which starts from `initial`.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] unless `initial` and `learning_rate` are positive and finite, and `target` is from 0 to
    /// 1.
    pub fn geometric(initial: f64, target: f64, learning_rate: f64) -> Result<Self> {
        Self::new(initial, target, learning_rate, QuantileUpdate::Geometric)
    }

    /// An estimator with the linear rule, which starts from `initial`.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] unless `initial` is finite, `learning_rate` positive and finite, and `target` from 0 to
    /// 1.
    pub fn linear(initial: f64, target: f64, learning_rate: f64) -> Result<Self> {
        Self::new(initial, target, learning_rate, QuantileUpdate::Linear)
    }

    fn new(initial: f64, target: f64, learning_rate: f64, update: QuantileUpdate) -> Result<Self> {
        Fields { estimate: initial, target, learning_rate, update, multiplier: 1.0, increment: 0.0 }
            .try_into()
    }

    /// The same estimator, which reports `multiplier`·C + `increment`.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] unless the multiplier is positive and finite, and the increment a finite number from 0.
    pub fn reporting(self, multiplier: f64, increment: f64) -> Result<Self> {
        Fields { multiplier, increment, ..self.fields }.try_into()
    }

    /// C: the current estimate of the quantile.
    pub const fn estimate(&self) -> f64 {
        self.fields.estimate
    }

    /// What follows from the estimate: `multiplier`·C + `increment`.
    pub fn report(&self) -> f64 {
        self.fields.multiplier * self.fields.estimate + self.fields.increment
    }

    /// γ: the share of clients that is to be at or below the estimate.
    pub const fn target(&self) -> f64 {
        self.fields.target
    }

    /// η: how far one round may move the estimate.
    pub const fn learning_rate(&self) -> f64 {
        self.fields.learning_rate
    }

    /// The rule by which it moves.
    pub const fn update(&self) -> QuantileUpdate {
        self.fields.update
    }

    /// The bit that a client reports: whether its value is at or below the current estimate, whatever is
    /// [reported](Self::report) of that.
    pub fn is_below(&self, value: f64) -> bool {
        value <= self.fields.estimate
    }

    /// The estimator of the next round, given the fraction of clients that were at or below this one's estimate. With
    /// [noise](QuantileNoise) a fraction may leave [0, 1]; it is cut off there.
    ///
    /// A geometric estimate stays a positive and finite float.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] if the fraction is not a number.
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
/// A client's bit counts as ±½, so that adding or removing it changes the count by ½ instead of 1; the noise is discrete
/// Gaussian on the doubled count, which is an integer. One round costs as much as [`Gaussian`](super::Gaussian) noise of
/// multiplier 2·`stddev`, and [`split_noise`] takes that out of a budget.
///
/// ```
/// use cipherfold::privacy::QuantileNoise;
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
/// let noise = QuantileNoise::new(5.0, 100)?; // 5 clients more or less, of 100
/// let fraction = noise.fraction_vartime(60, 100, &mut rng)?;
/// assert!((fraction - 0.6).abs() < 0.2);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileNoise {
    doubled: DiscreteGaussian,
    expected: f64,
}

impl QuantileNoise {
    /// Noise of standard deviation `stddev` on a count of clients, of whom `expected_clients` are expected in a round.
    /// Without noise, zero.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] unless `stddev` is from 0 to 2²³, and at least one client is expected.
    pub fn new(stddev: f64, expected_clients: u32) -> Result<Self> {
        checked("stddev", stddev, (0.0..=f64::from(1 << 23)).contains(&stddev), "from 0 to 2^23")?;
        let expected = f64::from(expected_clients);
        checked("expected_clients", expected, expected_clients > 0, "at least 1")?;
        Ok(Self { doubled: DiscreteGaussian::new((2.0 * stddev).powi(2))?, expected })
    }

    /// The fraction at or below the estimate, with noise, when `below` clients of `clients` are. It may leave [0, 1].
    ///
    /// The *expected* number of clients stands below the line, for the true one may be private; where fewer take part, the
    /// fraction is drawn towards ½.
    ///
    /// **Time depends on the noise**, as that of [`DiscreteGaussian::sample_vartime`] does.
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] if `below` exceeds `clients`; [`Error::BrokenGenerator`] if `rng` repeats itself.
    pub fn fraction_vartime(
        &self,
        below: u32,
        clients: u32,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<f64> {
        checked("below", below.into(), below <= clients, "at most the number of clients")?;
        let doubled = 2 * i64::from(below) - i64::from(clients) + self.doubled.sample_vartime(rng)?;
        #[expect(clippy::cast_precision_loss, reason = "below 2^38")]
        let doubled = doubled as f64;
        Ok(doubled / (2.0 * self.expected) + 0.5)
    }
}

/// The noise multiplier for updates that, together with noise of standard deviation `count_stddev` on the count of a
/// [`QuantileEstimator`], costs as much as `noise_multiplier` for the updates alone.
///
/// z' = (z⁻² − (2b)⁻²)^(−1/2): Andrew et al., arXiv:1905.03871, theorem 1. Zero if `noise_multiplier` is:
/// then nothing is promised and the count needs no noise either. TFF takes a twentieth of the expected number of clients
/// for `count_stddev`.
///
/// # Errors
///
/// [`Error::PrivacyParameter`] unless the multiplier is a finite number from 0, and `count_stddev` more than half of it.
///
/// ```
/// use cipherfold::privacy::split_noise;
///
/// assert_eq!(split_noise(3.0, 2.5)?, 3.75); // 1/3² = 1/3.75² + 1/5²
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn split_noise(noise_multiplier: f64, count_stddev: f64) -> Result<f64> {
    let good = (0.0..f64::INFINITY).contains(&noise_multiplier);
    checked("noise_multiplier", noise_multiplier, good, FROM_0)?;
    if noise_multiplier == 0.0 {
        return Ok(0.0);
    }
    let good = 2.0 * count_stddev > noise_multiplier && count_stddev.is_finite();
    checked("count_stddev", count_stddev, good, "more than half of the noise multiplier")?;
    // The same as above, in factors that do not cancel.
    let (z, b) = (noise_multiplier, 2.0 * count_stddev);
    Ok(z * b / ((b - z) * (b + z)).sqrt())
}

const FROM_0: &str = "a finite number from 0";

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "where tests compare for equality, they mean it")]
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
        let estimator = QuantileEstimator::geometric(1.0, 1.0, 1.0).unwrap();
        assert!((estimator.next(1.0 / 3.0).unwrap().estimate() - (2.0_f64 / 3.0).exp()).abs() < 1e-15);

        let estimator = QuantileEstimator::linear(1.0, 0.5, 0.2).unwrap();
        assert!((estimator.next(1.0).unwrap().estimate() - 0.9).abs() < 1e-15);
        assert!((estimator.next(0.25).unwrap().estimate() - 1.05).abs() < 1e-15);
        assert_eq!(estimator.next(0.5).unwrap(), estimator);
        // Fractions that noise has driven out of their range are cut off.
        assert_eq!(estimator.next(7.0), estimator.next(1.0));
        assert_eq!(estimator.next(-7.0), estimator.next(0.0));
        assert!(estimator.next(f64::NAN).is_err());
    }

    #[test]
    fn reports_are_affine_and_comparisons_are_not() {
        // TFF's zeroing norm.
        let estimator =
            QuantileEstimator::geometric(10.0, 0.98, 10.0_f64.ln()).unwrap().reporting(2.0, 1.0).unwrap();
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
            let mut estimator = QuantileEstimator::geometric(start, target, 0.2).unwrap();
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
        let mut estimator = QuantileEstimator::linear(0.0, 0.5, 0.1).unwrap();
        for _ in 0..600 {
            let below = norms.iter().filter(|norm| estimator.is_below(**norm)).count();
            estimator = estimator.next(to_float(below) / 1000.0).unwrap();
        }
        assert!((estimator.estimate() / norms[499] - 1.0).abs() < 0.05, "{}", estimator.estimate());
    }

    #[test]
    fn estimates_stay_floats() {
        let mut up = QuantileEstimator::geometric(1e300, 1.0, 500.0).unwrap();
        let mut down = QuantileEstimator::geometric(1e-300, 0.0, 500.0).unwrap();
        for _ in 0..10 {
            (up, down) = (up.next(0.0).unwrap(), down.next(1.0).unwrap());
        }
        assert_eq!((up.estimate(), down.estimate()), (f64::MAX, f64::MIN_POSITIVE));
        let far = QuantileEstimator::linear(f64::MAX, 1.0, 1e308).unwrap().next(0.0).unwrap();
        assert_eq!(far.estimate(), f64::MAX);
    }

    #[test]
    fn noisy_fractions_have_the_stated_noise() {
        let noise = QuantileNoise::new(5.0, 100).unwrap();
        let rng = &mut rng(2);
        let sample: Vec<f64> = (0..20_000).map(|_| noise.fraction_vartime(54, 90, rng).unwrap()).collect();
        let (mean, variance) = moments(&sample);
        // (54 − 45)/100 + ½: of the expected 100.
        assert!((mean - 0.59).abs() < 5.0 * 0.05 / 20_000.0_f64.sqrt(), "{mean}");
        assert!((variance / 0.0025 - 1.0).abs() < 5.0 * (2.0_f64 / 20_000.0).sqrt(), "{variance}");

        let exact = QuantileNoise::new(0.0, 8).unwrap();
        for below in 0..=8 {
            assert_eq!(exact.fraction_vartime(below, 8, rng), Ok(f64::from(below) / 8.0));
        }
        assert!(exact.fraction_vartime(9, 8, rng).is_err());
    }

    #[test]
    fn split_noise_costs_what_it_should() {
        for (z, b) in [(1.0_f64, 5.0_f64), (2.0, 5.0), (0.3, 0.151)] {
            let split = split_noise(z, b).unwrap();
            let together = split.powi(-2) + (2.0 * b).powi(-2);
            assert!((together * z * z - 1.0).abs() < 1e-12);
            assert!(split > z);
        }
        assert_eq!(split_noise(0.0, 0.0), Ok(0.0));
        for (z, b) in
            [(2.0, 1.0), (2.0, 0.0), (2.0, f64::NAN), (2.0, f64::INFINITY), (-1.0, 5.0), (f64::NAN, 5.0)]
        {
            assert!(split_noise(z, b).is_err(), "{z}, {b}");
        }
    }

    #[test]
    fn bad_parameters_are_refused() {
        for (name, result) in [
            ("estimate", QuantileEstimator::geometric(0.0, 0.5, 0.2)),
            ("estimate", QuantileEstimator::geometric(f64::INFINITY, 0.5, 0.2)),
            ("estimate", QuantileEstimator::linear(f64::NAN, 0.5, 0.2)),
            ("target", QuantileEstimator::geometric(1.0, 1.1, 0.2)),
            ("target", QuantileEstimator::geometric(1.0, -0.1, 0.2)),
            ("learning_rate", QuantileEstimator::geometric(1.0, 0.5, 0.0)),
            ("learning_rate", QuantileEstimator::linear(1.0, 0.5, f64::NAN)),
            ("multiplier", QuantileEstimator::linear(1.0, 0.5, 0.2).unwrap().reporting(0.0, 0.0)),
            ("increment", QuantileEstimator::linear(1.0, 0.5, 0.2).unwrap().reporting(1.0, -1.0)),
        ] {
            match result {
                Err(Error::PrivacyParameter { name: found, .. }) => assert_eq!(found, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(QuantileEstimator::linear(-5.0, 0.5, 0.2).is_ok());
        for (stddev, clients) in [(-1.0, 1), (f64::NAN, 1), (1e7, 1), (1.0, 0)] {
            assert!(QuantileNoise::new(stddev, clients).is_err());
        }
    }

    #[test]
    fn the_state_survives_serialisation_and_is_checked() {
        let estimator = QuantileEstimator::geometric(0.1, 0.8, 0.2).unwrap().reporting(2.0, 0.5).unwrap();
        let text = serde_json::to_string(&estimator).unwrap();
        assert_eq!(serde_json::from_str::<QuantileEstimator>(&text).unwrap(), estimator);
        let bad = text.replace("0.8", "1.8");
        assert_ne!(bad, text);
        assert!(serde_json::from_str::<QuantileEstimator>(&bad).is_err());
    }
}
