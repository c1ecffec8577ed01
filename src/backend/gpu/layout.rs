//! How a residue lies in a group of lanes.

use crypto_bigint::Word;

use crate::residue::{self, Limbs, Modulus, Pair};

/// Bits of a limb: 3·152 products of two limbs and what is carried stay below 2^63 (`shaders/lib/product.wgsl`).
pub(super) const LIMB_BITS: u32 = 27;

const LIMB_MASK: u32 = (1 << LIMB_BITS) - 1;

/// The shape of a half: so many lanes with so many limbs each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    /// Bits of a half as the host knows it.
    pub(super) bits: u32,
    /// Invocations that share a residue; a power of two.
    pub(super) lanes: u32,
    /// Limbs of a half in each of them.
    pub(super) limbs: u32,
}

impl Layout {
    /// The layout for moduli of `bits` bits, with R ≥ 16n.
    ///
    /// Ten limbs a lane for 256 bits each, fifteen for the sizes that are a multiple of 384 and nineteen for 4096 bits:
    /// four rows of sums and operands then take some 100 to 190 registers.
    pub(super) fn new(bits: u32) -> Self {
        let lanes = match bits {
            0..=256 => 1,
            257..=512 => 2,
            513..=1536 => 4,
            _ => 8,
        };
        Self::with_lanes(bits, lanes)
    }

    /// A layout with another number of lanes, or fewer where they would have less than two limbs each.
    pub(super) fn with_lanes(bits: u32, lanes: u32) -> Self {
        assert!(lanes.is_power_of_two() && bits.is_multiple_of(32));
        let mut lanes = lanes;
        let limbs = |lanes: u32| (bits + 4).div_ceil(LIMB_BITS * lanes);
        while limbs(lanes) < 2 {
            lanes /= 2;
        }
        let limbs = limbs(lanes);
        // What a lane carries out goes into two limbs of the next (`carried` in the shader).
        assert!(lanes * limbs <= 160, "sums stay below 2^63");
        Self { bits, lanes, limbs }
    }

    /// Limbs of a half in all lanes: R is 2^(27·this).
    pub(super) fn half_limbs(self) -> usize {
        (self.lanes * self.limbs) as usize
    }

    /// 32-bit words of a half as the host knows it.
    pub(super) fn half_words(self) -> usize {
        (self.bits / 32) as usize
    }

    /// 32-bit words of a packed pair.
    pub(super) fn packed_words(self) -> usize {
        2 * self.half_words()
    }

    /// 32-bit words of a loose pair.
    pub(super) fn loose_words(self) -> usize {
        2 * self.half_limbs()
    }

    /// `R^exponent mod n²` for this layout's R.
    pub(super) fn power_of_r<U: Limbs>(self, modulus: &Modulus<U>, exponent: u64) -> Pair<U> {
        let two = modulus.add(modulus.one_mont(), modulus.one_mont());
        let r_bits = u64::from(LIMB_BITS) * self.half_limbs() as u64;
        let r = modulus.pow(&two, &[r_bits as Word], u64::BITS - r_bits.leading_zeros());
        let words = [exponent as Word, exponent.checked_shr(Word::BITS).unwrap_or(0) as Word];
        modulus.from_mont(&modulus.pow(&r, &words, u64::BITS - exponent.leading_zeros()))
    }

    /// What the kernels know of a modulus: n, z = (1 − R) mod n, and −n⁻¹ mod 2^27.
    pub(super) fn modulus_words<U: Limbs>(self, modulus: &Modulus<U>) -> Vec<u32> {
        let mut minus_r = *modulus.n();
        residue::subtract(&mut minus_r, &self.power_of_r(modulus, 1).lo);
        let (z, _) = residue::add_mod(&Pair::<U>::one().lo, &minus_r, modulus.n(), 0);
        let mut words = Vec::with_capacity(2 * self.half_limbs() + 1);
        self.push_limbs(modulus.n(), &mut words);
        self.push_limbs(&z, &mut words);
        words.push(modulus.negated_inverse() as u32 & LIMB_MASK);
        zeroize::Zeroize::zeroize(&mut minus_r);
        words
    }

    /// A pair in loose form.
    pub(super) fn loose<U: Limbs>(self, pair: &Pair<U>) -> Vec<u32> {
        let mut words = Vec::with_capacity(self.loose_words());
        self.push_limbs(&pair.lo, &mut words);
        self.push_limbs(&pair.hi, &mut words);
        words
    }

    fn push_limbs<U: Limbs>(self, half: &U, words: &mut Vec<u32>) {
        for limb in 0..self.half_limbs() as u32 {
            words.push(bits_at(half.words(), limb * LIMB_BITS) & LIMB_MASK);
        }
    }

    /// A loose pair, reduced.
    pub(super) fn reduced<U: Limbs>(self, limbs: &[u32], n: &U) -> Pair<U> {
        let (lo, hi) = limbs.split_at(self.half_limbs());
        let (lo, off) = half_from_limbs(lo, n, 0);
        // An n taken off the first half is one in the second.
        let (hi, _) = half_from_limbs(hi, n, off);
        Pair::new(lo, hi)
    }
}

/// The sum of limbs whose carries may be open and `more`, which is below 2n, brought below n; and how often n was taken
/// off.
fn half_from_limbs<U: Limbs>(limbs: &[u32], n: &U, more: Word) -> (U, Word) {
    let mut half = U::zero();
    let (mut sum, mut sum_bits, mut word) = (u128::from(more), 0, 0);
    for limb in limbs {
        // What lies higher than this is zero.
        sum += u128::from(*limb).checked_shl(sum_bits).unwrap_or(0);
        sum_bits += LIMB_BITS;
        while sum_bits >= Word::BITS && word < U::WORDS {
            half.words_mut()[word] = sum as Word;
            word += 1;
            sum >>= Word::BITS;
            sum_bits -= Word::BITS;
        }
    }
    // What is left is one bit at most: 2n has one more than n.
    let off = residue::conditional_subtract(&mut half, &mut (sum as Word), n);
    (half, off)
}

/// 32 bits of a little-endian number from bit `from` on; zeros beyond its end.
fn bits_at(words: &[Word], from: u32) -> u32 {
    let (word, shift) = ((from / Word::BITS) as usize, from % Word::BITS);
    let at = |word: usize| words.get(word).map_or(0, |word| u128::from(*word));
    ((at(word) | at(word + 1) << Word::BITS) >> shift) as u32
}

/// Writes a half as 32-bit words, least significant first.
pub(super) fn write_half<U: Limbs>(half: &U, out: &mut [u32]) {
    const PER_WORD: usize = size_of::<Word>() / size_of::<u32>();
    for (out, word) in out.chunks_exact_mut(PER_WORD).zip(half.words()) {
        let mut word = *word;
        for out in out {
            *out = word as u32;
            word = word.checked_shr(u32::BITS).unwrap_or(0);
        }
    }
}

/// Reads a half from 32-bit words.
pub(super) fn read_half<U: Limbs>(words: &[u32]) -> U {
    const PER_WORD: usize = size_of::<Word>() / size_of::<u32>();
    let mut half = U::zero();
    for (word, parts) in half.words_mut().iter_mut().zip(words.chunks_exact(PER_WORD)) {
        *word = parts
            .iter()
            .rev()
            .fold(0, |high, part| high.checked_shl(u32::BITS).unwrap_or(0) | Word::from(*part));
    }
    half
}

/// Writes a pair: its halves, one after the other.
pub(super) fn write_pair<U: Limbs>(pair: &Pair<U>, out: &mut [u32]) {
    let (lo, hi) = out.split_at_mut(out.len() / 2);
    write_half(&pair.lo, lo);
    write_half(&pair.hi, hi);
}

/// Reads a pair.
pub(super) fn read_pair<U: Limbs>(words: &[u32]) -> Pair<U> {
    let (lo, hi) = words.split_at(words.len() / 2);
    Pair::new(read_half(lo), read_half(hi))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_bigint::U512;

    #[test]
    fn every_size_has_r_of_sixteen_n_and_sums_that_fit() {
        let sizes = [256, 512, 1024, 1536, 2048, 3072, 4096];
        let tried =
            sizes.iter().flat_map(|bits| [4, 8, 16, 32].map(|lanes| Layout::with_lanes(*bits, lanes)));
        for layout in sizes.map(Layout::new).into_iter().chain(tried) {
            let bits = layout.bits;
            assert!(LIMB_BITS * layout.lanes * layout.limbs >= bits + 4, "{layout:?}");
            // Three products of limbs below 2^27 + 2^11 a step, and all that is carried.
            let limb = (1_u128 << LIMB_BITS) + (1 << 11);
            let sum = 3 * layout.half_limbs() as u128 * limb * limb + (1 << 38);
            assert!(sum < 1 << 63, "{layout:?}");
        }
    }

    #[test]
    fn limbs_and_words_give_the_number_back() {
        let layout = Layout::new(512);
        let n = U512::MAX;
        let value = U512::from_be_hex(concat!(
            "f0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
            "10fedcba9876543210fedcba9876543210fedcba9876543210fedcba98765432"
        ));
        let mut words = [0; 16];
        write_half(&value, &mut words);
        assert_eq!(read_half::<U512>(&words), value);
        let pair = Pair::new(value, value.shr_vartime(3));
        let mut limbs = layout.loose(&pair);
        assert!(layout.reduced(&limbs, &n) == pair);
        // An open carry.
        limbs[1] += 1 << LIMB_BITS;
        limbs[2] -= 1;
        assert!(layout.reduced(&limbs, &n) == pair);
        // n above n: one more in the second half.
        let above = value.wrapping_add(&U512::ONE);
        let limbs = layout.loose(&Pair::new(n, U512::ZERO));
        assert!(layout.reduced(&limbs, &above) == Pair::new(n.wrapping_sub(&above), U512::ONE));
    }
}
