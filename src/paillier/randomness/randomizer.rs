//! Randomizers: secrets that each hide one plaintext and are consumed by it.

use core::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::draw::random_unit;
use crate::{
    paillier::{
        error::Result,
        fingerprint::Fingerprint,
        keys::{PublicKey, public_key::same_length},
        values::{Bits3072, Ciphertext, CiphertextBatch, KeySize, Plaintext},
    },
    residue::Pair,
};

/// A random n-th residue modulo n², for exactly one encryption.
///
/// Two encryptions with one randomizer reveal the difference of their plaintexts. A randomizer
/// therefore cannot be copied, and [`PublicKey::encrypt_with`] takes it by value:
///
/// ```compile_fail,E0382
/// # use cipherfold::{Result, paillier::{Bits2048, Plaintext, PublicKey, Randomizer}};
/// fn twice(key: &PublicKey<Bits2048>, randomizer: Randomizer<Bits2048>) -> Result<()> {
///     key.encrypt_with(&Plaintext::from(1u64), randomizer)?;
///     key.encrypt_with(&Plaintext::from(2u64), randomizer)?; // it is gone
///     Ok(())
/// }
/// ```
///
/// [`Encryptor::randomizers`](crate::paillier::Encryptor::randomizers) (exponents of the
/// encryptor's [length](crate::paillier::Exponents), a table) and
/// [`PublicKey::randomizer_full_range`] make randomizers. Neither needs the plaintext, so both can
/// run in advance:
///
/// ```
/// # use cipherfold::paillier::{Bits2048, Encryptor, Plaintext, SecretKey};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(3);
/// # let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
/// # let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
/// let mut prepared = encryptor.randomizers(10, &mut rng); // some idle time before the round
/// let message = [Plaintext::from(7_u64), Plaintext::from(8_u64)];
/// let randomizers = prepared.split_off(prepared.len() - message.len());
/// let sealed = secret.public_key().encrypt_batch_with(&message, randomizers)?; // a product each
/// # assert_eq!(secret.decrypt_batch(&sealed)?[1].to_u64(), Some(8));
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct Randomizer<S: KeySize = Bits3072> {
    key: Fingerprint,
    /// Boxed, so that a move (or a growing queue) leaves no unwiped copy.
    pair: Box<Pair<S::Full>>,
}

impl<S: KeySize> Randomizer<S> {
    pub(in crate::paillier) fn new(key: Fingerprint, pair: Pair<S::Full>) -> Self {
        Self { key, pair: Box::new(pair) }
    }

    /// The fingerprint of its key.
    pub fn key(&self) -> Fingerprint {
        self.key
    }

    pub(in crate::paillier) fn pair(&self) -> &Pair<S::Full> {
        &self.pair
    }
}

impl<S: KeySize> Drop for Randomizer<S> {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

impl<S: KeySize> ZeroizeOnDrop for Randomizer<S> {}

impl<S: KeySize> fmt::Debug for Randomizer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Randomizer").finish_non_exhaustive()
    }
}

impl<S: KeySize> PublicKey<S> {
    /// `r^n mod n²` for r uniform among the units modulo n: Paillier's original randomizer. It
    /// needs no [assumption about shorter exponents](crate::paillier::Exponents), and costs a full
    /// exponentiation.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`](crate::paillier::Error::BrokenGenerator) if `rng` repeats itself.
    pub fn randomizer_full_range(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Randomizer<S>> {
        let n = self.modulus();
        let mut r = Zeroizing::new([Pair::default()]);
        r[0].lo = *random_unit(rng, n.n(), "randomizer")?;
        let power = Zeroizing::new(self.engine().pow(&*r, &[*n.n()], S::BITS));
        Ok(Randomizer::new(self.fingerprint(), power[0]))
    }

    /// Encrypts with a prepared randomizer, which is consumed.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`](crate::paillier::Error::KeyMismatch) if the randomizer has another
    /// key, [`Error::PlaintextRange`](crate::paillier::Error::PlaintextRange) if m is not below n.
    #[expect(clippy::needless_pass_by_value, reason = "a randomizer can be used once")]
    pub fn encrypt_with(&self, m: &Plaintext<S>, randomizer: Randomizer<S>) -> Result<Ciphertext<S>> {
        self.check_key(randomizer.key)?;
        let ms = self.check_plaintexts(core::slice::from_ref(m))?;
        Ok(self.single(self.engine().add_plain(&[*randomizer.pair], &ms)))
    }

    /// Encrypts a batch with one randomizer for each plaintext. All are consumed.
    ///
    /// # Errors
    ///
    /// Those of [`encrypt_with`](Self::encrypt_with), and
    /// [`Error::BatchLength`](crate::paillier::Error::BatchLength).
    pub fn encrypt_batch_with(
        &self,
        ms: &[Plaintext<S>],
        randomizers: Vec<Randomizer<S>>,
    ) -> Result<CiphertextBatch<S>> {
        same_length(ms.len(), randomizers.len())?;
        let ms = self.check_plaintexts(ms)?;
        let factors = self.consume_randomizers(randomizers)?;
        Ok(self.batch(self.engine().add_plain(&factors, &ms)))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a randomizer can be used once")]
    pub(in crate::paillier) fn consume_randomizers(
        &self,
        randomizers: Vec<Randomizer<S>>,
    ) -> Result<Zeroizing<Vec<Pair<S::Full>>>> {
        randomizers.iter().try_for_each(|randomizer| self.check_key(randomizer.key))?;
        Ok(Zeroizing::new(randomizers.iter().map(|randomizer| *randomizer.pair).collect()))
    }
}
