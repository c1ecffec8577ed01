//! The part of a client's failure that other parties may learn.

use core::fmt;

use serde::Serialize;

use crate::printable::printable;

/// Why a client does not take part in a round. Other parties learn no more than this.
///
/// A reason names the kind of a fault and the index of a tensor. Both follow from the declared
/// round. It never contains a value, an index, a name or a shape from the client's data, nor a text
/// of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AbsenceReason {
    /// The client was asked and did not answer.
    DroppedOut,
    /// It could not make its update, or failed at its own part of the computation.
    Failed,
    /// Its update does not have the declared structure.
    Structure,
    /// A value of this tensor, counted from zero in its sum, cannot be encoded as declared.
    Value {
        /// The tensor's index in its sum.
        tensor: usize,
    },
    /// The round does not allow its weight.
    Weight,
    /// It did not accept the session's keys, because they are not the ones that it has pinned.
    Keys,
    /// One of its messages was refused, or did not arrive.
    Message,
}

impl fmt::Display for AbsenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DroppedOut => f.write_str("dropped out"),
            Self::Failed => f.write_str("could not make its update"),
            Self::Structure => f.write_str("its update does not have the declared structure"),
            Self::Value { tensor } => write!(f, "a value of tensor {tensor} cannot be encoded as declared"),
            Self::Weight => f.write_str("its weight is not one that the round allows"),
            Self::Keys => f.write_str("it did not accept the session's keys"),
            Self::Message => f.write_str("one of its messages was refused"),
        }
    }
}

/// A client that was asked and did not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Absence {
    /// The client's number.
    pub client: u32,
    /// The reason, as far as other parties may learn it.
    pub reason: AbsenceReason,
    /// The client's own error, if the simulation shows it
    /// ([`show_client_errors`](crate::federated::LocalExecutorBuilder::show_client_errors)).
    pub details: Option<String>,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.details {
            None => write!(f, "client {}: {}", self.client, self.reason),
            // The text may come from the client: it stays on one line and has no control
            // characters.
            Some(details) => write!(f, "client {}: {}", self.client, printable(details)),
        }
    }
}
