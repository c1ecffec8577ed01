//! Residues side by side: limb j of all of them in one register.

use crypto_bigint::Word;
use zeroize::Zeroize;

use crate::residue::{self, Limbs, Modulus, Pair};

/// One limb of as many numbers as a register has lanes.
pub(super) trait Limb: Copy + Default + Zeroize + Send + Sync + 'static {
    /// Numbers in a register.
    const LANES: usize;
    /// Bits of a limb: what the processor multiplies.
    const BITS: u32;
    const MASK: u64 = (1 << Self::BITS) - 1;

    fn lanes(&self) -> &[u64];

    fn lanes_mut(&mut self) -> &mut [u64];
}

/// As many pairs as a register has lanes, of K limbs a digit.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes<L, const K: usize> {
    pub(super) lo: [L; K],
    pub(super) hi: [L; K],
}

impl<L: Limb, const K: usize> Default for Lanes<L, K> {
    fn default() -> Self {
        Self { lo: [L::default(); K], hi: [L::default(); K] }
    }
}

impl<L: Limb, const K: usize> Zeroize for Lanes<L, K> {
    fn zeroize(&mut self) {
        self.lo.zeroize();
        self.hi.zeroize();
    }
}

impl<L: Limb, const K: usize> Lanes<L, K> {
    /// The first digit for 0, the second for 1.
    #[inline]
    pub(super) fn digit(&self, which: usize) -> &[L; K] {
        [&self.lo, &self.hi][which]
    }

    /// As [`digit`](Self::digit), to write to.
    #[inline]
    pub(super) fn digit_mut(&mut self, which: usize) -> &mut [L; K] {
        if which == 0 { &mut self.lo } else { &mut self.hi }
    }

    /// One in every lane.
    pub(super) fn one() -> Self {
        let mut one = Self::default();
        one.lo[0].lanes_mut().fill(1);
        one
    }

    /// A pair for every lane.
    pub(super) fn from_fn<'a, U: Limbs>(pair: impl Fn(usize) -> &'a Pair<U>) -> Self {
        let mut lanes = Self::default();
        for lane in 0..L::LANES {
            let pair = pair(lane);
            cut(&pair.lo, lane, &mut lanes.lo);
            cut(&pair.hi, lane, &mut lanes.hi);
        }
        lanes
    }

    /// As many pairs as there are lanes, or fewer; missing ones are one, so that every lane holds a unit.
    pub(super) fn load<U: Limbs>(pairs: &[Pair<U>]) -> Self {
        let one = Pair::one();
        Self::from_fn(|lane| pairs.get(lane).unwrap_or(&one))
    }

    /// The pair in a lane, both digits brought below n.
    pub(super) fn get<U: Limbs>(&self, lane: usize, modulus: &Modulus<U>) -> Pair<U> {
        let (mut lo, mut lo_top) = put_together(&self.lo, lane);
        let (mut hi, mut hi_top) = put_together(&self.hi, lane);
        // What is taken from the first digit is one more of the second, which is at most 2n then.
        let taken = residue::conditional_subtract(&mut lo, &mut lo_top, modulus.n());
        hi_top += residue::add_word(&mut hi, taken);
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        Pair::new(lo, hi)
    }

    /// Adds residues whose digits are below n, as this one's are: both sums are below 2n.
    pub(super) fn add(&mut self, other: &Self) {
        for (digit, other) in [(&mut self.lo, &other.lo), (&mut self.hi, &other.hi)] {
            for lane in 0..L::LANES {
                let mut carry = 0;
                for (limb, other) in digit.iter_mut().zip(other) {
                    let limb = &mut limb.lanes_mut()[lane];
                    let sum = *limb + other.lanes()[lane] + carry;
                    *limb = sum & L::MASK;
                    carry = sum >> L::BITS;
                }
            }
        }
    }

    /// Brings both digits below n.
    pub(super) fn reduce(&mut self, n: &[L; K]) {
        for lane in 0..L::LANES {
            let mut carry = conditional_subtract(&mut self.lo, n, lane);
            for limb in &mut self.hi {
                let sum = limb.lanes()[lane] + carry;
                limb.lanes_mut()[lane] = sum & L::MASK;
                carry = sum >> L::BITS;
            }
            // What was taken from the first digit makes the second at most 2n.
            conditional_subtract(&mut self.hi, n, lane);
            conditional_subtract(&mut self.hi, n, lane);
        }
    }
}

/// Takes n from a number that is not below it, and tells how often (0 or 1).
fn conditional_subtract<L: Limb, const K: usize>(number: &mut [L; K], n: &[L; K], lane: usize) -> u64 {
    // A limb less another less a borrow is negative, as a number of 64 bits, exactly if it borrows.
    let mut borrow = 0;
    for (limb, n) in number.iter().zip(n) {
        borrow = limb.lanes()[lane].wrapping_sub(n.lanes()[lane]).wrapping_sub(borrow) >> 63;
    }
    let mask = core::hint::black_box(borrow).wrapping_sub(1);
    let mut borrow = 0;
    for (limb, n) in number.iter_mut().zip(n) {
        let limb = &mut limb.lanes_mut()[lane];
        let difference = limb.wrapping_sub(n.lanes()[lane] & mask).wrapping_sub(borrow);
        *limb = difference & L::MASK;
        borrow = difference >> 63;
    }
    mask & 1
}

/// Where limb `i` lies in the words of a U: the byte from which to read 64 bits, and how many of these come before it.
///
/// Limbs of 28 and of 52 bits begin at half bytes, so that at most 4 bits come before and the limb is among the 64; only
/// towards the end, where reading starts from the last word, there are more, and nothing follows.
#[inline]
pub(super) fn place<L: Limb, U: Limbs>(i: usize) -> (usize, u32) {
    let bit = i as u32 * L::BITS;
    let byte = (bit / 8).min((U::WORDS as u32 - 1) * Word::BITS / 8);
    (byte as usize, bit - 8 * byte)
}

/// 64 bits of a little-endian number from a byte on.
#[inline]
pub(super) fn read(words: &[Word], byte: usize) -> u64 {
    assert!(byte + 8 <= size_of_val(words), "reads stay inside the number");
    // SAFETY: these are 8 bytes inside of `words`, and all are initialised; x86-64 has its words in little-endian order.
    unsafe { words.as_ptr().cast::<u8>().add(byte).cast::<u64>().read_unaligned() }
}

/// Cuts a number into the limbs of a lane.
pub(super) fn cut<L: Limb, U: Limbs>(value: &U, lane: usize, limbs: &mut [L]) {
    for (i, limb) in limbs.iter_mut().enumerate() {
        let (byte, shift) = place::<L, U>(i);
        limb.lanes_mut()[lane] = (read(value.words(), byte) >> shift) & L::MASK;
    }
}

/// Puts a number together from the limbs of a lane: its words, and what is beyond them.
fn put_together<L: Limb, U: Limbs>(limbs: &[L], lane: usize) -> (U, Word) {
    let mut value = U::zero();
    let (mut at, mut buffer, mut bits) = (0, 0u128, 0);
    for limb in limbs {
        buffer |= u128::from(limb.lanes()[lane]) << bits;
        bits += L::BITS;
        if bits >= Word::BITS && at < U::WORDS {
            value.words_mut()[at] = buffer as Word;
            at += 1;
            buffer >>= Word::BITS;
            bits -= Word::BITS;
        }
    }
    (value, buffer as Word)
}
