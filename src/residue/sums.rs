//! Sums and differences of single numbers modulo n.

use crypto_bigint::{WideWord, Word};

use super::{limbs::Limbs, words::subtract_with_borrow};

/// Subtracts n from `value + top·R` if that leaves no negative number; returns 1 if it did, else 0.
#[inline(always)]
pub(crate) fn conditional_subtract<U: Limbs>(value: &mut U, top: &mut Word, n: &U) -> Word {
    value.conditional_subtract(top, n)
}

/// `a − b` for b ≤ a; wraps otherwise.
pub(crate) fn subtract<U: Limbs>(a: &mut U, b: &U) {
    let mut borrow = 0;
    for (word, other) in a.words_mut().iter_mut().zip(b.words()) {
        (*word, borrow) = subtract_with_borrow(*word, *other, borrow);
    }
}

/// `2a + carry mod n` and the quotient: 1 if n was subtracted. For a < n and carry ≤ 1; then
/// `2a + carry < 2n`, because a ≤ n − 1.
pub(super) fn double_mod<U: Limbs>(a: &U, n: &U, carry: Word) -> (U, Word) {
    let (mut value, mut top) = (*a, carry);
    for word in value.words_mut() {
        let out = *word >> (Word::BITS - 1);
        *word = (*word << 1) | top;
        top = out;
    }
    let subtracted = conditional_subtract(&mut value, &mut top, n);
    (value, subtracted)
}

/// `a + b + carry mod n` and 1 if n was subtracted; for a, b < n and carry ≤ 1.
pub(crate) fn add_mod<U: Limbs>(a: &U, b: &U, n: &U, carry: Word) -> (U, Word) {
    let (mut value, mut top) = (*a, carry);
    for (word, other) in value.words_mut().iter_mut().zip(b.words()) {
        let sum = WideWord::from(*word) + WideWord::from(*other) + WideWord::from(top);
        *word = sum as Word;
        top = (sum >> Word::BITS) as Word;
    }
    let subtracted = conditional_subtract(&mut value, &mut top, n);
    (value, subtracted)
}
