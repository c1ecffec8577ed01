//! Ciphertexts of one key size meet neither keys nor ciphertexts of another.

use cipherfold::paillier::{Bits2048, Bits3072, Ciphertext, CiphertextBatch, PublicKey, SecretKey};

fn add(key: &PublicKey<Bits3072>, a: &Ciphertext<Bits3072>, b: &Ciphertext<Bits2048>) {
    let _ = key.add(a, b);
}

fn decrypt(key: &SecretKey<Bits3072>, ciphertext: &Ciphertext<Bits2048>) {
    let _ = key.decrypt(ciphertext);
}

fn sum(key: &PublicKey<Bits3072>, contribution: &CiphertextBatch<Bits2048>) {
    let _ = key.accumulator(1).add(contribution);
}

fn main() {}
