//! Eight ciphertexts at a time with AVX-512 IFMA: 52-bit limbs, one residue a lane.
//!
//! The scheme is that of [`residue`](crate::residue), with R = 2^(52·K) ≥ 16n, so that operands may stay below 2n and
//! nothing is subtracted between products. Batches are brought into lanes once, all of an operation happens there, and the
//! results are brought below n on the way out; a batch that does not fill the lanes is filled up with ones.
//!
//! Constant time like the portable code: the instructions used take the same time for all operands, look-ups read all
//! entries, and control flow depends on sizes alone.
//!
//! # Safety
//!
//! An [`Ifma`] can only be had from [`Ifma::detect`], which has seen the processor's features; every engine holds one. The
//! kernels are safe functions that require these features, and each call into them from code that does not is an `unsafe`
//! block that names the [`Ifma`] at hand.
#![allow(
    unsafe_code,
    reason = "functions that need processor features are called once the features are known"
)]

mod domain;
mod kernel;
mod lanes;

use core::fmt;
use std::sync::Arc;

use crypto_bigint::Word;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use self::{
    domain::{Domain, Table},
    lanes::{LANES, Lanes},
};
use super::{
    Backend, FixedBaseEngine, Fold, PublicEngine, SecretEngine,
    portable::{self, Crt},
};
use crate::residue::{Limbs, Modulus, Pair};

/// Proof that this processor has AVX-512F and AVX-512 IFMA: [`Ifma::detect`] is the only way to get one.
#[derive(Clone, Copy, Debug)]
pub struct Ifma(());

impl Ifma {
    /// The backend, if the processor has what it needs.
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        found.then_some(Self(()))
    }
}

/// Groups of lanes that one task of the thread pool works on.
const GROUPS: usize = 4;

const TASK: usize = GROUPS * LANES;

/// Limbs for a number of bits, with R ≥ 16n.
macro_rules! for_width {
    ($limbs:ty, $k:ident => $engine:expr) => {{
        macro_rules! with {
            ($value:literal) => {{
                const $k: usize = $value;
                $engine
            }};
        }
        match <$limbs>::WORDS as u32 * Word::BITS {
            256 => with!(5),
            512 => with!(10),
            1024 => with!(20),
            1536 => with!(30),
            2048 => with!(40),
            3072 => with!(60),
            4096 => with!(79),
            bits => unreachable!("no key size has {bits} bits"),
        }
    }};
}

impl<F: Limbs, H: Limbs> Backend<F, H> for Ifma {
    fn name(&self) -> &'static str {
        "ifma"
    }

    fn public(&self, modulus: &Arc<Modulus<F>>) -> Arc<dyn PublicEngine<F>> {
        let modulus = Arc::clone(modulus);
        for_width!(F, K => {
            let domain = Arc::new(Domain::<K>::new(&modulus));
            let portable = portable::Public::new(Arc::clone(&modulus));
            Arc::new(Public { cpu: *self, modulus, domain, portable })
        })
    }

    fn fixed_base(
        &self,
        modulus: &Arc<Modulus<F>>,
        base: &Pair<F>,
        bits: u32,
    ) -> Arc<dyn FixedBaseEngine<F, H>> {
        let modulus = Arc::clone(modulus);
        for_width!(F, K => {
            let domain = Domain::<K>::new(&modulus);
            let mut base = Lanes::splat(base);
            // SAFETY: `self` exists, so `Ifma::detect` has seen the features.
            let table = unsafe {
                kernel::mul(&domain.constants, &mut base, &domain.r2);
                Table::new(&domain, &base, bits)
            };
            Arc::new(Powers { cpu: *self, modulus, domain, table })
        })
    }

    fn secret(&self, p: &H, q: &H) -> Arc<dyn SecretEngine<F>> {
        for_width!(H, K => {
            let half = |prime: &H, other: &H| {
                let half = portable::Half::new(prime, other, Domain::<K>::r);
                let domain = Domain::<K>::new(half.modulus());
                (half, domain)
            };
            let ((p_half, p_domain), (q_half, q_domain)) = (half(p, q), half(q, p));
            let crt = Crt { p: p_half, q: q_half };
            Arc::new(Secret { cpu: *self, crt, p_domain, q_domain })
        })
    }
}

struct Public<F: Limbs, const K: usize> {
    cpu: Ifma,
    modulus: Arc<Modulus<F>>,
    domain: Arc<Domain<K>>,
    portable: portable::Public<F>,
}

/// Applies a function to groups of eight and collects the pairs of all lanes.
fn by_group<F: Limbs, const K: usize>(
    len: usize,
    modulus: &Modulus<F>,
    function: impl Fn(usize) -> Lanes<K> + Sync,
) -> Vec<Pair<F>> {
    (0..len.div_ceil(LANES))
        .into_par_iter()
        .flat_map_iter(|group| {
            let mut lanes = function(group);
            let count = LANES.min(len - group * LANES);
            let pairs: Vec<_> = (0..count).map(|lane| lanes.get(lane, modulus)).collect();
            lanes.zeroize();
            pairs
        })
        .collect()
}

fn group_of<T>(items: &[T], group: usize) -> &[T] {
    &items[group * LANES..items.len().min((group + 1) * LANES)]
}

/// The words of up to eight exponents; lanes that are not used get the first one's.
fn exponents_of<E: Limbs>(exponents: &[E]) -> [&[Word]; LANES] {
    core::array::from_fn(|lane| exponents.get(lane).unwrap_or(&exponents[0]).words())
}

impl<F: Limbs, const K: usize> PublicEngine<F> for Public<F, K> {
    fn mul(&self, xs: &[Pair<F>], ys: &[Pair<F>]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ys.len(), "factors come in pairs");
        if xs.len() < 3 {
            return self.portable.mul(xs, ys); // most lanes would be empty
        }
        let c = &self.domain.constants;
        by_group(xs.len(), &self.modulus, |group| {
            let mut x = Lanes::load(group_of(xs, group));
            let y = Lanes::load(group_of(ys, group));
            // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
            unsafe {
                kernel::mul(c, &mut x, &self.domain.r2);
                kernel::mul(c, &mut x, &y);
            }
            x
        })
    }

    fn fold(&self, len: usize) -> Box<dyn Fold<F>> {
        let groups = vec![Lanes::load::<F>(&[]); len.div_ceil(LANES)];
        let (modulus, domain) = (Arc::clone(&self.modulus), Arc::clone(&self.domain));
        Box::new(Product { cpu: self.cpu, modulus, domain, groups, len, factors: 0 })
    }

    fn pow(&self, xs: &[Pair<F>], exponents: &[F], bits: u32) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), exponents.len(), "every base has its exponent");
        if xs.len() < 3 {
            return self.portable.pow(xs, exponents, bits);
        }
        let c = &self.domain.constants;
        by_group(xs.len(), &self.modulus, |group| {
            let mut x = Lanes::load(group_of(xs, group));
            let exponents = exponents_of(group_of(exponents, group));
            // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
            unsafe {
                kernel::mul(c, &mut x, &self.domain.r2);
                let mut power = self.domain.pow(&x, &exponents, bits);
                kernel::mul(c, &mut power, &Lanes::load::<F>(&[]));
                power
            }
        })
    }

    fn add_plain(&self, xs: &[Pair<F>], ms: &[F]) -> Vec<Pair<F>> {
        // One product modulo n on either path; bringing residues into lanes and back costs as much.
        self.portable.add_plain(xs, ms)
    }
}

struct Product<F: Limbs, const K: usize> {
    cpu: Ifma,
    modulus: Arc<Modulus<F>>,
    domain: Arc<Domain<K>>,
    groups: Vec<Lanes<K>>,
    len: usize,
    factors: u64,
}

impl<F: Limbs, const K: usize> Fold<F> for Product<F, K> {
    fn add(&mut self, contribution: &[Pair<F>]) {
        assert_eq!(self.len, contribution.len(), "a contribution has a residue for every slot");
        let (c, first) = (&self.domain.constants, self.factors == 0);
        let _: Ifma = self.cpu;
        self.groups.par_iter_mut().with_min_len(GROUPS).zip(contribution.par_chunks(LANES)).for_each(
            |(group, x)| {
                let x = Lanes::load(x);
                if first {
                    *group = x;
                } else {
                    // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
                    unsafe { kernel::mul(c, group, &x) }
                }
            },
        );
        self.factors += 1;
    }

    fn finish(self: Box<Self>) -> Vec<Pair<F>> {
        let correction = (self.factors > 1).then(|| {
            // R² is R in Montgomery form. The number of factors is public.
            let missing = self.factors - 1;
            let exponent = [missing as Word];
            let exponents = [&exponent[..]; LANES];
            // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
            unsafe { self.domain.pow(&self.domain.r2, &exponents, u64::BITS - missing.leading_zeros()) }
        });
        by_group(self.len, &self.modulus, |group| {
            let mut product = self.groups[group];
            if let Some(correction) = &correction {
                // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
                unsafe { kernel::mul(&self.domain.constants, &mut product, correction) }
            }
            product
        })
    }
}

struct Powers<F: Limbs, const K: usize> {
    cpu: Ifma,
    modulus: Arc<Modulus<F>>,
    domain: Domain<K>,
    table: Table<K>,
}

impl<F: Limbs, const K: usize> Powers<F, K> {
    /// `factors[i]·base^exponents[i]`, for factors that are no secret or are m in (1, m).
    fn products<H: Limbs>(&self, exponents: &[H], factor: impl Fn(usize) -> Pair<F> + Sync) -> Vec<Pair<F>> {
        let _: Ifma = self.cpu;
        exponents
            .par_chunks(TASK)
            .enumerate()
            .flat_map_iter(|(task, exponents)| {
                let groups: Vec<_> = exponents.chunks(LANES).map(exponents_of).collect();
                let mut powers = Zeroizing::new(vec![Lanes::<K>::default(); groups.len()]);
                // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
                unsafe { self.table.pow(&self.domain, &groups, &mut powers) };
                let mut pairs = Vec::with_capacity(exponents.len());
                for (i, power) in powers.iter_mut().enumerate() {
                    let count = LANES.min(exponents.len() - i * LANES);
                    let first = task * TASK + i * LANES;
                    let factors: Vec<_> = (first..first + count).map(&factor).collect();
                    let mut factors = Lanes::load(&Zeroizing::new(factors));
                    // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
                    unsafe { kernel::mul(&self.domain.constants, power, &factors) };
                    factors.zeroize();
                    pairs.extend((0..count).map(|lane| power.get(lane, &self.modulus)));
                }
                pairs
            })
            .collect()
    }
}

impl<F: Limbs, H: Limbs, const K: usize> FixedBaseEngine<F, H> for Powers<F, K> {
    fn pow(&self, exponents: &[H]) -> Vec<Pair<F>> {
        self.products(exponents, |_| Pair::one())
    }

    fn encrypt(&self, ms: &[F], exponents: &[H]) -> Vec<Pair<F>> {
        assert_eq!(ms.len(), exponents.len(), "every plaintext has its exponent");
        // The one product that adds the plaintext also leaves Montgomery form.
        self.products(exponents, |i| Pair::new(Pair::<F>::one().lo, ms[i]))
    }

    fn table_bytes(&self) -> usize {
        self.table.bytes()
    }
}

struct Secret<H: Limbs, const K: usize> {
    cpu: Ifma,
    crt: Crt<H>,
    p_domain: Domain<K>,
    q_domain: Domain<K>,
}

impl<F: Limbs, H: Limbs, const K: usize> SecretEngine<F> for Secret<H, K> {
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>> {
        let _: Ifma = self.cpu;
        let bits = H::WORDS as u32 * Word::BITS;
        let mut plaintexts = Zeroizing::new(vec![F::zero(); xs.len()]);
        let mut units = vec![subtle::Choice::from(0); xs.len()];
        let places = plaintexts.par_chunks_mut(LANES).zip(units.par_chunks_mut(LANES));
        places.zip(xs.par_chunks(LANES)).for_each(|((plaintexts, units), cs)| {
            let powers = |half: &portable::Half<H>, domain: &Domain<K>| {
                let entered = Zeroizing::new(cs.iter().map(|c| half.enter(c)).collect::<Vec<_>>());
                let mut base = Lanes::load(&entered);
                // SAFETY: `self.cpu` exists, so `Ifma::detect` has seen the features.
                let mut power = unsafe {
                    let mut power = domain.pow(&base, &[half.exponent(); LANES], bits);
                    kernel::mul(&domain.constants, &mut power, &Lanes::load::<H>(&[]));
                    power
                };
                base.zeroize();
                let pairs: Vec<_> = (0..cs.len()).map(|lane| power.get(lane, half.modulus())).collect();
                power.zeroize();
                Zeroizing::new(pairs)
            };
            let p_powers = powers(&self.crt.p, &self.p_domain);
            let q_powers = powers(&self.crt.q, &self.q_domain);
            for (i, (p, q)) in p_powers.iter().zip(q_powers.iter()).enumerate() {
                (plaintexts[i], units[i]) = self.crt.join(p, q);
            }
        });
        portable::all_or_none(plaintexts, &units)
    }
}

macro_rules! named_only {
    ($($name:ident<$limbs:ident>),*) => {$(
        impl<$limbs: Limbs, const K: usize> fmt::Debug for $name<$limbs, K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

named_only!(Public<F>, Product<F>, Powers<F>, Secret<H>);
