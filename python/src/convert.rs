//! Conversions of numbers and names between Python and Rust.

pub(crate) mod identifier;
pub(crate) mod integer;
pub(crate) mod number;
pub(crate) mod party;
