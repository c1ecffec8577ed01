//! Randomizers: secrets that each hide one plaintext and are consumed by it.

use core::fmt;
use std::{collections::VecDeque, sync::Mutex};

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    Bits3072, Ciphertext, CiphertextBatch, Encryptor, Fingerprint, KeySize, Plaintext, PublicKey, Result,
};
use crate::residue::Pair;

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
/// [`Encryptor::randomizers`] (exponents of the encryptor's [length](super::Exponents), a table)
/// and [`PublicKey::randomizer_full_range`] make randomizers. Neither needs the plaintext, so both
/// can run in advance ([`RandomizerPool`]).
pub struct Randomizer<S: KeySize = Bits3072> {
    key: Fingerprint,
    /// Boxed, so that a move (or a growing queue) leaves no unwiped copy.
    pair: Box<Pair<S::Full>>,
}

impl<S: KeySize> Randomizer<S> {
    pub(super) fn new(key: Fingerprint, pair: Pair<S::Full>) -> Self {
        Self { key, pair: Box::new(pair) }
    }

    /// The fingerprint of its key.
    pub fn key(&self) -> Fingerprint {
        self.key
    }

    pub(super) fn pair(&self) -> &Pair<S::Full> {
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
    /// needs no [assumption about shorter exponents](super::Exponents), and costs a full
    /// exponentiation.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`](super::Error::BrokenGenerator) if `rng` repeats itself.
    pub fn randomizer_full_range(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Randomizer<S>> {
        let n = self.modulus();
        let mut r = Zeroizing::new([Pair::default()]);
        r[0].lo = *super::random_unit(rng, n.n(), "randomizer")?;
        let power = Zeroizing::new(self.engine().pow(&*r, &[*n.n()], S::BITS));
        Ok(Randomizer::new(self.fingerprint(), power[0]))
    }

    /// Encrypts with a prepared randomizer, which is consumed.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`](super::Error::KeyMismatch) if the randomizer has another key,
    /// [`Error::PlaintextRange`](super::Error::PlaintextRange) if m is not below n.
    #[expect(clippy::needless_pass_by_value, reason = "a randomizer is good for one use: it is taken away")]
    pub fn encrypt_with(&self, m: &Plaintext<S>, randomizer: Randomizer<S>) -> Result<Ciphertext<S>> {
        self.check_key(randomizer.key)?;
        let ms = self.check_plaintexts(core::slice::from_ref(m))?;
        Ok(self.only(self.engine().add_plain(&[*randomizer.pair], &ms)))
    }

    /// Encrypts a batch with one randomizer for each plaintext. All are consumed.
    ///
    /// # Errors
    ///
    /// Those of [`encrypt_with`](Self::encrypt_with), and
    /// [`Error::BatchLength`](super::Error::BatchLength).
    pub fn encrypt_batch_with(
        &self,
        ms: &[Plaintext<S>],
        randomizers: Vec<Randomizer<S>>,
    ) -> Result<CiphertextBatch<S>> {
        super::homomorphic::same_length(ms.len(), randomizers.len())?;
        let ms = self.check_plaintexts(ms)?;
        let factors = self.take_randomizers(randomizers)?;
        Ok(self.batch(self.engine().add_plain(&factors, &ms)))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a randomizer is good for one use: it is taken away")]
    pub(super) fn take_randomizers(
        &self,
        randomizers: Vec<Randomizer<S>>,
    ) -> Result<Zeroizing<Vec<Pair<S::Full>>>> {
        randomizers.iter().try_for_each(|randomizer| self.check_key(randomizer.key))?;
        Ok(Zeroizing::new(randomizers.iter().map(|randomizer| *randomizer.pair).collect()))
    }
}

/// A bounded stock of randomizers, made in advance, with exponents of its encryptor's length.
///
/// Threads share it by reference. It returns every randomizer once.
///
/// ```
/// # use cipherfold::paillier::{Bits2048, Encryptor, Plaintext, RandomizerPool, SecretKey};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(3);
/// # let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
/// # let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
/// let pool = RandomizerPool::new(encryptor, 100);
/// pool.fill(10, &mut rng); // some idle time before the round
/// let message = [Plaintext::from(7u64), Plaintext::from(8u64)];
/// let sealed = pool.encrypt_batch(&message, &mut rng)?; // an addition each
/// assert_eq!(pool.len(), 8);
/// # assert_eq!(secret.decrypt_batch(&sealed)?[1].to_u64(), Some(8));
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Debug)]
pub struct RandomizerPool<S: KeySize = Bits3072> {
    encryptor: Encryptor<S>,
    capacity: usize,
    stock: Mutex<VecDeque<Randomizer<S>>>,
}

impl<S: KeySize> RandomizerPool<S> {
    /// An empty pool that holds at most `capacity` randomizers, of twice [`KeySize::BYTES`] bytes
    /// each.
    pub fn new(encryptor: Encryptor<S>, capacity: usize) -> Self {
        Self { encryptor, capacity, stock: Mutex::default() }
    }

    /// Makes up to `count` more randomizers, up to the capacity, and returns their number.
    pub fn fill(&self, count: usize, rng: &mut (impl CryptoRng + ?Sized)) -> usize {
        let count = count.min(self.capacity.saturating_sub(self.len()));
        let mut made: VecDeque<_> = self.encryptor.randomizers(count, rng).into();
        let mut stock = self.stock();
        // Other threads may have filled it in the meantime. The excess is wiped.
        made.truncate(self.capacity.saturating_sub(stock.len()));
        let added = made.len();
        stock.append(&mut made);
        added
    }

    /// Randomizers in stock.
    pub fn len(&self) -> usize {
        self.stock().len()
    }

    /// Whether the stock is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one randomizer, if the stock is not empty.
    pub fn take(&self) -> Option<Randomizer<S>> {
        self.stock().pop_front()
    }

    /// Encrypts with randomizers from the stock, and makes missing ones.
    ///
    /// # Errors
    ///
    /// [`Error::PlaintextRange`](super::Error::PlaintextRange). Then the stock is unchanged.
    pub fn encrypt_batch(
        &self,
        ms: &[Plaintext<S>],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CiphertextBatch<S>> {
        let key = self.encryptor.public_key();
        key.check_plaintexts(ms)?;
        let mut randomizers: Vec<_> = {
            let mut stock = self.stock();
            let available = ms.len().min(stock.len());
            stock.drain(..available).collect()
        };
        randomizers.extend(self.encryptor.randomizers(ms.len() - randomizers.len(), rng));
        key.encrypt_batch_with(ms, randomizers)
    }

    fn stock(&self) -> std::sync::MutexGuard<'_, VecDeque<Randomizer<S>>> {
        // The queue is valid even if another thread panicked.
        self.stock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
