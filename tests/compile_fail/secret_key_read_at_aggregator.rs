//! The aggregator's token does not open the secret key.

use cipherfold::{
    federated::{Aggregator, At, LocalExecutor, Placed},
    paillier::{Bits2048, CiphertextBatch, Plaintext},
};

fn decrypt(
    executor: &LocalExecutor<Bits2048>,
    sum: Placed<CiphertextBatch<Bits2048>, Aggregator>,
    here: &At<Aggregator>,
) -> Vec<Plaintext<Bits2048>> {
    let sum = sum.into_inner(here);
    executor.secret_key().unwrap().unwrap().get(here).decrypt_batch(&sum).unwrap() //~ E0308
}

fn main() {}
