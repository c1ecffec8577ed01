#![doc = include_str!("../README.md")]

pub mod backend;
mod error;
pub mod federated;
#[cfg(feature = "files")]
pub mod files;
pub mod packing;
pub mod paillier;
mod printable;
pub mod privacy;
pub mod residue;
mod wipe;

pub use error::{Error, Result};

// Types of these crates are part of the interface: a caller that uses them from here has the versions that fit.
pub use ndarray;
pub use rand_core;
