//! The reference backend: plain code over residues.

use std::sync::Arc;

use rayon::prelude::*;
use zeroize::Zeroizing;

use crypto_bigint::Word;

use super::{
    crt::{Crt, PrimeConstants, all_or_none},
    engine::{Backend, FixedBaseEngine, Fold, PublicEngine, SecretEngine},
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

/// Costs of the fixed-base table. On one machine, a power at 2048 bits with an exponent of 1024
/// bits took 884, 767, 663, 674 and 743 µs with windows of 4, 5, 6, 7 and 8 bits. Wider windows
/// save products, but reading the whole row every time costs more than they save. The table has
/// 5.6, 12.6 and 22.4 MB at 2048, 3072 and 4096 bits.
///
/// By these times, a product takes as long as reading 320 entries. Its time grows with the square
/// of the modulus' words, that of reading an entry with their number. Short exponents therefore get
/// windows of 6, 6 and 7 bits, with 43, 48 and 48 products, and tables of 1.4, 2.4 and 6.3 MB.
fn table_costs<F: Limbs>() -> TableCosts {
    let bits = F::WORDS as u64 * u64::from(Word::BITS);
    TableCosts { entries_per_product: bits / 64 * 10, entry_bytes: size_of::<Pair<F>>(), usual: 6, widest: 8 }
}

/// Minimum number of residues for one task of the thread pool: about ten milliseconds of
/// encryptions, or some fifty microseconds of products.
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
        Box::new(RunningProduct {
            modulus: Arc::clone(&self.modulus),
            slots: vec![Pair::one(); len],
            factors: 0,
        })
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
        // x·(1 + m·n) = x.lo + (x.hi + m·x.lo mod n)·n, where R² mod n removes R from the product.
        let sum = |(x, m): (&Pair<F>, &F)| {
            let product = n.mul_single(&n.mul_single(m, &n.r2().lo), &x.lo);
            Pair::new(x.lo, residue::add_mod(&x.hi, &product, n.n(), 0).0)
        };
        xs.par_iter().zip(ms).with_min_len(TASK).map(sum).collect()
    }
}

/// A fold without Montgomery conversions. A product of m factors has an extra factor of R^−(m−1),
/// in any order. One last product removes it.
#[derive(Debug)]
struct RunningProduct<F: Limbs> {
    modulus: Arc<Modulus<F>>,
    slots: Vec<Pair<F>>,
    factors: u64,
}

impl<F: Limbs> Fold<F> for RunningProduct<F> {
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
        // Written in place: a parallel collection would leave copies of these secrets.
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
            // The product that adds the plaintext also leaves Montgomery form.
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

impl<F: Limbs, H: Limbs> SecretEngine<F> for Secret<H> {
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>> {
        let bits = H::WORDS as u32 * Word::BITS;
        let (mut plaintexts, mut units) = (Zeroizing::new(Vec::new()), Vec::new());
        xs.par_iter()
            .map(|c| {
                let power = |prime: &PrimeConstants<H>| {
                    let p = &prime.modulus;
                    p.from_mont(&p.pow(&prime.to_mont(c), prime.exponent(), bits))
                };
                self.0.combine(&power(&self.0.p), &power(&self.0.q))
            })
            .unzip_into_vecs(&mut *plaintexts, &mut units);
        all_or_none(plaintexts, &units)
    }
}
