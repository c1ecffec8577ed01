//! What may travel between placements, and nothing else.

use zeroize::Zeroizing;

use crate::{
    Error, Result,
    paillier::{Ciphertext, CiphertextBatch, KeySize, Plaintext, PublicKey},
};

pub(in crate::federated) mod sealed {
    /// Named like nothing else: compilers point to similar names anywhere among the dependencies, and the texts of
    /// `tests/compile_fail` should not follow those.
    pub trait MessageOfTheProtocol {}
}

/// A value that can be moved from one placement to another.
///
/// Sealed: these are all the messages of the protocol, and [`Payload`](crate::federated::Payload) for what else may travel. A secret
/// key is none of them, so that code which would send it to the aggregator does not compile.
pub trait Message: sealed::MessageOfTheProtocol + Sized {
    /// Number of ciphertexts in it, for reports.
    fn ciphertexts(&self) -> usize;

    /// The message as bytes.
    ///
    /// # Errors
    ///
    /// [`Error::PayloadEncoding`] for a [`Payload`](crate::federated::Payload) whose value cannot be encoded.
    fn to_bytes(&self) -> Result<Vec<u8>>;

    /// A message from such bytes.
    ///
    /// # Errors
    ///
    /// Those of the parts' own encodings.
    fn from_bytes(bytes: &[u8]) -> Result<Self>;
}

/// From the holder of the secret key to everyone: the public key, and a base for short-exponent encryption.
#[derive(Clone, Debug)]
pub struct PublicKeyMessage<S: KeySize> {
    /// n.
    pub key: PublicKey<S>,
    /// `h_s`, an encryption of zero ([`Encryptor::with_base`](crate::paillier::Encryptor::with_base)).
    pub base: Ciphertext<S>,
}

impl<S: KeySize> sealed::MessageOfTheProtocol for PublicKeyMessage<S> {}

impl<S: KeySize> Message for PublicKeyMessage<S> {
    fn ciphertexts(&self) -> usize {
        0 // the base is no one's data
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok([self.key.to_bytes(), self.base.to_bytes()].concat())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let expected = PublicKey::<S>::ENCODED_LEN + Ciphertext::<S>::ENCODED_LEN;
        if bytes.len() != expected {
            return Err(Error::EncodedLength { what: "public key message", expected, found: bytes.len() });
        }
        let (key, base) = bytes.split_at(PublicKey::<S>::ENCODED_LEN);
        let key = PublicKey::from_bytes(key)?;
        let base = key.ciphertext_from_bytes(base)?;
        Ok(Self { key, base })
    }
}

/// From a client to the aggregator: part of its encrypted update.
#[derive(Clone, Debug)]
pub struct Contribution<S: KeySize> {
    /// Packed and encrypted values.
    pub ciphertexts: CiphertextBatch<S>,
}

impl<S: KeySize> sealed::MessageOfTheProtocol for Contribution<S> {}

impl<S: KeySize> Message for Contribution<S> {
    fn ciphertexts(&self) -> usize {
        self.ciphertexts.len()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(self.ciphertexts.to_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        // The accumulator checks key and range of every ciphertext.
        Ok(Self { ciphertexts: CiphertextBatch::from_bytes_unchecked(bytes)? })
    }
}

/// From the aggregator to the server: the sum of all clients' contributions to one part.
#[derive(Clone, Debug)]
pub struct EncryptedSum<S: KeySize> {
    /// Number of clients that contributed.
    pub contributions: u64,
    /// Encrypted sums.
    pub ciphertexts: CiphertextBatch<S>,
}

impl<S: KeySize> sealed::MessageOfTheProtocol for EncryptedSum<S> {}

impl<S: KeySize> Message for EncryptedSum<S> {
    fn ciphertexts(&self) -> usize {
        self.ciphertexts.len()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok([&self.contributions.to_be_bytes(), self.ciphertexts.to_bytes().as_slice()].concat())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (contributions, ciphertexts) = bytes.split_first_chunk().ok_or(Error::EncodedLength {
            what: "encrypted sum",
            expected: size_of::<u64>() + CiphertextBatch::<S>::encoded_len(0),
            found: bytes.len(),
        })?;
        let contributions = u64::from_be_bytes(*contributions);
        // The secret key checks key and range of every ciphertext.
        Ok(Self { contributions, ciphertexts: CiphertextBatch::from_bytes_unchecked(ciphertexts)? })
    }
}

/// From the server to the key holder: a part of the encrypted sum behind masks.
#[derive(Clone, Debug)]
pub struct MaskedSum<S: KeySize> {
    /// Encrypted sums, each plus a mask that the server keeps.
    pub ciphertexts: CiphertextBatch<S>,
}

impl<S: KeySize> sealed::MessageOfTheProtocol for MaskedSum<S> {}

impl<S: KeySize> Message for MaskedSum<S> {
    fn ciphertexts(&self) -> usize {
        self.ciphertexts.len()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(self.ciphertexts.to_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        // The secret key checks key and range of every ciphertext.
        Ok(Self { ciphertexts: CiphertextBatch::from_bytes_unchecked(bytes)? })
    }
}

/// From the key holder to the server: what it decrypted, still behind the masks.
#[derive(Clone, Debug)]
pub struct MaskedTotals<S: KeySize> {
    /// Uniform modulo n to whoever does not know the masks.
    pub plaintexts: Vec<Plaintext<S>>,
}

impl<S: KeySize> sealed::MessageOfTheProtocol for MaskedTotals<S> {}

impl<S: KeySize> Message for MaskedTotals<S> {
    fn ciphertexts(&self) -> usize {
        0
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        // Written where it stays: a collection that grows would leave copies behind.
        let mut bytes = vec![0; self.plaintexts.len() * S::BYTES];
        for (plaintext, bytes) in self.plaintexts.iter().zip(bytes.chunks_exact_mut(S::BYTES)) {
            plaintext.write_be_bytes(bytes);
        }
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if !bytes.len().is_multiple_of(S::BYTES) {
            let expected = bytes.len().next_multiple_of(S::BYTES);
            return Err(Error::EncodedLength { what: "masked totals", expected, found: bytes.len() });
        }
        let parts = bytes.chunks_exact(S::BYTES);
        let mut plaintexts = Vec::with_capacity(parts.len());
        for part in parts {
            plaintexts.push(Plaintext::from_be_bytes(part)?);
        }
        Ok(Self { plaintexts })
    }
}

/// A value of a computation, encoded already: what is sent to many is encoded once.
#[derive(Clone, Debug)]
pub(in crate::federated) struct Encoded(pub(in crate::federated) Zeroizing<Vec<u8>>);

impl sealed::MessageOfTheProtocol for Encoded {}

impl Message for Encoded {
    fn ciphertexts(&self) -> usize {
        0
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }
}
