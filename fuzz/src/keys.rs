//! Keys, box keys, envelopes and fingerprints from bytes and from JSON.

use cipherfold::{
    federated::{BoxPublicKey, Envelope},
    paillier::{Bits2048, Fingerprint, PublicKey, SecretKey},
};

use crate::{Key, same_bytes};

/// The first byte chooses the door, the rest goes through it.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    match door % 8 {
        0 => {
            if let Ok(key) = PublicKey::<Key>::from_bytes(data) {
                same_bytes(&key.to_bytes(), data);
            }
        }
        1 => {
            if let Ok(key) = SecretKey::<Key>::from_bytes_vartime(data) {
                same_bytes(&key.expose_bytes(), data);
            }
        }
        2 => {
            if let Ok(key) = PublicKey::<Key>::from_modulus_be(data) {
                let zeros = data.iter().take_while(|byte| **byte == 0).count();
                same_bytes(&key.modulus_be(), &data[zeros..]);
            }
        }
        3 => {
            let (p, q) = data.split_at(data.len() / 2);
            if let Ok(key) = SecretKey::<Key>::from_primes_be_vartime(p, q) {
                let again = SecretKey::<Key>::from_bytes_vartime(&key.expose_bytes());
                assert_eq!(again.expect("what was written").public_key(), key.public_key());
            }
        }
        4 => {
            let _ = PublicKey::<Bits2048>::from_bytes(data);
        }
        5 => {
            if let Ok(bytes) = <[u8; BoxPublicKey::LEN]>::try_from(data)
                && let Ok(key) = BoxPublicKey::from_bytes(bytes)
            {
                same_bytes(&key.to_bytes(), data);
            }
        }
        6 => {
            if let Ok(bytes) = <&[u8; Envelope::ENCODED_LEN]>::try_from(data)
                && let Ok(envelope) = Envelope::from_bytes(bytes)
            {
                same_bytes(&envelope.to_bytes(), data);
            }
        }
        _ => texts(data),
    }
}

/// One text for each key and for each fingerprint.
fn texts(data: &[u8]) {
    let same_text = |text: String| same_bytes(text.as_bytes(), data.trim_ascii());
    if let Ok(key) = serde_json::from_slice::<PublicKey<Key>>(data) {
        same_text(serde_json::to_string(&key).expect("plain data"));
    }
    if let Ok(fingerprint) = serde_json::from_slice::<Fingerprint>(data) {
        same_text(serde_json::to_string(&fingerprint).expect("plain data"));
    }
}
