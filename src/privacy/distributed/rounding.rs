//! Random rounding of vectors to integers, with a bounded L2 norm.

use rand_core::CryptoRng;

use crate::privacy::{
    check::{checked, to_float},
    error::{Error, Result},
    norm::l2_norm,
};

/// The parameters of a rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RoundingParameters {
    /// The maximum L2 norm of a vector before rounding. From 0 to 2⁴⁰.
    pub(super) l2_bound: f64,
    /// Bias β: from 0 (no bias) to 1, 1 not included.
    pub(super) beta: f64,
    /// Numbers in a vector.
    pub(super) dimension: usize,
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
fn inflated_l2_bound(parameters: RoundingParameters) -> Result<f64> {
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ConditionalRounding {
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
    pub(super) fn new(parameters: RoundingParameters) -> Result<Self> {
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
    pub(super) fn inflated_bound(&self) -> f64 {
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
    /// - [`Error::VectorLength`] if the length of one of the slices is not the stated dimension.
    /// - [`Error::NotFinite`] if a value is infinite or not a number.
    /// - [`Error::NormAboveBound`] if the vector is longer than the bound, by more than the
    ///   rounding errors of `f64`.
    /// - [`Error::BrokenGenerator`] if `rng` repeats itself; `out` is then all zeros.
    pub(super) fn round_vartime(
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
mod tests;
