//! Floating-point numbers as whole steps on a grid through zero.

use rand_core::CryptoRng;

use super::{
    error::{Error, Result},
    float::Float,
};

/// The rounding of a number between two grid points.
///
/// ```
/// use cipherfold::packing::{Quantizer, Rounding};
///
/// let quantizer = Quantizer::symmetric(1.0, 16)?;
/// assert_eq!(quantizer.rounding(), Rounding::Nearest);
/// assert_eq!(quantizer.stochastic().rounding(), Rounding::Stochastic);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// The nearer one. The error is at most half a step.
    #[default]
    Nearest,
    /// Either, at random, so that the expectation is the number itself. The error is less than a
    /// step, and the errors of many clients cancel out instead of adding up.
    Stochastic,
}

/// Clips numbers to a range and rounds them to a grid of at most 2^bits points.
///
/// The grid consists of the integer multiples of [`step`](Self::step),
/// `(upper - lower) / (2^bits - 2)`. If zero is in the range, it is a grid point, and a sum of
/// zeros is exactly zero. A number is encoded as the number of grid points below its own, so that a
/// plaintext holds no signs. Bounds, bits and rounding are public. All parties of one sum must use
/// the same bounds and bits.
///
/// For elements of a type other than `f64`, the bounds are rounded to that type. With a bound of
/// 0.1, the `f32` 0.1 counts as inside, although it is slightly larger. A bound beyond `f32::MAX`
/// is `f32::MAX`.
///
/// ```
/// use cipherfold::packing::Quantizer;
/// use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
/// let quantizer = Quantizer::symmetric(1.0, 16)?;
/// let mut encoded = [0; 3];
/// let clipped = quantizer.encode(&[0.25_f32, -0.75, 3.0], &mut encoded, &mut rng)?;
/// assert_eq!(clipped, 1); // the 3.0, which counts as 1.0
///
/// let sum = encoded.iter().copied().map(u128::from).sum();
/// let error = quantizer.decode_mean(sum, 3) - (0.25 - 0.75 + 1.0) / 3.0;
/// assert!(error.abs() <= quantizer.error_bound());
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantizer {
    lower: f64,
    upper: f64,
    bits: u32,
    rounding: Rounding,
    /// Distance of neighbouring grid points, a normal number like its reciprocal.
    step: f64,
    /// 1 / step, rounded.
    steps_per_unit: f64,
    /// The first and the last grid point, as multiples of the step, at most 2^48 either way.
    first: i64,
    last: i64,
    /// The bounds in steps, moved onto the first and the last grid point where they lay a rounding
    /// error beyond.
    lower_steps: f64,
    upper_steps: f64,
}

// Proof that 2^bits grid points are enough, also with the rounding of f64. Let u = 2^−53,
// M = 2^bits − 2, and let a and b be the bounds in steps as computed, lower·r and upper·r with
// r = fl(1 / step).
//
// In real numbers b = a + M, and ⌈a + M⌉ − ⌊a⌋ ≤ M + 1. Computed, b = a + M + e: the span, the step
// and r have an error factor of 1 ± u each, and a and b an error of ±u·T with T = max(|a|,
// |b|) ≥ M/2, hence |e| ≤ 3uM + 2uT ≤ 8uT, up to higher orders. So the ends are computed with a
// tolerance of τ = 8uT = T·2^−50,
//
//     first = ⌊a + τ⌋,  last = ⌈b − τ⌉,
//
// each with a rounding error of ρ ≤ u·(T + 1). With y = a + τ − ρ: first ≥ ⌊y⌋ and, as
// e + 2ρ ≤ 10uT + 2u ≤ 2τ, last ≤ ⌈a + M + e − τ + ρ⌉ ≤ M + ⌈y⌉. Hence
// last − first ≤ M + 1 = 2^bits − 1. In every symmetric range, a bound is a multiple of the step up
// to rounding. The tolerance makes such a bound a grid point, and leaves no grid point beyond it.
//
// T ≤ 2^48 is checked, so τ ≤ 1/4. Numbers are clipped to [max(a, first), min(b, last)], in steps.
// This interval is within the grid, and clipping to it moves a number between the bounds by at most
// τ. Rounding a number in it up, down or to the nearest gives a grid point between first and last:
// no further check is needed after rounding.
impl Quantizer {
    /// A quantizer for numbers from `lower` to `upper` that rounds to the nearest of at most
    /// `2^bits` grid points.
    ///
    /// # Errors
    ///
    /// - [`Error::QuantizerBits`] unless `bits` is 2 to 48.
    /// - [`Error::QuantizerRange`] unless `lower < upper` and both are within ±2^958, so that every
    ///   sum of a total weight below 2^64 is finite.
    /// - [`Error::QuantizerStep`] when the step or its reciprocal is not a normal `f64`.
    /// - [`Error::QuantizerTooFine`] when a bound is more than 2^48 steps from zero.
    pub fn new(lower: f64, upper: f64, bits: u32) -> Result<Self> {
        if !(2..=48).contains(&bits) {
            return Err(Error::QuantizerBits { bits });
        }
        // False for NaN.
        if !(lower < upper && -MAX_BOUND <= lower && upper <= MAX_BOUND) {
            return Err(Error::QuantizerRange { lower, upper });
        }
        let step = (upper - lower) / to_float((1 << bits) - 2);
        let steps_per_unit = step.recip();
        if !step.is_normal() || !steps_per_unit.is_normal() {
            return Err(Error::QuantizerStep { lower, upper, bits, step });
        }
        let (a, b) = (lower * steps_per_unit, upper * steps_per_unit);
        let farthest = a.abs().max(b.abs());
        if farthest > MAX_DISTANCE {
            return Err(Error::QuantizerTooFine { lower, upper, bits });
        }
        let tolerance = farthest * TWO_POW_MINUS_50;
        let (first, last) = ((a + tolerance).floor(), (b - tolerance).ceil());
        Ok(Self {
            lower,
            upper,
            bits,
            rounding: Rounding::Nearest,
            step,
            steps_per_unit,
            first: to_integer(first),
            last: to_integer(last),
            lower_steps: a.max(first),
            upper_steps: b.min(last),
        })
    }

    /// A quantizer for numbers from `-clip` to `clip`.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn symmetric(clip: f64, bits: u32) -> Result<Self> {
        Self::new(-clip, clip, bits)
    }

    /// The same quantizer, with stochastic rounding.
    #[must_use]
    pub fn stochastic(self) -> Self {
        Self { rounding: Rounding::Stochastic, ..self }
    }

    /// The rounding of numbers between two grid points.
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Distance of neighbouring grid points.
    pub fn step(&self) -> f64 {
        self.step
    }

    /// The bound below which numbers are clipped.
    pub fn lower(&self) -> f64 {
        self.lower
    }

    /// The bound above which numbers are clipped.
    pub fn upper(&self) -> f64 {
        self.upper
    }

    /// Bits of an encoded number.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Steps from the first grid point to the last: the maximum encoding.
    pub(crate) fn intervals(&self) -> u64 {
        self.last.abs_diff(self.first)
    }

    /// The maximum difference between a clipped number and its decoded encoding.
    ///
    /// It is (1/2 + ε)·step for rounding to nearest and (1 + ε)·step for stochastic rounding. ε
    /// covers all rounding in `f64`: it is 2^−50·(s + 1), where s is the number of steps between
    /// zero and the bound farther from zero. For a symmetric range, ε is 2^(bits − 51). The error
    /// bound holds for [`decode_mean`](Self::decode_mean) with any number of summands and any
    /// weights. For [`decode_sum`](Self::decode_sum), it holds times the weight, as long as the sum
    /// is finite.
    pub fn error_bound(&self) -> f64 {
        // With u = 2^−53 and Q = max(|first|, |last|) ≥ 1, in steps:
        // - multiplying by r = fl(1 / step) instead of dividing: 2u·|x / step| ≤ 2uQ, up to higher
        //   orders;
        // - clipping to the grid's ends moves a number by τ ≤ 1/4 towards a grid point that is
        //   closer than 1/2, and the number is then rounded to that point: the error of such a
        //   number is below 1/2 anyway;
        // - rounding to the grid: 1/2 or, at random, 1;
        // - decoding sum / weight · step from an exact integer sum: four roundings, 4uQ, and an
        //   underflow below u.
        // Together 6uQ + u, up to higher orders; ε = 8u·(Q + 1) leaves uQ + 7u, more than the
        // 2u·(1 + ε) of the two roundings in the following line. If each of many numbers has at
        // most this error, so has their mean.
        let farthest = self.first.unsigned_abs().max(self.last.unsigned_abs());
        let epsilon = (to_float(farthest) + 1.0) * TWO_POW_MINUS_50;
        let steps = match self.rounding {
            Rounding::Nearest => 0.5,
            Rounding::Stochastic => 1.0,
        };
        (steps + epsilon) * self.step
    }

    /// Writes the encoding of `values[i]`, at most `2^bits - 1`, to `out[i]`. Returns the number of
    /// values that were outside `lower..=upper` and were clipped. The count uses the bounds in the
    /// elements' type.
    ///
    /// Random bits, 64 for each value, are drawn for stochastic rounding only. With stochastic
    /// rounding, the expectation of the decoded value is the clipped value, up to rounding in `f64`
    /// (a few ε of [`error_bound`](Self::error_bound)).
    ///
    /// If all values are finite, neither branches nor addresses depend on them. Some processors
    /// need more time for subnormal numbers; this function does not hide those.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] with the index of the first value that is infinite or not a number.
    /// Then `out` is all zeros. The time also reveals this index.
    ///
    /// # Panics
    ///
    /// Unless both slices have the same length.
    pub fn encode<F: Float>(
        &self,
        values: &[F],
        out: &mut [u64],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<usize> {
        assert_eq!(values.len(), out.len(), "values and their encodings");
        let first = position(self.first_steps());
        let mut checked = RangeCheck::between(self.bounds_as::<F>());
        match self.rounding {
            Rounding::Nearest => {
                for (&value, out) in values.iter().zip(out.iter_mut()) {
                    let steps = self.clipped_steps(value.to_f64(), &mut checked);
                    *out = position(steps).wrapping_sub(first);
                }
            }
            Rounding::Stochastic => {
                for (&value, out) in values.iter().zip(out.iter_mut()) {
                    let steps = self.clipped_steps(value.to_f64(), &mut checked);
                    // floor(steps + uniform), relative to the nearest grid point: the sum itself
                    // would lose low bits, while the distance to the nearest point is exact.
                    let from_nearest = steps - nearest(steps);
                    let moved = from_nearest + uniform(rng); // in [−1/2, 3/2)
                    *out = position(steps)
                        .wrapping_add(u64::from(moved >= 1.0))
                        .wrapping_sub(u64::from(moved < 0.0))
                        .wrapping_sub(first);
                }
            }
        }
        if !checked.not_finite {
            return Ok(checked.clipped);
        }
        out.fill(0);
        let index = values.iter().position(|value| !value.to_f64().is_finite());
        Err(Error::NotFinite { index: index.expect("a value that is not finite has been seen") })
    }

    /// The sum of the numbers whose encodings, each times its weight, add up to `sum`.
    ///
    /// `weight` is the sum of the weights: the number of summands, if all weights are 1. All
    /// arithmetic is on integers, except for the last multiplication by the step.
    ///
    /// The result is finite, and between the bounds times the weight. An unreachable sum is
    /// replaced by the nearest reachable one. A sum beyond the bounds is moved to the nearest
    /// bound: rounding to the grid may give such a sum if a bound is not a grid point.
    pub fn decode_sum(&self, sum: u128, weight: u64) -> f64 {
        let total = to_float_wide(self.total_steps(sum, weight)) * self.step;
        let weight = to_float(weight);
        total.clamp(self.lower * weight, self.upper * weight)
    }

    /// The weighted mean of the numbers whose encodings, each times its weight, add up to `sum`:
    /// their [sum](Self::decode_sum) divided by `weight`, the sum of the weights.
    ///
    /// Finite and between the bounds, but not a number if `weight` is zero.
    pub fn decode_mean(&self, sum: u128, weight: u64) -> f64 {
        let mean = to_float_wide(self.total_steps(sum, weight)) / to_float(weight) * self.step;
        mean.clamp(self.lower, self.upper)
    }

    /// The [mean](Self::decode_mean) as a number of the elements' type: finite, and between the
    /// bounds rounded to that type.
    pub(crate) fn decode_mean_as<F: Float>(&self, sum: u128, weight: u64) -> F {
        // Rounding to the type is monotone, so the bounds hold after it.
        F::nearest_finite(self.decode_mean(sum, weight))
    }

    /// The sum of the grid points of such encodings. Finite. If a bound is not a grid point, the
    /// sum may be beyond the bounds by half a step for each summand.
    ///
    /// Unlike the [clamped sum](Self::decode_sum), this is the sum of the results of
    /// [`nearest_point`](Self::nearest_point).
    pub(crate) fn sum_of_points(&self, sum: u128, weight: u64) -> f64 {
        to_float_wide(self.total_steps(sum, weight)) * self.step
    }

    /// The nearest grid point to the clipped number. NaN stays NaN.
    pub(crate) fn nearest_point(&self, value: f64) -> f64 {
        nearest(self.in_steps(value)) * self.step
    }

    /// The bounds rounded to the elements' type.
    fn bounds_as<F: Float>(&self) -> (f64, f64) {
        (F::nearest_finite(self.lower).to_f64(), F::nearest_finite(self.upper).to_f64())
    }

    /// The sum in steps, between `weight` times the first and the last grid point. Exact:
    /// |first| ≤ 2^48, encodings have at most 48 bits, and their products with a 64-bit weight are
    /// far below 2^127.
    fn total_steps(&self, sum: u128, weight: u64) -> i128 {
        let largest = u128::from(self.intervals()) * u128::from(weight);
        let sum = i128::try_from(sum.min(largest)).expect("at most 2^48 times 2^64");
        sum + i128::from(self.first) * i128::from(weight)
    }

    /// `x` in steps, within the grid, and counted.
    #[inline]
    fn clipped_steps(&self, x: f64, checked: &mut RangeCheck) -> f64 {
        checked.count(x);
        self.in_steps(x)
    }

    /// `x` in steps, within the grid.
    #[inline]
    fn in_steps(&self, x: f64) -> f64 {
        // Rounding is monotone, so the clipped numbers are exactly those with a product beyond that
        // of a bound.
        (x * self.steps_per_unit).clamp(self.lower_steps, self.upper_steps)
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 2^48 either way")]
    fn first_steps(&self) -> f64 {
        self.first as f64
    }
}

/// Facts about the values, collected in one pass.
struct RangeCheck {
    lower: f64,
    upper: f64,
    clipped: usize,
    not_finite: bool,
}

impl RangeCheck {
    /// Counts values outside these bounds.
    fn between((lower, upper): (f64, f64)) -> Self {
        Self { lower, upper, clipped: 0, not_finite: false }
    }

    #[inline]
    fn count(&mut self, x: f64) {
        self.clipped += usize::from(x < self.lower) + usize::from(x > self.upper);
        self.not_finite |= !x.is_finite();
    }
}

/// The integer nearest to `steps`, the even one of two. Needs `|steps| <= 2^51`.
///
/// The sum is in [2^52, 2^53], where f64 holds the integers and nothing between them: the addition
/// rounds to an integer, and the subtraction is exact. `f64::round_ties_even` is one instruction
/// only if the target is known to have it. Otherwise it calls a library function that branches on
/// the exponent.
#[inline]
fn nearest(steps: f64) -> f64 {
    (steps + SHIFT) - SHIFT
}

/// The same integer plus a constant offset: in [2^52, 2^53] neighbouring numbers have neighbouring
/// bit patterns.
#[inline]
fn position(steps: f64) -> u64 {
    (steps + SHIFT).to_bits()
}

/// Uniform among the multiples of 2^−53 in [0, 1).
#[inline]
fn uniform(rng: &mut (impl CryptoRng + ?Sized)) -> f64 {
    to_float(rng.next_u64() >> 11) * TWO_POW_MINUS_53
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, and weights beyond that may be rounded")]
const fn to_float(x: u64) -> f64 {
    x as f64
}

#[expect(clippy::cast_precision_loss, reason = "the rounding is part of the error bound")]
fn to_float_wide(x: i128) -> f64 {
    x as f64
}

#[expect(clippy::cast_possible_truncation, reason = "an integer of at most 2^48 either way")]
fn to_integer(x: f64) -> i64 {
    x as i64
}

/// The maximum distance of a grid point from zero, in steps. At this distance f64 still resolves a
/// sixteenth of a step.
const MAX_DISTANCE: f64 = to_float(1 << 48);

/// 2^958. A grid point lies at most one step of at most 2^958 beyond a bound, so that a sum of a
/// total weight below 2^64 is below 2^1023.
const MAX_BOUND: f64 = f64::from_bits((958 + 1023) << 52);

/// 1.5 · 2^52.
const SHIFT: f64 = to_float(3 << 51);

const TWO_POW_MINUS_50: f64 = 1.0 / to_float(1 << 50);

const TWO_POW_MINUS_53: f64 = 1.0 / to_float(1 << 53);

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests;
