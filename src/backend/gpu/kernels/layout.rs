//! The layout of a residue in a group of lanes.

use core::fmt;

use crypto_bigint::Word;

use crate::{
    backend::gpu::memory::bits_at,
    residue::{self, Limbs, Modulus, Pair},
};

/// Bits of a limb. A sum of 3·[`MAX_LIMBS`] products of two limbs and the carries stays below 2^64
/// (`shaders/lib/product.wgsl`). Limbs of 30 bits would allow only five limbs in a lane.
pub(crate) const LIMB_BITS: u32 = 29;

/// Maximum limbs in a lane.
const MAX_LIMBS: u32 = 21;

const LIMB_MASK: u32 = (1 << LIMB_BITS) - 1;

/// The layout of residues modulo n² on a GPU. Several lanes share each half, and each lane has some
/// of its 29-bit limbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneLayout {
    /// Bits of a half on the host.
    pub(crate) bits: u32,
    /// Invocations that share a residue; a power of two.
    pub(crate) lanes: u32,
    /// Limbs of a half in each lane.
    pub(crate) limbs: u32,
}

impl LaneLayout {
    /// The layout of most cards for an n of `bits` bits, with R ≥ 16n, unless
    /// [`Options`](crate::backend::gpu::Options) say otherwise.
    /// [`AdapterReport::layout`](crate::backend::gpu::AdapterReport::layout) gives the layout of
    /// one adapter.
    ///
    /// A lane has nine limbs for 256 bits, or fourteen for sizes that are a multiple of 384. The
    /// sums, which are twice as wide, and three operands then stay in registers. GPUs have at most
    /// 255 registers for a lane.
    ///
    /// # Panics
    ///
    /// If `bits` is not a multiple of 32, or zero.
    pub fn new(bits: u32) -> Self {
        let lanes = match bits {
            0..=256 => 1,
            257..=512 => 2,
            513..=1536 => 4,
            1537..=3072 => 8,
            _ => 16,
        };
        Self::with_lanes(bits, lanes)
    }

    /// A layout with another number of lanes. There are fewer lanes than asked for if each would
    /// have less than two limbs, and more if each would have too many.
    ///
    /// # Panics
    ///
    /// If `bits` is not a multiple of 32, or zero, or `lanes` is not a power of two.
    pub fn with_lanes(bits: u32, lanes: u32) -> Self {
        assert!(bits > 0 && bits.is_multiple_of(32), "the bits of n are a multiple of 32");
        assert!(lanes.is_power_of_two(), "the number of lanes is a power of two");
        let mut lanes = lanes;
        let limbs = |lanes: u32| (bits + 4).div_ceil(LIMB_BITS * lanes);
        // The carry out of a lane goes into two limbs of the next lane (`carry_sums` in the
        // shader).
        while limbs(lanes) < 2 {
            lanes /= 2;
        }
        while limbs(lanes) > MAX_LIMBS {
            lanes *= 2;
        }
        Self { bits, lanes, limbs: limbs(lanes) }
    }

    /// Invocations that share a residue.
    pub fn lanes(self) -> u32 {
        self.lanes
    }

    /// Limbs of a half in each lane.
    pub fn limbs(self) -> u32 {
        self.limbs
    }

    /// Wide multiply-adds (32 by 32 bits to 64) of one product modulo n²: five for each pair of
    /// limbs of its halves.
    pub fn multiply_adds(self) -> u64 {
        let limbs = self.half_limbs() as u64;
        5 * limbs * limbs
    }

    /// Limbs of a half in all lanes. R is 2 to the power of 29 times this number.
    pub(crate) fn half_limbs(self) -> usize {
        (self.lanes * self.limbs) as usize
    }

    /// 32-bit words of a half on the host.
    pub(crate) fn half_words(self) -> usize {
        (self.bits / 32) as usize
    }

    /// Maximum 32-bit words of a half that a lane's limbs touch, for any start bit in the first
    /// word; and one more.
    pub(crate) fn lane_words(self) -> u32 {
        (self.limbs * LIMB_BITS + 62) / 32 + 1
    }

    /// The number of these words that are within the half for every lane.
    pub(crate) fn lane_words_in_half(self) -> u32 {
        (self.bits / 32).saturating_sub((self.lanes - 1) * self.limbs * LIMB_BITS / 32).min(self.lane_words())
    }

    /// 32-bit words of a packed pair.
    pub(crate) fn packed_words(self) -> usize {
        2 * self.half_words()
    }

    /// 32-bit words of a loose pair.
    pub(crate) fn loose_words(self) -> usize {
        2 * self.half_limbs()
    }

    /// `R^exponent mod n²` for this layout's R.
    pub(crate) fn power_of_r<U: Limbs>(self, modulus: &Modulus<U>, exponent: u64) -> Pair<U> {
        let two = modulus.add(modulus.one_mont(), modulus.one_mont());
        let r_bits = u64::from(LIMB_BITS) * self.half_limbs() as u64;
        let r = modulus.pow(&two, &[r_bits as Word], u64::BITS - r_bits.leading_zeros());
        let words = [exponent as Word, exponent.checked_shr(Word::BITS).unwrap_or(0) as Word];
        modulus.from_mont(&modulus.pow(&r, &words, u64::BITS - exponent.leading_zeros()))
    }

    /// The constants of a modulus, for kernels (`shaders/lib/modulus.wgsl`): n, z = (1 − R) mod n,
    /// −n⁻¹ mod 2^29, and a zero.
    pub(crate) fn modulus_words<U: Limbs>(self, modulus: &Modulus<U>) -> Vec<u32> {
        let mut minus_r = *modulus.n();
        residue::subtract(&mut minus_r, &self.power_of_r(modulus, 1).lo);
        let (z, _) = residue::add_mod(&Pair::<U>::one().lo, &minus_r, modulus.n(), 0);
        let mut words = Vec::with_capacity(2 * self.half_limbs() + 2);
        self.split_limbs(modulus.n(), &mut words);
        self.split_limbs(&z, &mut words);
        words.extend([modulus.negated_inverse() as u32 & LIMB_MASK, 0]);
        zeroize::Zeroize::zeroize(&mut minus_r);
        words
    }

    /// A pair in loose form.
    pub(crate) fn loose<U: Limbs>(self, pair: &Pair<U>) -> Vec<u32> {
        let mut words = Vec::with_capacity(self.loose_words());
        self.split_limbs(&pair.lo, &mut words);
        self.split_limbs(&pair.hi, &mut words);
        words
    }

    fn split_limbs<U: Limbs>(self, half: &U, words: &mut Vec<u32>) {
        for limb in 0..self.half_limbs() as u32 {
            words.push(bits_at(half.words(), limb * LIMB_BITS) & LIMB_MASK);
        }
    }

    /// A loose pair, reduced.
    pub(crate) fn reduced<U: Limbs>(self, limbs: &[u32], n: &U) -> Pair<U> {
        let (lo, hi) = limbs.split_at(self.half_limbs());
        let (lo, off) = join_limbs(lo, n, 0);
        // Each n subtracted from the first half adds one to the second.
        let (hi, _) = join_limbs(hi, n, off);
        Pair::new(lo, hi)
    }
}

impl fmt::Display for LaneLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} lanes of {} limbs", self.lanes, self.limbs))
    }
}

/// Joins limbs with pending carries, adds `more`, and reduces the sum, which is below 2n, below n.
/// Also returns how often n was subtracted.
fn join_limbs<U: Limbs>(limbs: &[u32], n: &U, more: Word) -> (U, Word) {
    let mut half = U::zero();
    let (mut sum, mut sum_bits, mut word) = (u128::from(more), 0, 0);
    for limb in limbs {
        // Higher bits are zero.
        sum += u128::from(*limb).checked_shl(sum_bits).unwrap_or(0);
        sum_bits += LIMB_BITS;
        while sum_bits >= Word::BITS && word < U::WORDS {
            half.words_mut()[word] = sum as Word;
            word += 1;
            sum >>= Word::BITS;
            sum_bits -= Word::BITS;
        }
    }
    // At most one bit is left, because 2n has one bit more than n.
    let off = residue::conditional_subtract(&mut half, &mut (sum as Word), n);
    (half, off)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_bigint::U512;

    #[test]
    fn every_size_has_r_of_sixteen_n_and_sums_that_fit() {
        let sizes = [256, 512, 1024, 1536, 2048, 3072, 4096];
        let tried =
            sizes.iter().flat_map(|bits| [4, 8, 16, 32].map(|lanes| LaneLayout::with_lanes(*bits, lanes)));
        for layout in sizes.map(LaneLayout::new).into_iter().chain(tried) {
            let bits = layout.bits;
            assert!(LIMB_BITS * layout.lanes * layout.limbs >= bits + 4, "{layout:?}");
            // For each limb of a lane: one step with three products of limbs below 2^29 + 2^8. In
            // addition: the carry from the next lower sum, the 29 bits from the lane above, z, and
            // the one's complement of a digit.
            let limb = (1_u128 << LIMB_BITS) + (1 << 8);
            let sum = 3 * u128::from(layout.limbs) * limb * limb + (1 << (64 - LIMB_BITS)) + (3 << LIMB_BITS);
            assert!(sum < 1 << 64, "{layout:?}");
        }
    }

    // After the last carry into the next lane, its second limb is below 2^29 + 2^8.
    const _: () = assert!(((1_u64 << LIMB_BITS) + (1 << (64 - LIMB_BITS))) >> LIMB_BITS < 1 << 8);

    #[test]
    fn limbs_give_the_number_back() {
        let layout = LaneLayout::new(512);
        let n = U512::MAX;
        let value = U512::from_be_hex(concat!(
            "f0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
            "10fedcba9876543210fedcba9876543210fedcba9876543210fedcba98765432"
        ));
        let pair = Pair::new(value, value.shr_vartime(3));
        let mut limbs = layout.loose(&pair);
        assert!(layout.reduced(&limbs, &n) == pair);
        // A pending carry.
        limbs[1] += 1 << LIMB_BITS;
        limbs[2] -= 1;
        assert!(layout.reduced(&limbs, &n) == pair);
        // A first half above n adds one to the second half.
        let above = value.wrapping_add(&U512::ONE);
        let limbs = layout.loose(&Pair::new(n, U512::ZERO));
        assert!(layout.reduced(&limbs, &above) == Pair::new(n.wrapping_sub(&above), U512::ONE));
    }
}
