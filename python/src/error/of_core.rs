//! Errors of the core. Each variant is listed with all of its fields, so a new field in the core is
//! a compile error here.

use cipherfold::{
    Error, backend,
    federated::{
        self, aggregation,
        channel::{self, EnvelopeMismatch},
        computation, round, tensor,
    },
    packing, paillier, privacy,
};

use super::{
    class::Class,
    facts::{Facts, Value},
};

/// The facts of an error of the core, for Python.
pub(super) fn facts(error: &Error) -> Facts {
    match error {
        Error::Backend(error) => of_backend(error),
        Error::Packing(error) => of_packing(error),
        Error::Paillier(error) => of_paillier(error),
        Error::Privacy(error) => of_privacy(error),
        Error::Federated(error) => of_federated(error),
        other => unlisted("core", other.to_string()),
    }
}

/// The kinds of all errors in these lists.
pub(crate) fn known_kinds() -> Vec<String> {
    let layers: [(&str, &[&str]); 10] = [
        ("backend", BACKEND),
        ("packing", PACKING),
        ("paillier", PAILLIER),
        ("privacy", PRIVACY),
        (FEDERATED, CHANNEL),
        (FEDERATED, TENSOR),
        (FEDERATED, ROUND),
        (FEDERATED, COMPUTATION),
        (FEDERATED, AGGREGATION),
        (FEDERATED, RUN),
    ];
    let kinds =
        layers.into_iter().flat_map(|(layer, kinds)| kinds.iter().map(move |kind| kind_of(layer, kind)));
    kinds.collect()
}

/// Python does not tell the layers of `federated` apart: callers rely on the names of kinds.
const FEDERATED: &str = "federated";

fn kind_of(layer: &str, variant: &str) -> String {
    format!("{layer}.{variant}")
}

/// The facts of a variant that these lists do not have.
fn unlisted(layer: &str, message: String) -> Facts {
    Facts { class: Class::Error, kind: kind_of(layer, "Unlisted"), message, fields: Vec::new() }
}

/// Defines a function from errors of a layer to facts, and lists the names of its variants.
///
/// Variants that wrap another error come first, with their facts.
macro_rules! layer {
    ($function:ident, $names:ident, $layer:ident in $kinds:expr, |$error:ident| {
        $($wrapper:pat => $made:expr;)*
    }, $($class:ident: $($variant:ident $({ $($field:ident),* })?),+;)+) => {
        fn $function($error: &$layer::Error) -> Facts {
            match $error {
                $($wrapper => $made,)*
                $($($layer::Error::$variant $({ $($field),* })? => Facts {
                    class: Class::$class,
                    kind: kind_of($kinds, stringify!($variant)),
                    message: $error.to_string(),
                    fields: vec![$($((stringify!($field), Value::from($field))),*)?],
                },)+)+
                other => unlisted($kinds, other.to_string()),
            }
        }

        const $names: &[&str] = &[$($(stringify!($variant)),+),+];
    };
}

layer!(of_backend, BACKEND, backend in "backend", |error| {},
    BackendError:
        BackendUnavailable { name, reason },
        SecretKeysOnGpu,
        UnknownBackend { name, known };
);

layer!(of_packing, PACKING, packing in "packing", |error| {},
    ConfigError:
        LayoutEmpty { value_bits, max_summands, max_weight },
        WeightedValueTooWide { value_bits, max_weight },
        TotalWeightTooLarge { max_summands, max_weight, total_weight },
        SlotWiderThanPlaintext { capacity_bits, slot_bits, value_bits, max_summands, max_weight },
        IntegerBits { bits },
        IntegerRange { min, max },
        QuantizerBits { bits },
        QuantizerRange { lower, upper },
        QuantizerStep { lower, upper, bits, step },
        QuantizerTooFine { lower, upper, bits },
        QuantizedSumTooFine { lower, upper },
        Modulus { modulus };
    UpdateError:
        ValueOutOfRange { index, min, max },
        NotFinite { index };
    DecryptError:
        QuantizedSumOutOfRange { weight };
);

layer!(of_paillier, PAILLIER, paillier in "paillier", |error| {
        paillier::Error::Backend(error) => of_backend(error);
    },
    ConfigError:
        EvenModulus,
        ModulusLength { expected, found },
        ModulusSmallFactor { factor },
        ModulusPower { exponent },
        ModulusPrime,
        PrimeLength { name, expected, found },
        PrimeOrder,
        EqualPrimes,
        ClosePrimes,
        NotPrime { name },
        PlaintextTooWide { key_bits, found_bytes },
        PlaintextRange { index },
        NumberRange { exponent },
        NumberOverflow,
        ExponentRange { from, to },
        MultiplierBits { index, bits },
        EmptySum,
        TrivialBase;
    KeyMismatch:
        KeyMismatch { expected, found },
        KeySizeMismatch { expected, found };
    MessageError:
        CiphertextRange { index },
        CiphertextZero { index },
        CiphertextNotInvertible,
        BatchLength { expected, found },
        EncodedLength { what, expected, found },
        EncodingVersion { expected, found },
        EncodingKind { expected, found };
    DecryptError:
        Decrypt;
    Error:
        BrokenGenerator { drawn, attempts };
);

layer!(of_privacy, PRIVACY, privacy in "privacy", |error| {},
    ConfigError:
        Parameter { name, value, allowed },
        ModularRange { lower, upper },
        ModularBits { bits },
        ModulusTooSmall { bits, clients, modclip_prob };
    UpdateError:
        VectorLength { expected, found },
        NotFinite { index },
        NormAboveBound { bound };
    TooManyClients:
        MoreClientsThanExpected { expected, found };
    Error:
        BrokenGenerator { drawn, attempts };
);

layer!(of_channel, CHANNEL, channel in FEDERATED, |error| {
        channel::Error::WrongEnvelope { mismatch } => wrong_envelope(error, mismatch);
    },
    ConfigError:
        SameParty { party },
        BoxPublicKey,
        IdentityKey,
        NotInRoster { party },
        RosterDuplicate { what, first, second },
        RosterName { party, limit },
        RosterEncoding,
        MissingChannel { from, to },
        SamePlacement { placement };
    OpenChannel:
        OpenChannel { from, to };
    UpdateError:
        PayloadEncoding { type_name, reason };
    MessageError:
        EnvelopeVersion { expected, found },
        PartyEncoding { role, number },
        WireLength { from, to, minimum, found },
        EncodedLength { what, expected, found },
        EncodingVersion { expected, found },
        PayloadDecoding { type_name, reason };
    BoxError:
        BoxOpen { from, to },
        NoKeyExchange { from, to },
        MissingSecretKey { party },
        NoSessionKeys { session },
        OtherSessionKey { session, party },
        AnnouncementSignature { party };
);

layer!(of_tensor, TENSOR, tensor in FEDERATED, |error| {
        tensor::Error::Packing(error) => of_packing(error);
        tensor::Error::Tensor { tensor, source } => {
            around(of_tensor(source), "Tensor", error.to_string(), vec![("tensor", Value::from(tensor))])
        };
    },
    ConfigError:
        DuplicateName { name },
        StructureDepth { maximum },
        ParameterStructure { tensors, parameters },
        ParameterCount { tensors, found };
    UpdateError:
        TensorCount { expected, found },
        TensorShape { tensor, expected, found },
        StructureMismatch { expected, found },
        Weight;
    DecryptError:
        ZeroTotalWeight,
        NotFiniteSum;
);

layer!(of_round, ROUND, round in FEDERATED, |error| {
        round::Error::Backend(error) => of_backend(error);
        round::Error::Packing(error) => of_packing(error);
        round::Error::Paillier(error) => of_paillier(error);
        round::Error::Channel(error) => of_channel(error);
        round::Error::Tensor(error) => of_tensor(error);
    },
    ConfigError:
        KeyBits { found },
        RoundTooLarge { maximum },
        EncodingType { tensor, dtype },
        KeyHolding { holder },
        Setting { setting, minimum };
    UpdateError:
        SumCount { expected, found },
        WeightExpected { expected },
        PieceCount { expected, found },
        Piece { piece, expected, found },
        WeightTooLarge { max };
    KeyMismatch:
        OtherOffer { expected, found };
    PinMismatch:
        PinMismatch { pinned, found };
    MessageError:
        MessageNumber { number, messages },
        IncompleteUpdate { client, missing },
        NotCommitted { client },
        CountedTwice { client, number },
        MissingPart { number },
        Participants;
    WrongRound:
        OtherRound { expected, found };
    Replayed:
        ConflictingMessage { from, number };
    TooFewClients:
        TooFewClients { minimum, found, absent };
    TooManyClients:
        TooManyClients { limit, found },
        MoreClientsThanExpected { expected, found };
    AlreadyOpened:
        AlreadyOpened { round };
    DecryptError:
        UnusedBits { number },
        TotalWeightOutOfRange { limit },
        SumOutOfRange { tensor, index };
);

layer!(of_computation, COMPUTATION, computation in FEDERATED, |error| {},
    ConfigError:
        NotAnInput { value },
        ForeignInput { name },
        RepeatedInput { name },
        MissingInput { name, placement },
        ConflictingInputs { name, clients, other, other_clients },
        Leaks { leaks };
    UpdateError:
        KeyTooLarge { max },
        Closure { operation, reason };
);

layer!(of_aggregation, AGGREGATION, aggregation in FEDERATED, |error| {},
    ConfigError:
        RoundsAccounted,
        SymmetricBound { bound },
        Estimate { value },
        NormLimit { limit };
);

layer!(of_federated, RUN, federated in FEDERATED, |error| {
        federated::Error::Backend(error) => of_backend(error);
        federated::Error::Packing(error) => of_packing(error);
        federated::Error::Paillier(error) => of_paillier(error);
        federated::Error::Privacy(error) => of_privacy(error);
        federated::Error::Channel(error) => of_channel(error);
        federated::Error::Tensor(error) => of_tensor(error);
        federated::Error::Round(error) => of_round(error);
        federated::Error::Computation(error) => of_computation(error);
        federated::Error::Aggregation(error) => of_aggregation(error);
        federated::Error::RoundFailed { report, source } => {
            let participants = report.participants().collect::<Vec<_>>();
            around(of_federated(source), "RoundFailed", error.to_string(), vec![
                ("report", Value::from(report)),
                ("participants", Value::from(&participants)),
            ])
        };
        federated::Error::Client { client, source } => {
            around(of_federated(source), "Client", error.to_string(), vec![("client", Value::from(client))])
        };
    },
    ConfigError:
        NoClients,
        UnknownClientCount,
        ClientCount { stated, found };
    UpdateError:
        NoUpdate { reason },
        NotAsDeclared { declared },
        Absent { reason },
        DroppedOut;
    DecryptError:
        Contributions { expected, found };
    Cancelled:
        Cancelled;
    Error:
        Entropy { reason },
        ThreadPool { reason };
);

/// The facts of an error that gives the place of another one. It has the class of the other error,
/// and the fields of both.
fn around(source: Facts, variant: &str, message: String, fields: Vec<(&'static str, Value)>) -> Facts {
    let mut facts = Facts { class: source.class, kind: kind_of(FEDERATED, variant), message, fields };
    let inner = match source.fields.iter().find(|(name, _)| *name == "source") {
        Some((_, Value::Error(inner))) => inner.as_ref(),
        _ => &source,
    };
    let fields: Vec<_> = inner.fields.iter().map(|(name, value)| (*name, value.clone())).collect();
    for (name, value) in fields {
        facts.set(name, value);
    }
    facts.set("source", Value::Error(Box::new(source)));
    facts
}

fn wrong_envelope(whole: &channel::Error, mismatch: &EnvelopeMismatch) -> Facts {
    use EnvelopeMismatch::{Context, Receiver, Round, Sender, Sequence, Session};

    let (class, field, expected, found) = match mismatch {
        Session { expected, found } => (Class::WrongRound, "session", expected.into(), found.into()),
        Round { expected, found } => (Class::WrongRound, "round", expected.into(), found.into()),
        Context { expected, found } => (Class::WrongRound, "context", expected.into(), found.into()),
        Sender { expected, found } => (Class::MessageError, "sender", expected.into(), found.into()),
        Receiver { expected, found } => (Class::MessageError, "receiver", expected.into(), found.into()),
        Sequence { expected, found } => (Class::MessageError, "sequence", expected.into(), found.into()),
        _ => (Class::MessageError, "unknown", Value::None, Value::None),
    };
    Facts {
        class,
        kind: kind_of(FEDERATED, "WrongEnvelope"),
        message: whole.to_string(),
        fields: vec![("field", Value::Text(field.to_owned())), ("expected", expected), ("found", found)],
    }
}
