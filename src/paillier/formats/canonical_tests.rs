//! Every value has one encoding.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Serialize, de::DeserializeOwned};

use super::exposed;
use crate::paillier::{
    Ciphertext, CiphertextBatch, Encryptor, Error, Fingerprint, PublicKey, SecretKey, error::Result,
    hazmat::InsecureBits512 as Small,
};

struct Setup {
    secret: SecretKey<Small>,
    batch: CiphertextBatch<Small>,
    rng: ChaCha20Rng,
}

fn setup() -> Setup {
    let mut rng = ChaCha20Rng::from_seed([24; 32]);
    let secret = SecretKey::generate(&mut rng).unwrap();
    let encryptor = Encryptor::new(secret.public_key(), &mut rng).unwrap();
    let batch = encryptor.encrypt_batch(&[7_u64.into(), 8_u64.into()], &mut rng).unwrap();
    Setup { secret, batch, rng }
}

/// Alters bytes at random, truncates and appends. Bytes that still decode must encode to the same
/// bytes.
fn has_one_encoding<T>(
    bytes: &[u8],
    rng: &mut ChaCha20Rng,
    decode: impl Fn(&[u8]) -> Result<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    let check = |bytes: &[u8]| {
        if let Ok(value) = decode(bytes) {
            assert_eq!(encode(&value), bytes);
        }
    };
    check(bytes);
    assert!(decode(bytes).is_ok());
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut altered = bytes.to_vec();
            altered[at] ^= flip;
            check(&altered);
        }
        assert!(decode(&bytes[..at]).is_err());
    }
    for len in 1..100 {
        let mut longer = bytes.to_vec();
        longer.resize(bytes.len() + len, (rng.next_u32() % 2).to_le_bytes()[0]);
        assert!(decode(&longer).is_err());
    }
}

#[test]
fn bytes_that_decode_are_those_that_the_value_encodes_to() {
    let Setup { secret, batch, mut rng } = setup();
    let public = secret.public_key();
    has_one_encoding(&public.to_bytes(), &mut rng, PublicKey::<Small>::from_bytes, PublicKey::to_bytes);
    has_one_encoding(&secret.expose_bytes(), &mut rng, SecretKey::<Small>::from_bytes_vartime, |key| {
        key.expose_bytes().to_vec()
    });
    let ciphertext = batch.get(0).unwrap();
    let checked = |bytes: &[u8]| public.ciphertext_from_bytes(bytes);
    has_one_encoding(&ciphertext.to_bytes(), &mut rng, checked, Ciphertext::to_bytes);
    let unchecked = Ciphertext::<Small>::from_bytes_unchecked;
    has_one_encoding(&ciphertext.to_bytes(), &mut rng, unchecked, Ciphertext::to_bytes);
    let checked = |bytes: &[u8]| public.batch_from_bytes(bytes);
    has_one_encoding(&batch.to_bytes(), &mut rng, checked, CiphertextBatch::to_bytes);
    let unchecked = CiphertextBatch::<Small>::from_bytes_unchecked;
    has_one_encoding(&batch.to_bytes(), &mut rng, unchecked, CiphertextBatch::to_bytes);
}

#[test]
fn swapped_primes_are_one_key_and_one_encoding() {
    let Setup { secret, batch, .. } = setup();
    let (p, q) = secret.expose_primes_be();
    assert!(*p < *q);
    for (a, b) in [(&p, &q), (&q, &p)] {
        let imported = SecretKey::<Small>::from_primes_be_vartime(a, b).unwrap();
        assert_eq!(imported, secret);
        assert_eq!(imported.expose_bytes(), secret.expose_bytes());
        assert_eq!(imported.decrypt_batch(&batch).unwrap(), secret.decrypt_batch(&batch).unwrap());
    }
    let bytes = secret.expose_bytes();
    let header = bytes.len() - 64;
    let swapped = [&bytes[..header], &q, &p].concat();
    assert_eq!(SecretKey::<Small>::from_bytes_vartime(&swapped).err(), Some(Error::PrimeOrder));
}

fn has_one_text<T: Serialize + DeserializeOwned>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert!(serde_json::from_str::<T>(&text).is_ok());
    assert_ne!(text.to_uppercase(), text);
    // All digits, and the first letter alone.
    let letter = text.find(|c: char| c.is_ascii_lowercase()).unwrap();
    let mixed = [&text[..letter], &text[letter..=letter].to_uppercase(), &text[letter + 1..]].concat();
    for other in [text.to_uppercase(), mixed, text.replace('"', "'"), format!("\" {}", &text[1..])] {
        assert!(serde_json::from_str::<T>(&other).is_err());
    }
    let value = serde_json::to_value(value).unwrap();
    assert!(serde_json::from_value::<T>(value).is_ok());
}

#[test]
fn hexadecimal_text_is_lower_case() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct File(#[serde(with = "exposed")] SecretKey<Small>);

    let Setup { secret, batch, .. } = setup();
    has_one_text::<PublicKey<Small>>(secret.public_key());
    has_one_text::<Fingerprint>(&secret.public_key().fingerprint());
    has_one_text::<Ciphertext<Small>>(&batch.get(1).unwrap());
    has_one_text::<CiphertextBatch<Small>>(&batch);
    has_one_text(&File(secret));
}

#[test]
fn a_fingerprint_of_another_length_is_refused() {
    let Setup { secret, .. } = setup();
    let text = serde_json::to_string(&secret.public_key().fingerprint()).unwrap();
    for wrong in [text.replacen('"', "\"00", 1), [&text[..1], &text[3..]].concat(), "\"\"".to_owned()] {
        assert!(serde_json::from_str::<Fingerprint>(&wrong).is_err(), "{wrong}");
    }
}
