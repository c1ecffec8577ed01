//! The crate's errors, TensorFlow Federated's names for them, and the reasons without an answer.

use core::fmt::Display;

use cipherfold::{
    federated::Error,
    packing::{self, Error as Packing},
    privacy::Error as Privacy,
};

/// Why the replay of a case ends without an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The crate refuses, which a case may expect.
    Refused(Refusal),
    /// The crate has no such thing, for this reason.
    NoMeaning(String),
    /// The case is not understood, or the crate contradicts itself.
    Failed(String),
}

impl<R: Into<Refusal>> From<R> for Stop {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl Stop {
    pub fn not_understood(part: impl Display) -> Self {
        Self::Failed(format!("not understood: {part}"))
    }
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

impl From<packing::Error> for Refusal {
    fn from(error: packing::Error) -> Self {
        Self::Crate(error.into())
    }
}

/// A property that the compiler checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    #[error("secure operations are for `Value<_, Clients>` (tests/compile_fail/server_value_summed.rs)")]
    NotAtClients,
    #[error("no codec or sum takes elements of this type (see the assertions in tests/cases/replay)")]
    NoElement,
    #[error("`Tensors` have one element type, and so has what an aggregation takes")]
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

impl Refusal {
    /// The root error, without its round, client and tensor.
    pub fn root(&self) -> Option<&Error> {
        if let Self::Crate(error) = self { Some(error.root()) } else { None }
    }

    pub fn is_out_of_range(&self) -> bool {
        matches!(self.root(), Some(Error::Packing(Packing::ValueOutOfRange { .. })))
    }

    pub fn is_no_clients(&self) -> bool {
        matches!(self.root(), Some(Error::NoClients))
    }

    fn is_rule(&self, rules: &[Rule]) -> bool {
        matches!(self, Self::Compiler(rule) if rules.contains(rule))
    }

    /// Whether this matches an error name of theirs, or `None` if the name is unknown. All names
    /// are mapped here. The long ones are kinds of `TypeError`.
    pub fn is_named(&self, name: &str) -> Option<bool> {
        // Values that a Rust program cannot have, although its types fit.
        let no_such_value = self.is_rule(&[Rule::Sign, Rule::NoSuchVariant]);
        let is = |kind: fn(&Error) -> bool| self.root().is_some_and(kind);
        Some(match name {
            // The compiler detects a wrong type, unless structures are known only at run time.
            "TypeError" => matches!(self, Self::Compiler(_)) && !no_such_value || is(other_structure),
            "ValueError" => no_such_value || is(wrong_setting),
            "InvalidArgument" | "InvalidArgumentError" => self.is_rule(&[Rule::Sign]) || is(wrong_data),
            "RuntimeError" => self.is_no_clients(),
            "UnsupportedDTypeError" => self.is_rule(&[Rule::NoElement]),
            "BoundsDifferentTypesError" => self.is_rule(&[Rule::BoundsAtTwoPlaces]),
            "BoundsNotPlacedAtServerError" => self.is_rule(&[Rule::ParameterPlaced]),
            "BoundsDifferentSignaturesError" => {
                self.is_rule(&[Rule::BoundsOfTwoTypes])
                    || is(|error| matches!(error, Error::StructureMismatch { .. }))
            }
            "StructuredBoundsTypeMismatchError" => {
                self.is_rule(&[Rule::BoundsOfOtherType]) || is(other_structure)
            }
            "ScalarBoundStructValueDTypeError" => {
                self.is_rule(&[Rule::OneBoundForTwoTypes, Rule::BoundsOfOtherType])
            }
            "ScalarBoundSimpleValueDTypeError" => self.is_rule(&[Rule::BoundsOfOtherType]),
            _ => return None,
        })
    }

    /// Whether this matches a part of an error message of theirs, or `None` if the message is
    /// unknown.
    pub fn says(&self, message: &str) -> Option<bool> {
        let conflict =
            |error: &Error| matches!(error, Error::ConflictingInputs { .. } | Error::ClientCount { .. });
        match message {
            _ if OUT_OF_RANGE.contains(message) => Some(self.is_out_of_range()),
            _ if "Conflicting cardinalities".contains(message) => Some(self.root().is_some_and(conflict)),
            _ => None,
        }
    }
}

/// Parameters of another structure than the values.
fn other_structure(error: &Error) -> bool {
    matches!(error, Error::ParameterStructure { .. } | Error::ParameterCount { .. })
        || matches!(error, Error::StructureMismatch { .. })
}

/// A setting or a parameter that has the right type and the wrong value.
fn wrong_setting(error: &Error) -> bool {
    match error {
        Error::Packing(error) => {
            matches!(error, Packing::Modulus { .. } | Packing::IntegerBits { .. })
                || matches!(error, Packing::IntegerRange { .. } | Packing::QuantizerRange { .. })
                || matches!(error, Packing::QuantizerBits { .. })
        }
        Error::Privacy(error) => {
            matches!(error, Privacy::ModularRange { .. } | Privacy::ModulusTooSmall { .. })
                || matches!(error, Privacy::Parameter { .. })
        }
        Error::ClientCount { .. }
        | Error::ConflictingInputs { .. }
        | Error::UnknownClientCount
        | Error::NoClients
        | Error::TooManyClients { .. }
        | Error::Setting { .. }
        | Error::MissingChannel { .. }
        | Error::SamePlacement { .. }
        | Error::SymmetricBound { .. }
        | Error::Estimate { .. }
        | Error::NormLimit { .. } => true,
        _ => false,
    }
}

/// Data that turns out to be wrong when the computation runs.
fn wrong_data(error: &Error) -> bool {
    match error {
        Error::Packing(error) => {
            matches!(error, Packing::ValueOutOfRange { .. } | Packing::QuantizedSumOutOfRange { .. })
                || matches!(error, Packing::IntegerRange { .. } | Packing::QuantizerRange { .. })
                || matches!(error, Packing::NotFinite { .. })
        }
        Error::Privacy(Privacy::NotFinite { .. }) | Error::Weight | Error::NormLimit { .. } => true,
        _ => false,
    }
}

const OUT_OF_RANGE: &str = "client value larger than maximum specified for secure sum";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let out_of_range = Error::Packing(Packing::ValueOutOfRange { index: 0, min: 0, max: 1 });
        let in_tensor = Error::Tensor { tensor: 0, source: Box::new(out_of_range) };
        let refusal = Refusal::from(Error::Client { client: 1, source: Box::new(in_tensor) });
        let named = ["InvalidArgument", "TypeError", "ValueError", "KeyError"];
        assert_eq!(named.map(|name| refusal.is_named(name)), [Some(true), Some(false), Some(false), None]);
        let said = ["client value larger than maximum", "Conflicting cardinalities", "something else"];
        assert_eq!(said.map(|message| refusal.says(message)), [Some(true), Some(false), None]);
        let named = ["TypeError", "UnsupportedDTypeError", "ValueError"];
        let dtype = Refusal::from(Rule::NoElement);
        assert_eq!(named.map(|name| dtype.is_named(name)), [Some(true), Some(true), Some(false)]);
        assert_eq!(Refusal::from(Rule::Sign).is_named("ValueError"), Some(true));
    }
}
