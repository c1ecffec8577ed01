//! Ciphertexts of one key size cannot be used with keys or ciphertexts of another.

use cipherfold::paillier::{Bits2048, Bits4096, Ciphertext, CiphertextBatch, PublicKey, SecretKey};

fn add(key: &PublicKey<Bits4096>, a: &Ciphertext<Bits4096>, b: &Ciphertext<Bits2048>) {
    let _ = key.add(a, b); //~ E0308
}

fn decrypt(key: &SecretKey<Bits4096>, ciphertext: &Ciphertext<Bits2048>) {
    let _ = key.decrypt(ciphertext); //~ E0308
}

fn sum(key: &PublicKey<Bits4096>, contribution: &CiphertextBatch<Bits2048>) {
    let _ = key.accumulator(1).add(contribution); //~ E0308
}

fn main() {}
