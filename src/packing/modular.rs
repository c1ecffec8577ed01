//! Integers modulo a public number.

use super::{
    divisor::Divisor,
    error::{Error, Result},
    integer::Integer,
};

/// Sums modulo a number m.
///
/// Every value is valid: a client encodes its residue from 0 to m − 1 (the residue of −1 is m − 1).
/// Masks and modular clipping use this arithmetic, where wrapping is intended. TensorFlow Federated
/// calls it `federated_secure_modular_sum` and, with the [symmetric](Self::symmetric) variant,
/// `SecureModularSumFactory`.
///
/// The residues are summed as integers. The server reduces the sum when it decodes it. So the
/// server sees the **raw sum of the residues**, as in TensorFlow Federated. This sum reveals more
/// than its residue: with few clients, the number of times that it has wrapped reveals something
/// about their values. Masks must therefore be uniform.
///
/// ```
/// use cipherfold::packing::Modular;
///
/// let modular = Modular::new(5)?;
/// let mut encoded = [0; 3];
/// modular.encode(&[1_i32, -1, 12], &mut encoded);
/// assert_eq!(encoded, [1, 4, 2]);
/// assert_eq!(modular.decode_sum(1 + 4 + 2), 2);
///
/// // The seven residues from −3 to 3.
/// assert_eq!(Modular::symmetric(4)?.decode_sum(3 + 1), -3);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Modular {
    /// m.
    modulus: u64,
    /// m, or 2m − 1 for the symmetric variant.
    divisor: Divisor,
}

impl Modular {
    /// Sums modulo `modulus`, from 0 to `modulus - 1`.
    ///
    /// # Errors
    ///
    /// [`Error::Modulus`] unless `modulus` is 1 to 2⁶³.
    pub fn new(modulus: u64) -> Result<Self> {
        Ok(Self { modulus: check(modulus)?, divisor: Divisor::new(modulus) })
    }

    /// Sums modulo `2 * modulus - 1`, from `1 - modulus` to `modulus - 1`.
    ///
    /// # Errors
    ///
    /// [`Error::Modulus`] unless `modulus` is 1 to 2⁶³.
    pub fn symmetric(modulus: u64) -> Result<Self> {
        let modulus = check(modulus)?;
        // At most 2^64 − 1.
        Ok(Self { modulus, divisor: Divisor::new(modulus - 1 + modulus) })
    }

    /// The modulus as stated: one more than the maximum result.
    pub fn modulus(&self) -> u64 {
        self.modulus
    }

    /// Whether results are centred at zero.
    pub fn is_symmetric(&self) -> bool {
        self.divisor.value() != self.modulus
    }

    /// Bits of an encoded value, 1 to 64.
    pub fn value_bits(&self) -> u32 {
        (u64::BITS - self.max_encoding().leading_zeros()).max(1)
    }

    /// The maximum encoded value: the modulus in use less one.
    pub fn max_encoding(&self) -> u64 {
        self.divisor.value() - 1
    }

    /// Writes the residue of `values[i]` to `out[i]`, in a time that depends on their number alone.
    ///
    /// # Panics
    ///
    /// Unless both slices have the same length.
    pub fn encode<T: Integer>(&self, values: &[T], out: &mut [u64]) {
        assert_eq!(values.len(), out.len(), "values and their encodings");
        for (&value, out) in values.iter().zip(out) {
            *out = self.divisor.floor_rem(value.to_i128());
        }
    }

    /// The residue of the sum of the values whose encodings, each times its weight, add up to
    /// `sum`.
    ///
    /// It fits an `i64` for every type of values. The time depends on the sum, which the server may
    /// know.
    pub fn decode_sum(&self, sum: u128) -> i64 {
        let residue = sum % u128::from(self.divisor.value());
        let (residue, modulus) = (wide(residue), i128::from(self.modulus));
        // Never true without symmetry.
        let residue = if residue >= modulus { residue - i128::from(self.divisor.value()) } else { residue };
        i64::try_from(residue).expect("below 2^63 either way, as the modulus is at most that")
    }
}

fn check(modulus: u64) -> Result<u64> {
    if (1..=MAX_MODULUS).contains(&modulus) { Ok(modulus) } else { Err(Error::Modulus { modulus }) }
}

/// A residue as a signed number.
fn wide(residue: u128) -> i128 {
    i128::try_from(residue).expect("below 2^64")
}

/// The maximum modulus: its residues fit an `i64`, and twice the modulus, less one, fits a word.
const MAX_MODULUS: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::replayable;
    use proptest::prelude::*;

    fn sum_of<T: Integer>(modular: Modular, values: &[T]) -> i64 {
        let mut encoded = vec![0; values.len()];
        modular.encode(values, &mut encoded);
        assert!(encoded.iter().all(|&residue| residue <= modular.max_encoding()));
        modular.decode_sum(encoded.into_iter().map(u128::from).sum())
    }

    #[test]
    fn moduli_from_one_to_two_to_the_63() {
        for modulus in [0, (1 << 63) + 1, u64::MAX] {
            assert_eq!(Modular::new(modulus), Err(Error::Modulus { modulus }));
            assert_eq!(Modular::symmetric(modulus), Err(Error::Modulus { modulus }));
        }
        let of = |modular: Modular| (modular.modulus(), modular.value_bits(), modular.max_encoding());
        assert_eq!(of(Modular::new(1).unwrap()), (1, 1, 0));
        assert_eq!(of(Modular::symmetric(1).unwrap()), (1, 1, 0));
        assert_eq!(of(Modular::new(8).unwrap()), (8, 3, 7));
        assert_eq!(of(Modular::new(9).unwrap()), (9, 4, 8));
        assert_eq!(of(Modular::symmetric(8).unwrap()), (8, 4, 14));
        assert_eq!(of(Modular::new(1 << 63).unwrap()), (1 << 63, 63, (1 << 63) - 1));
        assert_eq!(of(Modular::symmetric(1 << 63).unwrap()), (1 << 63, 64, u64::MAX - 1));
        assert!(Modular::symmetric(8).unwrap().is_symmetric());
        assert!(!Modular::new(8).unwrap().is_symmetric());
    }

    #[test]
    fn moduli_of_all_widths_are_correct() {
        for bits in 0..=63 {
            let modulus = 1_u64 << bits;
            let plain = Modular::new(modulus).unwrap();
            assert_eq!(
                (plain.modulus(), plain.max_encoding(), plain.value_bits()),
                (modulus, modulus - 1, bits.max(1))
            );
            let symmetric = Modular::symmetric(modulus).unwrap();
            assert_eq!((symmetric.modulus(), symmetric.value_bits()), (modulus, bits + 1));
            assert_eq!(symmetric.max_encoding(), modulus - 1 + (modulus - 1));
            assert_eq!((symmetric.is_symmetric(), plain.is_symmetric()), (bits > 0, false));
            let max = i64::try_from(modulus - 1).unwrap();
            for (modular, min) in [(plain, 0), (symmetric, -max)] {
                assert_eq!((sum_of(modular, &[max]), sum_of(modular, &[min])), (max, min));
            }
        }
    }

    #[test]
    fn the_ends_of_all_types_have_residues() {
        let largest = Modular::symmetric(1 << 63).unwrap();
        assert_eq!(sum_of(largest, &[i64::MIN]), i64::MAX, "-2^63 is 2^63 - 1 modulo 2^64 - 1");
        assert_eq!(sum_of(largest, &[i64::MAX]), i64::MAX);
        assert_eq!(sum_of(largest, &[u64::MAX]), 0);
        assert_eq!(sum_of(largest, &[u64::MAX - 1]), -1);
        assert_eq!(sum_of(Modular::new(1).unwrap(), &[i8::MIN, 3, i8::MAX]), 0);
        assert_eq!(sum_of(Modular::new(1 << 63).unwrap(), &[-1_i64, -1]), i64::MAX - 1);
    }

    proptest! {
        #![proptest_config(replayable(512))]

        #[test]
        fn sums_are_congruent_and_in_range(
            values in prop::collection::vec(any::<i64>(), 0..20),
            modulus in 1..=MAX_MODULUS,
            shift in 0..63_u32,
        ) {
            let modulus = (modulus >> shift).max(1);
            let (m, total) = (i128::from(modulus), values.iter().map(|&value| i128::from(value)).sum::<i128>());
            let plain = i128::from(sum_of(Modular::new(modulus).unwrap(), &values));
            prop_assert_eq!(plain, total.rem_euclid(m));
            let symmetric = i128::from(sum_of(Modular::symmetric(modulus).unwrap(), &values));
            prop_assert!(-m < symmetric && symmetric < m);
            prop_assert_eq!((total - symmetric).rem_euclid(2 * m - 1), 0);
        }
    }
}
