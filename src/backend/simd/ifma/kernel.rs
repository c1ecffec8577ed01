//! Products, squarings and look-ups, eight residues at a time.
//!
//! Row i of a product multiplies all limbs of the multiplicand by limb i of the multiplier, and all
//! limbs of the modulus by the quotient digits of both reductions: ten multiply-adds for each limb.
//! They go to two rows of sums, which are shifted down by one limb when they are written back. The
//! chain of the first digit passes its quotient digit to the chain of the second. Everything else
//! in the two chains is independent, and each fills the waiting times of the other. A product takes
//! 10·K² multiply-adds, a squaring 7·K². The bound is one multiply-add a cycle for every 512-bit
//! unit of the processor.
//!
//! Late operands are added last. A row's first sums depend only on the row before, and quotient
//! digits depend on these sums. Products with the multiplier's limb therefore come first, and
//! products with quotient digits after them. The longest dependency chain from row to row is then
//! four multiply-adds instead of twelve. The lowest limb of a reduced row is always zero. Its carry
//! is one, unless the limb was zero before the reduction: no product is needed for it.
//!
//! Bounds, with R = 2^(52·K) ≥ 16n and operands below 2n (Walter, "Montgomery exponentiation needs
//! no final subtractions", Electronics Letters 1999, for both digits): the first digit ends below
//! `4n²/R + n < 2n`. The second starts from z = (1 − R) mod n and adds the complement of every
//! quotient digit of the first, `z + (R − 1) − m ≡ −m`, and ends below `(8n² + R + n)/R + n < 2n`.
//! A sum takes at most 6 products of 52 bits a row, less than 6·79·2^52 < 2^61 in all.
//!
//! # Performance bound
//!
//! For each limb of the multiplicand the inner loop has 10 multiply-adds, 5 loads and 2 stores. On
//! a core with two 512-bit units, two loads and one store a cycle, these take 5 cycles for the
//! units, 2.5 for loads and 2 for stores: the units are the bound. A row adds nine other vector
//! instructions for its quotient digits. In LLVM's model of a Xeon with two units (`llvm-mca` 22,
//! `-mcpu=icelake-server`, a whole row of 40 limbs, repeated), a row takes 206 cycles, and its 400
//! multiply-adds alone take 200. (The model named `sapphirerapids` assumes one unit.)
//! `benches/mca/rows.py` gives these figures.
//!
//! Measured with `throughput`, additions reach 93 to 97 % of the peak multiply-add rate of a core
//! with one unit (Zen 4), 94 to 96 % with two units (Zen 5), and 83 to 88 % on a Xeon with two
//! units (Sapphire Rapids). According to the model and to the Zen 5, which runs the same code,
//! ports, loads, stores and the length of the chains do not explain the 12 to 17 % that are missing
//! on the Xeon. The model shows one other limit: the scheduler, with 97 entries, is full in 27 % of
//! the cycles.
//!
//! # Two limbs of the multiplier a pass
//!
//! [`mul_by_two`] adds two rows in one pass. The second row takes a column's sums from registers, so
//! that a product has half as many loads and stores. The sums are the same, bit for bit. In the
//! model two rows take 482 cycles instead of 412. A column is now a chain of twelve dependent
//! multiply-adds instead of six. Its instructions wait twice as long in the scheduler, which is full
//! in 87 % of the cycles. With the second row one more column behind, which makes the chains short
//! again, the limbs in use do not fit the 32 registers. Loads and stores are not the bound, so
//! products use one limb a pass.
//!
//! The model may be wrong about a Xeon, as the measurement above shows. With the feature
//! `diagnostics`, the bench `limbs_a_pass` times both variants in turns, and a test on emulated
//! instructions (`.ci/emulated_ifma`) checks that they agree.

#![allow(clippy::many_single_char_names, reason = "the letters of the formulas")]
#![allow(clippy::needless_range_loop, reason = "a column has the same index in several arrays")]

use super::arch::{
    __m512i, _MM_HINT_T1, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_prefetch, _mm512_add_epi64,
    _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi64_mask, _mm512_load_si512,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_mov_epi64, _mm512_permutex2var_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_srl_epi64, _mm512_srli_epi64, _mm512_store_si512,
    _mm512_sub_epi64,
};

use super::{
    super::{
        columns::{self, column},
        domain::Constants,
        lanes::{Digits, Lanes, Words},
        table::{GROUPS, OCTETS},
    },
    Limb,
};
use crate::residue::{Limbs, Pair};

const LIMB_BITS: u32 = 52;
const LIMB_MASK: i64 = (1 << LIMB_BITS) - 1;

impl Limb {
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
    #[inline]
    fn load(&self) -> __m512i {
        // SAFETY: the pointer is to 64 bytes of initialised memory, aligned to 64 by the type's
        // `repr`.
        unsafe { _mm512_load_si512(self.0.as_ptr().cast()) }
    }

    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
    #[inline]
    fn store(&mut self, value: __m512i) {
        // SAFETY: the pointer is to 64 bytes that are borrowed mutably, aligned to 64 by the type's
        // `repr`.
        unsafe { _mm512_store_si512(self.0.as_mut_ptr().cast(), value) }
    }
}

macro_rules! lo {
    ($sum:expr, $a:expr, $b:expr) => {
        _mm512_madd52lo_epu64($sum, $a, $b)
    };
}

macro_rules! hi {
    ($sum:expr, $a:expr, $b:expr) => {
        _mm512_madd52hi_epu64($sum, $a, $b)
    };
}

/// `x ← x·y/R mod n²`.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn mul<const K: usize>(c: &Constants<K>, x: &mut Lanes<Limb, K>, y: &Lanes<Limb, K>) {
    rows(c, x, |i| (y[i].lo.load(), y[i].hi.load()));
}

/// [`mul`] with two limbs of the multiplier a pass, to compare.
#[cfg(any(test, feature = "diagnostics"))]
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn mul_by_two<const K: usize>(c: &Constants<K>, x: &mut Lanes<Limb, K>, y: &Lanes<Limb, K>) {
    rows_by_two(c, x, |i| (y[i].lo.load(), y[i].hi.load()));
}

/// Like [`mul`], and prefetches `soon`: some cache lines with each row.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn mul_while_fetching<const K: usize>(
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    y: &Lanes<Limb, K>,
    soon: &[Limb],
) {
    let lines = soon.len().div_ceil(K);
    rows(c, x, |i| {
        for line in soon.iter().skip(i * lines).take(lines) {
            // SAFETY: a prefetch is a hint for any address.
            #[allow(unused_unsafe, reason = "safe since Rust 1.90 or so")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(line.0.as_ptr().cast());
            }
        }
        (y[i].lo.load(), y[i].hi.load())
    });
}

/// `x ← x·y/R mod n²` for eight residues in words, see [`Words`].
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn mul_words<U: Limbs, const K: usize>(c: &Constants<K>, x: &mut Lanes<Limb, K>, y: &[Pair<U>]) {
    let mut words = Words::<Limb, U>::new(y);
    rows(c, x, |i| {
        let (lo, hi, shift) = words.limb(i);
        let shift = _mm_cvtsi32_si128(shift.cast_signed());
        // Multiply-adds use the lowest 52 bits and ignore the others.
        (_mm512_srl_epi64(lo.load(), shift), _mm512_srl_epi64(hi.load(), shift))
    });
}

/// Memory for the columns of the longest number, with 79 limbs.
type Room = columns::Room<__m512i, { 79 + columns::period::<__m512i>() }>;

type Column = columns::Column<__m512i>;

/// Both sums of column j; before the first row, zero and the initial value of the second digit.
///
/// # Safety
///
/// A row must have written all columns, unless this is the `FIRST`.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
#[inline]
unsafe fn get<const FIRST: bool, const K: usize>(
    sums: &[Column; K],
    j: usize,
    c: &Constants<K>,
) -> [__m512i; 2] {
    if FIRST {
        [_mm512_setzero_si512(), alternating(&c.z[j])]
    } else {
        // SAFETY: upheld by the caller.
        unsafe { sums[j].map(|sum| sum.assume_init()) }
    }
}

/// The constants of two moduli, each in its lanes.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
#[inline]
fn alternating(of: &[u64; 2]) -> __m512i {
    // SAFETY: the pointer is to 16 bytes of initialised memory; no alignment is required.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(of.as_ptr().cast()) })
}

/// Propagates the carries of the sums to limbs of 52 bits.
///
/// # Safety
///
/// A row must have written all columns.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
#[inline]
unsafe fn normalise<const K: usize>(sums: &[Column; K], x: &mut Lanes<Limb, K>) {
    let mask = _mm512_set1_epi64(LIMB_MASK);
    let mut carry = [_mm512_setzero_si512(); 2];
    for (sums, limbs) in sums.iter().zip(&mut **x) {
        // SAFETY: upheld by the caller.
        let [a, b] = unsafe { sums.map(|sum| sum.assume_init()) };
        let (a, b) = (_mm512_add_epi64(a, carry[0]), _mm512_add_epi64(b, carry[1]));
        limbs.lo.store(_mm512_and_si512(a, mask));
        limbs.hi.store(_mm512_and_si512(b, mask));
        carry = [_mm512_srli_epi64::<LIMB_BITS>(a), _mm512_srli_epi64::<LIMB_BITS>(b)];
    }
}

/// The product of x and a multiplier. `limbs` gives the multiplier's limbs in order.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
fn rows<const K: usize>(
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    mut multiplier: impl FnMut(usize) -> (__m512i, __m512i),
) {
    let mut room = Room::new();
    let sums = room.columns_away_from::<K>(x.as_ptr().addr());
    // SAFETY: the first row comes first, and writes all columns.
    unsafe {
        row::<true, K>(c, x, multiplier(0), sums);
        for i in 1..K {
            row::<false, K>(c, x, multiplier(i), sums);
        }
        normalise(sums, x);
    }
}

/// [`rows`] with two limbs of the multiplier a pass: half as many loads and stores, and the same sums.
#[cfg(any(test, feature = "diagnostics"))]
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
fn rows_by_two<const K: usize>(
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    mut multiplier: impl FnMut(usize) -> (__m512i, __m512i),
) {
    let mut room = Room::new();
    let sums = room.columns_away_from::<K>(x.as_ptr().addr());
    // SAFETY: the first rows come first, and write all columns.
    unsafe {
        two_rows::<true, K>(c, x, [multiplier(0), multiplier(1)], sums);
        for i in 1..K / 2 {
            two_rows::<false, K>(c, x, [multiplier(2 * i), multiplier(2 * i + 1)], sums);
        }
        if K % 2 == 1 {
            row::<false, K>(c, x, multiplier(K - 1), sums);
        }
        normalise(sums, x);
    }
}

/// What a row multiplies by: a limb of the multiplier, and the quotient digits of both reductions.
#[derive(Clone, Copy)]
struct Row {
    y0: __m512i,
    y1: __m512i,
    m: __m512i,
    u: __m512i,
}

/// One limb of the multiplicand and of the modulus.
#[derive(Clone, Copy)]
struct At {
    x0: __m512i,
    x1: __m512i,
    n: __m512i,
}

impl At {
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
    #[inline]
    fn load<const K: usize>(c: &Constants<K>, x: &Lanes<Limb, K>, j: usize) -> Self {
        Self { x0: x[j].lo.load(), x1: x[j].hi.load(), n: alternating(&c.n[j]) }
    }
}

impl Row {
    /// The row of a limb, from the lowest column's sums, and the carries of this column.
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
    #[inline]
    fn new<const K: usize>(
        c: &Constants<K>,
        (y0, y1): (__m512i, __m512i),
        At { x0, x1, .. }: At,
        [a, b]: [__m512i; 2],
    ) -> (Self, [__m512i; 2]) {
        let zero = _mm512_setzero_si512();
        let mask = _mm512_set1_epi64(LIMB_MASK);
        let inverse = alternating(&c.negated_inverse);
        let first = _mm512_add_epi64(a, lo!(zero, y0, x0));
        let m = lo!(zero, first, inverse);
        let second = _mm512_add_epi64(b, lo!(lo!(mask, y0, x1), y1, x0));
        let second = _mm512_sub_epi64(second, m);
        let u = lo!(zero, second, inverse);
        let carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(first, mask));
        let second_carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(second, mask));
        (Self { y0, y1, m, u }, [carry, second_carry])
    }

    /// Adds high halves of the products with one limb and low halves of those with the next.
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
    #[inline]
    fn add(
        self,
        [a, b]: [__m512i; 2],
        [carry, second_carry]: [__m512i; 2],
        at: At,
        next: At,
    ) -> [__m512i; 2] {
        let Self { y0, y1, m, u } = self;
        let a = lo!(hi!(a, y0, at.x0), y0, next.x0);
        let b = lo!(lo!(hi!(hi!(b, y0, at.x1), y1, at.x0), y0, next.x1), y1, next.x0);
        let (a, b) = (_mm512_add_epi64(a, carry), _mm512_add_epi64(b, second_carry));
        [lo!(hi!(a, m, at.n), m, next.n), lo!(hi!(b, u, at.n), u, next.n)]
    }

    /// The sums of the column above the highest limb.
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
    #[inline]
    fn end(self, At { x0, x1, n }: At) -> [__m512i; 2] {
        let (Self { y0, y1, m, u }, zero) = (self, _mm512_setzero_si512());
        [hi!(hi!(zero, y0, x0), m, n), hi!(hi!(hi!(zero, y0, x1), y1, x0), u, n)]
    }
}

/// Adds a row of a product, and the multiples of n that make its lowest column zero.
///
/// # Safety
///
/// A row must have written all of `sums`, unless this is the `FIRST`.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
unsafe fn row<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    y: (__m512i, __m512i),
    sums: &mut [Column; K],
) {
    let mut at = At::load(c, x, 0);
    // SAFETY: upheld by the caller.
    let (row, mut carries) = Row::new(c, y, at, unsafe { get::<FIRST, K>(sums, 0, c) });
    for j in 1..K {
        let next = At::load(c, x, j);
        // SAFETY: as above.
        sums[j - 1] = column(row.add(unsafe { get::<FIRST, K>(sums, j, c) }, carries, at, next));
        (at, carries) = (next, [_mm512_setzero_si512(); 2]);
    }
    sums[K - 1] = column(row.end(at));
}

/// Adds two rows of a product in one pass: the second follows the first, one column behind.
///
/// # Safety
///
/// A row must have written all of `sums`, unless these are the `FIRST`.
#[cfg(any(test, feature = "diagnostics"))]
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
unsafe fn two_rows<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    [y, later_y]: [(__m512i, __m512i); 2],
    sums: &mut [Column; K],
) {
    let none = [_mm512_setzero_si512(); 2];
    let (mut before, mut at) = (At::load(c, x, 0), At::load(c, x, 1));
    // SAFETY: upheld by the caller.
    let (row, carries) = Row::new(c, y, before, unsafe { get::<FIRST, K>(sums, 0, c) });
    // SAFETY: as above.
    let lowest = row.add(unsafe { get::<FIRST, K>(sums, 1, c) }, carries, before, at);
    let (later, mut carries) = Row::new(c, later_y, before, lowest);
    let mut j = 2;
    // Two columns a turn, so that limbs change their names and not their registers.
    while j + 1 < K {
        let next = At::load(c, x, j);
        // SAFETY: as above.
        let sum = row.add(unsafe { get::<FIRST, K>(sums, j, c) }, none, at, next);
        sums[j - 2] = column(later.add(sum, carries, before, at));
        before = At::load(c, x, j + 1);
        // SAFETY: as above.
        let sum = row.add(unsafe { get::<FIRST, K>(sums, j + 1, c) }, none, next, before);
        sums[j - 1] = column(later.add(sum, none, at, next));
        (before, at, carries) = (next, before, none);
        j += 2;
    }
    if j < K {
        let next = At::load(c, x, j);
        // SAFETY: as above.
        let sum = row.add(unsafe { get::<FIRST, K>(sums, j, c) }, none, at, next);
        sums[j - 2] = column(later.add(sum, carries, before, at));
        (before, at, carries) = (at, next, none);
    }
    sums[K - 2] = column(later.add(row.end(at), carries, before, at));
    sums[K - 1] = column(later.end(at));
}

/// `x ← x²/R mod n²`: every product of two limbs of `x.lo` is computed once.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn square<const K: usize>(c: &Constants<K>, x: &mut Lanes<Limb, K>) {
    let mask = _mm512_set1_epi64(LIMB_MASK);
    let (mut room, mut doubled_room) = (Room::new(), Room::new());
    let sums = room.columns_away_from::<K>(x.as_ptr().addr());
    let doubled = doubled_room.columns_away_from::<K>(sums.as_ptr().addr());
    let mut carry = _mm512_setzero_si512();
    for (limb, doubled) in x.iter().zip(&mut *doubled) {
        let limb = limb.lo.load();
        let twice = _mm512_add_epi64(_mm512_add_epi64(limb, limb), carry);
        // 2·x.lo < 4n fits K limbs, so the last limb has no carry. The other half of a column is
        // unused; it keeps the same layout as the sums.
        doubled[0].write(_mm512_and_si512(twice, mask));
        carry = _mm512_srli_epi64::<LIMB_BITS>(twice);
    }
    // SAFETY: the loop has written all of `doubled`; the first row comes first, and writes all
    // columns.
    unsafe {
        square_row::<true, K>(c, x, doubled, 0, sums);
        for i in 1..K {
            square_row::<false, K>(c, x, doubled, i, sums);
        }
        normalise(sums, x);
    }
}

/// Adds row i of a square, and the multiples of n that make its lowest column zero.
///
/// The row of `x.lo²` begins at its diagonal, 2i, and continues with twice the limbs above it: the
/// limbs of d = 2·x.lo with propagated carries, without the bit that limb i carried into limb
/// i + 1. Earlier rows added the products of columns below the diagonal.
///
/// # Safety
///
/// `doubled` must have been written, and a row must have written all of `sums`, unless this is the
/// `FIRST`, i = 0.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
unsafe fn square_row<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    doubled: &[Column; K],
    i: usize,
    sums: &mut [Column; K],
) {
    let zero = _mm512_setzero_si512();
    let mask = _mm512_set1_epi64(LIMB_MASK);
    let inverse = alternating(&c.negated_inverse);
    let (x0, x1) = (x[i].lo.load(), x[i].hi.load());
    // SAFETY: upheld by the caller.
    let d_at = |j: usize| unsafe { doubled[j][0].assume_init() };
    let (mut d, mut n) = (d_at(0), alternating(&c.n[0]));
    // SAFETY: upheld by the caller.
    let [a, b] = unsafe { get::<FIRST, K>(sums, 0, c) };
    let first = if FIRST { lo!(a, x0, x0) } else { a };
    let m = lo!(zero, first, inverse);
    let second = _mm512_sub_epi64(_mm512_add_epi64(b, lo!(mask, x1, d)), m);
    let u = lo!(zero, second, inverse);
    let mut carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(first, mask));
    let mut second_carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(second, mask));
    // Below the diagonal: only reductions and the cross term.
    for j in 1..=i {
        let (next_d, next_n) = (d_at(j), alternating(&c.n[j]));
        // SAFETY: as above.
        let [a, b] = unsafe { get::<FIRST, K>(sums, j, c) };
        let a = _mm512_add_epi64(a, carry);
        let a = if j == i { lo!(a, x0, x0) } else { a };
        let b = lo!(hi!(_mm512_add_epi64(b, second_carry), x1, d), x1, next_d);
        sums[j - 1] = column([lo!(hi!(a, m, n), m, next_n), lo!(hi!(b, u, n), u, next_n)]);
        (d, n) = (next_d, next_n);
        (carry, second_carry) = (zero, zero);
    }
    // From the diagonal on, y runs along x0·(x0[i], 2·x0[i+1] without its carry, d[i+2], …).
    let mut y = x0;
    for j in i + 1..K {
        let (next_d, next_n) = (d_at(j), alternating(&c.n[j]));
        let next_y = if j == i + 1 {
            let limb = x[j].lo.load();
            _mm512_and_si512(_mm512_add_epi64(limb, limb), mask)
        } else {
            next_d
        };
        // SAFETY: as above.
        let [a, b] = unsafe { get::<FIRST, K>(sums, j, c) };
        let a = lo!(hi!(_mm512_add_epi64(a, carry), x0, y), x0, next_y);
        let b = lo!(hi!(_mm512_add_epi64(b, second_carry), x1, d), x1, next_d);
        sums[j - 1] = column([lo!(hi!(a, m, n), m, next_n), lo!(hi!(b, u, n), u, next_n)]);
        (d, n, y) = (next_d, next_n, next_y);
        (carry, second_carry) = (zero, zero);
    }
    sums[K - 1] = column([hi!(hi!(zero, x0, y), m, n), hi!(hi!(zero, x1, d), u, n)]);
}

/// For tables with separate entries for each lane: every lane's entry.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
pub(super) fn select<const K: usize>(table: &[Lanes<Limb, K>], digits: &Limb, out: &mut Lanes<Limb, K>) {
    if K < 10 {
        select_blocks::<5, K>(table, digits, out);
    } else {
        select_blocks::<10, K>(table, digits, out);
    }
}

/// Selects BLOCK limbs at a time. They stay in registers while all entries are read.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
#[inline]
fn select_blocks<const BLOCK: usize, const K: usize>(
    table: &[Lanes<Limb, K>],
    digits: &Limb,
    out: &mut Lanes<Limb, K>,
) {
    let digits = digits.load();
    for block in 0..K.div_ceil(BLOCK) {
        // The last block repeats some limbs if K is no multiple of BLOCK.
        let from = (block * BLOCK).min(K - BLOCK);
        let mut chosen = [[_mm512_setzero_si512(); 2]; BLOCK];
        for (i, entry) in (0..).zip(table) {
            let mask = _mm512_cmpeq_epi64_mask(digits, _mm512_set1_epi64(i));
            let limbs: &[Digits<Limb>; BLOCK] = entry[from..].first_chunk().expect("BLOCK ≤ K");
            for ([lo, hi], limb) in chosen.iter_mut().zip(limbs) {
                *lo = _mm512_mask_mov_epi64(*lo, mask, limb.lo.load());
                *hi = _mm512_mask_mov_epi64(*hi, mask, limb.hi.load());
            }
        }
        for (limb, [lo, hi]) in out[from..].iter_mut().zip(chosen) {
            limb.lo.store(lo);
            limb.hi.store(hi);
        }
    }
}

/// Every lane's entry of a row that all lanes share, for several groups of lanes. A permutation
/// selects among sixteen entries by the digit, and masked moves select among the groups of sixteen.
/// The row is read once for all groups of lanes: it comes from the second-level cache or beyond,
/// and reading it takes longer than all other work.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
pub(super) fn look_up<const K: usize>(
    row: &[Limb],
    octets: usize,
    digits: &[Limb; GROUPS],
    out: &mut [Lanes<Limb, K>; GROUPS],
) {
    let digits = digits.each_ref().map(|digits| digits.load());
    let mut masks = [[0; GROUPS]; OCTETS / 2];
    for (i, masks) in (0..).zip(&mut masks[..octets / 2]) {
        for (mask, digits) in masks.iter_mut().zip(digits) {
            *mask = _mm512_cmpeq_epi64_mask(_mm512_srli_epi64::<4>(digits), _mm512_set1_epi64(i));
        }
    }
    for (j, octets) in row.chunks_exact(octets).enumerate() {
        let mut values = [_mm512_setzero_si512(); GROUPS];
        for (pair, masks) in octets.chunks_exact(2).zip(&masks) {
            let (low, high) = (pair[0].load(), pair[1].load());
            for ((value, digits), mask) in values.iter_mut().zip(digits).zip(masks) {
                // The permutation reads the lowest four bits of every digit.
                let found = _mm512_permutex2var_epi64(low, digits, high);
                *value = _mm512_mask_mov_epi64(*value, *mask, found);
            }
        }
        for (out, value) in out.iter_mut().zip(values) {
            let limb = &mut out[j / 2];
            if j % 2 == 0 { &mut limb.lo } else { &mut limb.hi }.store(value);
        }
    }
}
