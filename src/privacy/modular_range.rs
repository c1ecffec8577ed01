//! Integers reduced to a range by adding multiples of its width.

use super::error::{Error, Result};

/// The integers from `lower` to `upper`, `upper` not included, as representatives modulo the number
/// of them.
///
/// Integers outside the range wrap around: [`clip`](Self::clip) adds the multiple of the width that
/// moves them inside. Clipping every summand and then the sum gives the same as clipping the sum
/// alone. A sum in the range is therefore correct for any summands.
///
/// This is the range of TFF's `ModularClippingSumFactory`, with two differences. TFF sums in 32
/// bits and refuses a width above 2³¹ − 1; this crate accepts widths up to 2⁶³ − 1. TFF accepts
/// `lower == upper` and divides by zero later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModularRange {
    // lower < upper, and upper - lower does not overflow.
    lower: i64,
    upper: i64,
}

impl ModularRange {
    /// The range from `lower`, included, to `upper`, not included.
    ///
    /// # Errors
    ///
    /// [`Error::ModularRange`] unless `lower < upper` and `upper - lower` is at most `i64::MAX`.
    pub(crate) fn new(lower: i64, upper: i64) -> Result<Self> {
        match upper.checked_sub(lower) {
            Some(1..) => Ok(Self { lower, upper }),
            _ => Err(Error::ModularRange { lower, upper }),
        }
    }

    /// The 2^`bits` integers centred at zero: −2^(`bits` − 1) to 2^(`bits` − 1) − 1.
    ///
    /// # Errors
    ///
    /// [`Error::ModularBits`] unless `bits` is 1 to 62: the width of 63 bits, 2^63, does not fit an
    /// `i64`.
    pub(crate) fn signed_bits(bits: u32) -> Result<Self> {
        match bits {
            1..=62 => Self::new(-(1 << (bits - 1)), 1 << (bits - 1)),
            _ => Err(Error::ModularBits { bits }),
        }
    }

    /// Lower end, included.
    pub(crate) const fn lower(&self) -> i64 {
        self.lower
    }

    /// Upper end, not included.
    pub(crate) const fn upper(&self) -> i64 {
        self.upper
    }

    /// The number of integers in the range: the modulus.
    pub(crate) const fn modulus(&self) -> i64 {
        self.upper - self.lower
    }

    /// The integer of the range that differs from `x` by a multiple of the
    /// [modulus](Self::modulus).
    ///
    /// The time is the same for every `x` if the modulus is a power of two. Otherwise it divides,
    /// and **time depends on `x`** on processors with variable-time division.
    pub(crate) const fn clip(&self, x: i64) -> i64 {
        let modulus = self.modulus();
        if modulus & (modulus - 1) == 0 {
            // 2^64 is a multiple of the modulus, so a difference that wraps at 2^64 has the right
            // remainder.
            return self.lower + (x.wrapping_sub(self.lower) & (modulus - 1));
        }
        // Both remainders are in 0..modulus, so neither their difference nor the following sums
        // overflow.
        let distance = x.rem_euclid(modulus) - self.lower.rem_euclid(modulus);
        self.lower + if distance < 0 { distance + modulus } else { distance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Clients, lower and upper end, and the clipped sum of the clients' clipped values: the cases
    /// with data of TFF's `modular_clipping_test.py`.
    const TFF: [(&[i64], i64, i64, i64); 12] = [
        (&[5], -5, 10, 5),
        (&[-15], -5, 10, 0),
        (&[-5], -5, 10, -5),
        (&[10], -5, 10, -5),
        (&[-5], -20, -10, -15),
        (&[10], 20, 40, 30),
        (&[50], 20, 40, 30),
        (&[1_073_741_829], -1_073_741_824, 1_073_741_823, -1_073_741_818),
        (&[5], -2_147_483_647, 0, -2_147_483_642),
        (&[1, -2, 1, -2], -3, 3, -2),
        (&[-3, 3, 5], -2, 2, 1),
        (&[-4, -2, 1, 2, 7], -2, 2, 0),
    ];

    #[test]
    fn clipped_sums_of_clipped_values_are_those_of_tff() {
        for (clients, lower, upper, expected) in TFF {
            let range = ModularRange::new(lower, upper).unwrap();
            let clipped = clients.iter().map(|x| range.clip(*x));
            assert_eq!(range.clip(clipped.sum()), expected, "{clients:?} in [{lower}, {upper})");
            assert_eq!(range.clip(clients.iter().sum()), expected, "{clients:?} in [{lower}, {upper})");
        }
    }

    #[test]
    fn empty_and_too_wide_ranges_are_refused() {
        // The first three are TFF's.
        for (lower, upper) in [(1, -5), (-1, -2), (3, 2), (0, 0), (i64::MIN, 0), (-1, i64::MAX)] {
            assert_eq!(ModularRange::new(lower, upper), Err(Error::ModularRange { lower, upper }));
        }
        // TFF refuses these, because it sums in 32 bits.
        assert!(ModularRange::new(-1_073_741_824, 1_073_741_829).is_ok());
        assert!(ModularRange::new(0, 2_147_483_648).is_ok());

        let widest = ModularRange::signed_bits(62).unwrap();
        assert_eq!((widest.lower(), widest.upper(), widest.modulus()), (-1 << 61, 1 << 61, 1 << 62));
        assert_eq!(ModularRange::signed_bits(1), ModularRange::new(-1, 1));
        for bits in [0, 63, 64, 65, u32::MAX] {
            assert_eq!(ModularRange::signed_bits(bits), Err(Error::ModularBits { bits }));
        }
    }

    #[test]
    fn signed_ranges_of_all_widths_have_the_right_ends() {
        for bits in 1..=62 {
            let range = ModularRange::signed_bits(bits).unwrap();
            let half = 1_i64 << (bits - 1);
            assert_eq!((range.lower(), range.upper(), range.modulus()), (-half, half, 1 << bits));
            assert_eq!(ModularRange::new(-half, half), Ok(range));
            for x in [-half, half - 1, 0, -1] {
                assert_eq!(range.clip(x), x, "{bits} bits");
            }
            assert_eq!((range.clip(half), range.clip(-half - 1)), (-half, half - 1), "{bits} bits");
        }
        // One more would not fit.
        assert!(ModularRange::new(-(1 << 62), 1 << 62).is_err());
        assert!(ModularRange::new(-(1 << 62), (1 << 62) - 1).is_ok());
    }

    proptest! {
        #![proptest_config(crate::test_support::replayable(2000))]

        #[test]
        fn clip_is_the_remainder_counted_from_the_lower_end(
            x: i64, lower: i64, width in prop_oneof![1..=i64::MAX, (0..63_u32).prop_map(|bits| 1 << bits)]
        ) {
            let lower = lower.min(i64::MAX - width);
            let found = ModularRange::new(lower, lower + width).unwrap().clip(x);
            let expected = i128::from(lower) + (i128::from(x) - i128::from(lower)).rem_euclid(width.into());
            prop_assert_eq!(i128::from(found), expected);
        }
    }
}
