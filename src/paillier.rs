//! The Paillier cryptosystem: encrypted integers that can be added.
//!
//! Paillier, "Public-key cryptosystems based on composite degree residuosity classes", EUROCRYPT '99,
//! with g = n + 1. Whoever has the [`PublicKey`] can encrypt and can add ciphertexts to ciphertexts;
//! the [`SecretKey`] alone decrypts. Everything comes one at a time and in batches; batches are what
//! the [backends](crate::backend) are made for.
//!
//! ```
//! use cipherfold::paillier::{Bits2048, Encryptor, Plaintext, SecretKey};
//! # use rand_core::SeedableRng;
//! # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(0);
//!
//! // At the server. `rng` is a cryptographic generator of yours.
//! let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
//! // At the clients, who know the public key:
//! let encryptor = Encryptor::new(secret.public_key(), &mut rng)?;
//! let a = encryptor.encrypt(&Plaintext::from(20u64), &mut rng)?;
//! let b = encryptor.encrypt(&Plaintext::from(22u64), &mut rng)?;
//! // At the aggregator:
//! let sum = secret.public_key().add(&a, &b)?;
//! // At the server again:
//! assert_eq!(secret.decrypt(&sum)?.to_u64(), Some(42));
//! # Ok::<(), cipherfold::Error>(())
//! ```
//!
//! # Exchange with other Paillier libraries
//!
//! Everything goes in and out as the usual big-endian integers with g = n + 1: n
//! ([`PublicKey::modulus_be`], [`PublicKey::from_modulus_be`]), p and q ([`SecretKey::expose_primes_be`],
//! [`SecretKey::from_primes_be_vartime`]), and ciphertexts c below n² ([`PublicKey::ciphertext_to_integer`],
//! [`PublicKey::ciphertext_from_integer`]). These doors take leading zeros; the [encodings](PublicKey::to_bytes) of this
//! crate do not, and name the key. Negative integers count down from n ([`PublicKey::plaintext_from_i128`]).
//!
//! python-paillier (`phe`) gives every number an exponent beside its ciphertext: the number is mantissa·16^exponent.
//! [`EncryptedNumber`] keeps the two together and computes as python-paillier does, bit for bit; a ciphertext that comes
//! in without its exponent is an integer, and stands for another number unless the exponent was 0. Exponents are in the clear,
//! and tell how large a float is unless all have the same ([`PublicKey::encode_f64_at_vartime`]). In Python, take
//! `number.ciphertext()`, which adds the randomness that `phe` puts off, and `number.exponent`. The example
//! `python_paillier_exchange` prints a key with ciphertexts, and `tests/data/check_with_python_paillier.py` has
//! python-paillier read them.
//!
//! # Public keys from outside
//!
//! A public key that was not made here is checked when it is read ([`PublicKey::from_modulus_be`]): the modulus is odd, has
//! exactly the key's length, has no prime factor below 2¹⁶, is no power of an integer, and is no prime. The base of an
//! encryptor ([`Encryptor::with_base`]) is checked to be in range, not zero and not ±1 modulo n.
//!
//! This finds accidents and crude attacks. It does not prove that n has two large prime factors, and the number n alone cannot
//! show that: public keys, and the bases of encryptors, must come from whom one trusts to have made them. The owner of a key
//! could prove it to those who do not (Goldberg, Reyzin, Sagga, Baldimtsi, "Efficient noninteractive certification of RSA
//! moduli and beyond", ASIACRYPT 2019). This crate has no such proof yet.
//!
//! # What is secret, and what a clock sees
//!
//! Secret are primes, plaintexts, randomizers and their exponents. Types that hold them are wiped on
//! drop, print nothing but their name, compare in constant time, and are worked on in a time that
//! depends on key sizes, batch sizes and stated bit lengths only. Exceptions end in `_vartime`, or are
//! named here:
//!
//! - [`SecretKey::generate`] takes a random time, as every search for primes does, and leaves
//!   candidates behind in memory that the prime search of `crypto-primes` does not wipe.
//! - Temporaries in registers and on the stack are not wiped; they are overwritten by what comes next. A
//!   `Vec<Plaintext>` of yours that grows leaves what it moved (so does `collect::<Result<_>>()`): give it its capacity at
//!   once.
//! - What is exported is the caller's to wipe: plaintexts as bytes or words, and whatever a serde format
//!   makes of a secret key ([`exposed`]).
//! - An error that a value is out of range, or that a ciphertext is no unit, is an answer.
//!
//! Moduli p² and q² are never formed: the residues are pairs in base p and q, and their constants live
//! in this crate's own types, which wipe themselves. (Montgomery forms of `crypto-bigint` keep copies of
//! their modulus, which is why they are not used for secret moduli.)
//!
//! Ciphertexts are malleable by design, and Paillier decryption must not be offered to strangers: an
//! adversary who may ask for decryptions learns what it likes. Authenticate ciphertexts in transit, as
//! [`crate::federated`] does.

#![allow(
    clippy::cast_possible_truncation,
    reason = "words are cut out of longer integers, and numbers of limbs and of bits are small"
)]

mod accumulator;
#[cfg(test)]
mod canonical_tests;
mod ciphertext;
mod encoding;
mod encryptor;
mod error;
mod exponents;
mod fingerprint;
mod foreign_modulus;
#[cfg(test)]
pub(crate) mod generator_tests;
mod hex;
mod homomorphic;
mod integer;
mod key_size;
mod mask;
mod number;
mod plaintext;
mod public_key;
mod randomizer;
mod rerandomized;
mod secret_key;
mod serde;

pub mod hazmat {
    //! What must not meet real data.

    pub use super::key_size::InsecureBits512;
}

pub use accumulator::Accumulator;
pub use ciphertext::{Ciphertext, CiphertextBatch, ResidentBatch};
pub use encryptor::Encryptor;
pub use error::{Error, Result};
pub use exponents::Exponents;
pub use fingerprint::Fingerprint;
pub use key_size::{Bits2048, Bits3072, Bits4096, KeySize};
pub use mask::Masks;
pub use number::{EncodedNumber, EncryptedNumber};
pub use plaintext::Plaintext;
pub use public_key::PublicKey;
pub use randomizer::{Randomizer, RandomizerPool};
pub use secret_key::SecretKey;
pub use serde::exposed;
pub(crate) use {
    integer::write_be,
    plaintext::{read_words, write_words},
};

use zeroize::Zeroizing;

use crate::residue::Limbs;

/// An integer uniform below a bound with its top bit set. Draws again with probability below one half;
/// the number of draws says nothing about the one that is kept.
fn random_below<U: Limbs>(
    rng: &mut (impl rand_core::CryptoRng + ?Sized),
    bound: &U,
    drawn: &'static str,
) -> Result<Zeroizing<U>> {
    let mut bytes = Zeroizing::new(vec![0; U::WORDS * size_of::<crypto_bigint::Word>()]);
    for _ in 0..MAX_DRAWS {
        rng.fill_bytes(&mut bytes);
        let value = Zeroizing::new(crate::residue::words_from_le_bytes::<U>(&bytes));
        if bool::from(value.ct_lt(bound)) {
            return Ok(value);
        }
    }
    Err(Error::BrokenGenerator { drawn, attempts: MAX_DRAWS })
}

/// [`random_below`], and not zero, which a working generator gives with a probability of 2^−511 at most.
fn random_unit<U: Limbs>(
    rng: &mut (impl rand_core::CryptoRng + ?Sized),
    bound: &U,
    drawn: &'static str,
) -> Result<Zeroizing<U>> {
    let value = random_below(rng, bound, drawn)?;
    // Other numbers that are no units would factor the bound.
    if integer::is_zero(&*value) { Err(Error::BrokenGenerator { drawn, attempts: 1 }) } else { Ok(value) }
}

/// Draws of a number below a bound. Each fails with a probability below one half, all of them below 2^−128.
const MAX_DRAWS: u32 = 128;
