//! Products of eight pairs at a time.
//!
//! Row i of a product takes limb i of the multiplier through all limbs of the multiplicand, and the quotient digits of both
//! reductions along with it: ten multiply-adds for each limb, on two rows of sums that are shifted down by one limb as
//! they are written back. The chain of the first digit hands its quotient digit to the chain of the second; everything
//! else of the two is independent and fills the waits of either. 10·K² multiply-adds in all, 7·K² for a squaring: the
//! bound is one multiply-add a cycle for every 512-bit unit of the processor.
//!
//! Bounds, with R = 2^(52·K) ≥ 16n and operands below 2n (Walter, "Montgomery exponentiation needs no final
//! subtractions", Electronics Letters 1999, for both digits): the first digit ends below `4n²/R + n < 2n`. The second
//! starts from z = (1 − R) mod n and adds the complement of every quotient digit of the first, `z + (R − 1) − m ≡ −m`,
//! and ends below `(8n² + R + n)/R + n < 2n`. A sum takes at most 6 products of 52 bits a row, less than
//! 6·79·2^52 < 2^61 in all.

#![allow(clippy::many_single_char_names, reason = "the letters of the formulas")]

use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_srli_epi64, _mm512_sub_epi64,
};

use super::lanes::{LIMB_BITS, LIMB_MASK_I64, Lanes, Limb};

/// A modulus as the kernels want it, the same in every lane.
#[derive(Clone)]
pub(super) struct Constants<const K: usize> {
    pub(super) n: [Limb; K],
    /// (1 − R) mod n.
    pub(super) z: [Limb; K],
    /// −n⁻¹ modulo 2^52.
    pub(super) negated_inverse: Limb,
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
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul<const K: usize>(c: &Constants<K>, x: &mut Lanes<K>, y: &Lanes<K>) {
    let zero = _mm512_setzero_si512();
    let mask = _mm512_set1_epi64(LIMB_MASK_I64);
    let inverse = c.negated_inverse.load();
    let mut a = [zero; K];
    let mut b = [zero; K];
    for (sum, z) in b.iter_mut().zip(&c.z) {
        *sum = z.load();
    }
    for i in 0..K {
        let (x0, x1) = (x.lo[i].load(), x.hi[i].load());
        let (mut y0, mut y1, mut n) = (y.lo[0].load(), y.hi[0].load(), c.n[0].load());
        let first = lo!(a[0], x0, y0);
        let m = lo!(zero, first, inverse);
        let second = lo!(lo!(_mm512_add_epi64(b[0], _mm512_sub_epi64(mask, m)), x0, y1), x1, y0);
        let u = lo!(zero, second, inverse);
        let mut carry = _mm512_srli_epi64::<LIMB_BITS>(lo!(first, m, n));
        let mut second_carry = _mm512_srli_epi64::<LIMB_BITS>(lo!(second, u, n));
        for j in 1..K {
            let (next_y0, next_y1, next_n) = (y.lo[j].load(), y.hi[j].load(), c.n[j].load());
            let mut sum = hi!(_mm512_add_epi64(a[j], carry), x0, y0);
            let mut second_sum = hi!(hi!(_mm512_add_epi64(b[j], second_carry), x0, y1), x1, y0);
            sum = hi!(sum, m, n);
            second_sum = hi!(second_sum, u, n);
            sum = lo!(lo!(sum, x0, next_y0), m, next_n);
            second_sum = lo!(lo!(lo!(second_sum, x0, next_y1), x1, next_y0), u, next_n);
            a[j - 1] = sum;
            b[j - 1] = second_sum;
            (y0, y1, n) = (next_y0, next_y1, next_n);
            (carry, second_carry) = (zero, zero);
        }
        a[K - 1] = hi!(hi!(zero, x0, y0), m, n);
        b[K - 1] = hi!(hi!(hi!(zero, x0, y1), x1, y0), u, n);
    }
    normalise(&a, &mut x.lo);
    normalise(&b, &mut x.hi);
}

/// `x ← x²/R mod n²`: every product of two limbs of `x.lo` is formed once.
///
/// Row i of `x.lo²` begins at its diagonal and goes on with twice the limbs above, of d = 2·x.lo with its carries
/// done. In the first of these the bit that limb i carried must be left out, because it is not limb i + 1's.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn square<const K: usize>(c: &Constants<K>, x: &mut Lanes<K>) {
    let zero = _mm512_setzero_si512();
    let mask = _mm512_set1_epi64(LIMB_MASK_I64);
    let inverse = c.negated_inverse.load();
    let mut doubled = [zero; K];
    let mut a = [zero; K];
    let mut b = [zero; K];
    let mut carried = zero;
    for j in 0..K {
        let limb = x.lo[j].load();
        let twice = _mm512_add_epi64(_mm512_add_epi64(limb, limb), carried);
        // 2·x.lo < 4n fits K limbs, so nothing is carried out of the last.
        doubled[j] = _mm512_and_si512(twice, mask);
        carried = _mm512_srli_epi64::<LIMB_BITS>(twice);
        b[j] = c.z[j].load();
    }
    for i in 0..K {
        let (x0, x1) = (x.lo[i].load(), x.hi[i].load());
        // Limbs below i of x.lo² are done: what stands at weight i is the diagonal for i = 0 only, and above it is
        // added by the loop below at its place 2i − i = i.
        let (mut d, mut n) = (doubled[0], c.n[0].load());
        let first = if i == 0 { lo!(a[0], x0, x0) } else { a[0] };
        let m = lo!(zero, first, inverse);
        let second = lo!(_mm512_add_epi64(b[0], _mm512_sub_epi64(mask, m)), x1, d);
        let u = lo!(zero, second, inverse);
        let mut carry = _mm512_srli_epi64::<LIMB_BITS>(lo!(first, m, n));
        let mut second_carry = _mm512_srli_epi64::<LIMB_BITS>(lo!(second, u, n));
        // Below the diagonal: reductions and the cross term only.
        for j in 1..=i.min(K - 1) {
            let (next_d, next_n) = (doubled[j], c.n[j].load());
            let mut sum = hi!(_mm512_add_epi64(a[j], carry), m, n);
            let mut second_sum = hi!(hi!(_mm512_add_epi64(b[j], second_carry), x1, d), u, n);
            sum = lo!(sum, m, next_n);
            second_sum = lo!(lo!(second_sum, x1, next_d), u, next_n);
            if j == i {
                sum = lo!(sum, x0, x0);
            }
            a[j - 1] = sum;
            b[j - 1] = second_sum;
            (d, n) = (next_d, next_n);
            (carry, second_carry) = (zero, zero);
        }
        // From the diagonal on, y runs along x0·(x0[i], 2·x0[i+1] without its carry, d[i+2], …).
        let mut y = x0;
        for j in i + 1..K {
            let (next_d, next_n) = (doubled[j], c.n[j].load());
            let next_y = if j == i + 1 {
                let limb = x.lo[j].load();
                _mm512_and_si512(_mm512_add_epi64(limb, limb), mask)
            } else {
                next_d
            };
            let mut sum = hi!(_mm512_add_epi64(a[j], carry), x0, y);
            let mut second_sum = hi!(hi!(_mm512_add_epi64(b[j], second_carry), x1, d), u, n);
            sum = hi!(sum, m, n);
            sum = lo!(lo!(sum, x0, next_y), m, next_n);
            second_sum = lo!(lo!(second_sum, x1, next_d), u, next_n);
            a[j - 1] = sum;
            b[j - 1] = second_sum;
            (d, n, y) = (next_d, next_n, next_y);
            (carry, second_carry) = (zero, zero);
        }
        a[K - 1] = hi!(hi!(zero, x0, y), m, n);
        b[K - 1] = hi!(hi!(zero, x1, d), u, n);
    }
    normalise(&a, &mut x.lo);
    normalise(&b, &mut x.hi);
}

/// Carries sums of up to 64 bits through to limbs of 52.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn normalise<const K: usize>(sums: &[__m512i; K], out: &mut [Limb; K]) {
    let mask = _mm512_set1_epi64(LIMB_MASK_I64);
    let mut carry = _mm512_setzero_si512();
    for (sum, limb) in sums.iter().zip(out) {
        let sum = _mm512_add_epi64(*sum, carry);
        limb.store(_mm512_and_si512(sum, mask));
        carry = _mm512_srli_epi64::<LIMB_BITS>(sum);
    }
}
