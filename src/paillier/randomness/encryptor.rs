//! Encryption with exponents shorter than n and a table of a fixed base.
//!
//! Damgård, Jurik and Nielsen ("A generalization of Paillier's public-key system with applications
//! to electronic voting", International Journal of Information Security 9, 2010, section 4.2)
//! replace the randomizer `r^n` by `h_s^α`, where `h = −x² mod n` for a random x,
//! `h_s = h^n mod n²`, and α is fresh and half as long as n. The base never changes. With a table
//! of its powers, encryption needs only `⌈|α|/w⌉` products instead of an exponentiation with all of
//! n. [`Exponents`] states the assumptions behind the length of α.

use core::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::{draw::random_unit, exponents::Exponents, randomizer::Randomizer};
use crate::{
    backend::engine::FixedBaseEngine,
    paillier::{
        error::{Error, Result},
        keys::PublicKey,
        values::{Bits3072, Ciphertext, CiphertextBatch, KeySize, Plaintext, ResidentBatch},
    },
    residue::{Pair, conditional_subtract, subtract},
};

/// Encrypts under a public key. This is the default method, about twenty times as fast as `r^n`.
///
/// Holds a table of some megabytes ([`table_bytes`](Self::table_bytes)). Building it takes as long
/// as a few dozen encryptions: make one encryptor for each key and keep it. Clones share the table.
///
/// Exponents are half as long as n. [`with_short_exponents`](Self::with_short_exponents) makes an
/// encryptor that is about four times as fast, under a further assumption: read [`Exponents`]
/// first.
pub struct Encryptor<S: KeySize = Bits3072> {
    key: PublicKey<S>,
    base: Ciphertext<S>,
    exponents: Exponents,
    engine: Arc<dyn FixedBaseEngine<S::Full, S::Half>>,
}

impl<S: KeySize> Encryptor<S> {
    /// An encryptor with its own base, drawn from `rng`, and exponents half as long as n.
    ///
    /// The base may be public; its secret x is discarded.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`] if `rng` repeats itself. [`Error::CiphertextZero`],
    /// [`Error::TrivialBase`] if the base is not a unit or hides nothing, which can happen if the
    /// modulus is not a product of two primes.
    pub fn new(key: &PublicKey<S>, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Self> {
        Self::with_base(key, Self::random_base(key, rng)?)
    }

    /// An encryptor with a given base `h_s`, which is an encryption of zero, and exponents half as
    /// long as n. If the owner of the key publishes a base, every other party saves an
    /// exponentiation.
    ///
    /// The base must come from a trusted party, like the key itself: a weak base (for example 1)
    /// hides nothing.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check`], and [`Error::TrivialBase`] for a base that is 1 or −1 modulo
    /// n.
    pub fn with_base(key: &PublicKey<S>, base: Ciphertext<S>) -> Result<Self> {
        Self::with_base_and_exponents(key, base, Exponents::Half)
    }

    /// [`new`](Self::new), with exponents of [`KeySize::SHORT_EXPONENT_BITS`] bits, **under a
    /// further assumption**. [`Exponents`] states it in full, and when not to use short exponents.
    ///
    /// All ciphertexts, randomizers and rerandomized ciphertexts of this encryptor have short
    /// exponents. Ciphertexts have the same form, and can be added to and decrypted with all others
    /// under the key.
    ///
    /// ```
    /// use cipherfold::paillier::{Bits2048, Encryptor, Exponents, Plaintext, SecretKey};
    /// # use rand_core::SeedableRng;
    /// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(5);
    ///
    /// let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
    /// let usual = Encryptor::new(secret.public_key(), &mut rng)?;
    /// let short = Encryptor::with_base_and_short_exponents(secret.public_key(), usual.base().clone())?;
    /// assert_eq!((usual.exponents(), short.exponents()), (Exponents::Half, Exponents::Short));
    /// assert!(short.table_bytes() < usual.table_bytes());
    ///
    /// let a = usual.encrypt(&Plaintext::from(20u64), &mut rng)?;
    /// let b = short.encrypt(&Plaintext::from(22u64), &mut rng)?;
    /// let sum = secret.public_key().add(&a, &b)?;
    /// assert_eq!(secret.decrypt(&sum)?.to_u64(), Some(42));
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with_short_exponents(key: &PublicKey<S>, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Self> {
        Self::with_base_and_short_exponents(key, Self::random_base(key, rng)?)
    }

    /// [`with_base`](Self::with_base), with short exponents: see
    /// [`with_short_exponents`](Self::with_short_exponents).
    ///
    /// # Errors
    ///
    /// Those of [`with_base`](Self::with_base).
    pub fn with_base_and_short_exponents(key: &PublicKey<S>, base: Ciphertext<S>) -> Result<Self> {
        Self::with_base_and_exponents(key, base, Exponents::Short)
    }

    /// An encryptor with a given base and length of exponents.
    pub(crate) fn with_base_and_exponents(
        key: &PublicKey<S>,
        base: Ciphertext<S>,
        exponents: Exponents,
    ) -> Result<Self> {
        Self::check_base(key, &base)?;
        let engine = key.backend().fixed_base(key.modulus(), &base.pair, exponents.bits::<S>());
        Ok(Self { key: key.clone(), base, exponents, engine })
    }

    /// A base drawn from `rng`, checked.
    pub(crate) fn random_base(
        key: &PublicKey<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Ciphertext<S>> {
        let n = key.modulus();
        // h = −x² mod n
        let x = random_unit(rng, n.n(), "base of an encryptor")?;
        let square = n.mul_single(&n.mul_single(&x, &n.r2().lo), &x);
        drop(x);
        let mut h = *n.n();
        subtract(&mut h, &square);
        // n itself, if x² is a multiple of n.
        conditional_subtract(&mut h, &mut 0, n.n());
        let mut power = key.engine().pow(&[Pair::new(h, S::Full::default())], &[*n.n()], S::BITS);
        let base = Ciphertext { key: key.fingerprint(), pair: power.remove(0) };
        Self::check_base(key, &base)?;
        Ok(base)
    }

    fn check_base(key: &PublicKey<S>, base: &Ciphertext<S>) -> Result<()> {
        key.check(base)?;
        // An n-th residue that is ±1 modulo n is ±1: its powers hide nothing. Other residues of
        // small order exist, but knowing one reveals the factors of n.
        let (one, mut minus_one) = (Pair::one().lo, *key.modulus().n());
        subtract(&mut minus_one, &one);
        if base.pair.lo == one || base.pair.lo == minus_one {
            return Err(Error::TrivialBase);
        }
        Ok(())
    }

    /// The public key of this encryptor.
    pub fn public_key(&self) -> &PublicKey<S> {
        &self.key
    }

    /// The base `h_s`. It is public, and other parties may use it.
    pub fn base(&self) -> &Ciphertext<S> {
        &self.base
    }

    /// The length of the exponents.
    pub fn exponents(&self) -> Exponents {
        self.exponents
    }

    /// Memory of the table, in bytes.
    pub fn table_bytes(&self) -> usize {
        self.engine.table_bytes()
    }

    /// Encrypts one plaintext.
    ///
    /// # Errors
    ///
    /// [`Error::PlaintextRange`] if it is not below n.
    pub fn encrypt(&self, m: &Plaintext<S>, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Ciphertext<S>> {
        let batch = self.encrypt_batch(core::slice::from_ref(m), rng)?;
        Ok(batch.get(0).expect("one plaintext in, one ciphertext out"))
    }

    /// Encrypts a batch, on all threads of the current rayon pool.
    ///
    /// # Errors
    ///
    /// [`Error::PlaintextRange`] if one is not below n.
    pub fn encrypt_batch(
        &self,
        ms: &[Plaintext<S>],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        let ms = self.key.check_plaintexts(ms)?;
        let exponents = self.exponents.draw::<S>(ms.len(), rng);
        Ok(self.key.batch(self.engine.encrypt(&ms, &exponents)))
    }

    /// [`encrypt_batch`](Self::encrypt_batch) of integers in the form that the backends take,
    /// without a copy.
    pub(crate) fn encrypt_integers(
        &self,
        ms: &[S::Full],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        self.key.check_integers(ms)?;
        let exponents = self.exponents.draw::<S>(ms.len(), rng);
        Ok(self.key.batch(self.engine.encrypt(ms, &exponents)))
    }

    /// [`encrypt_batch`](Self::encrypt_batch), but the ciphertexts stay in the memory of the
    /// backend: on a GPU, in its own memory.
    ///
    /// ```
    /// use cipherfold::paillier::{Bits2048, Encryptor, Plaintext, ResidentBatch, SecretKey};
    /// # use rand_core::SeedableRng;
    /// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(2);
    ///
    /// # let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
    /// let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
    /// let mut sum = secret.public_key().accumulator(1);
    /// for i in 0..3u64 {
    ///     let update: ResidentBatch<Bits2048> = encryptor.encrypt_resident(&[Plaintext::from(i)], &mut rng)?;
    ///     sum.add_resident(&update)?;
    /// }
    /// assert_eq!(secret.decrypt_batch(&sum.finish()?)?[0].to_u64(), Some(3));
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::PlaintextRange`] if one is not below n.
    pub fn encrypt_resident(
        &self,
        ms: &[Plaintext<S>],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<ResidentBatch<S>> {
        let ms = self.key.check_plaintexts(ms)?;
        let exponents = self.exponents.draw::<S>(ms.len(), rng);
        let residues = Arc::clone(&self.engine).encrypt_resident(&ms, &exponents);
        Ok(ResidentBatch { key: self.key.fingerprint(), residues })
    }

    /// Makes randomizers in advance, with exponents of this encryptor's length.
    pub fn randomizers(&self, count: usize, rng: &mut (impl CryptoRng + ?Sized)) -> Vec<Randomizer<S>> {
        let exponents = self.exponents.draw::<S>(count, rng);
        let mut powers = self.engine.pow(&exponents);
        let key = self.key.fingerprint();
        let randomizers = powers.iter().map(|power| Randomizer::new(key, *power)).collect();
        powers.zeroize();
        randomizers
    }

    /// Other encryptions of the same plaintexts.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check_batch`].
    pub fn rerandomize_batch(
        &self,
        a: &CiphertextBatch<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        self.key.rerandomize_batch(a, self.randomizers(a.len(), rng))
    }
}

impl<S: KeySize> Clone for Encryptor<S> {
    fn clone(&self) -> Self {
        let Self { key, base, exponents, engine } = self;
        Self { key: key.clone(), base: base.clone(), exponents: *exponents, engine: Arc::clone(engine) }
    }
}

impl<S: KeySize> fmt::Debug for Encryptor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor")
            .field("key", &self.key)
            .field("exponents", &self.exponents)
            .field("table_bytes", &self.table_bytes())
            .finish_non_exhaustive()
    }
}
