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

/// What every fallible function of this layer returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Everything that can be wrong with a round, a message, a computation or an aggregation.
///
/// Errors of the layers below are wrapped: an error of a backend is always [`Error::Backend`], whether or not a key was in
/// between. [`cipherfold::Error`](crate::Error) wraps this one.
///
/// Fields hold public sizes, names and identifiers, never a value of a client. `Display` escapes control characters in names
/// and in texts of callers and peers.
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
        /// Byte that should be 0 (client), 1 (server), 2 (aggregator) or 3 (key holder).
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

    /// The bytes of a message have a wrong length.
    #[error("an encoded {what} has {expected} bytes, found {found}")]
    EncodedLength {
        /// What was to be read.
        what: &'static str,
        /// Bytes it has.
        expected: usize,
        /// Bytes found.
        found: usize,
    },

    /// A message is not the one its receiver waits for.
    #[error("message {mismatch}")]
    WrongEnvelope {
        /// The field that differs, with both values.
        mismatch: EnvelopeMismatch,
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

    /// A box public key is not a point that an honest party publishes, or not in the one form that it has.
    #[error("box public key is not in the prime-order group of Curve25519, or not reduced")]
    BoxPublicKey,

    /// A channel has no keys of a session: it is another one, or over.
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

    /// A long-term public key is not a point that an honest organisation publishes, or not in the one form that it has.
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

    /// Two organisations of a roster have something in common that they must not.
    #[error("{first} and {second} of a roster have the same {what}")]
    RosterDuplicate {
        /// What they have in common: role, name or key.
        what: &'static str,
        /// The one that comes first.
        first: Party,
        /// The other one.
        second: Party,
    },

    /// The name of an organisation is empty, too long, or has control characters.
    #[error("the name of {party} must have 1 to {limit} bytes and no control characters")]
    RosterName {
        /// The organisation.
        party: Party,
        /// Largest length in bytes.
        limit: usize,
    },

    /// Bytes are not the canonical encoding of a roster.
    #[error("not the canonical encoding of a roster")]
    RosterEncoding,

    /// Others than its two ends could read what a channel carries, where that must not be.
    #[error("with a key holder, the channel between {from} and {to} must be confidential")]
    OpenChannel {
        /// The placement that sends.
        from: PlacementKind,
        /// The placement that receives.
        to: PlacementKind,
    },

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

    /// The system gave no entropy to seed a generator with.
    #[error("the system's random number generator failed: {reason}")]
    Entropy {
        /// What it said.
        reason: String,
    },

    /// The system started no thread, or not all threads of a pool.
    #[error("a thread could not be started: {reason}")]
    ThreadPool {
        /// What the system said.
        reason: String,
    },

    /// A run without clients has no result.
    #[error("a run needs at least one client")]
    NoClients,

    /// The number of clients cannot be told from the iterator, and was not stated.
    #[error("the number of clients is not known beforehand: state it")]
    UnknownClientCount,

    /// The stated number of clients is not the one found.
    #[error("{stated} clients were stated, {found} were found")]
    ClientCount {
        /// Clients stated, or announced by the iterator.
        stated: u64,
        /// Clients found.
        found: u64,
    },

    /// A round has more clients than its layout has room for.
    #[error("{found} clients where at most {limit} have room")]
    TooManyClients {
        /// The largest number, fixed with the layout.
        limit: u32,
        /// Clients asked.
        found: u32,
    },

    /// Too few clients took part. Nothing was decrypted.
    #[error("{found} clients took part, at least {minimum} are needed")]
    TooFewClients {
        /// The minimum number of clients.
        minimum: u32,
        /// Clients that took part.
        found: u32,
        /// Clients that were asked and did not take part, in ascending order. Empty if no client was asked.
        absent: Vec<Absence>,
    },

    /// A round failed after its clients had contributed: when the aggregator ended the sums, on the way to the server, or
    /// when the server opened, decoded or used them.
    ///
    /// The report names the clients in the sums ([`Report::participants`]) and those that are not. The server sees sums
    /// alone, so that nothing tells whose contribution is at fault: it may be any participant's, or the aggregator's.
    ///
    /// The server may ask clients for new contributions in another round. It should not ask parts of the same clients for
    /// the same values: two sums over groups that differ in one client show that client's values.
    #[error("round {} failed after {} clients had contributed: {source}", report.round, report.clients)]
    RoundFailed {
        /// What was done until then.
        report: Box<Report>,
        /// What is wrong.
        source: Box<Error>,
    },

    /// A client was asked and was not heard of.
    #[error("dropped out")]
    DroppedOut,

    /// There is no key of this size.
    #[error("a key of {found} bits: 2048, 3072 and 4096 are possible")]
    KeyBits {
        /// Bits asked for.
        found: u32,
    },

    /// A round has more values than can be counted.
    #[error("a round of more than {maximum} values")]
    RoundTooLarge {
        /// The maximum number of values.
        maximum: u64,
    },

    /// A tensor's elements have a type that its encoding does not take.
    #[error("the encoding of tensor {tensor} does not take elements of type {dtype}")]
    EncodingType {
        /// The tensor's place in its sum, from zero.
        tensor: usize,
        /// The elements' type.
        dtype: DType,
    },

    /// A session's offer does not have the digest that was pinned: its key or its terms were replaced on the way.
    #[error("the session's offer has the digest {found}, pinned is {pinned}")]
    PinMismatch {
        /// The digest that was pinned.
        pinned: Digest,
        /// The digest of the offer at hand.
        found: Digest,
    },

    /// A round was declared for other keys than those at hand.
    #[error("the round was declared for the keys of offer {expected}, found offer {found}")]
    OtherOffer {
        /// The digest that the round names.
        expected: Digest,
        /// The digest of the offer of the keys at hand.
        found: Digest,
    },

    /// Something was made under another specification of the round.
    #[error("made for round {found}, but this is round {expected}")]
    OtherRound {
        /// The digest of the specification at hand.
        expected: Digest,
        /// The digest of the other one.
        found: Digest,
    },

    /// Another sum of the same round was opened already.
    #[error("round {round} was opened already, with another sum")]
    AlreadyOpened {
        /// The round's number in its session.
        round: u64,
    },

    /// A role is to do what is another party's in this round.
    #[error("the secret key of this round is with the {holder}")]
    KeyHolding {
        /// Who holds the secret key.
        holder: Party,
    },

    /// An update has parts for more or fewer sums than the round has.
    #[error("an update for {found} sums where the round has {expected}")]
    SumCount {
        /// Sums of the round.
        expected: usize,
        /// Parts of the update.
        found: usize,
    },

    /// A client has a weight where the sum has none, or none where it has.
    #[error("{}", if *expected { "the sum is weighted, and the update has no weight" } else { "the sum has no weights" })]
    WeightExpected {
        /// Whether the sum has weights.
        expected: bool,
    },

    /// A round has no message with this number, or has it no longer.
    #[error("no message {number} among the {messages} of the round")]
    MessageNumber {
        /// The number asked for.
        number: u64,
        /// Messages of the round.
        messages: u64,
    },

    /// A second message came in the place of another one.
    #[error("{from} has sent two different messages {number}")]
    ConflictingMessage {
        /// Its sender.
        from: Party,
        /// Its number in the round.
        number: u64,
    },

    /// A client is to be counted in, and not all of its messages have arrived.
    #[error("{missing} messages of client {client} are missing")]
    IncompleteUpdate {
        /// The client's number.
        client: u32,
        /// Messages that are missing.
        missing: u64,
    },

    /// An aggregator that adds contributions at once has all of a client in its sums, and the client was not counted in.
    #[error("client {client} is in the sums with all of its messages: commit it before the sums are closed")]
    NotCommitted {
        /// The client's number.
        client: u32,
    },

    /// Two parts of a sum both have a client's message.
    #[error("client {client} is in both parts of sum {number}")]
    CountedTwice {
        /// The client's number.
        client: u32,
        /// The number of the message.
        number: u64,
    },

    /// A sum has no part with this number, or one over other clients than the rest.
    #[error("part {number} of the sum is missing, or is over other clients than the rest")]
    MissingPart {
        /// The number of the message.
        number: u64,
    },

    /// Parts of one sum are over different clients, or over others than those whom the aggregator has counted.
    #[error("the sum, or a part of it, is over other clients than it should be")]
    Participants,

    /// A plaintext has bits where no honest sum has any: a party departed from the protocol.
    #[error("part {number} of the sum has bits that no honest client sets")]
    UnusedBits {
        /// The number of the message.
        number: u64,
    },

    /// Something is wrong with one client's part. Nothing of the run was decrypted.
    #[error("client {client}: {source}")]
    Client {
        /// The client's number, from zero.
        client: u32,
        /// What is wrong.
        source: Box<Error>,
    },

    /// Encoded bytes are of another version.
    #[error("encoding version {found} is not known, this crate reads version {expected}")]
    EncodingVersion {
        /// The version that this crate reads and writes.
        expected: u8,
        /// The version found.
        found: u8,
    },

    /// A client does not take part in a round, and the round cannot do without it.
    ///
    /// That is all that others learn of it. In a simulation the client's own error stands in this place if
    /// [`show_client_errors`](crate::federated::LocalExecutorBuilder::show_client_errors) says so.
    #[error("{reason}")]
    Absent {
        /// Why.
        reason: AbsenceReason,
    },

    /// A client could not make its update.
    #[error("no update: {}", printable(reason))]
    NoUpdate {
        /// What the iterator's error said.
        reason: String,
    },

    /// Something is wrong with one tensor of an update.
    #[error("tensor {tensor}: {source}")]
    Tensor {
        /// The tensor's place in the update, from zero.
        tensor: usize,
        /// What is wrong.
        source: Box<Error>,
    },

    /// A message of a streamed update was given more or fewer pieces than it carries.
    #[error("{found} pieces of an update where the message carries {expected}")]
    PieceCount {
        /// Pieces of the message.
        expected: usize,
        /// Pieces that were given.
        found: usize,
    },

    /// A piece of a streamed update has another element type or length than the message carries.
    #[error("piece {piece} of a message is {found} where {expected} is expected")]
    Piece {
        /// The piece's place in the message, from zero.
        piece: usize,
        /// Element type and length in the round.
        expected: String,
        /// Element type and length here.
        found: String,
    },

    /// An update has more or fewer tensors than the first client's.
    #[error("an update of {found} tensors where {expected} are expected")]
    TensorCount {
        /// Tensors of the first client.
        expected: usize,
        /// Tensors of this one.
        found: usize,
    },

    /// A tensor has another shape or element type than the first client's.
    #[error("tensor {tensor} is {found} where {expected} is expected")]
    TensorShape {
        /// The tensor's place in the update, from zero.
        tensor: usize,
        /// Element type and shape at the first client.
        expected: String,
        /// Element type and shape here.
        found: String,
    },

    /// Two structures differ in names, order or nesting. Values are written as `_` or as their types.
    #[error("a structure {found} where {expected} is expected")]
    StructureMismatch {
        /// The structure that it should be: at the first client, say.
        expected: String,
        /// The structure found.
        found: String,
    },

    /// Two members of one structure have the same name.
    #[error("two members of a structure are called `{}`", printable(name))]
    DuplicateName {
        /// Their name.
        name: String,
    },

    /// Lists of a structure nest too deep.
    #[error("a structure of more than {maximum} levels of lists")]
    StructureDepth {
        /// Levels that a structure can have.
        maximum: usize,
    },

    /// Parameters are in a structure, and it is not that of the tensors. Each parameter is written as `_`.
    #[error("parameters of structure {parameters} for tensors of structure {tensors}")]
    ParameterStructure {
        /// Structure and types of an update.
        tensors: String,
        /// Structure of the parameters.
        parameters: String,
    },

    /// A value's own `Serialize` failed, or is one that needs a self-describing format.
    #[error("a {type_name} cannot be encoded: {}", printable(reason))]
    PayloadEncoding {
        /// Name of its type in Rust.
        type_name: &'static str,
        /// What the format said.
        reason: String,
    },

    /// Bytes are no value of the expected type.
    #[error("no {type_name} in the bytes of a message: {}", printable(reason))]
    PayloadDecoding {
        /// Name of the type in Rust.
        type_name: &'static str,
        /// What the format said.
        reason: String,
    },

    /// A client's value has another structure than the one that was declared before the round. The client's own structure is not
    /// told: it may depend on the client's data.
    #[error("the value is not of the declared structure {declared}")]
    NotAsDeclared {
        /// The declared structure, with element types and shapes.
        declared: String,
    },

    /// There are neither one parameter for all tensors nor one for each.
    #[error("{found} parameters for {tensors} tensors: one for all or one for each is needed")]
    ParameterCount {
        /// Tensors of an update.
        tensors: usize,
        /// Parameters given.
        found: usize,
    },

    /// A client's weight exceeds the declared maximum. The weight itself is not named.
    #[error("the weight is above the declared maximum of {max}")]
    WeightTooLarge {
        /// The declared maximum.
        max: u32,
    },

    /// The total weight is zero, or noise has made it negative, so that there is no mean.
    #[error("the weights of all clients add up to zero, or to less with noise: there is no mean")]
    ZeroTotalWeight,

    /// The weights add up to more than honest clients can reach: a party departed from the protocol.
    #[error("the total weight is above its limit of {limit}")]
    TotalWeightOutOfRange {
        /// Clients times the declared maximum of a weight.
        limit: u64,
    },

    /// Contributions do not add up to what the aggregator announced: a party departed from the protocol.
    #[error("the sum has {found} contributions where {expected} are expected")]
    Contributions {
        /// Clients of the run.
        expected: u64,
        /// Contributions found.
        found: u64,
    },

    /// A sum is out of the range that honest clients can reach, because a party departed from the protocol, or out of the
    /// range of the type of sums. [`Error::RoundFailed`] says who took part.
    #[error("the sum of tensor {tensor} is out of range at {index}")]
    SumOutOfRange {
        /// The tensor's place in the update, from zero.
        tensor: usize,
        /// The element's place in the tensor, row by row.
        index: usize,
    },

    /// The progress callback asked for the run to stop.
    #[error("the run was cancelled")]
    Cancelled,

    /// A setting of the executor is out of range.
    #[error("{setting} must be at least {minimum}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its smallest value.
        minimum: usize,
    },

    // --- computations ---
    /// Something was bound to a value that is no input.
    #[error("{value} is no input, and nothing can be bound to it")]
    NotAnInput {
        /// The value, as its operation and its name.
        value: String,
    },

    /// Something was bound to an input that the computation does not have.
    #[error("input `{}` is not part of the computation", printable(name))]
    ForeignInput {
        /// The input's name.
        name: &'static str,
    },

    /// Two things were bound to one input.
    #[error("input `{}` is bound twice", printable(name))]
    RepeatedInput {
        /// The input's name.
        name: &'static str,
    },

    /// Nothing was bound to an input.
    #[error("input `{}` at {placement} is not bound", printable(name))]
    MissingInput {
        /// The input's name.
        name: &'static str,
        /// Where it lives.
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
        /// Clients that it has items for.
        clients: u64,
        /// The other input's name.
        other: &'static str,
        /// Clients that this one has items for.
        other_clients: u64,
    },

    /// Something that depends on clients' data would be shown other than by a sum over many clients.
    #[error("not secure: {}", leaks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Leaks {
        /// All operations that would do so.
        leaks: Vec<Leak>,
    },

    /// A closure of a computation returned an error.
    #[error("{operation} failed: {}", printable(reason))]
    Closure {
        /// The operation that it belongs to.
        operation: &'static str,
        /// What the closure's error said.
        reason: String,
    },

    /// A weight is negative or not finite. The weight itself is not named.
    #[error("a weight is negative or not a finite number")]
    Weight,

    /// A key is above the declared maximum. The key itself is not named.
    #[error("a key is above the declared maximum of {max}")]
    KeyTooLarge {
        /// The declared maximum.
        max: u32,
    },

    /// A process that has rounds in its account is to account under another relation.
    #[error("rounds under another relation of neighbours are in the account already")]
    RoundsAccounted,

    // --- aggregation ---
    /// More clients took part than a noise, a modulus or a divisor was sized for.
    #[error("{found} clients took part where at most {expected} are expected")]
    MoreClientsThanExpected {
        /// The maximum that was stated.
        expected: u32,
        /// Clients that took part.
        found: u32,
    },

    /// A sum or a mean of floating-point numbers is infinite or not a number.
    #[error("a sum or a mean is no finite number: it overflows, or a client's value is not finite")]
    NotFiniteSum,

    /// Sums between a bound and its negative need a positive one.
    #[error("no sums within ±{bound:?}: the bound must be positive and finite")]
    SymmetricBound {
        /// The bound given.
        bound: f64,
    },

    /// An estimate, or what it is computed with, is infinite or not a number.
    #[error("an estimate of {value:?}: it must be a finite number")]
    Estimate {
        /// The number given.
        value: f64,
    },

    /// A norm, fixed or estimated, that no vector can be limited to.
    #[error("vectors limited to a norm of {limit:?}: it must be a number from 0")]
    NormLimit {
        /// The number found.
        limit: f64,
    },
}

impl Error {
    /// The error of a round that clients contributed to, and that has no result.
    pub(crate) fn of_round(report: Report, source: Self) -> Self {
        Self::RoundFailed { report: Box::new(report), source: Box::new(source) }
    }

    /// The error without what says where it happened: the round, the client and the tensor.
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
            // As text in another error, it stays as it is.
            assert!(Error::NoUpdate { reason: error.to_string() }.to_string().contains(expected));
        }
    }
}
