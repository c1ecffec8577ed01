//! Random numbers: a generator for each message, seeded by the operating system.
//!
//! A generator exists during one call only, so a process that forks and its child never draw the
//! same numbers.

use chacha20::ChaCha20Rng;
use cipherfold::{
    federated,
    rand_core::{SeedableRng, TryRng},
};
use zeroize::Zeroizing;

use crate::error::Result;

/// A new generator. It is wiped when dropped.
pub(crate) fn generator() -> Result<ChaCha20Rng> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::SysRng
        .try_fill_bytes(&mut *seed)
        .map_err(|error| federated::Error::Entropy { reason: error.to_string() })?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
