//! Nonces that stay distinct if the generator repeats itself.

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of a nonce in bytes.
pub(super) const NONCE_LEN: usize = 24;

/// The secret key of the hash that makes nonces.
///
/// A nonce is BLAKE3, keyed with this secret, of the envelope, 32 fresh random bytes and the
/// payload. For nonces under one key:
///
/// - With a good generator, nonces are random.
/// - With a generator that repeats itself, two messages that differ in envelope or payload still
///   have different nonces, except with the probability that a keyed hash of 192 bits collides. Two
///   messages that are equal in both have the same nonce and the same wire bytes. This shows only
///   that they are equal.
/// - Without the secret, a guess of the payload cannot be checked against the nonce.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct NonceKey([u8; blake3::KEY_LEN]);

impl NonceKey {
    /// The nonce key for these secrets.
    pub(super) fn derive(secrets: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("cipherfold 2026-11 nonces of boxes");
        for secret in secrets {
            hasher.update(secret);
        }
        let mut hash = hasher.finalize();
        let key = Self(*hash.as_bytes());
        hash.zeroize();
        hasher.zeroize();
        key
    }

    /// The nonce for a message.
    pub(super) fn nonce(&self, envelope: &[u8], payload: &[u8], rng: &mut dyn CryptoRng) -> [u8; NONCE_LEN] {
        let mut random = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *random);
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // Envelope and random bytes have fixed lengths, so the parts are unambiguous.
        hasher.update(envelope).update(&*random).update(payload);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE_LEN]);
        // The hasher's buffer holds the end of the payload.
        hasher.zeroize();
        nonce
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::federated::channel::tests::{envelope, rng};

    #[test]
    fn nonces_differ_if_any_input_differs() {
        let (one, other) = (NonceKey::derive(&[b"one"]), NonceKey::derive(&[b"other"]));
        let (first, second) = (envelope(0, 0).to_bytes(), envelope(0, 1).to_bytes());
        let nonces = [
            one.nonce(&first, b"payload", &mut rng(1)),
            other.nonce(&first, b"payload", &mut rng(1)),
            one.nonce(&second, b"payload", &mut rng(1)),
            one.nonce(&first, b"payloae", &mut rng(1)),
            one.nonce(&first, b"payload", &mut rng(2)),
        ];
        assert_eq!(BTreeSet::from(nonces).len(), nonces.len());
        assert_eq!(one.nonce(&first, b"payload", &mut rng(1)), nonces[0], "a generator that repeats itself");
    }
}
