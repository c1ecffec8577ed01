//! Floating-point numbers as whole steps on a grid through zero.

use super::{Error, Result};
use core::fmt::{Debug, Display};
use rand_core::CryptoRng;

/// The floating-point types that can be quantised: `f32` and `f64`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a floating-point type that can be quantised",
    label = "elements of type `{Self}`",
    note = "a `Quantizer` takes `f32` and `f64`; integers are summed exactly, in an `IntegerRange`"
)]
pub trait Float: sealed::Sealed + Copy + PartialOrd + Debug + Display + Send + Sync + 'static {
    /// The name of the type in Rust.
    const NAME: &'static str;

    /// The same number as an `f64`, exactly. NaN and infinities stay.
    fn to_f64(self) -> f64;

    /// The nearest number of this type; a number too large for it becomes infinite.
    fn from_f64(x: f64) -> Self;

    /// The maximum of the type.
    #[doc(hidden)]
    const MAX_FINITE: f64;

    /// The nearest finite number of this type. NaN stays NaN.
    #[doc(hidden)]
    fn nearest_finite(x: f64) -> Self {
        Self::from_f64(x.clamp(-Self::MAX_FINITE, Self::MAX_FINITE))
    }
}

impl Float for f32 {
    const NAME: &'static str = "f32";

    // Exact: every f32 is an f64.
    const MAX_FINITE: f64 = f32::MAX as f64;

    fn to_f64(self) -> f64 {
        self.into()
    }

    #[expect(clippy::cast_possible_truncation, reason = "documented to round")]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
}

impl Float for f64 {
    const NAME: &'static str = "f64";

    const MAX_FINITE: f64 = f64::MAX;

    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(x: f64) -> Self {
        x
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The rounding of a number between two grid points.
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
        if farthest > FARTHEST {
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
        let mut tally = Tally::between(self.bounds_as::<F>());
        match self.rounding {
            Rounding::Nearest => {
                for (&value, out) in values.iter().zip(out.iter_mut()) {
                    let steps = self.clipped_steps(value.to_f64(), &mut tally);
                    *out = position(steps).wrapping_sub(first);
                }
            }
            Rounding::Stochastic => {
                for (&value, out) in values.iter().zip(out.iter_mut()) {
                    let steps = self.clipped_steps(value.to_f64(), &mut tally);
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
        if !tally.not_finite {
            return Ok(tally.clipped);
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
    fn clipped_steps(&self, x: f64, tally: &mut Tally) -> f64 {
        tally.count(x);
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
struct Tally {
    lower: f64,
    upper: f64,
    clipped: usize,
    not_finite: bool,
}

impl Tally {
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
const FARTHEST: f64 = to_float(1 << 48);

/// 2^958. A grid point lies at most one step of at most 2^958 beyond a bound, so that a sum of a
/// total weight below 2^64 is below 2^1023.
const MAX_BOUND: f64 = f64::from_bits((958 + 1023) << 52);

/// 1.5 · 2^52.
const SHIFT: f64 = to_float(3 << 51);

const TWO_POW_MINUS_50: f64 = 1.0 / to_float(1 << 50);

const TWO_POW_MINUS_53: f64 = 1.0 / to_float(1 << 53);

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests {
    use super::*;
    use crate::packing::tests::replayable;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([42; 32])
    }

    fn encoded<F: Float>(quantizer: &Quantizer, values: &[F]) -> Vec<u64> {
        let mut out = vec![0; values.len()];
        quantizer.encode(values, &mut out, &mut rng()).unwrap();
        out
    }

    fn decoded(quantizer: &Quantizer, encoded: u64) -> f64 {
        quantizer.decode_sum(encoded.into(), 1)
    }

    fn both_roundings(quantizer: Quantizer) -> [Quantizer; 2] {
        [quantizer, quantizer.stochastic()]
    }

    /// Ranges of all magnitudes and bits: around zero, one-sided, and many steps from zero.
    fn quantizers() -> impl Strategy<Value = Quantizer> {
        let bound = || (-1.0..1.0_f64, -60..60_i32).prop_map(|(m, e)| m * f64::from(e).exp2());
        let near = (bound(), -46..0_i32).prop_map(|(a, e)| (a, a + a.abs() * f64::from(e).exp2()));
        let symmetric = bound().prop_map(|a| (-a.abs(), a.abs()));
        let one_sided = bound().prop_map(|a| (a.min(0.0), a.max(0.0)));
        let any = (bound(), bound()).prop_map(|(a, b)| (a.min(b), a.max(b)));
        (prop_oneof![near, symmetric, one_sided, any], 2..=48_u32)
            .prop_filter_map("not a range", |((lower, upper), bits)| Quantizer::new(lower, upper, bits).ok())
    }

    #[test]
    fn a_symmetric_range_has_its_bounds_and_zero_on_the_grid() {
        for bits in 2..=48 {
            for clip in [1.0, 0.1, 1e-30, 3e200] {
                let quantizer = Quantizer::symmetric(clip, bits).unwrap();
                let half = (1_i64 << (bits - 1)) - 1;
                assert_eq!((quantizer.first, quantizer.last), (-half, half), "{quantizer:?}");
                let ends = encoded(&quantizer, &[-clip, 0.0, clip]);
                assert_eq!(ends, [0, half.cast_unsigned(), 2 * half.cast_unsigned()]);
            }
        }
    }

    #[test]
    fn a_range_from_zero_has_its_bounds_on_the_grid() {
        for bits in 2..=48 {
            let quantizer = Quantizer::new(0.0, 0.3, bits).unwrap();
            assert_eq!((quantizer.first, quantizer.last), (0, (1 << bits) - 2));
            let quantizer = Quantizer::new(-0.3, 0.0, bits).unwrap();
            assert_eq!((quantizer.first, quantizer.last), (2 - (1 << bits), 0));
        }
    }

    #[test]
    fn impossible_quantizers_are_refused() {
        for bits in [0, 1, 49, u32::MAX] {
            assert_eq!(Quantizer::symmetric(1.0, bits), Err(Error::QuantizerBits { bits }));
        }
        for (lower, upper) in [
            (1.0, 1.0),
            (1.0, -1.0),
            (0.0, f64::INFINITY),
            (f64::NEG_INFINITY, 0.0),
            (f64::INFINITY, f64::INFINITY),
            (f64::NAN, 1.0),
            (0.0, f64::NAN),
            (f64::MIN, f64::MAX),
            (0.0, f64::MAX),
            (0.0, MAX_BOUND.next_up()),
            (-MAX_BOUND.next_up(), 0.0),
        ] {
            let error = Quantizer::new(lower, upper, 16).unwrap_err();
            assert!(matches!(error, Error::QuantizerRange { .. }), "[{lower}, {upper}]: {error}");
        }
        for (lower, upper, bits) in [(0.0, f64::MIN_POSITIVE, 2), (0.0, 1e-300, 48), (0.0, 5e-324, 2)] {
            let error = Quantizer::new(lower, upper, bits).unwrap_err();
            assert!(matches!(error, Error::QuantizerStep { .. }), "[{lower}, {upper}]: {error}");
        }
        for (lower, upper, bits) in [(1.0, 1.0_f64.next_up(), 2), (-1e9, 1.0 - 1e9, 20), (2.0, 3.0, 48)] {
            let error = Quantizer::new(lower, upper, bits).unwrap_err();
            assert_eq!(error, Error::QuantizerTooFine { lower, upper, bits });
        }
    }

    #[test]
    fn the_widest_and_the_narrowest_ranges_work() {
        for (lower, upper, bits) in [
            (0.0, MAX_BOUND, 16),
            (-MAX_BOUND, 0.0, 48),
            (-MAX_BOUND, MAX_BOUND, 2),
            (0.0, f64::MIN_POSITIVE * 2.0, 2),
            (f64::from(f32::MIN), f64::from(f32::MAX), 32),
        ] {
            for quantizer in both_roundings(Quantizer::new(lower, upper, bits).unwrap()) {
                for x in [lower, upper, 0.0, lower / 3.0 + upper / 2.0] {
                    let found = quantizer.decode_mean(encoded(&quantizer, &[x])[0].into(), 1);
                    assert!((found - x).abs() <= quantizer.error_bound(), "{quantizer:?}: {x} gave {found}");
                }
            }
        }
    }

    #[test]
    fn values_outside_are_clipped_and_counted() {
        for quantizer in both_roundings(Quantizer::new(-1.0, 3.0, 8).unwrap()) {
            let values =
                [-1.0, 3.0, 0.5, (-1.0_f64).next_down(), 3.0_f64.next_up(), f64::MAX, f64::MIN, -0.0];
            let mut out = [0; 8];
            assert_eq!(quantizer.encode(&values, &mut out, &mut rng()), Ok(4));
            for (&value, out) in values.iter().zip(out) {
                let error = decoded(&quantizer, out) - value.clamp(-1.0, 3.0);
                assert!(error.abs() <= quantizer.error_bound());
            }
            assert_eq!(quantizer.encode::<f32>(&[], &mut [], &mut rng()), Ok(0));
        }
    }

    #[test]
    fn values_that_are_not_finite_are_refused_by_index() {
        for quantizer in both_roundings(Quantizer::symmetric(1.0, 8).unwrap()) {
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut out = [7; 4];
                let found = quantizer.encode(&[0.5, 9.0, bad, f32::NAN], &mut out, &mut rng());
                assert_eq!(found, Err(Error::NotFinite { index: 2 }));
                assert_eq!(out, [0; 4]);
            }
            let found = quantizer.encode(&[f64::INFINITY], &mut [0], &mut rng());
            assert_eq!(found, Err(Error::NotFinite { index: 0 }));
        }
    }

    #[test]
    fn subnormal_values_are_next_to_zero() {
        let quantizer = Quantizer::symmetric(1.0, 48).unwrap();
        let zero = encoded(&quantizer, &[0.0])[0];
        assert_eq!(encoded(&quantizer, &[1e-40_f32, -1e-40]), [zero, zero]);
        assert_eq!(encoded(&quantizer, &[5e-324, -5e-324]), [zero, zero]);
    }

    #[test]
    fn random_bits_are_drawn_for_stochastic_rounding_only() {
        let quantizer = Quantizer::symmetric(1.0, 8).unwrap();
        let (mut used, mut fresh) = (rng(), rng());
        quantizer.encode(&[0.1, 0.2, 0.3], &mut [0; 3], &mut used).unwrap();
        assert_eq!(used.next_u64(), fresh.next_u64());

        let (mut used, mut fresh) = (rng(), rng());
        quantizer.stochastic().encode(&[0.1, 0.2, 0.3], &mut [0; 3], &mut used).unwrap();
        for _ in 0..3 {
            fresh.next_u64();
        }
        assert_eq!(used.next_u64(), fresh.next_u64());
    }

    #[test]
    fn a_generator_behind_a_reference_to_a_trait_object_will_do() {
        let mut rng = rng();
        let rng: &mut dyn CryptoRng = &mut rng;
        Quantizer::symmetric(1.0, 8).unwrap().stochastic().encode(&[0.1], &mut [0], rng).unwrap();
    }

    #[test]
    fn the_error_bound_is_tight() {
        for bits in 2..=12 {
            let quantizer = Quantizer::new(-0.7, 1.1, bits).unwrap();
            for (quantizer, draws) in [(quantizer, 1), (quantizer.stochastic(), 40)] {
                let values: Vec<f64> = (0..=20_000).map(|i| -0.7 + 1.8 * f64::from(i) / 20_000.0).collect();
                let mut rng = rng();
                let mut out = vec![0; values.len()];
                let mut worst: f64 = 0.0;
                for _ in 0..draws {
                    quantizer.encode(&values, &mut out, &mut rng).unwrap();
                    let errors = values.iter().zip(&out).map(|(x, &e)| (decoded(&quantizer, e) - x).abs());
                    worst = errors.fold(worst, f64::max);
                }
                let bound = quantizer.error_bound();
                assert!(worst <= bound && worst > 0.95 * bound, "{quantizer:?}: {worst} of {bound}");
            }
        }
    }

    #[test]
    fn stochastic_rounding_is_unbiased() {
        const DRAWS: u32 = 40_000;
        let mut rng = rng();
        // None of these bounds but the symmetric ones is a grid point.
        for (lower, upper, bits) in
            [(-1.0, 1.0, 4), (-0.7, 1.1, 3), (0.35, 1.0, 2), (-5.3, -4.1, 5), (100.3, 101.2, 9)]
        {
            let quantizer = Quantizer::new(lower, upper, bits).unwrap().stochastic();
            let (step, span) = (quantizer.step(), upper - lower);
            let near_zero = 0.0_f64.clamp(lower, upper);
            for x in [
                lower,
                lower + step / 5.0,
                lower + span / 3.0,
                near_zero,
                upper - step / 3.0,
                upper,
                upper + 1.0,
            ] {
                let mut out = vec![0; DRAWS as usize];
                quantizer.encode(&vec![x; DRAWS as usize], &mut out, &mut rng).unwrap();
                let mean = quantizer.decode_mean(out.into_iter().map(u128::from).sum(), DRAWS.into());
                // A draw deviates by step / 2 at most; five standard deviations of the mean.
                let allowed = 2.5 * step / f64::from(DRAWS).sqrt();
                let x = x.clamp(lower, upper);
                assert!((mean - x).abs() <= allowed, "{quantizer:?}: {x} became {mean}");
            }
        }
    }

    #[test]
    fn stochastic_rounding_takes_both_neighbours_and_no_others() {
        let quantizer = Quantizer::symmetric(7.0, 4).unwrap().stochastic(); // the integers from −7 to 7
        let found = encoded(&quantizer, &[2.25; 1000]);
        assert!(found.iter().all(|e| [9, 10].contains(e)));
        let up = found.iter().filter(|&&e| e == 10).count();
        assert!((200..300).contains(&up), "{up}");
        assert_eq!(encoded(&quantizer, &[-3.0; 100]), [4; 100]);
    }

    #[test]
    fn an_empty_sum_is_zero_and_has_no_mean() {
        let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
        assert_eq!(quantizer.decode_sum(0, 0), 0.0);
        assert!(quantizer.decode_mean(0, 0).is_nan());
        assert!(quantizer.decode_sum(u128::MAX, u64::MAX).is_finite());
    }

    #[test]
    fn sums_of_the_largest_bounds_are_finite() {
        assert_eq!(MAX_BOUND, 2.0_f64.powi(958));
        for bits in [2, 3, 16, 48] {
            let quantizer = Quantizer::new(0.0, MAX_BOUND, bits).unwrap();
            let sum = u128::from(quantizer.intervals()) * u128::from(u64::MAX);
            assert_eq!(quantizer.decode_sum(sum, u64::MAX), MAX_BOUND * to_float(u64::MAX), "{bits} bits");
            assert_eq!(quantizer.decode_mean(sum, u64::MAX), MAX_BOUND, "{bits} bits");
        }
    }

    #[test]
    fn results_of_f32_are_finite_whatever_the_clip() {
        for clip in [f64::from(f32::MAX), 6e38, 1e39, 1e200, MAX_BOUND] {
            for bits in [2, 3, 16, 48] {
                for quantizer in both_roundings(Quantizer::symmetric(clip, bits).unwrap()) {
                    for x in [f32::MAX, f32::MIN, 0.0] {
                        let mut out = [0; 20];
                        assert_eq!(quantizer.encode(&[x; 20], &mut out, &mut rng()), Ok(0), "{quantizer:?}");
                        for e in out {
                            let found: f32 = quantizer.decode_mean_as(e.into(), 1);
                            assert!(found.is_finite(), "{quantizer:?}: {x} became {found}");
                        }
                    }
                }
            }
        }
        let two_bits = Quantizer::symmetric(6e38, 2).unwrap();
        assert_eq!(two_bits.decode_mean_as::<f32>(encoded(&two_bits, &[f32::MAX])[0].into(), 1), f32::MAX);
    }

    #[test]
    fn bounds_are_rounded_to_the_type_of_the_elements() {
        // 0.1 rounds up to f32 and 0.7 rounds down.
        assert!(f64::from(0.1_f32) > 0.1 && f64::from(0.7_f32) < 0.7);
        for (lower, upper) in [(-0.1, 0.1), (-0.7, 0.7), (-0.1, 0.7), (-0.7, 0.1), (0.1, 0.7), (-0.7, -0.1)] {
            for quantizer in both_roundings(Quantizer::new(lower, upper, 16).unwrap()) {
                let (low, high) = (f32::from_f64(lower), f32::from_f64(upper));
                let mut out = [0; 4];
                let values = [low, high, low.next_up(), high.next_down()];
                assert_eq!(quantizer.encode(&values, &mut out, &mut rng()), Ok(0), "{quantizer:?}");
                for (x, e) in values.into_iter().zip(out) {
                    let error = decoded(&quantizer, e) - f64::from(x).clamp(lower, upper);
                    assert!(error.abs() <= quantizer.error_bound(), "{quantizer:?}: {x}");
                    let found: f32 = quantizer.decode_mean_as(e.into(), 1);
                    assert!(low <= found && found <= high, "{quantizer:?}: {x} became {found}");
                }
                let beyond = [low.next_down(), high.next_up(), f32::MIN, f32::MAX];
                assert_eq!(quantizer.encode(&beyond, &mut out, &mut rng()), Ok(4), "{quantizer:?}");
                // In f64, the bounds are not rounded.
                let wide = [lower, upper, lower.next_down(), upper.next_up()];
                assert_eq!(quantizer.encode(&wide, &mut out, &mut rng()), Ok(2), "{quantizer:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "values and their encodings")]
    fn an_output_of_another_length_panics() {
        let _ = Quantizer::symmetric(1.0, 16).unwrap().encode(&[1.0_f32], &mut [0; 2], &mut rng());
    }

    #[test]
    fn floats_convert_as_they_say() {
        assert_eq!((f32::NAME, f64::NAME), ("f32", "f64"));
        assert_eq!(<f32 as Float>::from_f64(0.1), 0.1_f32);
        assert_eq!(<f32 as Float>::from_f64(1e300), f32::INFINITY);
        assert_eq!(<f64 as Float>::from_f64(1e300).to_f64(), 1e300);
    }

    proptest! {
        #![proptest_config(replayable(2000))]

        #[test]
        fn the_grid_has_at_most_2_to_the_bits_points(quantizer in quantizers()) {
            prop_assert!(quantizer.last - quantizer.first < 1 << quantizer.bits(), "{quantizer:?}");
            // The count is not much smaller either.
            prop_assert!(quantizer.last - quantizer.first >= (1 << quantizer.bits()) - 3, "{quantizer:?}");
            for quantizer in both_roundings(quantizer) {
                for e in encoded(&quantizer, &[quantizer.lower(), quantizer.upper(), f64::MIN, f64::MAX]) {
                    prop_assert!(e < 1 << quantizer.bits(), "{quantizer:?} gave {e}");
                }
            }
        }

        #[test]
        fn quantizing_errs_at_most_by_the_bound(
            quantizer in quantizers(),
            places in prop::collection::vec(-0.1..1.1_f64, 1..20),
            seed: [u8; 32],
        ) {
            let (lower, upper) = (quantizer.lower(), quantizer.upper());
            let mut values: Vec<f64> = places.iter().map(|p| lower + p * (upper - lower)).collect();
            // Values right at the bounds and right between grid points.
            values.extend([lower, upper, lower.next_up(), upper.next_down()]);
            let step = quantizer.step();
            let between = places.iter().map(|p| ((lower + p * (upper - lower)) / step).floor() * step + step / 2.0);
            values.extend(between.collect::<Vec<_>>());
            for quantizer in both_roundings(quantizer) {
                let mut out = vec![0; values.len()];
                quantizer.encode(&values, &mut out, &mut ChaCha20Rng::from_seed(seed)).unwrap();
                for (&x, &e) in values.iter().zip(&out) {
                    let error = (decoded(&quantizer, e) - x.clamp(lower, upper)).abs();
                    prop_assert!(error <= quantizer.error_bound(), "{quantizer:?}: {x} off by {error}");
                }
            }
        }

        #[test]
        fn means_err_at_most_by_the_bound(
            quantizer in quantizers(),
            summands in prop::collection::vec((-0.1..1.1_f64, 1..=u32::MAX), 1..30),
        ) {
            let (lower, upper) = (quantizer.lower(), quantizer.upper());
            let (places, weights): (Vec<f64>, Vec<u32>) = summands.into_iter().unzip();
            let values: Vec<f64> = places.iter().map(|p| lower + p * (upper - lower)).collect();
            let weight: u64 = weights.iter().map(|&w| u64::from(w)).sum();
            let total: f64 = values.iter().zip(&weights).map(|(x, &w)| x.clamp(lower, upper) * f64::from(w)).sum();
            let mean = total / to_float(weight);
            // The rounding of this test itself.
            let slack = 40.0 * f64::EPSILON * lower.abs().max(upper.abs());
            for quantizer in both_roundings(quantizer) {
                let sum = encoded(&quantizer, &values).iter().zip(&weights).map(|(&e, &w)| u128::from(e) * u128::from(w)).sum();
                let bound = quantizer.error_bound() + slack;
                prop_assert!((quantizer.decode_mean(sum, weight) - mean).abs() <= bound, "{quantizer:?}");
                prop_assert!((quantizer.decode_sum(sum, weight) - total).abs() <= bound * to_float(weight), "{quantizer:?}");
            }
        }

        #[test]
        fn sums_of_points_are_those_of_the_nearest_points(
            quantizer in quantizers(),
            places in prop::collection::vec(-0.1..1.1_f64, 1..20),
        ) {
            let (lower, upper) = (quantizer.lower(), quantizer.upper());
            let values: Vec<f64> = places.iter().map(|p| lower + p * (upper - lower)).collect();
            let mut total = 0;
            for (&x, &e) in values.iter().zip(&encoded(&quantizer, &values)) {
                let point = quantizer.nearest_point(x);
                prop_assert_eq!(quantizer.sum_of_points(e.into(), 1), point);
                prop_assert!((point - x.clamp(lower, upper)).abs() <= quantizer.error_bound());
                total += u128::from(e);
            }
            let points: f64 = values.iter().map(|x| quantizer.nearest_point(*x)).sum();
            let count = values.len() as u64;
            // The rounding of this test itself.
            let slack = 40.0 * f64::EPSILON * lower.abs().max(upper.abs());
            prop_assert!((quantizer.sum_of_points(total, count) - points).abs() <= slack * to_float(count));
        }

        #[test]
        fn zeros_sum_to_zero_exactly(quantizer in quantizers(), count in 1..1000_u32) {
            prop_assume!(quantizer.lower() <= 0.0 && quantizer.upper() >= 0.0);
            for quantizer in both_roundings(quantizer) {
                for zero in encoded(&quantizer, &[0.0, -0.0]) {
                    prop_assert_eq!(quantizer.decode_sum(u128::from(zero) * u128::from(count), count.into()), 0.0);
                }
            }
        }

        #[test]
        fn decode_inverts_encode_on_the_grid(quantizer in quantizers(), place: u64) {
            let grid_points = (quantizer.last - quantizer.first).cast_unsigned() + 1;
            let e = place % grid_points;
            let x = to_float_wide(i128::from(e) + i128::from(quantizer.first)) * quantizer.step;
            prop_assume!(quantizer.lower() <= x && x <= quantizer.upper());
            prop_assert_eq!(decoded(&quantizer, e), x);
            prop_assert_eq!(encoded(&quantizer, &[x]), [e]);
        }

        #[test]
        fn encoding_keeps_the_order(quantizer in quantizers(), places in prop::collection::vec(-0.5..1.5_f64, 2..20)) {
            let mut values: Vec<f64> =
                places.iter().map(|p| quantizer.lower() + p * (quantizer.upper() - quantizer.lower())).collect();
            values.sort_by(f64::total_cmp);
            prop_assert!(encoded(&quantizer, &values).is_sorted());
        }

        #[test]
        fn results_are_finite_and_between_the_bounds(
            quantizer in quantizers(),
            sum in prop_oneof![any::<u128>(), any::<u64>().prop_map(u128::from)],
            weight in 1..=u64::MAX,
            shift in 0..64_u32,
        ) {
            let weight = (weight >> shift).max(1);
            let (lower, upper) = (quantizer.lower(), quantizer.upper());
            for sum in [sum, sum % (u128::from(quantizer.intervals()) * u128::from(weight) + 1), 0, u128::MAX] {
                let mean = quantizer.decode_mean(sum, weight);
                prop_assert!(lower <= mean && mean <= upper, "{quantizer:?}: {mean}");
                let total = quantizer.decode_sum(sum, weight);
                prop_assert!(total.is_finite(), "{quantizer:?}: {total}");
                let (low, high) = (f32::nearest_finite(lower), f32::nearest_finite(upper));
                let mean: f32 = quantizer.decode_mean_as(sum, weight);
                prop_assert!(mean.is_finite() && low <= mean && mean <= high, "{quantizer:?}: {mean}");
            }
        }

        #[test]
        fn the_clipped_are_those_beyond_the_bounds_as_their_type_has_them(
            quantizer in quantizers(),
            values in prop::collection::vec(any::<f32>(), 0..20),
        ) {
            let (low, high) = (f32::nearest_finite(quantizer.lower()), f32::nearest_finite(quantizer.upper()));
            let mut values: Vec<f32> = values.into_iter().filter(|x| x.is_finite()).collect();
            let near = [low, high, low.next_down(), high.next_up(), low.next_up(), high.next_down()];
            values.extend(near.into_iter().filter(|x| x.is_finite()));
            let beyond = values.iter().filter(|x| **x < low || **x > high).count();
            for quantizer in both_roundings(quantizer) {
                let mut out = vec![0; values.len()];
                prop_assert_eq!(quantizer.encode(&values, &mut out, &mut rng()), Ok(beyond), "{:?}", quantizer);
            }
        }

        #[test]
        fn f32_and_f64_encode_alike(quantizer in quantizers(), values in prop::collection::vec(any::<f32>(), 0..20)) {
            let values: Vec<f32> = values.into_iter().filter(|x| x.is_finite()).collect();
            let wide: Vec<f64> = values.iter().map(|&x| x.into()).collect();
            for quantizer in both_roundings(quantizer) {
                prop_assert_eq!(encoded(&quantizer, &values), encoded(&quantizer, &wide));
            }
        }
    }
}
