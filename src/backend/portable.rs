//! Plain code over the residues: the reference.

use std::sync::Arc;

use rayon::prelude::*;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crypto_bigint::Word;

use super::{
    Backend, FixedBaseEngine, Fold, PublicEngine, SecretEngine,
    window::{TableCosts, window},
};
use crate::residue::{self, FixedBase, Limbs, Modulus, Pair};

/// Portable code, on all threads of the current rayon pool. Constant time in everything secret.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl<F: Limbs, H: Limbs> Backend<F, H> for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn public(&self, modulus: &Arc<Modulus<F>>) -> Arc<dyn PublicEngine<F>> {
        Arc::new(Public::new(Arc::clone(modulus)))
    }

    fn fixed_base(
        &self,
        modulus: &Arc<Modulus<F>>,
        base: &Pair<F>,
        bits: u32,
    ) -> Arc<dyn FixedBaseEngine<F, H>> {
        let table = FixedBase::new(modulus, &modulus.to_mont(base), bits, window(bits, &table_costs::<F>()));
        Arc::new(Powers { modulus: Arc::clone(modulus), table })
    }

    fn secret(&self, p: &H, q: &H) -> Arc<dyn SecretEngine<F>> {
        Arc::new(Secret(Crt::new(p, q)))
    }
}

/// Costs of the fixed-base table. At 2048 bits a power with an exponent of 1024 bits took 884, 767, 663, 674 and 743 µs with
/// windows of 4 to 8 bits on one machine: wider ones save products, and lose more than that to
/// reading the whole row every time. The table takes 5.6, 12.6 and 22.4 MB at 2048, 3072 and 4096 bits.
///
/// By these times a product takes as long as reading 320 entries. It grows with the square of the modulus' words, and an entry with
/// their number. So short exponents get windows of 6, 6 and 7 bits, in 43, 48 and 48 products, and tables of 1.4, 2.4 and 6.3 MB.
fn table_costs<F: Limbs>() -> TableCosts {
    let bits = F::WORDS as u64 * u64::from(Word::BITS);
    TableCosts { entries_per_product: bits / 64 * 10, entry_bytes: size_of::<Pair<F>>(), usual: 6, widest: 8 }
}

/// Residues that one task of the thread pool works on, at least: about ten milliseconds of encryptions, and some
/// fifty microseconds of products.
const TASK: usize = 16;

#[derive(Debug)]
pub(super) struct Public<F: Limbs> {
    modulus: Arc<Modulus<F>>,
}

impl<F: Limbs> Public<F> {
    pub(super) fn new(modulus: Arc<Modulus<F>>) -> Self {
        Self { modulus }
    }
}

impl<F: Limbs> PublicEngine<F> for Public<F> {
    fn mul(&self, xs: &[Pair<F>], ys: &[Pair<F>]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ys.len(), "factors come in pairs");
        let n = &*self.modulus;
        let product = |(x, y): (&Pair<F>, &Pair<F>)| n.mul(&n.mul(x, n.r2()), y);
        xs.par_iter().zip(ys).with_min_len(TASK).map(product).collect()
    }

    fn fold(&self, len: usize) -> Box<dyn Fold<F>> {
        Box::new(Product { modulus: Arc::clone(&self.modulus), slots: vec![Pair::one(); len], factors: 0 })
    }

    fn pow(&self, xs: &[Pair<F>], exponents: &[F], bits: u32) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), exponents.len(), "every base has its exponent");
        let n = &*self.modulus;
        let power =
            |(x, exponent): (&Pair<F>, &F)| n.from_mont(&n.pow(&n.to_mont(x), exponent.words(), bits));
        xs.par_iter().zip(exponents).map(power).collect()
    }

    fn add_plain(&self, xs: &[Pair<F>], ms: &[F]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ms.len(), "every ciphertext has its plaintext");
        let n = &*self.modulus;
        // x·(1 + m·n) = x.lo + (x.hi + m·x.lo mod n)·n, where R² mod n takes R out of the product.
        let sum = |(x, m): (&Pair<F>, &F)| {
            let product = n.mul_single(&n.mul_single(m, &n.r2().lo), &x.lo);
            Pair::new(x.lo, residue::add_mod(&x.hi, &product, n.n(), 0).0)
        };
        xs.par_iter().zip(ms).with_min_len(TASK).map(sum).collect()
    }
}

/// A fold without Montgomery conversions: m factors leave R^−(m−1) behind, whatever the order, and
/// one last product takes it out.
#[derive(Debug)]
struct Product<F: Limbs> {
    modulus: Arc<Modulus<F>>,
    slots: Vec<Pair<F>>,
    factors: u64,
}

impl<F: Limbs> Fold<F> for Product<F> {
    fn add(&mut self, contribution: &Arc<Vec<Pair<F>>>) {
        assert_eq!(self.slots.len(), contribution.len(), "a contribution has a residue for every slot");
        if self.factors == 0 {
            self.slots.copy_from_slice(contribution);
        } else {
            let n = &*self.modulus;
            self.slots
                .par_iter_mut()
                .zip(contribution.as_slice())
                .with_min_len(TASK)
                .for_each(|(slot, x)| *slot = n.mul(slot, x));
        }
        self.factors += 1;
    }

    fn finish(self: Box<Self>) -> Vec<Pair<F>> {
        let n = &*self.modulus;
        let mut slots = self.slots;
        if self.factors > 1 {
            // R² is R in Montgomery form. The number of factors is public.
            let missing = self.factors - 1;
            let words = [missing as Word, missing.checked_shr(Word::BITS).unwrap_or(0) as Word];
            let correction = n.pow(n.r2(), &words, u64::BITS - missing.leading_zeros());
            slots.par_iter_mut().with_min_len(TASK).for_each(|slot| *slot = n.mul(slot, &correction));
        }
        slots
    }
}

#[derive(Debug)]
struct Powers<F: Limbs> {
    modulus: Arc<Modulus<F>>,
    table: FixedBase<F>,
}

impl<F: Limbs, H: Limbs> FixedBaseEngine<F, H> for Powers<F> {
    fn pow(&self, exponents: &[H]) -> Vec<Pair<F>> {
        let n = &*self.modulus;
        // Written where they stay: a parallel collection would leave copies of these secrets behind.
        let mut powers = vec![Pair::default(); exponents.len()];
        powers.par_chunks_mut(TASK).zip(exponents.par_chunks(TASK)).for_each(|(powers, exponents)| {
            let monts = Zeroizing::new(self.table.pow_batch(n, exponents));
            for (power, mont) in powers.iter_mut().zip(&*monts) {
                *power = n.from_mont(mont);
            }
        });
        powers
    }

    fn encrypt(&self, ms: &[F], exponents: &[H]) -> Vec<Pair<F>> {
        assert_eq!(ms.len(), exponents.len(), "every plaintext has its exponent");
        let n = &*self.modulus;
        let mut ciphertexts = vec![Pair::default(); ms.len()];
        let tasks = ms.par_chunks(TASK).zip(exponents.par_chunks(TASK));
        ciphertexts.par_chunks_mut(TASK).zip(tasks).for_each(|(ciphertexts, (ms, exponents))| {
            let powers = Zeroizing::new(self.table.pow_batch(n, exponents));
            // The one product that adds the plaintext also leaves Montgomery form.
            let mut unit = Zeroizing::new(Pair::one());
            for ((ciphertext, power), m) in ciphertexts.iter_mut().zip(&*powers).zip(ms) {
                unit.hi = *m;
                *ciphertext = n.mul(power, &unit);
            }
        });
        ciphertexts
    }

    fn table_bytes(&self) -> usize {
        self.table.table_bytes()
    }
}

/// Decryption by the Chinese remainder theorem (Paillier, EUROCRYPT '99, section 7).
#[derive(Debug)]
struct Secret<H: Limbs>(Crt<H>);

/// The two primes, each with what it needs: everything about decryption but the exponentiations. Secret, all of it.
#[derive(Debug)]
pub(super) struct Crt<H: Limbs> {
    pub(super) p: Half<H>,
    pub(super) q: Half<H>,
}

/// What one of the primes knows.
pub(super) struct Half<H: Limbs> {
    pub(super) modulus: Modulus<H>,
    /// p − 1.
    exponent: H,
    /// R², R³, n·R² and n·R³ modulo p²: each takes one quarter of a residue modulo n² to Montgomery form modulo p².
    pub(super) entries: [Pair<H>; 4],
    /// `(−q)⁻¹·R mod p`: what L(c^(p−1)) is multiplied with.
    h_mont: H,
}

impl<H: Limbs> Half<H> {
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
    pub(super) fn enter<F: Limbs>(&self, c: &Pair<F>) -> Pair<H> {
        // c = a0 + b0·R + (a1 + b1·R)·n, with R = 2^(width of p).
        let p = &self.modulus;
        let (a0, b0) = residue::split::<F, H>(&c.lo);
        let (a1, b1) = residue::split::<F, H>(&c.hi);
        let mut entered = Pair::default();
        for (quarter, entry) in [a0, b0, a1, b1].iter().zip(&self.entries) {
            entered = p.add(&entered, &p.mul(&reduce(quarter, p.n()), entry));
        }
        entered
    }

    /// `m mod p` from `c^(p−1) = 1 + L·p`, and whether c was a unit modulo p: the function L of the paper is the
    /// second digit.
    fn leave(&self, power: &Pair<H>) -> (H, subtle::Choice) {
        let is_unit = power.lo.words().ct_eq(Pair::<H>::one().lo.words());
        (self.modulus.mul_single(&power.hi, &self.h_mont), is_unit)
    }
}

impl<H: Limbs> Crt<H> {
    pub(super) fn new(p: &H, q: &H) -> Self {
        Self { p: Half::new(p, q), q: Half::new(q, p) }
    }

    /// m from `c^(p−1) mod p²` and `c^(q−1) mod q²`, and whether c was a unit modulo n.
    pub(super) fn join<F: Limbs>(&self, p_power: &Pair<H>, q_power: &Pair<H>) -> (F, subtle::Choice) {
        let ((m_p, p_ok), (m_q, q_ok)) = (self.p.leave(p_power), self.q.leave(q_power));
        // m = m_q + q·((m_p − m_q)·q⁻¹ mod p), and −q⁻¹ is at hand.
        let p = &self.p.modulus;
        let difference = residue::add_mod(&reduce(&m_q, p.n()).lo, &negate(&m_p, p.n()), p.n(), 0).0;
        let factor = p.mul_single(&difference, &self.p.h_mont);
        let (lo, hi) = residue::mul_wide(self.q.modulus.n(), &factor, &m_q);
        (residue::concat(&lo, &hi), p_ok & q_ok)
    }
}

impl<F: Limbs, H: Limbs> SecretEngine<F> for Secret<H> {
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>> {
        let bits = H::WORDS as u32 * Word::BITS;
        let (mut plaintexts, mut units) = (Zeroizing::new(Vec::new()), Vec::new());
        xs.par_iter()
            .map(|c| {
                let power = |half: &Half<H>| {
                    let p = &half.modulus;
                    p.from_mont(&p.pow(&half.enter(c), half.exponent(), bits))
                };
                self.0.join(&power(&self.0.p), &power(&self.0.q))
            })
            .unzip_into_vecs(&mut *plaintexts, &mut units);
        all_or_none(plaintexts, &units)
    }
}

/// The plaintexts, unless one of the residues was no unit. Which one it was stays hidden; that there was one shows in the
/// answer anyway.
pub(super) fn all_or_none<F: Limbs>(
    mut plaintexts: Zeroizing<Vec<F>>,
    units: &[subtle::Choice],
) -> Option<Vec<F>> {
    let all_units = units.iter().fold(subtle::Choice::from(1), |all, unit| all & *unit);
    bool::from(all_units).then(|| core::mem::take(&mut *plaintexts))
}

/// `value mod p` and the multiple of p taken out, 0 or 1; for p with its top bit set.
fn reduce<H: Limbs>(value: &H, p: &H) -> Pair<H> {
    let (mut lo, mut hi) = (*value, H::zero());
    hi.words_mut()[0] = residue::conditional_subtract(&mut lo, &mut 0, p);
    Pair::new(lo, hi)
}

/// `−a mod p` for a < p.
fn negate<H: Limbs>(a: &H, p: &H) -> H {
    let mut difference = *p;
    residue::subtract(&mut difference, a);
    // p itself stands for zero when a = 0.
    residue::conditional_subtract(&mut difference, &mut 0, p);
    difference
}

impl<H: Limbs> core::fmt::Debug for Half<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Half").finish_non_exhaustive()
    }
}

impl<H: Limbs> Drop for Half<H> {
    fn drop(&mut self) {
        self.exponent.zeroize();
        self.entries.zeroize();
        self.h_mont.zeroize();
    }
}

// The modulus wipes itself.
impl<H: Limbs> ZeroizeOnDrop for Half<H> {}
