//! Errors of parties: of their homes, of the consortium, and of their keys.

use std::path::PathBuf;

use cipherfold::{
    federated::{Party, channel, round},
    files::Printable,
};

use super::{consortium::ConsortiumError, names::label};
use crate::{digest::Sha256, file_error::FileError};

/// The result type of this layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a home or of a consortium.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The consortium.
    #[error(transparent)]
    Consortium(Box<ConsortiumError>),
    /// A file of the home.
    #[error(transparent)]
    File(#[from] FileError),
    /// The protocol refuses the stored keys.
    #[error(transparent)]
    Protocol(Box<cipherfold::Error>),

    /// Other users than the owner can read or write a secret.
    #[error(
        "{}: has mode {mode:o}, so that others can use this secret; run chmod 600",
        Printable::path(path)
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// An identity file that cannot be read. The message does not repeat its contents.
    #[error("{}: is not what this program wrote", Printable::path(path))]
    Identity {
        /// The file.
        path: PathBuf,
    },
    /// No consortium was pinned.
    #[error("{}: no consortium is pinned here; run `cipherfold consortium pin`", Printable::path(home))]
    NotPinned {
        /// The party's directory.
        home: PathBuf,
    },
    /// The party's own keys are not those that the consortium lists for its role.
    #[error("the consortium lists other keys for {} than those of this home", label(*party))]
    NotInConsortium {
        /// The party's role.
        party: Party,
    },
    /// The command belongs to another role.
    #[error("this is a command of the {}, and this home is that of the {}", label(*expected), label(*found))]
    WrongRole {
        /// The role that may run the command.
        expected: Party,
        /// The role of the home.
        found: Party,
    },
    /// Another sum of a round was opened here, or is being opened. The difference of two sums could
    /// show a single update.
    #[error("round {round}: this home opens the sum of object {recorded}, and not another one, {found}")]
    OtherSum {
        /// The round.
        round: u64,
        /// The digest of the object that this home opens.
        recorded: Sha256,
        /// The digest of the object in the store.
        found: Sha256,
    },
    /// The party's key cannot make a certificate.
    #[error("TLS: {reason}")]
    Tls {
        /// The fault.
        reason: String,
    },
}

impl From<ConsortiumError> for Error {
    fn from(error: ConsortiumError) -> Self {
        Self::Consortium(Box::new(error))
    }
}

impl From<channel::Error> for Error {
    fn from(error: channel::Error) -> Self {
        Self::Protocol(Box::new(error.into()))
    }
}

impl From<round::Error> for Error {
    fn from(error: round::Error) -> Self {
        Self::Protocol(Box::new(error.into()))
    }
}
