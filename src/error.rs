//! The crate's error type: facts in public fields, never a secret.

use crate::federated::{EnvelopeMismatch, Party, PlacementKind};

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Everything that can be wrong with what a caller or a peer handed in.
///
/// Fields hold public sizes, names and identifiers. Broken invariants of the crate itself panic instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- keys and ciphertexts ---

    // --- packing ---

    // --- placements, channels, secure sums ---
    /// A message was addressed to its own sender.
    #[error("{party} cannot send a message to itself")]
    SameParty {
        /// Sender and receiver.
        party: Party,
    },

    /// An envelope is encoded in a way that this version does not read.
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
        /// Byte that should be 0 (client), 1 (server) or 2 (aggregator).
        role: u8,
        /// Number of the client, zero for the other roles.
        number: u32,
    },

    /// A message is shorter than an empty one would be.
    #[error("message from {from} to {to} has {found} bytes, the shortest possible has {minimum}")]
    WireLength {
        /// The expected sender.
        from: Party,
        /// The expected receiver.
        to: Party,
        /// Bytes that every message of the channel has.
        minimum: usize,
        /// Bytes received.
        found: usize,
    },

    /// A message is not the one its receiver waits for.
    #[error("message {mismatch}")]
    WrongEnvelope {
        /// The field that differs, with both values.
        mismatch: EnvelopeMismatch,
    },

    /// A message was received before, or comes after a later one.
    #[error("message {sequence} of round {round} from {from} to {to} is a repetition or late")]
    Replayed {
        /// Its sender.
        from: Party,
        /// Its receiver.
        to: Party,
        /// The round it names.
        round: u64,
        /// The sequence number it names.
        sequence: u64,
    },

    /// A box did not open: altered, from someone else, or for someone else. One answer for every cause.
    #[error("box from {from} to {to} does not open")]
    BoxOpen {
        /// The expected sender.
        from: Party,
        /// The expected receiver.
        to: Party,
    },

    /// A box was to be opened between parties that have no keys of each other.
    #[error("{from} and {to} have not exchanged keys, so no box can have been sealed")]
    NoKeyExchange {
        /// The expected sender.
        from: Party,
        /// The expected receiver.
        to: Party,
    },

    /// A box was to be sealed or opened as a party of which only the public key is here.
    #[error("the secret box key of {party} lives elsewhere")]
    MissingSecretKey {
        /// The party.
        party: Party,
    },

    /// A box public key is not a point that an honest party publishes.
    #[error("box public key is not in the prime-order group of Curve25519")]
    BoxPublicKey,

    /// No channel joins two placements.
    #[error("no channel between {from} and {to}")]
    MissingChannel {
        /// The placement to send from.
        from: PlacementKind,
        /// The placement to send to.
        to: PlacementKind,
    },

    /// Channels join different placements: members of one do not send to each other.
    #[error("no channel can join {placement} to {placement}")]
    SamePlacement {
        /// The placement given twice.
        placement: PlacementKind,
    },
}
