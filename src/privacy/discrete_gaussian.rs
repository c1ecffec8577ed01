//! Exact samples of the discrete Gaussian.
//!
//! Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", 2020
//! (arXiv:2004.00010), algorithms 1 to 3, in integers of 128 bits. They use no logarithm,
//! exponential or float, so that every integer has exactly the probability that the privacy proof
//! assumes.

mod bernoulli;

use rand_core::CryptoRng;

use self::bernoulli::{MAX_CANDIDATES, bernoulli_exp, broken, discrete_laplace};
use super::{check::checked, error::Result};

/// The Gaussian on the integers: x has a probability proportional to exp(−x²/(2σ²)).
///
/// It hides an integer as well as the continuous Gaussian hides a real number: with an L2
/// sensitivity of Δ, adding it to every coordinate is ½(Δ/σ)²-concentrated differentially private
/// (theorems 4 and 14 of the paper). Its variance is at most σ² and, for σ ≥ 1, less than a
/// millionth below it (corollary 9).
///
/// Samples differ from the exact distribution in one point: its tails do not fit a 64-bit integer,
/// so a sample of 2¹² deviations or more from zero is an error. This has a probability below
/// exp(−2²⁰).
///
/// ```
/// use cipherfold::privacy::DiscreteGaussian;
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
/// let noise = DiscreteGaussian::new(100.0)?; // variance, and so a deviation of 10
/// let mut sample = [0; 1000];
/// noise.fill_vartime(&mut sample, &mut rng)?;
/// assert_eq!(sample.iter().filter(|x| x.abs() <= 10).count(), 717); // 706 are expected, give or take 14
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DiscreteGaussian {
    // σ² = numerator / denominator, each at most 2^48; the denominator is not zero.
    numerator: u64,
    denominator: u64,
    // t = ⌊σ⌋ + 1, at most 2^24 + 1. For σ ≥ 1, t² ≤ 4σ²; otherwise t = 1. So
    // t²·denominator ≤ 2^50.
    scale: u64,
}

impl DiscreteGaussian {
    /// The maximum variance, 2⁴⁸: a deviation of 2²⁴.
    #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
    pub const MAX_VARIANCE: f64 = MAX as f64;

    /// Noise of at least the given σ². Zero means no noise.
    ///
    /// The variance is rounded up to a fraction with a power of two up to 2⁴⁸ as denominator, by
    /// less than a part in 2⁴⁷ or, for variances below 1, by less than 2⁻⁴⁸.
    /// [`variance`](Self::variance) returns the result.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`](super::Error::Parameter) unless the variance is from 0 to
    /// [`MAX_VARIANCE`](Self::MAX_VARIANCE).
    pub fn new(variance: f64) -> Result<Self> {
        checked("variance", variance, (0.0..=Self::MAX_VARIANCE).contains(&variance), ALLOWED)?;
        // The bits of the integer part; halving is exact.
        let mut whole_bits = 0;
        let mut rest = variance;
        while rest >= 1.0 {
            rest *= 0.5;
            whole_bits += 1;
        }
        let denominator = 1_u64 << MAX_BITS.saturating_sub(whole_bits);
        // Multiplying by a power of two is exact, and the product is at most 2^48.
        #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^48, whole")]
        let numerator = (variance * denominator as f64).ceil() as u64;
        Self::from_ratio(numerator, denominator)
    }

    /// Noise of exactly σ² = `numerator / denominator`.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`](super::Error::Parameter) if one of them is above 2⁴⁸, or the
    /// denominator zero.
    #[expect(clippy::cast_precision_loss, reason = "for the message")]
    pub fn from_ratio(numerator: u64, denominator: u64) -> Result<Self> {
        let good = numerator.max(denominator) <= MAX && denominator > 0;
        checked("variance", numerator as f64 / denominator as f64, good, ALLOWED)?;
        // ⌊√x⌋ = ⌊√⌊x⌋⌋, because the square of an integer is at most x exactly if it is at most
        // ⌊x⌋.
        Ok(Self { numerator, denominator, scale: (numerator / denominator).isqrt() + 1 })
    }

    /// σ² as a float. The variance of the noise is this or slightly less.
    #[expect(clippy::cast_precision_loss, reason = "both are at most 2^48")]
    pub fn variance(&self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }

    /// σ² as a fraction, exactly.
    pub const fn ratio(&self) -> (u64, u64) {
        (self.numerator, self.denominator)
    }

    /// One sample.
    ///
    /// **Time depends on the sample**: a larger magnitude takes longer. The time of a single draw
    /// reveals information about the noise, and so about the value that it hides (Jin et al., "Are
    /// We There Yet? Timing and Floating-Point Attacks on Differential Privacy Systems", IEEE S&P
    /// 2022). The time of a whole vector reveals only the sum of these times, and little of it.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`](super::Error::BrokenGenerator) if `rng` repeats itself. Every
    /// loop of the algorithms has a limit that a working generator exceeds with a probability below
    /// 2⁻¹²⁸.
    pub fn sample_vartime(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<i64> {
        if self.numerator == 0 {
            return Ok(0);
        }
        // Algorithm 3: a discrete Laplace sample Y of scale t is accepted with probability
        // exp(−(|Y| − σ²/t)²/(2σ²)).
        for _ in 0..MAX_CANDIDATES {
            let candidate = discrete_laplace(self.scale, rng)?;
            let (numerator, denominator) = self.rejection_exponent(candidate.unsigned_abs());
            if bernoulli_exp(numerator, denominator, rng)? {
                return Ok(candidate);
            }
        }
        Err(broken(MAX_CANDIDATES))
    }

    /// Independent samples.
    ///
    /// **Time depends on the samples**, as for [`sample_vartime`](Self::sample_vartime).
    ///
    /// # Errors
    ///
    /// Those of [`sample_vartime`](Self::sample_vartime); `out` is then all zeros.
    pub fn fill_vartime(&self, out: &mut [i64], rng: &mut (impl CryptoRng + ?Sized)) -> Result<()> {
        let filled = out.iter_mut().try_for_each(|sample| {
            *sample = self.sample_vartime(rng)?;
            Ok(())
        });
        if filled.is_err() {
            out.fill(0); // no partial noise on an error
        }
        filled
    }

    /// (m − σ²/t)²/(2σ²) = (m·t·b − a)²/(2·t²·b·a) for σ² = a/b, as numerator and denominator.
    fn rejection_exponent(&self, magnitude: u64) -> (u128, u128) {
        let [a, b, t] = [self.numerator, self.denominator, self.scale].map(u128::from);
        // m < 2^12·t and t²·b ≤ 2^50, so the difference is below 2^62, its square below 2^124, and
        // the denominator at most 2^99.
        let difference = (u128::from(magnitude) * t * b).abs_diff(a);
        (difference * difference, 2 * t * t * b * a)
    }
}

const MAX_BITS: u32 = 48;
const MAX: u64 = 1 << MAX_BITS;
const ALLOWED: &str = "from 0 to 2^48, as a fraction of numbers up to 2^48";

#[cfg(test)]
mod tests;
