//! Sum large model updates from many organisations without anyone seeing a single one.
//!
//! Clients pack their numbers, encrypt them with Paillier, and seal them in boxes for an
//! aggregator. The aggregator multiplies ciphertexts, which adds the numbers in them, and has no
//! secret key. The server decrypts one sum.
//!
//! ```
//! use cipherfold::{federated::LocalExecutor, packing::Quantizer, paillier::Bits2048};
//! use ndarray::array;
//!
//! let updates = [array![0.25_f32, -0.5], array![0.75, -0.1], array![0.5, 0.0]]; // one for each client
//! let executor = LocalExecutor::<Bits2048>::builder().build()?; // the key is made at the first run
//! let mean = executor.secure_mean(&updates, Quantizer::symmetric(1.0, 16)?)?; // clip to ±1, 16 bits
//! assert!((mean.value[0] - 0.5).abs() < 1e-4);
//! println!("{}", mean.report()); // bytes by channel, time by phase
//! # Ok::<(), cipherfold::Error>(())
//! ```
//!
//! # Where to start
//!
//! | to | read |
//! | :-- | :-- |
//! | sum or average updates of simulated clients | [`federated::LocalExecutor`] |
//! | run a round between processes | [`federated::round`] |
//! | know who learns what, and who must not collude | [`federated`] |
//! | write a computation with the operations of TensorFlow Federated | [`federated::computation::Computation`] |
//! | clip, add noise, average round by round | [`federated::aggregation`] |
//! | use the cryptosystem by itself | [`paillier`] |
//! | see how numbers are encoded, and the maximum error | [`packing`] |
//! | choose a backend, or a GPU | [`backend`] |
//! | read model updates from files | `files` (feature `files`) |
//!
//! Layers depend downwards only: [`federated`], then [`packing`] and [`privacy`], then
//! [`paillier`], then [`backend`].
//!
//! **Status: not audited.** SECURITY.md in the repository states the threat model, and the promises
//! about time and memory.
//!
//! # Debug builds
//!
//! Arithmetic on large integers is very slow without optimisation. Add this to your own
//! `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! # Features
//!
//! `gpu`: the GPU backend. `derive`: `#[derive(Tensors)]` and `#[derive(Summand)]`.
//! `files`: model updates in safetensors files. `tracing`: spans and events of runs. `diagnostics`:
//! an unstable module with the engines below [`paillier`], for tests and benchmarks.

pub mod backend;
#[cfg(feature = "diagnostics")]
pub mod diagnostics;
mod error;
pub mod federated;
#[cfg(feature = "files")]
pub mod files;
pub mod packing;
pub mod paillier;
mod printable;
pub mod privacy;
mod residue;
#[cfg(test)]
mod test_support;
mod wipe;

pub use error::{Error, Result};

// Types of these crates are part of the interface: a caller that uses them from here has the
// versions that fit.
pub use ndarray;
pub use rand_core;

/// The code on the pages of the repository, which runs as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/rust.md")]
    mod rust {}
}
