//! Serde: the bytes of [`super::encoding`], as hexadecimal text in formats that people read.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

use super::{Ciphertext, CiphertextBatch, Fingerprint, KeySize, PublicKey, SecretKey};

macro_rules! through_bytes {
    ($name:ident, $to_bytes:ident, $from_bytes:ident) => {
        impl<S: KeySize> Serialize for $name<S> {
            fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
                serdect::slice::serialize_hex_lower_or_bin(&self.$to_bytes(), serializer)
            }
        }

        impl<'de, S: KeySize> Deserialize<'de> for $name<S> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = Zeroizing::new(serdect::slice::deserialize_hex_or_bin_vec(deserializer)?);
                Self::$from_bytes(&bytes).map_err(D::Error::custom)
            }
        }
    };
}

through_bytes!(PublicKey, to_bytes, from_bytes);
through_bytes!(SecretKey, expose_bytes, from_bytes_vartime);
// No key is at hand here to check these with; every operation of a key does.
through_bytes!(Ciphertext, to_bytes, from_bytes_unchecked);
through_bytes!(CiphertextBatch, to_bytes, from_bytes_unchecked);

impl Serialize for Fingerprint {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        serdect::array::serialize_hex_lower_or_bin(&self.to_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = [0; Self::LEN];
        serdect::array::deserialize_hex_or_bin(&mut bytes, deserializer)?;
        Ok(Self::from_bytes(bytes))
    }
}
