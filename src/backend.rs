//! Operations on whole batches of ciphertexts, on the fastest hardware available.
//!
//! A backend offers no single products, because transfers and conversions would dominate their
//! time. It receives a key once and prepares its constants, tables and number layout. The prepared
//! engines then process whole batches of residues. Their input and output are reduced [`Pair`]s, a
//! form that all backends share.
//!
//! | engine | knows | computes |
//! | :-- | :-- | :-- |
//! | [`PublicEngine`] | n | products, folds, powers, additions of plaintexts |
//! | [`FixedBaseEngine`] | n, a public base | randomizers and encryption |
//! | [`SecretEngine`] | p, q | decryption |
//!
//! `ifma` and `avx2` hold several ciphertexts in vector registers. With a 2048-bit key on Zen 4,
//! they compute 5.5 and 2.4 times as many additions a second as portable code. [`Portable`] is
//! plain code over [`crypto_bigint`] words. It runs everywhere, and every other backend is checked
//! against it, bit for bit. A GPU ([`gpu`]) makes no promise of constant time, and is used only
//! when selected by name. [`select`] chooses the backend once, and [`Backend::name`] reports it.

#![allow(clippy::cast_possible_truncation, reason = "numbers of limbs and of bits are small")]

mod crt;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
mod portable;
#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
mod simd;
mod window;

use core::{fmt::Debug, str::FromStr};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

pub use error::{Error, Result};
#[cfg(feature = "gpu")]
pub use gpu::Gpu;
pub use portable::Portable;
#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
pub use simd::{Avx2, Ifma};

use crate::residue::{Limbs, Modulus, Pair};

/// Runs batches for keys with a modulus of type `F` and primes of type `H`.
pub trait Backend<F: Limbs, H: Limbs>: Debug + Send + Sync {
    /// The backend's name. [`BackendChoice`] parses it and reports show it.
    fn name(&self) -> &'static str;

    /// Prepares batches under a public modulus.
    fn public(&self, modulus: &Arc<Modulus<F>>) -> Arc<dyn PublicEngine<F>>;

    /// Prepares powers of a public base with secret exponents of up to `bits` bits.
    fn fixed_base(
        &self,
        modulus: &Arc<Modulus<F>>,
        base: &Pair<F>,
        bits: u32,
    ) -> Arc<dyn FixedBaseEngine<F, H>>;

    /// Prepares decryption under two primes with their top bits set.
    fn secret(&self, p: &H, q: &H) -> Arc<dyn SecretEngine<F>>;
}

/// Batch operations that need n only. All pairs are reduced and not in Montgomery form.
///
/// All slices of one call have the same length. Other lengths are a bug of the caller and panic.
pub trait PublicEngine<F: Limbs>: Debug + Send + Sync {
    /// `xs[i]·ys[i] mod n²`.
    fn mul(&self, xs: &[Pair<F>], ys: &[Pair<F>]) -> Vec<Pair<F>>;

    /// Starts a product over contributions of `len` residues each, item by item.
    fn fold(&self, len: usize) -> Box<dyn Fold<F>>;

    /// `xs[i]^exponents[i] mod n²`. Reads `bits` bits of every exponent. Exponents may be secret.
    fn pow(&self, xs: &[Pair<F>], exponents: &[F], bits: u32) -> Vec<Pair<F>>;

    /// `xs[i]·(1 + ms[i]·n) mod n²` for secret ms below n: encryption by given randomizers, and the
    /// addition of plaintexts.
    fn add_plain(&self, xs: &[Pair<F>], ms: &[F]) -> Vec<Pair<F>>;
}

/// A product over contributions, in progress: one residue for each item, for any number of
/// contributions.
pub trait Fold<F: Limbs>: Debug + Send {
    /// Multiplies by a contribution, item by item. A backend that must keep the contribution shares
    /// it and does not copy it.
    fn add(&mut self, contribution: &Arc<Vec<Pair<F>>>);

    /// [`add`](Self::add) for a contribution in the memory of a backend. It stays there if this is
    /// the same backend.
    fn add_resident(&mut self, contribution: &Resident<F>) {
        self.add(&Arc::new(contribution.pairs()));
    }

    /// The product, or ones if nothing was added.
    fn finish(self: Box<Self>) -> Vec<Pair<F>>;
}

/// Batches of powers of one public base with secret exponents: randomizers and encryption.
pub trait FixedBaseEngine<F: Limbs, H: Limbs>: Debug + Send + Sync {
    /// `base^exponents[i] mod n²`.
    fn pow(&self, exponents: &[H]) -> Vec<Pair<F>>;

    /// `(1 + ms[i]·n)·base^exponents[i] mod n²`, for ms below n.
    fn encrypt(&self, ms: &[F], exponents: &[H]) -> Vec<Pair<F>>;

    /// [`encrypt`](Self::encrypt), but the results stay in the memory of the backend.
    fn encrypt_resident(self: Arc<Self>, ms: &[F], exponents: &[H]) -> Resident<F> {
        Resident::on_host(self.encrypt(ms, exponents))
    }

    /// Memory of the prepared powers, in bytes.
    fn table_bytes(&self) -> usize;
}

/// Batch operations that need the secret key.
pub trait SecretEngine<F: Limbs>: Debug + Send + Sync {
    /// The plaintexts below n, or `None` if any of the residues is no unit modulo n. Encryption
    /// yields units only.
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>>;
}

/// Residues in the memory of the backend that made them: the GPU's or the host's.
pub struct Resident<F: Limbs> {
    len: usize,
    source: Source<F>,
}

enum Source<F: Limbs> {
    Host(Vec<Pair<F>>),
    #[cfg(feature = "gpu")]
    Gpu(Arc<dyn gpu::ResidentPairs<F>>),
}

impl<F: Limbs> Resident<F> {
    /// Residues in the host's memory.
    pub fn on_host(pairs: Vec<Pair<F>>) -> Self {
        Self { len: pairs.len(), source: Source::Host(pairs) }
    }

    /// The number of residues.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The residues, copied to the host.
    pub fn pairs(&self) -> Vec<Pair<F>> {
        match &self.source {
            Source::Host(pairs) => pairs.clone(),
            #[cfg(feature = "gpu")]
            Source::Gpu(there) => there.fetch(),
        }
    }
}

impl<F: Limbs> Debug for Resident<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Resident").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The backend to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendChoice {
    /// The backend that the environment variable `CIPHERFOLD_BACKEND` names. If it is not set, the
    /// fastest backend of this processor. The variable is read once, at the first use. It cannot
    /// move secret keys to a GPU unless the program agrees ([`allow_secret_keys_on_gpu`]).
    #[default]
    Auto,
    /// [`Portable`].
    Portable,
    /// AVX-512 IFMA, eight residues at a time, on x86-64 processors that have it.
    Ifma,
    /// AVX2, four residues at a time, on nearly all other x86-64 processors.
    Avx2,
    /// A GPU, by Vulkan or Metal. Without a GPU, a software adapter. Never chosen automatically,
    /// because it does not read tables in constant time: see [`backend::gpu`](gpu). Decryption
    /// stays on the CPU.
    Gpu,
    /// [`Gpu`](Self::Gpu), and secret keys move to the GPU as well. Only for a GPU that no other
    /// person can use or watch. This choice in code is the program's consent.
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

/// The backend of a choice on this machine.
///
/// # Errors
///
/// [`Error::BackendUnavailable`] if it cannot run here. [`BackendChoice::Portable`] always can. For
/// [`BackendChoice::Auto`] also [`Error::UnknownBackend`] if `CIPHERFOLD_BACKEND` is not a backend's name,
/// and [`Error::SecretKeysOnGpu`] if it is `gpu-with-secret-keys` in a program that has not called
/// [`allow_secret_keys_on_gpu`].
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
/// person who can watch the GPU may learn the keys: see [`backend::gpu`](gpu).
///
/// ```
/// cipherfold::backend::allow_secret_keys_on_gpu();
/// ```
pub fn allow_secret_keys_on_gpu() {
    SECRET_KEYS_MAY_GO.store(true, Ordering::Relaxed);
}

static SECRET_KEYS_MAY_GO: AtomicBool = AtomicBool::new(false);

/// The backend that the environment names. Refuses `gpu-with-secret-keys` without consent.
fn with_consent(named: BackendChoice, agreed: bool) -> Result<BackendChoice> {
    if named == BackendChoice::GpuWithSecretKeys && !agreed { Err(Error::SecretKeysOnGpu) } else { Ok(named) }
}

/// The fastest backend that runs on this processor.
fn fastest_on_cpu<F: Limbs, H: Limbs>() -> &'static dyn Backend<F, H> {
    ifma().or_else(|_| avx2()).unwrap_or(&Portable)
}

#[cfg(feature = "gpu")]
fn gpu<F: Limbs, H: Limbs>(with_secret_keys: bool) -> Result<&'static dyn Backend<F, H>> {
    Ok(if with_secret_keys { Gpu::process_wide_with_secret_keys()? } else { Gpu::process_wide()? })
}

#[cfg(not(feature = "gpu"))]
fn gpu<F: Limbs, H: Limbs>(with_secret_keys: bool) -> Result<&'static dyn Backend<F, H>> {
    let name = if with_secret_keys { "gpu-with-secret-keys" } else { "gpu" };
    Err(Error::BackendUnavailable { name, reason: "this program was built without the feature `gpu`".into() })
}

/// The value of `CIPHERFOLD_BACKEND`; [`BackendChoice::Auto`] if it is not set.
fn named_by_environment() -> Result<BackendChoice> {
    static NAMED: OnceLock<Result<BackendChoice>> = OnceLock::new();
    let named = || std::env::var("CIPHERFOLD_BACKEND").map_or(Ok(BackendChoice::Auto), |name| name.parse());
    NAMED.get_or_init(named).clone()
}

fn ifma<F: Limbs, H: Limbs>() -> Result<&'static dyn Backend<F, H>> {
    #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
    {
        static FOUND: OnceLock<Option<Ifma>> = OnceLock::new();
        if let Some(ifma) = FOUND.get_or_init(Ifma::detect) {
            return Ok(ifma);
        }
    }
    Err(Error::BackendUnavailable { name: "ifma", reason: "the processor has no AVX-512 IFMA".into() })
}

fn avx2<F: Limbs, H: Limbs>() -> Result<&'static dyn Backend<F, H>> {
    #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
    {
        static FOUND: OnceLock<Option<Avx2>> = OnceLock::new();
        if let Some(avx2) = FOUND.get_or_init(Avx2::detect) {
            return Ok(avx2);
        }
    }
    Err(Error::BackendUnavailable { name: "avx2", reason: "the processor has no AVX2".into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paillier::{self, KeySize, PublicKey, SecretKey, hazmat::InsecureBits512 as Small};

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
        child.args(["--exact", "backend::tests::in_a_process_with_the_variable", "--ignored", "--nocapture"]);
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
        assert_eq!(Small::backend(BackendChoice::Portable).unwrap().name(), "portable");

        allow_secret_keys_on_gpu();
        match Small::backend(BackendChoice::Auto) {
            Ok(backend) => assert_eq!(backend.name(), "gpu-with-secret-keys"),
            Err(error) => assert!(matches!(error, Error::BackendUnavailable { .. }), "{error}"),
        }
    }
}
