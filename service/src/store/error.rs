//! Errors of stores.

use std::io;

use serde::{Deserialize, Serialize};

use crate::objects::Key;

/// The result type of this layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not that of a store.
    #[error("`{}` is not a store: {reason}", address.escape_debug())]
    Address {
        /// The address.
        address: String,
        /// The fault.
        reason: String,
    },
    /// The object exists with other bytes, which stay.
    #[error("{key}: exists with other contents")]
    Conflict {
        /// The object.
        key: Key,
    },
    /// The object is longer than allowed.
    #[error("{key}: has {found} bytes, at most {limit} are possible")]
    TooLong {
        /// The object.
        key: Key,
        /// The maximum length.
        limit: u64,
        /// The length found.
        found: u64,
    },
    /// The store has no room for an object. Nothing of it was written; when there is room, the same
    /// write works.
    #[error("{address}: the store is full{}", quota.map(|quota| format!(": {quota}")).unwrap_or_default())]
    Full {
        /// The store.
        address: String,
        /// The limit that a board keeps, if it is not the disk that is full.
        quota: Option<Quota>,
    },
    /// The store does not answer or fails. A later attempt may succeed.
    #[error("{address}: {}", reason.escape_debug())]
    Unreachable {
        /// The store.
        address: String,
        /// Its message.
        reason: String,
    },
    /// The store refuses the operation.
    #[error("{address}: {}", reason.escape_debug())]
    Refused {
        /// The store.
        address: String,
        /// Its message.
        reason: String,
    },
}

/// A limit for the bytes of all objects, and why a write does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "{stored} of {limit} bytes are in use and {reserved} are kept for the end of the round, {asked} were asked for"
)]
pub struct Quota {
    /// Bytes that the store may hold.
    pub limit: u64,
    /// Bytes that it holds.
    pub stored: u64,
    /// Bytes that are kept free for what ends the round: sums, receipts and notes.
    pub reserved: u64,
    /// Bytes of the object.
    pub asked: u64,
}

/// The answer of a board whose store is full.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the store is full")]
pub(super) struct NoRoom(pub(super) Option<Quota>);

impl Error {
    pub(super) fn of(address: &str, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        if let Some(NoRoom(quota)) = no_room(error) {
            return Self::Full { address: address.to_owned(), quota };
        }
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

/// Whether an error says that there is no room, and the limit if it is a board's.
fn no_room(error: &(dyn std::error::Error + 'static)) -> Option<NoRoom> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(no_room) = error.downcast_ref::<NoRoom>() {
            return Some(*no_room);
        }
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) = kind {
            return Some(NoRoom(None));
        }
        cause = error.source();
    }
    None
}

/// An error with its causes, which often contain the reason.
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
