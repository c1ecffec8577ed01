//! The crate's error type: facts in public fields, never a secret.

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Everything that can be wrong with what a caller or a peer handed in.
///
/// Fields hold public sizes, names and identifiers. Broken invariants of the crate itself panic instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- keys and ciphertexts ---

    // --- packing ---

    // --- placements, channels, secure sums ---
}
