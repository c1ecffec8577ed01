//! Sum large model updates without anyone seeing a single one.

mod error;
pub mod federated;
pub mod packing;
pub mod residue;

pub use error::{Error, Result};
