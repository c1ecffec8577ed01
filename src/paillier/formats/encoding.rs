//! Keys, ciphertexts and batches as bytes.
//!
//! Every encoding starts with the same 20 bytes; integers are big-endian and of fixed length.
//!
//! | bytes | content |
//! | --: | :-- |
//! | 1 | version: 1 |
//! | 1 | kind: 1 public key, 2 secret key, 3 ciphertext, 4 batch |
//! | 2 | bits of n |
//! | 16 | fingerprint of the public key |
//!
//! After the header comes, by kind: n; p and q; the two halves c₀ and c₁ of `c = c₀ + c₁·n`; or a
//! count of 8 bytes and that number of such pairs. Every value has one encoding: integers are
//! reduced, p is the smaller prime, and nothing follows.

use zeroize::Zeroizing;

use crate::{
    paillier::{
        error::{Error, Result},
        fingerprint::Fingerprint,
        keys::{PublicKey, SecretKey},
        values::{Ciphertext, CiphertextBatch, KeySize, integer},
    },
    residue::Pair,
};

const VERSION: u8 = 1;
const HEADER: usize = 4 + Fingerprint::LEN;
const COUNT: usize = 8;

#[derive(Clone, Copy)]
enum Kind {
    PublicKey = 1,
    SecretKey = 2,
    Ciphertext = 3,
    Batch = 4,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::PublicKey => "public key",
            Self::SecretKey => "secret key",
            Self::Ciphertext => "ciphertext",
            Self::Batch => "ciphertext batch",
        }
    }

    /// A buffer that starts with the header and has room for `payload` bytes more.
    fn header<S: KeySize>(self, key: Fingerprint, payload: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + payload);
        bytes.extend([VERSION, self as u8]);
        bytes.extend((S::BITS as u16).to_be_bytes());
        bytes.extend(key.to_bytes());
        bytes
    }

    /// Checks the header and returns the bytes after it.
    fn read<S: KeySize>(self, bytes: &[u8], payload: usize) -> Result<(Fingerprint, &[u8])> {
        let too_short =
            Error::EncodedLength { what: self.name(), expected: HEADER + payload, found: bytes.len() };
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(too_short)?;
        let [version, kind, high, low, fingerprint @ ..] = *header;
        if version != VERSION {
            return Err(Error::EncodingVersion { expected: VERSION, found: version });
        }
        if kind != self as u8 {
            return Err(Error::EncodingKind { expected: self.name(), found: kind });
        }
        let bits = u32::from(u16::from_be_bytes([high, low]));
        if bits != S::BITS {
            return Err(Error::KeySizeMismatch { expected: S::BITS, found: bits });
        }
        Ok((Fingerprint::from_bytes(fingerprint), rest))
    }

    fn check_length(self, rest: &[u8], payload: usize) -> Result<()> {
        if rest.len() == payload {
            return Ok(());
        }
        let found = HEADER + rest.len();
        Err(Error::EncodedLength { what: self.name(), expected: HEADER.saturating_add(payload), found })
    }
}

fn write_pair<S: KeySize>(pair: &Pair<S::Full>, bytes: &mut Vec<u8>) {
    let at = bytes.len();
    bytes.resize(at + 2 * S::BYTES, 0);
    integer::write_be(&pair.lo, &mut bytes[at..at + S::BYTES]);
    integer::write_be(&pair.hi, &mut bytes[at + S::BYTES..]);
}

fn read_pair<S: KeySize>(bytes: &[u8]) -> Pair<S::Full> {
    let (lo, hi) = bytes.split_at(S::BYTES);
    let read = |half| integer::from_be(half).expect("a half is as wide as n");
    Pair::new(read(lo), read(hi))
}

impl<S: KeySize> PublicKey<S> {
    /// Bytes of an encoded public key.
    pub const ENCODED_LEN: usize = HEADER + S::BYTES;

    /// The key as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Kind::PublicKey.header::<S>(self.fingerprint(), S::BYTES);
        bytes.extend(self.modulus_be());
        bytes
    }

    /// A key from the bytes that [`to_bytes`](Self::to_bytes) made.
    ///
    /// # Errors
    ///
    /// [`Error::EncodedLength`], [`Error::EncodingVersion`], [`Error::EncodingKind`],
    /// [`Error::KeySizeMismatch`]; [`Error::KeyMismatch`] if the fingerprint is not that of n;
    /// those of [`from_modulus_be`](Self::from_modulus_be).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (found, rest) = Kind::PublicKey.read::<S>(bytes, S::BYTES)?;
        Kind::PublicKey.check_length(rest, S::BYTES)?;
        let key = Self::from_modulus_be(rest)?;
        key.check_key(found)?;
        Ok(key)
    }

    /// A ciphertext of this key from the bytes that [`Ciphertext::to_bytes`] made, checked.
    ///
    /// # Errors
    ///
    /// Those of [`Ciphertext::from_bytes_unchecked`] and [`check`](Self::check).
    pub fn ciphertext_from_bytes(&self, bytes: &[u8]) -> Result<Ciphertext<S>> {
        let ciphertext = Ciphertext::from_bytes_unchecked(bytes)?;
        self.check(&ciphertext)?;
        Ok(ciphertext)
    }

    /// A batch of this key from the bytes that [`CiphertextBatch::to_bytes`] made, checked.
    ///
    /// # Errors
    ///
    /// Those of [`CiphertextBatch::from_bytes_unchecked`] and [`check_batch`](Self::check_batch).
    pub fn batch_from_bytes(&self, bytes: &[u8]) -> Result<CiphertextBatch<S>> {
        let batch = CiphertextBatch::from_bytes_unchecked(bytes)?;
        self.check_batch(&batch)?;
        Ok(batch)
    }
}

impl<S: KeySize> SecretKey<S> {
    /// Bytes of an encoded secret key.
    pub const ENCODED_LEN: usize = HEADER + S::BYTES;

    /// The key as bytes. **The bytes are secret**; the buffer wipes itself.
    pub fn expose_bytes(&self) -> Zeroizing<Vec<u8>> {
        let header = Kind::SecretKey.header::<S>(self.public_key().fingerprint(), S::BYTES);
        let mut bytes = Zeroizing::new(header);
        let (p, q) = self.expose_primes_be();
        bytes.extend_from_slice(&p);
        bytes.extend_from_slice(&q);
        bytes
    }

    /// A key from the bytes that [`expose_bytes`](Self::expose_bytes) made. **Time depends on the
    /// primes** while they are tested.
    ///
    /// # Errors
    ///
    /// [`Error::EncodedLength`], [`Error::EncodingVersion`], [`Error::EncodingKind`],
    /// [`Error::KeySizeMismatch`]; [`Error::PrimeOrder`] unless p < q; [`Error::KeyMismatch`] if
    /// the fingerprint is not that of p·q; those of
    /// [`from_primes_be_vartime`](Self::from_primes_be_vartime).
    pub fn from_bytes_vartime(bytes: &[u8]) -> Result<Self> {
        let (found, rest) = Kind::SecretKey.read::<S>(bytes, S::BYTES)?;
        Kind::SecretKey.check_length(rest, S::BYTES)?;
        let (p, q) = rest.split_at(S::BYTES / 2);
        if p > q {
            return Err(Error::PrimeOrder);
        }
        let key = Self::from_primes_be_vartime(p, q)?;
        key.public_key().check_key(found)?;
        Ok(key)
    }
}

impl<S: KeySize> Ciphertext<S> {
    /// Bytes of an encoded ciphertext.
    pub const ENCODED_LEN: usize = HEADER + 2 * S::BYTES;

    /// The ciphertext as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Kind::Ciphertext.header::<S>(self.key, 2 * S::BYTES);
        write_pair::<S>(&self.pair, &mut bytes);
        bytes
    }

    /// Reads a ciphertext and checks its form only. Every operation of a key checks that the
    /// ciphertext belongs to the key and is in range. [`PublicKey::ciphertext_from_bytes`] checks
    /// at once.
    ///
    /// # Errors
    ///
    /// [`Error::EncodedLength`], [`Error::EncodingVersion`], [`Error::EncodingKind`],
    /// [`Error::KeySizeMismatch`].
    pub fn from_bytes_unchecked(bytes: &[u8]) -> Result<Self> {
        let (key, rest) = Kind::Ciphertext.read::<S>(bytes, 2 * S::BYTES)?;
        Kind::Ciphertext.check_length(rest, 2 * S::BYTES)?;
        Ok(Self { key, pair: read_pair::<S>(rest) })
    }
}

impl<S: KeySize> CiphertextBatch<S> {
    /// Bytes of an encoded batch of `len` ciphertexts.
    pub const fn encoded_len(len: usize) -> usize {
        HEADER + COUNT + len * 2 * S::BYTES
    }

    /// The batch as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Kind::Batch.header::<S>(self.key, COUNT + self.len() * 2 * S::BYTES);
        bytes.extend((self.len() as u64).to_be_bytes());
        for pair in self.pairs.iter() {
            write_pair::<S>(pair, &mut bytes);
        }
        bytes
    }

    /// Reads a batch and checks its form only. Every operation of a key checks that the batch
    /// belongs to the key and is in range. [`PublicKey::batch_from_bytes`] checks at once.
    ///
    /// # Errors
    ///
    /// [`Error::EncodedLength`], [`Error::EncodingVersion`], [`Error::EncodingKind`],
    /// [`Error::KeySizeMismatch`].
    pub fn from_bytes_unchecked(bytes: &[u8]) -> Result<Self> {
        let (key, rest) = Kind::Batch.read::<S>(bytes, COUNT)?;
        let too_short =
            Error::EncodedLength { what: Kind::Batch.name(), expected: HEADER + COUNT, found: bytes.len() };
        let (count, rest) = rest.split_first_chunk::<COUNT>().ok_or(too_short)?;
        // A count beyond any memory cannot match the actual length.
        let payload = usize::try_from(u64::from_be_bytes(*count))
            .ok()
            .and_then(|count| count.checked_mul(2 * S::BYTES))
            .unwrap_or(usize::MAX - COUNT);
        if rest.len() != payload {
            return Err(Error::EncodedLength {
                what: Kind::Batch.name(),
                expected: (HEADER + COUNT).saturating_add(payload),
                found: bytes.len(),
            });
        }
        Ok(Self::new(key, rest.chunks_exact(2 * S::BYTES).map(read_pair::<S>).collect()))
    }
}
