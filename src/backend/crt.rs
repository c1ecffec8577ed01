//! Decryption by the Chinese remainder theorem (Paillier, EUROCRYPT '99, section 7), except for the
//! exponentiations.
//!
//! Every backend computes the powers `(c mod p²)^(p−1)` and `(c mod q²)^(q−1)` itself.
//! [`PrimeConstants::to_mont`] gives the bases, and [`Crt::combine`] computes the plaintext from
//! the two powers.

use crypto_bigint::Word;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::residue::{self, Limbs, Modulus, Pair};

/// The two primes with their precomputed constants. All of it is secret.
#[derive(Debug)]
pub(super) struct Crt<H: Limbs> {
    pub(super) p: PrimeConstants<H>,
    pub(super) q: PrimeConstants<H>,
}

/// One prime with its precomputed constants.
pub(super) struct PrimeConstants<H: Limbs> {
    pub(super) modulus: Modulus<H>,
    /// p − 1.
    exponent: H,
    /// R², R³, n·R² and n·R³ modulo p². Each brings one quarter of a residue modulo n² to
    /// Montgomery form modulo p².
    pub(super) entries: [Pair<H>; 4],
    /// `(−q)⁻¹·R mod p`, the factor of L(c^(p−1)).
    h_mont: H,
}

impl<H: Limbs> PrimeConstants<H> {
    fn new(p: &H, q: &H) -> Self {
        let modulus = Modulus::new(*p).expect("primes are odd");
        let mut exponent = *p;
        exponent.words_mut()[0] &= !1;
        // n = 0 + q·p, and q < 2p because both have their top bit set.
        let q_reduced = reduce(q, p).lo;
        let n_mont = modulus.to_mont(&Pair::new(H::zero(), q_reduced));
        let entries = [*modulus.one_mont(), *modulus.r2(), n_mont, modulus.to_mont(&n_mont)];
        let entries = entries.map(|quarter| modulus.to_mont(&quarter));
        // (−q)^(p−2) by Fermat, in the first digit.
        let minus_q = negate(&q_reduced, p);
        let mut inverse_exponent = *p;
        let mut two = H::zero();
        two.words_mut()[0] = 2;
        residue::subtract(&mut inverse_exponent, &two);
        let bits = H::WORDS as u32 * Word::BITS;
        let h_mont =
            modulus.pow(&modulus.to_mont(&Pair::new(minus_q, H::zero())), inverse_exponent.words(), bits).lo;
        inverse_exponent.zeroize();
        Self { modulus, exponent, entries, h_mont }
    }

    /// p − 1, little-endian.
    pub(super) fn exponent(&self) -> &[Word] {
        self.exponent.words()
    }

    /// `c·R mod p²`.
    pub(super) fn to_mont<F: Limbs>(&self, c: &Pair<F>) -> Pair<H> {
        // c = a0 + b0·R + (a1 + b1·R)·n, with R = 2^(width of p).
        let p = &self.modulus;
        let (a0, b0) = residue::split::<F, H>(&c.lo);
        let (a1, b1) = residue::split::<F, H>(&c.hi);
        let mut mont = Pair::default();
        for (quarter, entry) in [a0, b0, a1, b1].iter().zip(&self.entries) {
            mont = p.add(&mont, &p.mul(&reduce(quarter, p.n()), entry));
        }
        mont
    }

    /// `m mod p` from `c^(p−1) = 1 + L·p`, and whether c was a unit modulo p. The function L of the
    /// paper is the second digit.
    fn plaintext_mod_p(&self, power: &Pair<H>) -> (H, subtle::Choice) {
        let is_unit = power.lo.words().ct_eq(Pair::<H>::one().lo.words());
        (self.modulus.mul_single(&power.hi, &self.h_mont), is_unit)
    }
}

impl<H: Limbs> Crt<H> {
    pub(super) fn new(p: &H, q: &H) -> Self {
        Self { p: PrimeConstants::new(p, q), q: PrimeConstants::new(q, p) }
    }

    /// m from `c^(p−1) mod p²` and `c^(q−1) mod q²`, and whether c was a unit modulo n.
    pub(super) fn combine<F: Limbs>(&self, p_power: &Pair<H>, q_power: &Pair<H>) -> (F, subtle::Choice) {
        let ((m_p, p_ok), (m_q, q_ok)) = (self.p.plaintext_mod_p(p_power), self.q.plaintext_mod_p(q_power));
        // m = m_q + q·((m_p − m_q)·q⁻¹ mod p), with the stored −q⁻¹.
        let p = &self.p.modulus;
        let difference = residue::add_mod(&reduce(&m_q, p.n()).lo, &negate(&m_p, p.n()), p.n(), 0).0;
        let factor = p.mul_single(&difference, &self.p.h_mont);
        let (lo, hi) = residue::mul_wide(self.q.modulus.n(), &factor, &m_q);
        (residue::concat(&lo, &hi), p_ok & q_ok)
    }
}

/// The plaintexts, or `None` if one of the residues was not a unit. The result reveals this fact,
/// but not the index.
pub(super) fn all_or_none<F: Limbs>(
    mut plaintexts: Zeroizing<Vec<F>>,
    units: &[subtle::Choice],
) -> Option<Vec<F>> {
    let all_units = units.iter().fold(subtle::Choice::from(1), |all, unit| all & *unit);
    bool::from(all_units).then(|| core::mem::take(&mut *plaintexts))
}

/// `value mod p` and the quotient, 0 or 1; for p with its top bit set.
fn reduce<H: Limbs>(value: &H, p: &H) -> Pair<H> {
    let (mut lo, mut hi) = (*value, H::zero());
    hi.words_mut()[0] = residue::conditional_subtract(&mut lo, &mut 0, p);
    Pair::new(lo, hi)
}

/// `−a mod p` for a < p.
fn negate<H: Limbs>(a: &H, p: &H) -> H {
    let mut difference = *p;
    residue::subtract(&mut difference, a);
    // p itself represents zero if a = 0.
    residue::conditional_subtract(&mut difference, &mut 0, p);
    difference
}

impl<H: Limbs> core::fmt::Debug for PrimeConstants<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PrimeConstants").finish_non_exhaustive()
    }
}

impl<H: Limbs> Drop for PrimeConstants<H> {
    fn drop(&mut self) {
        self.exponent.zeroize();
        self.entries.zeroize();
        self.h_mont.zeroize();
    }
}

// The modulus wipes itself.
impl<H: Limbs> ZeroizeOnDrop for PrimeConstants<H> {}
