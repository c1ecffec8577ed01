//! The choice of a backend on this machine.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crypto_bigint::{U256, U512};

#[cfg(feature = "gpu")]
use super::gpu::Gpu;
use super::{
    choice::BackendChoice,
    cpu::{avx2, fastest_on_cpu, ifma},
    engine::Backend,
    error::{Error, Result},
    portable::Portable,
};
use crate::residue::Limbs;

/// The backend of a choice on this machine, for keys with a modulus of type `F` and primes of type
/// `H`.
///
/// # Errors
///
/// Those of [`BackendChoice::backend_name`].
pub fn select<F: Limbs, H: Limbs>(choice: BackendChoice) -> Result<&'static dyn Backend<F, H>> {
    match choice {
        BackendChoice::Portable => Ok(&Portable),
        BackendChoice::Ifma => ifma(),
        BackendChoice::Avx2 => avx2(),
        BackendChoice::Gpu => gpu(false),
        BackendChoice::GpuWithSecretKeys => gpu(true),
        BackendChoice::Auto => {
            let agreed = SECRET_KEYS_MAY_GO.load(Ordering::Relaxed);
            match with_consent(named_by_environment()?, agreed)? {
                BackendChoice::Auto => Ok(fastest_on_cpu()),
                named => select(named),
            }
        }
    }
}

/// Allows `CIPHERFOLD_BACKEND=gpu-with-secret-keys` to move secret keys to a GPU, from now on and
/// in this whole process.
///
/// Without this call the variable is refused ([`Error::SecretKeysOnGpu`]): the environment alone
/// must not move a program's secret keys. Only programs should call this function, not libraries. A
/// person who can watch the GPU may learn the keys: see [`BackendChoice::GpuWithSecretKeys`].
///
/// ```
/// cipherfold::backend::allow_secret_keys_on_gpu();
/// ```
pub fn allow_secret_keys_on_gpu() {
    SECRET_KEYS_MAY_GO.store(true, Ordering::Relaxed);
}

impl BackendChoice {
    /// The name of the backend that this choice selects on this machine. Opens the GPU if the
    /// choice is one.
    ///
    /// # Errors
    ///
    /// [`Error::BackendUnavailable`] if the backend cannot run here. [`Self::Portable`] always can.
    /// For [`Self::Auto`] also [`Error::UnknownBackend`] if `CIPHERFOLD_BACKEND` is not a backend's
    /// name, and [`Error::SecretKeysOnGpu`] if it is `gpu-with-secret-keys` in a program that has
    /// not called [`allow_secret_keys_on_gpu`].
    pub fn backend_name(self) -> Result<&'static str> {
        // The backend is the same for all widths.
        select::<U512, U256>(self).map(Backend::name)
    }
}

static SECRET_KEYS_MAY_GO: AtomicBool = AtomicBool::new(false);

/// The backend that the environment names. Refuses `gpu-with-secret-keys` without consent.
fn with_consent(named: BackendChoice, agreed: bool) -> Result<BackendChoice> {
    if named == BackendChoice::GpuWithSecretKeys && !agreed { Err(Error::SecretKeysOnGpu) } else { Ok(named) }
}

#[cfg(feature = "gpu")]
fn gpu<F: Limbs, H: Limbs>(with_secret_keys: bool) -> Result<&'static dyn Backend<F, H>> {
    Ok(if with_secret_keys { Gpu::process_wide_with_secret_keys()? } else { Gpu::process_wide()? })
}

#[cfg(not(feature = "gpu"))]
fn gpu<F: Limbs, H: Limbs>(with_secret_keys: bool) -> Result<&'static dyn Backend<F, H>> {
    Err(Error::built_without_gpu(if with_secret_keys { "gpu-with-secret-keys" } else { "gpu" }))
}

/// The value of `CIPHERFOLD_BACKEND`; [`BackendChoice::Auto`] if it is not set.
fn named_by_environment() -> Result<BackendChoice> {
    static NAMED: OnceLock<Result<BackendChoice>> = OnceLock::new();
    let named = || std::env::var("CIPHERFOLD_BACKEND").map_or(Ok(BackendChoice::Auto), |name| name.parse());
    NAMED.get_or_init(named).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paillier::{self, PublicKey, SecretKey, hazmat::InsecureBits512 as Small};

    #[test]
    fn only_secret_keys_on_a_gpu_need_consent() {
        for name in BackendChoice::NAMES {
            let named: BackendChoice = name.parse().unwrap();
            assert_eq!(with_consent(named, true), Ok(named));
            let without = with_consent(named, false);
            if *name == "gpu-with-secret-keys" {
                let error = without.unwrap_err();
                assert_eq!(error, Error::SecretKeysOnGpu);
                assert!(error.to_string().contains("backend::allow_secret_keys_on_gpu()"), "{error}");
            } else {
                assert_eq!(without, Ok(named));
            }
        }
    }

    /// A process reads the variable once, so this test runs in its own process.
    #[test]
    fn the_environment_alone_moves_no_secret_key() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "backend::select::tests::in_a_process_with_the_variable",
            "--ignored",
            "--nocapture",
        ]);
        let output = child.env("CIPHERFOLD_BACKEND", "gpu-with-secret-keys").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "run by the test above"]
    fn in_a_process_with_the_variable() {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let refused = Error::SecretKeysOnGpu;
        let at_a_key = Some(paillier::Error::Backend(refused.clone()));
        assert_eq!(SecretKey::<Small>::generate(&mut rng).err(), at_a_key);
        // The product of two primes.
        let n = b"dc0911bb2ee3c7f6fc2eed1bd65101e9ea37b30977e3cadc18cddcdffae3f0a2\
            56bdbafc294d2ded93523671877d7fe64fb6a064417031d563885acd1f9b3285";
        let n = num_bigint::BigUint::parse_bytes(n, 16).unwrap().to_bytes_be();
        assert_eq!(PublicKey::<Small>::from_modulus_be(&n).err(), at_a_key);
        assert_eq!(crate::federated::LocalExecutor::<Small>::builder().build().err(), Some(refused.into()));
        assert_eq!(BackendChoice::Portable.backend_name(), Ok("portable"));

        allow_secret_keys_on_gpu();
        match BackendChoice::Auto.backend_name() {
            Ok(name) => assert_eq!(name, "gpu-with-secret-keys"),
            Err(error) => assert!(matches!(error, Error::BackendUnavailable { .. }), "{error}"),
        }
    }
}
