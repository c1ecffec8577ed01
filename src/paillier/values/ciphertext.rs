//! Ciphertexts, one and many.

use core::fmt;
use std::sync::Arc;

use super::key_size::{Bits3072, KeySize};
use crate::{
    paillier::{
        error::{Error, Result},
        fingerprint::Fingerprint,
    },
    residue::Pair,
};

/// One encrypted integer: a unit modulo n², stored as its two digits in base n, and the fingerprint
/// of its key.
///
/// In memory and on the wire it has two halves of [`KeySize::BYTES`] bytes each, the size of the
/// usual integer modulo n².
/// [`PublicKey::ciphertext_to_integer`](crate::paillier::PublicKey::ciphertext_to_integer) gives
/// that integer. A ciphertext is public: it may be compared and printed. Equal plaintexts have
/// different ciphertexts.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext<S: KeySize = Bits3072> {
    pub(in crate::paillier) key: Fingerprint,
    pub(in crate::paillier) pair: Pair<S::Full>,
}

impl<S: KeySize> Ciphertext<S> {
    /// The fingerprint of the key that this was encrypted under.
    pub fn key(&self) -> Fingerprint {
        self.key
    }
}

impl<S: KeySize> fmt::Debug for Ciphertext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphertext").field("bits", &S::BITS).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Many encrypted integers under one key: the input and output of batch operations.
///
/// ```
/// # use cipherfold::paillier::{Encryptor, Plaintext, SecretKey, hazmat::InsecureBits512};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(4);
/// # let secret = SecretKey::<InsecureBits512>::generate(&mut rng)?;
/// let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
/// let batch = encryptor.encrypt_batch(&[Plaintext::from(1_u64), Plaintext::from(2_u64)], &mut rng)?;
/// assert_eq!((batch.len(), batch.key()), (2, secret.public_key().fingerprint()));
///
/// // To another party, and back: the key checks that the ciphertexts are its own.
/// let received = secret.public_key().batch_from_bytes(&batch.to_bytes())?;
/// assert_eq!(received, batch);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// Clones share their memory until ciphertexts are appended to one of them.
#[derive(Clone, PartialEq, Eq)]
pub struct CiphertextBatch<S: KeySize = Bits3072> {
    pub(in crate::paillier) key: Fingerprint,
    pub(in crate::paillier) pairs: Arc<Vec<Pair<S::Full>>>,
}

impl<S: KeySize> CiphertextBatch<S> {
    pub(in crate::paillier) fn new(key: Fingerprint, pairs: Vec<Pair<S::Full>>) -> Self {
        Self { key, pairs: Arc::new(pairs) }
    }

    /// Collects ciphertexts of one key.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`] at the first ciphertext of another key.
    pub fn from_ciphertexts(
        key: Fingerprint,
        ciphertexts: impl IntoIterator<Item = Ciphertext<S>>,
    ) -> Result<Self> {
        let pairs = ciphertexts
            .into_iter()
            .map(|ciphertext| {
                if ciphertext.key == key {
                    Ok(ciphertext.pair)
                } else {
                    Err(Error::KeyMismatch { expected: key, found: ciphertext.key })
                }
            })
            .collect::<Result<_>>()?;
        Ok(Self::new(key, pairs))
    }

    /// The fingerprint of the key that these were encrypted under.
    pub fn key(&self) -> Fingerprint {
        self.key
    }

    /// Number of ciphertexts.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The ciphertext at an index.
    pub fn get(&self, index: usize) -> Option<Ciphertext<S>> {
        self.pairs.get(index).map(|pair| Ciphertext { key: self.key, pair: *pair })
    }

    /// All ciphertexts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Ciphertext<S>> + '_ {
        self.pairs.iter().map(|pair| Ciphertext { key: self.key, pair: *pair })
    }

    /// Appends the ciphertexts of another batch.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`] if it belongs to another key. Then nothing is appended.
    pub fn append(&mut self, other: Self) -> Result<()> {
        if other.key != self.key {
            return Err(Error::KeyMismatch { expected: self.key, found: other.key });
        }
        Arc::make_mut(&mut self.pairs).append(&mut Arc::unwrap_or_clone(other.pairs));
        Ok(())
    }
}

impl<S: KeySize> fmt::Debug for CiphertextBatch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CiphertextBatch")
            .field("bits", &S::BITS)
            .field("key", &self.key)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
