//! The errors of this layer.

use super::{
    aggregation, channel, computation,
    report::{AbsenceReason, Report, progress::Cancelled},
    round, tensor,
};
use crate::{backend, packing, paillier, printable::printable, privacy};

/// The result of functions of this layer. A function that uses a single layer returns the error of
/// that layer.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Every error of a run: those of the executor itself, and those of the layers below.
///
/// Each layer has its own small error type, and this type wraps them: `?` works from every layer,
/// and a match can cover a single layer. A conversion takes the error of a lower layer out of the
/// errors of the layers between. So each error has one variant here, whichever layer reported it:
///
/// ```
/// use cipherfold::federated::{Error, Party, channel, round};
///
/// let error = channel::Error::NotInRoster { party: Party::Server };
/// let of_role = round::Error::Channel(error.clone());
/// assert_eq!(Error::from(of_role), Error::Channel(error));
/// ```
///
/// [`cipherfold::Error`](crate::Error) wraps this type in the same way.
///
/// Fields hold public sizes, names and identifiers, never a value of a client. `Display` escapes
/// control characters in names and in texts of callers and peers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- layers below ---
    /// A backend cannot run here, or does not exist.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// Values or their ranges do not fit into plaintexts.
    #[error(transparent)]
    Packing(#[from] packing::Error),
    /// Something is wrong with a key, a ciphertext or a plaintext.
    #[error(transparent)]
    Paillier(paillier::Error),
    /// Something is wrong with a mechanism of differential privacy, or with a vector for it.
    #[error(transparent)]
    Privacy(#[from] privacy::Error),
    /// Something is wrong with a message, a channel, a box or an identity.
    #[error(transparent)]
    Channel(#[from] channel::Error),
    /// Something is wrong with a tensor, a structure, a codec or a weight.
    #[error(transparent)]
    Tensor(tensor::Error),
    /// Something is wrong with the declaration of a round, with its keys, or at one of its roles.
    #[error(transparent)]
    Round(round::Error),
    /// Something is wrong with a computation, its inputs or its closures.
    #[error(transparent)]
    Computation(#[from] computation::Error),
    /// Something is wrong with the parameters of an aggregation, its estimates or its account.
    #[error(transparent)]
    Aggregation(#[from] aggregation::Error),

    // --- runs of the executor ---
    /// The system provided no entropy to seed a generator.
    #[error("the system's random number generator failed: {reason}")]
    Entropy {
        /// The system's error text.
        reason: String,
    },

    /// The system could not start a thread, or not all threads of a pool.
    #[error("a thread could not be started: {reason}")]
    ThreadPool {
        /// The system's error text.
        reason: String,
    },

    /// A run has no clients, and so no result.
    #[error("a run needs at least one client")]
    NoClients,

    /// The iterator does not tell the number of clients, and it was not stated.
    #[error("the iterator does not tell the number of clients: state it")]
    UnknownClientCount,

    /// The number of clients differs from the stated one.
    #[error("{stated} clients were stated, {found} were found")]
    ClientCount {
        /// Clients stated, or announced by the iterator.
        stated: u64,
        /// Clients found.
        found: u64,
    },

    /// A client could not make its update.
    #[error("no update: {}", printable(reason))]
    NoUpdate {
        /// The text of the iterator's error.
        reason: String,
    },

    /// A client's value does not have the structure that was declared before the round. The error
    /// does not show the client's own structure, because it may depend on the client's data.
    #[error("the value does not have the declared structure {declared}")]
    NotAsDeclared {
        /// The declared structure, with element types and shapes.
        declared: String,
    },

    /// A client was asked and did not answer.
    #[error("dropped out")]
    DroppedOut,

    /// A required client does not take part in a round.
    ///
    /// Other parties learn only this reason. A simulation reports the client's own error instead if
    /// [`show_client_errors`](crate::federated::LocalExecutorBuilder::show_client_errors) is set.
    #[error("{reason}")]
    Absent {
        /// The reason.
        reason: AbsenceReason,
    },

    /// One client's part has an error. Nothing of the run was decrypted.
    #[error("client {client}: {source}")]
    Client {
        /// The client's number, from zero.
        client: u32,
        /// The cause.
        source: Box<Error>,
    },

    /// The number of contributions is not the one that the aggregator announced: a party departed
    /// from the protocol.
    #[error("the sum has {found} contributions, expected {expected}")]
    Contributions {
        /// Clients of the run.
        expected: u64,
        /// Contributions found.
        found: u64,
    },

    /// A round failed after its clients had contributed: when the aggregator closed the sums,
    /// during the transfer to the server, or when the server opened, decoded or used them.
    ///
    /// The report lists the clients in the sums ([`Report::participants`]) and the absent ones. The
    /// server sees only sums, so it cannot tell whose contribution is at fault: it may be that of
    /// any participant, or of the aggregator.
    ///
    /// The server may ask clients for new contributions in another round. It should not ask a
    /// subset of the same clients for the same values: two sums over groups that differ in one
    /// client show that client's values.
    #[error("round {} failed after {} clients had contributed: {source}", report.round, report.clients)]
    RoundFailed {
        /// The report up to the failure.
        report: Box<Report>,
        /// The cause.
        source: Box<Error>,
    },

    /// The progress callback asked for the run to stop.
    #[error("the run was cancelled")]
    Cancelled,
}

impl Error {
    /// The error of a round that fails after clients have contributed to it.
    pub(crate) fn of_round(report: Report, source: Self) -> Self {
        Self::RoundFailed { report: Box::new(report), source: Box::new(source) }
    }

    /// A copy of the innermost error, without the round, the client and the tensor in which it
    /// occurred.
    ///
    /// ```
    /// use cipherfold::{federated::{Error, tensor}, packing};
    ///
    /// let root = packing::Error::NotFinite { index: 3 };
    /// let error = tensor::Error::Tensor { tensor: 0, source: Box::new(root.clone().into()) };
    /// let error = Error::Client { client: 7, source: Box::new(error.into()) };
    /// assert_eq!(error.to_string(), "client 7: tensor 0: the value at index 3 is not a finite number");
    /// assert_eq!(error.root(), Error::Packing(root));
    /// ```
    #[must_use]
    pub fn root(&self) -> Self {
        match self {
            Self::RoundFailed { source, .. } | Self::Client { source, .. } => source.root(),
            Self::Tensor(error) => error.root().clone().into(),
            error => error.clone(),
        }
    }
}

impl From<paillier::Error> for Error {
    fn from(error: paillier::Error) -> Self {
        match error {
            paillier::Error::Backend(error) => Self::Backend(error),
            error => Self::Paillier(error),
        }
    }
}

impl From<tensor::Error> for Error {
    fn from(error: tensor::Error) -> Self {
        match error {
            tensor::Error::Packing(error) => Self::Packing(error),
            error => Self::Tensor(error),
        }
    }
}

impl From<round::Error> for Error {
    fn from(error: round::Error) -> Self {
        match error {
            round::Error::Backend(error) => Self::Backend(error),
            round::Error::Packing(error) => Self::Packing(error),
            round::Error::Paillier(error) => error.into(),
            round::Error::Channel(error) => Self::Channel(error),
            round::Error::Tensor(error) => error.into(),
            error => Self::Round(error),
        }
    }
}

impl From<Cancelled> for Error {
    fn from(Cancelled: Cancelled) -> Self {
        Self::Cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        federated::PlacementKind,
        test_support::{HOSTILE_TEXT, HOSTILE_TEXT_ESCAPED},
    };

    #[test]
    fn texts_of_callers_and_peers_are_displayed_without_control_characters() {
        let text = || HOSTILE_TEXT.to_owned();
        for error in [
            Error::NoUpdate { reason: text() },
            computation::Error::Closure { operation: "try_map", reason: text() }.into(),
            channel::Error::PayloadDecoding { type_name: "u8", reason: text() }.into(),
            tensor::Error::DuplicateName { name: text() }.into(),
            tensor::Error::Tensor {
                tensor: 0,
                source: Box::new(tensor::Error::DuplicateName { name: text() }),
            }
            .into(),
        ] {
            let wrapped = Error::Client { client: 1, source: Box::new(error.clone()) };
            assert!(wrapped.to_string().contains(HOSTILE_TEXT_ESCAPED), "{wrapped}");
            // The text stays unchanged inside another error.
            let reason = error.to_string();
            assert!(Error::NoUpdate { reason }.to_string().contains(HOSTILE_TEXT_ESCAPED));
        }
    }

    #[test]
    fn an_error_of_a_lower_layer_has_one_place() {
        let backend = backend::Error::SecretKeysOnGpu;
        let paillier = paillier::Error::Backend(backend.clone());
        for error in [
            Error::from(paillier.clone()),
            Error::from(round::Error::from(paillier.clone())),
            Error::from(round::Error::Paillier(paillier)),
        ] {
            assert_eq!(error, Error::Backend(backend.clone()));
            assert_eq!(error.to_string(), backend.to_string());
        }

        let packing = packing::Error::NotFinite { index: 3 };
        for error in [
            Error::from(tensor::Error::from(packing.clone())),
            Error::from(round::Error::from(packing.clone())),
            Error::from(round::Error::from(tensor::Error::from(packing.clone()))),
            Error::from(round::Error::Tensor(tensor::Error::from(packing.clone()))),
        ] {
            assert_eq!(error, Error::Packing(packing.clone()));
        }

        let (from, to) = (PlacementKind::Clients, PlacementKind::Server);
        let channel = channel::Error::OpenChannel { from, to };
        let of_round = Error::from(round::Error::from(channel.clone()));
        assert_eq!(of_round.to_string(), channel.to_string());
        assert_eq!(of_round, Error::Channel(channel));
        let tensor = tensor::Error::from(packing).of_tensor(7);
        assert_eq!(Error::from(round::Error::from(tensor.clone())), Error::Tensor(tensor));
        let round = round::Error::Participants;
        assert_eq!(Error::from(round.clone()), Error::Round(round));
    }
}
