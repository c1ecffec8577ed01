//! Errors of control objects.

use cipherfold::federated::Party;

use super::{Kind, Sha256};
use crate::{key::Key, party::label};

/// What functions of this layer return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a control object is refused. Every message begins with the object's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a control object.
    #[error("{key}: {found} bytes are not a control object")]
    Form {
        /// The object.
        key: Key,
        /// Its length.
        found: usize,
    },
    /// Another version of the encoding.
    #[error("{key}: has version {found}, this program reads version {expected}")]
    Version {
        /// The object.
        key: Key,
        /// The version that is written here.
        expected: u8,
        /// The version found.
        found: u8,
    },
    /// An object of another kind lies under this name.
    #[error("{key}: is of kind {found}, expected {expected:?}")]
    Kind {
        /// The object.
        key: Key,
        /// The kind that belongs there.
        expected: Kind,
        /// The kind found.
        found: u8,
    },
    /// The signature is not that of the object's author, or the object was changed or moved.
    #[error("{key}: is not signed by the identity of {}", label(*signer))]
    Signature {
        /// The object.
        key: Key,
        /// The party that should have signed.
        signer: Party,
    },
    /// The body cannot be read, or has another encoding than the one that is written.
    #[error("{key}: the body is not in its one encoding")]
    Body {
        /// The object.
        key: Key,
    },
    /// The author is not a party of the consortium.
    #[error("{key}: the consortium has no {}", label(*party))]
    UnknownParty {
        /// The object.
        key: Key,
        /// The author.
        party: Party,
    },
    /// The object belongs to another predecessor than the one at hand.
    #[error("{key}: was made for {what} {found}, found {expected}")]
    Predecessor {
        /// The object.
        key: Key,
        /// What the predecessor is.
        what: &'static str,
        /// The digest of the predecessor at hand.
        expected: Sha256,
        /// The digest that the object names.
        found: Sha256,
    },
    /// An object has other bytes than those that its author committed to.
    #[error("{key}: has digest {found}, {signer} signed {expected}", signer = label(*signer))]
    Digest {
        /// The object.
        key: Key,
        /// The party that signed the digest.
        signer: Party,
        /// The signed digest.
        expected: Sha256,
        /// The digest of the bytes at hand.
        found: Sha256,
    },
    /// A fact in the object contradicts the round.
    #[error("{key}: {reason}")]
    Contents {
        /// The object.
        key: Key,
        /// The contradiction.
        reason: String,
    },
}

impl Error {
    /// The object that is refused.
    pub fn key(&self) -> Key {
        let (Self::Form { key, .. }
        | Self::Version { key, .. }
        | Self::Kind { key, .. }
        | Self::Signature { key, .. }
        | Self::Body { key }
        | Self::UnknownParty { key, .. }
        | Self::Predecessor { key, .. }
        | Self::Digest { key, .. }
        | Self::Contents { key, .. }) = self;
        *key
    }
}
