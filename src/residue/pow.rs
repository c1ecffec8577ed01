//! Exponentiation with fixed windows. The time depends on the exponent's stated length and on sizes
//! alone.

use crypto_bigint::Word;
use zeroize::Zeroizing;

use super::{
    limbs::Limbs,
    modulus::{Modulus, Pair},
};

impl<U: Limbs> Modulus<U> {
    /// `base^exponent` in Montgomery form, for a base in Montgomery form.
    ///
    /// The exponent is little-endian. Always reads its lowest `bits` bits, and every window reads
    /// the whole table. The time depends only on `bits` and the modulus' width.
    pub fn pow(&self, base_mont: &Pair<U>, exponent: &[Word], bits: u32) -> Pair<U> {
        let window = window_bits(bits);
        let mut table = Zeroizing::new(vec![*self.one_mont(); 1 << window]);
        for i in 1..table.len() {
            // Even powers by squaring, which is cheaper.
            table[i] =
                if i % 2 == 0 { self.square(&table[i / 2]) } else { self.mul(&table[i - 1], base_mont) };
        }
        let mut result = *self.one_mont();
        for position in (0..bits.div_ceil(window)).rev() {
            if position + 1 < bits.div_ceil(window) {
                for _ in 0..window {
                    result = self.square(&result);
                }
            }
            let from = position * window;
            let digit = digit(exponent, from, window.min(bits - from));
            result = if position + 1 < bits.div_ceil(window) {
                self.mul(&result, &select(&table, digit))
            } else {
                select(&table, digit)
            };
        }
        result
    }
}

/// Window width with the minimum number of products for an exponent of `bits` bits: 2^w − 2 for the
/// table, and one for each window.
pub(crate) fn window_bits(bits: u32) -> u32 {
    (1..=6).min_by_key(|w| (1 << w) + bits.div_ceil(*w)).expect("the range is not empty")
}

/// Bits `from..from + count` of a little-endian number; zero beyond its end. `count` ≤ 8.
#[inline(always)]
pub(crate) fn digit(exponent: &[Word], from: u32, count: u32) -> Word {
    let (word, shift) = ((from / Word::BITS) as usize, from % Word::BITS);
    let mut value = exponent.get(word).map_or(0, |low| low >> shift);
    if shift + count > Word::BITS {
        value |= exponent.get(word + 1).map_or(0, |high| high << (Word::BITS - shift));
    }
    value & ((1 << count) - 1)
}

/// `table[index]`, reading every entry: neither time nor addresses depend on the index.
#[inline(always)]
pub(super) fn select<U: Limbs>(table: &[Pair<U>], index: Word) -> Pair<U> {
    let (mut lo, mut hi) = (U::zero(), U::zero());
    for (i, entry) in table.iter().enumerate() {
        let mask = equality_mask(i as Word, index);
        for (out, word) in lo.words_mut().iter_mut().zip(entry.lo.words()) {
            *out |= word & mask;
        }
        for (out, word) in hi.words_mut().iter_mut().zip(entry.hi.words()) {
            *out |= word & mask;
        }
    }
    Pair { lo, hi }
}

/// All ones if a = b, else zero. `black_box` hides from the compiler that the mask has only two
/// values, because it could make a branch of them.
#[inline(always)]
fn equality_mask(a: Word, b: Word) -> Word {
    let difference = a ^ b;
    // The top bit of d | −d is set exactly if d ≠ 0.
    let differs = (difference | difference.wrapping_neg()) >> (Word::BITS - 1);
    core::hint::black_box(differs).wrapping_sub(1)
}
