//! The contents of control objects.

use serde::{Deserialize, Serialize};

use super::{kind::Kind, signed::Body};
use crate::digest::Sha256;

/// A session's keys and terms, from the owner of the secret key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The digest of the consortium that the session is for.
    pub consortium: Sha256,
    /// The [`SessionOffer`](cipherfold::federated::round::SessionOffer): n, a base for encryption,
    /// and the kind of key holding.
    pub offer: Vec<u8>,
    /// The minimum number of clients of every round of the session.
    pub min_clients: u32,
}

/// A declared round, from the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The digest of the session's object.
    pub session: Sha256,
    /// The [`RoundSpec`](cipherfold::federated::round::RoundSpec).
    pub spec: Vec<u8>,
    /// Number of objects of an update.
    pub shards: u32,
    /// The time at which the round closes, in seconds since 1970, by the aggregator's clock.
    pub deadline: u64,
    /// The header of a safetensors file of this round: names, types and shapes of the tensors.
    pub header: Vec<u8>,
}

/// The digest and the length of an object with ciphertexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDigest {
    /// The digest of its bytes.
    pub digest: Sha256,
    /// Its length in bytes.
    pub bytes: u64,
}

impl PartDigest {
    /// The digest and the length of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Sha256::of(bytes), bytes: bytes.len() as u64 }
    }
}

/// A client's commitment to one of its attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The digest of the round's `open` object.
    pub open: Sha256,
    /// The valid attempt.
    pub attempt: u32,
    /// Its objects, one for each shard.
    pub shards: Vec<PartDigest>,
}

/// The end of a round, from the aggregator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The digest of the round's `open` object.
    pub open: Sha256,
    /// The clients in the sum, or the reason why there is none.
    pub outcome: Outcome,
    /// Clients that committed and are not in the sum, in ascending order.
    pub refused: Vec<Refusal>,
}

/// The outcome of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The sum is over these clients, in ascending order.
    Closed(Vec<Participant>),
    /// There is no sum.
    Aborted(AbortReason),
}

/// A client in the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Participant {
    /// The client's number.
    pub client: u32,
    /// The digest of its `commit` object.
    pub commit: Sha256,
}

/// The reason why a round has no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortReason {
    /// Too few clients had committed at the deadline.
    TooFewClients {
        /// The minimum number.
        minimum: u32,
        /// The number of counted clients.
        found: u32,
    },
}

/// A client that committed and was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The client's number.
    pub client: u32,
    /// The reason. It reveals nothing about the contents.
    pub reason: RefusalReason,
}

/// The reason why a client that committed is not in the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The client's identity has not signed the `commit` object for this round.
    Commit,
    /// The client has not announced a key with its identity's signature.
    Announcement,
    /// A shard is not in the store.
    MissingPart {
        /// The shard's number.
        shard: u32,
    },
    /// The bytes of a shard differ from those that the client committed to.
    PartDigest {
        /// The shard's number.
        shard: u32,
    },
    /// A shard cannot be opened, or is not a contribution to this round.
    Part {
        /// The shard's number.
        shard: u32,
    },
}

impl std::fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Commit => f.write_str("its commit is not one that its identity signed for this round"),
            Self::Announcement => f.write_str("it has announced no key that its identity signed"),
            Self::MissingPart { shard } => write!(f, "shard {shard} is missing"),
            Self::PartDigest { shard } => write!(f, "shard {shard} differs from its commit"),
            Self::Part { shard } => write!(f, "shard {shard} is not a contribution to this round"),
        }
    }
}

impl std::fmt::Display for AbortReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::TooFewClients { minimum, found } = self;
        write!(f, "{found} clients could be counted, the minimum is {minimum}")
    }
}

/// The round has all of its sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The digest of the round's `end` object.
    pub end: Sha256,
    /// The sums, one for each shard.
    pub sums: Vec<PartDigest>,
}

/// The server asks the key holder to decrypt the masked sums of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The digest of the round's `done` object.
    pub done: Sha256,
    /// A digest of the secret from which the server draws the masks. With it, the server checks
    /// that it has the right secret.
    pub masks: Sha256,
    /// The masked sums, one for each shard.
    pub masked: Vec<PartDigest>,
}

/// The key holder has decrypted the masked sums of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The digest of the round's `asked` object.
    pub asked: Sha256,
    /// The answers, one for each shard.
    pub answers: Vec<PartDigest>,
}

/// The server has saved the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The digest of the round's `done` object.
    pub done: Sha256,
    /// A digest of the result, keyed with a secret of the server, because the result itself may be
    /// guessable.
    pub result: Sha256,
}

/// A worker's result for a client's commitment: the worker has added the client's shards, or gives
/// the reason why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The digest of the round's `open` object.
    pub open: Sha256,
    /// The digest of the `commit` object, if the worker has added its shards; otherwise the reason.
    pub counted: Result<Sha256, RefusalReason>,
}

/// The digests of the sums of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded {
    /// The digest of the round's `end` object.
    pub end: Sha256,
    /// The sums of its shards, in order.
    pub sums: Vec<PartDigest>,
}

/// Contributions and sums of a round were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The digest of the round's `saved` object, or of its `end` if it has no sum.
    pub last: Sha256,
}

impl Body for Removed {
    const KIND: Kind = Kind::Removed;
}

impl Body for Session {
    const KIND: Kind = Kind::Session;
}

impl Body for Open {
    const KIND: Kind = Kind::Open;
}

impl Body for Commit {
    const KIND: Kind = Kind::Commit;
}

impl Body for End {
    const KIND: Kind = Kind::End;
}

impl Body for Done {
    const KIND: Kind = Kind::Done;
}

impl Body for Asked {
    const KIND: Kind = Kind::Asked;
}

impl Body for Answered {
    const KIND: Kind = Kind::Answered;
}

impl Body for Saved {
    const KIND: Kind = Kind::Saved;
}

impl Body for Checked {
    const KIND: Kind = Kind::Checked;
}

impl Body for Folded {
    const KIND: Kind = Kind::Folded;
}
