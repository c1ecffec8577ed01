//! Public keys: the modulus n, and the checks of ciphertexts from outside.

use core::fmt;
use std::sync::Arc;

use crypto_bigint::{CtLt, Word};
use rayon::prelude::*;

use super::foreign_modulus;
use crate::{
    backend::{
        BackendChoice,
        engine::{Backend, PublicEngine},
    },
    paillier::{
        error::{Error, Result},
        fingerprint::Fingerprint,
        values::{Bits3072, Ciphertext, CiphertextBatch, KeySize, Plaintext, integer},
    },
    residue::{Limbs, Modulus, Pair, conditional_subtract, mul_wide},
};

/// A Paillier public key: the modulus n, with g = n + 1.
///
/// Cheap to clone: clones share the precomputed data. Two keys are equal if their moduli are equal.
///
/// ```
/// use cipherfold::paillier::{Bits2048, Encryptor, Plaintext, SecretKey};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
///
/// let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
/// let public = secret.public_key();
/// let encryptor = Encryptor::new(public, &mut rng)?;
/// let (three, four) = (Plaintext::from(3u64), Plaintext::from(4u64));
/// let sum = public.add(&encryptor.encrypt(&three, &mut rng)?, &encryptor.encrypt(&four, &mut rng)?)?;
/// assert_eq!(secret.decrypt(&sum)?.to_u64(), Some(7));
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct PublicKey<S: KeySize = Bits3072> {
    modulus: Arc<Modulus<S::Full>>,
    fingerprint: Fingerprint,
    backend: &'static dyn Backend<S::Full, S::Half>,
    engine: Arc<dyn PublicEngine<S::Full>>,
}

impl<S: KeySize> PublicKey<S> {
    /// The key with this modulus, for [`BackendChoice::Auto`]. **Time depends on n**, which is
    /// public.
    ///
    /// Every public key from outside passes through this function: bytes, text, messages, other
    /// libraries. It refuses a modulus that has a prime factor below 2¹⁶, is a power of an integer,
    /// or is a prime. These checks need n alone and are fast. They do **not** prove that n has two
    /// large prime factors: use keys of trusted parties only
    /// ([`paillier`](crate::paillier#public-keys-from-outside)).
    ///
    /// # Time
    ///
    /// On one core of a current x86-64 processor: 0.2 ms for 512 bits, 4 ms for 2048, 12 ms for
    /// 3072 and 27 ms for 4096, nearly all of it for the primality test. The moduli of the last
    /// eight keys that this process made or read are not checked again. A simulation, where all
    /// clients read the same key, thus checks it once.
    ///
    /// # Errors
    ///
    /// [`Error::EvenModulus`]; [`Error::ModulusLength`] if n does not have exactly
    /// [`KeySize::BITS`] bits; [`Error::ModulusSmallFactor`], [`Error::ModulusPower`],
    /// [`Error::ModulusPrime`]; those of [`BackendChoice::backend_name`].
    pub fn from_modulus_be(n: &[u8]) -> Result<Self> {
        let bits = significant_bits(n);
        let n: S::Full =
            integer::from_be(n).ok_or(Error::ModulusLength { expected: S::BITS, found: bits })?;
        Self::check_form(&n)?;
        foreign_modulus::check_vartime(&n)?;
        Self::from_modulus(n, BackendChoice::Auto)
    }

    /// Refuses a modulus that is even or has the wrong length.
    fn check_form(n: &S::Full) -> Result<()> {
        let found = integer::bits_vartime(n);
        if found != S::BITS {
            return Err(Error::ModulusLength { expected: S::BITS, found });
        }
        if n.words()[0] & 1 == 0 { Err(Error::EvenModulus) } else { Ok(()) }
    }

    /// The key with a modulus that needs no check.
    pub(in crate::paillier) fn from_modulus(n: S::Full, choice: BackendChoice) -> Result<Self> {
        Self::check_form(&n)?;
        let modulus = Arc::new(Modulus::new(n).ok_or(Error::EvenModulus)?);
        let backend = S::backend(choice)?;
        let engine = backend.public(&modulus);
        let fingerprint = Fingerprint::of_modulus(S::BITS, &integer::to_be(&n));
        Ok(Self { modulus, fingerprint, backend, engine })
    }

    /// The same key on another backend.
    ///
    /// # Errors
    ///
    /// Those of [`BackendChoice::backend_name`].
    pub fn with_backend(&self, choice: BackendChoice) -> Result<Self> {
        let backend = S::backend(choice)?;
        let engine = backend.public(&self.modulus);
        Ok(Self { backend, engine, ..self.clone() })
    }

    /// The name of this key's backend.
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// The key's fingerprint, which all its ciphertexts carry.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// n as a big-endian integer of [`KeySize::BYTES`] bytes.
    pub fn modulus_be(&self) -> Vec<u8> {
        integer::to_be(self.modulus.n())
    }

    /// A signed integer modulo n. Negative numbers count down from n, as usual for Paillier.
    ///
    /// Constant time.
    pub fn plaintext_from_i128(&self, value: i128) -> Plaintext<S> {
        let magnitude = Plaintext::<S>::from(value.unsigned_abs());
        let mut negated = *self.modulus.n();
        crate::residue::subtract(&mut negated, &magnitude.0);
        // All ones for negative numbers; n − 0 is never chosen because zero is not negative.
        let mask = core::hint::black_box((value >> 127).cast_unsigned() as Word);
        let mut chosen = magnitude.0;
        for (word, other) in chosen.words_mut().iter_mut().zip(negated.words()) {
            *word ^= (*word ^ other) & mask;
        }
        zeroize::Zeroize::zeroize(&mut negated);
        Plaintext(chosen)
    }

    /// The signed integer nearest to zero that equals m modulo n, if it fits an `i128`. The result
    /// and the time reveal the sign and whether it fits.
    pub fn plaintext_to_i128(&self, m: &Plaintext<S>) -> Option<i128> {
        let mut m = m.clone();
        // n has its top bit set, so one subtraction is enough.
        conditional_subtract(&mut m.0, &mut 0, self.modulus.n());
        if let Some(value) = m.to_u128() {
            return i128::try_from(value).ok();
        }
        let mut magnitude = Plaintext::<S>(*self.modulus.n());
        crate::residue::subtract(&mut magnitude.0, &m.0);
        let magnitude = magnitude.to_u128()?;
        (magnitude <= i128::MIN.unsigned_abs()).then(|| magnitude.cast_signed().wrapping_neg())
    }

    /// A ciphertext from the usual integer c below n² of other Paillier libraries, big-endian and
    /// of any length. **Time depends on c**, which is public.
    ///
    /// # Errors
    ///
    /// [`Error::CiphertextRange`] if c is not below n², [`Error::CiphertextZero`] if it is zero
    /// modulo n.
    pub fn ciphertext_from_integer(&self, c: &[u8]) -> Result<Ciphertext<S>> {
        let (high, low) = c.split_at(c.len().saturating_sub(S::BYTES));
        let low: S::Full = integer::from_be(low).expect("no more bytes than fit");
        let high: S::Full = integer::from_be(high).ok_or(Error::CiphertextRange { index: 0 })?;
        // low + high·R, each reduced below n first (n has its top bit set, so one subtraction is
        // enough).
        let reduced = |mut lo: S::Full| {
            let mut hi = S::Full::default();
            hi.words_mut()[0] = conditional_subtract(&mut lo, &mut 0, self.modulus.n());
            Pair::new(lo, hi)
        };
        let upper = self.modulus.to_mont(&reduced(high));
        let pair = self.modulus.add(&reduced(low), &upper);
        let ciphertext = Ciphertext { key: self.fingerprint, pair };
        // If c was reduced modulo n², it converts back to another integer.
        let (lo, hi) = mul_wide(&pair.hi, self.modulus.n(), &pair.lo);
        if lo != low || hi != high {
            return Err(Error::CiphertextRange { index: 0 });
        }
        self.check(&ciphertext)?;
        Ok(ciphertext)
    }

    /// The usual integer `c = c₀ + c₁·n`, big-endian, of twice [`KeySize::BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Self::check`].
    pub fn ciphertext_to_integer(&self, ciphertext: &Ciphertext<S>) -> Result<Vec<u8>> {
        self.check(ciphertext)?;
        let (lo, hi) = mul_wide(&ciphertext.pair.hi, self.modulus.n(), &ciphertext.pair.lo);
        let mut bytes = integer::to_be(&hi);
        bytes.extend(integer::to_be(&lo));
        Ok(bytes)
    }

    /// Checks that a ciphertext belongs to this key and is in range. Every operation also makes
    /// this check.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`], [`Error::CiphertextRange`], [`Error::CiphertextZero`].
    pub fn check(&self, ciphertext: &Ciphertext<S>) -> Result<()> {
        self.check_key(ciphertext.key)?;
        self.check_pairs(core::slice::from_ref(&ciphertext.pair))
    }

    /// [`Self::check`] for a batch. The errors name the first invalid index.
    ///
    /// # Errors
    ///
    /// [`Error::KeyMismatch`], [`Error::CiphertextRange`], [`Error::CiphertextZero`].
    pub fn check_batch(&self, batch: &CiphertextBatch<S>) -> Result<()> {
        self.check_key(batch.key)?;
        self.check_pairs(&batch.pairs)
    }

    pub(in crate::paillier) fn check_key(&self, found: Fingerprint) -> Result<()> {
        if found == self.fingerprint {
            Ok(())
        } else {
            Err(Error::KeyMismatch { expected: self.fingerprint, found })
        }
    }

    fn check_pairs(&self, pairs: &[Pair<S::Full>]) -> Result<()> {
        let fault = |(index, pair): (usize, &Pair<S::Full>)| {
            if !self.modulus.contains_vartime(pair) {
                return Some(Error::CiphertextRange { index });
            }
            // A multiple of n is no unit. Other non-units would reveal the factors of n; they are
            // not checked.
            let is_zero = pair.lo.words().iter().all(|word| *word == 0);
            is_zero.then_some(Error::CiphertextZero { index })
        };
        let first = if pairs.len() <= CHECKED_AT_ONCE {
            pairs.iter().enumerate().find_map(fault)
        } else {
            // Each check is cheap, but one core alone cannot use the full memory bandwidth.
            pairs.par_iter().enumerate().with_min_len(CHECKED_AT_ONCE).find_map_first(fault)
        };
        first.map_or(Ok(()), Err)
    }

    /// Plaintexts below n, in the form that backends take.
    pub(in crate::paillier) fn check_plaintexts(
        &self,
        ms: &[Plaintext<S>],
    ) -> Result<zeroize::Zeroizing<Vec<S::Full>>> {
        // Allocated at full length: growth would leave copies in freed memory.
        let integers = zeroize::Zeroizing::new(ms.iter().map(|m| m.0).collect::<Vec<_>>());
        self.check_integers(&integers)?;
        Ok(integers)
    }

    /// Refuses integers that are not below n. If all are below n, the time depends on their number
    /// alone.
    pub(in crate::paillier) fn check_integers(&self, ms: &[S::Full]) -> Result<()> {
        let n = self.modulus.n();
        let below = |m: &S::Full| subtle::Choice::from(m.ct_lt(n));
        let good = ms.iter().fold(subtle::Choice::from(1), |good, m| good & below(m));
        if !bool::from(good) {
            let index = ms.iter().position(|m| !bool::from(below(m))).expect("one of them is not below n");
            return Err(Error::PlaintextRange { index });
        }
        Ok(())
    }

    /// A batch of this key from the backend's residues.
    pub(in crate::paillier) fn batch(&self, pairs: Vec<Pair<S::Full>>) -> CiphertextBatch<S> {
        CiphertextBatch::new(self.fingerprint, pairs)
    }

    /// A ciphertext of this key from the backend's only residue.
    pub(in crate::paillier) fn single(&self, mut pairs: Vec<Pair<S::Full>>) -> Ciphertext<S> {
        let pair = pairs.pop().expect("one residue in, one out");
        Ciphertext { key: self.fingerprint, pair }
    }

    pub(in crate::paillier) fn modulus(&self) -> &Arc<Modulus<S::Full>> {
        &self.modulus
    }

    pub(in crate::paillier) fn backend(&self) -> &'static dyn Backend<S::Full, S::Half> {
        self.backend
    }

    pub(in crate::paillier) fn engine(&self) -> &dyn PublicEngine<S::Full> {
        &*self.engine
    }
}

pub(in crate::paillier) fn same_length(expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::BatchLength { expected, found }) }
}

/// Significant bits of a big-endian integer.
pub(in crate::paillier) fn significant_bits(bytes: &[u8]) -> u32 {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bits = |first: &u8| (bytes.len() - zeros) * 8 - first.leading_zeros() as usize;
    bytes.get(zeros).map_or(0, |first| u32::try_from(bits(first)).unwrap_or(u32::MAX))
}

impl<S: KeySize> Clone for PublicKey<S> {
    fn clone(&self) -> Self {
        Self {
            modulus: Arc::clone(&self.modulus),
            fingerprint: self.fingerprint,
            backend: self.backend,
            engine: Arc::clone(&self.engine),
        }
    }
}

impl<S: KeySize> PartialEq for PublicKey<S> {
    fn eq(&self, other: &Self) -> bool {
        self.modulus.n() == other.modulus.n()
    }
}

impl<S: KeySize> Eq for PublicKey<S> {}

/// Minimum number of ciphertexts that one task checks.
const CHECKED_AT_ONCE: usize = 1024;

impl<S: KeySize> fmt::Debug for PublicKey<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("bits", &S::BITS)
            .field("fingerprint", &self.fingerprint)
            .field("backend", &self.backend.name())
            .finish_non_exhaustive()
    }
}
