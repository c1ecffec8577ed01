//! Products, squarings and look-ups, four residues at a time.
//!
//! A limb of 28 bits has a lane of 64 bits, so that many products of two limbs can be added before
//! a carry is needed. Row i of a product multiplies all limbs of the multiplicand by limb i of the
//! multiplier, and all limbs of the modulus by the quotient digits of both reductions: five
//! multiplications for each limb. They are added to two rows of sums, which move down by one limb.
//! The chain of the first digit passes its quotient digit to the chain of the second. A product
//! takes 5·K² multiplications, a squaring 3.5·K².
//!
//! The inner loop processes two rows together. It then loads and stores the sums half as often, and
//! loads the limbs of multiplicand and modulus half as often: five loads, two stores and ten
//! multiplications for each column, compared with five multiplications for one row. The loop of a
//! product uses all sixteen registers, so three rows would have to keep multipliers in memory.
//!
//! Bounds, with R = 2^(28·K) ≥ 16n and operands below 2n (Walter, "Montgomery exponentiation needs
//! no final subtractions", Electronics Letters 1999, for both digits): the first digit ends below
//! `4n²/R + n < 2n`. The second starts from z = (1 − R) mod n and adds the complement of every
//! quotient digit of the first, `z + (R − 1) − m ≡ −m`, and ends below `(8n² + R + n)/R + n < 2n`.
//! Between rows each is below 5n + 2, which is less than R. (The first is below 3n, except in a
//! squaring, which adds doubled limbs early.) The last column therefore never produces a carry.
//!
//! A sum of 64 bits holds 85 rows of three products below 2^56: see [`ROWS_A_CARRY`].

#![allow(clippy::many_single_char_names, reason = "the letters of the formulas")]
#![allow(clippy::needless_range_loop, reason = "a column has the same index in several arrays")]

use core::arch::x86_64::{
    __m256i, _MM_HINT_T1, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_prefetch, _mm256_add_epi64,
    _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi64, _mm256_load_si256, _mm256_mul_epu32,
    _mm256_or_si256, _mm256_permutevar8x32_epi32, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_srl_epi64,
    _mm256_srli_epi64, _mm256_store_si256, _mm256_sub_epi64,
};
use core::cmp::Ordering;

use super::{
    super::{
        columns::{self, column},
        lanes::{Digits, Lanes, Words},
        moduli::Constants,
        table::{GROUPS, MAX_REGISTERS_PER_LIMB},
    },
    Avx2, Limb,
};
use crate::residue::{Limbs, Pair};

const LIMB_BITS: i32 = 28;
const LIMB_MASK: i64 = (1 << LIMB_BITS) - 1;

impl Limb {
    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(&self) -> __m256i {
        // SAFETY: the pointer is to 32 bytes of initialised memory, aligned to 32 by the type's
        // `repr`.
        unsafe { _mm256_load_si256(self.0.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(&mut self, value: __m256i) {
        // SAFETY: the pointer is to 32 bytes that are borrowed mutably, aligned to 32 by the type's
        // `repr`.
        unsafe { _mm256_store_si256(self.0.as_mut_ptr().cast(), value) }
    }
}

/// The constants of two moduli, each in its lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn alternating(of: &[u64; 2]) -> __m256i {
    // SAFETY: the pointer is to 16 bytes of initialised memory; no alignment is required.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(of.as_ptr().cast()) })
}

/// Number of rows between two carries of the sums.
///
/// A row adds three products of two limbs to a sum, each at most (2^28 − 1)². The lowest column
/// also receives the carry of the column below, less than 2^36, and the complement of a quotient
/// digit, less than 2^28. Up to two rows precede the first of the 80. A sum thus stays below
/// `2^56 + 82·3·2^56 + 2^37 < 248·2^56 < 2^64`, where the first 2^56 is the initial value: a sum
/// after a carry (see [`carry`]), or a limb of z.
const ROWS_A_CARRY: usize = 80;

/// `sum + a·b`, for the lowest 32 bits of a and b.
macro_rules! madd {
    ($sum:expr, $a:expr, $b:expr) => {
        _mm256_add_epi64($sum, _mm256_mul_epu32($a, $b))
    };
}

/// `x ← x·y/R mod n²`.
#[target_feature(enable = "avx2")]
pub(super) fn mul<const K: usize>(_: Avx2, c: &Constants<K>, x: &mut Lanes<Limb, K>, y: &Lanes<Limb, K>) {
    rows(c, x, |i| (y[i].lo.load(), y[i].hi.load()));
}

/// Like [`mul`], and prefetches `to_prefetch`: some cache lines with each row.
#[target_feature(enable = "avx2")]
pub(super) fn mul_and_prefetch<const K: usize>(
    _: Avx2,
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    y: &Lanes<Limb, K>,
    to_prefetch: &[Limb],
) {
    let registers = to_prefetch.len().div_ceil(K).next_multiple_of(2);
    rows(c, x, |i| {
        // A cache line holds two registers.
        for line in to_prefetch.iter().skip(i * registers).take(registers).step_by(2) {
            // SAFETY: a prefetch is a hint for any address.
            #[allow(unused_unsafe, reason = "safe since Rust 1.90 or so")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(line.0.as_ptr().cast());
            }
        }
        (y[i].lo.load(), y[i].hi.load())
    });
}

/// `x ← x·y/R mod n²` for four residues in words, see [`Words`].
#[target_feature(enable = "avx2")]
pub(super) fn mul_words<U: Limbs, const K: usize>(
    _: Avx2,
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    y: &[Pair<U>],
) {
    let mut words = Words::<Limb, U>::new(y);
    rows(c, x, |i| {
        let (lo, hi, shift) = words.limb(i);
        let shift = _mm_cvtsi32_si128(shift.cast_signed());
        (_mm256_srl_epi64(lo.load(), shift), _mm256_srl_epi64(hi.load(), shift))
    });
}

/// Memory for the columns of the longest number, with 147 limbs.
type ColumnMemory = columns::ColumnMemory<__m256i, { 147 + columns::period::<__m256i>() }>;

type Column = columns::Column<__m256i>;

/// The product of x and a multiplier. `limbs` gives the multiplier's limbs in order; bits above the
/// lowest 28 are ignored.
#[target_feature(enable = "avx2")]
#[inline]
fn rows<const K: usize>(
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    mut multiplier: impl FnMut(usize) -> (__m256i, __m256i),
) {
    let mask = _mm256_set1_epi64x(LIMB_MASK);
    let mut limb = |i| {
        let (lo, hi) = multiplier(i);
        (_mm256_and_si256(lo, mask), _mm256_and_si256(hi, mask))
    };
    let mut memory = ColumnMemory::new();
    let sums = memory.columns_away_from::<K>(x.as_ptr().addr());
    // SAFETY: the first pass runs first, and every pass writes all columns.
    unsafe {
        let first = if K % 2 == 1 {
            first_row(c, x, limb(0), sums);
            1
        } else {
            two_rows::<true, K>(c, x, [limb(0), limb(1)], sums);
            2
        };
        for i in (first..K).step_by(2) {
            if i > first && (i - first) % ROWS_A_CARRY == 0 {
                carry(sums);
            }
            two_rows::<false, K>(c, x, [limb(i), limb(i + 1)], sums);
        }
        normalise(sums, x);
    }
}

/// Both sums of column j; before the first row, zero and the initial value of the second digit.
///
/// # Safety
///
/// A pass must have written all columns, unless this is the `FIRST`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn get<const FIRST: bool, const K: usize>(
    sums: &[Column; K],
    j: usize,
    c: &Constants<K>,
) -> [__m256i; 2] {
    if FIRST {
        [_mm256_setzero_si256(), alternating(&c.z[j])]
    } else {
        // SAFETY: upheld by the caller.
        unsafe { sums[j].map(|sum| sum.assume_init()) }
    }
}

/// Carries every sum's bits above the lowest 28 to the next column, once. The results are below
/// 2^28 + 2^36, and no column waits for another.
///
/// The last column is empty after a pass; it keeps the carry that it receives.
///
/// # Safety
///
/// A pass must have written all columns.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn carry<const K: usize>(sums: &mut [Column; K]) {
    let mask = _mm256_set1_epi64x(LIMB_MASK);
    let mut carry = [_mm256_setzero_si256(); 2];
    for sums in sums {
        // SAFETY: upheld by the caller.
        let [a, b] = unsafe { sums.map(|sum| sum.assume_init()) };
        *sums = column([
            _mm256_add_epi64(_mm256_and_si256(a, mask), carry[0]),
            _mm256_add_epi64(_mm256_and_si256(b, mask), carry[1]),
        ]);
        carry = [_mm256_srli_epi64::<LIMB_BITS>(a), _mm256_srli_epi64::<LIMB_BITS>(b)];
    }
}

/// Propagates the carries of the sums to limbs of 28 bits.
///
/// # Safety
///
/// A pass must have written all columns.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn normalise<const K: usize>(sums: &[Column; K], x: &mut Lanes<Limb, K>) {
    let mask = _mm256_set1_epi64x(LIMB_MASK);
    let mut carry = [_mm256_setzero_si256(); 2];
    for (sums, limbs) in sums.iter().zip(&mut **x) {
        // SAFETY: upheld by the caller.
        let [a, b] = unsafe { sums.map(|sum| sum.assume_init()) };
        let (a, b) = (_mm256_add_epi64(a, carry[0]), _mm256_add_epi64(b, carry[1]));
        limbs.lo.store(_mm256_and_si256(a, mask));
        limbs.hi.store(_mm256_and_si256(b, mask));
        carry = [_mm256_srli_epi64::<LIMB_BITS>(a), _mm256_srli_epi64::<LIMB_BITS>(b)];
    }
}

/// The quotient digits that make the lowest column of both chains zero, and the carries of that
/// column.
struct Quotient {
    m: __m256i,
    u: __m256i,
    carry_a: __m256i,
    carry_b: __m256i,
}

/// The quotient digits of a row whose lowest column sums to a and b.
#[target_feature(enable = "avx2")]
#[inline]
fn quotient<const K: usize>(c: &Constants<K>, a: __m256i, b: __m256i) -> Quotient {
    let mask = _mm256_set1_epi64x(LIMB_MASK);
    let (inverse, n) = (alternating(&c.negated_inverse), alternating(&c.n[0]));
    let m = _mm256_and_si256(_mm256_mul_epu32(a, inverse), mask);
    // The complement of m is not negative, and neither is any sum.
    let b = _mm256_add_epi64(b, _mm256_sub_epi64(mask, m));
    let u = _mm256_and_si256(_mm256_mul_epu32(b, inverse), mask);
    let carry_a = _mm256_srli_epi64::<LIMB_BITS>(madd!(a, m, n));
    let carry_b = _mm256_srli_epi64::<LIMB_BITS>(madd!(b, u, n));
    Quotient { m, u, carry_a, carry_b }
}

/// The first row of a product alone, for an odd number of rows.
#[target_feature(enable = "avx2")]
#[inline]
fn first_row<const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    (y0, y1): (__m256i, __m256i),
    sums: &mut [Column; K],
) {
    let zero = _mm256_setzero_si256();
    let (x0, x1) = (x[0].lo.load(), x[0].hi.load());
    let a = _mm256_mul_epu32(y0, x0);
    let b = madd!(madd!(alternating(&c.z[0]), y0, x1), y1, x0);
    let Quotient { m, u, mut carry_a, mut carry_b } = quotient(c, a, b);
    for j in 1..K {
        let (x0, x1, n) = (x[j].lo.load(), x[j].hi.load(), alternating(&c.n[j]));
        let a = madd!(madd!(carry_a, y0, x0), m, n);
        let b = madd!(madd!(madd!(_mm256_add_epi64(alternating(&c.z[j]), carry_b), y0, x1), y1, x0), u, n);
        sums[j - 1] = column([a, b]);
        (carry_a, carry_b) = (zero, zero);
    }
    sums[K - 1] = column([zero, zero]);
}

/// Adds two rows of a product, and the multiples of n that make their lowest columns zero. The sums
/// move down by two columns.
///
/// Limb j belongs to column j of the first row and to column j + 1 of the second.
///
/// # Safety
///
/// A pass must have written all of `sums`, unless this is the `FIRST`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn two_rows<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    [(y0, y1), (v0, v1)]: [(__m256i, __m256i); 2],
    sums: &mut [Column; K],
) {
    let zero = _mm256_setzero_si256();
    let (x0, x1) = (x[0].lo.load(), x[0].hi.load());
    // SAFETY: upheld by the caller.
    let [a, b] = unsafe { get::<FIRST, K>(sums, 0, c) };
    let Quotient { m, u, carry_a, carry_b } = quotient(c, madd!(a, y0, x0), madd!(madd!(b, y0, x1), y1, x0));

    // Operations that depend on the quotient digits come last.
    // SAFETY: as above.
    let [a, b] = unsafe { get::<FIRST, K>(sums, 1, c) };
    let a = madd!(a, v0, x0);
    let b = madd!(madd!(b, v0, x1), v1, x0);
    let (x0, x1, n) = (x[1].lo.load(), x[1].hi.load(), alternating(&c.n[1]));
    let a = madd!(_mm256_add_epi64(madd!(a, y0, x0), carry_a), m, n);
    let b = madd!(_mm256_add_epi64(madd!(madd!(b, y0, x1), y1, x0), carry_b), u, n);
    let Quotient { m: p, u: q, carry_a, carry_b } = quotient(c, a, b);

    let mut above_a = madd!(madd!(carry_a, v0, x0), p, n);
    let mut above_b = madd!(madd!(madd!(carry_b, v0, x1), v1, x0), q, n);
    for j in 2..K {
        let (x0, x1, n) = (x[j].lo.load(), x[j].hi.load(), alternating(&c.n[j]));
        // SAFETY: as above.
        let [a, b] = unsafe { get::<FIRST, K>(sums, j, c) };
        let a = madd!(madd!(_mm256_add_epi64(a, above_a), y0, x0), m, n);
        let b = madd!(madd!(madd!(_mm256_add_epi64(b, above_b), y0, x1), y1, x0), u, n);
        sums[j - 2] = column([a, b]);
        above_a = madd!(_mm256_mul_epu32(v0, x0), p, n);
        above_b = madd!(madd!(_mm256_mul_epu32(v0, x1), v1, x0), q, n);
    }
    sums[K - 2] = column([above_a, above_b]);
    sums[K - 1] = column([zero, zero]);
}

/// `x ← x²/R mod n²`: every product of two limbs of `x.lo` is computed once.
///
/// Limbs that count twice are doubled in the multiplier, where they have 29 bits. No carry is
/// needed, because a multiplication takes 32 bits. Such a product counts as two in the bounds, like
/// the two products that it replaces.
#[target_feature(enable = "avx2")]
pub(super) fn square<const K: usize>(_: Avx2, c: &Constants<K>, x: &mut Lanes<Limb, K>) {
    let mut memory = ColumnMemory::new();
    let sums = memory.columns_away_from::<K>(x.as_ptr().addr());
    // SAFETY: the first pass runs first, and every pass writes all columns.
    unsafe {
        let first = if K % 2 == 1 {
            square_first_row(c, x, sums);
            1
        } else {
            square_two_rows::<true, K>(c, x, 0, sums);
            2
        };
        for i in (first..K).step_by(2) {
            if i > first && (i - first) % ROWS_A_CARRY == 0 {
                carry(sums);
            }
            square_two_rows::<false, K>(c, x, i, sums);
        }
        normalise(sums, x);
    }
}

/// Limb i of the multiplier in row i of `x.lo²`, for limb j of the multiplicand: zero below the
/// diagonal, because earlier rows contain these products, and doubled above it.
#[target_feature(enable = "avx2")]
#[inline]
fn triangular<const K: usize>(x: &Lanes<Limb, K>, i: usize, j: usize) -> __m256i {
    let limb = x[i].lo.load();
    match j.cmp(&i) {
        Ordering::Less => _mm256_setzero_si256(),
        Ordering::Equal => limb,
        Ordering::Greater => _mm256_add_epi64(limb, limb),
    }
}

/// The first row of a square alone, for an odd number of rows: the row of a product with doubled
/// limbs.
#[target_feature(enable = "avx2")]
#[inline]
fn square_first_row<const K: usize>(c: &Constants<K>, x: &Lanes<Limb, K>, sums: &mut [Column; K]) {
    let zero = _mm256_setzero_si256();
    let (x0, x1) = (x[0].lo.load(), x[0].hi.load());
    let (y0, y1) = (_mm256_add_epi64(x0, x0), _mm256_add_epi64(x1, x1));
    let a = _mm256_mul_epu32(x0, x0);
    let b = madd!(alternating(&c.z[0]), y1, x0);
    let Quotient { m, u, mut carry_a, mut carry_b } = quotient(c, a, b);
    for j in 1..K {
        let (x0, n) = (x[j].lo.load(), alternating(&c.n[j]));
        let a = madd!(madd!(carry_a, y0, x0), m, n);
        let b = madd!(madd!(_mm256_add_epi64(alternating(&c.z[j]), carry_b), y1, x0), u, n);
        sums[j - 1] = column([a, b]);
        (carry_a, carry_b) = (zero, zero);
    }
    sums[K - 1] = column([zero, zero]);
}

/// Adds rows i and i + 1 of a square, and the multiples of n that make their lowest columns zero.
///
/// # Safety
///
/// A pass must have written all of `sums`, unless this is the `FIRST`, i = 0.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn square_two_rows<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    i: usize,
    sums: &mut [Column; K],
) {
    let zero = _mm256_setzero_si256();
    let (y1, v1) = (x[i].hi.load(), x[i + 1].hi.load());
    let (y1, v1) = (_mm256_add_epi64(y1, y1), _mm256_add_epi64(v1, v1));
    let x0 = x[0].lo.load();
    // SAFETY: upheld by the caller.
    let [a, b] = unsafe { get::<FIRST, K>(sums, 0, c) };
    let Quotient { m, u, carry_a, carry_b } =
        quotient(c, madd!(a, triangular(x, i, 0), x0), madd!(b, y1, x0));

    // SAFETY: as above. The lowest column of the second row is below the diagonal, and so has no
    // product.
    let [a, b] = unsafe { get::<FIRST, K>(sums, 1, c) };
    let b = madd!(b, v1, x0);
    let (x0, n) = (x[1].lo.load(), alternating(&c.n[1]));
    let a = madd!(_mm256_add_epi64(madd!(a, triangular(x, i, 1), x0), carry_a), m, n);
    let b = madd!(_mm256_add_epi64(madd!(b, y1, x0), carry_b), u, n);
    let Quotient { m: p, u: q, carry_a, carry_b } = quotient(c, a, b);

    let mut above_a = madd!(madd!(carry_a, triangular(x, i + 1, 1), x0), p, n);
    let mut above_b = madd!(madd!(carry_b, v1, x0), q, n);
    // Below the diagonals: only reductions and the cross term.
    for j in 2..i.min(K) {
        let (x0, n) = (x[j].lo.load(), alternating(&c.n[j]));
        // SAFETY: as above.
        let [a, b] = unsafe { get::<FIRST, K>(sums, j, c) };
        let a = madd!(_mm256_add_epi64(a, above_a), m, n);
        let b = madd!(madd!(_mm256_add_epi64(b, above_b), y1, x0), u, n);
        sums[j - 2] = column([a, b]);
        above_a = _mm256_mul_epu32(p, n);
        above_b = madd!(_mm256_mul_epu32(v1, x0), q, n);
    }
    let mut at = |j: usize, y0, v0| {
        let (x0, n) = (x[j].lo.load(), alternating(&c.n[j]));
        // SAFETY: as above.
        let [a, b] = unsafe { get::<FIRST, K>(sums, j, c) };
        let a = madd!(madd!(_mm256_add_epi64(a, above_a), y0, x0), m, n);
        let b = madd!(madd!(_mm256_add_epi64(b, above_b), y1, x0), u, n);
        sums[j - 2] = column([a, b]);
        above_a = madd!(_mm256_mul_epu32(v0, x0), p, n);
        above_b = madd!(_mm256_mul_epu32(v1, x0), q, n);
    };
    // On the diagonals. If i is 0 or 1, the limbs above have reached them.
    for j in i.max(2)..i + 2 {
        at(j, triangular(x, i, j), triangular(x, i + 1, j));
    }
    let (y0, v0) = (triangular(x, i, K), triangular(x, i + 1, K));
    for j in i + 2..K {
        at(j, y0, v0);
    }
    sums[K - 2] = column([above_a, above_b]);
    sums[K - 1] = column([zero, zero]);
}

/// For tables with separate entries for each lane: every lane's entry. A block of limbs stays in
/// registers while all entries are read. K is at least 5.
#[target_feature(enable = "avx2")]
pub(super) fn select<const K: usize>(table: &[Lanes<Limb, K>], digits: &Limb, out: &mut Lanes<Limb, K>) {
    /// Limbs that stay in registers.
    const BLOCK: usize = 5;
    let digits = digits.load();
    for block in 0..K.div_ceil(BLOCK) {
        // The last block repeats some limbs if K is not a multiple of BLOCK.
        let from = (block * BLOCK).min(K - BLOCK);
        let mut chosen = [[_mm256_setzero_si256(); 2]; BLOCK];
        for (i, entry) in (0..).zip(table) {
            let mask = _mm256_cmpeq_epi64(digits, _mm256_set1_epi64x(i));
            let limbs: &[Digits<Limb>; BLOCK] = entry[from..].first_chunk().expect("BLOCK ≤ K");
            for ([lo, hi], limb) in chosen.iter_mut().zip(limbs) {
                *lo = _mm256_or_si256(*lo, _mm256_and_si256(mask, limb.lo.load()));
                *hi = _mm256_or_si256(*hi, _mm256_and_si256(mask, limb.hi.load()));
            }
        }
        for (limb, [lo, hi]) in out[from..].iter_mut().zip(chosen) {
            limb.lo.store(lo);
            limb.hi.store(hi);
        }
    }
}

/// Every lane's entry of a row that all lanes share, for several groups of lanes. The row has
/// `per_limb` registers of eight 32-bit entries for every limb of both digits.
///
/// A permutation selects among the eight entries by the lowest three bits of a lane's digit. A mask
/// selects among the registers by the other bits. All registers are read, once for all groups.
#[target_feature(enable = "avx2")]
pub(super) fn look_up<const K: usize>(
    row: &[Limb],
    per_limb: usize,
    digits: &[Limb; GROUPS],
    out: &mut [Lanes<Limb, K>; GROUPS],
) {
    let zero = _mm256_setzero_si256();
    let digits = digits.each_ref().map(|digits| digits.load());
    // The permutation moves 32-bit halves. The upper half of a lane has index zero, and is not part
    // of the limb.
    let lower_half = _mm256_set1_epi64x(0xffff_ffff);
    let mut masks = [[zero; GROUPS]; MAX_REGISTERS_PER_LIMB];
    for (i, masks) in (0..).zip(&mut masks[..per_limb]) {
        for (mask, digits) in masks.iter_mut().zip(digits) {
            let chosen = _mm256_cmpeq_epi64(_mm256_srli_epi64::<3>(digits), _mm256_set1_epi64x(i));
            *mask = _mm256_and_si256(chosen, lower_half);
        }
    }
    let mut rest = row;
    for j in 0..2 * K {
        let registers;
        (registers, rest) = rest.split_at(per_limb);
        let mut values = [zero; GROUPS];
        for (register, masks) in registers.iter().zip(&masks) {
            let register = register.load();
            for ((value, digits), mask) in values.iter_mut().zip(digits).zip(masks) {
                let found = _mm256_permutevar8x32_epi32(register, digits);
                *value = _mm256_or_si256(*value, _mm256_and_si256(*mask, found));
            }
        }
        for (out, value) in out.iter_mut().zip(values) {
            let limb = &mut out[j / 2];
            if j % 2 == 0 { &mut limb.lo } else { &mut limb.hi }.store(value);
        }
    }
}
