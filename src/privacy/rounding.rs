//! Random rounding of vectors to integers, with a bounded L2 norm.

use rand_core::CryptoRng;

use super::{Error, Result};
use super::{checked, l2_norm, to_float};

/// The parameters of a rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundingParameters {
    /// The maximum L2 norm of a vector before rounding. From 0 to 2⁴⁰.
    pub l2_bound: f64,
    /// Bias β: from 0 (no bias) to 1, 1 not included.
    pub beta: f64,
    /// Numbers in a vector.
    pub dimension: usize,
}

/// The maximum L2 norm of a vector after conditional rounding to integers.
///
/// Random rounding can make a vector longer: by up to √d, in most cases by much less. With a bias β
/// above zero, results that are too long are drawn again. This bound is then the smaller of the
/// two:
///
/// - (c + √d)², for every outcome;
/// - c² + d/4 + √(2·ln(1/β))·(c + √d/2), for all outcomes except a share of at most β.
///
/// These are the squares of the bounds (Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian
/// Mechanism for Federated Learning with Secure Aggregation", ICML 2021, theorem 1 and section 4.1,
/// for a granularity of γ = 1).
///
/// # Errors
///
/// [`Error::Parameter`] unless `l2_bound` is from 0 to 2⁴⁰ and `beta` from 0 to 1, 1 not included.
///
/// ```
/// use cipherfold::privacy::{RoundingParameters, inflated_l2_bound};
///
/// let parameters = RoundingParameters { l2_bound: 100.0, beta: 0.0, dimension: 10_000 };
/// assert_eq!(inflated_l2_bound(parameters)?, 200.0);
/// let beta = (-0.5_f64).exp(); // √(2·ln(1/β)) = 1
/// let inflated = inflated_l2_bound(RoundingParameters { beta, ..parameters })?;
/// assert_eq!(inflated, (10_000.0 + 2500.0 + 150.0_f64).sqrt());
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn inflated_l2_bound(parameters: RoundingParameters) -> Result<f64> {
    let RoundingParameters { l2_bound: bound, beta, dimension } = parameters;
    let (c, d) =
        (checked("bound", bound, (0.0..=MAX_BOUND).contains(&bound), "from 0 to 2^40")?, to_float(dimension));
    checked("beta", beta, (0.0..1.0).contains(&beta), "from 0, included, to 1, not included")?;
    let always = (c + d.sqrt()).powi(2);
    // Infinite for β = 0.
    let mostly = c * c + d / 4.0 + (-2.0 * beta.ln()).sqrt() * (c + d.sqrt() / 2.0);
    Ok(always.min(mostly).sqrt())
}

/// Rounds vectors of bounded length to integers at random, and repeats until the result is short
/// enough.
///
/// Every number becomes one of the two integers around it, so that the expectation is the number
/// itself. The result is never longer than [`inflated_bound`](Self::inflated_bound): this is
/// checked in integers. Noise must hide this sensitivity. With a bias of β, at least a share 1 − β
/// of all attempts is short enough. The repetition then shifts the expectation, by a vector of
/// length at most β/(1 − β)·√d. With β = 0 every attempt is short enough, and the rounding is
/// unbiased. The paper and TFF suggest 0 or exp(−½).
///
/// ```
/// use cipherfold::privacy::{ConditionalRounding, RoundingParameters};
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
/// let beta = (-0.5_f64).exp();
/// let rounding = ConditionalRounding::new(RoundingParameters { l2_bound: 5.0, beta, dimension: 2 })?;
/// let mut rounded = [0; 2];
/// rounding.round_vartime(&[3.0, -3.5], &mut rounded, &mut rng)?;
/// assert!(rounded == [3, -3] || rounded == [3, -4]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConditionalRounding {
    bound: f64,
    dimension: usize,
    // The maximum sum of squares of a result: the inflated bound's square, rounded down to an
    // integer.
    squared_limit: u128,
    // All attempts fail with a probability below 2^−128.
    max_attempts: u32,
}

impl ConditionalRounding {
    /// Rounding for vectors with these parameters.
    ///
    /// # Errors
    ///
    /// Those of [`inflated_l2_bound`]; [`Error::Parameter`] for a bias above 0.99, because attempts
    /// succeed with a probability that may be as small as 1 − β.
    pub fn new(parameters: RoundingParameters) -> Result<Self> {
        let RoundingParameters { l2_bound: bound, beta, dimension } = parameters;
        let inflated = inflated_l2_bound(parameters)?;
        checked("beta", beta, beta <= MAX_BETA, "from 0 to 0.99")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "floor of 0 to 2^81")]
        let squared_limit = (inflated * inflated) as u128;
        // β^(89/−ln β) = exp(−89) < 2^−128. The two additional attempts are for β = 0. There an
        // attempt fails only because of the rounded-down limit, with a probability of at most
        // 2^−64.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8856")]
        let max_attempts = 2 + (-89.0 / beta.ln()).ceil() as u32;
        Ok(Self { bound, dimension, squared_limit, max_attempts })
    }

    /// The maximum L2 norm of a result.
    ///
    /// It is [`inflated_l2_bound`], or less if no integer vector has a norm between the two.
    #[expect(clippy::cast_precision_loss, reason = "an error of one part in 2^53 in a square")]
    pub fn inflated_bound(&self) -> f64 {
        (self.squared_limit as f64).sqrt()
    }

    /// Writes a random rounding of `values` to `out`. Draws 64 bits for each number and attempt, so
    /// that the probabilities of the two neighbours are exact up to 2⁻⁵³.
    ///
    /// **Time depends on the values** through the number of attempts, which is at most 1/(1 − β) on
    /// average.
    ///
    /// # Errors
    ///
    /// - [`Error::VectorLength`] if one of the slices has another length than the stated dimension.
    /// - [`Error::NotFinite`] if a value is infinite or not a number.
    /// - [`Error::NormAboveBound`] if the vector is longer than the bound, by more than the
    ///   rounding errors of `f64`.
    /// - [`Error::BrokenGenerator`] if `rng` repeats itself; `out` is then all zeros.
    pub fn round_vartime(
        &self,
        values: &[f64],
        out: &mut [i64],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<()> {
        if let Some(found) = [values.len(), out.len()].into_iter().find(|len| *len != self.dimension) {
            return Err(Error::VectorLength { expected: self.dimension, found });
        }
        if let Some(index) = values.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { index });
        }
        let norm = l2_norm(values);
        if norm > self.bound * (1.0 + SLACK) {
            return Err(Error::NormAboveBound { bound: self.bound });
        }
        // After rotation and scaling, a clipped vector is a few ε too long. Shorten it to the
        // bound, for which attempts provably succeed.
        let factor = if norm > self.bound { self.bound / norm } else { 1.0 };
        for _ in 0..self.max_attempts {
            if Self::attempt(values, factor, out, rng) <= self.squared_limit {
                return Ok(());
            }
        }
        out.fill(0); // never return a vector that is too long
        Err(Error::BrokenGenerator { drawn: "conditional rounding", attempts: self.max_attempts })
    }

    /// Rounds at random and returns the sum of squares. The sum is far from overflow: the norm of
    /// `values` is at most about 2⁴⁰, and rounding adds less than √d to it.
    #[expect(clippy::cast_possible_truncation, reason = "every value is at most about 2^40")]
    #[expect(clippy::cast_sign_loss, reason = "the fraction is from 0 to 1")]
    fn attempt(values: &[f64], factor: f64, out: &mut [i64], rng: &mut (impl CryptoRng + ?Sized)) -> u128 {
        let mut sum_of_squares = 0;
        for (x, rounded) in values.iter().zip(out) {
            let x = x * factor;
            let floor = x.floor();
            // Exact, unless x is negative and tiny. The cast saturates if the difference is rounded
            // up to 1.
            let up = rng.next_u64() < ((x - floor) * TWO_POW_64) as u64;
            *rounded = floor as i64 + i64::from(up);
            sum_of_squares += u128::from(rounded.unsigned_abs()).pow(2);
        }
        sum_of_squares
    }
}

const MAX_BOUND: f64 = 1_099_511_627_776.0; // 2^40
const MAX_BETA: f64 = 0.99;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;
/// 2⁻³⁰: far above the rounding errors of a clipped and rotated vector, and far below any relevant
/// difference in length.
const SLACK: f64 = 1.0 / (1_u32 << 30) as f64;

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::{
        super::tests::{moments, rng},
        *,
    };
    use proptest::prelude::*;

    fn beta() -> f64 {
        (-0.5_f64).exp()
    }

    fn norm(values: &[i64]) -> f64 {
        to_float(values.iter().map(|x| usize::try_from(x * x).unwrap()).sum()).sqrt()
    }

    #[test]
    fn the_bound_is_that_of_the_paper() {
        // By hand: c = 10, d = 64, β = exp(−2): 100 + 16 + 2·(10 + 4) = 144 < 18².
        assert!(
            (inflated_l2_bound(RoundingParameters { l2_bound: 10.0, beta: (-2.0_f64).exp(), dimension: 64 })
                .unwrap()
                - 12.0)
                .abs()
                < 1e-14
        );
        // c = 10, d = 1, β = exp(−50): 100 + 1/4 + 10·10.5 > 11².
        assert_eq!(
            inflated_l2_bound(RoundingParameters { l2_bound: 10.0, beta: (-50.0_f64).exp(), dimension: 1 }),
            Ok(11.0)
        );
        assert_eq!(
            inflated_l2_bound(RoundingParameters { l2_bound: 10.0, beta: 0.0, dimension: 64 }),
            Ok(18.0)
        );
        assert_eq!(inflated_l2_bound(RoundingParameters { l2_bound: 0.0, beta: 0.0, dimension: 0 }), Ok(0.0));

        for (bound, beta) in
            [(-1.0, 0.0), (f64::NAN, 0.0), (2e12, 0.0), (1.0, -0.1), (1.0, 1.0), (1.0, f64::NAN)]
        {
            assert!(matches!(
                inflated_l2_bound(RoundingParameters { l2_bound: bound, beta, dimension: 4 }),
                Err(Error::Parameter { .. })
            ));
        }
    }

    #[test]
    fn most_attempts_are_short_enough() {
        // The worst case for the length: all fractions are one half, and the vector has the maximum
        // length.
        for (dimension, value) in [(4, 0.5), (100, 2.5), (1000, -7.5), (1, 100.5)] {
            let values = vec![value; dimension];
            for beta in [0.0, 0.05, beta()] {
                let rounding = ConditionalRounding::new(RoundingParameters {
                    l2_bound: l2_norm(&values),
                    beta,
                    dimension,
                })
                .unwrap();
                let rng = &mut rng(1);
                let mut out = vec![0; dimension];
                let attempts = 500;
                let good = (0..attempts).filter(|_| {
                    ConditionalRounding::attempt(&values, 1.0, &mut out, rng) <= rounding.squared_limit
                });
                let missing = f64::from(attempts) * (1.0 - beta) - to_float(good.count());
                assert!(
                    missing <= 5.0 * (f64::from(attempts) * beta).sqrt(),
                    "{missing}, {dimension}, {beta}"
                );
            }
        }
    }

    #[test]
    fn long_outcomes_are_drawn_again() {
        // Without the condition, about one outcome in four of 0.5·(1, 1, 1, 1, …) would have more
        // than 11 of 16 ones.
        let rounding = ConditionalRounding {
            squared_limit: 9,
            ..ConditionalRounding::new(RoundingParameters { l2_bound: 2.0, beta: 0.9, dimension: 16 })
                .unwrap()
        };
        let rng = &mut rng(2);
        let mut out = [0; 16];
        let (mut lengths, mut long) = ([0; 17], 0);
        for _ in 0..2000 {
            rounding.round_vartime(&[0.5; 16], &mut out, rng).unwrap();
            lengths[usize::try_from(out.iter().sum::<i64>()).unwrap()] += 1;
            long += usize::from(ConditionalRounding::attempt(&[0.5; 16], 1.0, &mut out, rng) > 9);
        }
        assert!(lengths[10..].iter().all(|count| *count == 0) && lengths[9] > 0, "{lengths:?}");
        assert!((355..=555).contains(&long), "{long} of 2000, 0.227 expected");
    }

    #[test]
    fn rounding_without_a_condition_is_unbiased() {
        let values = [0.0, 3.0, 0.1, -0.1, 2.75, -2.75, 1e-300, -1e-300];
        let rounding = ConditionalRounding::new(RoundingParameters {
            l2_bound: 5.0,
            beta: 0.0,
            dimension: values.len(),
        })
        .unwrap();
        let rng = &mut rng(3);
        let mut columns = vec![vec![]; values.len()];
        for _ in 0..20_000 {
            let mut out = [0; 8];
            rounding.round_vartime(&values, &mut out, rng).unwrap();
            out.iter()
                .zip(&mut columns)
                .for_each(|(x, column)| column.push(f64::from(i32::try_from(*x).unwrap())));
        }
        for (x, column) in values.iter().zip(&columns) {
            let (mean, variance) = moments(column);
            let fraction = x - x.floor();
            assert!(
                (mean - x).abs() <= 5.0 * (fraction * (1.0 - fraction) / 20_000.0).sqrt() + 1e-12,
                "{x}: {mean}"
            );
            assert!((variance - fraction * (1.0 - fraction)).abs() < 0.01, "{x}: {variance}");
            assert!(column.iter().all(|y| (y - x).abs() < 1.0 || *y == *x), "{x}");
        }
    }

    #[test]
    fn a_generator_that_always_rounds_up_is_an_error() {
        // Words of zeros round all numbers up, so the vector becomes too long.
        struct Zeros(u32);
        impl rand_core::TryRng for Zeros {
            type Error = core::convert::Infallible;
            fn try_next_u32(&mut self) -> core::result::Result<u32, Self::Error> {
                Ok(0)
            }
            fn try_next_u64(&mut self) -> core::result::Result<u64, Self::Error> {
                self.0 += 1;
                Ok(0)
            }
            fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> core::result::Result<(), Self::Error> {
                bytes.fill(0);
                Ok(())
            }
        }
        impl rand_core::TryCryptoRng for Zeros {}

        for beta in [0.01, beta(), 0.99] {
            let values = [0.5; 64];
            let rounding =
                ConditionalRounding::new(RoundingParameters { l2_bound: 4.0, beta, dimension: 64 }).unwrap();
            let (mut out, mut rng) = ([7; 64], Zeros(0));
            let error = rounding.round_vartime(&values, &mut out, &mut rng).unwrap_err();
            let attempts = rounding.max_attempts;
            assert_eq!(error, Error::BrokenGenerator { drawn: "conditional rounding", attempts });
            assert_eq!((out, rng.0), ([0; 64], 64 * attempts));
            assert!(beta.powi(i32::try_from(attempts).unwrap()) < (-128.0_f64).exp2());
        }
        let error =
            ConditionalRounding::new(RoundingParameters { l2_bound: 4.0, beta: 0.991, dimension: 64 })
                .unwrap_err();
        assert!(matches!(error, Error::Parameter { name: "beta", .. }));
    }

    #[test]
    fn bad_input_is_refused() {
        let rounding =
            ConditionalRounding::new(RoundingParameters { l2_bound: 5.0, beta: 0.5, dimension: 2 }).unwrap();
        let round = |values: &[f64], len| rounding.round_vartime(values, &mut vec![0; len], &mut rng(0));
        assert_eq!(round(&[1.0; 3], 2), Err(Error::VectorLength { expected: 2, found: 3 }));
        assert_eq!(round(&[1.0; 2], 1), Err(Error::VectorLength { expected: 2, found: 1 }));
        assert_eq!(round(&[1.0, f64::NAN], 2), Err(Error::NotFinite { index: 1 }));
        assert_eq!(round(&[3.1, 4.0], 2), Err(Error::NormAboveBound { bound: 5.0 }));
        assert_eq!(round(&[3.0, 4.0], 2), Ok(()));
        assert_eq!(round(&[3.0, 4.0_f64.next_up()], 2), Ok(()));
    }

    proptest! {
        #![proptest_config(crate::test_support::replayable(300))]

        #[test]
        fn results_are_neighbours_and_within_the_bound(
            values in prop::collection::vec(-20.0..20.0_f64, 1..50), biased: bool, seed: u8
        ) {
            let rounding =
                ConditionalRounding::new(RoundingParameters { l2_bound: l2_norm(&values), beta: if biased { beta() } else { 0.0 }, dimension: values.len() }).unwrap();
            let mut out = vec![0; values.len()];
            rounding.round_vartime(&values, &mut out, &mut rng(seed)).unwrap();
            prop_assert!(norm(&out) <= rounding.inflated_bound());
            for (x, y) in values.iter().zip(&out) {
                prop_assert!((x - f64::from(i32::try_from(*y).unwrap())).abs() < 1.0);
            }
        }
    }
}
