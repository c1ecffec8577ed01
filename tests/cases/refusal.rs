//! The crate's errors, TensorFlow Federated's names for them, and the other reasons why a case has
//! no answer.

use core::fmt::{Debug, Display};

use cipherfold::{
    federated::{Error, aggregation, channel, tensor},
    packing, paillier,
};

/// Why the replay of a case ends without an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The crate refuses, which a case may expect.
    Refused(Refusal),
    /// The crate has no such operation, for this reason.
    NoMeaning(String),
    /// The case is not understood, or the crate contradicts itself.
    Failed(String),
}

/// Stops at a part of a case that is not understood.
pub fn not_understood(part: impl Display) -> Stop {
    Stop::Failed(format!("not understood: {part}"))
}

/// The answer, or the refusal as an answer.
pub fn answered<T>(result: Result<T, Stop>) -> Result<Result<T, Refusal>, Stop> {
    match result {
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        other => other.map(Ok),
    }
}

/// A refusal by the crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The program would not compile.
    #[error("refused by the compiler: {0}")]
    Compiler(#[from] Rule),
    /// The crate returns an error.
    #[error("refused: {0}")]
    Crate(#[from] Error),
}

macro_rules! from {
    ($($layer:ident),+) => {$(
        impl From<$layer::Error> for Refusal {
            fn from(error: $layer::Error) -> Self {
                Self::Crate(error.into())
            }
        }
    )+};
}
from!(packing, paillier, channel, tensor, aggregation);

impl<R: Into<Refusal>> From<R> for Stop {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<&str> for Stop {
    fn from(failure: &str) -> Self {
        Self::Failed(failure.to_owned())
    }
}

/// A property that the compiler checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    #[error("secure operations are for `Value<_, Clients>` (tests/compile_fail/server_value_summed.rs)")]
    NotAtClients,
    #[error("no codec or sum takes elements of this type (see the assertions in tests/cases/ops)")]
    NoElement,
    #[error("`Tensors` have one element type, and so have the values of an aggregation")]
    ManyElementTypes,
    #[error("parameters are public numbers, not values at the clients")]
    ParameterPlaced,
    #[error("a parameter is one number of the type that its constructor names")]
    ParameterType,
    #[error("both bounds are of one type: `QuantizedSum::<T>::new(lower: T, upper: T)`")]
    BoundsOfTwoTypes,
    #[error("bounds are of the values' type: `QuantizedSum<T>: Codec<T>`")]
    BoundsOfOtherType,
    #[error("both bounds are in one value: a `QuantizedSum<T>`, here or at the server")]
    BoundsAtTwoPlaces,
    #[error("bounds are of the values' type, so there are two for two types")]
    OneBoundForTwoTypes,
    #[error("the number has no sign")]
    Sign,
    #[error("there is no such variant of an enum")]
    NoSuchVariant,
    #[error("clients' items come from an iterator")]
    NotAList,
}

/// Error names of TensorFlow Federated, and the refusals that they stand for: rules and errors, as
/// [`Refusal::kind`] writes them.
const NAMES: &[(&str, &str)] = &[
    // A wrong type. The compiler detects it, unless structures are known only at run time.
    ("TypeError", "NotAtClients NoElement ManyElementTypes ParameterPlaced ParameterType BoundsOfTwoTypes"),
    ("TypeError", "BoundsOfOtherType BoundsAtTwoPlaces OneBoundForTwoTypes NotAList"),
    ("TypeError StructuredBoundsTypeMismatchError", "Tensor::ParameterStructure Tensor::ParameterCount"),
    ("TypeError StructuredBoundsTypeMismatchError", "Tensor::StructureMismatch"),
    // A setting or a parameter that has the right type and the wrong value.
    ("ValueError", "NoSuchVariant Packing::Modulus Packing::IntegerBits Packing::QuantizerBits"),
    ("ValueError", "Privacy::ModularRange Privacy::ModulusTooSmall Privacy::Parameter"),
    ("ValueError", "ClientCount Computation::ConflictingInputs UnknownClientCount NoClients"),
    ("ValueError", "Round::TooManyClients Round::Setting Channel::MissingChannel Channel::SamePlacement"),
    ("ValueError", "Aggregation::SymmetricBound Aggregation::Estimate"),
    // Data that turns out to be wrong when the computation runs.
    (
        "InvalidArgument InvalidArgumentError ValueError",
        "Sign Packing::IntegerRange Packing::QuantizerRange Aggregation::NormLimit",
    ),
    ("InvalidArgument InvalidArgumentError", "Packing::ValueOutOfRange Packing::QuantizedSumOutOfRange"),
    ("InvalidArgument InvalidArgumentError", "Packing::NotFinite Privacy::NotFinite Tensor::Weight"),
    ("RuntimeError", "NoClients"),
    // All of these are `TypeError`s.
    ("UnsupportedDTypeError", "NoElement"),
    ("BoundsDifferentSignaturesError", "BoundsOfTwoTypes Tensor::StructureMismatch"),
    ("BoundsDifferentTypesError", "BoundsAtTwoPlaces"),
    ("BoundsNotPlacedAtServerError", "ParameterPlaced"),
    ("StructuredBoundsTypeMismatchError", "BoundsOfOtherType"),
    ("ScalarBoundStructValueDTypeError", "OneBoundForTwoTypes BoundsOfOtherType"),
    ("ScalarBoundSimpleValueDTypeError", "BoundsOfOtherType"),
];

/// Messages in cases, and the refusals that they stand for.
const MESSAGES: [(&str, &str); 2] = [
    ("client value larger than maximum specified for secure sum", OUT_OF_RANGE),
    ("Conflicting cardinalities", "Computation::ConflictingInputs ClientCount"),
];

const OUT_OF_RANGE: &str = "Packing::ValueOutOfRange";

impl Refusal {
    /// The root error, without its round, client and tensor.
    pub fn root(&self) -> Option<Error> {
        if let Self::Crate(error) = self { Some(error.root()) } else { None }
    }

    /// The name of a rule, or of the root error without its fields: `Packing::ValueOutOfRange`.
    fn kind(&self) -> String {
        let debug = match self {
            Self::Compiler(rule) => format!("{rule:?}"),
            Self::Crate(error) => format!("{:?}", error.root()),
        };
        debug.split([' ', ')']).next().unwrap_or_default().replace('(', "::")
    }

    pub fn is_out_of_range(&self) -> bool {
        self.kind() == OUT_OF_RANGE
    }

    /// Whether this matches an error name of TensorFlow Federated, or `None` if the name is
    /// unknown.
    pub fn is_named(&self, name: &str) -> Option<bool> {
        self.is_one_of(NAMES.iter().filter(|(names, _)| names.split(' ').any(|known| known == name)))
    }

    /// Whether this matches a part of an error message of TensorFlow Federated, or `None` if the
    /// message is unknown.
    pub fn says(&self, message: &str) -> Option<bool> {
        self.is_one_of(MESSAGES.iter().filter(|(known, _)| known.contains(message)))
    }

    /// Whether one of these rows has this refusal, or `None` if there are no rows.
    fn is_one_of<'r>(&self, rows: impl Iterator<Item = &'r (&'static str, &'static str)>) -> Option<bool> {
        let kind = self.kind();
        rows.map(|(_, kinds)| kinds.split(' ').any(|known| known == kind)).reduce(|a, b| a || b)
    }
}
