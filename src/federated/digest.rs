//! Digests of public objects, used as their names.

use core::fmt::{self, Debug, Display};

use sha2::{Digest as _, Sha256};

use super::party::write_hex;

/// A SHA-256 digest of a public object: a round's specification, a session's offer, a roster.
///
/// It is shown as 64 hexadecimal digits. Two objects of the same kind with the same digest are
/// equal. Objects of different kinds have different digests, since the kind is part of the hashed
/// data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; Self::LEN]);

impl Digest {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The digest for the absence of an object: 32 zero bytes. No object with this digest is known.
    pub const NONE: Self = Self([0; Self::LEN]);

    /// The digest of these parts of an object of this kind. Each part is hashed with its length.
    pub(super) fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in [kind.as_bytes()].iter().chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
