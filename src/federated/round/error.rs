//! The errors of this layer.

use crate::{
    backend,
    federated::{
        Digest, Party, channel,
        report::Absence,
        tensor::{self, DType},
    },
    packing, paillier,
};

/// The result of every fallible function of this layer.
pub(super) type Result<T, E = Error> = core::result::Result<T, E>;

/// Every error of a round: of its declaration, of its keys, and of its roles.
///
/// Errors of the layers below are wrapped. Each of them is always the same variant, whichever layer
/// reported it: an error of a backend is always [`Error::Backend`].
/// [`federated::Error`](crate::federated::Error) wraps this type.
///
/// Fields hold public sizes, names and identifiers, never a value of a client.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- layers below ---
    /// A backend cannot run here, or does not exist.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// Values or their ranges do not fit into plaintexts.
    #[error(transparent)]
    Packing(#[from] packing::Error),
    /// Something is wrong with a key, a ciphertext or a plaintext.
    #[error(transparent)]
    Paillier(paillier::Error),
    /// Something is wrong with a message, a channel, a box or an identity.
    #[error(transparent)]
    Channel(#[from] channel::Error),
    /// Something is wrong with a tensor, a structure, a codec or a weight.
    #[error(transparent)]
    Tensor(tensor::Error),

    // --- keys and declaration ---
    /// There is no key of this size.
    #[error("no key size has {found} bits: use 2048, 3072 or 4096")]
    KeyBits {
        /// Number of bits requested.
        found: u32,
    },

    /// A round has more values than the maximum.
    #[error("the round has more than {maximum} values")]
    RoundTooLarge {
        /// The maximum number of values.
        maximum: u64,
    },

    /// An encoding does not support the element type of its tensor.
    #[error("the encoding of tensor {tensor} does not take elements of type {dtype}")]
    EncodingType {
        /// The tensor's index in its sum, from zero.
        tensor: usize,
        /// The elements' type.
        dtype: DType,
    },

    /// A number in a declaration, or in the settings of a program, is below its minimum.
    #[error("{setting} must be at least {minimum}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its minimum.
        minimum: usize,
    },

    /// A session's offer does not have the pinned digest: its key or its terms were replaced in
    /// transit.
    #[error("the session's offer has digest {found}, but {pinned} is pinned")]
    PinMismatch {
        /// The digest that was pinned.
        pinned: Digest,
        /// The digest of the received offer.
        found: Digest,
    },

    /// A round was declared for keys that are not the given ones.
    #[error("the round was declared for the keys of offer {expected}, found offer {found}")]
    OtherOffer {
        /// The digest that the round names.
        expected: Digest,
        /// The digest of the offer of the given keys.
        found: Digest,
    },

    /// An object was made under another specification of the round.
    #[error("made for round {found}, but this is round {expected}")]
    OtherRound {
        /// The digest of the given specification.
        expected: Digest,
        /// The digest of the other one.
        found: Digest,
    },

    /// A party was asked to do the part of another party in this round.
    #[error("the {holder} holds the secret key of this round")]
    KeyHolding {
        /// The party that holds the secret key.
        holder: Party,
    },

    // --- updates of clients ---
    /// An update has parts for more or fewer sums than the round has.
    #[error("the update has parts for {found} sums, the round has {expected} sums")]
    SumCount {
        /// Sums of the round.
        expected: usize,
        /// Parts of the update.
        found: usize,
    },

    /// A client has a weight although the sum has none, or no weight although the sum needs one.
    #[error("{}", if *expected { "the sum is weighted, and the update has no weight" } else { "the sum has no weights" })]
    WeightExpected {
        /// Whether the sum has weights.
        expected: bool,
    },

    /// A client's weight exceeds the declared maximum. The error does not show the weight.
    #[error("the weight is above the declared maximum of {max}")]
    WeightTooLarge {
        /// The declared maximum.
        max: u32,
    },

    /// A message of a streamed update was given a wrong number of pieces.
    #[error("{found} pieces were given, the message has {expected}")]
    PieceCount {
        /// Pieces of the message.
        expected: usize,
        /// Pieces given.
        found: usize,
    },

    /// A piece of a streamed update has another element type or length than the round declares.
    #[error("piece {piece} of a message is {found}, expected {expected}")]
    Piece {
        /// The piece's index in the message, from zero.
        piece: usize,
        /// Element type and length in the round.
        expected: String,
        /// Element type and length of the given piece.
        found: String,
    },

    /// A round has no message with this number, or the message was already used.
    #[error("message {number} is not available, the round has {messages} messages")]
    MessageNumber {
        /// The requested number.
        number: u64,
        /// Number of messages of the round.
        messages: u64,
    },

    /// Two different messages have the same number.
    #[error("{from} has sent two different messages {number}")]
    ConflictingMessage {
        /// Its sender.
        from: Party,
        /// Its number in the round.
        number: u64,
    },

    /// A client cannot be committed, because some of its messages have not arrived.
    #[error("{missing} messages of client {client} are missing")]
    IncompleteUpdate {
        /// The client's number.
        client: u32,
        /// Messages that are missing.
        missing: u64,
    },

    /// An aggregator that adds contributions at once has added all messages of a client, but the
    /// client was not committed.
    #[error("client {client} is in the sums with all of its messages: commit it before the sums are closed")]
    NotCommitted {
        /// The client's number.
        client: u32,
    },

    // --- sums ---
    /// A round has more clients than its layout has room for.
    #[error("{found} clients, but there is room for at most {limit}")]
    TooManyClients {
        /// The maximum number of clients, fixed with the layout.
        limit: u32,
        /// Clients that were asked.
        found: u32,
    },

    /// More clients took part than the maximum for which a noise, a modulus or a divisor was sized.
    #[error("{found} clients took part, at most {expected} are expected")]
    MoreClientsThanExpected {
        /// The maximum that was stated.
        expected: u32,
        /// Clients that took part.
        found: u32,
    },

    /// Too few clients took part. Nothing was decrypted.
    #[error("{found} clients took part, at least {minimum} are needed")]
    TooFewClients {
        /// The minimum number of clients.
        minimum: u32,
        /// Clients that took part.
        found: u32,
        /// Clients that were asked and did not take part, in ascending order. Empty if no client
        /// was asked.
        absent: Vec<Absence>,
    },

    /// Two parts of a sum both have a client's message.
    #[error("client {client} is in both parts of sum {number}")]
    CountedTwice {
        /// The client's number.
        client: u32,
        /// The number of the message.
        number: u64,
    },

    /// A sum has no part with this number, or the part has other clients.
    #[error("part {number} of the sum is missing, or has other clients")]
    MissingPart {
        /// The number of the message.
        number: u64,
    },

    /// Parts of one sum are over different clients, or over other clients than the aggregator has
    /// counted.
    #[error("the clients of the sum, or of a part of it, are not those expected")]
    Participants,

    /// Another sum of the same round was already opened.
    #[error("round {round} was opened already, with another sum")]
    AlreadyOpened {
        /// The round's number in its session.
        round: u64,
    },

    /// A plaintext has bits where no honest sum has any: a party departed from the protocol.
    #[error("part {number} of the sum has bits that no honest client sets")]
    UnusedBits {
        /// The number of the message.
        number: u64,
    },

    /// A sum is outside the range that honest clients can reach, because a party departed from the
    /// protocol, or outside the range of the type of sums.
    #[error("the sum of tensor {tensor} is out of range at {index}")]
    SumOutOfRange {
        /// The tensor's index in the update, from zero.
        tensor: usize,
        /// The element's index in the tensor, row by row.
        index: usize,
    },

    /// The total weight is higher than honest clients can reach: a party departed from the
    /// protocol.
    #[error("the total weight is above its limit of {limit}")]
    TotalWeightOutOfRange {
        /// Clients times the declared maximum of a weight.
        limit: u64,
    },
}

impl From<paillier::Error> for Error {
    fn from(error: paillier::Error) -> Self {
        match error {
            paillier::Error::Backend(error) => Self::Backend(error),
            error => Self::Paillier(error),
        }
    }
}

impl From<tensor::Error> for Error {
    fn from(error: tensor::Error) -> Self {
        match error {
            tensor::Error::Packing(error) => Self::Packing(error),
            error => Self::Tensor(error),
        }
    }
}
