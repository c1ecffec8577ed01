//! A key, residues for it, and the operations on a GPU that are checked and timed.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use cipherfold::{
    diagnostics::{Backend, FixedBaseEngine, Limbs, Modulus, Pair, Portable, PublicEngine, gpu::Gpu},
    paillier::{KeySize, SecretKey},
};
use crypto_bigint::Word;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Number of contributions of a timed fold.
const CONTRIBUTIONS: usize = 32;

/// Minimum time for which a device runs an operation before the measurement, and for the
/// measurement.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_millis(250);

/// Operations a second.
pub(crate) struct Rates {
    /// Number of timed operations.
    pub(crate) items: usize,
    /// Time of the kernels by the device's clock, if it has one.
    pub(crate) kernels: Option<f64>,
    pub(crate) end_to_end: f64,
    /// Wide multiply-adds of an operation, if it is one product.
    multiply_adds: Option<u64>,
}

impl Rates {
    /// The kernels' fraction of `peak`, in multiply-adds a second.
    #[allow(clippy::cast_precision_loss, reason = "a few digits are printed")]
    pub(crate) fn fraction(&self, peak: Option<f64>) -> Option<f64> {
        Some(self.kernels? * self.multiply_adds? as f64 / peak?)
    }
}

/// The key, residues and engines of a key size.
pub(crate) struct Fixture<S: KeySize> {
    gpu: Gpu,
    modulus: Arc<Modulus<S::Full>>,
    primes: (S::Half, S::Half),
    base: Pair<S::Full>,
    xs: Arc<Vec<Pair<S::Full>>>,
    ms: Vec<S::Full>,
    exponents: Vec<S::Half>,
    powers: OnceLock<Arc<dyn FixedBaseEngine<S::Full, S::Half>>>,
}

impl<S: KeySize> Fixture<S> {
    pub(crate) fn new(gpu: &Gpu, batch: Option<usize>) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(S::BITS));
        let secret = SecretKey::<S>::generate(&mut rng).unwrap();
        let n: S::Full = from_be(&secret.public_key().modulus_be());
        let (p, q) = secret.expose_primes_be();
        let batch = batch.unwrap_or(if gpu.report().is_software { 200 } else { 1 << 17 }).max(1);
        let xs = random_pairs::<S::Full>(batch, &mut rng);
        Self {
            gpu: gpu.with_secret_keys(),
            modulus: Arc::new(Modulus::new(n).expect("odd")),
            primes: (from_be(&p), from_be(&q)),
            base: random_pairs::<S::Full>(1, &mut rng)[0],
            ms: xs.iter().map(|x| x.hi).collect(),
            exponents: random_halves::<S::Half>(batch, &mut rng),
            xs: Arc::new(xs),
            powers: OnceLock::new(),
        }
    }

    /// The same on another GPU.
    pub(crate) fn on(self, gpu: &Gpu) -> Self {
        Self { gpu: gpu.with_secret_keys(), powers: OnceLock::new(), ..self }
    }

    fn backend(&self) -> &dyn Backend<S::Full, S::Half> {
        &self.gpu
    }

    fn powers(&self) -> &Arc<dyn FixedBaseEngine<S::Full, S::Half>> {
        self.powers.get_or_init(|| self.backend().fixed_base(&self.modulus, &self.base, S::BITS / 2))
    }

    /// Compares a few results with the CPU's.
    pub(crate) fn check(&self) -> Result<(), Box<dyn Error>> {
        let cpu: &dyn Backend<S::Full, S::Half> = &Portable;
        let few = self.xs.len().min(20);
        let (ms, exponents) = (&self.ms[..few], &self.exponents[..few]);
        let differ = |what: &str| Err(format!("{what} at {} bits differ from the CPU's", S::BITS).into());
        let sealed = self.powers().encrypt(ms, exponents);
        let cpu_powers = cpu.fixed_base(&self.modulus, &self.base, S::BITS / 2);
        if sealed != cpu_powers.encrypt(ms, exponents) {
            return differ("encryptions");
        }
        let (p, q) = &self.primes;
        let opened = self.backend().secret(p, q).decrypt(&sealed);
        if opened.is_none() || opened != cpu.secret(p, q).decrypt(&sealed) {
            return differ("decryptions");
        }
        let first = Arc::new(self.xs[..few].to_vec());
        let (here, there) = (cpu.public(&self.modulus), self.backend().public(&self.modulus));
        if fold(&*here, &first, 9) != fold(&*there, &first, 9) {
            return differ("sums");
        }
        Ok(())
    }

    /// Contributions that come from the host.
    pub(crate) fn fold(&self) -> Rates {
        let engine = self.backend().public(&self.modulus);
        self.rates(CONTRIBUTIONS * self.xs.len(), true, || drop(fold(&*engine, &self.xs, CONTRIBUTIONS)))
    }

    /// Contributions that are on the device.
    pub(crate) fn fold_resident(&self) -> Rates {
        let engine = self.backend().public(&self.modulus);
        let resident = Arc::clone(self.powers()).encrypt_resident(&self.ms, &self.exponents);
        self.rates(CONTRIBUTIONS * self.xs.len(), true, || {
            let mut fold = engine.fold(self.xs.len());
            (0..CONTRIBUTIONS).for_each(|_| fold.add_resident(&resident));
            fold.finish();
        })
    }

    pub(crate) fn encrypt(&self) -> Rates {
        let powers = self.powers();
        self.rates(self.xs.len(), false, || drop(powers.encrypt(&self.ms, &self.exponents)))
    }

    pub(crate) fn decrypt(&self) -> Rates {
        let count = self.xs.len().min(1 << 14);
        let sealed = self.powers().encrypt(&self.ms[..count], &self.exponents[..count]);
        let engine = self.backend().secret(&self.primes.0, &self.primes.1);
        self.rates(count, false, || drop(engine.decrypt(&sealed)))
    }

    #[allow(clippy::cast_precision_loss, reason = "a few digits are printed")]
    fn rates(&self, items: usize, are_products: bool, mut run: impl FnMut()) -> Rates {
        let is_software = self.gpu.report().is_software;
        // The device raises its clock while it is busy, and dispatches grow to their final length
        // as the times of the kernels become known.
        let begin = Instant::now();
        let mut runs = 0;
        while runs < 3 || begin.elapsed() < WARM_UP {
            run();
            runs += 1;
            if is_software {
                break;
            }
        }
        let (kernels, begin) = (self.gpu.kernel_time(), Instant::now());
        let mut runs = 0;
        while runs < 1 || (!is_software && begin.elapsed() < MEASURED) {
            run();
            runs += 1;
        }
        let (kernels, whole) = (self.gpu.kernel_time().saturating_sub(kernels), begin.elapsed());
        let items = items * runs;
        let rate = |time: Duration| items as f64 / time.as_secs_f64().max(1e-9);
        Rates {
            items,
            kernels: (!kernels.is_zero()).then(|| rate(kernels)),
            end_to_end: rate(whole),
            multiply_adds: are_products.then(|| self.gpu.layout(S::BITS).multiply_adds()),
        }
    }
}

fn fold<F: Limbs>(
    engine: &dyn PublicEngine<F>,
    xs: &Arc<Vec<Pair<F>>>,
    contributions: usize,
) -> Vec<Pair<F>> {
    let mut fold = engine.fold(xs.len());
    (0..contributions).for_each(|_| fold.add(xs));
    fold.finish()
}

fn from_be<U: Limbs>(bytes: &[u8]) -> U {
    let mut number = U::zero();
    for (i, byte) in bytes.iter().rev().enumerate() {
        number.words_mut()[i / size_of::<Word>()] |= Word::from(*byte) << (8 * (i % size_of::<Word>()));
    }
    number
}

/// Random numbers with a zero top bit, so that they are below every modulus.
fn random_halves<U: Limbs>(count: usize, rng: &mut ChaCha20Rng) -> Vec<U> {
    let mut random = || {
        let mut number = U::zero();
        for word in number.words_mut() {
            let mut bytes = [0; size_of::<Word>()];
            rng.fill_bytes(&mut bytes);
            *word = Word::from_ne_bytes(bytes);
        }
        number.words_mut()[U::WORDS - 1] &= Word::MAX >> 1;
        number
    };
    (0..count).map(|_| random()).collect()
}

fn random_pairs<U: Limbs>(count: usize, rng: &mut ChaCha20Rng) -> Vec<Pair<U>> {
    let (lo, hi) = (random_halves::<U>(count, rng), random_halves::<U>(count, rng));
    lo.into_iter().zip(hi).map(|(lo, hi)| Pair::new(lo, hi)).collect()
}
