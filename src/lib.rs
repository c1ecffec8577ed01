#![doc = include_str!("../README.md")]

pub mod backend;
mod error;
pub mod federated;
#[cfg(feature = "files")]
pub mod files;
pub mod packing;
pub mod paillier;
pub mod privacy;
pub mod residue;

pub use error::{Error, Result};
