//! Everything random in ciphertexts: randomizers, the encryptor that makes them, masks.

mod draw;
mod encryptor;
mod exponents;
#[cfg(test)]
pub(crate) mod generator_tests;
mod mask;
mod randomizer;

pub use self::{encryptor::Encryptor, exponents::Exponents, mask::Masks, randomizer::Randomizer};
