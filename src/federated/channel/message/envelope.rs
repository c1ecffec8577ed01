//! Envelopes: the facts to which a message is bound.

use core::fmt::{self, Display};

use super::route::Route;
use crate::federated::channel::{
    error::{Error, Result},
    read_party,
};
use crate::federated::{Digest, Party, SessionId};

/// The facts to which a message is bound: its identity, its sender and receiver, and its context.
/// All of them are public.
///
/// The sender states them when it seals. The receiver gets them when it opens the message
/// ([`Channel::open`](crate::federated::channel::Channel::open)), or states which message it
/// expects ([`Channel::open_expected`](crate::federated::channel::Channel::open_expected)). A
/// sender gives every message its own envelope: two messages with the same session, round, sender
/// and receiver have different sequence numbers.
///
/// ```
/// use cipherfold::federated::{Digest, Party, SessionId, channel::Envelope};
///
/// let envelope = Envelope {
///     session: SessionId::from_bytes([7; 16]),
///     round: 1,
///     sequence: 0,
///     from: Party::Client(3),
///     to: Party::Aggregator,
///     context: Digest::NONE,
/// };
/// assert_eq!(Envelope::from_bytes(&envelope.to_bytes())?, envelope);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The session in which the message is sent.
    pub session: SessionId,
    /// The round of the session. Rounds are numbered in increasing order.
    pub round: u64,
    /// The message's number within the round, for this sender and receiver.
    pub sequence: u64,
    /// The party that seals the message.
    pub from: Party,
    /// The party that may open the message.
    pub to: Party,
    /// The digest of the context, such as a round's specification; [`Digest::NONE`] if there is
    /// none.
    pub context: Digest,
}

impl Envelope {
    /// Length of the encoding in bytes, the same for every envelope.
    pub const ENCODED_LEN: usize = 1 + SessionId::LEN + 8 + 8 + 2 * Party::ENCODED_LEN + Digest::LEN;

    /// First byte of every encoding.
    pub const VERSION: u8 = 2;

    /// The canonical encoding: version, session, round, sequence, sender, receiver, context.
    ///
    /// Numbers are big-endian. A party is one byte for its role (client 0, server 1, aggregator 2,
    /// key holder 3) and four for its number, which is zero unless it is a client. Two envelopes
    /// are equal exactly when their encodings are.
    pub fn to_bytes(&self) -> [u8; Self::ENCODED_LEN] {
        let mut bytes = [0; Self::ENCODED_LEN];
        let parts: [&[u8]; 7] = [
            &[Self::VERSION],
            &self.session.to_bytes(),
            &self.round.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.from.to_bytes(),
            &self.to.to_bytes(),
            &self.context.to_bytes(),
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
    /// [`Error::EnvelopeVersion`] if the first byte is not [`Envelope::VERSION`];
    /// [`Error::PartyEncoding`] if [`Envelope::to_bytes`] does not write sender or receiver in this
    /// form.
    pub fn from_bytes(bytes: &[u8; Self::ENCODED_LEN]) -> Result<Self> {
        let mut rest = &bytes[..];
        let [version] = take(&mut rest);
        if version != Self::VERSION {
            return Err(Error::EnvelopeVersion { expected: Self::VERSION, found: version });
        }
        Ok(Self {
            session: SessionId::from_bytes(take(&mut rest)),
            round: u64::from_be_bytes(take(&mut rest)),
            sequence: u64::from_be_bytes(take(&mut rest)),
            from: read_party(take(&mut rest))?,
            to: read_party(take(&mut rest))?,
            context: Digest::from_bytes(take(&mut rest)),
        })
    }

    /// The messages of the same round between the same parties.
    pub(in crate::federated) const fn route(&self) -> Route {
        let Self { session, round, from, to, .. } = *self;
        Route { session, round, from, to }
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

    /// Refuses `found` unless it is this envelope.
    ///
    /// # Errors
    ///
    /// [`Error::WrongEnvelope`] with the first field that differs, in the order session, sender,
    /// receiver, round, sequence, context.
    pub fn check(&self, found: &Self) -> Result<()> {
        use EnvelopeMismatch::{Context, Round, Sequence, Session};

        if self.session != found.session {
            return Err(mismatch(Session { expected: self.session, found: found.session }));
        }
        found.check_between(self.from, self.to)?;
        if self.round != found.round {
            return Err(mismatch(Round { expected: self.round, found: found.round }));
        }
        if self.sequence != found.sequence {
            return Err(mismatch(Sequence { expected: self.sequence, found: found.sequence }));
        }
        if self.context != found.context {
            return Err(mismatch(Context { expected: self.context, found: found.context }));
        }
        Ok(())
    }

    /// Refuses an envelope that is not from `from` or not for `to`.
    ///
    /// # Errors
    ///
    /// [`Error::WrongEnvelope`] with the party that differs. The sender is compared first.
    pub fn check_between(&self, from: Party, to: Party) -> Result<()> {
        if self.from != from {
            return Err(mismatch(EnvelopeMismatch::Sender { expected: from, found: self.from }));
        }
        if self.to != to {
            return Err(mismatch(EnvelopeMismatch::Receiver { expected: to, found: self.to }));
        }
        Ok(())
    }
}

fn mismatch(mismatch: EnvelopeMismatch) -> Error {
    Error::WrongEnvelope { mismatch }
}

/// The first field in which a message differs from the expected envelope, with both values.
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
    /// Another context, such as another specification of the round.
    Context { expected: Digest, found: Digest },
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
            Self::Context { expected, found } => {
                write!(f, "is made under {found}, expected one made under {expected}")
            }
        }
    }
}

/// Splits the first `N` bytes off `rest`.
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
            context: Digest::from_bytes([0xc0; 32]),
        }
    }

    #[test]
    fn encoding_is_as_documented() {
        let mut expected = vec![2];
        expected.extend([0xab; 16]);
        expected.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 9]);
        expected.extend([0, 0xff, 0xfe, 0xfd, 0xfc]);
        expected.extend([2, 0, 0, 0, 0]);
        expected.extend([0xc0; 32]);
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
        bytes[0] = 1;
        let version = Error::EnvelopeVersion { expected: 2, found: 1 };
        assert_eq!(Envelope::from_bytes(&bytes), Err(version));

        for (role, number) in [(1, 1), (2, 7), (3, 1), (4, 0), (255, 4)] {
            let mut bytes = envelope().to_bytes();
            bytes[Envelope::ENCODED_LEN - 37] = role;
            bytes[Envelope::ENCODED_LEN - 33] = number;
            let number = number.into();
            assert_eq!(Envelope::from_bytes(&bytes), Err(Error::PartyEncoding { role, number }));
        }
    }
    #[test]
    fn the_error_names_the_first_field_that_differs() {
        let expected = envelope();
        let session = SessionId::from_bytes([1; 16]);
        let context = Digest::NONE;
        let others = [
            (
                Envelope { context, ..expected },
                EnvelopeMismatch::Context { expected: expected.context, found: context },
            ),
            (
                Envelope { context, sequence: 8, ..expected },
                EnvelopeMismatch::Sequence { expected: 9, found: 8 },
            ),
            (
                Envelope { context, sequence: 8, round: 7, ..expected },
                EnvelopeMismatch::Round { expected: expected.round, found: 7 },
            ),
            (
                Envelope { round: 7, to: Party::Server, ..expected },
                EnvelopeMismatch::Receiver { expected: expected.to, found: Party::Server },
            ),
            (
                Envelope { from: Party::Client(0), to: Party::Server, ..expected },
                EnvelopeMismatch::Sender { expected: expected.from, found: Party::Client(0) },
            ),
            (
                Envelope { session, from: Party::Client(0), ..expected },
                EnvelopeMismatch::Session { expected: expected.session, found: session },
            ),
        ];
        assert_eq!(expected.check(&expected), Ok(()));
        for (found, mismatch) in others {
            assert_eq!(expected.check(&found), Err(Error::WrongEnvelope { mismatch }));
        }
    }
}
