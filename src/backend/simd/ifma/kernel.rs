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
//! units, 2.5 for loads and 2 for stores: the units should be the bound. A row adds nine other
//! vector instructions for its quotient digits. In LLVM's model of a Xeon with two units
//! (`benches/mca/rows.py`) a row of 40 limbs takes 206 cycles, and its 400 multiply-adds alone take
//! 200. Zen 4 and Zen 5 confirm it: with `throughput`, additions reach 93 to 97 % of the peak
//! multiply-add rate of a core with one unit (Zen 4), and 94 to 96 % with two units (Zen 5).
//!
//! A Xeon with two units (Sapphire Rapids) is further from the bound: products reach 70 to 75 % of
//! the peak there. The number of limbs does not matter, so the start of a row is not the reason.
//! Unrolling the loop changes nothing. A variant with shorter chains, and with one more load and
//! one more store for each limb, takes 15 % longer. On this core, loads and stores take time beside
//! the multiply-adds.
//!
//! # One or two limbs of the multiplier a pass
//!
//! [`two_rows`] adds two rows in one pass. The second row takes a column's sums from registers, so
//! that a product has half as many loads and stores. It follows two columns behind: its sums were
//! finished a turn before, and the chains of dependent multiply-adds stay short. The sums are the
//! same, bit for bit.
//!
//! On the Xeon, products then take 0.81 to 0.87 of the time, and squarings, which have more loads
//! for each multiply-add, 0.78 to 0.80 (`cargo bench --bench limbs_a_pass`, 2048 to 4096 bits).
//! LLVM's model says the opposite: 219 cycles a row instead of 206, because the scheduler is full in
//! 86 % of the cycles. The measurement decides: Intel's processors use two limbs a pass. The others
//! use one, which leaves little to gain there; two limbs have not been measured on them.
//!
//! Three limbs a pass are no faster on the Xeon than two. Their limbs fit the 32 registers only if
//! every row follows one column behind.

#![allow(clippy::many_single_char_names, reason = "the letters of the formulas")]
#![allow(clippy::needless_range_loop, reason = "a column has the same index in several arrays")]

use core::mem;

use super::arch::{
    __m512i, _MM_HINT_T1, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_prefetch, _mm512_add_epi64,
    _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi64_mask, _mm512_load_si512,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_mov_epi64, _mm512_mask_set1_epi64,
    _mm512_permutex2var_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_srl_epi64, _mm512_srli_epi64,
    _mm512_store_si512, _mm512_sub_epi64,
};

use super::{
    super::{
        columns::{self, column},
        lanes::{Digits, Lanes, limb_position, read},
        moduli::Constants,
        table::{GROUPS, MAX_REGISTERS_PER_LIMB},
    },
    Ifma, Limb, Pass,
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

mod square;

pub(super) use square::square;

/// `x ← x·y/R mod n²`.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn mul<const K: usize>(ifma: Ifma, c: &Constants<K>, x: &mut Lanes<Limb, K>, y: &Lanes<Limb, K>) {
    rows(ifma, c, x, |i| (y[i].lo.load(), y[i].hi.load()));
}

/// Like [`mul`], and prefetches `to_prefetch`: some cache lines with each row.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn mul_and_prefetch<const K: usize>(
    ifma: Ifma,
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    y: &Lanes<Limb, K>,
    to_prefetch: &[Limb],
) {
    let lines = to_prefetch.len().div_ceil(K);
    rows(ifma, c, x, |i| {
        for line in to_prefetch.iter().skip(i * lines).take(lines) {
            // SAFETY: a prefetch is a hint for any address.
            #[allow(unused_unsafe, reason = "safe since Rust 1.90 or so")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(line.0.as_ptr().cast());
            }
        }
        (y[i].lo.load(), y[i].hi.load())
    });
}

/// `x ← x·y/R mod n²` for eight residues in words.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(super) fn mul_words<U: Limbs, const K: usize>(
    ifma: Ifma,
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    y: &[Pair<U>],
) {
    let y: &[Pair<U>; 8] = y.try_into().expect("a residue for every lane");
    // One by one, with masked loads: compilers would otherwise emit gathers, which are slow, and
    // very slow on processors with security fixes for gathers.
    let limb = |i: usize| {
        let (byte, shift) = limb_position::<Limb, U>(i);
        let mut limb = [_mm512_setzero_si512(); 2];
        for (lane, pair) in y.iter().enumerate() {
            for (limb, digit) in limb.iter_mut().zip([&pair.lo, &pair.hi]) {
                *limb = _mm512_mask_set1_epi64(*limb, 1 << lane, read(digit.words(), byte).cast_signed());
            }
        }
        // Multiply-adds use the lowest 52 bits and ignore the others.
        let shift = _mm_cvtsi32_si128(shift.cast_signed());
        (_mm512_srl_epi64(limb[0], shift), _mm512_srl_epi64(limb[1], shift))
    };
    // Each limb is read one row ahead.
    let mut next = limb(0);
    rows(ifma, c, x, |i| mem::replace(&mut next, limb((i + 1).min(K - 1))));
}

/// Memory for the columns of the longest number, with 79 limbs.
type ColumnMemory = columns::ColumnMemory<__m512i, { 79 + columns::period::<__m512i>() }>;

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

/// The product of x and a multiplier. `multiplier` gives the multiplier's limbs in order.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
fn rows<const K: usize>(
    ifma: Ifma,
    c: &Constants<K>,
    x: &mut Lanes<Limb, K>,
    mut multiplier: impl FnMut(usize) -> (__m512i, __m512i),
) {
    let mut memory = ColumnMemory::new();
    let sums = memory.columns_away_from::<K>(x.as_ptr().addr());
    // SAFETY: the first rows are added first, and write all columns.
    unsafe {
        match ifma.pass {
            Pass::OneLimb => {
                row::<true, K>(c, x, multiplier(0), sums);
                for i in 1..K {
                    row::<false, K>(c, x, multiplier(i), sums);
                }
            }
            Pass::TwoLimbs => {
                two_rows::<true, K>(c, x, [multiplier(0), multiplier(1)], sums);
                for i in 1..K / 2 {
                    two_rows::<false, K>(c, x, [multiplier(2 * i), multiplier(2 * i + 1)], sums);
                }
                if K % 2 == 1 {
                    row::<false, K>(c, x, multiplier(K - 1), sums);
                }
            }
        }
        normalise(sums, x);
    }
}

/// The multipliers of a row: a limb of the multiplier, and the quotient digits of both reductions.
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

/// Adds two rows of a product in one pass. The second row follows the first two columns behind, and
/// takes a column's sums from registers.
///
/// # Safety
///
/// A row must have written all of `sums`, unless these are the `FIRST`.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
unsafe fn two_rows<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    [y, later_y]: [(__m512i, __m512i); 2],
    sums: &mut [Column; K],
) {
    let none = [_mm512_setzero_si512(); 2];
    // SAFETY: upheld by the caller.
    let get = |sums: &[Column; K], j| unsafe { get::<FIRST, K>(sums, j, c) };
    let (mut a, mut b, mut d) = (At::load(c, x, 0), At::load(c, x, 1), At::load(c, x, 2));
    let (row, carries) = Row::new(c, y, a, get(sums, 0));
    let lowest = row.add(get(sums, 1), carries, a, b);
    let (later, [carry, second_carry]) = Row::new(c, later_y, a, lowest);
    // The sums of column j − 1 after the first row, which the second row adds to next.
    let [lo, hi] = row.add(get(sums, 2), none, b, d);
    let mut between = [_mm512_add_epi64(lo, carry), _mm512_add_epi64(hi, second_carry)];
    let mut j = 3;
    // Limbs j − 3 to j are in use. With four columns a turn they change their names, and not their
    // registers.
    macro_rules! column_of_both {
        ($j:expr, $a:ident, $b:ident, $d:ident, $next:ident) => {
            $next = At::load(c, x, $j);
            let after = row.add(get(sums, $j), none, $d, $next);
            sums[$j - 3] = column(later.add(between, none, $a, $b));
            between = after;
        };
    }
    let mut e;
    while j + 3 < K {
        column_of_both!(j, a, b, d, e);
        column_of_both!(j + 1, b, d, e, a);
        column_of_both!(j + 2, d, e, a, b);
        column_of_both!(j + 3, e, a, b, d);
        j += 4;
    }
    while j < K {
        column_of_both!(j, a, b, d, e);
        (a, b, d) = (b, d, e);
        j += 1;
    }
    sums[K - 3] = column(later.add(between, none, a, b));
    sums[K - 2] = column(later.add(row.end(d), none, b, d));
    sums[K - 1] = column(later.end(d));
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
        // The last block repeats some limbs if K is not a multiple of BLOCK.
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
    per_limb: usize,
    digits: &[Limb; GROUPS],
    out: &mut [Lanes<Limb, K>; GROUPS],
) {
    let digits = digits.each_ref().map(|digits| digits.load());
    let mut masks = [[0; GROUPS]; MAX_REGISTERS_PER_LIMB / 2];
    for (i, masks) in (0..).zip(&mut masks[..per_limb / 2]) {
        for (mask, digits) in masks.iter_mut().zip(digits) {
            *mask = _mm512_cmpeq_epi64_mask(_mm512_srli_epi64::<4>(digits), _mm512_set1_epi64(i));
        }
    }
    let mut rest = row;
    for j in 0..2 * K {
        let registers;
        (registers, rest) = rest.split_at(per_limb);
        let mut values = [_mm512_setzero_si512(); GROUPS];
        for (pair, masks) in registers.chunks_exact(2).zip(&masks) {
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
