//! The values of the cryptosystem: plaintexts, ciphertexts, and the sizes of keys.

mod ciphertext;
pub(super) mod integer;
pub(crate) mod key_size;
mod plaintext;
mod resident;

pub use self::{
    ciphertext::{Ciphertext, CiphertextBatch},
    key_size::{Bits2048, Bits3072, Bits4096, InsecureBits512, KeySize},
    plaintext::Plaintext,
    resident::ResidentBatch,
};
pub(crate) use self::{
    integer::write_be,
    plaintext::{read_words, write_words},
};
