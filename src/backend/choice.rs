//! The backends by name.

use core::str::FromStr;

use super::error::{Error, Result};

/// The backend to use.
///
/// ```
/// use cipherfold::backend::BackendChoice;
///
/// let choice: BackendChoice = "portable".parse()?;
/// assert_eq!(choice, BackendChoice::Portable);
/// assert_eq!(choice.backend_name()?, "portable");
///
/// let fastest = BackendChoice::Auto.backend_name()?;
/// println!("this machine runs {fastest}");
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendChoice {
    /// The backend that the environment variable `CIPHERFOLD_BACKEND` names. If it is not set, the
    /// fastest backend of this processor. The variable is read once, at the first use. It cannot
    /// move secret keys to a GPU unless the program agrees
    /// ([`allow_secret_keys_on_gpu`](super::allow_secret_keys_on_gpu)).
    #[default]
    Auto,
    /// Plain code, on all processors: the reference for every other backend.
    Portable,
    /// AVX-512 IFMA, eight residues at a time, on x86-64 processors that have it.
    Ifma,
    /// AVX2, four residues at a time, on nearly all other x86-64 processors.
    Avx2,
    /// A GPU, by Vulkan or Metal. Without a GPU, a software adapter. `CIPHERFOLD_GPU` chooses among
    /// several by a part of the name. Decryption stays on the CPU.
    ///
    /// Never chosen automatically: a GPU reads tables at addresses that depend on the secret
    /// exponents of encryption. Other users of the device may see them in memory traffic and time,
    /// and open these ciphertexts. Use it on a GPU that only you use.
    Gpu,
    /// [`Gpu`](Self::Gpu), and secret keys move to the GPU as well: the primes are in the device's
    /// memory, and the bits of p − 1 and q − 1 select the entries that it reads. A person who
    /// watches the device may learn the key. Only for a GPU that no other person can use or watch.
    /// This choice in code is the program's consent.
    GpuWithSecretKeys,
}

impl BackendChoice {
    /// Names that [`str::parse`] accepts.
    pub const NAMES: &'static [&'static str] =
        &["auto", "portable", "ifma", "avx2", "gpu", "gpu-with-secret-keys"];
}

impl FromStr for BackendChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "portable" => Ok(Self::Portable),
            "ifma" => Ok(Self::Ifma),
            "avx2" => Ok(Self::Avx2),
            "gpu" => Ok(Self::Gpu),
            "gpu-with-secret-keys" => Ok(Self::GpuWithSecretKeys),
            _ => Err(Error::UnknownBackend { name: name.to_owned(), known: Self::NAMES }),
        }
    }
}
