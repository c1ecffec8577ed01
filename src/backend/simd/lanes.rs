//! Residues in lanes: one register holds limb j of all of them.

use core::{
    hint::black_box,
    ops::{Deref, DerefMut},
};

use crypto_bigint::Word;
use zeroize::Zeroize;

use crate::residue::{self, Limbs, Modulus, Pair};

/// A register: one limb of one number in each lane.
pub(super) trait Limb: Copy + Default + Zeroize + Send + Sync + 'static {
    /// Lanes of a register.
    const LANES: usize;
    /// Bits of a limb, the width of the processor's multiplication.
    const BITS: u32;
    const MASK: u64 = (1 << Self::BITS) - 1;

    fn lanes(&self) -> &[u64];

    fn lanes_mut(&mut self) -> &mut [u64];
}

/// The same limb of both digits of one pair in each lane.
#[derive(Clone, Copy, Default, Zeroize)]
#[repr(C)]
pub(super) struct Digits<L: Limb> {
    pub(super) lo: L,
    pub(super) hi: L,
}

/// One pair in each lane, with K limbs for each digit.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes<L: Limb, const K: usize>([Digits<L>; K]);

impl<L: Limb, const K: usize> Default for Lanes<L, K> {
    fn default() -> Self {
        Self([Digits::default(); K])
    }
}

impl<L: Limb, const K: usize> Deref for Lanes<L, K> {
    type Target = [Digits<L>; K];

    #[inline]
    fn deref(&self) -> &[Digits<L>; K] {
        &self.0
    }
}

impl<L: Limb, const K: usize> DerefMut for Lanes<L, K> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Digits<L>; K] {
        &mut self.0
    }
}

impl<L: Limb, const K: usize> Zeroize for Lanes<L, K> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<L: Limb, const K: usize> Lanes<L, K> {
    /// One in every lane.
    pub(super) fn one() -> Self {
        let mut one = Self::default();
        one[0].lo.lanes_mut().fill(1);
        one
    }

    /// A pair for every lane.
    pub(super) fn from_fn<'a, U: Limbs>(pair: impl Fn(usize) -> &'a Pair<U>) -> Self {
        let mut lanes = Self::default();
        for lane in 0..L::LANES {
            let pair = pair(lane);
            lanes.set(lane, [split_limbs::<L, U, K>(&pair.lo), split_limbs::<L, U, K>(&pair.hi)]);
        }
        lanes
    }

    /// At most one pair for each lane. Missing pairs are one, so that every lane holds a unit.
    pub(super) fn load<U: Limbs>(pairs: &[Pair<U>]) -> Self {
        let one = Pair::one();
        Self::from_fn(|lane| pairs.get(lane).unwrap_or(&one))
    }

    /// The limbs of both digits in a lane.
    pub(super) fn get(&self, lane: usize) -> [[u64; K]; 2] {
        [
            self.0.each_ref().map(|limb| limb.lo.lanes()[lane]),
            self.0.each_ref().map(|limb| limb.hi.lanes()[lane]),
        ]
    }

    /// Sets the limbs of both digits in a lane.
    pub(super) fn set(&mut self, lane: usize, [lo, hi]: [[u64; K]; 2]) {
        for ((limb, lo), hi) in self.0.iter_mut().zip(lo).zip(hi) {
            limb.lo.lanes_mut()[lane] = lo;
            limb.hi.lanes_mut()[lane] = hi;
        }
    }

    /// The pair in a lane, with both digits reduced below n.
    pub(super) fn pair<U: Limbs>(&self, lane: usize, modulus: &Modulus<U>) -> Pair<U> {
        let [lo, hi] = self.get(lane);
        let ((mut lo, mut lo_top), (mut hi, mut hi_top)) = (join_limbs::<L, U>(&lo), join_limbs::<L, U>(&hi));
        // Subtracting n from the first digit adds one to the second, which is then at most 2n.
        let subtracted = residue::conditional_subtract(&mut lo, &mut lo_top, modulus.n());
        hi_top += add_word(&mut hi, subtracted);
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        Pair::new(lo, hi)
    }

    /// Adds residues. All digits must be below n; both sums are below 2n.
    pub(super) fn add(&mut self, other: &Self) {
        for lane in 0..L::LANES {
            let [mut lo, mut hi] = self.get(lane);
            let [other_lo, other_hi] = other.get(lane);
            for (digit, other) in [(&mut lo, other_lo), (&mut hi, other_hi)] {
                digit.iter_mut().zip(other).for_each(|(limb, other)| *limb += other);
                carry::<L, K>(digit);
            }
            self.set(lane, [lo, hi]);
        }
    }

    /// Reduces both digits below n, for moduli that alternate in the lanes.
    pub(super) fn reduce(&mut self, n: &[[u64; 2]; K]) {
        for lane in 0..L::LANES {
            let n = n.map(|limbs| limbs[lane % 2]);
            let [mut lo, mut hi] = self.get(lane);
            // Subtracting n from the first digit adds one to the second, which is then at most 2n.
            hi[0] += conditional_subtract::<L, K>(&mut lo, &n);
            carry::<L, K>(&mut hi);
            conditional_subtract::<L, K>(&mut hi, &n);
            conditional_subtract::<L, K>(&mut hi, &n);
            self.set(lane, [lo, hi]);
        }
    }
}

/// Propagates carries, so that all limbs have their normal width.
fn carry<L: Limb, const K: usize>(number: &mut [u64; K]) {
    let mut carry = 0;
    for limb in number {
        let sum = *limb + carry;
        *limb = sum & L::MASK;
        carry = sum >> L::BITS;
    }
}

/// Subtracts n from a number that is not below n, and returns how often (0 or 1).
fn conditional_subtract<L: Limb, const K: usize>(number: &mut [u64; K], n: &[u64; K]) -> u64 {
    // A limb minus another minus a borrow is negative as a 64-bit number exactly if it borrows.
    let mut borrow = 0;
    for (limb, n) in number.iter().zip(n) {
        borrow = limb.wrapping_sub(*n).wrapping_sub(borrow) >> 63;
    }
    let mask = black_box(borrow).wrapping_sub(1);
    let mut borrow = 0;
    for (limb, n) in number.iter_mut().zip(n) {
        let difference = limb.wrapping_sub(n & mask).wrapping_sub(borrow);
        *limb = difference & L::MASK;
        borrow = difference >> 63;
    }
    mask & 1
}

/// The position of limb `i` in the words of a U: the byte from which to read 64 bits, and the
/// number of these bits before the limb.
///
/// Limbs of 28 and of 52 bits begin at half bytes: at most 4 bits come before the limb, and the 64
/// bits contain it. Near the end, reading starts at the last word. There more bits come before the
/// limb, and none follow.
#[inline]
pub(super) fn limb_position<L: Limb, U: Limbs>(i: usize) -> (usize, u32) {
    let bit = i as u32 * L::BITS;
    let byte = (bit / 8).min((U::WORDS as u32 - 1) * Word::BITS / 8);
    (byte as usize, bit - 8 * byte)
}

/// 64 bits of a little-endian number, starting at a byte.
#[inline]
pub(super) fn read(words: &[Word], byte: usize) -> u64 {
    assert!(byte + 8 <= size_of_val(words), "reads stay inside the number");
    // SAFETY: these are 8 bytes inside `words`, and all are initialised; x86-64 has its words in
    // little-endian order.
    unsafe { words.as_ptr().cast::<u8>().add(byte).cast::<u64>().read_unaligned() }
}

/// Splits a number into limbs.
pub(super) fn split_limbs<L: Limb, U: Limbs, const K: usize>(value: &U) -> [u64; K] {
    core::array::from_fn(|i| {
        let (byte, shift) = limb_position::<L, U>(i);
        (read(value.words(), byte) >> shift) & L::MASK
    })
}

/// Joins limbs to a number. Returns its words and the excess beyond them.
fn join_limbs<L: Limb, U: Limbs>(limbs: &[u64]) -> (U, Word) {
    let mut value = U::zero();
    let (mut at, mut buffer, mut bits) = (0, 0u128, 0);
    for limb in limbs {
        buffer |= u128::from(*limb) << bits;
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

/// Adds a word, and returns the carry: 0 or 1.
fn add_word<U: Limbs>(value: &mut U, word: Word) -> Word {
    let mut carry = word;
    for digit in value.words_mut() {
        let (sum, over) = digit.overflowing_add(carry);
        *digit = sum;
        carry = Word::from(over);
    }
    carry
}

/// Limbs of residues in words, one for each lane, for a kernel that uses them row by row.
///
/// Scalar instructions read them some rows ahead, in parallel with the vector multiplications.
/// Converting a batch to lanes therefore costs almost nothing.
pub(super) struct Words<'a, L: Limb, U: Limbs> {
    pairs: &'a [Pair<U>],
    ahead: [Digits<L>; 2 * AHEAD],
}

/// Rows between reading a limb and using it. The narrow stores of reading must finish before the
/// wide load of using, and a kernel may process two rows at once.
const AHEAD: usize = 2;

impl<'a, L: Limb, U: Limbs> Words<'a, L, U> {
    #[inline]
    pub(super) fn new(pairs: &'a [Pair<U>]) -> Self {
        assert_eq!(pairs.len(), L::LANES, "a residue for every lane");
        let mut words = Self { pairs, ahead: Default::default() };
        (0..AHEAD).for_each(|i| words.read(i));
        words
    }

    #[inline]
    fn read(&mut self, i: usize) {
        let (byte, _) = limb_position::<L, U>(i);
        let limb = &mut self.ahead[i % (2 * AHEAD)];
        for (lane, pair) in self.pairs.iter().take(L::LANES).enumerate() {
            // One by one: compilers would otherwise emit gathers, which are slow, and very slow on
            // processors with security fixes for gathers.
            limb.lo.lanes_mut()[lane] = black_box(read(pair.lo.words(), byte));
            limb.hi.lanes_mut()[lane] = black_box(read(pair.hi.words(), byte));
        }
    }

    /// Limb i of both digits, for i = 0, 1, and so on, each once: the words to shift right, and the
    /// number of bits. Above the limb are bits of the next one.
    #[inline]
    pub(super) fn limb(&mut self, i: usize) -> (L, L, u32) {
        let Digits { lo, hi } = self.ahead[i % (2 * AHEAD)];
        self.read(i + AHEAD);
        (lo, hi, limb_position::<L, U>(i).1)
    }
}
