//! What each fuzz target does with its bytes. One module for each target; `README.md` lists them.
//!
//! A target may return whatever it likes for bad input, but it must not panic, hang, take memory out of proportion to the
//! input, or accept a value whose encoding is not the input.

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

/// A key that is the same in every run, so that inputs which belong to it can be seeds.
pub static SECRET: LazyLock<SecretKey<Key>> =
    LazyLock::new(|| SecretKey::generate(&mut ChaCha20Rng::seed_from_u64(0x5eed)).expect("a good generator"));

/// A generator that is the same in every run.
pub fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

/// Bytes that were accepted must be the encoding of what they became.
pub fn same_bytes(found: &[u8], data: &[u8]) {
    assert_eq!(found, data, "accepted bytes are not the value's own encoding");
}
