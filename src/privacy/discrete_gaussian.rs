//! Exact samples of the discrete Gaussian.
//!
//! Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", 2020
//! (arXiv:2004.00010), algorithms 1 to 3, in integers of 128 bits. They use no logarithm,
//! exponential or float, so that every integer has exactly the probability that the privacy proof
//! assumes.

use rand_core::CryptoRng;

use super::checked;
use super::{Error, Result};

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
    /// [`Error::BrokenGenerator`] if `rng` repeats itself. Every loop of the algorithms has a limit
    /// that a working generator exceeds with a probability below 2⁻¹²⁸.
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

/// Algorithm 2: x with probability proportional to exp(−|x|/t), of magnitude below 2¹²·t.
fn discrete_laplace(scale: u64, rng: &mut (impl CryptoRng + ?Sized)) -> Result<i64> {
    for _ in 0..MAX_CANDIDATES {
        let low = uniform_below(scale.into(), rng)?;
        if !bernoulli_exp(low, scale.into(), rng)? {
            continue;
        }
        let mut high = 0;
        while high < TAIL && bernoulli_exp_at_most_one(1, 1, rng)? {
            high += 1;
        }
        // Magnitudes beyond 2^12 are not supported. They have a probability of exp(−2^12) here, and
        // of less than exp(−2^20) after the acceptance step.
        if high == TAIL {
            return Err(broken(1));
        }
        let magnitude = u64::try_from(low).expect("below the scale") + high * scale;
        let negative = rng.next_u64() & 1 == 1;
        if negative && magnitude == 0 {
            continue; // otherwise zero would be twice as likely
        }
        let magnitude = i64::try_from(magnitude).expect("below 2^37");
        return Ok(if negative { -magnitude } else { magnitude });
    }
    Err(broken(MAX_CANDIDATES))
}

/// Algorithm 1: true with probability exp(−γ), γ = `numerator / denominator`.
fn bernoulli_exp(
    mut numerator: u128,
    denominator: u128,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<bool> {
    // exp(−γ) = exp(−1)·exp(−(γ − 1)): above 1, one factor at a time.
    for _ in 0..MAX_FACTORS {
        if numerator <= denominator {
            return bernoulli_exp_at_most_one(numerator, denominator, rng);
        }
        if !bernoulli_exp_at_most_one(1, 1, rng)? {
            return Ok(false);
        }
        numerator -= denominator;
    }
    Err(broken(MAX_FACTORS))
}

/// Algorithm 1 for γ ≤ 1: the first k at which an event of probability γ/k fails is odd with
/// probability Σ (−γ)^k/k! = exp(−γ).
fn bernoulli_exp_at_most_one(
    numerator: u128,
    denominator: u128,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<bool> {
    for k in 1..=MAX_TERMS {
        // Two draws for 1/k and γ, because the denominator of their product may not fit.
        if uniform_below(k.into(), rng)? != 0 || uniform_below(denominator, rng)? >= numerator {
            return Ok(k % 2 == 1);
        }
    }
    Err(broken(MAX_TERMS))
}

/// A uniform number from 0 to `bound - 1`. Draws as many random bits as the bound needs, until they
/// are below it.
fn uniform_below(bound: u128, rng: &mut (impl CryptoRng + ?Sized)) -> Result<u128> {
    let Some(mask) = u128::MAX.checked_shr((bound - 1).leading_zeros()) else {
        return Ok(0); // only one choice
    };
    for _ in 0..MAX_DRAWS {
        let mut draw = u128::from(rng.next_u64());
        if mask > u64::MAX.into() {
            draw |= u128::from(rng.next_u64()) << 64;
        }
        if draw & mask < bound {
            return Ok(draw & mask);
        }
    }
    Err(broken(MAX_DRAWS))
}

fn broken(attempts: u32) -> Error {
    Error::BrokenGenerator { drawn: "discrete Gaussian sample", attempts }
}

/// Maximum number of candidates of algorithms 2 and 3. One is rejected with a probability below
/// 0.6, all of them with a probability below 0.6^200 < 2^−147.
const MAX_CANDIDATES: u32 = 200;

/// Maximum number of factors exp(−1) of algorithm 1. All of them are true with a probability of
/// exp(−90) < 2^−129.
const MAX_FACTORS: u32 = 90;

/// Maximum number of terms of algorithm 1. The events of probability γ/k happen for all of them
/// with a probability of at most 1/36! < 2^−138.
const MAX_TERMS: u32 = 36;

/// Maximum number of draws below a bound. One fails with a probability below one half, all of them
/// with a probability below 2^−128.
const MAX_DRAWS: u32 = 128;

const MAX_BITS: u32 = 48;
const MAX: u64 = 1 << MAX_BITS;
const TAIL: u64 = 1 << 12;
const ALLOWED: &str = "from 0 to 2^48, as a fraction of numbers up to 2^48";

#[cfg(test)]
mod tests {
    use super::{
        super::{
            tests::{moments, rng},
            to_float,
        },
        *,
    };
    use proptest::prelude::*;

    /// Probabilities of −reach..=reach by definition, in floats.
    fn exact(variance: f64, reach: i32) -> Vec<f64> {
        let weight: Vec<f64> =
            (-reach..=reach).map(|x| (-f64::from(x).powi(2) / (2.0 * variance)).exp()).collect();
        let total: f64 = weight.iter().sum();
        weight.iter().map(|w| w / total).collect()
    }

    fn sample(noise: DiscreteGaussian, count: usize, seed: u8) -> Vec<i64> {
        let mut sample = vec![0; count];
        noise.fill_vartime(&mut sample, &mut rng(seed)).unwrap();
        sample
    }

    /// χ² and its degrees of freedom over runs of integers. Each run has an expectation of at
    /// least 10. The first and the last run include the tails.
    fn chi_squared(found: &[i64], probabilities: &[f64], reach: i32) -> (f64, f64) {
        let mut runs = vec![(0.0, 0.0)];
        for (x, probability) in (-i64::from(reach)..).zip(probabilities) {
            let last = runs.last_mut().expect("there is one");
            last.0 += probability * to_float(found.len());
            last.1 += to_float(found.iter().filter(|y| **y == x).count());
            if last.0 >= 10.0 {
                runs.push((0.0, 0.0));
            }
        }
        let (rest, last) = (runs.pop().unwrap(), runs.last_mut().unwrap());
        *last = (last.0 + rest.0, last.1 + rest.1);
        let terms = runs.iter().map(|(expected, observed)| (observed - expected).powi(2) / expected);
        (terms.sum(), to_float(runs.len() - 1))
    }

    #[test]
    fn frequencies_are_the_exact_probabilities() {
        // Below, at and above σ = 1; thirds, which are not exact in floats; scales with and without
        // rejection in the uniform draw.
        for (seed, (numerator, denominator)) in
            [(1, 20), (1, 4), (2, 3), (1, 1), (7, 3), (100, 1), (12_345, 10)].into_iter().enumerate()
        {
            let noise = DiscreteGaussian::from_ratio(numerator, denominator).unwrap();
            let count = 200_000;
            let found = sample(noise, count, u8::try_from(seed).unwrap());
            let reach = i32::try_from(noise.scale).unwrap() * 12;
            let probabilities = exact(noise.variance(), reach);

            assert!(found.iter().all(|x| x.abs() <= reach.into()));
            let (statistic, freedom) = chi_squared(&found, &probabilities, reach);
            let limit = freedom + 5.0 * (2.0 * freedom).sqrt() + 5.0;
            assert!(statistic < limit, "{numerator}/{denominator}: χ² = {statistic} of {freedom}");
        }
    }

    #[test]
    fn mean_and_variance_are_right_at_every_size() {
        for (seed, variance) in
            [0.02, 0.3, 1.0, 50.0, 1e4, 1e9, 3.3e13, DiscreteGaussian::MAX_VARIANCE].into_iter().enumerate()
        {
            let noise = DiscreteGaussian::new(variance).unwrap();
            let count = 100_000;
            let found = sample(noise, count, u8::try_from(seed).unwrap() + 100);
            #[expect(clippy::cast_precision_loss, reason = "below 2^37")]
            let found: Vec<f64> = found.iter().map(|x| *x as f64).collect();
            let (mean, found) = moments(&found);
            // Small variances are below σ²; from 50 on they are equal to it in any float.
            let (expected, fourth) = if variance < 50.0 {
                let moment = |power| {
                    let terms = exact(variance, 60).into_iter().zip(-60..=60_i32);
                    terms.map(|(p, x)| p * f64::from(x).powi(power)).sum::<f64>()
                };
                (moment(2), moment(4))
            } else {
                (variance, 3.0 * variance.powi(2))
            };
            let count = to_float(count);
            assert!(mean.abs() < 5.0 * (expected / count).sqrt(), "mean {mean} at {variance}");
            let deviation = ((fourth - expected.powi(2)) / count).sqrt();
            assert!((found - expected).abs() < 5.0 * deviation, "variance {found}, not {expected}");
        }
    }

    #[test]
    fn bernoulli_exp_has_its_probability() {
        for (seed, (numerator, denominator)) in
            [(0, 1), (1, 10), (1, 1), (5, 2), (1 << 100, (1 << 99) + 1), (3, u128::MAX)]
                .into_iter()
                .enumerate()
        {
            let (count, rng) = (100_000, &mut rng(u8::try_from(seed).unwrap()));
            let found = (0..count).filter(|_| bernoulli_exp(numerator, denominator, rng).unwrap()).count();
            #[expect(clippy::cast_precision_loss, reason = "for the comparison")]
            let p = (-(numerator as f64 / denominator as f64)).exp();
            let count = f64::from(count);
            let slack = 5.0 * (p * (1.0 - p) * count).sqrt();
            assert!((to_float(found) - p * count).abs() <= slack, "{numerator}/{denominator}: {found}");
        }
    }

    #[test]
    fn uniform_numbers_are_uniform_and_below_their_bound() {
        let rng = &mut rng(5);
        assert_eq!(uniform_below(1, rng), Ok(0));
        for bound in [2_u128, 3, 5, 8, 9] {
            let mut counts = [0_u32; 9];
            for _ in 0..9000 {
                counts[usize::try_from(uniform_below(bound, rng).unwrap()).unwrap()] += 1;
            }
            let expected = 9000.0 / f64::from(u32::try_from(bound).unwrap());
            for (i, count) in counts.into_iter().enumerate() {
                let expected = if i < usize::try_from(bound).unwrap() { expected } else { 0.0 };
                assert!((f64::from(count) - expected).abs() <= 5.0 * expected.sqrt(), "{bound}: {counts:?}");
            }
        }
        // The upper word is used: a third of the draws is in the upper third.
        let bound = 3 << 100;
        let upper = (0..3000).filter(|_| uniform_below(bound, rng).unwrap() >= 2 << 100).count();
        assert!((870..1130).contains(&upper), "{upper}");
    }

    #[test]
    fn a_generator_that_repeats_itself_is_an_error_or_a_sample_in_few_draws() {
        for variance in [1e-9, 0.3, 1.0, 7.0, 1e6, DiscreteGaussian::MAX_VARIANCE] {
            let noise = DiscreteGaussian::new(variance).unwrap();
            for word in (0..=255_u64).map(|byte| byte * 0x0101_0101_0101_0101) {
                let mut calls = 0;
                let mut rng = Constant { word, calls: &mut calls };
                let mut sample = [1; 3];
                if let Err(error) = noise.fill_vartime(&mut sample, &mut rng) {
                    assert!(matches!(error, Error::BrokenGenerator { .. }), "{error}");
                    assert_eq!(sample, [0; 3]);
                }
                // Every loop stays within its limit: an error takes at most candidates times
                // factors times terms.
                assert!(calls < 1_000_000, "{calls} calls at {variance} with {word:x}");
            }
        }
        let noise = DiscreteGaussian::new(100.0).unwrap();
        for word in [0, u64::MAX] {
            let error = noise.sample_vartime(&mut Constant { word, calls: &mut 0 }).unwrap_err();
            assert!(matches!(error, Error::BrokenGenerator { .. }), "{error}");
        }
    }

    /// A generator that repeats one word.
    struct Constant<'a> {
        word: u64,
        calls: &'a mut u32,
    }

    impl rand_core::TryRng for Constant<'_> {
        type Error = core::convert::Infallible;

        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|word| word as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            *self.calls += 1;
            Ok(self.word)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(self.word.to_le_bytes()[0]);
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Constant<'_> {}

    #[test]
    fn no_variance_is_no_noise() {
        assert_eq!(sample(DiscreteGaussian::new(0.0).unwrap(), 10, 0), [0; 10]);
        assert_eq!(DiscreteGaussian::new(-0.0), DiscreteGaussian::new(0.0));
    }

    #[test]
    fn impossible_variances_are_refused() {
        for variance in [-1e-9, f64::NAN, f64::INFINITY, DiscreteGaussian::MAX_VARIANCE.next_up()] {
            let error = DiscreteGaussian::new(variance).unwrap_err();
            assert!(matches!(error, Error::Parameter { name: "variance", .. }), "{error}");
        }
        for (numerator, denominator) in [(1, 0), ((1 << 48) + 1, 1), (1, (1 << 48) + 1)] {
            assert!(DiscreteGaussian::from_ratio(numerator, denominator).is_err());
        }
        assert!(DiscreteGaussian::from_ratio(1 << 48, 1 << 48).is_ok());
    }

    proptest! {
        #![proptest_config(crate::test_support::replayable(1000))]

        #[test]
        fn a_float_becomes_the_next_fraction(mantissa in 1.0..2.0_f64, exponent in -60..48_i32) {
            let variance = mantissa * f64::from(exponent).exp2();
            let noise = DiscreteGaussian::new(variance).unwrap();
            let excess = noise.variance() - variance;
            prop_assert!(excess >= 0.0 && excess <= (variance * (-47.0_f64).exp2()).max((-48.0_f64).exp2()));
        }

        /// Tests enable overflow checks: this test fails if a step panics.
        #[test]
        fn the_largest_magnitudes_overflow_nowhere(a in 0..=1_u64 << 48, b in 1..=1_u64 << 48, bits in 0..=48_u32) {
            for (a, b) in [(a, b), (a >> bits, b), (a, (b >> bits).max(1)), (1 << 48, 1), (1, 1 << 48)] {
                let noise = DiscreteGaussian::from_ratio(a, b).unwrap();
                let (above, below) = noise.rejection_exponent(noise.scale * TAIL - 1);
                prop_assert!(above < 1 << 124 && below <= 1 << 99);
            }
        }
    }
}
