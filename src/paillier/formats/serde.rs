//! Serde: the bytes of [`super::encoding`], as hexadecimal text in human-readable formats.
//!
//! Text is lower-case. Other digits are refused, so that a key has one text. The format itself
//! encodes the length of the bytes, and may accept several forms of it: postcard reads lengths with
//! redundant zero bits.
//!
//! A secret key has no implementation, because any type with one can be sent as a
//! [`Payload`](crate::federated::channel::Payload). See [`exposed`](super::exposed).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::hex;
use crate::paillier::{
    fingerprint::Fingerprint,
    keys::PublicKey,
    values::{Ciphertext, CiphertextBatch, KeySize},
};

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
