//! Sum large model updates without anyone seeing a single one.

pub mod backend;
mod error;
pub mod federated;
pub mod packing;
pub mod paillier;
pub mod residue;

pub use error::{Error, Result};
