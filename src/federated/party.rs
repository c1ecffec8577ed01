//! Parties, sessions, and the facts that bind a message.

use core::fmt::{self, Debug, Display};

use rand_core::CryptoRng;

use super::PlacementKind;
use crate::{Error, Result};

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

    /// Length of the encoding: one byte for the role, four for the client's number (zero for the other roles).
    const ENCODED_LEN: usize = 5;

    fn to_bytes(self) -> [u8; Self::ENCODED_LEN] {
        let (role, number) = match self {
            Self::Client(number) => (0, number),
            Self::Server => (1, 0),
            Self::Aggregator => (2, 0),
            Self::KeyHolder => (3, 0),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [role, a, b, c, d]
    }

    fn from_bytes(bytes: [u8; Self::ENCODED_LEN]) -> Result<Self> {
        let [role, number @ ..] = bytes;
        match (role, u32::from_be_bytes(number)) {
            (0, number) => Ok(Self::Client(number)),
            (1, 0) => Ok(Self::Server),
            (2, 0) => Ok(Self::Aggregator),
            (3, 0) => Ok(Self::KeyHolder),
            (role, number) => Err(Error::PartyEncoding { role, number }),
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

/// The public name of one run of the protocol under one set of keys.
///
/// Shown as 32 hexadecimal digits. Use [`SessionId::random`] for each session: what tells a message of this session
/// from one recorded in another is this number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; Self::LEN]);

impl SessionId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// A name that no other session has, but with probability below 2⁻⁶⁴ among 2³² sessions.
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; Self::LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The session with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the name.
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

/// The facts bound to a message: which one it is, from whom, for whom. All of them are public.
///
/// The sender states them when it seals; the receiver states what it expects when it opens, and a message that says
/// anything else is refused. Within a session and a direction, `(round, sequence)` must grow from message to message;
/// numbers may be left out.
///
/// ```
/// use cipherfold::federated::{Envelope, Party, SessionId};
///
/// let envelope = Envelope {
///     session: SessionId::from_bytes([7; 16]),
///     round: 1,
///     sequence: 0,
///     from: Party::Client(3),
///     to: Party::Aggregator,
/// };
/// assert_eq!(Envelope::from_bytes(&envelope.to_bytes())?, envelope);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The session in which the message is sent.
    pub session: SessionId,
    /// The round of the session, from a count that only grows.
    pub round: u64,
    /// The message's number within the round, for this sender and receiver.
    pub sequence: u64,
    /// Who seals the message.
    pub from: Party,
    /// Who may open it.
    pub to: Party,
}

impl Envelope {
    /// Length of the encoding in bytes, the same for every envelope.
    pub const ENCODED_LEN: usize = 1 + SessionId::LEN + 8 + 8 + 2 * Party::ENCODED_LEN;

    /// First byte of every encoding.
    pub const VERSION: u8 = 1;

    /// The canonical encoding: version, session, round, sequence, sender, receiver.
    ///
    /// Numbers are big-endian. A party is one byte for its role (client 0, server 1, aggregator 2, key holder 3) and four for its
    /// number, which is zero unless it is a client. Two envelopes are equal exactly when their encodings are.
    pub fn to_bytes(&self) -> [u8; Self::ENCODED_LEN] {
        let mut bytes = [0; Self::ENCODED_LEN];
        let parts: [&[u8]; 6] = [
            &[Self::VERSION],
            &self.session.0,
            &self.round.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.from.to_bytes(),
            &self.to.to_bytes(),
        ];
        let mut rest = &mut bytes[..];
        for part in parts {
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        bytes
    }

    /// The envelope with this encoding.
    ///
    /// # Errors
    ///
    /// [`Error::EnvelopeVersion`] if the first byte is not [`Envelope::VERSION`], [`Error::PartyEncoding`] if sender
    /// or receiver is none that [`Envelope::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8; Self::ENCODED_LEN]) -> Result<Self> {
        let mut rest = &bytes[..];
        let [version] = take(&mut rest);
        if version != Self::VERSION {
            return Err(Error::EnvelopeVersion { expected: Self::VERSION, found: version });
        }
        Ok(Self {
            session: SessionId(take(&mut rest)),
            round: u64::from_be_bytes(take(&mut rest)),
            sequence: u64::from_be_bytes(take(&mut rest)),
            from: Party::from_bytes(take(&mut rest))?,
            to: Party::from_bytes(take(&mut rest))?,
        })
    }

    /// Refuses an envelope whose sender and receiver are the same.
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`].
    pub fn check_ends(&self) -> Result<()> {
        if self.from == self.to {
            return Err(Error::SameParty { party: self.from });
        }
        Ok(())
    }
}

/// The first field in which a message differs from what its receiver expects, with both values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "every field is the expected or the found value of its variant")]
pub enum EnvelopeMismatch {
    /// Another session.
    Session { expected: SessionId, found: SessionId },
    /// Another sender.
    Sender { expected: Party, found: Party },
    /// Another receiver.
    Receiver { expected: Party, found: Party },
    /// Another round.
    Round { expected: u64, found: u64 },
    /// Another message of the same round.
    Sequence { expected: u64, found: u64 },
}

impl Display for EnvelopeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { expected, found } => {
                write!(f, "belongs to session {found}, expected session {expected}")
            }
            Self::Sender { expected, found } => {
                write!(f, "is from {found}, expected one from {expected}")
            }
            Self::Receiver { expected, found } => {
                write!(f, "is for {found}, expected one for {expected}")
            }
            Self::Round { expected, found } => {
                write!(f, "belongs to round {found}, expected round {expected}")
            }
            Self::Sequence { expected, found } => {
                write!(f, "has sequence number {found}, expected {expected}")
            }
        }
    }
}

/// Writes public bytes as lower-case hexadecimal digits.
pub(super) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Cuts the first `N` bytes off `rest`.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_first_chunk().expect("the parts of an envelope add up to ENCODED_LEN");
    *rest = tail;
    *head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            session: SessionId::from_bytes([0xab; 16]),
            round: 0x0102_0304_0506_0708,
            sequence: 9,
            from: Party::Client(0xfffe_fdfc),
            to: Party::Aggregator,
        }
    }

    #[test]
    fn encoding_is_as_documented() {
        let mut expected = vec![1];
        expected.extend([0xab; 16]);
        expected.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 9]);
        expected.extend([0, 0xff, 0xfe, 0xfd, 0xfc]);
        expected.extend([2, 0, 0, 0, 0]);
        assert_eq!(envelope().to_bytes(), expected[..]);
    }

    #[test]
    fn decoding_inverts_encoding() {
        for (from, to) in [
            (Party::Server, Party::Client(0)),
            (Party::Client(u32::MAX), Party::Server),
            (Party::Aggregator, Party::Server),
            (Party::Server, Party::KeyHolder),
        ] {
            let envelope = Envelope { from, to, ..envelope() };
            assert_eq!(Envelope::from_bytes(&envelope.to_bytes()), Ok(envelope));
        }
    }

    #[test]
    fn only_canonical_encodings_are_read() {
        let mut bytes = envelope().to_bytes();
        bytes[0] = 2;
        let version = Error::EnvelopeVersion { expected: 1, found: 2 };
        assert_eq!(Envelope::from_bytes(&bytes), Err(version));

        for (role, number) in [(1, 1), (2, 7), (3, 1), (4, 0), (255, 4)] {
            let mut bytes = envelope().to_bytes();
            bytes[Envelope::ENCODED_LEN - 5] = role;
            bytes[Envelope::ENCODED_LEN - 1] = number;
            let number = number.into();
            assert_eq!(Envelope::from_bytes(&bytes), Err(Error::PartyEncoding { role, number }));
        }
    }

    #[test]
    fn sessions_are_shown_as_hexadecimal_digits() {
        let session = SessionId::from_bytes(core::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(session.to_string(), "000102030405060708090a0b0c0d0e0f");
    }
}
