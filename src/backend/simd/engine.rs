//! The operations of a backend on whole batches, for any vector instruction set.

use core::fmt;
use std::sync::Arc;

use crypto_bigint::Word;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use super::{
    Simd,
    lanes::{Lanes, Limb, split_limbs},
    moduli::PreparedModuli,
    table::{GROUPS, Table},
};
use crate::{
    backend::{
        crt::{self, Crt, PrimeConstants},
        engine::{FixedBaseEngine, Fold, PublicEngine, SecretEngine},
        portable,
    },
    residue::{self, Limbs, Modulus, Pair},
};

/// Implements [`Backend`](crate::backend::engine::Backend) with the engines of this module. Maps
/// bits of a modulus to limbs: the minimum number with R ≥ 16n.
macro_rules! simd_backend {
    ($vectors:ty, $($bits:literal => $limbs:literal),+) => {
        impl<F: Limbs, H: Limbs> crate::backend::engine::Backend<F, H> for $vectors {
            fn name(&self) -> &'static str {
                <Self as Simd>::NAME
            }

            fn public(&self, modulus: &Arc<Modulus<F>>) -> Arc<dyn PublicEngine<F>> {
                match const { F::WORDS as u32 * Word::BITS } {
                    $($bits => Arc::new(Public::<_, _, $limbs>::new(*self, modulus)),)+
                    bits => unreachable!("no key size has {bits} bits"),
                }
            }

            fn fixed_base(
                &self,
                modulus: &Arc<Modulus<F>>,
                base: &Pair<F>,
                bits: u32,
            ) -> Arc<dyn FixedBaseEngine<F, H>> {
                match const { F::WORDS as u32 * Word::BITS } {
                    $($bits => Arc::new(Powers::<_, _, $limbs>::new(*self, modulus, base, bits)),)+
                    bits => unreachable!("no key size has {bits} bits"),
                }
            }

            fn secret(&self, p: &H, q: &H) -> Arc<dyn SecretEngine<F>> {
                match const { H::WORDS as u32 * Word::BITS } {
                    $($bits => Arc::new(Secret::<_, _, $limbs>::new(*self, p, q)),)+
                    bits => unreachable!("no key size has primes of {bits} bits"),
                }
            }
        }
    };
}

pub(super) use simd_backend;

/// For fewer residues, most lanes would be empty, and portable code is faster.
const MIN_BATCH: usize = 2;

pub(super) struct Public<V: Simd, F: Limbs, const K: usize> {
    modulus: Arc<Modulus<F>>,
    prepared: Arc<PreparedModuli<V, K>>,
    portable: portable::Public<F>,
}

impl<V: Simd, F: Limbs, const K: usize> Public<V, F, K> {
    pub(super) fn new(vectors: V, modulus: &Arc<Modulus<F>>) -> Self {
        let modulus = Arc::clone(modulus);
        let prepared = Arc::new(PreparedModuli::new(vectors, [&modulus; 2]));
        let portable = portable::Public::new(Arc::clone(&modulus));
        Self { modulus, prepared, portable }
    }
}

/// The items of a group of lanes.
fn group_of<L: Limb, T>(items: &[T], group: usize) -> &[T] {
    &items[group * L::LANES..items.len().min((group + 1) * L::LANES)]
}

/// Calls a function for groups of lanes and collects the pairs.
fn by_group<L: Limb, F: Limbs, const K: usize>(
    len: usize,
    modulus: &Modulus<F>,
    function: impl Fn(usize) -> Lanes<L, K> + Sync,
) -> Vec<Pair<F>> {
    // Written in place: a parallel collection would leave copies, and the pairs may be secret.
    let mut pairs = vec![Pair::default(); len];
    let groups = pairs.par_chunks_mut(L::LANES).enumerate();
    groups.for_each(|(group, pairs)| write_pairs(&mut function(group), modulus, pairs));
    pairs
}

/// Writes residues in lanes to all of `pairs`, and wipes the lanes.
fn write_pairs<L: Limb, F: Limbs, const K: usize>(
    lanes: &mut Lanes<L, K>,
    modulus: &Modulus<F>,
    pairs: &mut [Pair<F>],
) {
    for (lane, pair) in pairs.iter_mut().enumerate() {
        *pair = lanes.pair(lane, modulus);
    }
    lanes.zeroize();
}

impl<V: Simd, F: Limbs, const K: usize> PublicEngine<F> for Public<V, F, K> {
    fn mul(&self, xs: &[Pair<F>], ys: &[Pair<F>]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ys.len(), "factors come in pairs");
        if xs.len() < MIN_BATCH {
            return self.portable.mul(xs, ys);
        }
        by_group(xs.len(), &self.modulus, |group| {
            let mut x = self.prepared.to_mont(group_of::<V::Limb, _>(xs, group));
            self.prepared.mul_words(&mut x, group_of::<V::Limb, _>(ys, group));
            x
        })
    }

    fn fold(&self, len: usize) -> Box<dyn Fold<F>> {
        let groups = vec![Lanes::default(); len.div_ceil(V::Limb::LANES)];
        let (modulus, prepared) = (Arc::clone(&self.modulus), Arc::clone(&self.prepared));
        Box::new(RunningProduct { modulus, prepared, groups, len, factors: 0 })
    }

    fn pow(&self, xs: &[Pair<F>], exponents: &[F], bits: u32) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), exponents.len(), "every base has its exponent");
        if xs.len() < MIN_BATCH {
            return self.portable.pow(xs, exponents, bits);
        }
        by_group(xs.len(), &self.modulus, |group| {
            let exponents = group_of::<V::Limb, _>(exponents, group);
            let exponent = |lane| exponents.get(lane).unwrap_or(&exponents[0]).words();
            let mut base = self.prepared.to_mont(group_of::<V::Limb, _>(xs, group));
            let mut power = self.prepared.pow(&base, exponent, bits);
            base.zeroize();
            self.prepared.make_plain(&mut power);
            power
        })
    }

    fn add_plain(&self, xs: &[Pair<F>], ms: &[F]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ms.len(), "every ciphertext has its plaintext");
        if xs.len() < MIN_BATCH {
            return self.portable.add_plain(xs, ms);
        }
        by_group(xs.len(), &self.modulus, |group| {
            let mut x = self.prepared.to_mont(group_of::<V::Limb, _>(xs, group));
            let ms = group_of::<V::Limb, _>(ms, group);
            mul_by_units(&self.prepared, &mut x, |lane| ms.get(lane));
            x
        })
    }
}

/// `x ← x·(1 + m·n)/R`: adds plaintexts, and leaves Montgomery form. Lanes without a plaintext add
/// zero.
fn mul_by_units<'a, V: Simd, F: Limbs, const K: usize>(
    prepared: &PreparedModuli<V, K>,
    x: &mut Lanes<V::Limb, K>,
    m: impl Fn(usize) -> Option<&'a F>,
) {
    let mut units = Lanes::<V::Limb, K>::one();
    for lane in 0..V::Limb::LANES {
        if let Some(m) = m(lane) {
            let limbs = split_limbs::<V::Limb, F, K>(m);
            units.iter_mut().zip(limbs).for_each(|(limb, m)| limb.hi.lanes_mut()[lane] = m);
        }
    }
    prepared.mul(x, &units);
    units.zeroize();
}

/// A fold without Montgomery conversions. A product of m factors has an extra factor of R^−(m−1),
/// in any order. One last product removes it.
struct RunningProduct<V: Simd, F: Limbs, const K: usize> {
    modulus: Arc<Modulus<F>>,
    prepared: Arc<PreparedModuli<V, K>>,
    groups: Vec<Lanes<V::Limb, K>>,
    len: usize,
    factors: u64,
}

impl<V: Simd, F: Limbs, const K: usize> Fold<F> for RunningProduct<V, F, K> {
    fn add(&mut self, contribution: &Arc<Vec<Pair<F>>>) {
        assert_eq!(self.len, contribution.len(), "a contribution has a residue for every slot");
        let (prepared, first) = (&self.prepared, self.factors == 0);
        let groups = self.groups.par_iter_mut().with_min_len(GROUPS);
        groups.zip(contribution.par_chunks(V::Limb::LANES)).for_each(|(group, x)| {
            if first {
                *group = Lanes::load(x);
            } else {
                prepared.mul_words(group, x);
            }
        });
        self.factors += 1;
    }

    fn finish(self: Box<Self>) -> Vec<Pair<F>> {
        let missing = match self.factors {
            0 => return vec![Pair::one(); self.len],
            factors => factors - 1,
        };
        // R² is R in Montgomery form. The number of factors is public.
        let exponent = [missing as Word];
        let bits = u64::BITS - missing.leading_zeros();
        let correction = (missing > 0).then(|| self.prepared.pow(&self.prepared.r2, |_| &exponent, bits));
        by_group(self.len, &self.modulus, |group| {
            let mut product = self.groups[group];
            if let Some(correction) = &correction {
                self.prepared.mul(&mut product, correction);
            }
            product
        })
    }
}

pub(super) struct Powers<V: Simd, F: Limbs, const K: usize> {
    modulus: Arc<Modulus<F>>,
    prepared: PreparedModuli<V, K>,
    table: Table<V, K>,
}

impl<V: Simd, F: Limbs, const K: usize> Powers<V, F, K> {
    pub(super) fn new(vectors: V, modulus: &Arc<Modulus<F>>, base: &Pair<F>, bits: u32) -> Self {
        let prepared = PreparedModuli::new(vectors, [modulus; 2]);
        let mut base = Lanes::from_fn(|_| base);
        prepared.mul(&mut base, &prepared.r2);
        let table = Table::new(&prepared, &base, bits);
        Self { modulus: Arc::clone(modulus), prepared, table }
    }

    /// `base^exponents[i]`, times the factor of the last step, which leaves Montgomery form. The
    /// last step receives the index of the first exponent of its group.
    fn powers<H: Limbs>(
        &self,
        exponents: &[H],
        last_step: impl Fn(usize, &mut Lanes<V::Limb, K>) + Sync,
    ) -> Vec<Pair<F>> {
        let lanes = V::Limb::LANES;
        let mut pairs = vec![Pair::default(); exponents.len()];
        let tasks = pairs.par_chunks_mut(GROUPS * lanes).zip(exponents.par_chunks(GROUPS * lanes));
        tasks.enumerate().for_each(|(task, (pairs, exponents))| {
            let mut powers = self.table.pow(&self.prepared, exponents);
            for (i, (pairs, power)) in pairs.chunks_mut(lanes).zip(&mut powers).enumerate() {
                last_step((task * GROUPS + i) * lanes, power);
                write_pairs(power, &self.modulus, pairs);
            }
            powers.zeroize(); // also those of groups without exponents
        });
        pairs
    }
}

impl<V: Simd, F: Limbs, H: Limbs, const K: usize> FixedBaseEngine<F, H> for Powers<V, F, K> {
    fn pow(&self, exponents: &[H]) -> Vec<Pair<F>> {
        self.powers(exponents, |_, power| self.prepared.make_plain(power))
    }

    fn encrypt(&self, ms: &[F], exponents: &[H]) -> Vec<Pair<F>> {
        assert_eq!(ms.len(), exponents.len(), "every plaintext has its exponent");
        self.powers(exponents, |first, power| {
            mul_by_units(&self.prepared, power, |lane| ms.get(first + lane));
        })
    }

    fn table_bytes(&self) -> usize {
        self.table.bytes()
    }
}

/// Decryption modulo both primes at once: p in the even lanes and q in the odd lanes, so each
/// ciphertext takes two lanes.
pub(super) struct Secret<V: Simd, H: Limbs, const K: usize> {
    crt: Crt<H>,
    prepared: PreparedModuli<V, K>,
    /// R², r·R², n·R² and r·n·R² modulo p² or q², with r = 2^(width of p). Each brings one quarter
    /// of a residue modulo n² to Montgomery form.
    entries: [Lanes<V::Limb, K>; 4],
}

impl<V: Simd, H: Limbs, const K: usize> Secret<V, H, K> {
    pub(super) fn new(vectors: V, p: &H, q: &H) -> Self {
        let crt = Crt::new(p, q);
        let primes = [&crt.p, &crt.q];
        let prepared = PreparedModuli::new(vectors, primes.map(|prime| &prime.modulus));
        let quarters = primes.map(quarters);
        let entries = core::array::from_fn(|quarter| {
            let mut entry = Lanes::from_fn(|lane| &quarters[lane % 2][quarter]);
            // Into Montgomery form, twice.
            prepared.mul(&mut entry, &prepared.r2);
            prepared.mul(&mut entry, &prepared.r2);
            entry
        });
        Self { crt, prepared, entries }
    }

    /// `c·R` modulo p² and q²: the pair of a residue modulo n² has four quarters as wide as p, and
    /// `c = a₀ + b₀·r + (a₁ + b₁·r)·n`.
    fn to_mont<F: Limbs>(&self, cs: &[Pair<F>]) -> Lanes<V::Limb, K> {
        // Quarters are below r < 2p, within the bound for factors.
        let mut quarters = [Lanes::default(); 4];
        for lane in 0..V::Limb::LANES {
            let c = &cs[(lane / 2).min(cs.len() - 1)];
            let ((a0, b0), (a1, b1)) = (residue::split::<F, H>(&c.lo), residue::split::<F, H>(&c.hi));
            for (quarter, lanes) in [a0, b0, a1, b1].iter().zip(&mut quarters) {
                lanes.set(lane, [split_limbs::<V::Limb, H, K>(quarter), [0; K]]);
            }
        }
        let n = &self.prepared.constants.n;
        for (quarter, entry) in quarters.iter_mut().zip(&self.entries) {
            self.prepared.mul(quarter, entry);
            quarter.reduce(n);
        }
        // Sums of two digits below n are below 2n. They are reduced below n before the next sum.
        for pair in quarters.chunks_exact_mut(2) {
            let [sum, other] = pair else { unreachable!("pairs have two") };
            sum.add(other);
            sum.reduce(n);
        }
        let mut mont = quarters[0];
        mont.add(&quarters[2]);
        quarters.zeroize();
        mont
    }
}

/// Factors of the quarters of a residue modulo n², modulo p²: 1, R, n and n·R.
fn quarters<H: Limbs>(prime: &PrimeConstants<H>) -> Zeroizing<[Pair<H>; 4]> {
    let p = &prime.modulus;
    Zeroizing::new(prime.entries.map(|entry| p.from_mont(&p.from_mont(&entry))))
}

impl<V: Simd, F: Limbs, H: Limbs, const K: usize> SecretEngine<F> for Secret<V, H, K> {
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>> {
        let bits = H::WORDS as u32 * Word::BITS;
        let mut plaintexts = Zeroizing::new(vec![F::zero(); xs.len()]);
        let mut units = vec![subtle::Choice::from(0); xs.len()];
        let at_a_time = V::Limb::LANES / 2;
        let places = plaintexts.par_chunks_mut(at_a_time).zip(units.par_chunks_mut(at_a_time));
        places.zip(xs.par_chunks(at_a_time)).for_each(|((plaintexts, units), cs)| {
            let (p, q) = (&self.crt.p, &self.crt.q);
            let mut base = self.to_mont(cs);
            let exponent = |lane| if lane % 2 == 0 { p.exponent() } else { q.exponent() };
            let mut power = self.prepared.pow(&base, exponent, bits);
            base.zeroize();
            self.prepared.make_plain(&mut power);
            for i in 0..cs.len() {
                let p_power = Zeroizing::new(power.pair(2 * i, &p.modulus));
                let q_power = Zeroizing::new(power.pair(2 * i + 1, &q.modulus));
                (plaintexts[i], units[i]) = self.crt.combine(&p_power, &q_power);
            }
            power.zeroize();
        });
        crt::all_or_none(plaintexts, &units)
    }
}

impl<V: Simd, H: Limbs, const K: usize> Drop for Secret<V, H, K> {
    fn drop(&mut self) {
        self.entries.iter_mut().for_each(Zeroize::zeroize);
    }
}

macro_rules! named_only {
    ($($name:ident<$limbs:ident>),*) => {$(
        impl<V: Simd, $limbs: Limbs, const K: usize> fmt::Debug for $name<V, $limbs, K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("instructions", &V::NAME).finish_non_exhaustive()
            }
        }
    )*};
}

named_only!(Public<F>, RunningProduct<F>, Powers<F>, Secret<H>);
