//! The engines: batches go to the device, and to the CPU when there is none any more.

use core::fmt;
use std::sync::{Arc, Mutex};

use crypto_bigint::Word;
use zeroize::Zeroizing;

use super::{
    Shared,
    device::{Context, Fault, lock},
    fixed_base::{Table, TableOnDevice},
    operation::OnDevice,
    product::Product,
    resident,
    trial::Trial,
};
use crate::{
    backend::{
        FixedBaseEngine, Fold, PublicEngine, Resident, SecretEngine,
        crt::{Crt, all_or_none},
    },
    residue::{Limbs, Modulus, Pair},
};

/// Something on a device, made again when the device is another one.
pub(super) struct Cached<T>(Mutex<Option<(u64, Arc<T>)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Cached<T> {
    pub(super) fn get(
        &self,
        context: &Arc<Context>,
        make: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<Arc<T>, Fault> {
        let mut cached = lock(&self.0);
        match &*cached {
            Some((generation, ready)) if *generation == context.generation => Ok(Arc::clone(ready)),
            _ => {
                let ready = Arc::new(make()?);
                *cached = Some((context.generation, Arc::clone(&ready)));
                Ok(ready)
            }
        }
    }
}

pub(super) struct Public<F: Limbs> {
    pub(super) shared: Arc<Shared>,
    pub(super) modulus: Arc<Modulus<F>>,
    pub(super) on_device: Arc<Cached<OnDevice<F>>>,
    pub(super) cpu: Arc<dyn PublicEngine<F>>,
}

impl<F: Limbs> Public<F> {
    fn on_device(&self, context: &Arc<Context>, trial: Trial) -> Result<Arc<OnDevice<F>>, Fault> {
        trial.pass::<F>(context)?;
        self.on_device.get(context, || OnDevice::new(context, &self.modulus, false))
    }
}

impl<F: Limbs> PublicEngine<F> for Public<F> {
    fn mul(&self, xs: &[Pair<F>], ys: &[Pair<F>]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ys.len(), "factors come in pairs");
        self.shared.run(xs.len(), &mut |context| self.on_device(context, Trial::Mul)?.mul(xs, ys), || {
            self.cpu.mul(xs, ys)
        })
    }

    fn fold(&self, len: usize) -> Box<dyn Fold<F>> {
        Box::new(Product::new(self, len))
    }

    fn pow(&self, xs: &[Pair<F>], exponents: &[F], bits: u32) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), exponents.len(), "every base has its exponent");
        self.shared.run(
            xs.len(),
            &mut |context| {
                let exponent = |i: usize| exponents[i].words();
                self.on_device(context, Trial::Pow)?.pow(xs, &exponent, false, bits)
            },
            || self.cpu.pow(xs, exponents, bits),
        )
    }

    fn add_plain(&self, xs: &[Pair<F>], ms: &[F]) -> Vec<Pair<F>> {
        assert_eq!(xs.len(), ms.len(), "every ciphertext has its plaintext");
        self.shared.run(
            xs.len(),
            &mut |context| self.on_device(context, Trial::Mul)?.add_plain(xs, ms),
            || self.cpu.add_plain(xs, ms),
        )
    }
}

pub(super) struct Powers<F: Limbs, H: Limbs> {
    pub(super) shared: Arc<Shared>,
    pub(super) modulus: Arc<Modulus<F>>,
    pub(super) base: Pair<F>,
    pub(super) bits: u32,
    pub(super) table: Arc<Table>,
    pub(super) on_device: Cached<TableOnDevice<F>>,
    /// Made when it is needed: it has a table of its own.
    pub(super) cpu: std::sync::OnceLock<Arc<dyn FixedBaseEngine<F, H>>>,
}

impl<F: Limbs, H: Limbs> Powers<F, H> {
    pub(super) fn on_device(&self, context: &Arc<Context>) -> Result<Arc<TableOnDevice<F>>, Fault> {
        Trial::FixedBase.pass::<F>(context)?;
        self.on_device.get(context, || {
            TableOnDevice::new(OnDevice::new(context, &self.modulus, false)?, &self.table, self.base)
        })
    }

    pub(super) fn cpu(&self) -> &Arc<dyn FixedBaseEngine<F, H>> {
        self.cpu.get_or_init(|| {
            crate::backend::fastest_on_cpu::<F, H>().fixed_base(&self.modulus, &self.base, self.bits)
        })
    }
}

impl<F: Limbs, H: Limbs> FixedBaseEngine<F, H> for Powers<F, H> {
    fn pow(&self, exponents: &[H]) -> Vec<Pair<F>> {
        self.shared.run(exponents.len(), &mut |context| self.on_device(context)?.pow(None, exponents), || {
            self.cpu().pow(exponents)
        })
    }

    fn encrypt(&self, ms: &[F], exponents: &[H]) -> Vec<Pair<F>> {
        assert_eq!(ms.len(), exponents.len(), "every plaintext has its exponent");
        self.shared.run(ms.len(), &mut |context| self.on_device(context)?.pow(Some(ms), exponents), || {
            self.cpu().encrypt(ms, exponents)
        })
    }

    fn encrypt_resident(self: Arc<Self>, ms: &[F], exponents: &[H]) -> Resident<F> {
        assert_eq!(ms.len(), exponents.len(), "every plaintext has its exponent");
        if ms.is_empty() {
            return Resident::on_host(Vec::new());
        }
        let pieces = self.shared.run(
            ms.len(),
            &mut |context| {
                let pieces = self.on_device(context)?.pow_resident(Some(ms), exponents)?;
                Ok(Some((context.generation, pieces)))
            },
            || None,
        );
        let Some((generation, pieces)) = pieces else {
            return Resident::on_host(self.cpu().encrypt(ms, exponents));
        };
        resident::encrypted(self, generation, pieces, ms, exponents)
    }

    fn table_bytes(&self) -> usize {
        self.table.bytes()
    }
}

/// Decryption on the device: see [`Gpu::with_secret_keys`](super::Gpu::with_secret_keys).
pub(super) struct Secret<F: Limbs, H: Limbs> {
    pub(super) shared: Arc<Shared>,
    pub(super) crt: Crt<H>,
    pub(super) moduli: [Arc<Modulus<H>>; 2],
    pub(super) on_device: [Cached<OnDevice<H>>; 2],
    pub(super) cpu: Arc<dyn SecretEngine<F>>,
}

impl<F: Limbs, H: Limbs> SecretEngine<F> for Secret<F, H> {
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>> {
        use rayon::prelude::*;
        if xs.is_empty() {
            return Some(Vec::new());
        }
        let bits = H::WORDS as u32 * Word::BITS;
        let halves = [&self.crt.p, &self.crt.q];
        let powers: Vec<Option<Zeroizing<Vec<Pair<H>>>>> = (0..2)
            .map(|i| {
                let half = halves[i];
                let enter = |x| half.modulus.from_mont(&half.enter(x));
                let entered = Zeroizing::new(xs.par_iter().map(enter).collect::<Vec<_>>());
                self.shared.run(
                    xs.len(),
                    &mut |context| {
                        Trial::Pow.pass::<H>(context)?;
                        let on_device = self.on_device[i]
                            .get(context, || OnDevice::new(context, &self.moduli[i], true))?;
                        let exponent = |_| half.exponent();
                        on_device
                            .pow(&entered, &exponent, true, bits)
                            .map(|powers| Some(Zeroizing::new(powers)))
                    },
                    || None,
                )
            })
            .collect();
        let [Some(p_powers), Some(q_powers)] = &powers[..] else { return self.cpu.decrypt(xs) };
        let (mut plaintexts, mut units) = (Zeroizing::new(Vec::new()), Vec::new());
        p_powers
            .par_iter()
            .zip(q_powers.par_iter())
            .map(|(p, q)| self.crt.join(p, q))
            .unzip_into_vecs(&mut *plaintexts, &mut units);
        all_or_none(plaintexts, &units)
    }
}

macro_rules! named_only {
    ($($name:ident<$($limbs:ident),*>),*) => {$(
        impl<$($limbs: Limbs),*> fmt::Debug for $name<$($limbs),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

named_only!(Public<F>, Product<F>, Powers<F, H>, Secret<F, H>);
