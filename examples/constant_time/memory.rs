//! Marks secrets as undefined: memcheck follows them bit by bit and reports every branch and every
//! address that depends on them.

use core::{convert::Infallible, hint::black_box};
use std::sync::Arc;

use cipherfold::{
    backend::BackendChoice,
    diagnostics::{FixedBase, Limbs, Modulus},
    packing::{IntegerRange, Layout, LayoutParameters, Quantizer},
    paillier::{
        Bits2048, Bits3072, Bits4096, Encryptor, KeySize, Plaintext, SecretKey, hazmat::InsecureBits512,
    },
};
use crypto_bigint::Word;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};
use subtle::ConstantTimeEq;

use crate::{
    random, random_below_all, random_modulus, random_pair, say,
    valgrind::{self, hide, reveal},
};

/// A leak that the test must find.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Leak {
    Branch,
    LookUp,
}

pub fn run(leak: Option<Leak>) -> bool {
    if !valgrind::is_running() {
        say(format_args!("this runs under valgrind only: valgrind --error-limit=no … memory"));
        return false;
    }
    let mut checks = Checks { passed: true };
    if let Some(leak) = leak {
        commit(leak, &mut checks);
        return checks.passed;
    }
    packing(&mut checks);
    // Valgrind knows no AVX-512. Outside its kernels, `ifma` uses the code of `avx2`.
    for choice in [BackendChoice::Portable, BackendChoice::Avx2] {
        engines::<InsecureBits512>(&mut checks, choice);
        paillier::<InsecureBits512>(&mut checks, choice);
        engines::<Bits2048>(&mut checks, choice);
        engines::<Bits3072>(&mut checks, choice);
        engines::<Bits4096>(&mut checks, choice);
    }
    checks.passed
}

struct Checks {
    passed: bool,
}

impl Checks {
    /// Runs an operation on secrets. `answers` is the number of branches on bits that the operation
    /// deliberately reveals to its caller, for example that all plaintexts are below n. These bits
    /// come from secrets, but are public by documentation.
    fn run<T>(&mut self, name: &str, answers: usize, operation: impl FnOnce() -> T) -> T {
        let before = valgrind::errors();
        let result = operation();
        let found = valgrind::errors() - before;
        let good = found == answers;
        self.passed &= good;
        let verdict = if good { "ok" } else { "LEAK" };
        say(format_args!(
            "{verdict:4} {name}: {found} branches and addresses by secrets, {answers} of them answers"
        ));
        result
    }
}

/// A backend's engines and the layers below them, with all their secrets. Moduli and primes are
/// random odd numbers, which take the same path.
fn engines<S: KeySize>(checks: &mut Checks, choice: BackendChoice) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let bits = S::BITS;
    let backend = match S::backend(choice) {
        Ok(backend) => backend,
        Err(reason) => return say(format_args!("== skipped: {reason}")),
    };
    say(format_args!("== {}, {bits} bits", backend.name()));
    // One for each lane, so that batches are read from their words.
    let count = if choice == BackendChoice::Portable { 2 } else { 4 };
    let modulus = Arc::new(Modulus::new(random_modulus::<S::Full>(&mut rng)).expect("it is odd"));
    let pairs: Vec<_> = (0..count).map(|_| random_pair::<S::Full>(&mut rng)).collect();
    let mut secret_pairs: Vec<_> = (0..count).map(|_| random_pair::<S::Full>(&mut rng)).collect();
    let mut ms: Vec<S::Full> = (0..count).map(|_| random_below_all(&mut rng)).collect();
    let mut exponents: Vec<S::Half> = (0..count).map(|_| random(&mut rng)).collect();
    hide(&mut secret_pairs[..]);
    hide(&mut ms[..]);
    hide(&mut exponents[..]);

    let fixed = backend.fixed_base(&modulus, &pairs[0], bits / 2);
    checks.run("FixedBaseEngine::pow, exponents secret", 0, || fixed.pow(&exponents));
    checks.run("FixedBaseEngine::encrypt, plaintexts and exponents secret", 0, || {
        fixed.encrypt(&ms, &exponents)
    });
    let short = backend.fixed_base(&modulus, &pairs[0], S::SHORT_EXPONENT_BITS);
    checks.run("FixedBaseEngine::encrypt, short exponents and plaintexts secret", 0, || {
        short.encrypt(&ms, &exponents)
    });
    let public = backend.public(&modulus);
    checks.run("PublicEngine::mul, factors secret", 0, || public.mul(&pairs, &secret_pairs));
    checks.run("PublicEngine::add_plain, both secret", 0, || public.add_plain(&secret_pairs, &ms));
    checks.run("PublicEngine::pow, bases and exponents secret", 0, || public.pow(&secret_pairs, &ms, bits));
    // A length that is not a multiple of the window, and ends within a word.
    checks.run("PublicEngine::pow, short exponents secret", 0, || public.pow(&pairs, &ms, 97));

    let (mut p, mut q) = (random_modulus::<S::Half>(&mut rng), random_modulus::<S::Half>(&mut rng));
    hide(&mut p);
    hide(&mut q);
    // Revealed: each of the two is odd, and above one.
    let secret = checks.run("Backend::secret, primes secret", 4, || backend.secret(&p, &q));
    // Revealed: whether all ciphertexts were units. Modulo these numbers they are not.
    let plaintexts = checks.run("SecretEngine::decrypt, key secret", 1, || secret.decrypt(&pairs).is_some());
    black_box(plaintexts);
    checks.run("dropping a SecretEngine", 0, || drop(secret));
    if choice != BackendChoice::Portable {
        return;
    }

    let table = FixedBase::new(&modulus, &modulus.to_mont(&pairs[0]), bits / 2, 5);
    checks.run("FixedBase::pow_batch, exponents secret", 0, || table.pow_batch(&modulus, &exponents));
    let [exponent, ..] = &exponents[..] else { unreachable!("there are some") };
    let secret_modulus =
        checks.run("Modulus::new, modulus secret", 2, || Modulus::new(p).expect("it is odd"));
    let base = random_pair::<S::Half>(&mut rng);
    checks.run("Modulus::pow, modulus, base and exponent secret", 0, || {
        secret_modulus.pow(&secret_modulus.to_mont(&base), exponent.words(), bits / 2)
    });
    checks.run("Modulus::add, modulus secret", 0, || secret_modulus.add(&base, &base));
    checks.run("Pair::ct_eq, secret", 0, || secret_pairs[0].ct_eq(&secret_pairs[1]));
}

/// The public interface, for one key.
fn paillier<S: KeySize>(checks: &mut Checks, choice: BackendChoice) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let Ok(key) = SecretKey::<S>::generate(&mut rng).unwrap().with_backend(choice) else {
        return; // the engines have printed the reason
    };
    say(format_args!("== the interface, {} bits", S::BITS));
    let public = key.public_key().clone();
    let encryptor = Encryptor::new(&public, &mut rng).unwrap();
    let mut hidden = Hidden(ChaCha20Rng::seed_from_u64(3));

    // Words of all magnitudes, so that comparisons with n cannot end early.
    let values = [3u64, u64::MAX >> 1, 0];
    let mut words = values.map(|word| vec![word; S::BYTES / 8]);
    for words in &mut words {
        hide(&mut words[..]);
    }
    let ms = checks.run("Plaintext::from_words", 0, || {
        words.each_ref().map(|words| Plaintext::<S>::from_words(words).expect("as many words as n has"))
    });
    // Revealed: all plaintexts are below n.
    let batch = checks.run("Encryptor::encrypt_batch", 1, || {
        encryptor.encrypt_batch(&ms, &mut hidden).expect("small plaintexts")
    });
    let mut bytes = checks.run("CiphertextBatch::to_bytes", 0, || batch.to_bytes());
    reveal(&mut bytes[..]);
    let batch = public.batch_from_bytes(&bytes).expect("what was written");
    let decrypted = checks.run("SecretKey::decrypt_batch, key public", 0, || key.decrypt_batch(&batch));
    let decrypted = decrypted.expect("encryptions");
    for (m, value) in decrypted.iter().zip(values) {
        assert_eq!(
            m.to_be_bytes(),
            value.to_be_bytes().repeat(S::BYTES / 8),
            "decryption inverts encryption"
        );
    }

    let one = batch.get(0).expect("there are three");
    checks.run("PublicKey::add_plain", 1, || public.add_plain(&one, &ms[0]).is_ok());
    // Revealed: k is below n, and has no more bits than stated.
    let mut k = Plaintext::from(77u64);
    hide(&mut k);
    checks.run("PublicKey::mul_plain_bounded", 2, || public.mul_plain_bounded(&one, &k, 130).is_ok());
    checks.run("PublicKey::mul_plain", 1, || public.mul_plain(&one, &ms[0]).is_ok());
    let mut randomizers = checks.run("Encryptor::randomizers", 0, || encryptor.randomizers(2, &mut hidden));
    let (first, second) = (randomizers.pop().expect("two"), randomizers.pop().expect("two"));
    checks.run("PublicKey::rerandomize", 0, || public.rerandomize(&one, first).is_ok());
    checks.run("PublicKey::encrypt_with", 1, || public.encrypt_with(&ms[0], second).is_ok());
    // Revealed: a draw was below n (the first one of this seed is), and not zero.
    checks.run("PublicKey::randomizer_full_range", 2, || public.randomizer_full_range(&mut hidden).unwrap());

    checks.run("Plaintext::ct_eq", 0, || ms[0].ct_eq(&ms[1]));
    checks.run("Plaintext::to_be_bytes, from_be_bytes", 0, || {
        Plaintext::<S>::from_be_bytes(&ms[0].to_be_bytes()).is_ok()
    });
    checks.run("Plaintext::write_words", 0, || ms[0].write_words(&mut [0; 4]));
    let mut signed = -5i128;
    hide(&mut signed);
    checks.run("PublicKey::plaintext_from_i128", 0, || public.plaintext_from_i128(signed));
    checks.run("dropping plaintexts", 0, || drop(ms));

    // A key with every bit secret. Its import tests the primes in variable time, as documented.
    let import = || {
        let mut bytes = key.expose_bytes();
        let header = bytes.len() - S::BYTES;
        hide(&mut bytes[header..]);
        valgrind::unreported(|| SecretKey::<S>::from_bytes_vartime(&bytes).expect("what was written"))
    };
    let (a, b) = (import(), import());
    checks.run("SecretKey::ct_eq", 0, || a.ct_eq(&b));
    checks.run("SecretKey::expose_primes_be", 0, || a.expose_primes_be());
    checks.run("dropping a SecretKey", 0, || drop((a, b)));
}

/// The clients' processing of values before encryption.
fn packing(checks: &mut Checks) {
    say(format_args!("== packing"));
    let mut rng = Hidden(ChaCha20Rng::seed_from_u64(4));
    let mut integers = [-7i32, 1000, 0, 999, -1000];
    let mut numbers = [0.25f32, -3.0, 0.0, 1e-3, 0.999];
    hide(&mut integers);
    hide(&mut numbers);
    let mut slots = [0; 5];
    let range = IntegerRange::new(-1000, 1000).expect("a range");
    // Revealed: all values are in the range.
    checks.run("IntegerRange::encode", 1, || range.encode(&integers, &mut slots).is_ok());
    let nearest = Quantizer::symmetric(1.0, 16).expect("a quantizer");
    // Revealed: all values are finite.
    checks.run("Quantizer::encode, to nearest", 1, || nearest.encode(&numbers, &mut slots, &mut rng).is_ok());
    let stochastic = nearest.stochastic();
    checks.run("Quantizer::encode, stochastic", 1, || {
        stochastic.encode(&numbers, &mut slots, &mut rng).is_ok()
    });
    let layout = Layout::new(LayoutParameters {
        capacity_bits: 511,
        value_bits: 16,
        max_summands: 100,
        max_weight: 1,
    })
    .expect("a layout");
    let mut plaintext = vec![0; layout.words()];
    checks.run("Layout::pack", 0, || layout.pack(&slots, &mut plaintext));
    checks.run("Layout::unpack", 0, || layout.unpack(&plaintext, &mut [0; 5]));
}

/// Typical leaks. The test is only valid if it finds both.
fn commit(leak: Leak, checks: &mut Checks) {
    let mut exponent = [0xa5_u64 as Word];
    hide(&mut exponent);
    match leak {
        Leak::Branch => checks.run("a deliberate leak: a product for every bit that is set", 0, || {
            let mut product: Word = 1;
            for bit in 0..8 {
                product = product.wrapping_mul(product);
                if black_box(exponent[0] >> bit) & 1 == 1 {
                    product = black_box(product.wrapping_mul(3));
                }
            }
            black_box(product);
        }),
        Leak::LookUp => checks.run("a deliberate leak: a table indexed by a window", 0, || {
            let table: [Word; 16] = black_box(core::array::from_fn(|i| i as Word));
            black_box(table[(exponent[0] & 15) as usize]);
        }),
    }
}

/// A generator with secret output.
struct Hidden(ChaCha20Rng);

impl TryRng for Hidden {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut word = self.0.next_u32();
        hide(&mut word);
        Ok(word)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = self.0.next_u64();
        hide(&mut word);
        Ok(word)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        hide(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Hidden {}
