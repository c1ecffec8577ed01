//! The fuzz targets, one module each. `README.md` lists them.
//!
//! A target may return any result for bad input. But it must not panic, hang, take memory out of
//! proportion to the input, or accept a value with an encoding that differs from the input.

pub mod ciphertexts;
pub mod files;
pub mod integers;
pub mod keys;
pub mod messages;
pub mod numbers;
pub mod payloads;
pub mod protocol;
pub mod states;
pub mod structures;

use std::sync::LazyLock;

use cipherfold::paillier::{SecretKey, hazmat::InsecureBits512};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// The key size of all targets: arithmetic is the same for all sizes, and this one is fast.
pub type Key = InsecureBits512;

/// A key that is the same in every run, so that inputs for it can be seeds.
pub static SECRET: LazyLock<SecretKey<Key>> =
    LazyLock::new(|| SecretKey::generate(&mut ChaCha20Rng::seed_from_u64(0x5eed)).expect("a good generator"));

/// A generator that is the same in every run.
pub fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

/// Accepted bytes must be the encoding of the decoded value.
pub fn same_bytes(found: &[u8], data: &[u8]) {
    assert_eq!(found, data, "accepted bytes are not the value's own encoding");
}
