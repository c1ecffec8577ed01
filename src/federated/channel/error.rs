//! The errors of this layer.

use super::EnvelopeMismatch;
use crate::{
    federated::{Party, PlacementKind, SessionId},
    printable::printable,
};

/// The result of every fallible function of this layer.
pub(super) type Result<T, E = Error> = core::result::Result<T, E>;

/// Every error of a message, a channel, a box, or an identity.
///
/// Fields hold public sizes, names and identifiers, never a value of a client. `Display` escapes
/// control characters in names and in texts of callers and peers.
/// [`federated::Error`](crate::federated::Error) wraps this type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- messages and channels ---
    /// A message was addressed to its own sender.
    #[error("{party} cannot send a message to itself")]
    SameParty {
        /// Sender and receiver.
        party: Party,
    },

    /// A message is shorter than an empty message of its channel.
    #[error("message from {from} to {to} has {found} bytes, the shortest possible has {minimum}")]
    WireLength {
        /// The expected sender.
        from: Party,
        /// The expected receiver.
        to: Party,
        /// The minimum number of bytes of a message on this channel.
        minimum: usize,
        /// Bytes received.
        found: usize,
    },

    /// An envelope has an encoding that this version cannot read.
    #[error("envelope has version {found}, expected {expected}")]
    EnvelopeVersion {
        /// The version this crate writes.
        expected: u8,
        /// The version of the message.
        found: u8,
    },

    /// An envelope names a party that does not exist.
    #[error("no party has role {role} and number {number}")]
    PartyEncoding {
        /// Byte that should be 0 (client), 1 (server), 2 (aggregator) or 3 (key holder).
        role: u8,
        /// Number of the client, zero for the other roles.
        number: u32,
    },

    /// A message is not the one that its receiver expects.
    #[error("message {mismatch}")]
    WrongEnvelope {
        /// The field that differs, with both values.
        mismatch: EnvelopeMismatch,
    },

    /// The bytes of a message have a wrong length.
    #[error("an encoded {what} has {expected} bytes, found {found}")]
    EncodedLength {
        /// The kind of object that was to be read.
        what: &'static str,
        /// The number of bytes that it must have.
        expected: usize,
        /// Bytes found.
        found: usize,
    },

    /// An encoding has another version.
    #[error("encoding version {found} is not known, this crate reads version {expected}")]
    EncodingVersion {
        /// The version that this crate reads and writes.
        expected: u8,
        /// The version found.
        found: u8,
    },

    /// The value's own `Serialize` failed, or needs a self-describing format.
    #[error("a {type_name} cannot be encoded: {}", printable(reason))]
    PayloadEncoding {
        /// Name of its type in Rust.
        type_name: &'static str,
        /// The text of the format's error.
        reason: String,
    },

    /// Bytes are not the encoding of a value of the expected type.
    #[error("the bytes of a message are not a {type_name}: {}", printable(reason))]
    PayloadDecoding {
        /// Name of the type in Rust.
        type_name: &'static str,
        /// The text of the format's error.
        reason: String,
    },

    /// No channel joins two placements.
    #[error("no channel between {from} and {to}")]
    MissingChannel {
        /// The placement to send from.
        from: PlacementKind,
        /// The placement to send to.
        to: PlacementKind,
    },

    /// A channel was given for one placement twice. Channels join different placements, because
    /// members of one placement do not send to each other.
    #[error("no channel can join {placement} to {placement}")]
    SamePlacement {
        /// The placement that was given twice.
        placement: PlacementKind,
    },

    /// A channel is not confidential where it must be.
    #[error("with a key holder, the channel between {from} and {to} must be confidential")]
    OpenChannel {
        /// The placement that sends.
        from: PlacementKind,
        /// The placement that receives.
        to: PlacementKind,
    },

    // --- boxes, their keys, and identities ---
    /// A box does not open: it was altered, or comes from or is for another party. One answer for
    /// every cause.
    #[error("box from {from} to {to} does not open")]
    BoxOpen {
        /// The expected sender.
        from: Party,
        /// The expected receiver.
        to: Party,
    },

    /// A box cannot be opened, because the two parties do not have each other's keys.
    #[error("{from} and {to} have not exchanged keys, so no box can have been sealed")]
    NoKeyExchange {
        /// The expected sender.
        from: Party,
        /// The expected receiver.
        to: Party,
    },

    /// A box cannot be sealed or opened as this party, because only its public key is here.
    #[error("this channel does not have the secret box key of {party}")]
    MissingSecretKey {
        /// The party.
        party: Party,
    },

    /// A box public key is not a point that an honest party publishes, or is not in its canonical
    /// encoding.
    #[error("box public key is not in the prime-order group of Curve25519, or not reduced")]
    BoxPublicKey,

    /// A channel has no keys of a session: the session is another one, or has ended.
    #[error("this channel has no keys of session {session}")]
    NoSessionKeys {
        /// The session that a message names.
        session: SessionId,
    },

    /// A party already has another key in a session.
    #[error("{party} has another key in session {session}")]
    OtherSessionKey {
        /// The session.
        session: SessionId,
        /// The party.
        party: Party,
    },

    /// A long-term public key is not a point that an honest organisation publishes, or is not in
    /// its canonical encoding.
    #[error("identity key is not in the prime-order group of Ed25519, or not in canonical form")]
    IdentityKey,

    /// An announced session key is not signed by the identity that should have signed it.
    #[error("the announcement is not signed by the identity of {party}")]
    AnnouncementSignature {
        /// The party that should have signed.
        party: Party,
    },

    /// A party is not in the roster.
    #[error("{party} is not in the roster")]
    NotInRoster {
        /// The party.
        party: Party,
    },

    /// Two organisations of a roster have the same role, name or key.
    #[error("{first} and {second} of a roster have the same {what}")]
    RosterDuplicate {
        /// The field that is equal: role, name or key.
        what: &'static str,
        /// The first organisation.
        first: Party,
        /// The second organisation.
        second: Party,
    },

    /// The name of an organisation is empty, too long, or has control characters.
    #[error("the name of {party} must have 1 to {limit} bytes and no control characters")]
    RosterName {
        /// The organisation.
        party: Party,
        /// Maximum length in bytes.
        limit: usize,
    },

    /// Bytes are not the canonical encoding of a roster.
    #[error("not the canonical encoding of a roster")]
    RosterEncoding,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{HOSTILE_TEXT, HOSTILE_TEXT_ESCAPED};

    #[test]
    fn texts_of_callers_and_peers_are_displayed_without_control_characters() {
        let reason = || HOSTILE_TEXT.to_owned();
        for error in [
            Error::PayloadEncoding { type_name: "u8", reason: reason() },
            Error::PayloadDecoding { type_name: "u8", reason: reason() },
        ] {
            assert!(error.to_string().contains(HOSTILE_TEXT_ESCAPED), "{error}");
        }
    }
}
