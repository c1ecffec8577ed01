//! The errors of this layer.

use super::{
    channel::EnvelopeMismatch,
    computation::Leak,
    digest::Digest,
    party::{Party, SessionId},
    placement::PlacementKind,
    report::{Absence, AbsenceReason, Report},
    tensor::DType,
};
use crate::{backend, packing, paillier, printable::printable, privacy};

/// The result of every fallible function of this layer.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Every error of a round, a message, a computation or an aggregation.
///
/// Errors of the layers below are wrapped. An error of a backend is always [`Error::Backend`], even
/// if a key reported it. [`cipherfold::Error`](crate::Error) wraps this type.
///
/// Fields hold public sizes, names and identifiers, never a value of a client. `Display` escapes
/// control characters in names and in texts of callers and peers.
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
    /// Something is wrong with a mechanism of differential privacy, or with a vector for it.
    #[error(transparent)]
    Privacy(#[from] privacy::Error),

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

    // --- tensors, codecs and weights ---
    /// One tensor of an update has an error.
    #[error("tensor {tensor}: {source}")]
    Tensor {
        /// The tensor's index in the update, from zero.
        tensor: usize,
        /// The cause.
        source: Box<Error>,
    },

    /// An encoding does not support the element type of its tensor.
    #[error("the encoding of tensor {tensor} does not take elements of type {dtype}")]
    EncodingType {
        /// The tensor's index in its sum, from zero.
        tensor: usize,
        /// The elements' type.
        dtype: DType,
    },

    /// An update has another number of tensors than the first client's.
    #[error("the update has {found} tensors, expected {expected}")]
    TensorCount {
        /// Tensors of the first client.
        expected: usize,
        /// Tensors of this one.
        found: usize,
    },

    /// A tensor has another shape or element type than the first client's.
    #[error("tensor {tensor} is {found}, expected {expected}")]
    TensorShape {
        /// The tensor's index in the update, from zero.
        tensor: usize,
        /// Element type and shape at the first client.
        expected: String,
        /// Element type and shape of this tensor.
        found: String,
    },

    /// Two structures differ in names, order or nesting. Leaves are written as `_` or as their
    /// types.
    #[error("the structure is {found}, expected {expected}")]
    StructureMismatch {
        /// The expected structure, for example that of the first client.
        expected: String,
        /// The structure found.
        found: String,
    },

    /// A client's value does not have the structure that was declared before the round. The error
    /// does not show the client's own structure, because it may depend on the client's data.
    #[error("the value does not have the declared structure {declared}")]
    NotAsDeclared {
        /// The declared structure, with element types and shapes.
        declared: String,
    },

    /// Two members of one structure have the same name.
    #[error("two members of a structure are called `{}`", printable(name))]
    DuplicateName {
        /// The name.
        name: String,
    },

    /// Lists of a structure are nested too deeply.
    #[error("the structure nests lists in more than {maximum} levels")]
    StructureDepth {
        /// The maximum number of levels.
        maximum: usize,
    },

    /// The number of parameters is neither one nor the number of tensors.
    #[error("{found} parameters for {tensors} tensors: one for all or one for each is needed")]
    ParameterCount {
        /// Tensors of an update.
        tensors: usize,
        /// Parameters given.
        found: usize,
    },

    /// The structure of parameters is not that of the tensors. Each parameter is written as `_`.
    #[error("the parameters have structure {parameters}, the tensors have structure {tensors}")]
    ParameterStructure {
        /// Structure and types of an update.
        tensors: String,
        /// Structure of the parameters.
        parameters: String,
    },

    /// A weight is negative or not finite. The error does not show the weight.
    #[error("a weight is negative or not a finite number")]
    Weight,

    /// A client's weight exceeds the declared maximum. The error does not show the weight.
    #[error("the weight is above the declared maximum of {max}")]
    WeightTooLarge {
        /// The declared maximum.
        max: u32,
    },

    /// The total weight is zero, or noise has made it negative. There is no mean.
    #[error("there is no mean: the total weight is zero, or negative with noise")]
    ZeroTotalWeight,

    /// A sum or a mean of floating-point numbers is infinite or not a number.
    #[error("a sum or a mean is not finite: it overflows, or a client's value is not finite")]
    NotFiniteSum,

    // --- rounds: keys and declaration ---
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

    /// A session's offer does not have the pinned digest: its key or its terms were replaced in
    /// transit.
    #[error("the session's offer has digest {found}, but {pinned} is pinned")]
    PinMismatch {
        /// The digest that was pinned.
        pinned: Digest,
        /// The digest of the received offer.
        found: Digest,
    },

    /// A round was declared for other keys than the given ones.
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

    // --- rounds: updates of clients ---
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

    // --- rounds: sums ---
    /// A round has more clients than its layout has room for.
    #[error("{found} clients, but there is room for at most {limit}")]
    TooManyClients {
        /// The maximum number of clients, fixed with the layout.
        limit: u32,
        /// Clients that were asked.
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

    /// A sum has no part with this number, or the part is over other clients than the rest.
    #[error("part {number} of the sum is missing, or is over other clients than the rest")]
    MissingPart {
        /// The number of the message.
        number: u64,
    },

    /// Parts of one sum are over different clients, or over other clients than the aggregator has
    /// counted.
    #[error("the sum, or a part of it, is over other clients than expected")]
    Participants,

    /// The number of contributions is not the one that the aggregator announced: a party departed
    /// from the protocol.
    #[error("the sum has {found} contributions, expected {expected}")]
    Contributions {
        /// Clients of the run.
        expected: u64,
        /// Contributions found.
        found: u64,
    },

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
    /// protocol, or outside the range of the type of sums. [`Error::RoundFailed`] lists the clients
    /// that took part.
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

    // --- runs of the executor ---
    /// The system provided no entropy to seed a generator.
    #[error("the system's random number generator failed: {reason}")]
    Entropy {
        /// The system's error text.
        reason: String,
    },

    /// The system could not start a thread, or not all threads of a pool.
    #[error("a thread could not be started: {reason}")]
    ThreadPool {
        /// The system's error text.
        reason: String,
    },

    /// A setting of the executor is out of range.
    #[error("{setting} must be at least {minimum}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its minimum.
        minimum: usize,
    },

    /// A run has no clients, and so no result.
    #[error("a run needs at least one client")]
    NoClients,

    /// The iterator does not tell the number of clients, and it was not stated.
    #[error("the iterator does not tell the number of clients: state it")]
    UnknownClientCount,

    /// The number of clients differs from the stated one.
    #[error("{stated} clients were stated, {found} were found")]
    ClientCount {
        /// Clients stated, or announced by the iterator.
        stated: u64,
        /// Clients found.
        found: u64,
    },

    /// A client could not make its update.
    #[error("no update: {}", printable(reason))]
    NoUpdate {
        /// The text of the iterator's error.
        reason: String,
    },

    /// A client was asked and did not answer.
    #[error("dropped out")]
    DroppedOut,

    /// A required client does not take part in a round.
    ///
    /// Other parties learn only this reason. A simulation reports the client's own error instead if
    /// [`show_client_errors`](crate::federated::LocalExecutorBuilder::show_client_errors) is set.
    #[error("{reason}")]
    Absent {
        /// The reason.
        reason: AbsenceReason,
    },

    /// One client's part has an error. Nothing of the run was decrypted.
    #[error("client {client}: {source}")]
    Client {
        /// The client's number, from zero.
        client: u32,
        /// The cause.
        source: Box<Error>,
    },

    /// A round failed after its clients had contributed: when the aggregator closed the sums,
    /// during the transfer to the server, or when the server opened, decoded or used them.
    ///
    /// The report lists the clients in the sums ([`Report::participants`]) and the absent ones. The
    /// server sees only sums, so it cannot tell whose contribution is at fault: it may be that of
    /// any participant, or of the aggregator.
    ///
    /// The server may ask clients for new contributions in another round. It should not ask a
    /// subset of the same clients for the same values: two sums over groups that differ in one
    /// client show that client's values.
    #[error("round {} failed after {} clients had contributed: {source}", report.round, report.clients)]
    RoundFailed {
        /// The report up to the failure.
        report: Box<Report>,
        /// The cause.
        source: Box<Error>,
    },

    /// The progress callback asked for the run to stop.
    #[error("the run was cancelled")]
    Cancelled,

    // --- computations ---
    /// A value was bound that is not an input.
    #[error("{value} is not an input and cannot be bound")]
    NotAnInput {
        /// The value, written as its operation and name.
        value: String,
    },

    /// An input was bound that the computation does not have.
    #[error("input `{}` is not part of the computation", printable(name))]
    ForeignInput {
        /// The input's name.
        name: &'static str,
    },

    /// An input was bound twice.
    #[error("input `{}` is bound twice", printable(name))]
    RepeatedInput {
        /// The input's name.
        name: &'static str,
    },

    /// An input was not bound.
    #[error("input `{}` at {placement} is not bound", printable(name))]
    MissingInput {
        /// The input's name.
        name: &'static str,
        /// The placement of the input.
        placement: PlacementKind,
    },

    /// Two inputs have different numbers of clients.
    #[error(
        "inputs disagree on the number of clients: `{}` has {clients}, `{}` has {other_clients}",
        printable(name),
        printable(other)
    )]
    ConflictingInputs {
        /// One input's name.
        name: &'static str,
        /// Number of clients for which it has items.
        clients: u64,
        /// The other input's name.
        other: &'static str,
        /// Number of clients for which the other input has items.
        other_clients: u64,
    },

    /// A computation would show clients' data in another form than a sum over many clients.
    #[error("not secure: {}", leaks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Leaks {
        /// All operations that would do so.
        leaks: Vec<Leak>,
    },

    /// A closure of a computation returned an error.
    #[error("{operation} failed: {}", printable(reason))]
    Closure {
        /// The operation of the closure.
        operation: &'static str,
        /// The text of the closure's error.
        reason: String,
    },

    /// A key is above the declared maximum. The error does not show the key.
    #[error("a key is above the declared maximum of {max}")]
    KeyTooLarge {
        /// The declared maximum.
        max: u32,
    },

    // --- aggregations ---
    /// The neighbour relation cannot be changed, because the account already has rounds.
    #[error("the account already has rounds under another neighbour relation")]
    RoundsAccounted,

    /// More clients took part than the maximum for which a noise, a modulus or a divisor was sized.
    #[error("{found} clients took part, at most {expected} are expected")]
    MoreClientsThanExpected {
        /// The maximum that was stated.
        expected: u32,
        /// Clients that took part.
        found: u32,
    },

    /// Bounds of sums must be positive.
    #[error("sums cannot be bounded by ±{bound:?}: the bound must be positive and finite")]
    SymmetricBound {
        /// The bound given.
        bound: f64,
    },

    /// An estimate, or an input of its computation, is infinite or not a number.
    #[error("the estimate is {value:?}: it must be finite")]
    Estimate {
        /// The number given.
        value: f64,
    },

    /// A norm, fixed or estimated, to which no vector can be limited.
    #[error("the norm limit is {limit:?}: it must be zero or positive")]
    NormLimit {
        /// The number found.
        limit: f64,
    },
}

impl Error {
    /// The error of a round that fails after clients have contributed to it.
    pub(crate) fn of_round(report: Report, source: Self) -> Self {
        Self::RoundFailed { report: Box::new(report), source: Box::new(source) }
    }

    /// The innermost error, without the round, the client and the tensor in which it occurred.
    ///
    /// ```
    /// use cipherfold::{federated::Error, packing};
    ///
    /// let root = Error::Packing(packing::Error::NotFinite { index: 3 });
    /// let source = Box::new(Error::Tensor { tensor: 0, source: Box::new(root.clone()) });
    /// assert_eq!(Error::Client { client: 7, source }.root(), &root);
    /// ```
    pub fn root(&self) -> &Self {
        let mut error = self;
        while let Self::RoundFailed { source, .. }
        | Self::Client { source, .. }
        | Self::Tensor { source, .. } = error
        {
            error = source;
        }
        error
    }
}

impl From<paillier::Error> for Error {
    fn from(error: paillier::Error) -> Self {
        match error {
            paillier::Error::Backend(error) => Self::Backend(error),
            error => Self::Paillier(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_callers_and_peers_are_displayed_without_control_characters() {
        let text = || "x\u{1b}[2J\r\nerror: y".to_owned();
        let expected = r"x\u{1b}[2J\r\nerror: y";
        for error in [
            Error::NoUpdate { reason: text() },
            Error::Closure { operation: "try_map", reason: text() },
            Error::PayloadEncoding { type_name: "u8", reason: text() },
            Error::PayloadDecoding { type_name: "u8", reason: text() },
            Error::DuplicateName { name: text() },
            Error::ForeignInput { name: "x\u{1b}[2J\r\nerror: y" },
        ] {
            let wrapped = Error::Client { client: 1, source: Box::new(error.clone()) };
            assert!(wrapped.to_string().contains(expected), "{wrapped}");
            // The text stays unchanged inside another error.
            assert!(Error::NoUpdate { reason: error.to_string() }.to_string().contains(expected));
        }
    }
}
