//! Parties and sessions.

use core::fmt::{self, Debug, Display};

use rand_core::CryptoRng;

use super::PlacementKind;

/// One participant: a single client, the server, the aggregator, or the key holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The client with this number, counted from zero.
    Client(u32),
    /// The server.
    Server,
    /// The aggregator.
    Aggregator,
    /// The key holder.
    KeyHolder,
}

impl Party {
    /// The placement that the party belongs to.
    ///
    /// ```
    /// use cipherfold::federated::{Party, PlacementKind};
    ///
    /// assert_eq!(Party::Client(3).placement(), PlacementKind::Clients);
    /// assert_eq!(Party::Client(3).to_string(), "client 3");
    /// ```
    pub const fn placement(self) -> PlacementKind {
        match self {
            Self::Client(_) => PlacementKind::Clients,
            Self::Server => PlacementKind::Server,
            Self::Aggregator => PlacementKind::Aggregator,
            Self::KeyHolder => PlacementKind::KeyHolder,
        }
    }

    /// Length of the encoding: one byte for the role, four for the client's number (zero for the
    /// other roles).
    pub(super) const ENCODED_LEN: usize = 5;

    /// One encoding for each party.
    pub(super) fn to_bytes(self) -> [u8; Self::ENCODED_LEN] {
        let (role, number) = match self {
            Self::Client(number) => (0, number),
            Self::Server => (1, 0),
            Self::Aggregator => (2, 0),
            Self::KeyHolder => (3, 0),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [role, a, b, c, d]
    }

    /// The party with this encoding, or `None` for any other bytes.
    pub(super) fn from_bytes(bytes: [u8; Self::ENCODED_LEN]) -> Option<Self> {
        let [role, number @ ..] = bytes;
        match (role, u32::from_be_bytes(number)) {
            (0, number) => Some(Self::Client(number)),
            (1, 0) => Some(Self::Server),
            (2, 0) => Some(Self::Aggregator),
            (3, 0) => Some(Self::KeyHolder),
            _ => None,
        }
    }
}

impl Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(number) => write!(f, "client {number}"),
            Self::Server => f.write_str("server"),
            Self::Aggregator => f.write_str("aggregator"),
            Self::KeyHolder => f.write_str("key holder"),
        }
    }
}

/// The public identifier of one run of the protocol under one set of keys.
///
/// It is shown as 32 hexadecimal digits. Use [`SessionId::random`] for each session: only this
/// identifier distinguishes a message of this session from one recorded in another session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; Self::LEN]);

impl SessionId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// A random identifier. Two of 2³² sessions have the same one with probability below 2⁻⁶⁴.
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; Self::LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The session with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the identifier.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

impl Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// Writes public bytes as lower-case hexadecimal digits.
pub(super) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_shown_as_hexadecimal_digits() {
        let session = SessionId::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(session.to_string(), "000102030405060708090a0b0c0d0e0f");
    }
}
