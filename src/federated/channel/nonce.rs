//! Nonces that survive a generator that repeats itself.

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of a nonce in bytes.
pub(super) const NONCE_LEN: usize = 24;

/// The secret that nonces under one key are made with.
///
/// A nonce is BLAKE3, keyed with this secret, of the envelope, 32 fresh random bytes and the payload. Under one key:
///
/// - With a good generator, nonces are random.
/// - With a generator that repeats itself, two messages that differ in envelope or payload still have different nonces, but
///   with the probability that a keyed hash of 192 bits collides. Two messages that are equal in both have the same nonce and
///   the same wire bytes, which shows that they are equal and nothing else.
/// - Who does not have the secret cannot check a guess of the payload by the nonce.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct NonceKey([u8; blake3::KEY_LEN]);

impl NonceKey {
    /// The key that belongs to these secrets.
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
        // Envelopes and the random bytes have fixed lengths.
        hasher.update(envelope).update(&*random).update(payload);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE_LEN]);
        // It holds the end of the payload.
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
    fn nonces_differ_with_whatever_differs() {
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
