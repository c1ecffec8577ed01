//! Bytes in serde's formats: lower-case hexadecimal text in human-readable formats, bytes in
//! others. Temporary buffers are wiped.

use core::fmt;

use serde::{
    Deserializer, Serializer,
    de::{Error, Visitor},
    ser::Error as _,
};
use zeroize::Zeroizing;

/// Writes bytes.
pub(in crate::paillier) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if !serializer.is_human_readable() {
        return serializer.serialize_bytes(bytes);
    }
    let mut text = Zeroizing::new(vec![0; 2 * bytes.len()]);
    let text = base16ct::lower::encode_str(bytes, &mut text).map_err(S::Error::custom)?;
    serializer.serialize_str(text)
}

/// Reads bytes. Upper-case digits are refused.
pub(in crate::paillier) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Zeroizing<Vec<u8>>, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Text)
    } else {
        deserializer.deserialize_byte_buf(Binary)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Zeroizing<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lower-case hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
        // The text may be secret and is not named.
        let wrong = |_| E::custom("an even number of lower-case hexadecimal digits is expected");
        base16ct::lower::decode(text, &mut bytes).map_err(wrong)?;
        Ok(bytes)
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        self.visit_str(&Zeroizing::new(text))
    }
}

struct Binary;

impl Visitor<'_> for Binary {
    type Value = Zeroizing<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Zeroizing::new(bytes.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
        Ok(Zeroizing::new(bytes))
    }
}
