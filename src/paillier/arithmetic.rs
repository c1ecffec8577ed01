//! Arithmetic on ciphertexts: sums, products with plaintexts, numbers with an exponent.

mod accumulator;
mod homomorphic;
mod number;
mod rerandomized;

pub use self::{
    accumulator::Accumulator,
    number::{EncodedNumber, EncryptedNumber},
};
