//! Serde: the bytes of [`super::encoding`], as hexadecimal text in human-readable formats.
//!
//! Text is lower-case. Other digits are refused, so that a key has one text. The format itself
//! encodes the length of the bytes, and may accept several forms of it: postcard reads lengths with
//! redundant zero bits.
//!
//! A secret key has no implementation, because any type with one can be sent as a
//! [`Payload`](crate::federated::channel::Payload). See [`exposed`].

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Ciphertext, CiphertextBatch, Fingerprint, KeySize, PublicKey, hex};

macro_rules! through_bytes {
    ($name:ident, $to_bytes:ident, $from_bytes:ident) => {
        impl<S: KeySize> Serialize for $name<S> {
            fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
                hex::serialize(&self.$to_bytes(), serializer)
            }
        }

        impl<'de, S: KeySize> Deserialize<'de> for $name<S> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = hex::deserialize(deserializer)?;
                Self::$from_bytes(&bytes).map_err(D::Error::custom)
            }
        }
    };
}

through_bytes!(PublicKey, to_bytes, from_bytes);
// There is no key here to check these with. Every operation of a key checks them.
through_bytes!(Ciphertext, to_bytes, from_bytes_unchecked);
through_bytes!(CiphertextBatch, to_bytes, from_bytes_unchecked);

impl Serialize for Fingerprint {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        hex::serialize(&self.to_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = hex::deserialize(deserializer)?;
        let expected = format!("{} bytes", Self::LEN);
        let wrong = || D::Error::invalid_length(bytes.len(), &expected.as_str());
        Ok(Self::from_bytes(bytes.as_slice().try_into().map_err(|_| wrong())?))
    }
}

pub mod exposed {
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
    //! # Ok::<(), Box<dyn std::error::Error>>(())
    //! ```

    use crate::paillier::{KeySize, SecretKey, hex};
    use serde::{Deserializer, Serializer, de::Error as _};

    /// Writes the key's [bytes](SecretKey::expose_bytes).
    ///
    /// # Errors
    ///
    /// The serializer's own.
    pub fn serialize<K: KeySize, S: Serializer>(
        key: &SecretKey<K>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        hex::serialize(&key.expose_bytes(), serializer)
    }

    /// Reads a key from its bytes; the time is that of [`SecretKey::from_bytes_vartime`].
    ///
    /// # Errors
    ///
    /// The deserializer's own, and those of the encoding.
    pub fn deserialize<'de, K: KeySize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SecretKey<K>, D::Error> {
        let bytes = hex::deserialize(deserializer)?;
        SecretKey::from_bytes_vartime(&bytes).map_err(D::Error::custom)
    }
}
