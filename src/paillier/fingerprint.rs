//! Short names of public keys.

use core::fmt;

use sha2::{Digest, Sha256};

/// The first 16 bytes of `SHA-256("cipherfold Paillier n" ‖ bits ‖ n)`. Every message and every
/// batch carries it, so that ciphertexts of another key are refused.
///
/// ```
/// use cipherfold::paillier::Fingerprint;
///
/// let fingerprint = Fingerprint::from_bytes([7; Fingerprint::LEN]);
/// assert_eq!(fingerprint.to_string(), "07".repeat(16));
/// assert_eq!(fingerprint.to_bytes(), [7; 16]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    /// Bytes of a fingerprint.
    pub const LEN: usize = 16;

    pub(in crate::paillier) fn of_modulus(bits: u32, n_be: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"cipherfold Paillier n")
            .chain_update(bits.to_be_bytes())
            .chain_update(n_be)
            .finalize();
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(&digest[..Self::LEN]);
        Self(bytes)
    }

    /// The fingerprint with these bytes.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
