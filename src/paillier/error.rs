//! The errors of this layer.

use super::fingerprint::Fingerprint;
use crate::backend;

/// The result type of this layer.
pub(crate) type Result<T, E = Error> = core::result::Result<T, E>;

/// Refused keys, ciphertexts and plaintexts, and operations on them that have no result.
///
/// Fields hold public sizes, indices and fingerprints of keys, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A modulus, or a prime of one, is even.
    #[error("the modulus is even")]
    EvenModulus,
    /// A modulus does not have the key's length.
    #[error("the modulus has {found} bits, this key needs exactly {expected}")]
    ModulusLength {
        /// Bits of a modulus of this key size.
        expected: u32,
        /// Bits found.
        found: u32,
    },
    /// A modulus of another party has a factor below 2¹⁶.
    #[error("the modulus is divisible by {factor}")]
    ModulusSmallFactor {
        /// Its smallest prime factor.
        factor: u32,
    },
    /// A modulus of another party is a power of one integer.
    #[error("the modulus is the power of an integer with exponent {exponent}")]
    ModulusPower {
        /// The smallest prime exponent.
        exponent: u32,
    },
    /// A modulus of another party is a prime itself.
    #[error("the modulus is prime, and not the product of two primes")]
    ModulusPrime,
    /// A prime does not have half the key's length.
    #[error("{name} has {found} bits, this key needs exactly {expected}")]
    PrimeLength {
        /// Which one: p or q.
        name: &'static str,
        /// Bits of a prime of this key size.
        expected: u32,
        /// Bits found.
        found: u32,
    },
    /// An encoded secret key has its larger prime first. Every key has one encoding.
    #[error("an encoded secret key must have its smaller prime first")]
    PrimeOrder,
    /// p = q.
    #[error("the primes p and q are equal")]
    EqualPrimes,
    /// p and q are less than 2^(bits/2 − 100) apart. Such an n is easily factored.
    #[error("the primes p and q are too close to each other")]
    ClosePrimes,
    /// p or q is no prime.
    #[error("{name} is not prime")]
    NotPrime {
        /// Which one: p or q.
        name: &'static str,
    },
    /// A ciphertext, randomizer or encoding belongs to another key.
    #[error("made for key {found}, but this is key {expected}")]
    KeyMismatch {
        /// The key in use.
        expected: Fingerprint,
        /// The key that the input names.
        found: Fingerprint,
    },
    /// A ciphertext is not below n².
    #[error("ciphertext {index} is out of range: not below n²")]
    CiphertextRange {
        /// Its index in the batch.
        index: usize,
    },
    /// A ciphertext is zero modulo n. No encryption gives zero.
    #[error("ciphertext {index} is zero modulo n")]
    CiphertextZero {
        /// Its index in the batch.
        index: usize,
    },
    /// A ciphertext has no inverse modulo n, and therefore no negative.
    #[error("a ciphertext has no inverse modulo n")]
    CiphertextNotInvertible,
    /// A plaintext is wider than the modulus.
    #[error("a plaintext of {found_bytes} bytes does not fit a key of {key_bits} bits")]
    PlaintextTooWide {
        /// Bits of the modulus.
        key_bits: u32,
        /// Bytes given.
        found_bytes: usize,
    },
    /// A plaintext is not below n.
    #[error("plaintext {index} is out of range: not below n")]
    PlaintextRange {
        /// Its index in the batch.
        index: usize,
    },
    /// A number is not finite, or does not fit the key or a float at its exponent.
    #[error("the number is not finite, or does not fit at exponent {exponent}")]
    NumberRange {
        /// The power of 16.
        exponent: i32,
    },
    /// A mantissa is in the range of neither positive nor negative numbers: a sum or a product did
    /// not fit the key.
    #[error("a number has overflowed: the absolute value of its mantissa exceeds a third of the modulus")]
    NumberOverflow,
    /// Exponents are too far apart, or their sum is out of range.
    #[error("a number with exponent {from} cannot take exponent {to}")]
    ExponentRange {
        /// The exponent that the number has.
        from: i32,
        /// The requested exponent, or the exponent to add.
        to: i32,
    },
    /// A multiplier is longer than stated.
    #[error("multiplier {index} has more than the stated {bits} bits")]
    MultiplierBits {
        /// Its index in the batch.
        index: usize,
        /// The stated length.
        bits: u32,
    },
    /// Two batches of one operation have different lengths.
    #[error("a batch has {found} items, expected {expected}")]
    BatchLength {
        /// Items expected.
        expected: usize,
        /// Items found.
        found: usize,
    },
    /// A sum over no ciphertexts.
    #[error("a sum needs at least one ciphertext")]
    EmptySum,
    /// The base of an encryptor is 1 or −1 modulo n, which hides nothing.
    #[error("the encryptor's base is 1 or -1 modulo n, which hides nothing")]
    TrivialBase,
    /// A generator of random numbers is broken: it gave no usable number in more attempts than a
    /// working generator needs.
    #[error(
        "the random number generator is broken: it gave no {drawn} in {attempts} attempts (a working one fails with a \
         probability below 2^-128)"
    )]
    BrokenGenerator {
        /// The value to draw.
        drawn: &'static str,
        /// Attempts made.
        attempts: u32,
    },
    /// A ciphertext cannot be decrypted. All causes give this one error, because different errors
    /// would be an oracle.
    #[error("decryption failed")]
    Decrypt,
    /// Encoded bytes have a wrong length.
    #[error("an encoded {what} has {expected} bytes, found {found}")]
    EncodedLength {
        /// The kind of value to read.
        what: &'static str,
        /// Bytes of its encoding.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Encoded bytes are of another version.
    #[error("unknown encoding version {found}: this crate reads version {expected}")]
    EncodingVersion {
        /// The version that this crate reads and writes.
        expected: u8,
        /// The version found.
        found: u8,
    },
    /// Encoded bytes are of another kind, for example a public key instead of a ciphertext.
    #[error("expected an encoded {expected}, found kind {found}")]
    EncodingKind {
        /// The kind of value to read.
        expected: &'static str,
        /// The kind byte found.
        found: u8,
    },
    /// Encoded bytes belong to a key of another size.
    #[error("encoded for a key of {found} bits, expected {expected}")]
    KeySizeMismatch {
        /// Bits of the key in use.
        expected: u32,
        /// Bits that the encoding names.
        found: u32,
    },
    /// No backend can run.
    #[error(transparent)]
    Backend(#[from] backend::Error),
}
