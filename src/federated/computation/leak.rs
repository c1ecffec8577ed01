//! Leaks: operations that show the server more than a sum over many clients.

use core::fmt;

/// An operation that shows the server more of the clients' data than a sum over many clients.
///
/// Operations are named with their labels ([`Value::named`](crate::federated::computation::Value::named)), if
/// any.
///
/// ```
/// use cipherfold::federated::{Clients, computation::{Computation, Value, Leak, LeakKind}};
///
/// let losses = Value::<f32, Clients>::input("loss");
/// let leaks: Vec<Leak> = Computation::new(losses.collect().named("losses")).leaks();
/// assert_eq!(leaks[0].kind, LeakKind::InTheClear);
/// assert_eq!(leaks[0].operation, "collect `losses`");
/// assert_eq!(leaks[0].sources, ["input `loss`"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// The kind of the leak.
    pub kind: LeakKind,
    /// The operation: ``collect `losses` ``.
    pub operation: String,
    /// One path from clients' data to the operation, which comes last.
    pub path: Vec<String>,
    /// All clients' data on which the operation depends: inputs, and the results of closures.
    pub sources: Vec<String>,
}

/// How an operation shows clients' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeakKind {
    /// Values leave the clients in the clear: `collect`, `sum`, or the keys of a `select`.
    InTheClear,
    /// A secure operation whose structure is not [declared](crate::federated::computation::Value::declare). The
    /// server then learns the structure from a client. It may show private data, such as words of a
    /// text as names, or a secret number as a length.
    ///
    /// A `Structure` whose members are themselves lists of any length is also a leak of this kind,
    /// declared or not. Examples are `Structure<Structure<T>>`, or `Structure<Vec<T>>` of arrays.
    /// The declaration does not tell where the members begin, so a client decides it.
    UndeclaredStructure,
    /// A secure operation over the result of a closure that sees the client's number:
    /// [`eval`](crate::federated::computation::Value::eval) or [`map_with`](crate::federated::computation::Value::map_with).
    /// Such a closure can return zeros for all clients but one.
    ClientNumber,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shows = match self.kind {
            LeakKind::InTheClear => "shows the server",
            LeakKind::UndeclaredStructure => "takes its structure from a client",
            LeakKind::ClientNumber => "depends on the clients' numbers",
        };
        write!(f, "{} {shows}: {}", self.operation, self.path.join(" → "))
    }
}
