//! Whole batches of ciphertexts, on whatever is fast here.
//!
//! A backend does not offer single products: it would spend its time in transfers and conversions.
//! It is handed a key once and prepares what it needs (constants, tables, its own number layout);
//! the prepared engines then take whole batches of residues in the one form that all backends
//! share, reduced [`Pair`]s, and give such pairs back.
//!
//! | engine | knows | does |
//! | :-- | :-- | :-- |
//! | [`PublicEngine`] | n | products, folds, powers, additions of plaintexts |
//! | [`FixedBaseEngine`] | n, a public base | randomizers and encryption |
//! | [`SecretEngine`] | p, q | decryption |
//!
//! `ifma` and `avx2` keep several ciphertexts side by side in vector registers; with a 2048-bit key on Zen 4 they do 5.5
//! and 2.4 times as many additions a second as plain code. [`Portable`] is plain code over [`crypto_bigint`] words, runs
//! everywhere and is the reference that every other backend is checked against, bit for bit. A GPU ([`gpu`]) is used only
//! where it is named: it makes no promise of constant time. The choice among backends is made once, by [`select`], and
//! [`Backend::name`] reports it.

#![allow(clippy::cast_possible_truncation, reason = "numbers of limbs and of bits are small")]

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

/// A way to run batches for keys whose modulus is an `F` and whose primes are an `H`.
pub trait Backend<F: Limbs, H: Limbs>: Debug + Send + Sync {
    /// The backend's name: what [`Choice`] parses and reports show.
    fn name(&self) -> &'static str;

    /// Prepares for batches under a public modulus.
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

/// Batches that need n only. All pairs are reduced and stand for themselves (no Montgomery form).
///
/// Slices that belong together have equal lengths; anything else is a bug of the caller and panics.
pub trait PublicEngine<F: Limbs>: Debug + Send + Sync {
    /// `xs[i]·ys[i] mod n²`.
    fn mul(&self, xs: &[Pair<F>], ys: &[Pair<F>]) -> Vec<Pair<F>>;

    /// Starts a product over contributions of `len` residues each, slot by slot.
    fn fold(&self, len: usize) -> Box<dyn Fold<F>>;

    /// `xs[i]^exponents[i] mod n²`, reading `bits` bits of every exponent, which may be secret.
    fn pow(&self, xs: &[Pair<F>], exponents: &[F], bits: u32) -> Vec<Pair<F>>;

    /// `xs[i]·(1 + ms[i]·n) mod n²` for secret ms below n: encryption by given randomizers, and the
    /// addition of plaintexts.
    fn add_plain(&self, xs: &[Pair<F>], ms: &[F]) -> Vec<Pair<F>>;
}

/// A product over contributions in progress: one residue a slot, whatever their number.
pub trait Fold<F: Limbs>: Debug + Send {
    /// Multiplies a contribution in, slot by slot. It is shared and not copied where it has to be kept for a while.
    fn add(&mut self, contribution: &Arc<Vec<Pair<F>>>);

    /// [`add`](Self::add) for a contribution that lies where a backend made it, and stays there if this is the same one.
    fn add_resident(&mut self, contribution: &Resident<F>) {
        self.add(&Arc::new(contribution.pairs()));
    }

    /// The product; ones if nothing was added.
    fn finish(self: Box<Self>) -> Vec<Pair<F>>;
}

/// Batches of powers of one public base with secret exponents: randomizers and encryption.
pub trait FixedBaseEngine<F: Limbs, H: Limbs>: Debug + Send + Sync {
    /// `base^exponents[i] mod n²`.
    fn pow(&self, exponents: &[H]) -> Vec<Pair<F>>;

    /// `(1 + ms[i]·n)·base^exponents[i] mod n²`, for ms below n.
    fn encrypt(&self, ms: &[F], exponents: &[H]) -> Vec<Pair<F>>;

    /// [`encrypt`](Self::encrypt), with the results left where they are made.
    fn encrypt_resident(self: Arc<Self>, ms: &[F], exponents: &[H]) -> Resident<F> {
        Resident::on_host(self.encrypt(ms, exponents))
    }

    /// Memory that the prepared powers take, in bytes.
    fn table_bytes(&self) -> usize;
}

/// Batches that need the secret key.
pub trait SecretEngine<F: Limbs>: Debug + Send + Sync {
    /// The plaintexts below n, or `None` if any of the residues is no unit modulo n, which no
    /// encryption yields.
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>>;
}

/// Residues that lie where a backend made them: in the memory of a GPU, or simply here.
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
    /// Residues that are here.
    pub fn on_host(pairs: Vec<Pair<F>>) -> Self {
        Self { len: pairs.len(), source: Source::Host(pairs) }
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The residues, fetched from where they are.
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

/// Which backend to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// The one that the environment variable `CIPHERFOLD_BACKEND` names, or else the fastest that runs here. The variable
    /// is read once, at the first use. It cannot move secret keys to a GPU unless the program agrees
    /// ([`allow_secret_keys_on_gpu`]).
    #[default]
    Auto,
    /// [`Portable`].
    Portable,
    /// AVX-512 IFMA, eight residues at a time: for x86-64 processors that have it.
    Ifma,
    /// AVX2, four residues at a time: for nearly all other x86-64 processors.
    Avx2,
    /// A GPU, by Vulkan or Metal; also a program that stands in for one, if there is nothing else. Never chosen
    /// automatically, because it does not read tables in constant time: see [`backend::gpu`](gpu). Decryption stays on the CPU.
    Gpu,
    /// [`Gpu`](Self::Gpu), and secret keys go there as well: only for a GPU that no other person can use or watch. Choosing
    /// this in code is the program's consent.
    GpuWithSecretKeys,
}

impl Choice {
    /// Names that [`str::parse`] takes.
    pub const NAMES: &'static [&'static str] =
        &["auto", "portable", "ifma", "avx2", "gpu", "gpu-with-secret-keys"];
}

impl FromStr for Choice {
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

/// The backend that a choice stands for on this machine.
///
/// # Errors
///
/// [`Error::BackendUnavailable`] if it cannot run here, which [`Choice::Portable`] always can. For [`Choice::Auto`] also
/// [`Error::UnknownBackend`] if `CIPHERFOLD_BACKEND` names none, and [`Error::SecretKeysOnGpu`] if it names
/// `gpu-with-secret-keys` in a program that has not called [`allow_secret_keys_on_gpu`].
pub fn select<F: Limbs, H: Limbs>(choice: Choice) -> Result<&'static dyn Backend<F, H>> {
    match choice {
        Choice::Portable => Ok(&Portable),
        Choice::Ifma => ifma(),
        Choice::Avx2 => avx2(),
        Choice::Gpu => gpu(false),
        Choice::GpuWithSecretKeys => gpu(true),
        Choice::Auto => {
            let agreed = SECRET_KEYS_MAY_GO.load(Ordering::Relaxed);
            match with_consent(named_by_environment()?, agreed)? {
                Choice::Auto => Ok(fastest_on_cpu()),
                named => select(named),
            }
        }
    }
}

/// Agrees that `CIPHERFOLD_BACKEND=gpu-with-secret-keys` moves secret keys to a GPU, from here on and in all of this
/// process.
///
/// Without this call the variable is refused ([`Error::SecretKeysOnGpu`]): who sets a program's environment does not
/// decide where its secret keys go. Programs call it, libraries do not. A person who can watch the GPU may learn the keys: see
/// [`backend::gpu`](gpu).
///
/// ```
/// cipherfold::backend::allow_secret_keys_on_gpu();
/// ```
pub fn allow_secret_keys_on_gpu() {
    SECRET_KEYS_MAY_GO.store(true, Ordering::Relaxed);
}

static SECRET_KEYS_MAY_GO: AtomicBool = AtomicBool::new(false);

/// The backend that the environment names, unless that needs a consent that is not there.
fn with_consent(named: Choice, agreed: bool) -> Result<Choice> {
    if named == Choice::GpuWithSecretKeys && !agreed { Err(Error::SecretKeysOnGpu) } else { Ok(named) }
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

/// What `CIPHERFOLD_BACKEND` says; [`Choice::Auto`] if it is not set.
fn named_by_environment() -> Result<Choice> {
    static NAMED: OnceLock<Result<Choice>> = OnceLock::new();
    let named = || std::env::var("CIPHERFOLD_BACKEND").map_or(Ok(Choice::Auto), |name| name.parse());
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
        for name in Choice::NAMES {
            let named: Choice = name.parse().unwrap();
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

    /// The variable is read once in a process, so this runs in one of its own.
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
        assert_eq!(Small::backend(Choice::Portable).unwrap().name(), "portable");

        allow_secret_keys_on_gpu();
        match Small::backend(Choice::Auto) {
            Ok(backend) => assert_eq!(backend.name(), "gpu-with-secret-keys"),
            Err(error) => assert!(matches!(error, Error::BackendUnavailable { .. }), "{error}"),
        }
    }
}
