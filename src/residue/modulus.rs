//! A modulus n and the residues modulo n² that it defines.

use core::fmt;

use crypto_bigint::Word;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    limbs::Limbs,
    sums::{add_mod, double_mod},
};

/// A residue modulo n² as two digits in base n: `lo + hi·n`, both below n.
///
/// The type does not show whether a value is in Montgomery form. Names of values in Montgomery form
/// end in `_mont`; such a value represents itself times R⁻¹.
#[derive(Clone, Copy, PartialEq, Eq, Default, Zeroize)]
pub struct Pair<U: Limbs> {
    /// The residue modulo n.
    pub lo: U,
    /// The quotient by n.
    pub hi: U,
}

impl<U: Limbs> Pair<U> {
    /// `lo + hi·n`.
    pub fn new(lo: U, hi: U) -> Self {
        Self { lo, hi }
    }

    /// The number one.
    pub fn one() -> Self {
        let mut lo = U::zero();
        lo.words_mut()[0] = 1;
        Self { lo, hi: U::zero() }
    }
}

// A pair may be secret (a randomizer, a residue modulo p²), so its digits are never printed.
impl<U: Limbs> fmt::Debug for Pair<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl<U: Limbs> ConstantTimeEq for Pair<U> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.lo.words().ct_eq(other.lo.words()) & self.hi.words().ct_eq(other.hi.words())
    }
}

/// An odd modulus n ≥ 3 of at most `U::WORDS` words, with the constants of Montgomery arithmetic
/// modulo n². R is `2^(word bits · U::WORDS)`.
///
/// The modulus may be secret (p and q are): no time depends on its value, `Debug` does not show it,
/// and it is wiped on drop.
#[derive(Clone)]
pub struct Modulus<U: Limbs> {
    n: U,
    /// −n⁻¹ modulo one word.
    negated_inverse: Word,
    /// R mod n²: the number one in Montgomery form.
    one_mont: Pair<U>,
    /// R² mod n².
    r2: Pair<U>,
}

impl<U: Limbs> Modulus<U> {
    /// A modulus, or `None` for an even number, zero or one.
    pub fn new(n: U) -> Option<Self> {
        let rest = n.words()[1..].iter().fold(0, |any, word| any | word);
        let (odd, above_one) = (n.words()[0] & 1, rest | (n.words()[0] >> 1));
        // Whether a modulus is valid is public.
        if odd == 0 || above_one == 0 {
            return None;
        }
        let mut modulus = Self {
            n,
            negated_inverse: word_inverse(n.words()[0]).wrapping_neg(),
            one_mont: Pair::one(),
            r2: Pair::one(),
        };
        let bits = U::WORDS as u32 * Word::BITS;
        for _ in 0..bits {
            modulus.one_mont = modulus.double(&modulus.one_mont);
        }
        modulus.r2 = modulus.one_mont;
        for _ in 0..bits {
            modulus.r2 = modulus.double(&modulus.r2);
        }
        Some(modulus)
    }

    /// n itself.
    pub fn n(&self) -> &U {
        &self.n
    }

    /// −n⁻¹ modulo one word.
    pub fn negated_inverse(&self) -> Word {
        self.negated_inverse
    }

    /// The number one in Montgomery form, `R mod n²`.
    pub fn one_mont(&self) -> &Pair<U> {
        &self.one_mont
    }

    /// `R² mod n²`: a product with it converts to Montgomery form.
    pub fn r2(&self) -> &Pair<U> {
        &self.r2
    }

    /// `x·y/R mod n²`. 5k² limb products.
    pub fn mul(&self, x: &Pair<U>, y: &Pair<U>) -> Pair<U> {
        let [lo, hi] = U::mul_digits(&self.n, self.negated_inverse, [&x.lo, &x.hi], [&y.lo, &y.hi]);
        Pair { lo, hi }
    }

    /// `x²/R mod n²`. 3.5k² limb products.
    pub fn square(&self, x: &Pair<U>) -> Pair<U> {
        let [lo, hi] = U::square_digits(&self.n, self.negated_inverse, [&x.lo, &x.hi]);
        Pair { lo, hi }
    }

    /// `a·b/R mod n`, for a, b below n: 2k² limb products.
    pub fn mul_single(&self, a: &U, b: &U) -> U {
        U::mul_single(&self.n, self.negated_inverse, a, b)
    }

    /// `x·R mod n²`.
    pub fn to_mont(&self, x: &Pair<U>) -> Pair<U> {
        self.mul(x, &self.r2)
    }

    /// `x/R mod n²`.
    pub fn from_mont(&self, x: &Pair<U>) -> Pair<U> {
        self.mul(x, &Pair::one())
    }

    /// `x + y mod n²`.
    pub fn add(&self, x: &Pair<U>, y: &Pair<U>) -> Pair<U> {
        let (lo, carry) = add_mod(&x.lo, &y.lo, &self.n, 0);
        let (hi, _) = add_mod(&x.hi, &y.hi, &self.n, carry);
        Pair { lo, hi }
    }

    /// `2x mod n²`.
    fn double(&self, x: &Pair<U>) -> Pair<U> {
        let (lo, carry) = double_mod(&x.lo, &self.n, 0);
        let (hi, _) = double_mod(&x.hi, &self.n, carry);
        Pair { lo, hi }
    }

    /// Whether both digits are below n. **Time depends on them**: for public values such as
    /// ciphertexts.
    pub fn contains_vartime(&self, x: &Pair<U>) -> bool {
        let below_n = |digit: &U| digit.words().iter().rev().lt(self.n.words().iter().rev());
        below_n(&x.lo) && below_n(&x.hi)
    }
}

/// Inverse of an odd word modulo 2^word bits (Newton: every step doubles the correct bits).
fn word_inverse(odd: Word) -> Word {
    // odd·odd ≡ 1 mod 8: three correct bits, then 6, 12, 24, 48, 96.
    let mut inverse = odd;
    for _ in 0..5 {
        inverse = inverse.wrapping_mul((2 as Word).wrapping_sub(odd.wrapping_mul(inverse)));
    }
    inverse
}

impl<U: Limbs> fmt::Debug for Modulus<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modulus").field("words", &U::WORDS).finish_non_exhaustive()
    }
}

impl<U: Limbs> Zeroize for Modulus<U> {
    fn zeroize(&mut self) {
        self.n.zeroize();
        self.negated_inverse.zeroize();
        self.one_mont.zeroize();
        self.r2.zeroize();
    }
}

impl<U: Limbs> Drop for Modulus<U> {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl<U: Limbs> ZeroizeOnDrop for Modulus<U> {}
