//! Keys and ciphertexts as bytes, and in serde's formats.

#[cfg(test)]
mod canonical_tests;
mod encoding;
pub mod exposed;
mod hex;
mod serde;
