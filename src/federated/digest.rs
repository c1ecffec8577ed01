//! Names of public things by their contents.

use core::fmt::{self, Debug, Display};

use sha2::{Digest as _, Sha256};

use super::party::write_hex;

/// A SHA-256 digest of something public: a round's specification, a session's offer, a roster.
///
/// Shown as 64 hexadecimal digits. Two things of the same kind with the same digest are the same; things of different kinds
/// have different digests, since the kind is part of what is hashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; Self::LEN]);

impl Digest {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Stands where there is nothing to name: 32 bytes of zero, which are the digest of nothing that anybody can find.
    pub const NONE: Self = Self([0; Self::LEN]);

    /// The digest of the parts, one after the other with their lengths, of a kind of thing.
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
