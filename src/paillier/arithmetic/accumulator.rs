//! Sums over any number of contributions, in the memory of one contribution.

use core::fmt;

use crate::{
    backend::engine::Fold,
    paillier::{
        error::{Error, Result},
        keys::{PublicKey, public_key::same_length},
        values::{Bits3072, CiphertextBatch, KeySize, ResidentBatch},
    },
};

/// A sum in progress: `len` ciphertexts, for any number of contributions.
///
/// Contributions may come in any order and in any number of calls. Each costs one product modulo n²
/// for each of its ciphertexts. The whole sum costs one more product for each.
///
/// ```
/// use cipherfold::paillier::{Accumulator, Bits2048, Encryptor, Plaintext, SecretKey};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(2);
/// let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
/// let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
///
/// let mut sum: Accumulator<Bits2048> = secret.public_key().accumulator(2);
/// for i in 0..5u64 {
///     let update = [Plaintext::from(i), Plaintext::from(i + 1)];
///     sum.add(&encryptor.encrypt_batch(&update, &mut rng)?)?;
/// }
/// let total = secret.decrypt_batch(&sum.finish()?)?;
/// assert_eq!(total[0].to_u64(), Some(10));
/// assert_eq!(total[1].to_u64(), Some(15));
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct Accumulator<S: KeySize = Bits3072> {
    key: PublicKey<S>,
    len: usize,
    contributions: u64,
    fold: Box<dyn Fold<S::Full>>,
}

impl<S: KeySize> Accumulator<S> {
    pub(in crate::paillier) fn new(key: PublicKey<S>, len: usize) -> Self {
        let fold = key.engine().fold(len);
        Self { key, len, contributions: 0, fold }
    }

    /// Adds a contribution, item by item.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check_batch`]; [`Error::BatchLength`]. The sum is then unchanged.
    pub fn add(&mut self, contribution: &CiphertextBatch<S>) -> Result<()> {
        same_length(self.len, contribution.len())?;
        self.key.check_batch(contribution)?;
        self.add_checked(contribution);
        Ok(())
    }

    /// [`add`](Self::add) for a contribution of the right length that this key has checked.
    pub(crate) fn add_checked(&mut self, contribution: &CiphertextBatch<S>) {
        self.fold.add(&contribution.pairs);
        self.contributions += 1;
    }

    /// [`add`](Self::add) for ciphertexts in the memory where an encryptor made them. If that is
    /// the GPU of this sum, they stay there.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`]; [`Error::BatchLength`]. The sum is then unchanged.
    pub fn add_resident(&mut self, contribution: &ResidentBatch<S>) -> Result<()> {
        same_length(self.len, contribution.len())?;
        self.key.check_key(contribution.key)?;
        self.fold.add_resident(&contribution.residues);
        self.contributions += 1;
        Ok(())
    }

    /// Number of contributions added.
    pub fn contributions(&self) -> u64 {
        self.contributions
    }

    /// Ciphertexts of a contribution, and of the sum.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether contributions have no ciphertexts.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The encrypted sums.
    ///
    /// # Errors
    ///
    /// [`Error::EmptySum`] if nothing was added: the result would be an "encryption" of zero
    /// without any randomness.
    pub fn finish(self) -> Result<CiphertextBatch<S>> {
        if self.contributions == 0 {
            return Err(Error::EmptySum);
        }
        Ok(CiphertextBatch::new(self.key.fingerprint(), self.fold.finish()))
    }
}

impl<S: KeySize> fmt::Debug for Accumulator<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator")
            .field("len", &self.len)
            .field("contributions", &self.contributions)
            .finish_non_exhaustive()
    }
}
