//! Secret keys in the files of a program, by
//! `#[serde(with = "cipherfold::paillier::exposed")]`.
//!
//! **The output is secret.** A [`SecretKey`] does not implement `Serialize`, so that no key is
//! written, or sent from one placement to another, as an overlooked field.
//!
//! ```
//! use cipherfold::paillier::{SecretKey, hazmat::InsecureBits512};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct ServerState {
//!     round: u64,
//!     #[serde(with = "cipherfold::paillier::exposed")]
//!     key: SecretKey<InsecureBits512>,
//! }
//!
//! let mut rng = ChaCha20Rng::from_seed([7; 32]); // a program takes a seed from the system
//! let state = ServerState { round: 3, key: SecretKey::generate(&mut rng)? };
//! let json = serde_json::to_string(&state)?;
//! let restored: ServerState = serde_json::from_str(&json)?;
//! assert_eq!(restored.key, state.key);
//!
//! // In an own implementation of `Serialize`:
//! let key = cipherfold::paillier::exposed::serialize(&state.key, serde_json::value::Serializer)?;
//! assert_eq!(cipherfold::paillier::exposed::deserialize::<InsecureBits512, _>(key)?, state.key);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::{Deserializer, Serializer, de::Error as _};

use super::hex;
use crate::paillier::{keys::SecretKey, values::KeySize};

/// Writes the key's [bytes](SecretKey::expose_bytes).
///
/// # Errors
///
/// The serializer's own.
pub fn serialize<K: KeySize, S: Serializer>(key: &SecretKey<K>, serializer: S) -> Result<S::Ok, S::Error> {
    hex::serialize(&key.expose_bytes(), serializer)
}

/// Reads a key from its bytes; the time is that of [`SecretKey::from_bytes_vartime`].
///
/// # Errors
///
/// The deserializer's own, and those of the encoding.
pub fn deserialize<'de, K: KeySize, D: Deserializer<'de>>(deserializer: D) -> Result<SecretKey<K>, D::Error> {
    let bytes = hex::deserialize(deserializer)?;
    SecretKey::from_bytes_vartime(&bytes).map_err(D::Error::custom)
}
