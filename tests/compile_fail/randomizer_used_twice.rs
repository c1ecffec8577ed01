//! A randomizer is consumed by one ciphertext.

use cipherfold::paillier::{Bits2048, Plaintext, PublicKey, Randomizer};

fn encrypt(key: &PublicKey<Bits2048>, randomizer: Randomizer<Bits2048>) {
    let _ = key.encrypt_with(&Plaintext::from(1u64), randomizer);
    let _ = key.encrypt_with(&Plaintext::from(2u64), randomizer); //~ E0382: `randomizer`
}

fn main() {}
