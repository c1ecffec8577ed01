//! Encryption with exponents shorter than n and a table of a fixed base.
//!
//! Damgård, Jurik and Nielsen ("A generalization of Paillier's public-key system with applications
//! to electronic voting", International Journal of Information Security 9, 2010, section 4.2) replace
//! the randomizer `r^n` by `h_s^α`, where `h = −x² mod n` for a random x, `h_s = h^n mod n²`, and α is
//! fresh and half as long as n. The base never changes, so a table of its powers leaves products only:
//! `⌈|α|/w⌉` of them instead of an exponentiation with all of n. [`Exponents`] says what the length of α rests on.

use core::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::{
    Bits3072, Ciphertext, CiphertextBatch, Error, Exponents, KeySize, Plaintext, PublicKey, Randomizer,
    ResidentBatch, Result,
};
use crate::{backend::FixedBaseEngine, residue::Pair};

/// Encrypts under a public key: the default way, about twenty times as fast as `r^n`.
///
/// Holds a table of some megabytes ([`table_bytes`](Self::table_bytes)) that takes as long to make as
/// some dozen encryptions; make one for each key and keep it. Clones share it.
///
/// Exponents are half as long as n. [`with_short_exponents`](Self::with_short_exponents) makes an encryptor that is about four
/// times as fast, under a further assumption: read [`Exponents`] first.
pub struct Encryptor<S: KeySize = Bits3072> {
    key: PublicKey<S>,
    base: Ciphertext<S>,
    exponents: Exponents,
    engine: Arc<dyn FixedBaseEngine<S::Full, S::Half>>,
}

impl<S: KeySize> Encryptor<S> {
    /// An encryptor with a base of its own, drawn from `rng`, and exponents half as long as n.
    ///
    /// The base may be public; the x behind it is forgotten here.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`] if `rng` repeats itself. A modulus that is no product of two primes can have bases
    /// that are no units or that hide nothing: [`Error::CiphertextZero`], [`Error::TrivialBase`].
    pub fn new(key: &PublicKey<S>, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Self> {
        Self::with_base(key, Self::random_base(key, rng)?)
    }

    /// An encryptor with a given base `h_s`, which is an encryption of zero, and exponents half as long as n. A base that the
    /// owner of the key publishes saves everyone else an exponentiation.
    ///
    /// Whoever chose the base must be trusted not to have chosen a weak one (say 1), as the owner of
    /// the key is.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check`], and [`Error::TrivialBase`] for a base that is 1 or −1 modulo n.
    pub fn with_base(key: &PublicKey<S>, base: Ciphertext<S>) -> Result<Self> {
        Self::with_base_and_exponents(key, base, Exponents::Half)
    }

    /// [`new`](Self::new), with exponents of [`KeySize::SHORT_EXPONENT_BITS`] bits: **under a further assumption**, which
    /// [`Exponents`] states in full, with the cases in which it should not be made.
    ///
    /// Everything that this encryptor makes (ciphertexts, randomizers, other encryptions of given ciphertexts) has short
    /// exponents. Ciphertexts have the same form, and are added and decrypted together with all others under the key.
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

    /// [`with_base`](Self::with_base), with short exponents: see [`with_short_exponents`](Self::with_short_exponents).
    ///
    /// # Errors
    ///
    /// Those of [`with_base`](Self::with_base).
    pub fn with_base_and_short_exponents(key: &PublicKey<S>, base: Ciphertext<S>) -> Result<Self> {
        Self::with_base_and_exponents(key, base, Exponents::Short)
    }

    /// An encryptor with a given base and exponents of a length that a caller has chosen by name.
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
        let x = super::random_unit(rng, n.n(), "base of an encryptor")?;
        let square = n.mul_single(&n.mul_single(&x, &n.r2().lo), &x);
        drop(x);
        let mut h = *n.n();
        crate::residue::subtract(&mut h, &square);
        // n itself, where x² is a multiple of n.
        crate::residue::conditional_subtract(&mut h, &mut 0, n.n());
        let mut power = key.engine().pow(&[Pair::new(h, S::Full::default())], &[*n.n()], S::BITS);
        let base = Ciphertext { key: key.fingerprint(), pair: power.remove(0) };
        Self::check_base(key, &base)?;
        Ok(base)
    }

    fn check_base(key: &PublicKey<S>, base: &Ciphertext<S>) -> Result<()> {
        key.check(base)?;
        // An n-th residue that is ±1 modulo n is ±1: its powers hide nothing. Others of small order exist,
        // but whoever knows one has factored n.
        let (one, mut minus_one) = (Pair::one().lo, *key.modulus().n());
        crate::residue::subtract(&mut minus_one, &one);
        if base.pair.lo == one || base.pair.lo == minus_one {
            return Err(Error::TrivialBase);
        }
        Ok(())
    }

    /// The public key that this encrypts under.
    pub fn public_key(&self) -> &PublicKey<S> {
        &self.key
    }

    /// The base `h_s`, for others to use: it is public.
    pub fn base(&self) -> &Ciphertext<S> {
        &self.base
    }

    /// The length of the exponents.
    pub fn exponents(&self) -> Exponents {
        self.exponents
    }

    /// Memory that the table takes, in bytes.
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

    /// Encrypts many, on all threads of the current rayon pool.
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

    /// [`encrypt_batch`](Self::encrypt_batch) of integers as the backends want them, without a copy.
    pub(crate) fn encrypt_integers(
        &self,
        ms: &[S::Full],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        self.key.check_integers(ms)?;
        let exponents = self.exponents.draw::<S>(ms.len(), rng);
        Ok(self.key.batch(self.engine.encrypt(ms, &exponents)))
    }

    /// [`encrypt_batch`](Self::encrypt_batch), with the ciphertexts left where the backend makes them: on a GPU, in its
    /// memory.
    ///
    /// ```
    /// # use cipherfold::paillier::{Bits2048, Encryptor, Plaintext, SecretKey};
    /// # use rand_core::SeedableRng;
    /// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(2);
    /// # let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
    /// let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
    /// let mut sum = secret.public_key().accumulator(1);
    /// for i in 0..3u64 {
    ///     sum.add_resident(&encryptor.encrypt_resident(&[Plaintext::from(i)], &mut rng)?)?;
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

    /// Makes randomizers ahead of their use, with exponents of this encryptor's length.
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
