//! SHA-256 digests, as objects and the consortium are named by them.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// The SHA-256 digest of an object's bytes, in the format of `sha256sum`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sha256([u8; Self::LEN]);

impl Sha256 {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of all bytes of a reader.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hash = sha2::Sha256::new();
        let mut block = vec![0; 1 << 16];
        loop {
            match reader.read(&mut block)? {
                0 => return Ok(Self(hash.finalize().into())),
                read => hash.update(&block[..read]),
            }
        }
    }

    /// The digest of parts with their lengths, for a purpose. Different purposes give different
    /// digests.
    pub fn for_purpose(purpose: &str, parts: &[&[u8]]) -> Self {
        let mut hash = sha2::Sha256::new();
        for part in [purpose.as_bytes()].iter().chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// A text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Sha256 {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; Self::LEN];
        let found = base16ct::mixed::decode(text, &mut bytes).map_err(|_| NotADigest)?;
        if found.len() == Self::LEN { Ok(Self(bytes)) } else { Err(NotADigest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), expected);
        assert_eq!(expected.parse(), Ok(Sha256::of(b"abc")));
        assert_eq!(Sha256::of_reader(&b"abc"[..]).unwrap(), Sha256::of(b"abc"));
        assert_eq!(expected[2..].parse::<Sha256>(), Err(NotADigest));
        assert_eq!("".parse::<Sha256>(), Err(NotADigest));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Sha256::for_purpose("p", &[b"ab", b"c"]), Sha256::for_purpose("p", &[b"a", b"bc"]));
        assert_ne!(Sha256::for_purpose("p", &[b"q"]), Sha256::for_purpose("pq", &[]));
    }
}
