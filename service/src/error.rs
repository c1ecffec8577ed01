//! The errors of the service.

use std::{
    io,
    path::{Path, PathBuf},
};

use cipherfold::{
    federated::{Party, SessionId},
    files::Printable,
};

use crate::{
    consortium::ConsortiumError,
    objects::{self, AbortReason, RefusalReason, Sha256},
    party::label,
    store::error as store,
};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a command.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A control object.
    #[error(transparent)]
    Object(Box<objects::Error>),
    /// The consortium.
    #[error(transparent)]
    Consortium(Box<ConsortiumError>),
    /// The protocol.
    #[error(transparent)]
    Protocol(Box<cipherfold::Error>),
    /// A model file.
    #[error(transparent)]
    Model(Box<cipherfold::files::Error>),

    /// The operating system returned an error.
    #[error("{}: {}", Printable::path(path), Printable::name(reason))]
    File {
        /// The file.
        path: PathBuf,
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// The system's message.
        reason: String,
    },
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
    /// The announced key of the party for sealed messages differs from the key in this home. The
    /// home is a copy without the session's key.
    #[error(
        "the {} has announced another box key than this home has: copy its `sessions` directory as well",
        label(*party)
    )]
    OtherBoxKey {
        /// The party.
        party: Party,
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
    /// The masks of a round were drawn by another home of the server.
    #[error(
        "round {round}: the masks are in another home of the server: copy its `sessions` directory as well"
    )]
    OtherMasks {
        /// The round.
        round: u64,
    },
    /// A command for consortia with a key holder.
    #[error("the consortium has no key-holder: the server decrypts")]
    NoKeyHolder,
    /// The command belongs to another role.
    #[error("this is a command of the {}, and this home is that of the {}", label(*expected), label(*found))]
    WrongRole {
        /// The role that may run the command.
        expected: Party,
        /// The role of the home.
        found: Party,
    },
    /// The command belongs to a client.
    #[error("this is a command of a client, and this home is that of the {}", label(*found))]
    NotAClient {
        /// The role of the home.
        found: Party,
    },
    /// The store has no session.
    #[error(
        "{store}: there is no session; the server, or the key-holder if there is one, makes one with `cipherfold session new`"
    )]
    NoSession {
        /// The store.
        store: String,
    },
    /// The store has several sessions, and none was named.
    #[error("{store}: there are {} sessions, name one with --session", sessions.len())]
    SeveralSessions {
        /// The store.
        store: String,
        /// The sessions.
        sessions: Vec<SessionId>,
    },
    /// The session has no such round.
    #[error("session {session}: there is no round{}", round.map(|round| format!(" {round}")).unwrap_or_default())]
    NoRound {
        /// The session.
        session: SessionId,
        /// The round that was named.
        round: Option<u64>,
    },
    /// An object did not arrive in time. Starting the command again continues.
    #[error("{what} did not come within {seconds} seconds; start again to go on waiting")]
    Waiting {
        /// The missing object.
        what: String,
        /// The time of waiting.
        seconds: u64,
    },
    /// The result of the round was not stored.
    #[error("round {round} is neither taken nor aborted: nothing of it is removed")]
    NotTaken {
        /// The round.
        round: u64,
    },
    /// The client is too late.
    #[error("round {round} is over")]
    RoundOver {
        /// The round.
        round: u64,
    },
    /// The round has no sum.
    #[error("round {round} was aborted: {reason}")]
    Aborted {
        /// The round.
        round: u64,
        /// The reason.
        reason: AbortReason,
    },
    /// The aggregator did not count this client.
    #[error("round {round}: the aggregator refused this update: {reason}")]
    Refused {
        /// The round.
        round: u64,
        /// The reason that the aggregator signed.
        reason: RefusalReason,
    },
    /// Values beyond the bound, which would be clipped.
    #[error(
        "tensor `{}`: {count} values are beyond the round's bound of {bound}; --allow-clipping clips them",
        Printable::name(tensor)
    )]
    Clipping {
        /// The tensor.
        tensor: String,
        /// Number of values beyond the bound.
        count: u64,
        /// The bound.
        bound: f64,
    },
    /// A tensor that a round cannot average.
    #[error("tensor `{}` is {dtype}: rounds average floating-point tensors", Printable::name(tensor))]
    TensorType {
        /// The tensor.
        tensor: String,
        /// Its type in the file.
        dtype: String,
    },
    /// An invalid number in a command.
    #[error("{setting}: {reason}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// The fault.
        reason: String,
    },
    /// The session's rules do not allow this round.
    #[error("the session asks for at least {minimum} clients, the round for {found}")]
    SessionMinimum {
        /// The session's minimum.
        minimum: u32,
        /// The round's minimum.
        found: u32,
    },
}

impl Error {
    pub(crate) fn file(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::File { path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }

    /// The exit code of a command that fails with this error.
    ///
    /// | code | meaning |
    /// | --: | :-- |
    /// | 1 | the command failed |
    /// | 2 | the command line is wrong |
    /// | 3 | the round ended without this party's part in a sum: aborted, over, or refused |
    /// | 4 | the audit found faults |
    /// | 75 | something did not come in time, or the store is full or cannot be reached: try again |
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::RoundOver { .. } | Self::Aborted { .. } | Self::Refused { .. } => 3,
            Self::Waiting { .. }
            | Self::Store(store::Error::Unreachable { .. } | store::Error::Full { .. }) => 75,
            _ => 1,
        }
    }
}

/// Boxed, so that results are small.
macro_rules! from {
    ($($variant:ident: $error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        }
    )*};
}

from!(
    Object: objects::Error, Consortium: ConsortiumError, Protocol: cipherfold::Error, Model: cipherfold::files::Error
);

impl From<cipherfold::federated::Error> for Error {
    fn from(error: cipherfold::federated::Error) -> Self {
        cipherfold::Error::from(error).into()
    }
}

impl From<cipherfold::packing::Error> for Error {
    fn from(error: cipherfold::packing::Error) -> Self {
        cipherfold::federated::Error::from(error).into()
    }
}
