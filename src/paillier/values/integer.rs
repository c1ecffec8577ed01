//! Fixed-width integers as big-endian bytes.

use crypto_bigint::Word;

use crate::residue::Limbs;

/// An integer from big-endian bytes, or `None` if it has more significant bytes than fit.
pub(in crate::paillier) fn from_be<U: Limbs>(bytes: &[u8]) -> Option<U> {
    let width = U::WORDS * size_of::<Word>();
    let (excess, bytes) = bytes.split_at(bytes.len().saturating_sub(width));
    if excess.iter().fold(0, |any, byte| any | byte) != 0 {
        return None;
    }
    let mut value = U::zero();
    let chunks = bytes.rchunks_exact(size_of::<Word>());
    // The first chunk may be shorter than a word.
    let rest = chunks.remainder();
    let whole = chunks.len();
    for (word, chunk) in value.words_mut().iter_mut().zip(chunks) {
        *word = Word::from_be_bytes(chunk.try_into().expect("chunks have the size of a word"));
    }
    if !rest.is_empty() {
        value.words_mut()[whole] = rest.iter().fold(0, |word, byte| word << 8 | Word::from(*byte));
    }
    Some(value)
}

/// An integer as big-endian bytes of its full width.
pub(in crate::paillier) fn to_be<U: Limbs>(value: &U) -> Vec<u8> {
    let mut bytes = vec![0; U::WORDS * size_of::<Word>()];
    write_be(value, &mut bytes);
    bytes
}

/// Writes an integer as big-endian bytes of its full width.
pub(crate) fn write_be<U: Limbs>(value: &U, out: &mut [u8]) {
    for (chunk, word) in out.rchunks_exact_mut(size_of::<Word>()).zip(value.words()) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
}

/// Number of significant bits of a public integer.
pub(in crate::paillier) fn bits_vartime<U: Limbs>(value: &U) -> u32 {
    let top = value.words().iter().rposition(|word| *word != 0);
    top.map_or(0, |i| (i as u32 + 1) * Word::BITS - value.words()[i].leading_zeros())
}

/// Whether a is zero. The computation is constant time; the result is public.
pub(in crate::paillier) fn is_zero<U: Limbs>(value: &U) -> bool {
    bool::from(U::zero().ct_eq(value))
}
