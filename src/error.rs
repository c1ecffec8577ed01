//! The crate's error type: facts in public fields, never a secret.

use std::borrow::Cow;

use crate::{
    federated::{Absence, DType, Digest, EnvelopeMismatch, Leak, Party, PlacementKind, Report},
    paillier::Fingerprint,
    printable::printable,
};

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Everything that can be wrong with what a caller or a peer handed in.
///
/// Fields hold public sizes, names and identifiers. Broken invariants of the crate itself panic instead. `Display` escapes
/// control characters in names and in texts of callers and peers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- keys and ciphertexts ---
    /// A modulus, or a prime of one, is even.
    #[error("the modulus is even")]
    EvenModulus,
    /// A modulus does not have the key's length.
    #[error("the modulus has {found} bits, this key needs exactly {expected}")]
    ModulusLength {
        /// Bits of a modulus of this key size.
        expected: u32,
        /// Bits of the one given.
        found: u32,
    },
    /// A prime does not have half the key's length.
    #[error("{name} has {found} bits, this key needs exactly {expected}")]
    PrimeLength {
        /// Which one: p or q.
        name: &'static str,
        /// Bits of a prime of this key size.
        expected: u32,
        /// Bits of the one given.
        found: u32,
    },
    /// An encoded secret key has its larger prime first. Each key has one encoding.
    #[error("an encoded secret key has its smaller prime first")]
    PrimeOrder,
    /// p = q.
    #[error("the primes p and q are equal")]
    EqualPrimes,
    /// p and q are less than 2^(bits/2 − 100) apart, so that n is easily factored.
    #[error("the primes p and q are too close to each other")]
    ClosePrimes,
    /// p or q is no prime.
    #[error("{name} is not prime")]
    NotPrime {
        /// Which one: p or q.
        name: &'static str,
    },
    /// Something belongs to another key.
    #[error("made for key {found}, but this is key {expected}")]
    KeyMismatch {
        /// The key at hand.
        expected: Fingerprint,
        /// The key that the ciphertext or randomizer names.
        found: Fingerprint,
    },
    /// A ciphertext is not below n².
    #[error("ciphertext {index} is out of range: not below n²")]
    CiphertextRange {
        /// Its place in the batch.
        index: usize,
    },
    /// A ciphertext is zero modulo n, which no encryption is.
    #[error("ciphertext {index} is zero modulo n")]
    CiphertextZero {
        /// Its place in the batch.
        index: usize,
    },
    /// A ciphertext has no inverse modulo n, and so no negative.
    #[error("a ciphertext has no inverse modulo n")]
    CiphertextNotInvertible,
    /// A plaintext is wider than the modulus.
    #[error("a plaintext of {found_bytes} bytes does not fit a key of {key_bits} bits")]
    PlaintextTooWide {
        /// Bits of the modulus.
        key_bits: u32,
        /// Bytes given.
        found_bytes: usize,
    },
    /// A plaintext is not below n.
    #[error("plaintext {index} is out of range: not below n")]
    PlaintextRange {
        /// Its place in the batch.
        index: usize,
    },
    /// A number is not finite, or has no room at its exponent: in the key, or in a float.
    #[error("the number is not finite, or has no room at exponent {exponent}")]
    NumberRange {
        /// The power of 16.
        exponent: i32,
    },
    /// A mantissa is neither positive nor negative: a sum or a product had no room in the key.
    #[error("a number has overflowed: its mantissa is beyond a third of the modulus either way")]
    NumberOverflow,
    /// Exponents are too far apart, or add up to one that is out of range.
    #[error("a number of exponent {from} cannot take exponent {to}")]
    ExponentRange {
        /// The exponent that the number has.
        from: i32,
        /// The exponent that was asked for, or that was to be added.
        to: i32,
    },
    /// A multiplier is longer than stated.
    #[error("multiplier {index} has more than the stated {bits} bits")]
    MultiplierBits {
        /// Its place in the batch.
        index: usize,
        /// The stated length.
        bits: u32,
    },
    /// Batches that belong together have different lengths.
    #[error("a batch has {found} items where {expected} are expected")]
    BatchLength {
        /// Items expected.
        expected: usize,
        /// Items found.
        found: usize,
    },
    /// A sum over no ciphertexts.
    #[error("a sum needs at least one ciphertext")]
    EmptySum,
    /// The base of an encryptor is 1 or −1 modulo n, which hides nothing.
    #[error("the encryptor's base is 1 or -1 modulo n, which hides nothing")]
    TrivialBase,
    /// A generator of random numbers is broken: it gave nothing usable in more attempts than a working one ever needs.
    #[error(
        "the random number generator is broken: it gave no {drawn} in {attempts} attempts (a working one fails with a \
         probability below 2^-128)"
    )]
    BrokenGenerator {
        /// The value that was to be drawn.
        drawn: &'static str,
        /// Attempts made.
        attempts: u32,
    },
    /// A ciphertext cannot be decrypted. One answer for every cause: the cause is an oracle.
    #[error("decryption failed")]
    Decrypt,
    /// Encoded bytes have a wrong length.
    #[error("an encoded {what} has {expected} bytes, found {found}")]
    EncodedLength {
        /// What was to be read.
        what: &'static str,
        /// Bytes it has.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Encoded bytes are of another version.
    #[error("encoding version {found} is not known, this crate reads version {expected}")]
    EncodingVersion {
        /// The version that this crate reads and writes.
        expected: u8,
        /// The version found.
        found: u8,
    },
    /// Encoded bytes are of another kind, say a public key where a ciphertext is expected.
    #[error("an encoded {expected} is expected, found kind {found}")]
    EncodingKind {
        /// What was to be read.
        expected: &'static str,
        /// The kind byte found.
        found: u8,
    },
    /// Encoded bytes belong to a key of another size.
    #[error("encoded for a key of {found} bits, expected {expected}")]
    KeySizeMismatch {
        /// Bits of the key at hand.
        expected: u32,
        /// Bits that the encoding names.
        found: u32,
    },
    /// A backend cannot run on this machine.
    #[error("backend `{name}` cannot run here: {reason}")]
    BackendUnavailable {
        /// Its name.
        name: &'static str,
        /// What is missing.
        reason: Cow<'static, str>,
    },
    /// The environment asks for secret keys on a GPU, and the program has not agreed to that.
    #[error(
        "CIPHERFOLD_BACKEND=gpu-with-secret-keys would move secret keys to a GPU: the program must agree, by \
         `cipherfold::backend::allow_secret_keys_on_gpu()` or by `Choice::GpuWithSecretKeys`"
    )]
    SecretKeysOnGpu,
    /// No backend has this name.
    #[error("no backend is called `{name}`; known are {known:?}")]
    UnknownBackend {
        /// The name asked for.
        name: String,
        /// Names that exist.
        known: &'static [&'static str],
    },

    // --- files ---
    /// Something is wrong with a file of an update.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Files(Box<crate::files::Error>),

    // --- packing ---
    /// A layout needs at least one bit a value, one summand and a weight of one.
    #[error(
        "a packing layout cannot be empty: {value_bits} bits a value, {max_summands} summands, weights up to {max_weight}"
    )]
    LayoutEmpty {
        /// Bits of one encoded value.
        value_bits: u32,
        /// Largest number of summands.
        max_summands: u32,
        /// Largest weight of one summand.
        max_weight: u32,
    },
    /// One client's slot, its weight times its value, must fit one 64-bit word.
    #[error("a value of {value_bits} bits times a weight of up to {max_weight} does not fit 64 bits")]
    WeightedValueTooWide {
        /// Bits of one encoded value.
        value_bits: u32,
        /// Largest weight of one summand.
        max_weight: u32,
    },
    /// The total weight of a layout is at most 2⁶³, so that every sum fits an `i128`.
    #[error(
        "{max_summands} summands with weights up to {max_weight} have a total weight of {total_weight}: at most 2^63"
    )]
    TotalWeightTooLarge {
        /// Largest number of summands.
        max_summands: u32,
        /// Largest weight of one summand.
        max_weight: u32,
        /// `max_summands * max_weight`.
        total_weight: u64,
    },
    /// Not even one slot fits a plaintext under this key.
    #[error(
        "a slot of {slot_bits} bits ({value_bits} bits a value, {max_summands} summands, weights up to {max_weight}) \
         is wider than a plaintext of {capacity_bits} bits"
    )]
    SlotWiderThanPlaintext {
        /// Bits that a plaintext can hold whatever they are.
        capacity_bits: u32,
        /// Bits that the sum in one slot needs.
        slot_bits: u32,
        /// Bits of one encoded value.
        value_bits: u32,
        /// Largest number of summands.
        max_summands: u32,
        /// Largest weight of one summand.
        max_weight: u32,
    },
    /// Integers are stated with 1 to 64 bits.
    #[error("an integer range of {bits} bits: 1 to 64 are possible")]
    IntegerBits {
        /// The bits asked for.
        bits: u32,
    },
    /// An integer range is empty, spans more than 64 bits, or reaches outside `i64::MIN..=u64::MAX`.
    #[error(
        "no integer range [{min}, {max}]: it must not be empty, span more than 64 bits, or leave i64 and u64"
    )]
    IntegerRange {
        /// Lower end, included.
        min: i128,
        /// Upper end, included.
        max: i128,
    },
    /// A value to be encoded lies outside the stated range. The value itself is secret and is not named.
    #[error("the value at index {index} lies outside [{min}, {max}]")]
    ValueOutOfRange {
        /// Where the first such value is.
        index: usize,
        /// Lower end of the range, included.
        min: i128,
        /// Upper end of the range, included.
        max: i128,
    },
    /// A quantizer has 2 to 48 bits.
    #[error("a quantizer of {bits} bits: 2 to 48 are possible")]
    QuantizerBits {
        /// The bits asked for.
        bits: u32,
    },
    /// The bounds of a quantizer must be in order, finite, and small enough for finite distances and sums.
    #[error(
        "no quantizer for [{lower:?}, {upper:?}]: bounds must be in order, finite, and small enough for finite results"
    )]
    QuantizerRange {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// The step of a quantizer must be a normal `f64`, and so must its reciprocal.
    #[error(
        "{bits} bits over [{lower:?}, {upper:?}] give a grid of step {step:?}, which leaves the normal numbers of f64"
    )]
    QuantizerStep {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
        /// Bits of one encoded value.
        bits: u32,
        /// Distance of neighbouring grid points.
        step: f64,
    },
    /// The range lies so far from zero, counted in steps, that `f64` no longer resolves the steps well.
    #[error(
        "{bits} bits over [{lower:?}, {upper:?}]: an end lies more than 2^48 steps from zero; use fewer bits"
    )]
    QuantizerTooFine {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
        /// Bits of one encoded value.
        bits: u32,
    },
    /// The bounds of a quantised sum lie so far from zero, counted in its steps, that an integer of 64 bits would saturate.
    #[error(
        "[{lower:?}, {upper:?}] in 2^32 - 1 steps: a bound lies more than 2^62 of them from zero; use a wider range"
    )]
    QuantizedSumTooFine {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// A quantised sum is beyond what its clients can reach, because a party departed from the protocol, or beyond the
    /// type of sums, because the bounds are too large for this total weight.
    #[error("the quantised sum is out of range for a total weight of {weight}")]
    QuantizedSumOutOfRange {
        /// Total weight of the clients: their number, unless they have weights.
        weight: u64,
    },
    /// A modulus of zero, or one whose residues do not fit an `i64`.
    #[error("sums modulo {modulus}: 1 to 2^63 are possible")]
    Modulus {
        /// The modulus asked for.
        modulus: u64,
    },
    /// A value to be quantised is infinite or not a number.
    #[error("the value at index {index} is not a finite number")]
    NotFinite {
        /// Where the first such value is.
        index: usize,
    },
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

    /// A session's offer is not the one that was pinned: somebody has substituted a key.
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

    /// Something that depends on clients' data would leave the clients in the clear.
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

    // --- differential privacy ---
    /// A parameter of a privacy mechanism is not one of the numbers that it may be.
    #[error("{name} is {value:?}: it must be {allowed}")]
    PrivacyParameter {
        /// Which parameter.
        name: &'static str,
        /// The number given.
        value: f64,
        /// The numbers that it may be, in words.
        allowed: &'static str,
    },

    /// A process that has rounds in its account is to account under another relation.
    #[error("rounds under another relation of neighbours are in the account already")]
    RoundsAccounted,

    /// A modular range is empty, or wider than `i64::MAX`.
    #[error("no modular range [{lower}, {upper}): it must not be empty or wider than i64::MAX")]
    ModularRange {
        /// Lower end, included.
        lower: i64,
        /// Upper end, not included.
        upper: i64,
    },

    /// A signed modular range is stated with 1 to 62 bits, as its width must fit an `i64`.
    #[error("a modular range of {bits} bits: 1 to 62 are possible")]
    ModularBits {
        /// The bits asked for.
        bits: u32,
    },

    /// A modulus cannot hold the sum of all clients, not even if they added nothing but their rounding errors.
    #[error("{bits} bits are too few for {clients} clients and a wrapping probability of {modclip_prob:?}")]
    ModulusTooSmall {
        /// Bits of the modulus.
        bits: u32,
        /// Expected number of clients.
        clients: u32,
        /// Target probability that a value of the sum wraps.
        modclip_prob: f64,
    },

    /// A vector is longer than was stated. Its length is secret and is not named.
    #[error("a vector has an L2 norm above its stated bound of {bound:?}")]
    NormAboveBound {
        /// The stated bound.
        bound: f64,
    },

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
    /// The error without what says where it happened: the round, the client and the tensor.
    ///
    /// ```
    /// use cipherfold::Error;
    ///
    /// let source = Box::new(Error::NotFinite { index: 3 });
    /// let source = Box::new(Error::Tensor { tensor: 0, source });
    /// assert_eq!(Error::Client { client: 7, source }.root(), &Error::NotFinite { index: 3 });
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
