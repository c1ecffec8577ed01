//! Integers of a stated range as offsets from its lower end.

use super::error::{Error, Result};
use core::fmt::{Debug, Display};

/// The integers that can be summed: `i8` to `i64` and `u8` to `u64`.
///
/// A sum comes back in the wider type [`Sum`](Self::Sum), so that it never wraps.
///
/// ```
/// use cipherfold::packing::Integer;
///
/// assert_eq!((i16::BITS, <i16 as Integer>::SIGNED, <i16 as Integer>::NAME), (16, true, "i16"));
/// assert_eq!(i16::sum_from_i128(-1_000_000), Some(-1_000_000_i64));
/// assert_eq!(u8::sum_from_i128(-1), None);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an integer that can be summed exactly",
    label = "elements of type `{Self}`",
    note = "exact sums take `i8` to `i64` and `u8` to `u64`; floating-point numbers have a mean by a `Quantizer`"
)]
pub trait Integer: sealed::Narrow + Copy + Ord + Debug + Display + Send + Sync + 'static {
    /// Width in bits.
    const BITS: u32;

    /// Whether the type has negative values.
    const SIGNED: bool;

    /// The name of the type in Rust.
    const NAME: &'static str;

    /// The type of sums: 64 bits for values of up to 32 bits, 128 bits for values of 64 bits.
    type Sum: TryFrom<i128> + Copy + Ord + Debug + Display + Send + Sync + 'static;

    /// Converts to a wider type. Exact.
    fn to_i128(self) -> i128;

    /// Converts to a [`Sum`](Self::Sum), or returns `None` if the number does not fit. Never wraps.
    fn sum_from_i128(sum: i128) -> Option<Self::Sum> {
        sum.try_into().ok()
    }
}

macro_rules! integer {
    ($($type:ident: $sum:ident),*) => {$(
        impl sealed::Narrow for $type {
            fn from_i128(number: i128) -> Option<Self> {
                number.try_into().ok()
            }
        }

        impl Integer for $type {
            const BITS: u32 = $type::BITS;
            #[allow(unused_comparisons, reason = "that is the question")]
            const SIGNED: bool = $type::MIN < 0;
            const NAME: &'static str = stringify!($type);

            type Sum = $sum;

            fn to_i128(self) -> i128 {
                self.into()
            }
        }
    )*};
}

integer!(i8: i64, i16: i64, i32: i64, i64: i128, u8: u64, u16: u64, u32: u64, u64: u128);

mod sealed {
    pub trait Narrow: Sized {
        /// Converts to this type, or returns `None` if the number does not fit.
        fn from_i128(number: i128) -> Option<Self>;
    }
}

/// The integers that a client may contribute: from `min` to `max`, both included.
///
/// A value is encoded as its distance from `min`, so that a plaintext holds no signs. Decoding a
/// sum adds `min` times the total weight. The range is public.
///
/// ```
/// use cipherfold::packing::IntegerRange;
///
/// let range = IntegerRange::new(-10, 20)?;
/// assert_eq!(range.value_bits(), 5);
///
/// let mut encoded = [0; 3];
/// range.encode(&[-10_i32, 0, 20], &mut encoded)?;
/// assert_eq!(encoded, [0, 10, 30]);
/// assert_eq!(range.decode_sum(0 + 10 + 30, 3), -10 + 0 + 20);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntegerRange {
    // i64::MIN <= min <= max <= u64::MAX, and max - min < 2^64.
    min: i128,
    max: i128,
}

impl IntegerRange {
    /// The range from `min` to `max`, both included.
    ///
    /// # Errors
    ///
    /// [`Error::IntegerRange`] when `min` exceeds `max`, when `max - min` needs more than 64 bits,
    /// or when one of them is below `i64::MIN` or above `u64::MAX`.
    pub fn new(min: impl Into<i128>, max: impl Into<i128>) -> Result<Self> {
        let (min, max) = (min.into(), max.into());
        let inside = MIN <= min && min <= max && max <= MAX;
        if !inside || max - min > i128::from(u64::MAX) {
            return Err(Error::IntegerRange { min, max });
        }
        Ok(Self { min, max })
    }

    /// The unsigned integers of `bits` bits: 0 to 2^bits − 1.
    ///
    /// # Errors
    ///
    /// [`Error::IntegerBits`] unless `bits` is 1 to 64.
    pub fn unsigned_bits(bits: u32) -> Result<Self> {
        check_bits(bits)?;
        Ok(Self { min: 0, max: (1 << bits) - 1 })
    }

    /// The integers of `bits` bits in two's complement: −2^(bits − 1) to 2^(bits − 1) − 1.
    ///
    /// # Errors
    ///
    /// [`Error::IntegerBits`] unless `bits` is 1 to 64.
    pub fn signed_bits(bits: u32) -> Result<Self> {
        check_bits(bits)?;
        let half = 1 << (bits - 1);
        Ok(Self { min: -half, max: half - 1 })
    }

    /// The integers 0 to `max`.
    pub fn up_to(max: u64) -> Self {
        Self { min: 0, max: max.into() }
    }

    /// All values of a type.
    pub fn of<T: Integer>() -> Self {
        let values = if T::SIGNED { Self::signed_bits(T::BITS) } else { Self::unsigned_bits(T::BITS) };
        values.expect("integers have 8 to 64 bits")
    }

    /// The minimum.
    pub fn min(&self) -> i128 {
        self.min
    }

    /// The maximum.
    pub fn max(&self) -> i128 {
        self.max
    }

    /// The number in the range that is nearest to a value. `None` if the type cannot hold that
    /// number: then no number of the type is in the range.
    ///
    /// ```
    /// use cipherfold::packing::IntegerRange;
    ///
    /// let range = IntegerRange::new(-10, 200)?;
    /// assert_eq!((range.clip(-11_i8), range.clip(127_i8), range.clip(255_u8)), (Some(-10), Some(127), Some(200)));
    /// assert_eq!(IntegerRange::new(-10, -1)?.clip(0_u8), None);
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    pub fn clip<T: Integer>(&self, value: T) -> Option<T> {
        T::from_i128(value.to_i128().clamp(self.min, self.max))
    }

    /// Bits of an encoded value, 1 to 64.
    pub fn value_bits(&self) -> u32 {
        (u128::BITS - (self.max - self.min).leading_zeros()).max(1)
    }

    /// Writes `values[i] - min` to `out[i]`.
    ///
    /// A value must be in the range. The range may exceed the type `T`, and `T` may exceed the
    /// range. If all values are in the range, the time depends on their number alone.
    ///
    /// # Errors
    ///
    /// [`Error::ValueOutOfRange`] with the index of the first value outside. Then `out` is all
    /// zeros. The time also reveals this index.
    ///
    /// # Panics
    ///
    /// Unless both slices have the same length.
    pub fn encode<T: Integer>(&self, values: &[T], out: &mut [u64]) -> Result<()> {
        assert_eq!(values.len(), out.len(), "values and their encodings");
        let span = self.max - self.min;
        // Values and ends lie in [−2^63, 2^64), so the differences are far from overflow. One of
        // them is negative exactly when the value is outside; the sign of `outside` collects these
        // without a branch.
        let distances = |value: T| {
            let above = value.to_i128() - self.min;
            (above, span - above)
        };
        let mut outside = 0;
        for (&value, out) in values.iter().zip(out.iter_mut()) {
            let (above, below) = distances(value);
            outside |= above | below;
            *out = low_word(above);
        }
        if outside >= 0 {
            return Ok(());
        }
        out.fill(0);
        let is_outside = |&value: &T| {
            let (above, below) = distances(value);
            above | below < 0
        };
        let index = values.iter().position(is_outside).expect("a value outside has been seen");
        Err(Error::ValueOutOfRange { index, min: self.min, max: self.max })
    }

    /// The sum of the values whose encodings, each times its weight, add up to `sum`.
    ///
    /// `weight` is the sum of the weights: the number of summands, if all weights are 1. The result
    /// is exact for every sum that values in the range can reach with a total weight of at most
    /// 2⁶³, the limit of [`Layout`](super::Layout). Only a peer that deviates from the protocol
    /// exceeds this limit. The result then saturates and does not wrap.
    pub fn decode_sum(&self, sum: u128, weight: u64) -> i128 {
        // |min|, |max| < 2^64 and weight ≤ 2^63 give |min·weight| < 2^127, and the result is between min·weight and
        // max·weight. The sum itself is at most (max − min)·weight < 2^127.
        let sum = i128::try_from(sum).unwrap_or(i128::MAX);
        sum.saturating_add(self.min.saturating_mul(weight.into()))
    }
}

fn check_bits(bits: u32) -> Result<()> {
    if (1..=64).contains(&bits) { Ok(()) } else { Err(Error::IntegerBits { bits }) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only values of 64 bits are used"
)]
fn low_word(distance: i128) -> u64 {
    distance as u64
}

/// The minimum of the smallest integer type.
const MIN: i128 = i64::MIN as i128;

/// The maximum of the largest integer type.
const MAX: i128 = u64::MAX as i128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::replayable;
    use proptest::prelude::*;

    fn encoded<T: Integer>(range: IntegerRange, values: &[T]) -> Result<Vec<u64>> {
        let mut out = vec![7; values.len()];
        let result = range.encode(values, &mut out);
        assert!(result.is_ok() || out.iter().all(|&word| word == 0), "a failure leaves zeros");
        result.map(|()| out)
    }

    #[test]
    fn ranges_have_the_stated_ends() {
        let ends = |range: IntegerRange| (range.min(), range.max(), range.value_bits());
        assert_eq!(ends(IntegerRange::unsigned_bits(1).unwrap()), (0, 1, 1));
        assert_eq!(ends(IntegerRange::unsigned_bits(64).unwrap()), (0, u64::MAX.into(), 64));
        assert_eq!(ends(IntegerRange::signed_bits(1).unwrap()), (-1, 0, 1));
        assert_eq!(ends(IntegerRange::signed_bits(16).unwrap()), (-32768, 32767, 16));
        assert_eq!(ends(IntegerRange::up_to(0)), (0, 0, 1));
        assert_eq!(ends(IntegerRange::up_to(8)), (0, 8, 4));
        assert_eq!(ends(IntegerRange::new(-3, 4).unwrap()), (-3, 4, 3));
        assert_eq!(ends(IntegerRange::new(-3, 5).unwrap()), (-3, 5, 4));
        assert_eq!(
            ends(IntegerRange::new(u64::MAX, u64::MAX).unwrap()),
            (u64::MAX.into(), u64::MAX.into(), 1)
        );
        assert_eq!(IntegerRange::of::<i64>(), IntegerRange::new(i64::MIN, i64::MAX).unwrap());
        assert_eq!(IntegerRange::of::<u64>(), IntegerRange::up_to(u64::MAX));
        assert_eq!(IntegerRange::of::<u8>(), IntegerRange::new(u8::MIN, u8::MAX).unwrap());
        assert_eq!(IntegerRange::of::<i32>(), IntegerRange::new(i32::MIN, i32::MAX).unwrap());
        assert_eq!(i32::NAME, "i32");
        assert_eq!(<u32 as Integer>::BITS, 32);
        assert_eq!((i32::SIGNED, u32::SIGNED), (true, false));
    }

    #[test]
    fn ranges_of_all_widths_have_the_right_ends() {
        for bits in 1..=64 {
            let (unsigned, signed) =
                (IntegerRange::unsigned_bits(bits).unwrap(), IntegerRange::signed_bits(bits).unwrap());
            let half = 1_i128 << (bits - 1);
            assert_eq!((unsigned.min(), unsigned.max()), (0, 2 * half - 1));
            assert_eq!((signed.min(), signed.max()), (-half, half - 1));
            assert_eq!((unsigned.value_bits(), signed.value_bits()), (bits, bits));
            assert_eq!(IntegerRange::new(signed.min(), signed.max()), Ok(signed));
            let largest = u64::try_from(unsigned.max()).unwrap();
            assert_eq!(IntegerRange::up_to(largest), unsigned);
            assert_eq!(encoded(unsigned, &[0, largest]), Ok(vec![0, largest]));
            let ends = [signed.min(), signed.max()].map(|end| i64::try_from(end).unwrap());
            assert_eq!(encoded(signed, &ends), Ok(vec![0, largest]));
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        for bits in [0, 65, u32::MAX] {
            assert_eq!(IntegerRange::unsigned_bits(bits), Err(Error::IntegerBits { bits }));
            assert_eq!(IntegerRange::signed_bits(bits), Err(Error::IntegerBits { bits }));
        }
        for (min, max) in [
            (1, 0),
            (i128::MAX, i128::MIN),
            (i128::MIN, i128::MAX),
            (-1, MAX),
            (MIN, 1 << 63),
            (MIN - 1, MIN),
            (MAX, MAX + 1),
        ] {
            assert_eq!(IntegerRange::new(min, max), Err(Error::IntegerRange { min, max }));
        }
    }

    #[test]
    fn the_first_value_outside_is_named_by_its_index_only() {
        let range = IntegerRange::new(-5, 5).unwrap();
        assert_eq!(
            encoded(range, &[-5_i8, 5, 6, -6]),
            Err(Error::ValueOutOfRange { index: 2, min: -5, max: 5 })
        );
        assert_eq!(
            encoded(range, &[i64::MIN]).unwrap_err().to_string(),
            "the value at index 0 lies outside [-5, 5]"
        );
        assert_eq!(
            encoded(range, &[0_u8, 0, 255]),
            Err(Error::ValueOutOfRange { index: 2, min: -5, max: 5 })
        );
        assert_eq!(encoded::<u64>(range, &[]), Ok(vec![]));
        // Negative under a range without a sign: refused, not wrapped.
        assert!(encoded(IntegerRange::up_to(u64::MAX), &[-1_i64]).is_err());
    }

    #[test]
    fn the_ends_of_64_bits_are_encoded() {
        assert_eq!(
            encoded(IntegerRange::of::<i64>(), &[i64::MIN, -1, i64::MAX]),
            Ok(vec![0, (1 << 63) - 1, u64::MAX])
        );
        assert_eq!(encoded(IntegerRange::of::<u64>(), &[0, u64::MAX]), Ok(vec![0, u64::MAX]));
        assert_eq!(
            encoded(IntegerRange::new(1_u64 << 63, u64::MAX).unwrap(), &[u64::MAX]),
            Ok(vec![(1 << 63) - 1])
        );
    }

    #[test]
    fn the_largest_sums_are_exact() {
        let weight = 1_u64 << 63;
        for (range, min, max) in [
            (IntegerRange::of::<u64>(), 0, MAX),
            (IntegerRange::of::<i64>(), MIN, i128::from(i64::MAX)),
            (IntegerRange::new(u64::MAX, u64::MAX).unwrap(), MAX, MAX),
        ] {
            assert_eq!(range.decode_sum(0, weight), min * i128::from(weight));
            let largest = u128::try_from(max - min).unwrap() * u128::from(weight);
            assert_eq!(range.decode_sum(largest, weight), max * i128::from(weight));
        }
    }

    #[test]
    fn sums_that_no_client_can_reach_saturate() {
        let range = IntegerRange::new(1_u64 << 63, u64::MAX).unwrap();
        assert_eq!(range.decode_sum(u128::MAX, u64::MAX), i128::MAX);
        assert_eq!(i8::sum_from_i128(i128::MAX), None);
        assert_eq!(u64::sum_from_i128(-1), None);
        assert_eq!(i64::sum_from_i128(i128::MIN), Some(i128::MIN));
        assert_eq!(u32::sum_from_i128(u64::MAX.into()), Some(u64::MAX));
        assert_eq!(i32::sum_from_i128(1 << 63), None);
    }

    #[test]
    #[should_panic(expected = "values and their encodings")]
    fn an_output_of_another_length_panics() {
        let _ = IntegerRange::of::<i32>().encode(&[1], &mut [0; 2]);
    }

    proptest! {
        #![proptest_config(replayable(256))]

        #[test]
        fn decode_inverts_encode(value: i64, a: i64, b: i64) {
            let range = IntegerRange::new(a.min(b).min(value), a.max(b).max(value)).unwrap();
            let encoded = encoded(range, &[value]).unwrap()[0];
            prop_assert!(u128::from(encoded) < 1 << range.value_bits());
            prop_assert_eq!(range.decode_sum(encoded.into(), 1), i128::from(value));
        }

        #[test]
        fn sums_of_encoded_decode_to_weighted_sums(values in prop::collection::vec((any::<i32>(), any::<u32>()), 0..50)) {
            let range = IntegerRange::of::<i32>();
            let (values, weights): (Vec<i32>, Vec<u32>) = values.into_iter().unzip();
            let encoded = encoded(range, &values).unwrap();
            let sum = encoded.iter().zip(&weights).map(|(&e, &w)| u128::from(e) * u128::from(w)).sum();
            let expected = values.iter().zip(&weights).map(|(&v, &w)| i128::from(v) * i128::from(w)).sum::<i128>();
            prop_assert_eq!(range.decode_sum(sum, weights.iter().map(|&w| u64::from(w)).sum()), expected);
        }

        #[test]
        fn exactly_the_values_of_the_range_are_accepted(values in prop::collection::vec(any::<i16>(), 0..9), a: i16, b: i16) {
            let (min, max) = (a.min(b), a.max(b));
            let index = values.iter().position(|value| !(min..=max).contains(value));
            let expected = index.map(|index| Error::ValueOutOfRange { index, min: min.into(), max: max.into() });
            prop_assert_eq!(encoded(IntegerRange::new(min, max).unwrap(), &values).err(), expected);
        }
    }
}
