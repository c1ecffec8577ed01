//! Fixed-width integers as big-endian bytes.

use crypto_bigint::Word;

use crate::residue::{Limbs, words_from_le_bytes, words_to_le_bytes};

/// An integer from big-endian bytes, or `None` if it has more significant bytes than fit.
pub(super) fn from_be<U: Limbs>(bytes: &[u8]) -> Option<U> {
    let width = U::WORDS * size_of::<Word>();
    let (excess, bytes) = bytes.split_at(bytes.len().saturating_sub(width));
    if excess.iter().fold(0, |any, byte| any | byte) != 0 {
        return None;
    }
    let mut little_endian = zeroize::Zeroizing::new(vec![0; width]);
    for (to, from) in little_endian.iter_mut().zip(bytes.iter().rev()) {
        *to = *from;
    }
    Some(words_from_le_bytes(&little_endian))
}

/// An integer as big-endian bytes of its full width.
pub(super) fn to_be<U: Limbs>(value: &U) -> Vec<u8> {
    let mut bytes = vec![0; U::WORDS * size_of::<Word>()];
    write_be(value, &mut bytes);
    bytes
}

/// Writes an integer as big-endian bytes of its full width.
pub(super) fn write_be<U: Limbs>(value: &U, out: &mut [u8]) {
    words_to_le_bytes(value, out);
    out.reverse();
}

/// Number of significant bits of a public integer.
pub(super) fn bits_vartime<U: Limbs>(value: &U) -> u32 {
    let top = value.words().iter().rposition(|word| *word != 0);
    top.map_or(0, |i| (i as u32 + 1) * Word::BITS - value.words()[i].leading_zeros())
}

/// Whether a is zero, in constant time up to the answer.
pub(super) fn is_zero<U: Limbs>(value: &U) -> bool {
    bool::from(U::zero().ct_eq(value))
}
