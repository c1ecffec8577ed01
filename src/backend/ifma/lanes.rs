//! Eight residues side by side: limb j of all of them in one register.

use core::arch::x86_64::{__m512i, _mm512_load_si512, _mm512_store_si512};

use crypto_bigint::Word;
use zeroize::Zeroize;

use crate::residue::{self, Limbs, Modulus, Pair};

/// Residues in a register, one a lane.
pub(super) const LANES: usize = 8;

/// Bits of a limb: what the processor multiplies.
pub(super) const LIMB_BITS: u32 = 52;

pub(super) const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;

/// [`LIMB_MASK`] as intrinsics want it.
pub(super) const LIMB_MASK_I64: i64 = (1 << LIMB_BITS) - 1;

/// One limb of eight numbers.
#[derive(Clone, Copy, Default, Zeroize)]
#[repr(C, align(64))]
pub(super) struct Limb(pub(super) [u64; LANES]);

impl Limb {
    /// The same in every lane.
    pub(super) const fn splat(limb: u64) -> Self {
        Self([limb; LANES])
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn load(&self) -> __m512i {
        // SAFETY: the pointer is to 64 bytes of initialised memory, aligned to 64 by the type's `repr`.
        unsafe { _mm512_load_si512(self.0.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn store(&mut self, value: __m512i) {
        // SAFETY: the pointer is to 64 bytes that are borrowed mutably, aligned to 64 by the type's `repr`.
        unsafe { _mm512_store_si512(self.0.as_mut_ptr().cast(), value) }
    }
}

/// Eight pairs of numbers below 2n, of K limbs each.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes<const K: usize> {
    pub(super) lo: [Limb; K],
    pub(super) hi: [Limb; K],
}

impl<const K: usize> Default for Lanes<K> {
    fn default() -> Self {
        Self { lo: [Limb::default(); K], hi: [Limb::default(); K] }
    }
}

impl<const K: usize> Zeroize for Lanes<K> {
    fn zeroize(&mut self) {
        self.lo.zeroize();
        self.hi.zeroize();
    }
}

impl<const K: usize> Lanes<K> {
    /// The same pair in every lane.
    pub(super) fn splat<U: Limbs>(pair: &Pair<U>) -> Self {
        let mut lanes = Self::default();
        for lane in 0..LANES {
            lanes.set(lane, pair);
        }
        lanes
    }

    /// Up to eight pairs; missing ones are one, so that every lane holds a unit.
    pub(super) fn load<U: Limbs>(pairs: &[Pair<U>]) -> Self {
        let mut lanes = Self::default();
        let one = Pair::one();
        for lane in 0..LANES {
            lanes.set(lane, pairs.get(lane).unwrap_or(&one));
        }
        lanes
    }

    pub(super) fn set<U: Limbs>(&mut self, lane: usize, pair: &Pair<U>) {
        set_lane(&mut self.lo, lane, &pair.lo);
        set_lane(&mut self.hi, lane, &pair.hi);
    }

    /// The pair in a lane, both digits brought below n.
    pub(super) fn get<U: Limbs>(&self, lane: usize, modulus: &Modulus<U>) -> Pair<U> {
        let (mut lo, mut lo_top) = lane_of(&self.lo, lane);
        let (mut hi, mut hi_top) = lane_of(&self.hi, lane);
        // What is taken from the first digit is one more of the second, which is at most 2n then.
        let taken = residue::conditional_subtract(&mut lo, &mut lo_top, modulus.n());
        hi_top += residue::add_word(&mut hi, taken);
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        Pair::new(lo, hi)
    }
}

/// Cuts a number into limbs.
pub(super) fn set_lane<U: Limbs, const K: usize>(limbs: &mut [Limb; K], lane: usize, value: &U) {
    let words = value.words();
    let word = |i: usize| words.get(i).copied().unwrap_or(0);
    for (j, limb) in limbs.iter_mut().enumerate() {
        let bit = j as u32 * LIMB_BITS;
        let (at, shift) = ((bit / Word::BITS) as usize, bit % Word::BITS);
        let mut value = word(at) >> shift;
        if shift + LIMB_BITS > Word::BITS {
            value |= word(at + 1) << (Word::BITS - shift);
        }
        limb.0[lane] = value & LIMB_MASK;
    }
}

/// Puts a number together from its limbs: its words, and what is beyond them.
pub(super) fn lane_of<U: Limbs, const K: usize>(limbs: &[Limb; K], lane: usize) -> (U, Word) {
    let mut value = U::zero();
    let (mut at, mut buffer, mut bits) = (0, 0u128, 0);
    for limb in limbs {
        buffer |= u128::from(limb.0[lane]) << bits;
        bits += LIMB_BITS;
        if bits >= Word::BITS && at < U::WORDS {
            value.words_mut()[at] = buffer as Word;
            at += 1;
            buffer >>= Word::BITS;
            bits -= Word::BITS;
        }
    }
    (value, buffer as Word)
}
