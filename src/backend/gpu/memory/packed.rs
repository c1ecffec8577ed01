//! Packed form: numbers as little-endian 32-bit words, a pair as its halves one after the other.

use crypto_bigint::Word;

use crate::residue::{Limbs, Pair};

/// The 32 bits of a little-endian number that start at bit `from`; zeros beyond its end.
pub(crate) fn bits_at(words: &[Word], from: u32) -> u32 {
    let (word, shift) = ((from / Word::BITS) as usize, from % Word::BITS);
    let at = |word: usize| words.get(word).map_or(0, |word| u128::from(*word));
    ((at(word) | at(word + 1) << Word::BITS) >> shift) as u32
}

/// Writes the lowest 32-bit words of a number, least significant first.
pub(crate) fn write_words(number: &[Word], out: &mut [u32]) {
    for (out, bit) in out.iter_mut().zip((0..).step_by(32)) {
        *out = bits_at(number, bit);
    }
}

/// Reads a half from 32-bit words.
fn read_half<U: Limbs>(words: &[u32], half: &mut U) {
    const PER_WORD: usize = size_of::<Word>() / size_of::<u32>();
    if cfg!(target_endian = "little") {
        bytemuck::cast_slice_mut(half.words_mut()).copy_from_slice(words);
        return;
    }
    for (word, parts) in half.words_mut().iter_mut().zip(words.chunks_exact(PER_WORD)) {
        *word = parts
            .iter()
            .rev()
            .fold(0, |high, part| high.checked_shl(u32::BITS).unwrap_or(0) | Word::from(*part));
    }
}

/// Writes a pair: its halves, one after the other.
pub(crate) fn write_pair<U: Limbs>(pair: &Pair<U>, out: &mut [u32]) {
    let (lo, hi) = out.split_at_mut(out.len() / 2);
    write_words(pair.lo.words(), lo);
    write_words(pair.hi.words(), hi);
}

/// Reads a pair into `pair`.
pub(crate) fn read_pair<U: Limbs>(words: &[u32], pair: &mut Pair<U>) {
    let (lo, hi) = words.split_at(words.len() / 2);
    read_half(lo, &mut pair.lo);
    read_half(hi, &mut pair.hi);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_bigint::U512;

    #[test]
    fn writing_and_reading_words_restores_the_number() {
        let value = U512::from_be_hex(concat!(
            "f0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
            "10fedcba9876543210fedcba9876543210fedcba9876543210fedcba98765432"
        ));
        let mut words = [0; 16];
        write_words(value.words(), &mut words);
        assert_eq!((words[0], words[15]), (0x9876_5432, 0xf012_3456));
        let mut read = U512::ZERO;
        read_half(&words, &mut read);
        assert_eq!(read, value);
        let pair = Pair::new(value, value.shr_vartime(3));
        let mut words = [0; 32];
        write_pair(&pair, &mut words);
        let mut read = Pair::new(U512::ONE, U512::ONE);
        read_pair(&words, &mut read);
        assert!(read == pair);
    }
}
