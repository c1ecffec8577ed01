//! The crate's error type: one variant for each layer.

use crate::{
    backend,
    federated::{self, aggregation, channel, computation, round, tensor},
    packing, paillier, privacy,
};

/// The result type of functions that use several layers.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// All errors about the input of a caller or a peer.
///
/// Each layer has its own small error type, and this type wraps them: `?` works from every layer,
/// and a match can cover a single layer. Each error has one variant here: an error of a backend is
/// always [`Error::Backend`], also when it passed through other layers.
///
/// Fields hold public sizes, names and identifiers. Broken invariants of the crate itself panic
/// instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A backend cannot run here, or does not exist.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// Values or their ranges do not fit into plaintexts.
    #[error(transparent)]
    Packing(#[from] packing::Error),
    /// A key, a ciphertext or a plaintext is invalid.
    #[error(transparent)]
    Paillier(paillier::Error),
    /// A mechanism of differential privacy, or a vector for it, is invalid.
    #[error(transparent)]
    Privacy(#[from] privacy::Error),
    /// A round, a message, a computation or an aggregation failed or is invalid.
    #[error(transparent)]
    Federated(federated::Error),
    /// A file of an update is invalid.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Files(Box<crate::files::Error>),
}

impl From<paillier::Error> for Error {
    fn from(error: paillier::Error) -> Self {
        match error {
            paillier::Error::Backend(error) => Self::Backend(error),
            error => Self::Paillier(error),
        }
    }
}

impl From<federated::Error> for Error {
    fn from(error: federated::Error) -> Self {
        match error {
            federated::Error::Backend(error) => Self::Backend(error),
            federated::Error::Packing(error) => Self::Packing(error),
            federated::Error::Paillier(error) => error.into(),
            federated::Error::Privacy(error) => Self::Privacy(error),
            error => Self::Federated(error),
        }
    }
}

/// Converts an error of a federated layer by way of [`federated::Error`], so that it has the same
/// place as in a run.
macro_rules! by_way_of_federated {
    ($($layer:ident),+) => {$(
        impl From<$layer::Error> for Error {
            fn from(error: $layer::Error) -> Self {
                federated::Error::from(error).into()
            }
        }
    )+};
}
by_way_of_federated!(channel, tensor, round, computation, aggregation);

#[cfg(feature = "files")]
impl From<crate::files::Error> for Error {
    fn from(error: crate::files::Error) -> Self {
        Self::Files(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_lower_layer_has_one_place() {
        let backend = backend::Error::SecretKeysOnGpu;
        let of_key = paillier::Error::from(backend.clone());
        for error in [
            Error::from(of_key.clone()),
            Error::from(federated::Error::from(of_key.clone())),
            Error::from(federated::Error::Paillier(of_key.clone())),
            Error::from(round::Error::Paillier(of_key)),
        ] {
            assert_eq!(error, Error::Backend(backend.clone()));
            assert_eq!(error.to_string(), backend.to_string());
        }

        let decrypt = paillier::Error::Decrypt;
        assert_eq!(Error::from(federated::Error::from(decrypt.clone())), Error::from(decrypt));
        let packing = packing::Error::NotFinite { index: 3 };
        assert_eq!(Error::from(federated::Error::from(packing.clone())), Error::Packing(packing));
        let privacy = privacy::Error::BrokenGenerator { drawn: "number", attempts: 9 };
        assert_eq!(Error::from(federated::Error::from(privacy.clone())), Error::Privacy(privacy));
        let channel = channel::Error::BoxPublicKey;
        let of_round = round::Error::from(channel.clone());
        assert_eq!(Error::from(of_round), Error::Federated(federated::Error::Channel(channel)));
        let federated = federated::Error::NoClients;
        assert_eq!(Error::from(federated.clone()), Error::Federated(federated));
    }
}
