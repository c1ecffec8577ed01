//! Errors of control objects.

use cipherfold::federated::Party;

use super::{key::Key, kind::Kind};
use crate::{digest::Sha256, parties::label};

/// The result type of this layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a control object is refused. Every message begins with the object's name.
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
        /// The version that this program writes.
        expected: u8,
        /// The version found.
        found: u8,
    },
    /// The name has an object of another kind.
    #[error("{key}: is of kind {found}, expected {expected:?}")]
    Kind {
        /// The object.
        key: Key,
        /// The expected kind.
        expected: Kind,
        /// The kind found.
        found: u8,
    },
    /// The object's author has not signed it, or the object was changed or moved.
    #[error("{key}: is not signed by the identity of {}", label(*signer))]
    Signature {
        /// The object.
        key: Key,
        /// The party that should have signed.
        signer: Party,
    },
    /// The body cannot be read, or is not in the canonical encoding.
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
    /// The object belongs to another predecessor.
    #[error("{key}: was made for {what} {found}, found {expected}")]
    Predecessor {
        /// The object.
        key: Key,
        /// The kind of the predecessor.
        what: &'static str,
        /// The digest of the expected predecessor.
        expected: Sha256,
        /// The digest in the object.
        found: Sha256,
    },
    /// The bytes of an object differ from those that its author committed to.
    #[error("{key}: has digest {found}, {signer} signed {expected}", signer = label(*signer))]
    Digest {
        /// The object.
        key: Key,
        /// The party that signed the digest.
        signer: Party,
        /// The signed digest.
        expected: Sha256,
        /// The digest of the bytes.
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
