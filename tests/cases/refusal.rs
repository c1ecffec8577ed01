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

/// TensorFlow Federated's error names, each with the refusals that it stands for: the names of
/// rules and of errors as [`Refusal::kind`] writes them.
const NAMES: [(&str, &[&str]); 12] = [
    ("TypeError", TYPE_ERROR),
    ("ValueError", VALUE_ERROR),
    ("InvalidArgument", INVALID_ARGUMENT),
    ("InvalidArgumentError", INVALID_ARGUMENT),
    ("RuntimeError", &["NoClients"]),
    // All of these are `TypeError`s.
    ("UnsupportedDTypeError", &["NoElement"]),
    ("BoundsDifferentSignaturesError", &["BoundsOfTwoTypes", "Tensor::StructureMismatch"]),
    ("BoundsDifferentTypesError", &["BoundsAtTwoPlaces"]),
    ("BoundsNotPlacedAtServerError", &["ParameterPlaced"]),
    ("StructuredBoundsTypeMismatchError", STRUCTURED_BOUNDS),
    ("ScalarBoundStructValueDTypeError", &["OneBoundForTwoTypes", "BoundsOfOtherType"]),
    ("ScalarBoundSimpleValueDTypeError", &["BoundsOfOtherType"]),
];

/// A wrong type. The compiler detects it, unless structures are known only at run time.
#[rustfmt::skip]
const TYPE_ERROR: &[&str] = &[
    "NotAtClients", "NoElement", "ManyElementTypes", "ParameterPlaced", "ParameterType", "BoundsOfTwoTypes",
    "BoundsOfOtherType", "BoundsAtTwoPlaces", "OneBoundForTwoTypes", "NotAList", "Tensor::ParameterStructure",
    "Tensor::ParameterCount", "Tensor::StructureMismatch",
];

/// A setting or a parameter that has the right type and the wrong value.
#[rustfmt::skip]
const VALUE_ERROR: &[&str] = &[
    "Sign", "NoSuchVariant", "Packing::Modulus", "Packing::IntegerBits", "Packing::IntegerRange",
    "Packing::QuantizerRange", "Packing::QuantizerBits", "Privacy::ModularRange", "Privacy::ModulusTooSmall",
    "Privacy::Parameter", "ClientCount", "Computation::ConflictingInputs", "UnknownClientCount", "NoClients",
    "Round::TooManyClients", "Round::Setting", "Channel::MissingChannel", "Channel::SamePlacement", "Aggregation::SymmetricBound", "Aggregation::Estimate", "Aggregation::NormLimit",
];

/// Data that turns out to be wrong when the computation runs.
#[rustfmt::skip]
const INVALID_ARGUMENT: &[&str] = &[
    "Sign", OUT_OF_RANGE, "Packing::QuantizedSumOutOfRange", "Packing::IntegerRange",
    "Packing::QuantizerRange", "Packing::NotFinite", "Privacy::NotFinite", "Tensor::Weight", "Aggregation::NormLimit",
];

const STRUCTURED_BOUNDS: &[&str] = &[
    "BoundsOfOtherType",
    "Tensor::ParameterStructure",
    "Tensor::ParameterCount",
    "Tensor::StructureMismatch",
];

const OUT_OF_RANGE: &str = "Packing::ValueOutOfRange";

/// Messages in cases, and the refusals that they stand for.
const MESSAGES: [(&str, &[&str]); 2] = [
    ("client value larger than maximum specified for secure sum", &[OUT_OF_RANGE]),
    ("Conflicting cardinalities", &["Computation::ConflictingInputs", "ClientCount"]),
];

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
        let (_, kinds) = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(kinds.contains(&self.kind().as_str()))
    }

    /// Whether this matches a part of an error message of TensorFlow Federated, or `None` if the
    /// message is unknown.
    pub fn says(&self, message: &str) -> Option<bool> {
        let (_, kinds) = MESSAGES.iter().find(|(known, _)| known.contains(message))?;
        Some(kinds.contains(&self.kind().as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_names_and_messages() {
        let out_of_range = packing::Error::ValueOutOfRange { index: 0, min: 0, max: 1 };
        let tensor = tensor::Error::Tensor { tensor: 0, source: Box::new(out_of_range.into()) };
        let refusal = Refusal::Crate(Error::Client { client: 1, source: Box::new(tensor.into()) });
        let named = |name| refusal.is_named(name);
        assert_eq!(["InvalidArgument", "TypeError"].map(named), [Some(true), Some(false)]);
        assert_eq!(named("KeyError"), None);
        assert_eq!(refusal.says("client value larger than maximum"), Some(true));
        assert_eq!(refusal.says("Conflicting cardinalities"), Some(false));
        assert_eq!(refusal.says("something else"), None);

        assert_eq!(Refusal::Compiler(Rule::NoElement).is_named("UnsupportedDTypeError"), Some(true));
        assert_eq!(Refusal::Crate(Error::NoClients).is_named("RuntimeError"), Some(true));
    }
}
