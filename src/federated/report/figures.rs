//! The figures of a report: time by phase, traffic by channel, operations.

use core::time::Duration;

use serde::{Serialize, Serializer};

use crate::federated::PlacementKind;

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Server or key holder: making the Paillier keys in a session's first run, and the table of
    /// the encryption's base, which the simulated clients share.
    KeyGeneration,
    /// Clients: making the updates, if the caller's iterator does so.
    Input,
    /// Clients: checking, clipping, quantising and packing.
    Packing,
    /// Clients: Paillier encryption.
    Encryption,
    /// All: encoding, sealing, opening and decoding messages.
    Transfer,
    /// Aggregator: multiplying ciphertexts.
    Aggregation,
    /// Server, with a key holder: masking the encrypted sum, and removing the mask.
    Masking,
    /// Server or key holder: Paillier decryption.
    Decryption,
    /// Server: unpacking and decoding the sums.
    Unpacking,
}

impl Phase {
    /// All phases, in the order of the protocol.
    pub const ALL: [Self; 9] = [
        Self::KeyGeneration,
        Self::Input,
        Self::Packing,
        Self::Encryption,
        Self::Transfer,
        Self::Aggregation,
        Self::Masking,
        Self::Decryption,
        Self::Unpacking,
    ];

    /// The phase's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyGeneration => "key generation",
            Self::Input => "input",
            Self::Packing => "packing",
            Self::Encryption => "encryption",
            Self::Transfer => "transfer",
            Self::Aggregation => "aggregation",
            Self::Masking => "masking",
            Self::Decryption => "decryption",
            Self::Unpacking => "unpacking",
        }
    }
}

/// Messages from one placement to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// The sending placement.
    pub from: PlacementKind,
    /// The receiving placement.
    pub to: PlacementKind,
    /// The channel's name.
    pub channel: &'static str,
    /// Number of messages.
    pub messages: u64,
    /// Ciphertexts in them.
    pub ciphertexts: u64,
    /// Bytes of the payloads.
    pub payload_bytes: u64,
    /// Bytes on the wire, with envelopes, nonces and authenticators.
    pub wire_bytes: u64,
}

/// Time that a placement spent on a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PhaseTime {
    /// The phase.
    pub phase: Phase,
    /// The placement that worked.
    pub placement: PlacementKind,
    /// The time, over all parties of the placement.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub time: Duration,
}

/// Number of operations of the cryptosystem in a run, over all parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Operations {
    /// Encrypted ciphertexts, including those of clients that were left out later.
    pub encryptions: u64,
    /// Ciphertexts multiplied into a sum: products modulo n². Counts only clients that took part.
    pub additions: u64,
    /// Ciphertexts decrypted.
    pub decryptions: u64,
}

pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
