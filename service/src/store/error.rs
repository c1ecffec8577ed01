//! Errors of stores.

use crate::key::Key;

/// What functions of this layer return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store does not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No store has this address.
    #[error("`{}` is no store: {reason}", address.escape_debug())]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An object exists with other bytes. They stay.
    #[error("{key}: exists with other contents")]
    Conflict {
        /// The object.
        key: Key,
    },
    /// An object is longer than it can be.
    #[error("{key}: has {found} bytes, at most {limit} are possible")]
    TooLong {
        /// The object.
        key: Key,
        /// The largest possible length.
        limit: u64,
        /// The length found.
        found: u64,
    },
    /// The store does not answer, or fails. It may work later.
    #[error("{address}: {}", reason.escape_debug())]
    Unreachable {
        /// The store.
        address: String,
        /// What it said.
        reason: String,
    },
    /// The store does not allow this.
    #[error("{address}: {}", reason.escape_debug())]
    Refused {
        /// The store.
        address: String,
        /// What it said.
        reason: String,
    },
}

impl Error {
    pub(super) fn of(address: &str, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let (address, reason) = (address.to_owned(), chain(error));
        let final_ = matches!(
            error,
            E::InvalidPath { .. }
                | E::NotSupported { .. }
                | E::NotImplemented { .. }
                | E::PermissionDenied { .. }
                | E::Unauthenticated { .. }
                | E::UnknownConfigurationKey { .. }
                | E::NotFound { .. }
                | E::AlreadyExists { .. }
        );
        if final_ { Self::Refused { address, reason } } else { Self::Unreachable { address, reason } }
    }
}

/// An error with its causes, which often have the reason.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
