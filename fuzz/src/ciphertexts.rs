//! Ciphertexts and batches from bytes, and all operations of a key on accepted ones.

use cipherfold::paillier::{Ciphertext, CiphertextBatch, Plaintext};

use crate::{Key, SECRET, same_bytes};

/// The first byte selects a single ciphertext or a batch.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    if door % 2 == 0 { single(data) } else { batch(data) }
}

fn single(data: &[u8]) {
    if let Ok(unchecked) = Ciphertext::<Key>::from_bytes_unchecked(data) {
        same_bytes(&unchecked.to_bytes(), data);
    }
    let key = SECRET.public_key();
    let Ok(c) = key.ciphertext_from_bytes(data) else { return };
    let twice = key.add(&c, &c).expect("a ciphertext of this key");
    let plain = key.add_plain(&c, &Plaintext::from(3_u64)).expect("a ciphertext of this key");
    let times = key.mul_plain_bounded(&c, &Plaintext::from(5_u64), 3).expect("three bits");
    // Every integer in the range for n is accepted. Decryption detects ciphertexts that are not
    // units.
    let Ok(m) = SECRET.decrypt(&c) else { return };
    let one = SECRET.decrypt(&plain).expect("a unit");
    assert!(
        one == SECRET.decrypt(&key.add_plain(&c, &Plaintext::from(3_u64)).expect("again")).expect("a unit")
    );
    assert!(SECRET.decrypt(&twice).is_ok() && SECRET.decrypt(&times).is_ok());
    // A sum of the ciphertexts after a round trip through integers is the same as before.
    let integer = key.ciphertext_to_integer(&c).expect("a ciphertext of this key");
    let back = key.ciphertext_from_integer(&integer).expect("below n²");
    assert!(SECRET.decrypt(&back).expect("the same unit") == m);
}

fn batch(data: &[u8]) {
    if let Ok(unchecked) = CiphertextBatch::<Key>::from_bytes_unchecked(data) {
        same_bytes(&unchecked.to_bytes(), data);
        let mut sum = SECRET.public_key().accumulator(unchecked.len());
        if sum.add(&unchecked).is_ok() && sum.add(&unchecked).is_ok() {
            let _ = SECRET.decrypt_batch(&sum.finish().expect("two contributions"));
        }
    }
    if let Ok(batch) = SECRET.public_key().batch_from_bytes(data) {
        let _ = SECRET.decrypt_batch(&batch);
    }
}
