//! The guarded way between two parties.
//!
//! A [`Channel`] turns a payload into wire bytes and back. Every message carries its [`Envelope`], which the channel binds to
//! the payload. What stands behind the envelope differs: a box proves who sealed it, [`PlaintextChannel`] takes the sender's
//! word.
//!
//! # Repeated messages
//!
//! A channel keeps no record of what has arrived. The same bytes open as often as they are delivered, and in any order.
//! Whether a message counts is decided by its receiver:
//!
//! - A receiver that expects one certain message calls [`Channel::open_expected`], which refuses every other one. So do
//!   [`LocalExecutor::transfer`](super::LocalExecutor::transfer), the values of computations and the offers of sessions: each of these
//!   messages has an envelope of its own, whose sequence number no other one of the session, sender, receiver and context has. A
//!   message that is repeated or late has another number than the expected one, and is refused with [`Error::WrongEnvelope`].
//! - A receiver that takes messages in any order calls [`Channel::open`], and decides by the envelope and
//!   [`Channel::message_id`]: the same envelope with the same name is a repetition, with another name it is a fault of the sender.
//!   So do the [roles](super::round).

mod box_key;
mod envelope;
mod grid;
mod hpke_channel;
mod identity;
mod libsodium_box;
pub(super) mod message;
pub(super) mod network;
mod nonce;
mod once_map;
mod opened;
pub(super) mod payload;
mod plaintext;
mod roster;
mod session_keys;
#[cfg(test)]
pub(super) mod tests;

pub use box_key::{BoxPublicKey, BoxSecretKey};
pub use envelope::{Envelope, EnvelopeMismatch};
pub use grid::ChannelGrid;
pub use hpke_channel::HpkeChannel;
pub use identity::{Identity, IdentityKey};
pub use libsodium_box::BoxChannel;
pub use message::Message;
pub use opened::Opened;
pub use payload::Payload;
pub use plaintext::PlaintextChannel;
pub use roster::{Organisation, Roster};
pub use session_keys::{Announcement, SessionKeys};

use core::fmt::Debug;

use rand_core::CryptoRng;

use super::{Digest, Party, SessionId};
use crate::federated::{Error, Result};

/// A way to send messages from one party to another.
///
/// One value serves both ends and any number of threads at the same time.
pub trait Channel: Send + Sync + Debug {
    /// The channel's name in reports: `plaintext`, `hpke`, `box`.
    fn name(&self) -> &'static str;

    /// Whether only the two ends can read what is sent.
    fn is_confidential(&self) -> bool;

    /// Bytes of a wire message beyond those of its payload.
    fn overhead(&self) -> usize;

    /// Bytes of public keys that this channel has exchanged so far, over all pairs of parties.
    fn setup_bytes(&self) -> u64;

    /// Makes what `party` needs to send and receive, such as a key pair, unless it is there.
    ///
    /// Called for server and aggregator before the first message, so that what they are given does not depend on which
    /// client comes first. A channel must do without the call, too; by default it does nothing.
    fn prepare(&self, party: Party, rng: &mut dyn CryptoRng) {
        let _ = (party, rng);
    }

    /// Forgets what the channel knows of a session that is over, such as its keys. By default this does nothing.
    fn end_session(&self, session: SessionId) {
        let _ = session;
    }

    /// The wire bytes that carry `payload` from `envelope.from` to `envelope.to`.
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`], or whatever keeps this channel from sealing as that sender for that receiver.
    fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>>;

    /// The payload of `wire`, with the envelope that its sender bound to it, if it is from `from` and for `to`.
    ///
    /// A message opens as often as it is delivered: receivers decide whether they want it again.
    ///
    /// # Errors
    ///
    /// [`Error::SameParty`]; [`Error::WireLength`] for a message too short to be one; [`Error::EnvelopeVersion`] or
    /// [`Error::PartyEncoding`] for an envelope that cannot be read; [`Error::WrongEnvelope`] if it names another sender or
    /// receiver; further ones that are the channel's own.
    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, Opened)>;

    /// What tells this message from every other one of the same envelope, for receivers that may get it again.
    ///
    /// Two different messages with the same name can be made, if at all, by their sender alone. By default it is a digest
    /// of all bytes; an authenticated channel has it in its nonce and its authenticator.
    fn message_id(&self, wire: &[u8]) -> [u8; 16] {
        id_of(wire)
    }

    /// The payload of `wire`, if that is the message that the receiver expects: the one of `expected`.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open); [`Error::WrongEnvelope`] if any field of the envelope is not the expected one.
    fn open_expected(&self, expected: &Envelope, wire: &[u8]) -> Result<Opened> {
        let (found, payload) = self.open(expected.from, expected.to, wire)?;
        expected.check(&found)?;
        Ok(payload)
    }
}

/// What tells messages with this beginning from all others.
fn id_of(beginning: &[u8]) -> [u8; 16] {
    let digest = Digest::of("cipherfold message", &[beginning]).to_bytes();
    *digest.first_chunk().expect("a digest has 32 bytes")
}

/// Refuses two ends that are one party.
fn check_ends(from: Party, to: Party) -> Result<()> {
    if from == to { Err(Error::SameParty { party: from }) } else { Ok(()) }
}
