#![doc = include_str!("../README.md")]

pub mod backend;
mod error;
pub mod federated;
pub mod packing;
pub mod paillier;
pub mod privacy;
pub mod residue;
mod wipe;

pub use error::{Error, Result};
