//! Public and secret keys.

mod foreign_modulus;
mod primes;
pub(super) mod public_key;
mod secret_key;

pub use self::{public_key::PublicKey, secret_key::SecretKey};
