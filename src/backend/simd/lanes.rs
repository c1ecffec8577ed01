//! Residues side by side: limb j of all of them in one register.

use core::{
    hint::black_box,
    ops::{Deref, DerefMut},
};

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

/// The same limb of both digits of as many pairs.
#[derive(Clone, Copy, Default, Zeroize)]
#[repr(C)]
pub(super) struct Digits<L: Limb> {
    pub(super) lo: L,
    pub(super) hi: L,
}

/// As many pairs as a register has lanes, of K limbs a digit.
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
            lanes.set(lane, [cut::<L, U, K>(&pair.lo), cut::<L, U, K>(&pair.hi)]);
        }
        lanes
    }

    /// As many pairs as there are lanes, or fewer; missing ones are one, so that every lane holds a unit.
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

    /// The pair in a lane, both digits brought below n.
    pub(super) fn pair<U: Limbs>(&self, lane: usize, modulus: &Modulus<U>) -> Pair<U> {
        let [lo, hi] = self.get(lane);
        let ((mut lo, mut lo_top), (mut hi, mut hi_top)) = (join::<L, U>(&lo), join::<L, U>(&hi));
        // What is taken from the first digit is one more of the second, which is at most 2n then.
        let taken = residue::conditional_subtract(&mut lo, &mut lo_top, modulus.n());
        hi_top += add_word(&mut hi, taken);
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        residue::conditional_subtract(&mut hi, &mut hi_top, modulus.n());
        Pair::new(lo, hi)
    }

    /// Adds residues whose digits are below n, as this one's are: both sums are below 2n.
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

    /// Brings both digits below n, for moduli that take turns in the lanes.
    pub(super) fn reduce(&mut self, n: &[[u64; 2]; K]) {
        for lane in 0..L::LANES {
            let n = n.map(|limbs| limbs[lane % 2]);
            let [mut lo, mut hi] = self.get(lane);
            // What is taken from the first digit is one more of the second, which is at most 2n then.
            hi[0] += conditional_subtract::<L, K>(&mut lo, &n);
            carry::<L, K>(&mut hi);
            conditional_subtract::<L, K>(&mut hi, &n);
            conditional_subtract::<L, K>(&mut hi, &n);
            self.set(lane, [lo, hi]);
        }
    }
}

/// Carries limbs that have grown through to limbs of as many bits as they should have.
fn carry<L: Limb, const K: usize>(number: &mut [u64; K]) {
    let mut carry = 0;
    for limb in number {
        let sum = *limb + carry;
        *limb = sum & L::MASK;
        carry = sum >> L::BITS;
    }
}

/// Takes n from a number that is not below it, and tells how often (0 or 1).
fn conditional_subtract<L: Limb, const K: usize>(number: &mut [u64; K], n: &[u64; K]) -> u64 {
    // A limb less another less a borrow is negative, as a number of 64 bits, exactly if it borrows.
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

/// Where limb `i` lies in the words of a U: the byte from which to read 64 bits, and how many of these come before it.
///
/// Limbs of 28 and of 52 bits begin at half bytes, so that at most 4 bits come before and the limb is among the 64; only
/// towards the end, where reading starts from the last word, there are more, and nothing follows.
#[inline]
fn place<L: Limb, U: Limbs>(i: usize) -> (usize, u32) {
    let bit = i as u32 * L::BITS;
    let byte = (bit / 8).min((U::WORDS as u32 - 1) * Word::BITS / 8);
    (byte as usize, bit - 8 * byte)
}

/// 64 bits of a little-endian number from a byte on.
#[inline]
fn read(words: &[Word], byte: usize) -> u64 {
    assert!(byte + 8 <= size_of_val(words), "reads stay inside the number");
    // SAFETY: these are 8 bytes inside of `words`, and all are initialised; x86-64 has its words in little-endian order.
    unsafe { words.as_ptr().cast::<u8>().add(byte).cast::<u64>().read_unaligned() }
}

/// Cuts a number into limbs.
pub(super) fn cut<L: Limb, U: Limbs, const K: usize>(value: &U) -> [u64; K] {
    core::array::from_fn(|i| {
        let (byte, shift) = place::<L, U>(i);
        (read(value.words(), byte) >> shift) & L::MASK
    })
}

/// Puts a number together from limbs: its words, and what is beyond them.
fn join<L: Limb, U: Limbs>(limbs: &[u64]) -> (U, Word) {
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

/// Adds a word, and returns what is carried out: 0 or 1.
fn add_word<U: Limbs>(value: &mut U, word: Word) -> Word {
    let mut carry = word;
    for digit in value.words_mut() {
        let (sum, over) = digit.overflowing_add(carry);
        *digit = sum;
        carry = Word::from(over);
    }
    carry
}

/// Limbs of residues in words, as many as there are lanes, for a kernel that asks for them row by row.
///
/// They are read some rows before they are wanted, by scalar instructions that find room beside the multiplications:
/// bringing a batch into lanes costs next to nothing.
pub(super) struct Words<'a, L: Limb, U: Limbs> {
    pairs: &'a [Pair<U>],
    ahead: [Digits<L>; 2 * AHEAD],
}

/// Rows between reading a limb and using it: the narrow stores of the one have to be over before the wide load of the
/// other, and a kernel may take two rows at once.
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
        let (byte, _) = place::<L, U>(i);
        let limb = &mut self.ahead[i % (2 * AHEAD)];
        for (lane, pair) in self.pairs.iter().take(L::LANES).enumerate() {
            // One by one: compilers would make gathers of these, which are slow, and very slow on processors whose
            // gathers had to be mended.
            limb.lo.lanes_mut()[lane] = black_box(read(pair.lo.words(), byte));
            limb.hi.lanes_mut()[lane] = black_box(read(pair.hi.words(), byte));
        }
    }

    /// Limb i of both digits, for i = 0, 1, and so on, each once: what to shift right, and by how much. There are bits of
    /// the next limb above it.
    #[inline]
    pub(super) fn limb(&mut self, i: usize) -> (L, L, u32) {
        let Digits { lo, hi } = self.ahead[i % (2 * AHEAD)];
        self.read(i + AHEAD);
        (lo, hi, place::<L, U>(i).1)
    }
}
