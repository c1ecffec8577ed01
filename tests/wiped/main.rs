//! Freed memory holds no secrets. The tests search every block that goes back to the allocator,
//! including blocks freed by growth, for packed plaintexts, values, exponents, primes, box keys,
//! seeds and streams of generators, and masks.
//!
//! The caller must wipe its own inputs and results. The tests keep them until the search is over.

mod keys;
mod rounds;
mod scanner;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use cipherfold::{
    federated::{LocalExecutor, LocalExecutorBuilder},
    paillier::{Plaintext, hazmat::InsecureBits512},
};
use scanner::Watch;

type Small = InsecureBits512;

/// A seed that no other test uses: memory outside the heap may still hold numbers of other tests.
fn seed() -> [u8; 32] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Relaxed);
    core::array::from_fn(|i| (number(next << 32 | i as u64) >> 32).to_le_bytes()[0])
}

/// The first bytes of a generator's stream.
fn stream(seed: [u8; 32], len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha20Rng::from_seed(seed).fill_bytes(&mut bytes);
    bytes
}

/// Pseudorandom numbers, different at every place of a test.
fn number(place: u64) -> u64 {
    let mut x = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3 {
        x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (x >> 29);
    }
    x
}

fn builder() -> LocalExecutorBuilder<Small> {
    LocalExecutor::<Small>::builder().show_client_errors().threads(2).max_concurrent_clients(1)
}

/// The search finds a planted secret. Otherwise the other tests would be meaningless.
#[test]
fn leaks_on_purpose_are_found() {
    // Separate numbers: they are freed when the next search may be running.
    let secret: Vec<u64> = (0..8).map(|i| number(u64::MAX - i)).collect();
    let mut watch = Watch::new();
    watch.words("word", &secret);
    let found = |leak: &dyn Fn()| watch.run(leak).1.iter().map(|(_, found)| *found).sum::<u32>();

    assert_eq!(found(&|| drop(Vec::<u64>::with_capacity(100))), 0);
    assert_eq!(found(&|| drop(secret.clone())), 8, "freed as it was");
    assert_eq!(found(&|| drop(zeroize::Zeroizing::new(secret.clone()))), 0, "wiped");
    let odd = || {
        let mut bytes = vec![7_u8; 3];
        bytes.reserve_exact(64);
        bytes.extend(secret[0].to_le_bytes());
        drop(bytes);
    };
    assert_eq!(found(&odd), 1, "at an odd place");
    let grown = || {
        let mut plaintexts = Vec::new();
        for words in secret.chunks(2) {
            plaintexts.push(Plaintext::<Small>::from_words(words).unwrap());
            plaintexts.shrink_to_fit(); // forces a move with every push
        }
    };
    assert!(found(&grown) >= 4, "plaintexts are wiped when dropped, and not when they move");
    let elsewhere = || {
        let secret = secret.clone();
        std::thread::spawn(move || drop(secret)).join().unwrap();
    };
    assert!(found(&elsewhere) >= 8, "on another thread");
}
