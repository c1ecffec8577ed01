#![doc = include_str!("../README.md")]

pub mod backend;
mod error;
pub mod federated;
pub mod packing;
pub mod paillier;
mod printable;
pub mod privacy;
pub mod residue;

pub use error::{Error, Result};
