//! Products of pairs, column by column, both reductions in one pass.
//!
//! Column i of a product collects every limb product of weight W^i in a three-word accumulator
//! ([`Column`]) before it writes one word. Each limb product costs one multiplication and three
//! additions, and no partial result goes through memory. The chains of the first and the second
//! digit are independent, except for the quotient digit that the first passes to the second. A
//! superscalar core therefore works on both at once.
//!
//! Bounds: digits are below n before and after. With `n < R` the first chain ends below 2n and the
//! second below 3n (see [`mul`]), so one and two conditional subtractions reduce them.

use crypto_bigint::{WideWord, Word};

use super::words::{add_with_carry, all_ones_if, subtract_with_borrow};

/// The data of an odd modulus for Montgomery's reduction.
#[derive(Clone, Copy)]
pub struct Reduction<'a, const K: usize> {
    /// The modulus, least significant word first.
    pub n: &'a [Word; K],
    /// −n⁻¹ modulo one word.
    pub negated_inverse: Word,
}

/// The two digits of a residue modulo n², each below n.
pub type Digits<'a, const K: usize> = [&'a [Word; K]; 2];

/// A column's sum: three words. It adds at most 5·64 + 2 products of two words, far below W³.
#[derive(Clone, Copy)]
struct Column {
    low: Word,
    middle: Word,
    high: Word,
}

impl Column {
    const ZERO: Self = Self { low: 0, middle: 0, high: 0 };

    #[inline(always)]
    fn add_product(&mut self, a: Word, b: Word) {
        let product = WideWord::from(a) * WideWord::from(b);
        self.add(product as Word, (product >> Word::BITS) as Word, 0);
    }

    #[inline(always)]
    fn add(&mut self, low: Word, middle: Word, high: Word) {
        let carry;
        (self.low, carry) = add_with_carry(self.low, low, 0);
        let (middle, carry) = add_with_carry(self.middle, middle, carry);
        self.middle = middle;
        (self.high, _) = add_with_carry(self.high, high, carry);
    }

    /// Subtracts a word that is known to be part of the sum.
    #[inline(always)]
    fn subtract(&mut self, word: Word) {
        let (low, borrow) = self.low.overflowing_sub(word);
        let (middle, borrow) = self.middle.overflowing_sub(Word::from(borrow));
        *self = Self { low, middle, high: self.high.wrapping_sub(Word::from(borrow)) };
    }

    /// Returns the lowest word and moves on to the next column.
    #[inline(always)]
    fn next(&mut self) -> Word {
        let word = self.low;
        *self = Self { low: self.middle, middle: self.high, high: 0 };
        word
    }

    /// Adds the multiple of n that clears the lowest word, moves on, and returns the factor: one
    /// digit of Montgomery's quotient.
    #[inline(always)]
    fn reduce<const K: usize>(&mut self, modulus: Reduction<'_, K>) -> Word {
        let digit = self.low.wrapping_mul(modulus.negated_inverse);
        self.add_product(digit, modulus.n[0]);
        self.next();
        digit
    }
}

/// `x·y/R mod n²`.
///
/// The second chain subtracts the first one's quotient m. To keep sums unsigned, it adds the
/// complement of every digit, and 1 at the start: `Σ(W−1−mᵢ)Wⁱ + 1 = R − m`. Its result is
/// therefore one too large. If n is subtracted from the first digit, the second digit must grow by
/// one, which cancels this excess.
///
/// Bounds: the first chain gives `(x.lo·y.lo + m·n)/R < n·n/R + n < 2n`. The second gives
/// `(x.lo·y.hi + x.hi·y.lo − m + u·n)/R`, an integer above −1 and hence ≥ 0, and below
/// `2(n−1)²/R + n < 3n − 2`; at most one is added to it.
pub(super) fn mul<const K: usize>(
    modulus: Reduction<'_, K>,
    x: Digits<'_, K>,
    y: Digits<'_, K>,
) -> [[Word; K]; 2] {
    // A column reads [x.lo, x.hi, m, u] forwards and [y.lo, y.hi, n] backwards. Each of these is
    // contiguous, so two pointers and six words of sums stay in registers.
    let mut forwards = [[0; 4]; K];
    let mut backwards = [[0; 3]; K];
    for j in 0..K {
        forwards[j] = [x[0][j], x[1][j], 0, 0];
        backwards[K - 1 - j] = [y[0][j], y[1][j], modulus.n[j]];
    }
    let (mut first, mut second) = (Column::ZERO, Column { low: 1, ..Column::ZERO });
    for i in 0..K {
        // Digit i of m and of u is still zero here, and adds nothing.
        mul_column(&mut first, &mut second, &forwards[..=i], &backwards[K - 1 - i..]);
        let digit = first.reduce(modulus);
        second.add(!digit, 0, 0);
        forwards[i][2] = digit;
        forwards[i][3] = second.reduce(modulus);
    }
    let (mut lo, mut hi) = ([0; K], [0; K]);
    for i in 0..K {
        mul_column(&mut first, &mut second, &forwards[i + 1..], &backwards[..K - 1 - i]);
        lo[i] = first.next();
        hi[i] = second.next();
    }
    reduce_digits(modulus, lo, first.low, hi, second.low)
}

/// One column of [`mul`]: `Σ x.lo·y.lo + m·n` and `Σ x.lo·y.hi + x.hi·y.lo + u·n`.
#[inline(always)]
fn mul_column(first: &mut Column, second: &mut Column, forwards: &[[Word; 4]], backwards: &[[Word; 3]]) {
    let (mut a, mut b) = (*first, *second);
    for ([x0, x1, m, u], [y0, y1, n]) in forwards.iter().zip(backwards) {
        a.add_product(*x0, *y0);
        b.add_product(*x0, *y1);
        b.add_product(*x1, *y0);
        a.add_product(*m, *n);
        b.add_product(*u, *n);
    }
    (*first, *second) = (a, b);
}

/// `x²/R mod n²`: [`mul`] with every pair of equal limb products computed once.
///
/// The doubling is done in advance, on a copy d = 2·x.lo. The cross term is `Σ x.hi·d`, and `x.lo²`
/// is its diagonal plus `Σ x.lo[j]·d[l]` over j < l. Doubling carries the top bit of every limb
/// into the next limb. In d[j+1] that bit comes from x.lo[j] itself, belongs to the diagonal, and
/// is subtracted again. The bit carried out of d's top limb counts in the upper columns.
pub(super) fn square<const K: usize>(modulus: Reduction<'_, K>, x: Digits<'_, K>) -> [[Word; K]; 2] {
    let mut forwards = [[0; 6]; K];
    let mut backwards = [[0; 5]; K];
    let mut carried = 0;
    for j in 0..K {
        let (lo, hi, n) = (x[0][j], x[1][j], modulus.n[j]);
        let doubled = (lo << 1) | carried;
        carried = lo >> (Word::BITS - 1);
        forwards[j] = [lo, hi, 0, 0, doubled, n];
        backwards[K - 1 - j] = [hi, 0, 0, doubled, n];
    }
    let carried = carried.wrapping_neg();
    let (mut lo, mut hi) = ([0; K], [0; K]);
    let (mut first, mut second) = (Column::ZERO, Column { low: 1, ..Column::ZERO });
    for i in 0..K {
        (first, second) = square_column(first, second, &forwards[..=i], &backwards[K - 1 - i..]);
        let digit = first.reduce(modulus);
        second.add(!digit, 0, 0);
        let digits = [digit, second.reduce(modulus)];
        forwards[i][2..4].copy_from_slice(&digits);
        backwards[K - 1 - i][1..3].copy_from_slice(&digits);
    }
    for i in 0..K {
        if i + 1 < K {
            (first, second) = square_column(first, second, &forwards[i + 1..], &backwards[..K - 1 - i]);
            first.add(forwards[i][0] & carried, 0, 0);
        }
        second.add(forwards[i][1] & carried, 0, 0);
        lo[i] = first.next();
        hi[i] = second.next();
    }
    reduce_digits(modulus, lo, first.low, hi, second.low)
}

/// One column of [`square`], two limbs that face each other at a time.
#[inline(always)]
fn square_column(
    mut first: Column,
    mut second: Column,
    forwards: &[[Word; 6]],
    backwards: &[[Word; 5]],
) -> (Column, Column) {
    let half = forwards.len() / 2;
    for ([a0, a1, am, au, a_doubled, an], [b1, bm, bu, b_doubled, bn]) in
        forwards[..half].iter().zip(&backwards[..half])
    {
        first.add_product(*a0, *b_doubled);
        second.add_product(*a1, *b_doubled);
        second.add_product(*b1, *a_doubled);
        first.add_product(*am, *bn);
        second.add_product(*au, *bn);
        first.add_product(*bm, *an);
        second.add_product(*bu, *an);
    }
    if forwards.len() % 2 == 1 {
        let [x0, x1, m, u, doubled, n] = forwards[half];
        first.add_product(x0, x0);
        second.add_product(x1, doubled);
        first.add_product(m, n);
        second.add_product(u, n);
    } else {
        // The last pair was of neighbours.
        let x0 = forwards[half - 1][0];
        first.subtract(x0 & (x0 >> (Word::BITS - 1)).wrapping_neg());
    }
    (first, second)
}

/// Reduces `lo + lo_top·R < 2n` and `hi + hi_top·R ≤ 3n` below n. The second is one too large on
/// entry. Carries the quotient of the first digit to the second.
#[inline(always)]
fn reduce_digits<const K: usize>(
    modulus: Reduction<'_, K>,
    mut lo: [Word; K],
    mut lo_top: Word,
    hi: [Word; K],
    hi_top: Word,
) -> [[Word; K]; 2] {
    let subtracted = conditional_subtract(&mut lo, &mut lo_top, modulus.n);
    // The second digit is v = hi − 1 + subtracted ≥ 0; of v, v − n and v − 2n the last that is not
    // negative is the one.
    let n = modulus.n;
    let (mut v, mut once, mut twice) = ([0; K], [0; K], [0; K]);
    let (mut owed, mut borrow, mut second_borrow) = (1 - subtracted as u8, 0, 0);
    for j in 0..K {
        (v[j], owed) = subtract_with_borrow(hi[j], 0, owed);
        (once[j], borrow) = subtract_with_borrow(v[j], n[j], borrow);
        (twice[j], second_borrow) = subtract_with_borrow(once[j], n[j], second_borrow);
    }
    let (v_top, _) = subtract_with_borrow(hi_top, 0, owed);
    let (once_top, negative) = subtract_with_borrow(v_top, 0, borrow);
    let (_, negative_twice) = subtract_with_borrow(once_top, 0, second_borrow);
    // v < n: neither; v < 2n: once. (A negative v − n makes v − 2n wrap, so v − n decides last.)
    let keep_v = all_ones_if(negative);
    let keep_once = all_ones_if(negative_twice) & !keep_v;
    let keep_twice = !(keep_v | keep_once);
    let mut hi = [0; K];
    for (j, word) in hi.iter_mut().enumerate() {
        *word = (v[j] & keep_v) | (once[j] & keep_once) | (twice[j] & keep_twice);
    }
    [lo, hi]
}

/// Subtracts n from `value + top·R` if that leaves no negative number; returns 1 if it did, else 0.
#[inline(always)]
pub(super) fn conditional_subtract<const K: usize>(
    value: &mut [Word; K],
    top: &mut Word,
    n: &[Word; K],
) -> Word {
    let mut difference = [0; K];
    let mut borrow = 0;
    for ((out, a), b) in difference.iter_mut().zip(&*value).zip(n) {
        (*out, borrow) = subtract_with_borrow(*a, *b, borrow);
    }
    let (top_difference, negative) = subtract_with_borrow(*top, 0, borrow);
    let keep = !all_ones_if(negative);
    for (old, new) in value.iter_mut().zip(&difference) {
        *old ^= (*old ^ *new) & keep;
    }
    *top ^= (*top ^ top_difference) & keep;
    keep & 1
}

/// `a·b/R mod n`.
pub(super) fn mul_single<const K: usize>(
    modulus: Reduction<'_, K>,
    a: &[Word; K],
    b: &[Word; K],
) -> [Word; K] {
    let mut forwards = [[0; 2]; K];
    let mut backwards = [[0; 2]; K];
    for j in 0..K {
        forwards[j] = [a[j], 0];
        backwards[K - 1 - j] = [b[j], modulus.n[j]];
    }
    let mut result = [0; K];
    let mut column = Column::ZERO;
    for i in 0..2 * K {
        let from = i.saturating_sub(K - 1);
        let len = (i.min(K - 1) + 1).saturating_sub(from);
        let at = (K - 1 + from).saturating_sub(i);
        for ([a, m], [b, n]) in forwards[from..from + len].iter().zip(&backwards[at..at + len]) {
            column.add_product(*a, *b);
            column.add_product(*m, *n);
        }
        if i < K {
            forwards[i][1] = column.reduce(modulus);
        } else {
            result[i - K] = column.next();
        }
    }
    let mut top = column.low;
    conditional_subtract(&mut result, &mut top, modulus.n);
    result
}
