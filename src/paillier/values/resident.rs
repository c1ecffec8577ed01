//! Ciphertexts in the memory of a backend.

use core::fmt;

use super::{
    ciphertext::CiphertextBatch,
    key_size::{Bits3072, KeySize},
};
use crate::{backend::resident::Resident, paillier::fingerprint::Fingerprint};

/// Ciphertexts in the memory of the backend that made them: the GPU's own memory on a GPU,
/// otherwise the host's.
///
/// [`Encryptor::encrypt_resident`](crate::paillier::Encryptor::encrypt_resident) makes them and
/// [`Accumulator::add_resident`](crate::paillier::Accumulator::add_resident) sums them, without a
/// transfer between the two. They occupy the device's memory as long as they live. The host keeps
/// the data to compute them again if the device is lost.
pub struct ResidentBatch<S: KeySize = Bits3072> {
    pub(in crate::paillier) key: Fingerprint,
    pub(in crate::paillier) residues: Resident<S::Full>,
}

impl<S: KeySize> ResidentBatch<S> {
    /// The fingerprint of the key that these were encrypted under.
    pub fn key(&self) -> Fingerprint {
        self.key
    }

    /// Number of ciphertexts.
    pub fn len(&self) -> usize {
        self.residues.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.residues.is_empty()
    }

    /// The ciphertexts, copied to the host.
    pub fn fetch(&self) -> CiphertextBatch<S> {
        CiphertextBatch::new(self.key, self.residues.pairs())
    }
}

impl<S: KeySize> fmt::Debug for ResidentBatch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResidentBatch")
            .field("bits", &S::BITS)
            .field("key", &self.key)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
