//! The crate's errors, and TensorFlow Federated's names for them.

use core::fmt::{self, Display};

use cipherfold::{federated::Error, packing, privacy};

/// The reason why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The program would not compile.
    Compiler(Rule),
    /// The crate returns an error.
    Crate(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Crate(error)
    }
}

impl From<packing::Error> for Refusal {
    fn from(error: packing::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<Rule> for Refusal {
    fn from(rule: Rule) -> Self {
        Self::Compiler(rule)
    }
}

macro_rules! rules {
    ($($(#[$meta:meta])* $rule:ident: $why:literal),* $(,)?) => {
        /// A property that the compiler checks, with the underlying fact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Rule {
            $($(#[$meta])* $rule),*
        }

        impl Display for Rule {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$rule => $why),*
                })
            }
        }
    };
}

rules! {
    NotAtClients: "secure operations and aggregations are for `Value<_, Clients>` (tests/compile_fail/server_value_summed.rs)",
    NoElement: "no codec or sum takes elements of this type (tests/compile_fail/floats_in_a_sum.rs, assertions in tests/cases/ops)",
    ManyElementTypes: "`Tensors` have one element type, and so has what an aggregation takes",
    ParameterPlaced: "parameters are public numbers, not values at the clients",
    ParameterType: "a parameter is one number of the type that its constructor names",
    BoundsOfTwoTypes: "both bounds are of one type: `QuantizedSum::<T>::new(lower: T, upper: T)`",
    BoundsOfOtherType: "bounds are of the values' type: `QuantizedSum<T>: Codec<T>`",
    BoundsAtTwoPlaces: "both bounds are in one value: a `QuantizedSum<T>`, here or at the server",
    OneBoundForTwoTypes: "bounds are of the values' type, so there are two for two types",
    Sign: "the number has no sign",
    NoSuchVariant: "there is no such variant of an enum",
    NotAList: "clients' items come from an iterator",
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler(rule) => write!(f, "refused by the compiler: {rule}"),
            Self::Crate(error) => write!(f, "refused: {error}"),
        }
    }
}

impl Refusal {
    /// The root error, without its round, client and tensor.
    fn root(&self) -> Option<&Error> {
        match self {
            Self::Compiler(_) => None,
            Self::Crate(error) => Some(error.root()),
        }
    }

    fn rule(&self) -> Option<Rule> {
        if let Self::Compiler(rule) = self { Some(*rule) } else { None }
    }

    pub(crate) fn is_out_of_range(&self) -> bool {
        matches!(self.root(), Some(Error::Packing(packing::Error::ValueOutOfRange { .. })))
    }

    pub(crate) fn is_no_clients(&self) -> bool {
        matches!(self.root(), Some(Error::NoClients))
    }

    /// Whether this matches an error name of theirs, or `None` if the name is unknown.
    pub(crate) fn is_named(&self, name: &str) -> Option<bool> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, is)| is(self))
    }

    /// Whether this matches an error message of theirs, or `None` if the message is unknown.
    pub(crate) fn says(&self, message: &str) -> Option<bool> {
        MESSAGES.iter().find(|(known, _)| known.contains(message)).map(|(_, is)| is(self))
    }
}

/// A meaning in terms of refusals.
type Meaning = fn(&Refusal) -> bool;

/// The meaning of their names here. All names are mapped in this function.
const NAMES: [(&str, Meaning); 12] = [
    ("TypeError", is_type_error),
    ("ValueError", is_value_error),
    ("InvalidArgument", is_invalid_argument),
    ("InvalidArgumentError", is_invalid_argument),
    ("RuntimeError", Refusal::is_no_clients),
    // All of these are `TypeError`s.
    ("UnsupportedDTypeError", |refusal| refusal.rule() == Some(Rule::NoElement)),
    ("BoundsDifferentSignaturesError", |refusal| {
        refusal.rule() == Some(Rule::BoundsOfTwoTypes)
            || matches!(refusal.root(), Some(Error::StructureMismatch { .. }))
    }),
    ("BoundsDifferentTypesError", |refusal| refusal.rule() == Some(Rule::BoundsAtTwoPlaces)),
    ("BoundsNotPlacedAtServerError", |refusal| refusal.rule() == Some(Rule::ParameterPlaced)),
    ("StructuredBoundsTypeMismatchError", |refusal| {
        refusal.rule() == Some(Rule::BoundsOfOtherType) || is_parameter_mismatch(refusal)
    }),
    ("ScalarBoundStructValueDTypeError", |refusal| {
        matches!(refusal.rule(), Some(Rule::OneBoundForTwoTypes | Rule::BoundsOfOtherType))
    }),
    ("ScalarBoundSimpleValueDTypeError", |refusal| refusal.rule() == Some(Rule::BoundsOfOtherType)),
];

/// Messages in cases, and their meaning here.
const MESSAGES: [(&str, Meaning); 2] = [
    ("client value larger than maximum specified for secure sum", Refusal::is_out_of_range),
    ("Conflicting cardinalities", |refusal| {
        matches!(refusal.root(), Some(Error::ConflictingInputs { .. } | Error::ClientCount { .. }))
    }),
];

fn is_parameter_mismatch(refusal: &Refusal) -> bool {
    matches!(
        refusal.root(),
        Some(
            Error::ParameterStructure { .. } | Error::ParameterCount { .. } | Error::StructureMismatch { .. }
        )
    )
}

/// A wrong type. The compiler detects it, unless structures are known only at run time.
fn is_type_error(refusal: &Refusal) -> bool {
    match refusal.rule() {
        Some(rule) => !matches!(rule, Rule::Sign | Rule::NoSuchVariant),
        None => is_parameter_mismatch(refusal),
    }
}

/// A setting or a parameter that has the right type and the wrong value.
fn is_value_error(refusal: &Refusal) -> bool {
    match refusal.rule() {
        Some(rule) => matches!(rule, Rule::Sign | Rule::NoSuchVariant),
        None => matches!(
            refusal.root(),
            Some(
                Error::Packing(
                    packing::Error::Modulus { .. }
                        | packing::Error::IntegerBits { .. }
                        | packing::Error::IntegerRange { .. }
                        | packing::Error::QuantizerRange { .. }
                        | packing::Error::QuantizerBits { .. }
                ) | Error::Privacy(
                    privacy::Error::ModularRange { .. }
                        | privacy::Error::ModulusTooSmall { .. }
                        | privacy::Error::Parameter { .. }
                ) | Error::ClientCount { .. }
                    | Error::ConflictingInputs { .. }
                    | Error::UnknownClientCount
                    | Error::NoClients
                    | Error::TooManyClients { .. }
                    | Error::Setting { .. }
                    | Error::MissingChannel { .. }
                    | Error::SamePlacement { .. }
                    | Error::SymmetricBound { .. }
                    | Error::Estimate { .. }
                    | Error::NormLimit { .. }
            )
        ),
    }
}

/// Data that turns out to be wrong when the computation runs.
fn is_invalid_argument(refusal: &Refusal) -> bool {
    match refusal.rule() {
        Some(rule) => rule == Rule::Sign,
        None => matches!(
            refusal.root(),
            Some(
                Error::Packing(
                    packing::Error::ValueOutOfRange { .. }
                        | packing::Error::QuantizedSumOutOfRange { .. }
                        | packing::Error::IntegerRange { .. }
                        | packing::Error::QuantizerRange { .. }
                        | packing::Error::NotFinite { .. }
                ) | Error::Privacy(privacy::Error::NotFinite { .. })
                    | Error::Weight
                    | Error::NormLimit { .. }
            )
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let out_of_range = Error::Packing(packing::Error::ValueOutOfRange { index: 0, min: 0, max: 1 });
        let at_client = Error::Client {
            client: 1,
            source: Box::new(Error::Tensor { tensor: 0, source: Box::new(out_of_range) }),
        };
        let refusal = Refusal::from(at_client);
        let named = |name| refusal.is_named(name);
        assert_eq!(named("InvalidArgument"), Some(true));
        assert_eq!(named("TypeError"), Some(false));
        assert_eq!(named("ValueError"), Some(false));
        assert_eq!(named("KeyError"), None);
        assert_eq!(refusal.says("client value larger than maximum"), Some(true));
        assert_eq!(refusal.says("Conflicting cardinalities"), Some(false));
        assert_eq!(refusal.says("something else"), None);

        let dtype = Refusal::from(Rule::NoElement);
        assert_eq!(dtype.is_named("TypeError"), Some(true));
        assert_eq!(dtype.is_named("UnsupportedDTypeError"), Some(true));
        assert_eq!(dtype.is_named("ValueError"), Some(false));
        assert_eq!(Refusal::from(Rule::Sign).is_named("ValueError"), Some(true));
    }
}
