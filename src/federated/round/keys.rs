//! The cryptosystem with the key size as a run-time value.
//!
//! Roles exchange bytes, and their types do not depend on the key size. The traits of this module
//! hide it. So this crate compiles the code for each key size once, and not every program again.

pub(in crate::federated) mod offer;
pub(in crate::federated) mod opened;

use core::{any::Any, fmt};
use std::sync::{Arc, OnceLock};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    backend::BackendChoice,
    federated::{
        channel,
        round::error::{Error, Result},
    },
    packing::Layout,
    paillier::{
        self, Accumulator, Bits2048, Bits3072, Bits4096, Ciphertext, CiphertextBatch, Encryptor, Exponents,
        Fingerprint, KeySize, Plaintext, PublicKey, SecretKey,
        hazmat::InsecureBits512,
        randomness::Masks,
        values::{read_words, write_be, write_words},
    },
    wipe::wipe_stack,
};

/// Runs an expression with the key size of this number of bits.
macro_rules! with_key_size {
    ($bits:expr, $S:ident => $body:expr) => {
        match $bits {
            2048 => {
                type $S = Bits2048;
                $body
            }
            3072 => {
                type $S = Bits3072;
                $body
            }
            4096 => {
                type $S = Bits4096;
                $body
            }
            512 => {
                type $S = InsecureBits512;
                $body
            }
            found => Err(Error::KeyBits { found }),
        }
    };
}

/// Refuses unsupported key sizes.
pub(super) fn check_key_bits(bits: u32) -> Result<()> {
    with_key_size!(bits, S => {
        debug_assert_eq!(S::BITS, bits);
        Ok(())
    })
}

/// The operations with a session's public key.
pub(in crate::federated) trait PublicOps: Any + Send + Sync {
    fn fingerprint(&self) -> Fingerprint;
    fn backend_name(&self) -> &'static str;

    /// The length of the exponents that encryption uses.
    fn exponents(&self) -> Exponents;

    /// The same key, with exponents of another length. Its table is computed again.
    fn with_exponents(&self, exponents: Exponents) -> Arc<dyn PublicOps>;

    /// Makes the table for encryption, unless it exists.
    fn prepare(&self) -> Result<()>;

    /// Packs values, one for each slot, into plaintexts.
    fn pack(&self, slots: &[u64], layout: &Layout) -> Box<dyn Packed>;

    /// Encrypts plaintexts to the bytes of a batch.
    fn encrypt(&self, plaintexts: Box<dyn Packed>, rng: &mut dyn CryptoRng) -> Result<Vec<u8>>;

    /// Reads and checks a batch of this number of ciphertexts of this key.
    fn read(&self, bytes: &[u8], expected: usize) -> Result<Batch>;

    /// The bytes of a batch.
    fn write(&self, batch: &Batch) -> Vec<u8>;

    /// An empty sum of batches of this number of ciphertexts.
    fn sum(&self, len: usize) -> Box<dyn Sum>;

    /// Masks a sum. Returns the state that removes the masks, and the bytes of the masked batch.
    fn mask(&self, sum: &Batch, rng: &mut dyn CryptoRng) -> Result<(Box<dyn Unmask>, Vec<u8>)>;

    /// The masks that [`mask`](Self::mask) draws first from this generator, for a batch of this
    /// length.
    fn masks(&self, len: usize, rng: &mut dyn CryptoRng) -> Result<Box<dyn Unmask>>;
}

/// The operations of the owner of a session's secret key.
pub(in crate::federated) trait SecretOps: Any + Send + Sync {
    /// Decrypts a batch of this key that [`PublicOps::read`] has checked.
    fn decrypt(&self, batch: &Batch) -> Result<Box<dyn Plaintexts>>;

    /// The key, for a caller that knows its type.
    fn as_any(&self) -> &dyn Any;

    /// The key as bytes, which are secret.
    fn expose_bytes(&self) -> Zeroizing<Vec<u8>>;
}

/// Integers modulo n, to be encrypted.
pub(in crate::federated) trait Packed: Any + Send {}

/// Decrypted integers modulo n.
pub(in crate::federated) trait Plaintexts: Send {
    /// Writes the lowest words of one integer, least significant first.
    fn write_words(&self, index: usize, words: &mut [u64]);

    /// All integers, big-endian, each as long as n. The caller must wipe them.
    fn to_bytes(&self) -> Vec<u8>;
}

/// A sum in progress.
pub(in crate::federated) trait Sum: Send {
    /// Adds a batch of the same length that [`PublicOps::read`] of the same key has checked.
    fn add(&mut self, batch: &Batch);

    /// The bytes of the encrypted sum.
    fn finish(self: Box<Self>) -> Result<Vec<u8>>;
}

/// The masks of a batch.
pub(in crate::federated) trait Unmask: Send + Sync {
    /// Removes the masks from the integers that the holder of the key has decrypted.
    fn remove(&self, decrypted: &[u8]) -> Result<Box<dyn Plaintexts>>;
}

/// Checked ciphertexts of one key. Clones share their memory.
#[derive(Clone)]
pub(in crate::federated) struct Batch {
    len: usize,
    ciphertexts: Arc<dyn Any + Send + Sync>,
}

impl Batch {
    pub(in crate::federated) fn len(&self) -> usize {
        self.len
    }

    fn reveal<S: KeySize>(&self) -> &CiphertextBatch<S> {
        self.ciphertexts.downcast_ref().expect("the key that uses the batch has read it")
    }
}

/// The public key with these bytes and this base.
pub(super) fn public(
    key_bits: u32,
    key: &[u8],
    base: &[u8],
    backend: BackendChoice,
) -> Result<Arc<dyn PublicOps>> {
    with_key_size!(key_bits, S => {
        let key = PublicKey::<S>::from_bytes(key)?.with_backend(backend)?;
        let base = key.ciphertext_from_bytes(base)?;
        Ok(Arc::new(Public::new(key, base, Exponents::Half)))
    })
}

/// A secret key, and its public key with a base for encryption.
pub(super) struct Generated {
    pub(super) secret: Arc<dyn SecretOps>,
    pub(super) public: Arc<dyn PublicOps>,
    pub(super) key: Vec<u8>,
    pub(super) base: Vec<u8>,
}

/// A new secret key of this size.
pub(super) fn generate(key_bits: u32, backend: BackendChoice, rng: &mut dyn CryptoRng) -> Result<Generated> {
    with_key_size!(key_bits, S => own(SecretKey::<S>::generate(rng)?.with_backend(backend)?, rng))
}

/// A given secret key, with its type erased.
pub(super) fn supplied(
    key_bits: u32,
    key: &(dyn Any + Send + Sync),
    backend: BackendChoice,
    rng: &mut dyn CryptoRng,
) -> Result<Generated> {
    with_key_size!(key_bits, S => {
        let key: &SecretKey<S> = key.downcast_ref().expect("the key has this size");
        own(key.with_backend(backend)?, rng)
    })
}

/// The secret key with these bytes, if it matches the public key and base. **Time depends on the
/// key** while it is checked.
pub(super) fn restored_vartime(
    key_bits: u32,
    secret: &[u8],
    (key, base): (&[u8], &[u8]),
    backend: BackendChoice,
) -> Result<Generated> {
    with_key_size!(key_bits, S => {
        let secret = SecretKey::<S>::from_bytes_vartime(secret)?.with_backend(backend)?;
        let (expected, found) = (PublicKey::<S>::from_bytes(key)?.fingerprint(), secret.public_key().fingerprint());
        if found != expected {
            return Err(paillier::Error::KeyMismatch { expected, found }.into());
        }
        let base = secret.public_key().ciphertext_from_bytes(base)?;
        Ok(with_base(secret, base))
    })
}

fn own<S: KeySize>(secret: SecretKey<S>, rng: &mut dyn CryptoRng) -> Result<Generated> {
    let base = Encryptor::random_base(secret.public_key(), rng)?;
    Ok(with_base(secret, base))
}

fn with_base<S: KeySize>(secret: SecretKey<S>, base: Ciphertext<S>) -> Generated {
    let key = secret.public_key().clone();
    let (key_bytes, base_bytes) = (key.to_bytes(), base.to_bytes());
    Generated {
        public: Arc::new(Public::new(key, base, Exponents::Half)),
        secret: Arc::new(Secret(secret)),
        key: key_bytes,
        base: base_bytes,
    }
}

/// A public key, with the table for encryption.
pub(super) struct Public<S: KeySize> {
    key: PublicKey<S>,
    base: Ciphertext<S>,
    exponents: Exponents,
    encryptor: OnceLock<Encryptor<S>>,
}

impl<S: KeySize> Public<S> {
    fn new(key: PublicKey<S>, base: Ciphertext<S>, exponents: Exponents) -> Self {
        Self { key, base, exponents, encryptor: OnceLock::new() }
    }

    fn encryptor(&self) -> Result<&Encryptor<S>> {
        if let Some(encryptor) = self.encryptor.get() {
            return Ok(encryptor);
        }
        // Two threads may each make a table from public data. The first one stays.
        let encryptor = Encryptor::with_base_and_exponents(&self.key, self.base.clone(), self.exponents)?;
        Ok(self.encryptor.get_or_init(|| encryptor))
    }
}

struct PackedIntegers<S: KeySize>(Zeroizing<Vec<S::Full>>);

impl<S: KeySize> Packed for PackedIntegers<S> {}

impl<S: KeySize> PublicOps for Public<S> {
    fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    fn backend_name(&self) -> &'static str {
        self.key.backend_name()
    }

    fn exponents(&self) -> Exponents {
        self.exponents
    }

    fn with_exponents(&self, exponents: Exponents) -> Arc<dyn PublicOps> {
        Arc::new(Self::new(self.key.clone(), self.base.clone(), exponents))
    }

    fn prepare(&self) -> Result<()> {
        self.encryptor().map(drop)
    }

    fn pack(&self, slots: &[u64], layout: &Layout) -> Box<dyn Packed> {
        let mut words = Zeroizing::new(vec![0; layout.words()]);
        let parts = slots.chunks(layout.slots());
        let mut integers = Zeroizing::new(vec![S::Full::default(); parts.len()]);
        for (integer, slots) in integers.iter_mut().zip(parts) {
            layout.pack(slots, &mut words);
            read_words(integer, &words);
        }
        Box::new(PackedIntegers::<S>(integers))
    }

    fn encrypt(&self, plaintexts: Box<dyn Packed>, rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        let plaintexts: Box<dyn Any> = plaintexts;
        let plaintexts =
            plaintexts.downcast::<PackedIntegers<S>>().expect("the key that encrypts has packed them");
        let ciphertexts = self.encryptor()?.encrypt_integers(&plaintexts.0, rng)?;
        drop(plaintexts);
        wipe_stack();
        Ok(ciphertexts.to_bytes())
    }

    fn read(&self, bytes: &[u8], expected: usize) -> Result<Batch> {
        let ciphertexts = self.key.batch_from_bytes(bytes)?;
        if ciphertexts.len() != expected {
            return Err(paillier::Error::BatchLength { expected, found: ciphertexts.len() }.into());
        }
        Ok(Batch { len: expected, ciphertexts: Arc::new(ciphertexts) })
    }

    fn write(&self, batch: &Batch) -> Vec<u8> {
        batch.reveal::<S>().to_bytes()
    }

    fn sum(&self, len: usize) -> Box<dyn Sum> {
        Box::new(RunningSum(self.key.accumulator(len)))
    }

    fn mask(&self, sum: &Batch, rng: &mut dyn CryptoRng) -> Result<(Box<dyn Unmask>, Vec<u8>)> {
        let masks = Masks::new(&self.key, sum.len(), rng)?;
        let hidden = masks.hide(self.encryptor()?, sum.reveal::<S>(), rng)?;
        Ok((Box::new(masks), hidden.to_bytes()))
    }

    fn masks(&self, len: usize, rng: &mut dyn CryptoRng) -> Result<Box<dyn Unmask>> {
        Ok(Box::new(Masks::new(&self.key, len, rng)?))
    }
}

struct RunningSum<S: KeySize>(Accumulator<S>);

impl<S: KeySize> Sum for RunningSum<S> {
    fn add(&mut self, batch: &Batch) {
        self.0.add_checked(batch.reveal());
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(self.0.finish()?.to_bytes())
    }
}

impl<S: KeySize> Unmask for Masks<S> {
    fn remove(&self, decrypted: &[u8]) -> Result<Box<dyn Plaintexts>> {
        if !decrypted.len().is_multiple_of(S::BYTES) {
            let expected = decrypted.len().next_multiple_of(S::BYTES);
            return Err(channel::Error::EncodedLength {
                what: "masked totals",
                expected,
                found: decrypted.len(),
            }
            .into());
        }
        let parts = decrypted.chunks_exact(S::BYTES);
        let mut plaintexts = Vec::with_capacity(parts.len());
        for part in parts {
            plaintexts.push(Plaintext::<S>::from_be_bytes(part)?);
        }
        Ok(Box::new(Masks::remove(self, plaintexts)?))
    }
}

/// Decrypted integers, as the backends return them.
struct Integers<S: KeySize>(Zeroizing<Vec<S::Full>>);

impl<S: KeySize> Plaintexts for Integers<S> {
    fn write_words(&self, index: usize, words: &mut [u64]) {
        write_words(&self.0[index], words);
    }

    fn to_bytes(&self) -> Vec<u8> {
        // The buffer has its final size: a collection that grows would leave copies behind.
        let mut bytes = vec![0; self.0.len() * S::BYTES];
        for (integer, bytes) in self.0.iter().zip(bytes.chunks_exact_mut(S::BYTES)) {
            write_be(integer, bytes);
        }
        bytes
    }
}

impl<S: KeySize> Plaintexts for Vec<Plaintext<S>> {
    fn write_words(&self, index: usize, words: &mut [u64]) {
        self[index].write_words(words);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len() * S::BYTES];
        for (plaintext, bytes) in self.iter().zip(bytes.chunks_exact_mut(S::BYTES)) {
            plaintext.write_be_bytes(bytes);
        }
        bytes
    }
}

pub(super) struct Secret<S: KeySize>(pub(super) SecretKey<S>);

impl<S: KeySize> SecretOps for Secret<S> {
    fn decrypt(&self, batch: &Batch) -> Result<Box<dyn Plaintexts>> {
        let integers = Box::new(Integers::<S>(self.0.decrypt_integers(batch.reveal())?));
        wipe_stack();
        Ok(integers)
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn expose_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.expose_bytes()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Bytes of an encoded public key and of an encoded base.
pub(super) fn encoded_lengths(key_bits: u32) -> Result<(usize, usize)> {
    with_key_size!(key_bits, S => Ok((PublicKey::<S>::ENCODED_LEN, Ciphertext::<S>::ENCODED_LEN)))
}

/// Bytes of an encoded secret key.
pub(super) fn secret_length(key_bits: u32) -> Result<usize> {
    with_key_size!(key_bits, S => Ok(SecretKey::<S>::ENCODED_LEN))
}

/// The typed key, if it has this size.
pub(super) fn typed_public_key<S: KeySize>(ops: &dyn PublicOps) -> Option<PublicKey<S>> {
    let ops: &dyn Any = ops;
    Some(ops.downcast_ref::<Public<S>>()?.key.clone())
}
