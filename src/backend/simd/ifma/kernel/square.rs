//! Squarings: every product of two limbs of `x.lo` is computed once.

use super::{
    super::{
        Ifma, Limb, Pass,
        arch::{
            __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
            _mm512_set1_epi64, _mm512_setzero_si512, _mm512_srli_epi64, _mm512_sub_epi64,
        },
    },
    Column, ColumnMemory, LIMB_BITS, LIMB_MASK, alternating, column, get, normalise,
};
use crate::backend::simd::{lanes::Lanes, moduli::Constants};

/// `x ← x²/R mod n²`.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
pub(in super::super) fn square<const K: usize>(ifma: Ifma, c: &Constants<K>, x: &mut Lanes<Limb, K>) {
    let mask = _mm512_set1_epi64(LIMB_MASK);
    let (mut memory, mut doubled_memory) = (ColumnMemory::new(), ColumnMemory::new());
    let sums = memory.columns_away_from::<K>(x.as_ptr().addr());
    let doubled = doubled_memory.columns_away_from::<K>(sums.as_ptr().addr());
    let mut carry = _mm512_setzero_si512();
    for (limb, doubled) in x.iter().zip(&mut *doubled) {
        let limb = limb.lo.load();
        let twice = _mm512_add_epi64(_mm512_add_epi64(limb, limb), carry);
        // 2·x.lo < 4n fits K limbs, so the last limb has no carry. The other half of a column is
        // unused; it keeps the same layout as the sums.
        doubled[0].write(_mm512_and_si512(twice, mask));
        carry = _mm512_srli_epi64::<LIMB_BITS>(twice);
    }
    // SAFETY: the loop has written all of `doubled`; the first rows are added first, and write all
    // columns.
    unsafe {
        match ifma.pass {
            Pass::OneLimb => {
                one_row::<true, K>(c, x, doubled, 0, sums);
                for i in 1..K {
                    one_row::<false, K>(c, x, doubled, i, sums);
                }
            }
            Pass::TwoLimbs => {
                two_rows::<true, K>(c, x, doubled, 0, sums);
                for i in 1..K / 2 {
                    two_rows::<false, K>(c, x, doubled, 2 * i, sums);
                }
                if K % 2 == 1 {
                    one_row::<false, K>(c, x, doubled, K - 1, sums);
                }
            }
        }
        normalise(sums, x);
    }
}

/// Row i of a square: limb i of both digits, twice limb i + 1 of the first, and the quotient digits.
///
/// The row of `x.lo²` begins at its diagonal, 2i, and continues with twice the limbs above it: the
/// limbs of d = 2·x.lo with propagated carries, without the bit that limb i carried into limb
/// i + 1. Earlier rows added the products of columns below the diagonal.
#[derive(Clone, Copy)]
struct Row {
    i: usize,
    x0: __m512i,
    x1: __m512i,
    /// Twice `x.lo[i + 1]`, without its carry. Unused in the last row.
    after: __m512i,
    m: __m512i,
    u: __m512i,
}

/// One limb of d = 2·x.lo and of the modulus.
#[derive(Clone, Copy)]
struct At {
    d: __m512i,
    n: __m512i,
}

/// The position of a column in a row.
#[derive(Clone, Copy)]
enum Part {
    /// Left of the diagonal.
    Below,
    Diagonal,
    /// Right of the diagonal.
    Next,
    /// Two columns right of the diagonal.
    Third,
    /// Further right.
    Above,
}

impl Row {
    /// Row i, from the lowest column's sums, and the carries of this column.
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
    #[inline]
    fn new<const K: usize>(
        c: &Constants<K>,
        x: &Lanes<Limb, K>,
        i: usize,
        d: __m512i,
        [a, b]: [__m512i; 2],
    ) -> (Self, [__m512i; 2]) {
        let zero = _mm512_setzero_si512();
        let mask = _mm512_set1_epi64(LIMB_MASK);
        let inverse = alternating(&c.negated_inverse);
        let (x0, x1) = (x[i].lo.load(), x[i].hi.load());
        let after = x[(i + 1).min(K - 1)].lo.load();
        let after = _mm512_and_si512(_mm512_add_epi64(after, after), mask);
        let first = if i == 0 { lo!(a, x0, x0) } else { a };
        let m = lo!(zero, first, inverse);
        let second = _mm512_sub_epi64(_mm512_add_epi64(b, lo!(mask, x1, d)), m);
        let u = lo!(zero, second, inverse);
        let carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(first, mask));
        let second_carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(second, mask));
        (Self { i, x0, x1, after, m, u }, [carry, second_carry])
    }

    /// Where column j lies.
    #[inline]
    fn part(&self, j: usize) -> Part {
        match j.checked_sub(self.i) {
            None => Part::Below,
            Some(0) => Part::Diagonal,
            Some(1) => Part::Next,
            Some(2) => Part::Third,
            Some(_) => Part::Above,
        }
    }

    /// Adds the products of a column to its sums: high halves of those with limb `at`, and low
    /// halves of those with the next limb. The row of `x.lo²` multiplies by limb i itself at the
    /// diagonal, then by twice the next limb without its carry, and then by limbs of d.
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
    #[inline]
    fn add(&self, part: Part, [a, b]: [__m512i; 2], at: At, next: At) -> [__m512i; 2] {
        let Self { x0, x1, after, m, u, .. } = *self;
        let a = match part {
            Part::Below => a,
            Part::Diagonal => lo!(a, x0, x0),
            Part::Next => lo!(hi!(a, x0, x0), x0, after),
            Part::Third => lo!(hi!(a, x0, after), x0, next.d),
            Part::Above => lo!(hi!(a, x0, at.d), x0, next.d),
        };
        let b = lo!(hi!(b, x1, at.d), x1, next.d);
        [lo!(hi!(a, m, at.n), m, next.n), lo!(hi!(b, u, at.n), u, next.n)]
    }

    /// The sums of the column above the highest limb.
    #[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
    #[inline]
    fn end<const K: usize>(&self, at: At) -> [__m512i; 2] {
        let (Self { x0, x1, m, u, .. }, zero) = (*self, _mm512_setzero_si512());
        let y = match self.part(K) {
            Part::Below | Part::Diagonal => unreachable!("a row is one of K"),
            Part::Next => x0,
            Part::Third => self.after,
            Part::Above => at.d,
        };
        [hi!(hi!(zero, x0, y), m, at.n), hi!(hi!(zero, x1, at.d), u, at.n)]
    }
}

#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f"))]
#[inline]
fn add([a, b]: [__m512i; 2], [to_a, to_b]: [__m512i; 2]) -> [__m512i; 2] {
    [_mm512_add_epi64(a, to_a), _mm512_add_epi64(b, to_b)]
}

/// Adds row i of a square, and the multiples of n that make its lowest column zero.
///
/// # Safety
///
/// `doubled` must have been written, and a row must have written all of `sums`, unless this is the
/// `FIRST`, i = 0.
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
unsafe fn one_row<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    doubled: &[Column; K],
    i: usize,
    sums: &mut [Column; K],
) {
    // SAFETY: upheld by the caller.
    let at = |j: usize| At { d: unsafe { doubled[j][0].assume_init() }, n: alternating(&c.n[j]) };
    // SAFETY: as above.
    let get = |sums: &[Column; K], j| unsafe { get::<FIRST, K>(sums, j, c) };
    let mut p = at(0);
    let (row, mut carries) = Row::new(c, x, i, p.d, get(sums, 0));
    let mut j = 1;
    macro_rules! columns_until {
        ($part:expr, $end:expr) => {
            while j < $end {
                let next = at(j);
                sums[j - 1] = column(row.add($part, add(get(sums, j), carries), p, next));
                (p, carries) = (next, [_mm512_setzero_si512(); 2]);
                j += 1;
            }
        };
    }
    columns_until!(Part::Below, i);
    columns_until!(row.part(j), K.min(i + 3));
    columns_until!(Part::Above, K);
    sums[K - 1] = column(row.end::<K>(p));
}

/// Adds rows i and i + 1 of a square in one pass. The second row follows the first two columns
/// behind, and takes a column's sums from registers.
///
/// # Safety
///
/// As for [`one_row`].
#[cfg_attr(not(cipherfold_emulated_ifma), target_feature(enable = "avx512f,avx512ifma"))]
#[inline]
unsafe fn two_rows<const FIRST: bool, const K: usize>(
    c: &Constants<K>,
    x: &Lanes<Limb, K>,
    doubled: &[Column; K],
    i: usize,
    sums: &mut [Column; K],
) {
    // SAFETY: upheld by the caller.
    let at = |j: usize| At { d: unsafe { doubled[j][0].assume_init() }, n: alternating(&c.n[j]) };
    // SAFETY: as above.
    let get = |sums: &[Column; K], j| unsafe { get::<FIRST, K>(sums, j, c) };
    let (mut p, mut q, mut r) = (at(0), at(1), at(2));
    let (row, carries) = Row::new(c, x, i, p.d, get(sums, 0));
    let lowest = row.add(row.part(1), add(get(sums, 1), carries), p, q);
    let (later, carries) = Row::new(c, x, i + 1, p.d, lowest);
    // The sums of column j − 1 after the first row, which the second row adds to next.
    let mut between = add(row.add(row.part(2), get(sums, 2), q, r), carries);
    let mut j = 3;
    let mut s;
    // Limbs j − 3 to j are in use. With four columns a turn they change their names, and not their
    // registers.
    macro_rules! column_of_both {
        ($parts:expr, $j:expr, $p:ident, $q:ident, $r:ident, $next:ident) => {
            $next = at($j);
            let after = row.add($parts[0], get(sums, $j), $r, $next);
            sums[$j - 3] = column(later.add($parts[1], between, $p, $q));
            between = after;
        };
    }
    macro_rules! columns_until {
        ($part:expr, $end:expr) => {
            while j + 3 < $end {
                column_of_both!([$part; 2], j, p, q, r, s);
                column_of_both!([$part; 2], j + 1, q, r, s, p);
                column_of_both!([$part; 2], j + 2, r, s, p, q);
                column_of_both!([$part; 2], j + 3, s, p, q, r);
                j += 4;
            }
            while j < $end {
                column_of_both!([$part; 2], j, p, q, r, s);
                (p, q, r) = (q, r, s);
                j += 1;
            }
        };
    }
    columns_until!(Part::Below, i);
    if j == i && i + 6 <= K {
        column_of_both!([Part::Diagonal, Part::Below], j, p, q, r, s);
        column_of_both!([Part::Next, Part::Below], j + 1, q, r, s, p);
        column_of_both!([Part::Third, Part::Below], j + 2, r, s, p, q);
        column_of_both!([Part::Above, Part::Diagonal], j + 3, s, p, q, r);
        column_of_both!([Part::Above, Part::Next], j + 4, p, q, r, s);
        column_of_both!([Part::Above, Part::Third], j + 5, q, r, s, p);
        (p, q, r) = (r, s, p);
        j += 6;
    }
    while j < K.min(i + 6) {
        column_of_both!([row.part(j), later.part(j - 2)], j, p, q, r, s);
        (p, q, r) = (q, r, s);
        j += 1;
    }
    columns_until!(Part::Above, K);
    sums[K - 3] = column(later.add(later.part(K - 2), between, p, q));
    sums[K - 2] = column(later.add(later.part(K - 1), row.end::<K>(r), q, r));
    sums[K - 1] = column(later.end::<K>(r));
}
