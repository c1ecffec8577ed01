//! Noise on the counts from which a quantile is learned, and its part of a budget.

use rand_core::CryptoRng;

#[cfg(doc)]
use super::estimator::QuantileEstimator;
#[cfg(doc)]
use crate::privacy::error::Error;
use crate::privacy::{check::checked, discrete_gaussian::DiscreteGaussian, error::Result};

/// Noise on the count of clients at or below an estimate.
///
/// One client changes the count by at most 1, by its answer yes or no. One round therefore costs as
/// much as [`Gaussian`](crate::privacy::Gaussian) noise of multiplier `stddev`, and [`split_noise`]
/// subtracts this cost from a budget. (Andrew et al. and TFF charge for ½ a client: they protect
/// participation alone, and count an absent client as half an answer. See [the
/// module](crate::privacy#who-is-protected).)
///
/// The noise is discrete Gaussian on a fine grid of fractions of a client, so that its cost is that
/// of continuous noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CountNoise {
    stddev: f64,
    /// Steps of the grid to one client.
    steps: f64,
    noise: DiscreteGaussian,
}

impl CountNoise {
    /// Noise of standard deviation `stddev` on a count of clients. Zero means no noise.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] unless `stddev` is zero, or from 2⁻⁷ to 2²³.
    pub(crate) fn new(stddev: f64) -> Result<Self> {
        let good = stddev == 0.0 || (MIN_STDDEV..=MAX_STDDEV).contains(&stddev);
        checked("stddev", stddev, good, "zero, or from 2^-7 to 2^23")?;
        let steps = if stddev == 0.0 { 1.0 } else { (MAX_STDDEV / stddev).floor().min(FINEST) };
        Ok(Self { stddev, steps, noise: DiscreteGaussian::new((stddev * steps).powi(2))? })
    }

    /// Standard deviation of the noise, in clients.
    pub(crate) const fn stddev(&self) -> f64 {
        self.stddev
    }

    /// A count with noise. It may be negative, and is rarely an integer.
    ///
    /// **Time depends on the noise**, as for [`DiscreteGaussian::sample_vartime`].
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`] if `rng` repeats itself.
    pub(crate) fn count_vartime(&self, count: u32, rng: &mut (impl CryptoRng + ?Sized)) -> Result<f64> {
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
/// [`Error::Parameter`] unless the multiplier is finite and not negative, and `count_stddev` above
/// it.
pub(crate) fn split_noise(noise_multiplier: f64, count_stddev: f64) -> Result<f64> {
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
const MIN_STDDEV: f64 = 1.0 / 128.0;
/// The maximum deviation of discrete noise, 2^23.
const MAX_STDDEV: f64 = 8_388_608.0;
const FROM_0: &str = "a finite number from 0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::test_support::{moments, rng};

    #[test]
    fn noisy_counts_have_the_stated_noise() {
        for stddev in [0.3, 5.0, 100.0] {
            let noise = CountNoise::new(stddev).unwrap();
            let rng = &mut rng(2);
            let sample: Vec<f64> = (0..20_000).map(|_| noise.count_vartime(54, rng).unwrap()).collect();
            let (mean, variance) = moments(&sample);
            assert!((mean - 54.0).abs() < 5.0 * stddev / 20_000.0_f64.sqrt(), "{mean}");
            let ratio = variance / stddev.powi(2);
            assert!((ratio - 1.0).abs() < 5.0 * (2.0_f64 / 20_000.0).sqrt(), "{ratio}");
        }
        let exact = CountNoise::new(0.0).unwrap();
        assert_eq!(exact.count_vartime(7, &mut rng(2)), Ok(7.0));
    }

    #[test]
    fn noise_on_a_count_lies_on_a_fine_grid() {
        // The cost of continuous noise is valid if a grid step is far below the deviation.
        for stddev in [MIN_STDDEV, 1e-2, 0.3, 1.0, 7.9, 8.1, 1e6, MAX_STDDEV] {
            let noise = CountNoise::new(stddev).unwrap();
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
    fn impossible_deviations_are_refused() {
        for stddev in [-1.0, f64::NAN, f64::INFINITY, 1e7, 7e-3, 5e-324] {
            assert!(CountNoise::new(stddev).is_err());
        }
    }
}
