//! The errors of the service.

use cipherfold::{
    federated::{Party, SessionId, channel, round, tensor},
    files::Printable,
};

use crate::{
    file_error::FileError,
    objects::{self, AbortReason, RefusalReason},
    parties::{self, ConsortiumError, label},
    store,
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
    /// A home, the consortium, or a party's keys.
    #[error(transparent)]
    Parties(Box<parties::Error>),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The protocol.
    #[error(transparent)]
    Protocol(Box<cipherfold::Error>),
    /// A model file.
    #[error(transparent)]
    Model(Box<cipherfold::files::Error>),

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
    #[error("{what} did not come within {seconds} seconds; start again to continue waiting")]
    Waiting {
        /// The missing object.
        what: String,
        /// The time of waiting.
        seconds: u64,
    },
    /// The result of the round was not stored.
    #[error("round {round} is neither saved nor aborted: nothing of it is removed")]
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
    /// The exit code of a command that fails with this error.
    ///
    /// | code | meaning |
    /// | --: | :-- |
    /// | 1 | the command failed |
    /// | 2 | the command line is wrong |
    /// | 3 | the round ended without this party's part in a sum: aborted, over, or refused |
    /// | 4 | the audit found faults |
    /// | 75 | an object did not come in time, or the store is full or cannot be reached: try again |
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
    Object: objects::Error, Protocol: cipherfold::Error, Model: cipherfold::files::Error
);

macro_rules! of_the_library {
    ($($error:ty),+) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                cipherfold::Error::from(error).into()
            }
        }
    )+};
}

of_the_library!(
    channel::Error,
    tensor::Error,
    round::Error,
    cipherfold::federated::Error,
    cipherfold::packing::Error
);

impl From<parties::Error> for Error {
    fn from(error: parties::Error) -> Self {
        match error {
            // Callers ask for these errors, from any layer.
            parties::Error::File(error) => Self::File(error),
            parties::Error::Protocol(error) => Self::Protocol(error),
            error => Self::Parties(Box::new(error)),
        }
    }
}

impl From<ConsortiumError> for Error {
    fn from(error: ConsortiumError) -> Self {
        parties::Error::from(error).into()
    }
}
