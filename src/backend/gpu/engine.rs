//! The engines: batches go to the device, and to the CPU when there is none any more.

use core::fmt;
use std::sync::{Arc, Mutex};

use crypto_bigint::Word;
use zeroize::Zeroizing;

use super::{
    Shared,
    device::{Context, Fault, lock},
    fold::{Accumulators, Saved},
    layout::Layout,
    operation::{OnDevice, Pieces, Table, TableOnDevice},
    transfer,
    trial::Trial,
};
use crate::{
    backend::{
        FixedBaseEngine, Fold, PublicEngine, Resident, SecretEngine, Source,
        portable::{Crt, all_or_none},
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
    fn get(&self, context: &Arc<Context>, make: impl FnOnce() -> Result<T, Fault>) -> Result<Arc<T>, Fault> {
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
        Box::new(Product {
            shared: Arc::clone(&self.shared),
            modulus: Arc::clone(&self.modulus),
            on_device: Arc::clone(&self.on_device),
            cpu: Arc::clone(&self.cpu),
            len,
            contributions: 0,
            journal: Vec::new(),
            sent: 0,
            saved: None,
            spare: None,
            accumulators: None,
            fallback: None,
            witness: (len > 0).then(|| (transfer::sample(&(0..len)), Pair::one(), 0)),
        })
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

/// A contribution that may have to be sent again.
enum Entry<F: Limbs> {
    Pairs(Arc<Vec<Pair<F>>>),
    Resident(Arc<dyn ResidentPairs<F>>),
}

/// A fold whose accumulators are on a device.
///
/// The host keeps what would be lost with the device: every so often a copy of the accumulators, and the contributions
/// since then.
struct Product<F: Limbs> {
    shared: Arc<Shared>,
    modulus: Arc<Modulus<F>>,
    on_device: Arc<Cached<OnDevice<F>>>,
    cpu: Arc<dyn PublicEngine<F>>,
    len: usize,
    contributions: u64,
    journal: Vec<Entry<F>>,
    /// Entries of the journal that the accumulators on the device have taken.
    sent: usize,
    saved: Option<(Saved, Layout)>,
    /// The copy before that one, whose memory the next one takes.
    spare: Option<Saved>,
    accumulators: Option<(u64, Accumulators<F>)>,
    /// Goes on where the device has ended.
    fallback: Option<Box<dyn Fold<F>>>,
    /// A slot picked by chance, whose product the host computes as well: the slot, the product in the host's Montgomery
    /// form of no factor, and the contributions in it.
    witness: Option<(usize, Pair<F>, u64)>,
}

impl<F: Limbs> Product<F> {
    fn entry_bytes(&self) -> usize {
        self.len * size_of::<Pair<F>>()
    }

    /// Brings the accumulators on this device up to date, or says which entry of the journal is nowhere any more and has
    /// to be computed again: not here, where the device is locked and the thread pool must be left alone.
    ///
    /// If `is_copied`, the host has a copy of the accumulators afterwards, and the journal is empty.
    fn catch_up(&mut self, context: &Arc<Context>, is_copied: bool) -> Result<Option<usize>, Fault> {
        Trial::Fold.pass::<F>(context)?;
        let modulus = self.on_device.get(context, || OnDevice::new(context, &self.modulus, false))?;
        if self.accumulators.as_ref().is_none_or(|(generation, _)| *generation != context.generation) {
            self.accumulators = None;
            self.sent = 0;
            let restored = match &self.saved {
                Some((saved, _)) => Some(Accumulators::restored(&modulus, self.len, saved)?),
                None => None,
            };
            self.accumulators = restored.map(|accumulators| (context.generation, accumulators));
        }
        while self.sent < self.journal.len() {
            let waiting = &self.journal[self.sent..];
            let run: Vec<&[Pair<F>]> = waiting
                .iter()
                .map_while(|entry| match entry {
                    Entry::Pairs(pairs) => Some(pairs.as_slice()),
                    Entry::Resident(_) => None,
                })
                .collect();
            if self.accumulators.is_none() {
                // Several accumulators a slot only where none of the first contributions is on the device already.
                let count = run.len().max(1);
                let accumulators = Accumulators::new(&modulus, self.len, count)?;
                self.accumulators = Some((context.generation, accumulators));
            }
            let (_, accumulators) = self.accumulators.as_mut().expect("made above");
            let (taken, is_last) = (run.len().max(1), waiting.len() == run.len().max(1));
            // The copy before this one must stay until this one is whole.
            let mut copy =
                (is_copied && is_last).then(|| accumulators.room(self.spare.take(), self.contributions));
            if run.is_empty() {
                let Entry::Resident(resident) = &waiting[0] else { unreachable!("it is no pairs") };
                match resident.pieces(context.generation) {
                    Some(pieces) => accumulators.add_resident(pieces)?,
                    None => return Ok(Some(self.sent)),
                }
                if let Some(copy) = &mut copy {
                    accumulators.copy(copy)?;
                }
            } else {
                accumulators.add(&run, copy.as_mut())?;
            }
            self.sent += taken;
            if let Some(copy) = copy {
                let layout = context.layout(F::WORDS as u32 * Word::BITS);
                self.spare = self.saved.replace((copy, layout)).map(|(older, _)| older);
                self.sent = 0;
                self.journal.clear();
            }
        }
        Ok(None)
    }

    /// Catches up and then does `work`, or falls back to the CPU and returns `None`.
    fn on_device<T>(
        &mut self,
        is_copied: bool,
        mut work: impl FnMut(&mut Self, &Arc<Context>) -> Result<T, Fault>,
    ) -> Option<T> {
        let shared = Arc::clone(&self.shared);
        loop {
            let progress = shared.run(
                self.len,
                &mut |context| match self.catch_up(context, is_copied)? {
                    Some(missing) => Ok(Some(Err(missing))),
                    None => work(self, context).map(|done| Some(Ok(done))),
                },
                || None,
            );
            match progress {
                Some(Ok(done)) => return Some(done),
                Some(Err(missing)) => {
                    let Entry::Resident(resident) = &self.journal[missing] else {
                        unreachable!("pairs are here")
                    };
                    self.journal[missing] = Entry::Pairs(Arc::new(resident.compute()));
                }
                None => {
                    self.fall_back();
                    return None;
                }
            }
        }
    }

    /// Sends what waits, and fetches a copy of the accumulators when the journal is full.
    fn flush(&mut self) {
        // What lies on the device is kept there as long as it stands here.
        let kept = self.journal.len() * self.entry_bytes();
        let state = self.saved.as_ref().map_or(0, |(saved, _)| saved.bytes());
        self.on_device(kept > self.shared.journal().max(2 * state), |_, _| Ok(()));
    }

    /// Goes on without the device, from what the host has kept.
    fn fall_back(&mut self) {
        let mut fold = self.cpu.fold(self.len);
        if let Some((saved, layout)) = self.saved.take() {
            let (mut segments, exponent) = saved.pairs(layout, self.modulus.n(), self.len);
            let factor = layout.power_of_r(&self.modulus, exponent);
            let mut product = self.cpu.mul(&segments.remove(0), &vec![factor; self.len]);
            for segment in segments {
                product = self.cpu.mul(&product, &segment);
            }
            fold.add(&Arc::new(product));
        }
        for entry in self.journal.drain(..) {
            match entry {
                Entry::Pairs(pairs) => fold.add(&pairs),
                Entry::Resident(resident) => fold.add(&Arc::new(resident.compute())),
            }
        }
        self.accumulators = None;
        self.fallback = Some(fold);
    }

    fn waiting_bytes(&self) -> usize {
        (self.journal.len() - self.sent) * self.entry_bytes()
    }
}

impl<F: Limbs> Fold<F> for Product<F> {
    fn add(&mut self, contribution: &Arc<Vec<Pair<F>>>) {
        assert_eq!(self.len, contribution.len(), "a contribution has a residue for every slot");
        self.contributions += 1;
        if let Some(fallback) = &mut self.fallback {
            return fallback.add(contribution);
        }
        if let Some((slot, product, count)) = &mut self.witness {
            let x = &contribution[*slot];
            *product = if *count == 0 { *x } else { self.modulus.mul(&self.modulus.to_mont(product), x) };
            *count += 1;
        }
        self.journal.push(Entry::Pairs(Arc::clone(contribution)));
        if self.waiting_bytes() >= self.shared.waiting() {
            self.flush();
        }
    }

    fn add_resident(&mut self, contribution: &Resident<F>) {
        let Source::Gpu(there) = &contribution.source else {
            return self.add(&Arc::new(contribution.pairs()));
        };
        if self.fallback.is_some() || !there.is_of(&self.shared) {
            return self.add(&Arc::new(contribution.pairs()));
        }
        assert_eq!(self.len, contribution.len(), "a contribution has a residue for every slot");
        self.contributions += 1;
        self.witness = None; // its residue is not here
        self.journal.push(Entry::Resident(Arc::clone(there)));
        self.flush();
    }

    fn finish(mut self: Box<Self>) -> Vec<Pair<F>> {
        if self.contributions == 0 || self.len == 0 {
            return vec![Pair::one(); self.len];
        }
        if self.fallback.is_none() {
            let product = self.on_device(false, |fold, context| {
                let (_, accumulators) = fold.accumulators.as_mut().expect("caught up");
                let product = accumulators.finish(fold.contributions)?;
                if let Some((slot, expected, _)) = &fold.witness {
                    context.confirm(product[*slot] == *expected, "a fold")?;
                }
                Ok(product)
            });
            if let Some(product) = product {
                return product;
            }
        }
        self.fallback.expect("there is no device").finish()
    }
}

/// What stays on a device, without the types that made it.
pub(in crate::backend) trait ResidentPairs<F: Limbs>: Send + Sync {
    /// The residues, from the device or computed again.
    fn fetch(&self) -> Vec<Pair<F>>;

    /// The residues, computed again on the CPU.
    fn compute(&self) -> Vec<Pair<F>>;

    /// The pieces, if this device has them.
    fn pieces(&self, generation: u64) -> Option<&Pieces>;

    /// Whether these lie on that GPU.
    fn is_of(&self, shared: &Arc<Shared>) -> bool;
}

/// Ciphertexts on a device, and what they can be computed from again: the device may be lost.
struct Encrypted<F: Limbs, H: Limbs> {
    engine: Arc<Powers<F, H>>,
    /// The device that has them.
    generation: u64,
    pieces: Pieces,
    ms: Zeroizing<Vec<F>>,
    exponents: Zeroizing<Vec<H>>,
}

impl<F: Limbs, H: Limbs> ResidentPairs<F> for Encrypted<F, H> {
    fn fetch(&self) -> Vec<Pair<F>> {
        self.engine
            .shared
            .run(
                self.ms.len(),
                &mut |context| {
                    if context.generation != self.generation {
                        return Ok(None);
                    }
                    let on_device = self.engine.on_device(context)?;
                    on_device.fetch(&self.pieces, self.ms.len()).map(Some)
                },
                || None,
            )
            .unwrap_or_else(|| self.compute())
    }

    fn compute(&self) -> Vec<Pair<F>> {
        self.engine.cpu().encrypt(&self.ms, &self.exponents)
    }

    fn pieces(&self, generation: u64) -> Option<&Pieces> {
        (generation == self.generation).then_some(&self.pieces)
    }

    fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.engine.shared, shared)
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
    fn on_device(&self, context: &Arc<Context>) -> Result<Arc<TableOnDevice<F>>, Fault> {
        Trial::FixedBase.pass::<F>(context)?;
        self.on_device.get(context, || {
            TableOnDevice::new(OnDevice::new(context, &self.modulus, false)?, &self.table, self.base)
        })
    }

    fn cpu(&self) -> &Arc<dyn FixedBaseEngine<F, H>> {
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
        let (ms, exponents) = (Zeroizing::new(ms.to_vec()), Zeroizing::new(exponents.to_vec()));
        let there = Encrypted { engine: self, generation, pieces, ms, exponents };
        Resident { len: there.ms.len(), source: Source::Gpu(Arc::new(there)) }
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
                let enter = |x| half.modulus().from_mont(&half.enter(x));
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
