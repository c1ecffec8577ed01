//! The engines of a backend: operations on batches, with all constants of a key prepared.
//!
//! | engine | knows | computes |
//! | :-- | :-- | :-- |
//! | [`PublicEngine`] | n | products, folds, powers, additions of plaintexts |
//! | [`FixedBaseEngine`] | n, a public base | randomizers and encryption |
//! | [`SecretEngine`] | p, q | decryption |
//!
//! Input and output are reduced [`Pair`]s, a form that all backends share.

use core::fmt::Debug;
use std::sync::Arc;

use super::resident::Resident;
use crate::residue::{Limbs, Modulus, Pair};

/// Runs batches for keys with a modulus of type `F` and primes of type `H`.
pub trait Backend<F: Limbs, H: Limbs>: Debug + Send + Sync {
    /// The backend's name. [`BackendChoice`](super::BackendChoice) parses it and reports show it.
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
    /// The plaintexts below n, or `None` if any of the residues is not a unit modulo n. Encryption
    /// yields units only.
    fn decrypt(&self, xs: &[Pair<F>]) -> Option<Vec<F>>;
}
