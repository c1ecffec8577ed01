//! The errors of this layer.

use super::Leak;
use crate::{federated::PlacementKind, printable::printable};

/// The result of functions of this layer that run no round.
pub(super) type Result<T, E = Error> = core::result::Result<T, E>;

/// Every error of a computation that is not one of its rounds: of its definition, its inputs, and
/// its closures.
///
/// [`federated::Error`](crate::federated::Error) wraps this type.
///
/// Fields hold public sizes, names and identifiers, never a value of a client. `Display` escapes
/// control characters in names and in texts of callers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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

    /// A computation would show clients' data in a form that is not a sum over many clients.
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{HOSTILE_TEXT, HOSTILE_TEXT_ESCAPED};

    #[test]
    fn texts_of_callers_and_peers_are_displayed_without_control_characters() {
        for error in [
            Error::Closure { operation: "try_map", reason: HOSTILE_TEXT.to_owned() },
            Error::ForeignInput { name: HOSTILE_TEXT },
        ] {
            assert!(error.to_string().contains(HOSTILE_TEXT_ESCAPED), "{error}");
        }
    }
}
