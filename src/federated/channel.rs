//! Channels: how one party sends messages to another.
//!
//! A [`Channel`] turns a payload into wire bytes and back. Every message carries its [`Envelope`],
//! which the channel binds to the payload. Channels differ in how they authenticate the sender: a
//! box proves who sealed it, while [`PlaintextChannel`] trusts the sender named in the envelope.
//!
//! # Repeated messages
//!
//! A channel keeps no record of received messages. The same bytes open as often as they are
//! delivered, and in any order. The receiver decides whether a message counts:
//!
//! - A receiver that expects one certain message calls [`Channel::open_expected`], which refuses
//!   every other one. [`LocalExecutor::transfer`](super::LocalExecutor::transfer), the values of
//!   computations and the offers of sessions do so. Each of these messages has its own sequence
//!   number, which no other message with the same session, sender, receiver and context has. So the
//!   number of a repeated or late message is not the expected one, and the message is refused with
//!   [`Error::WrongEnvelope`].
//! - A receiver that takes messages in any order calls [`Channel::open`], and decides by the
//!   envelope and [`Channel::message_id`]. The same envelope with the same identifier is a
//!   repetition. The same envelope with another identifier is a fault of the sender. The
//!   [roles](super::round) do so.

mod boxes;
mod error;
mod grid;
mod keys;
pub(super) mod message;
pub(super) mod network;
mod plaintext;
#[cfg(test)]
pub(super) mod tests;

pub use boxes::{BoxChannel, HpkeChannel};
pub use error::Error;
pub use grid::ChannelGrid;
pub use keys::{
    Announcement, BoxPublicKey, BoxSecretKey, Identity, IdentityKey, Organisation, Roster, SessionKeys,
};
pub use message::{Envelope, EnvelopeMismatch, Message, OpenedPayload, Payload};
pub(super) use message::{payload, route};
pub use plaintext::PlaintextChannel;

use core::fmt::Debug;

use rand_core::CryptoRng;

use super::{Digest, Party, SessionId};
use error::Result;

/// A way to send messages from one party to another.
///
/// One value serves both ends and any number of threads at the same time.
///
/// Implement it to send messages in another way. An implementation writes the [`Envelope`] in front
/// of the payload, or into its additional data, and gives an opened payload as [`OpenedPayload`]:
///
/// ```
/// use cipherfold::federated::channel::{Channel, Envelope, EnvelopeMismatch, Error, OpenedPayload};
/// use cipherfold::federated::{Digest, Party, SessionId};
/// use rand_core::CryptoRng;
/// use zeroize::Zeroizing;
///
/// /// Messages within one machine, without protection.
/// #[derive(Debug)]
/// struct Loopback;
///
/// impl Channel for Loopback {
///     fn name(&self) -> &'static str {
///         "loopback"
///     }
///
///     fn is_confidential(&self) -> bool {
///         false
///     }
///
///     fn overhead(&self) -> usize {
///         Envelope::ENCODED_LEN
///     }
///
///     fn setup_bytes(&self) -> u64 {
///         0
///     }
///
///     fn seal(
///         &self,
///         envelope: &Envelope,
///         payload: &[u8],
///         _: &mut dyn CryptoRng,
///     ) -> Result<Vec<u8>, Error> {
///         envelope.check_ends()?;
///         Ok([&envelope.to_bytes(), payload].concat())
///     }
///
///     fn open(
///         &self,
///         from: Party,
///         to: Party,
///         wire: &[u8],
///     ) -> Result<(Envelope, OpenedPayload), Error> {
///         let (minimum, found) = (self.overhead(), wire.len());
///         let header = wire.first_chunk().ok_or(Error::WireLength { from, to, minimum, found })?;
///         let envelope = Envelope::from_bytes(header)?;
///         envelope.check_ends()?;
///         envelope.check_between(from, to)?;
///         Ok((envelope, OpenedPayload::new(Zeroizing::new(wire.to_vec()), minimum)))
///     }
/// }
///
/// let (session, context) = (SessionId::from_bytes([7; 16]), Digest::NONE);
/// let (from, to) = (Party::Server, Party::Client(3));
/// let envelope = Envelope { session, round: 0, sequence: 0, from, to, context };
/// let wire = Loopback.seal(&envelope, b"a model", &mut rand_core::UnwrapErr(getrandom::SysRng))?;
/// assert_eq!(Loopback.open_expected(&envelope, &wire)?.as_slice(), b"a model");
///
/// let next = Envelope { round: 1, ..envelope };
/// let mismatch = EnvelopeMismatch::Round { expected: 1, found: 0 };
/// assert_eq!(Loopback.open_expected(&next, &wire), Err(Error::WrongEnvelope { mismatch }));
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub trait Channel: Send + Sync + Debug {
    /// The channel's name in reports: `plaintext`, `hpke`, `box`.
    fn name(&self) -> &'static str;

    /// Whether only the two ends can read messages.
    fn is_confidential(&self) -> bool;

    /// Bytes of a wire message beyond those of its payload.
    fn overhead(&self) -> usize;

    /// Bytes of public keys that this channel has exchanged so far, over all pairs of parties.
    fn setup_bytes(&self) -> u64;

    /// Makes the keys or other state that `party` needs to send and receive, unless they exist.
    ///
    /// The executor calls this for server and aggregator before the first message, so that their
    /// keys do not depend on which client comes first. A channel must also work without this call.
    /// By default it does nothing.
    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        let _ = (party, rng);
    }

    /// Deletes the channel's state of a session that is over, such as its keys. By default this
    /// does nothing.
    fn end_session(&self, session: SessionId) {
        let _ = session;
    }

    /// The wire bytes that carry `payload` from `envelope.from` to `envelope.to`.
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`], or an error of this channel if it cannot seal for this sender and
    /// receiver.
    fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>>;

    /// The payload of `wire`, with the envelope that its sender bound to it, if it is from `from`
    /// and for `to`.
    ///
    /// A message opens as often as it is delivered: receivers decide whether they accept it again.
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`]; [`Error::WireLength`] for a message that is too short;
    /// [`Error::EnvelopeVersion`] or [`Error::PartyEncoding`] for an envelope that cannot be read;
    /// [`Error::WrongEnvelope`] if it names another sender or receiver; other errors of this
    /// channel.
    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload)>;

    /// An identifier that distinguishes this message from every other one with the same envelope,
    /// for receivers that may receive it again.
    ///
    /// Only the sender can make two different messages with the same identifier. By default the
    /// identifier is a digest of all bytes. An authenticated channel derives it from its nonce and
    /// its authenticator.
    fn message_id(&self, wire: &[u8]) -> [u8; 16] {
        id_of(wire)
    }

    /// The payload of `wire`, if its envelope is `expected`.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open); [`Error::WrongEnvelope`] if any field of the envelope differs
    /// from `expected`.
    fn open_expected(&self, expected: &Envelope, wire: &[u8]) -> Result<OpenedPayload> {
        let (found, payload) = self.open(expected.from, expected.to, wire)?;
        expected.check(&found)?;
        Ok(payload)
    }
}

/// An identifier of a message that begins with these bytes.
fn id_of(beginning: &[u8]) -> [u8; 16] {
    let digest = Digest::of("cipherfold message", &[beginning]).to_bytes();
    *digest.first_chunk().expect("a digest has 32 bytes")
}

/// Refuses two ends that are one party.
fn check_ends(from: Party, to: Party) -> Result<()> {
    if from == to { Err(Error::SameParty { party: from }) } else { Ok(()) }
}

/// The party with this encoding; [`Error::PartyEncoding`] for any other bytes.
fn read_party(bytes: [u8; Party::ENCODED_LEN]) -> Result<Party> {
    let [role, number @ ..] = bytes;
    Party::from_bytes(bytes).ok_or(Error::PartyEncoding { role, number: u32::from_be_bytes(number) })
}
