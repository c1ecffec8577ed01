//! The errors of this layer.

use std::borrow::Cow;

/// The result type of this layer.
pub(crate) type Result<T, E = Error> = core::result::Result<T, E>;

/// The reason why there is no backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A backend cannot run on this machine.
    #[error("backend `{name}` cannot run here: {reason}")]
    BackendUnavailable {
        /// The backend's name.
        name: &'static str,
        /// The missing feature or device.
        reason: Cow<'static, str>,
    },
    /// The environment asks for secret keys on a GPU, and the program has not agreed to that.
    #[error(
        "CIPHERFOLD_BACKEND=gpu-with-secret-keys would move secret keys to a GPU: the program must agree, by \
         `cipherfold::backend::allow_secret_keys_on_gpu()` or by `BackendChoice::GpuWithSecretKeys`"
    )]
    SecretKeysOnGpu,
    /// No backend has this name.
    #[error("no backend is called `{name}`; the names are {known:?}")]
    UnknownBackend {
        /// The requested name.
        name: String,
        /// The names of all backends.
        known: &'static [&'static str],
    },
}

#[cfg(not(feature = "gpu"))]
impl Error {
    pub(super) fn built_without_gpu(name: &'static str) -> Self {
        let reason = "this program was built without the feature `gpu`".into();
        Self::BackendUnavailable { name, reason }
    }
}
