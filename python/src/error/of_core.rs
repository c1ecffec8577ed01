//! Errors of the core. Each variant is listed with all of its fields, so a new field in the core is
//! a compile error here.

use cipherfold::{
    Error, backend,
    federated::{self, channel::EnvelopeMismatch},
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
    let layers: [(&str, &[&str]); 5] = [
        ("backend", BACKEND),
        ("packing", PACKING),
        ("paillier", PAILLIER),
        ("privacy", PRIVACY),
        ("federated", FEDERATED),
    ];
    let kinds =
        layers.into_iter().flat_map(|(layer, kinds)| kinds.iter().map(move |kind| kind_of(layer, kind)));
    kinds.collect()
}

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
    ($function:ident, $names:ident, $layer:ident, |$error:ident| {
        $($wrapper:pat => $made:expr;)*
    }, $($class:ident: $($variant:ident $({ $($field:ident),* })?),+;)+) => {
        fn $function($error: &$layer::Error) -> Facts {
            match $error {
                $($wrapper => $made,)*
                $($($layer::Error::$variant $({ $($field),* })? => Facts {
                    class: Class::$class,
                    kind: kind_of(stringify!($layer), stringify!($variant)),
                    message: $error.to_string(),
                    fields: vec![$($((stringify!($field), Value::from($field))),*)?],
                },)+)+
                other => unlisted(stringify!($layer), other.to_string()),
            }
        }

        const $names: &[&str] = &[$($(stringify!($variant)),+),+];
    };
}

layer!(of_backend, BACKEND, backend, |error| {},
    BackendError:
        BackendUnavailable { name, reason },
        SecretKeysOnGpu,
        UnknownBackend { name, known };
);

layer!(of_packing, PACKING, packing, |error| {},
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

layer!(of_paillier, PAILLIER, paillier, |error| {
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

layer!(of_privacy, PRIVACY, privacy, |error| {},
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

layer!(of_federated, FEDERATED, federated, |error| {
        federated::Error::Backend(error) => of_backend(error);
        federated::Error::Packing(error) => of_packing(error);
        federated::Error::Paillier(error) => of_paillier(error);
        federated::Error::Privacy(error) => of_privacy(error);
        federated::Error::WrongEnvelope { mismatch } => wrong_envelope(error, mismatch);
        federated::Error::RoundFailed { report, source } => {
            let participants = report.participants().collect::<Vec<_>>();
            around(source, "RoundFailed", error, vec![
                ("report", Value::from(report)),
                ("participants", Value::from(&participants)),
            ])
        };
        federated::Error::Client { client, source } => {
            around(source, "Client", error, vec![("client", Value::from(client))])
        };
        federated::Error::Tensor { tensor, source } => {
            around(source, "Tensor", error, vec![("tensor", Value::from(tensor))])
        };
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
        SamePlacement { placement },
        NoClients,
        UnknownClientCount,
        ClientCount { stated, found },
        KeyBits { found },
        RoundTooLarge { maximum },
        EncodingType { tensor, dtype },
        KeyHolding { holder },
        DuplicateName { name },
        StructureDepth { maximum },
        ParameterStructure { tensors, parameters },
        ParameterCount { tensors, found },
        Setting { setting, minimum },
        NotAnInput { value },
        ForeignInput { name },
        RepeatedInput { name },
        MissingInput { name, placement },
        ConflictingInputs { name, clients, other, other_clients },
        Leaks { leaks },
        RoundsAccounted,
        SymmetricBound { bound },
        Estimate { value },
        NormLimit { limit };
    OpenChannel:
        OpenChannel { from, to };
    UpdateError:
        SumCount { expected, found },
        WeightExpected { expected },
        NoUpdate { reason },
        PieceCount { expected, found },
        Piece { piece, expected, found },
        TensorCount { expected, found },
        TensorShape { tensor, expected, found },
        StructureMismatch { expected, found },
        PayloadEncoding { type_name, reason },
        NotAsDeclared { declared },
        WeightTooLarge { max },
        Weight,
        KeyTooLarge { max },
        Absent { reason },
        DroppedOut,
        Closure { operation, reason };
    KeyMismatch:
        OtherOffer { expected, found };
    PinMismatch:
        PinMismatch { pinned, found };
    MessageError:
        EnvelopeVersion { expected, found },
        PartyEncoding { role, number },
        WireLength { from, to, minimum, found },
        EncodedLength { what, expected, found },
        MessageNumber { number, messages },
        IncompleteUpdate { client, missing },
        NotCommitted { client },
        CountedTwice { client, number },
        MissingPart { number },
        Participants,
        EncodingVersion { expected, found },
        PayloadDecoding { type_name, reason };
    WrongRound:
        OtherRound { expected, found };
    Replayed:
        ConflictingMessage { from, number };
    BoxError:
        BoxOpen { from, to },
        NoKeyExchange { from, to },
        MissingSecretKey { party },
        NoSessionKeys { session },
        OtherSessionKey { session, party },
        AnnouncementSignature { party };
    TooFewClients:
        TooFewClients { minimum, found, absent };
    TooManyClients:
        TooManyClients { limit, found },
        MoreClientsThanExpected { expected, found };
    AlreadyOpened:
        AlreadyOpened { round };
    DecryptError:
        UnusedBits { number },
        ZeroTotalWeight,
        TotalWeightOutOfRange { limit },
        Contributions { expected, found },
        SumOutOfRange { tensor, index },
        NotFiniteSum;
    Cancelled:
        Cancelled;
    Error:
        Entropy { reason },
        ThreadPool { reason };
);

/// The facts of an error that gives the place of another one. It has the class of the other error,
/// and the fields of both.
fn around(
    source: &federated::Error,
    variant: &str,
    whole: &federated::Error,
    fields: Vec<(&'static str, Value)>,
) -> Facts {
    let source = of_federated(source);
    let mut facts = Facts {
        class: source.class,
        kind: kind_of("federated", variant),
        message: whole.to_string(),
        fields,
    };
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

fn wrong_envelope(whole: &federated::Error, mismatch: &EnvelopeMismatch) -> Facts {
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
        kind: kind_of("federated", "WrongEnvelope"),
        message: whole.to_string(),
        fields: vec![("field", Value::Text(field.to_owned())), ("expected", expected), ("found", found)],
    }
}
