//! Numbers in 2^32 levels between two bounds, as TensorFlow Federated quantises them.

use core::fmt::{Debug, Display};

use super::{
    divisor::Divisor,
    error::{Error, Result},
    float::Float,
};

/// The types that [`QuantizedSum`] takes: `i32`, `i64`, `f32` and `f64`. Sealed.
///
/// ```
/// use cipherfold::packing::{Error, Quantized, QuantizedSum};
///
/// fn sum_of_one<T: Quantized>(bounds: (T, T), value: T) -> Result<T::Sum, Error> {
///     let quantized = QuantizedSum::new(bounds.0, bounds.1)?;
///     let mut encoded = [0];
///     quantized.encode(&[value], &mut encoded)?;
///     quantized.decode_sum(encoded[0].into(), 1)
/// }
/// assert_eq!(sum_of_one((-5_i32, 5), 3)?, 3_i64);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type that quantised sums take",
    note = "they take `i32`, `i64`, `f32` and `f64`; smaller integers are summed exactly in an `IntegerRange`"
)]
pub trait Quantized: sealed::Sealed + Copy + PartialOrd + Debug + Display + Send + Sync + 'static {
    /// The type of sums: `i64` for `i32`, `i128` for `i64`, and the same type for floating-point
    /// types.
    type Sum: Copy + PartialEq + Debug + Display + Send + Sync + 'static;

    /// Values precomputed from the bounds.
    #[doc(hidden)]
    type Grid: Copy + PartialEq + Debug + Send + Sync;

    #[doc(hidden)]
    fn grid(lower: Self, upper: Self) -> Result<Self::Grid>;

    #[doc(hidden)]
    fn is_finite(self) -> bool;

    /// The encoding of a finite number, clipped.
    #[doc(hidden)]
    fn encode(grid: &Self::Grid, value: Self) -> u64;

    /// The value of a sum of encodings, if it fits. The sum is at most `weight` times the maximum
    /// encoding.
    #[doc(hidden)]
    fn decode(grid: &Self::Grid, sum: i128, weight: u64) -> Option<Self::Sum>;
}

/// Sums of numbers from a lower to an upper bound, in 2³² − 1 steps: `secure_quantized_sum` of
/// TensorFlow Federated.
///
/// A client clips its numbers to the bounds and encodes them in 32 bits, for every type. The server
/// gets their sum:
///
/// | numbers | encoding | sums |
/// | :-- | :-- | :-- |
/// | `i32` | the distance from the lower bound | `i64`, exact |
/// | `i64` | that distance in steps of ⌊(upper − lower) / (2³² − 1)⌋ + 1, rounded down | `i128`, exact if the bounds are less than 2³² − 1 apart, else too small by less than one step for each client |
/// | `f32`, `f64` | the nearest of the multiples of (upper − lower) / (2³² − 1), counted from the lower bound's | the same type; each client adds an error of at most half a step, plus the rounding of the type |
///
/// Zero is one of those multiples, so that a sum of zeros is exactly zero. The bounds may be equal.
/// Arithmetic and rounding are those of `tensorflow_federated.aggregators.primitives`, and the same
/// numbers give the same results, with three exceptions:
///
/// - sums of integers have a wider type instead of wrapping;
/// - infinite numbers and NaN are refused, not clipped;
/// - bounds so far from zero that TensorFlow Federated would saturate are refused.
///
/// To choose the number of bits, use a [`Quantizer`](super::Quantizer) instead.
///
/// ```
/// use cipherfold::packing::QuantizedSum;
///
/// let quantized = QuantizedSum::new(-1.0_f32, 1.0)?;
/// let mut encoded = [0; 3];
/// let clipped = quantized.encode(&[0.25, 0.5, 7.0], &mut encoded)?;
/// assert_eq!(clipped, 1); // the 7.0, which counts as 1.0
///
/// let sum = encoded.iter().copied().map(u128::from).sum();
/// assert!((quantized.decode_sum(sum, 3)? - 1.75).abs() < 1e-6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// Both bounds have the type of the values:
///
/// ```compile_fail,E0308
/// # use cipherfold::packing::QuantizedSum;
/// let mixed = QuantizedSum::new(0_i32, 1.0);
/// ```
///
/// ```compile_fail,E0277
/// # use cipherfold::packing::QuantizedSum;
/// let short = QuantizedSum::new(0_i16, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedSum<T: Quantized> {
    lower: T,
    upper: T,
    grid: T::Grid,
}

impl<T: Quantized> QuantizedSum<T> {
    /// Sums of numbers from `lower` to `upper`, both included.
    ///
    /// # Errors
    ///
    /// - [`Error::IntegerRange`] for integers with `lower > upper`.
    /// - [`Error::QuantizerRange`] for floating-point numbers unless the bounds and, in their own
    ///   type, their distance are finite and `lower <= upper`.
    /// - [`Error::QuantizedSumTooFine`] when a bound is more than 2⁶² steps from zero.
    pub fn new(lower: T, upper: T) -> Result<Self> {
        Ok(Self { lower, upper, grid: T::grid(lower, upper)? })
    }

    /// The bound below which numbers are clipped.
    pub fn lower(&self) -> T {
        self.lower
    }

    /// The bound above which numbers are clipped.
    pub fn upper(&self) -> T {
        self.upper
    }

    /// Bits of an encoded number: 32.
    pub fn value_bits(&self) -> u32 {
        32
    }

    /// The maximum encoding that the server accepts: 2³² − 1, for all bounds.
    pub fn max_encoding(&self) -> u64 {
        STEPS
    }

    /// The client's part: writes the encoding of `values[i]` to `out[i]`, and returns the number of
    /// values outside `lower..=upper`, which were clipped.
    ///
    /// As long as all values are finite, neither branches nor addresses depend on them.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] with the index of the first value that is infinite or not a number.
    /// Then `out` is all zeros.
    ///
    /// # Panics
    ///
    /// Unless both slices have the same length.
    pub fn encode(&self, values: &[T], out: &mut [u64]) -> Result<usize> {
        assert_eq!(values.len(), out.len(), "values and their encodings");
        let (mut clipped, mut all_finite) = (0, true);
        for (&value, out) in values.iter().zip(out.iter_mut()) {
            clipped += usize::from(value < self.lower) + usize::from(value > self.upper);
            all_finite &= value.is_finite();
            *out = T::encode(&self.grid, value);
        }
        if all_finite {
            return Ok(clipped);
        }
        out.fill(0);
        let index = values.iter().position(|value| !value.is_finite());
        Err(Error::NotFinite { index: index.expect("a value that is not finite has been seen") })
    }

    /// The server's part: the sum of the numbers whose encodings, each times its weight, add up to
    /// `sum`.
    ///
    /// `weight` is the sum of the weights: the number of summands, if all weights are 1.
    ///
    /// # Errors
    ///
    /// [`Error::QuantizedSumOutOfRange`] when the sum exceeds `weight * (2^32 - 1)`, or when it
    /// does not fit the type of sums: a floating-point sum is not finite, or integers have a total
    /// weight near 2⁶³.
    pub fn decode_sum(&self, sum: u128, weight: u64) -> Result<T::Sum> {
        let max_sum = u128::from(STEPS) * u128::from(weight);
        let out_of_range = Error::QuantizedSumOutOfRange { weight };
        if sum > max_sum {
            return Err(out_of_range);
        }
        // At most (2^32 − 1)·(2^64 − 1).
        let sum = i128::try_from(sum).expect("below 2^96");
        T::decode(&self.grid, sum, weight).ok_or(out_of_range)
    }
}

/// Levels less one.
const STEPS: u64 = (1 << 32) - 1;

mod sealed {
    pub trait Sealed {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Distances from the lower bound, in steps of an integer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerGrid {
    lower: i64,
    upper: i64,
    step: Divisor,
}

impl IntegerGrid {
    fn encode(&self, value: i64) -> u64 {
        // Below 2^64, the number of values of i64.
        let distance = value.clamp(self.lower, self.upper).wrapping_sub(self.lower).cast_unsigned();
        self.step.div_rem(distance).0
    }

    fn decode(&self, sum: i128, weight: u64) -> Option<i128> {
        // Overflows only for total weights near 2^63.
        let distance = sum.checked_mul(self.step.value().into())?;
        distance.checked_add(i128::from(self.lower) * i128::from(weight))
    }
}

impl Quantized for i32 {
    type Sum = i64;
    type Grid = IntegerGrid;

    fn grid(lower: Self, upper: Self) -> Result<IntegerGrid> {
        if lower > upper {
            return Err(Error::IntegerRange { min: lower.into(), max: upper.into() });
        }
        // All 2^32 values of the type fit without scaling.
        Ok(IntegerGrid { lower: lower.into(), upper: upper.into(), step: Divisor::new(1) })
    }

    fn is_finite(self) -> bool {
        true
    }

    fn encode(grid: &IntegerGrid, value: Self) -> u64 {
        grid.encode(value.into())
    }

    fn decode(grid: &IntegerGrid, sum: i128, weight: u64) -> Option<i64> {
        grid.decode(sum, weight)?.try_into().ok()
    }
}

impl Quantized for i64 {
    type Sum = i128;
    type Grid = IntegerGrid;

    fn grid(lower: Self, upper: Self) -> Result<IntegerGrid> {
        if lower > upper {
            return Err(Error::IntegerRange { min: lower.into(), max: upper.into() });
        }
        // The bounds do not wrap, unlike in TensorFlow.
        let span = upper.wrapping_sub(lower).cast_unsigned();
        // One more than needed if the quotient is exact, as in TensorFlow Federated.
        Ok(IntegerGrid { lower, upper, step: Divisor::new(span / STEPS + 1) })
    }

    fn is_finite(self) -> bool {
        true
    }

    fn encode(grid: &IntegerGrid, value: Self) -> u64 {
        grid.encode(value)
    }

    fn decode(grid: &IntegerGrid, sum: i128, weight: u64) -> Option<i128> {
        grid.decode(sum, weight)
    }
}

/// Multiples of a step, counted from the one nearest to the lower bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatGrid {
    lower: f64,
    upper: f64,
    /// The distance of the bounds, computed in their own type.
    span: f64,
    /// (2^32 − 1) / span, or 0 if that is 0.
    steps_per_unit: f64,
    /// The lower bound in steps, rounded: at most 2^62 either way.
    first: i64,
}

impl FloatGrid {
    fn new<F: Float>(lower: F, upper: F, span: F) -> Result<Self> {
        let (lower, upper, span) = (lower.to_f64(), upper.to_f64(), span.to_f64());
        if lower > upper || !lower.is_finite() || !upper.is_finite() || !span.is_finite() {
            return Err(Error::QuantizerRange { lower, upper });
        }
        let steps_per_unit = if span == 0.0 { 0.0 } else { ALL_STEPS / span };
        let in_steps = |bound: f64| bound * steps_per_unit;
        // False for NaN, the product of zero and an infinite factor.
        if !(in_steps(lower).abs() <= MAX_DISTANCE && in_steps(upper).abs() <= MAX_DISTANCE) {
            return Err(Error::QuantizedSumTooFine { lower, upper });
        }
        Ok(Self { lower, upper, span, steps_per_unit, first: round(in_steps(lower)) })
    }

    fn encode(&self, value: f64) -> u64 {
        let steps = round(value.clamp(self.lower, self.upper) * self.steps_per_unit);
        // 2^62 − (−2^62) fits. Products and rounding may exceed the grid slightly.
        (steps - self.first).clamp(0, ALL_STEPS_INTEGER).cast_unsigned()
    }

    fn decode(&self, sum: i128, weight: u64) -> f64 {
        if self.span == 0.0 {
            return weight_as_float(weight) * self.lower;
        }
        // Subtracts the lower bound as the same integer that the encoding added, so that zeros
        // cancel exactly.
        let steps = sum + i128::from(self.first) * i128::from(weight);
        let total = to_float(steps) * (self.span / ALL_STEPS);
        if total.is_finite() {
            return total;
        }
        // The step is rounded, so that the sum of all steps may exceed the span.
        let weight = weight_as_float(weight);
        total.clamp(self.lower * weight, self.upper * weight)
    }
}

macro_rules! quantized_floats {
    ($($float:ty),*) => {$(
        impl Quantized for $float {
            type Sum = $float;
            type Grid = FloatGrid;

            fn grid(lower: Self, upper: Self) -> Result<FloatGrid> {
                FloatGrid::new(lower, upper, upper - lower)
            }

            fn is_finite(self) -> bool {
                <$float>::is_finite(self)
            }

            fn encode(grid: &FloatGrid, value: Self) -> u64 {
                grid.encode(value.to_f64())
            }

            fn decode(grid: &FloatGrid, sum: i128, weight: u64) -> Option<$float> {
                Some(<$float>::from_f64(grid.decode(sum, weight))).filter(|sum| sum.is_finite())
            }
        }
    )*};
}

quantized_floats!(f32, f64);

/// The nearest integer, the even one of two. Zero for NaN, which is refused elsewhere.
///
/// Up to 2^52 the sum below is in the range where f64 holds the integers and nothing between them:
/// the addition rounds to an integer, and the subtraction is exact. Larger numbers are integers
/// already. The library's `round_ties_even` branches on the exponent on processors without an
/// instruction for it.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "an integer of at most 2^62 either way")]
fn round(x: f64) -> i64 {
    let size = x.abs();
    let rounded = (size + TWO_POW_52) - TWO_POW_52;
    let rounded = if size < TWO_POW_52 { rounded } else { size };
    rounded.copysign(x) as i64
}

#[expect(clippy::cast_precision_loss, reason = "the last rounding but one of the result")]
fn to_float(steps: i128) -> f64 {
    steps as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
const fn weight_as_float(weight: u64) -> f64 {
    weight as f64
}

const ALL_STEPS: f64 = weight_as_float(STEPS);
const ALL_STEPS_INTEGER: i64 = STEPS.cast_signed();
const TWO_POW_52: f64 = weight_as_float(1 << 52);
const MAX_DISTANCE: f64 = weight_as_float(1 << 62);

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests;
