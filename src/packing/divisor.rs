//! Division of secret numbers by a public divisor, in a time that does not depend on the numbers.

use subtle::{Choice, ConditionallySelectable, ConstantTimeGreater};

/// A public divisor with its reciprocal. A division instruction is unsuitable, because its time
/// depends on its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Divisor {
    /// At least 1.
    value: u64,
    /// ⌊(2^128 − 1) / value⌋.
    reciprocal: u128,
}

impl Divisor {
    /// # Panics
    ///
    /// If `value` is zero.
    pub(super) fn new(value: u64) -> Self {
        Self { value, reciprocal: u128::MAX / u128::from(value) }
    }

    pub(super) fn value(&self) -> u64 {
        self.value
    }

    /// Quotient and remainder of `x`.
    ///
    /// The product of `x` and the reciprocal, divided by 2^128, is the quotient or one less. Let d
    /// be the divisor and c its reciprocal. Then 2^128/d − 1 ≤ c < 2^128/d, hence
    ///
    /// ```text
    /// x/d − 1 < x/d − x/2^128 ≤ x·c / 2^128 < x/d,
    /// ```
    ///
    /// and one subtraction of d from the remainder corrects it. (Lemire, Kaser and Kurz, "Faster
    /// remainder by direct computation", Software: Practice and Experience 2019, round the
    /// reciprocal up instead; for d = 1 it is then too large.)
    pub(super) fn div_rem(&self, x: u64) -> (u64, u64) {
        let (high, low) = (self.reciprocal >> 64, self.reciprocal & u128::from(u64::MAX));
        let x_wide = u128::from(x);
        // At most (2^64 − 1)² + 2^64 − 1 before the shift.
        let estimate = low_word((high * x_wide + ((low * x_wide) >> 64)) >> 64);
        // estimate·d ≤ x, and the remainder is below 2d. It is at most x, so it fits.
        let remainder = x - estimate * self.value;
        let short = !remainder.ct_gt(&(self.value - 1));
        let corrected = remainder.wrapping_sub(self.value);
        (estimate + u64::from(1 - short.unwrap_u8()), u64::conditional_select(&corrected, &remainder, short))
    }

    /// The remainder of a signed number, from 0 to d − 1 for the divisor d. The remainder of −1 is
    /// d − 1.
    ///
    /// `x` is above −2^64 and below 2^64.
    pub(super) fn floor_rem(&self, x: i128) -> u64 {
        let sign = x >> 127; // 0 or −1
        let (_, remainder) = self.div_rem(low_word(((x ^ sign) - sign).cast_unsigned()));
        let negative = Choice::from(u8::from(sign != 0));
        // d − r is the remainder of −x unless r is 0.
        let complement = u64::conditional_select(&0, &(self.value - remainder), remainder.ct_gt(&0));
        u64::conditional_select(&remainder, &complement, negative)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the high half is zero, as the callers show")]
fn low_word(x: u128) -> u64 {
    x as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::replayable;
    use proptest::prelude::*;

    const EDGES: [u64; 12] = [
        1,
        2,
        3,
        0xffff_fffe,
        0xffff_ffff,
        1 << 32,
        (1 << 32) + 2,
        (1 << 63) - 1,
        1 << 63,
        (1 << 63) + 1,
        u64::MAX - 1,
        u64::MAX,
    ];

    fn check(x: u64, d: u64) {
        let divisor = Divisor::new(d);
        assert_eq!(divisor.div_rem(x), (x / d, x % d), "{x} / {d}");
        for x in [i128::from(x), -i128::from(x)] {
            assert_eq!(i128::from(divisor.floor_rem(x)), x.rem_euclid(d.into()), "{x} mod {d}");
        }
    }

    #[test]
    fn quotients_and_remainders_at_the_edges() {
        for d in EDGES {
            for x in EDGES.into_iter().chain([0]) {
                check(x, d);
                // Around multiples of the divisor.
                for near in [x / d * d, (x / d * d).wrapping_sub(1), (x / d * d).saturating_add(d - 1)] {
                    check(near, d);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(replayable(2000))]

        #[test]
        fn quotients_and_remainders(x in any::<u64>(), d in 1..=u64::MAX, x_shift in 0..64_u32, d_shift in 0..64_u32) {
            check(x >> x_shift, (d >> d_shift).max(1));
        }
    }
}
