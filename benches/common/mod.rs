//! Code that the benches and the example `throughput` share: keys from fixed seeds, the operations
//! on every backend, and other libraries' arithmetic.
//!
//! Every operation and every baseline is a method that checks its result once and returns the
//! routine to time.

pub mod subject;

use std::hint::black_box;

use cipherfold::{
    backend::BackendChoice,
    federated::LocalExecutor,
    packing::{IntegerRange, Layout, LayoutParameters},
    paillier::{CiphertextBatch, Encryptor, KeySize, Plaintext, SecretKey},
};
use crypto_bigint::{
    Odd, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use ndarray::Array1;
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use rayon::ThreadPool;

/// Sizes of batches. Multiples of eight, so that no lane of a vector is empty.
#[derive(Clone, Copy)]
pub struct Batches {
    /// Ciphertexts of a contribution to a sum.
    pub add: usize,
    /// Ciphertexts that are encrypted or changed at once.
    pub encrypt: usize,
    /// Ciphertexts that are decrypted at once.
    pub decrypt: usize,
}

/// The batches of the benches.
pub const BENCH: Batches = Batches { add: 64, encrypt: 32, decrypt: 16 };

/// Contributions of a [`sum`](Fixture::sum).
pub const SUMMED: usize = 32;

/// Clients of a [`secure_sum`](Fixture::secure_sum).
const CLIENTS: u32 = 4;

/// Number of results of a large batch that are checked.
const CHECKED: usize = 64;

const SEED: u64 = 20;

/// The threads of a bench: one, or the number in `CIPHERFOLD_BENCH_THREADS`.
///
/// Run the bench inside [`ThreadPool::install`], so that a batch starts without a switch to another
/// thread.
pub fn threads() -> ThreadPool {
    let count = std::env::var("CIPHERFOLD_BENCH_THREADS")
        .map_or(1, |count| count.parse().expect("CIPHERFOLD_BENCH_THREADS is a number of threads"));
    eprintln!("on {count} thread(s); CIPHERFOLD_BENCH_THREADS sets another number");
    rayon::ThreadPoolBuilder::new().num_threads(count).build().expect("threads can be started")
}

/// The backends for processors that can run here, each with its name.
pub fn backends() -> Vec<(&'static str, BackendChoice)> {
    let named = BackendChoice::NAMES.iter().map(|name| (*name, name.parse().expect("a choice's own name")));
    let is_here = |choice| BackendChoice::backend_name(choice).is_ok();
    let others = [BackendChoice::Auto, BackendChoice::Gpu, BackendChoice::GpuWithSecretKeys];
    named.filter(|(_, choice)| !others.contains(choice) && is_here(*choice)).collect()
}

/// The GPU, if there is one. A software GPU counts if `CIPHERFOLD_BENCH_SOFTWARE_GPU` is set.
#[cfg(feature = "gpu")]
pub fn gpu() -> Option<&'static cipherfold::diagnostics::gpu::Gpu> {
    let gpu = cipherfold::diagnostics::gpu::Gpu::process_wide().ok()?;
    let is_wanted = !gpu.report().is_software || std::env::var_os("CIPHERFOLD_BENCH_SOFTWARE_GPU").is_some();
    is_wanted.then_some(gpu)
}

/// The batches of a GPU: enough to fill a large one.
#[cfg(feature = "gpu")]
pub fn gpu_batches(gpu: &cipherfold::diagnostics::gpu::Gpu) -> Batches {
    if gpu.report().is_software {
        BENCH
    } else {
        Batches { add: 1 << 17, encrypt: 1 << 16, decrypt: 1 << 14 }
    }
}

/// A key and its ciphertexts.
pub struct Fixture<S: KeySize> {
    pub secret: SecretKey<S>,
    backend: BackendChoice,
    batches: Batches,
    encryptor: Encryptor<S>,
    values: Vec<u64>,
    plaintexts: Vec<Plaintext<S>>,
    ciphertexts: CiphertextBatch<S>,
}

impl<S: KeySize> Fixture<S> {
    /// The key of this size, on the default backend.
    pub fn new(batches: Batches) -> Self {
        let mut rng = rng(S::BITS);
        let secret = SecretKey::generate(&mut rng).unwrap();
        let encryptor = Encryptor::new(secret.public_key(), &mut rng).unwrap();
        let values: Vec<u64> = (0..batches.add).map(|_| rng.next_u64() >> 16).collect();
        let plaintexts: Vec<_> = values.iter().map(|value| Plaintext::from(*value)).collect();
        let ciphertexts = encryptor.encrypt_batch(&plaintexts, &mut rng).expect("values are below n");
        Self { secret, backend: BackendChoice::Auto, batches, encryptor, values, plaintexts, ciphertexts }
    }

    /// The same key and ciphertexts on one of [`backends`].
    pub fn on(&self, backend: BackendChoice) -> Self {
        let secret = self.secret.with_backend(backend).expect("a backend that can run here");
        let base = self.encryptor.base().clone();
        Self {
            encryptor: Encryptor::with_base(secret.public_key(), base).expect("the key's own base"),
            secret,
            backend,
            batches: self.batches,
            values: self.values.clone(),
            plaintexts: self.plaintexts.clone(),
            ciphertexts: self.ciphertexts.clone(),
        }
    }

    /// The same key on one of [`backends`] or a GPU, with batches of other sizes that repeat the
    /// same ciphertexts.
    pub fn on_with(&self, backend: BackendChoice, batches: Batches) -> Self {
        let key = self.secret.public_key().fingerprint();
        let ciphertexts = self.ciphertexts.iter().collect::<Vec<_>>().into_iter().cycle().take(batches.add);
        let again = Self {
            secret: self.secret.with_backend(self.backend).expect("it ran here"),
            backend: self.backend,
            batches,
            encryptor: self.encryptor.clone(),
            values: self.values.iter().copied().cycle().take(batches.add).collect(),
            plaintexts: self.plaintexts.iter().cloned().cycle().take(batches.add).collect(),
            ciphertexts: CiphertextBatch::from_ciphertexts(key, ciphertexts).expect("same key"),
        };
        again.on(backend)
    }

    /// Adds a contribution of [`Batches::add`] ciphertexts to a sum at each call.
    pub fn add(&self) -> impl FnMut() + '_ {
        let key = self.secret.public_key();
        let twice = key.sum_batches([&self.ciphertexts; 2]).expect("same key");
        self.assert_decrypts(&twice, |v| 2 * v);

        let mut sum = key.accumulator(self.batches.add);
        sum.add(&self.ciphertexts).expect("same key"); // a copy; products start with the second one
        move || sum.add(&self.ciphertexts).expect("same key")
    }

    /// A whole sum of [`SUMMED`] contributions of [`Batches::add`] ciphertexts, for a GPU, which
    /// works while contributions arrive.
    pub fn sum(&self) -> impl FnMut() + '_ {
        let key = self.secret.public_key();
        let sum = || {
            let mut sum = key.accumulator(self.batches.add);
            (0..SUMMED).for_each(|_| sum.add(&self.ciphertexts).expect("same key"));
            sum.finish().expect("not empty")
        };
        let first =
            CiphertextBatch::from_ciphertexts(key.fingerprint(), sum().iter().take(8)).expect("same key");
        self.assert_decrypts(&first, |v| SUMMED as u64 * v);
        move || {
            black_box(sum());
        }
    }

    /// Adds one ciphertext to another.
    pub fn add_single(&self) -> impl FnMut() + '_ {
        let key = self.secret.public_key();
        let (a, b) =
            (self.ciphertexts.get(0).expect("not empty"), self.ciphertexts.get(1).expect("not empty"));
        let sum = key.add(&a, &b).expect("same key");
        let found = self.secret.decrypt(&sum).expect("an encryption").to_u64();
        assert_eq!(found, Some(self.values[0] + self.values[1]));

        move || {
            black_box(key.add(&a, &b).expect("same key"));
        }
    }

    /// [`Batches::encrypt`] encryptions by the table of the fixed base.
    pub fn encrypt(&self) -> impl FnMut() + '_ {
        self.encrypt_by(self.encryptor.clone())
    }

    /// [`encrypt`](Self::encrypt) with short exponents.
    pub fn encrypt_short(&self) -> impl FnMut() + '_ {
        let base = self.encryptor.base().clone();
        let short = Encryptor::with_base_and_short_exponents(self.secret.public_key(), base);
        self.encrypt_by(short.expect("the key's own base"))
    }

    fn encrypt_by(&self, encryptor: Encryptor<S>) -> impl FnMut() + '_ {
        let mut rng = rng(1);
        let mut encrypt = move || {
            encryptor.encrypt_batch(&self.plaintexts[..self.batches.encrypt], &mut rng).expect("below n")
        };
        self.assert_decrypts(&encrypt(), |v| v);
        move || {
            black_box(encrypt());
        }
    }

    /// One encryption by `r^n`.
    pub fn encrypt_full_range(&self) -> impl FnMut() + '_ {
        let mut rng = rng(2);
        let key = self.secret.public_key();
        let mut encrypt = move || {
            let randomizer = key.randomizer_full_range(&mut rng).unwrap();
            key.encrypt_with(&self.plaintexts[0], randomizer).expect("below n")
        };
        assert!(self.secret.decrypt(&encrypt()).expect("an encryption") == self.plaintexts[0]);
        move || {
            black_box(encrypt());
        }
    }

    /// [`Batches::encrypt`] randomizers by the table of the fixed base.
    pub fn randomizer(&self) -> impl FnMut() + '_ {
        let mut rng = rng(3);
        let made = self.encryptor.randomizers(self.batches.encrypt, &mut rng);
        let key = self.secret.public_key();
        let encrypted =
            key.encrypt_batch_with(&self.plaintexts[..self.batches.encrypt], made).expect("below n");
        self.assert_decrypts(&encrypted, |v| v);

        move || {
            black_box(self.encryptor.randomizers(self.batches.encrypt, &mut rng));
        }
    }

    /// [`Batches::decrypt`] decryptions.
    pub fn decrypt(&self) -> impl FnMut() + '_ {
        let ciphertexts = self.first(self.batches.decrypt);
        self.assert_decrypts(&ciphertexts, |v| v);

        move || {
            black_box(self.secret.decrypt_batch(&ciphertexts).expect("encryptions"));
        }
    }

    /// [`Batches::encrypt`] ciphertexts multiplied by integers of 16 bits.
    pub fn mul_plain_16(&self) -> impl FnMut() + '_ {
        let factor = 0xfedc;
        let factors = vec![Plaintext::from(factor); self.batches.encrypt];
        let ciphertexts = self.first(self.batches.encrypt);
        let key = self.secret.public_key();
        let multiply = move || key.mul_plain_batch(&ciphertexts, &factors, 16).expect("16 bits each");
        self.assert_decrypts(&multiply(), |v| v * factor);

        move || {
            black_box(multiply());
        }
    }

    /// [`Batches::encrypt`] plaintexts added to ciphertexts.
    pub fn add_plain(&self) -> impl FnMut() + '_ {
        let ciphertexts = self.first(self.batches.encrypt);
        let key = self.secret.public_key();
        let add = move || {
            key.add_plain_batch(&ciphertexts, &self.plaintexts[..self.batches.encrypt]).expect("below n")
        };
        self.assert_decrypts(&add(), |v| 2 * v);

        move || {
            black_box(add());
        }
    }

    /// [`Batches::encrypt`] ciphertexts with new randomizers, whose computation is included.
    pub fn rerandomize(&self) -> impl FnMut() + '_ {
        let mut rng = rng(4);
        let ciphertexts = self.first(self.batches.encrypt);
        let changed = self.encryptor.rerandomize_batch(&ciphertexts, &mut rng).expect("same key");
        assert!(changed.iter().zip(ciphertexts.iter()).all(|(new, old)| new != old));
        self.assert_decrypts(&changed, |v| v);

        move || {
            black_box(self.encryptor.rerandomize_batch(&ciphertexts, &mut rng).expect("same key"));
        }
    }

    /// [`Batches::encrypt`] negated ciphertexts, with one inversion for all.
    pub fn negate(&self) -> impl FnMut() + '_ {
        let ciphertexts = self.first(self.batches.encrypt);
        let key = self.secret.public_key();
        let negated = key.negate_batch(&ciphertexts).expect("units");
        let found = self.secret.decrypt_batch(&negated).expect("encryptions");
        for (m, value) in found.iter().zip(&self.values) {
            assert_eq!(key.plaintext_to_i128(m), Some(-i128::from(*value)));
        }

        move || {
            black_box(key.negate_batch(&ciphertexts).expect("units"));
        }
    }

    /// A secure sum from end to end, over the default channels, of 16-bit values. [`CLIENTS`]
    /// clients make [`Batches::encrypt`] ciphertexts in total. The key and the table exist before
    /// the measurement.
    pub fn secure_sum(&self) -> impl FnMut() + use<S> {
        let layout = Layout::new(LayoutParameters {
            capacity_bits: S::BITS - 1,
            value_bits: 16,
            max_summands: CLIENTS,
            max_weight: 1,
        })
        .expect("it fits");
        let each = self.batches.encrypt / CLIENTS as usize;
        let update = Array1::from_elem(each * layout.slots(), -321_i32);
        let range = IntegerRange::signed_bits(16).expect("a range");
        let executor = LocalExecutor::builder()
            .secret_key(self.secret.with_backend(self.backend).expect("it runs here"))
            .backend(self.backend)
            .threads(rayon::current_num_threads())
            .rng(rng(6))
            .build()
            .expect("good settings");
        let sum = move || {
            executor.secure_sum(std::iter::repeat_n(&update, CLIENTS as usize), range).expect("in range")
        };
        let outcome = sum();
        assert!(outcome.value.iter().all(|value| *value == -321 * i64::from(CLIENTS)));
        assert_eq!(outcome.report().ciphertexts, each as u64);

        move || {
            let _ = black_box(sum());
        }
    }

    fn first(&self, count: usize) -> CiphertextBatch<S> {
        let key = self.secret.public_key().fingerprint();
        CiphertextBatch::from_ciphertexts(key, self.ciphertexts.iter().take(count)).expect("same key")
    }

    /// Checks that decryptions are `of_value` of the fixture's values. Checks [`CHECKED`] of a
    /// large batch, evenly spaced, because the processor would take minutes for all of a GPU's
    /// batch.
    fn assert_decrypts(&self, batch: &CiphertextBatch<S>, of_value: impl Fn(u64) -> u64) {
        let step = batch.len().div_ceil(CHECKED).max(1);
        let key = self.secret.public_key().fingerprint();
        let sample = CiphertextBatch::from_ciphertexts(key, batch.iter().step_by(step)).expect("same key");
        let found = self.secret.decrypt_batch(&sample).expect("encryptions");
        for (m, value) in found.iter().zip(self.values.iter().step_by(step)) {
            assert_eq!(m.to_u64(), Some(of_value(*value)));
        }
    }
}

/// Paillier's arithmetic in other libraries: modulo n², p² and q².
///
/// The operands and results of `crypto-bigint` are in Montgomery form. Its results are checked
/// against num-bigint's.
pub struct Baselines<const HALF: usize, const FULL: usize, const SQUARE: usize> {
    n: BigUint,
    n2: BigUint,
    r: BigUint,
    /// p and q.
    primes: [BigUint; 2],
}

impl<const HALF: usize, const FULL: usize, const SQUARE: usize> Baselines<HALF, FULL, SQUARE> {
    pub fn new<S: KeySize>(secret: &SecretKey<S>) -> Self {
        assert_eq!((2 * Uint::<HALF>::BITS, Uint::<FULL>::BITS), (S::BITS, S::BITS));
        assert_eq!(Uint::<SQUARE>::BITS, 2 * S::BITS);
        let n = BigUint::from_bytes_be(&secret.public_key().modulus_be());
        let n2 = &n * &n;
        let mut bytes = vec![0; 2 * S::BYTES];
        rng(5).fill_bytes(&mut bytes);
        let r = BigUint::from_bytes_be(&bytes) % &n2;
        let (p, q) = secret.expose_primes_be();
        Self { n, n2, r, primes: [BigUint::from_bytes_be(&p), BigUint::from_bytes_be(&q)] }
    }

    /// A product modulo n² by [`FixedMontyForm`].
    pub fn product(&self) -> impl FnMut() + use<HALF, FULL, SQUARE> {
        let r = monty::<SQUARE>(&self.r, &self.n2);
        assert_eq!(big(&(r * r).retrieve()), &self.r * &self.r % &self.n2);

        move || {
            black_box(black_box(&r) * black_box(&r));
        }
    }

    /// `r^n mod n²` by [`FixedMontyForm::pow`].
    pub fn power(&self) -> impl FnMut() + use<HALF, FULL, SQUARE> {
        let r = monty::<SQUARE>(&self.r, &self.n2);
        let n = uint::<FULL>(&self.n);
        let power = move || r.pow(black_box(&n));
        assert_eq!(big(&power().retrieve()), self.r.modpow(&self.n, &self.n2));

        move || {
            black_box(power());
        }
    }

    /// `r^n mod n²` by [`FixedMontyForm::pow_amm_bounded_exp`], which reduces less between
    /// products.
    pub fn power_amm(&self) -> impl FnMut() + use<HALF, FULL, SQUARE> {
        let r = monty::<SQUARE>(&self.r, &self.n2);
        let n = uint::<SQUARE>(&self.n);
        let power = move || r.pow_amm_bounded_exp(black_box(&n), Uint::<FULL>::BITS);
        assert_eq!(big(&power().retrieve()), self.r.modpow(&self.n, &self.n2));

        move || {
            black_box(power());
        }
    }

    /// `r^(p − 1) mod p²` and the same for q, by [`FixedMontyForm::pow`].
    pub fn powers_mod_p2(&self) -> impl FnMut() + use<HALF, FULL, SQUARE> {
        let powers = self.primes.each_ref().map(|p| {
            let r = monty::<FULL>(&(&self.r % (p * p)), &(p * p));
            let exponent = uint::<HALF>(&(p - 1u8));
            move || r.pow(black_box(&exponent))
        });
        for (p, power) in self.primes.iter().zip(&powers) {
            assert_eq!(big(&power().retrieve()), self.r.modpow(&(p - 1u8), &(p * p)));
        }

        move || {
            for power in &powers {
                black_box(power());
            }
        }
    }

    /// A product modulo n² by num-bigint.
    pub fn num_bigint_product(&self) -> impl FnMut() + '_ {
        move || {
            black_box(black_box(&self.r) * black_box(&self.r) % &self.n2);
        }
    }

    /// `r^n mod n²` by num-bigint.
    pub fn num_bigint_power(&self) -> impl FnMut() + '_ {
        move || {
            black_box(self.r.modpow(black_box(&self.n), &self.n2));
        }
    }
}

fn rng(part: u32) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(SEED << 32 | u64::from(part))
}

fn monty<const LIMBS: usize>(value: &BigUint, modulus: &BigUint) -> FixedMontyForm<LIMBS> {
    let modulus = Odd::new(uint(modulus)).expect("p, q and n are odd");
    FixedMontyForm::new(&uint(value), &FixedMontyParams::new_vartime(modulus))
}

fn uint<const LIMBS: usize>(value: &BigUint) -> Uint<LIMBS> {
    let mut bytes = value.to_bytes_le();
    bytes.resize(Uint::<LIMBS>::BYTES, 0);
    Uint::from_le_slice(&bytes)
}

fn big<const LIMBS: usize>(value: &Uint<LIMBS>) -> BigUint {
    let words = value.as_words().iter().flat_map(|word| word.to_le_bytes());
    BigUint::from_bytes_le(&words.collect::<Vec<_>>())
}
