//! Integers of a fixed number of limbs, as slices of words.

use core::fmt::Debug;

use crypto_bigint::{Odd, RandomBits, RandomMod, Uint, UnsignedWithMontyForm, WideWord, Word};
use zeroize::Zeroize;

use super::product::{self, Reduction};

mod sealed {
    pub trait Sealed {}
    impl<const LIMBS: usize> Sealed for crypto_bigint::Uint<LIMBS> {}
}

/// An unsigned integer of fixed width: [`crypto_bigint::Uint`] of any number of limbs.
///
/// Code that is generic over the key size uses this trait. The width of a key's halves is half the
/// width of the key, and const generics cannot express that yet. The trait is sealed.
pub trait Limbs:
    sealed::Sealed + UnsignedWithMontyForm + RandomBits + RandomMod + Copy + Zeroize + Send + Sync + Debug
{
    /// Number of words.
    const WORDS: usize;

    /// The words, least significant first.
    fn words(&self) -> &[Word];

    /// The words, least significant first, to write to.
    fn words_mut(&mut self) -> &mut [Word];

    // The kernels take arrays with a length known to the compiler. Only the implementation has
    // them: call the kernels through `Modulus`. Residues modulo n² are two digits.
    // `negated_inverse` is −n⁻¹ modulo one word.

    /// The kernel of `Modulus::mul`.
    fn mul_digits(n: &Self, negated_inverse: Word, x: [&Self; 2], y: [&Self; 2]) -> [Self; 2];
    /// The kernel of `Modulus::square`.
    fn square_digits(n: &Self, negated_inverse: Word, x: [&Self; 2]) -> [Self; 2];
    /// The kernel of `Modulus::mul_single`.
    fn mul_single(n: &Self, negated_inverse: Word, a: &Self, b: &Self) -> Self;
    /// Subtracts n from `self + top·R` if that leaves no negative number; returns 1 if it did, else 0.
    fn conditional_subtract(&mut self, top: &mut Word, n: &Self) -> Word;

    /// The inverse modulo an odd number, if it exists. Constant time.
    fn invert_mod_odd(&self, modulus: &Self) -> Option<Self>;
}

impl<const LIMBS: usize> Limbs for Uint<LIMBS> {
    const WORDS: usize = LIMBS;

    #[inline(always)]
    fn words(&self) -> &[Word] {
        self.as_words()
    }

    #[inline(always)]
    fn words_mut(&mut self) -> &mut [Word] {
        self.as_mut_words()
    }

    fn mul_digits(n: &Self, negated_inverse: Word, x: [&Self; 2], y: [&Self; 2]) -> [Self; 2] {
        let reduction = Reduction { n: n.as_words(), negated_inverse };
        product::mul(reduction, x.map(Self::as_words), y.map(Self::as_words)).map(Self::from_words)
    }

    fn square_digits(n: &Self, negated_inverse: Word, x: [&Self; 2]) -> [Self; 2] {
        let reduction = Reduction { n: n.as_words(), negated_inverse };
        product::square(reduction, x.map(Self::as_words)).map(Self::from_words)
    }

    fn mul_single(n: &Self, negated_inverse: Word, a: &Self, b: &Self) -> Self {
        let reduction = Reduction { n: n.as_words(), negated_inverse };
        Self::from_words(product::mul_single(reduction, a.as_words(), b.as_words()))
    }

    #[inline(always)]
    fn conditional_subtract(&mut self, top: &mut Word, n: &Self) -> Word {
        product::conditional_subtract(self.as_mut_words(), top, n.as_words())
    }

    fn invert_mod_odd(&self, modulus: &Self) -> Option<Self> {
        let modulus = Odd::new(*modulus).into_option()?;
        self.invert_odd_mod(&modulus).into_option()
    }
}

/// `lo + hi·2^(width of H)`.
pub(crate) fn concat<F: Limbs, H: Limbs>(lo: &H, hi: &H) -> F {
    debug_assert_eq!(F::WORDS, 2 * H::WORDS);
    let mut full = F::zero();
    let (low, high) = full.words_mut().split_at_mut(H::WORDS);
    low.copy_from_slice(lo.words());
    high.copy_from_slice(hi.words());
    full
}

/// The two halves `(lo, hi)` of an integer.
pub(crate) fn split<F: Limbs, H: Limbs>(full: &F) -> (H, H) {
    debug_assert_eq!(F::WORDS, 2 * H::WORDS);
    let (mut lo, mut hi) = (H::zero(), H::zero());
    lo.words_mut().copy_from_slice(&full.words()[..H::WORDS]);
    hi.words_mut().copy_from_slice(&full.words()[H::WORDS..]);
    (lo, hi)
}

/// The full `a·b + c`, as `(lo, hi)`. c is as wide as the factors, so the sum always fits.
pub(crate) fn mul_wide<U: Limbs>(a: &U, b: &U, c: &U) -> (U, U) {
    let (mut lo, mut hi) = (*c, U::zero());
    let k = U::WORDS;
    for i in 0..k {
        let factor = WideWord::from(a.words()[i]);
        let mut carry: Word = 0;
        for j in 0..k {
            let at = i + j;
            let digit = if at < k { &mut lo.words_mut()[at] } else { &mut hi.words_mut()[at - k] };
            // (W−1)² + 2(W−1) = W² − 1: a product, a digit and a carry fit two words.
            let sum = factor * WideWord::from(b.words()[j]) + WideWord::from(*digit) + WideWord::from(carry);
            *digit = sum as Word;
            carry = (sum >> Word::BITS) as Word;
        }
        // Column i + k is still empty: c fills only the columns below k, which the inner loop
        // covers.
        hi.words_mut()[i] = carry;
    }
    (lo, hi)
}

/// Bytes of a fixed-width integer, least significant first.
#[cfg(test)]
pub(crate) fn words_to_le_bytes<U: Limbs>(value: &U, out: &mut [u8]) {
    for (chunk, word) in out.chunks_exact_mut(size_of::<Word>()).zip(value.words()) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
}

/// A fixed-width integer from exactly its number of bytes, least significant first.
pub(crate) fn words_from_le_bytes<U: Limbs>(bytes: &[u8]) -> U {
    debug_assert_eq!(bytes.len(), U::WORDS * size_of::<Word>());
    let mut value = U::zero();
    for (word, chunk) in value.words_mut().iter_mut().zip(bytes.chunks_exact(size_of::<Word>())) {
        *word = Word::from_le_bytes(chunk.try_into().expect("chunks have the size of a word"));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_bigint::U128;

    #[test]
    fn mul_wide_fills_both_halves() {
        let max = U128::MAX;
        let (lo, hi) = mul_wide(&max, &max, &max);
        // (M)(M) + M = M(M + 1) = M·2^128
        assert_eq!((lo, hi), (U128::ZERO, max));
    }

    #[test]
    fn bytes_round_trip() {
        let value = U128::from_be_hex("000102030405060708090a0b0c0d0e0f");
        let mut bytes = [0; 16];
        words_to_le_bytes(&value, &mut bytes);
        assert_eq!(bytes[0], 0x0f);
        assert_eq!(words_from_le_bytes::<U128>(&bytes), value);
    }
}
