//! Integers modulo n, before encryption and after decryption.

use core::fmt;

use crypto_bigint::{Word, Zero};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    integer,
    key_size::{Bits3072, KeySize},
};
use crate::{
    paillier::error::{Error, Result},
    residue::Limbs,
};

/// An integer of the key's width, before encryption or after decryption.
///
/// Encryption refuses an integer that is not below n. Plaintexts are secret: not printed, wiped on
/// drop, compared in constant time.
///
/// ```
/// use cipherfold::paillier::{Bits2048, Plaintext};
///
/// let m = Plaintext::<Bits2048>::from(42u64);
/// assert_eq!(m.to_u64(), Some(42));
/// assert_eq!(m, Plaintext::from_be_bytes(&[0, 42])?);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone)]
pub struct Plaintext<S: KeySize = Bits3072>(pub(crate) S::Full);

impl<S: KeySize> Plaintext<S> {
    /// The number zero.
    pub fn zero() -> Self {
        Self(S::Full::zero())
    }

    /// From a big-endian integer of any length.
    ///
    /// # Errors
    ///
    /// [`Error::PlaintextTooWide`] if it has more significant bytes than n.
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self> {
        integer::from_be::<S::Full>(bytes)
            .map(Self)
            .ok_or(Error::PlaintextTooWide { key_bits: S::BITS, found_bytes: bytes.len() })
    }

    /// As a big-endian integer of [`KeySize::BYTES`] bytes, which the caller wipes.
    pub fn to_be_bytes(&self) -> Vec<u8> {
        integer::to_be(&self.0)
    }

    /// Writes a big-endian integer of [`KeySize::BYTES`] bytes.
    ///
    /// # Panics
    ///
    /// Unless `bytes` has that length.
    pub fn write_be_bytes(&self, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), S::BYTES, "a plaintext has as many bytes as n");
        integer::write_be(&self.0, bytes);
    }

    /// From 64-bit words, least significant first. Missing words are zero.
    ///
    /// # Errors
    ///
    /// [`Error::PlaintextTooWide`] if there are more words than n has.
    pub fn from_words(words: &[u64]) -> Result<Self> {
        if words.len() * 8 > S::BYTES {
            return Err(Error::PlaintextTooWide { key_bits: S::BITS, found_bytes: words.len() * 8 });
        }
        let mut plaintext = Self::zero();
        read_words(&mut plaintext.0, words);
        Ok(plaintext)
    }

    /// Writes the lowest words to `words`, least significant first.
    pub fn write_words(&self, words: &mut [u64]) {
        write_words(&self.0, words);
    }

    /// The value if it is below 2⁶⁴. The result and the time reveal whether it is.
    pub fn to_u64(&self) -> Option<u64> {
        self.to_u128().and_then(|value| u64::try_from(value).ok())
    }

    /// The value if it is below 2¹²⁸. The result and the time reveal whether it is.
    pub fn to_u128(&self) -> Option<u128> {
        let words = 128 / Word::BITS as usize;
        let rest = self.0.words()[words..].iter().fold(0, |any, word| any | word);
        (rest == 0).then(|| u128::from(get_u64(&self.0, 0)) | (u128::from(get_u64(&self.0, 1)) << 64))
    }
}

/// Sets the lowest words of an integer, least significant first.
pub(crate) fn read_words<U: Limbs>(value: &mut U, words: &[u64]) {
    for (i, word) in words.iter().enumerate() {
        set_u64(value, i, *word);
    }
}

/// Writes the lowest words of an integer, least significant first.
pub(crate) fn write_words<U: Limbs>(value: &U, words: &mut [u64]) {
    for (i, word) in words.iter_mut().enumerate() {
        *word = get_u64(value, i);
    }
}

const WORDS_PER_U64: usize = 64 / Word::BITS as usize;

#[allow(clippy::unnecessary_cast, reason = "a word has 32 bits on some targets")]
fn set_u64<U: Limbs>(value: &mut U, at: usize, word: u64) {
    for part in 0..WORDS_PER_U64 {
        value.words_mut()[at * WORDS_PER_U64 + part] = (word >> (part as u32 * Word::BITS)) as Word;
    }
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless, reason = "a word has 32 bits on some targets")]
fn get_u64<U: Limbs>(value: &U, at: usize) -> u64 {
    (0..WORDS_PER_U64)
        .map(|part| {
            let word = value.words().get(at * WORDS_PER_U64 + part).copied().unwrap_or(0);
            (word as u64) << (part as u32 * Word::BITS)
        })
        .sum()
}

impl<S: KeySize> From<u64> for Plaintext<S> {
    fn from(value: u64) -> Self {
        let mut integer = S::Full::zero();
        set_u64(&mut integer, 0, value);
        Self(integer)
    }
}

impl<S: KeySize> From<u128> for Plaintext<S> {
    fn from(value: u128) -> Self {
        let mut integer = S::Full::zero();
        set_u64(&mut integer, 0, value as u64);
        set_u64(&mut integer, 1, (value >> 64) as u64);
        Self(integer)
    }
}

impl<S: KeySize> ConstantTimeEq for Plaintext<S> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.words().ct_eq(other.0.words())
    }
}

impl<S: KeySize> PartialEq for Plaintext<S> {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl<S: KeySize> Eq for Plaintext<S> {}

impl<S: KeySize> fmt::Debug for Plaintext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plaintext").finish_non_exhaustive()
    }
}

impl<S: KeySize> Drop for Plaintext<S> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<S: KeySize> ZeroizeOnDrop for Plaintext<S> {}
