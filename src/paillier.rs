//! The Paillier cryptosystem: encrypted integers that can be added.
//!
//! Paillier, "Public-key cryptosystems based on composite degree residuosity classes", EUROCRYPT
//! '99, with g = n + 1. The [`PublicKey`] encrypts and adds ciphertexts. Only the [`SecretKey`]
//! decrypts. Every operation has a single form and a batch form. Use batches: the
//! [backends](crate::backend) process several ciphertexts at a time.
//!
//! ```
//! use cipherfold::paillier::{Bits2048, Encryptor, Plaintext, SecretKey};
//! # use rand_core::SeedableRng;
//! # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(0);
//!
//! // At the server. `rng` is a cryptographic generator of yours.
//! let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
//! // At the clients, which know the public key:
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
//! Keys and ciphertexts can be exported and imported as the usual big-endian integers with
//! g = n + 1:
//!
//! - n: [`PublicKey::modulus_be`], [`PublicKey::from_modulus_be`];
//! - p and q: [`SecretKey::expose_primes_be`], [`SecretKey::from_primes_be_vartime`];
//! - ciphertexts c below n²: [`PublicKey::ciphertext_to_integer`],
//!   [`PublicKey::ciphertext_from_integer`].
//!
//! These functions accept leading zeros. The [encodings](PublicKey::to_bytes) of this crate do not,
//! and they name the key. Negative integers count down from n ([`PublicKey::plaintext_from_i128`]).
//!
//! python-paillier (`phe`) stores an exponent beside each ciphertext: the number is
//! mantissa·16^exponent. [`EncryptedNumber`] keeps the two together and computes like
//! python-paillier, bit for bit. A ciphertext that is imported without its exponent is an integer;
//! this is another number unless the exponent was 0. Exponents are in the clear. They reveal the
//! magnitude of a float, unless all numbers have the same exponent
//! ([`PublicKey::encode_f64_at_vartime`]). In Python, use `number.exponent` and
//! `number.ciphertext()`, which adds the randomness that `phe` defers. The example
//! `python_paillier_exchange` prints a key with ciphertexts.
//! `tests/data/check_with_python_paillier.py` reads them with python-paillier.
//!
//! # Public keys from outside
//!
//! A public key from outside is checked when it is read ([`PublicKey::from_modulus_be`]): the
//! modulus is odd, has exactly the key's length, has no prime factor below 2¹⁶, is not a power of
//! an integer, and is not a prime. The base of an encryptor ([`Encryptor::with_base`]) must be in
//! range, not zero and not ±1 modulo n.
//!
//! These checks find accidents and crude attacks. They do not prove that n has two large prime
//! factors, and n alone cannot show that. Public keys, and the bases of encryptors, must therefore
//! come from a trusted party. The owner of a key could also prove it (Goldberg, Reyzin, Sagga,
//! Baldimtsi, "Efficient noninteractive certification of RSA moduli and beyond", ASIACRYPT 2019).
//! This crate has no such proof yet.
//!
//! # Secrets and timing
//!
//! Primes, plaintexts, randomizers and their exponents are secret. Types that hold them are wiped
//! on drop, print nothing but their name, and compare in constant time. The time of operations on
//! them depends only on key sizes, batch sizes and stated bit lengths. Exceptions end in
//! `_vartime`, or are listed here:
//!
//! - [`SecretKey::generate`] takes a random time, like every search for primes. The prime search of
//!   `crypto-primes` leaves candidates in memory that it does not wipe.
//! - Temporaries in registers and on the stack are not wiped; later code overwrites them. If your
//!   `Vec<Plaintext>` grows, the old buffer keeps copies (also with `collect::<Result<_>>()`):
//!   allocate its full capacity at the start.
//! - The caller must wipe exported data: plaintexts as bytes or words, and the output of a serde
//!   format for a secret key ([`exposed`]).
//! - The errors for a value out of range and for a ciphertext that is not a unit deliberately
//!   reveal that fact.
//!
//! The moduli p² and q² are never computed. Residues are pairs in base p and q, and their constants
//! are in types of this crate that wipe themselves. (Montgomery forms of `crypto-bigint` keep
//! copies of their modulus. They are therefore not used for secret moduli.)
//!
//! Ciphertexts are malleable by design. Do not offer Paillier decryption to untrusted parties: an
//! adversary with access to decryption can decrypt any ciphertext. Authenticate ciphertexts in
//! transit, like [`crate::federated`].

#![allow(
    clippy::cast_possible_truncation,
    reason = "words are taken from longer integers, and numbers of limbs and of bits are small"
)]

mod arithmetic;
mod error;
mod fingerprint;
mod formats;
mod keys;
pub(crate) mod randomness;
pub(crate) mod values;

pub mod hazmat {
    //! Unsafe for real data: for tests only.

    pub use super::values::InsecureBits512;
}

pub use arithmetic::{Accumulator, EncodedNumber, EncryptedNumber};
pub use error::Error;
pub use fingerprint::Fingerprint;
pub use formats::exposed;
pub use keys::{PublicKey, SecretKey};
pub use randomness::{Encryptor, Exponents, Randomizer};
pub use values::{
    Bits2048, Bits3072, Bits4096, Ciphertext, CiphertextBatch, KeySize, Plaintext, ResidentBatch,
};
