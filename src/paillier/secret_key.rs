//! Secret keys: two primes, and decryption by the Chinese remainder theorem.

use core::fmt;
use std::sync::Arc;

use crypto_bigint::{CtLt, Word};
use crypto_primes::{
    Flavor,
    hazmat::{SetBits, SieveFactory, SmallFactorsSieve, SmallFactorsSieveFactory},
    is_prime, sieve_and_find,
};
use rand_core::CryptoRng;
use subtle::{Choice as CtChoice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    Bits3072, Ciphertext, CiphertextBatch, Error, KeySize, Plaintext, PublicKey, Result, foreign_modulus,
    integer,
};
use crate::{
    backend::{BackendChoice, SecretEngine},
    residue::{Limbs, concat, mul_wide, subtract},
    wipe::wipe_stack,
};

/// A Paillier secret key: the primes p and q, p < q, and values precomputed from them.
///
/// Not `Clone`, never printed, wiped on drop, compared in constant time. Decryption takes the same
/// time for every ciphertext and every key of a size.
pub struct SecretKey<S: KeySize = Bits3072> {
    public: PublicKey<S>,
    /// Boxed, like the engine's data, so that a move leaves no unwiped copy.
    p: Box<S::Half>,
    q: Box<S::Half>,
    engine: Arc<dyn SecretEngine<S::Full>>,
}

impl<S: KeySize> SecretKey<S> {
    /// A new key from a cryptographic generator.
    ///
    /// n has exactly [`KeySize::BITS`] bits. p and q have half of these bits each, with their two
    /// top bits set. They are 3 modulo 4 with gcd(p − 1, q − 1) = 2, as Damgård, Jurik and Nielsen
    /// require for their short exponents. They differ by at least 2^(bits/2 − 100), where bits is
    /// the length of n (FIPS 186-5, A.1.3). gcd(n, φ(n)) = 1 follows from the equal lengths.
    /// Primality is tested as [`crypto_primes::is_prime`] documents (base-2 Miller–Rabin and
    /// Lucas).
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`] if `rng` repeats itself; those of
    /// [`select`](crate::backend::select) for [`BackendChoice::Auto`].
    ///
    /// # Time
    ///
    /// The search takes a random time. The time reveals the number of candidates, but not the
    /// candidates.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Result<Self> {
        let broken = |attempts| Err(Error::BrokenGenerator { drawn: PAIR, attempts });
        // Primes found so far. A working generator repeats one with a probability below 2^-240.
        let mut seen: Zeroizing<Vec<S::Half>> = Zeroizing::new(Vec::with_capacity(2 * MAX_PAIRS as usize));
        let mut close_pairs = 0;
        for attempt in 1..=MAX_PAIRS {
            let p = random_prime::<S::Half>(rng)?;
            let q = random_prime::<S::Half>(rng)?;
            if !far_apart(&*p, &*q) {
                close_pairs += 1;
            } else if halves_coprime(&*p, &*q) {
                return Self::assemble(&p, &q, BackendChoice::Auto);
            }
            let is_seen =
                |prime: &S::Half| seen.iter().any(|other| bool::from(other.words().ct_eq(prime.words())));
            if close_pairs == MAX_CLOSE_PAIRS || is_seen(&p) || is_seen(&q) {
                return broken(attempt);
            }
            seen.extend([*p, *q]);
        }
        broken(MAX_PAIRS)
    }

    /// The key with these primes, big-endian, as other Paillier libraries export them.
    ///
    /// Accepts any two primes of half the key's length with a product of full length, also primes
    /// that are 1 modulo 4. Their order does not matter: the smaller one becomes p. **Time depends
    /// on the primes** while they are tested.
    ///
    /// # Errors
    ///
    /// [`Error::PrimeLength`], [`Error::EvenModulus`], [`Error::EqualPrimes`],
    /// [`Error::ClosePrimes`], [`Error::NotPrime`], [`Error::ModulusLength`].
    pub fn from_primes_be_vartime(p: &[u8], q: &[u8]) -> Result<Self> {
        let read = |name, bytes: &[u8]| {
            let wrong = Error::PrimeLength {
                name,
                expected: S::BITS / 2,
                found: super::public_key::significant_bits(bytes),
            };
            let prime = integer::from_be::<S::Half>(bytes).ok_or(wrong.clone())?;
            if integer::bits_vartime(&prime) == S::BITS / 2 { Ok(Zeroizing::new(prime)) } else { Err(wrong) }
        };
        let (p, q) = (read("p", p)?, read("q", q)?);
        if p.words()[0] & q.words()[0] & 1 == 0 {
            return Err(Error::EvenModulus);
        }
        if *p == *q {
            return Err(Error::EqualPrimes);
        }
        if !far_apart(&*p, &*q) {
            return Err(Error::ClosePrimes);
        }
        for (name, prime) in [("p", &p), ("q", &q)] {
            if !is_prime(Flavor::Any, &**prime) {
                return Err(Error::NotPrime { name });
            }
        }
        wipe_stack();
        Self::assemble(&p, &q, BackendChoice::Auto)
    }

    /// The smaller prime becomes p, so that a key has one encoding.
    fn assemble(p: &S::Half, q: &S::Half, choice: BackendChoice) -> Result<Self> {
        let mut primes = Zeroizing::new([*p, *q]);
        let swapped = !CtChoice::from(p.ct_lt(q));
        let [p, q] = &mut *primes;
        for (a, b) in p.words_mut().iter_mut().zip(q.words_mut()) {
            Word::conditional_swap(a, b, swapped);
        }
        let (lo, hi) = mul_wide(p, q, &S::Half::default());
        wipe_stack();
        let public = PublicKey::from_modulus(concat(&lo, &hi), choice)?;
        foreign_modulus::remember(public.modulus().n());
        let engine = public.backend().secret(p, q);
        wipe_stack();
        Ok(Self { public, p: Box::new(*p), q: Box::new(*q), engine })
    }

    /// The same key on another backend.
    ///
    /// # Errors
    ///
    /// Those of [`select`](crate::backend::select).
    pub fn with_backend(&self, choice: BackendChoice) -> Result<Self> {
        Self::assemble(&self.p, &self.q, choice)
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey<S> {
        &self.public
    }

    /// The primes p and q, p < q, big-endian, for export. **The primes are secret**; the buffers
    /// wipe themselves.
    pub fn expose_primes_be(&self) -> (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>) {
        (Zeroizing::new(integer::to_be(&*self.p)), Zeroizing::new(integer::to_be(&*self.q)))
    }

    /// Decrypts one ciphertext.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check`]; [`Error::Decrypt`] for a residue that no encryption yields.
    pub fn decrypt(&self, ciphertext: &Ciphertext<S>) -> Result<Plaintext<S>> {
        self.public.check(ciphertext)?;
        let plaintexts = self.engine.decrypt(&[ciphertext.pair]).map(Zeroizing::new);
        Ok(Plaintext(plaintexts.ok_or(Error::Decrypt)?[0]))
    }

    /// Decrypts a batch, on all threads of the current rayon pool.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check_batch`]; [`Error::Decrypt`] if one of them is a residue that no
    /// encryption yields.
    pub fn decrypt_batch(&self, batch: &CiphertextBatch<S>) -> Result<Vec<Plaintext<S>>> {
        self.public.check_batch(batch)?;
        let plaintexts = self.decrypt_integers(batch)?;
        Ok(plaintexts.iter().map(|m| Plaintext(*m)).collect())
    }

    /// The plaintexts of checked ciphertexts, in the form that backends return.
    pub(crate) fn decrypt_integers(&self, batch: &CiphertextBatch<S>) -> Result<Zeroizing<Vec<S::Full>>> {
        self.engine.decrypt(&batch.pairs).map(Zeroizing::new).ok_or(Error::Decrypt)
    }
}

/// A random prime that is 3 modulo 4 and has its two top bits set.
fn random_prime<H: Limbs>(rng: &mut (impl CryptoRng + ?Sized)) -> Result<Zeroizing<H>> {
    let prime = search_prime(rng);
    wipe_stack();
    prime
}

#[inline(never)]
fn search_prime<H: Limbs>(rng: &mut (impl CryptoRng + ?Sized)) -> Result<Zeroizing<H>> {
    let bits = H::WORDS as u32 * Word::BITS;
    let sieves = SmallFactorsSieveFactory::<H>::new(Flavor::Any, bits, SetBits::TwoMsb)
        .expect("primes are longer than the sieve's smallest");
    let sieves = BoundedSieves { sieves, left: MAX_SIEVES };
    let is_found =
        |_: &mut _, candidate: &H| candidate.words()[0] & 3 == 3 && is_prime(Flavor::Any, candidate);
    sieve_and_find(rng, sieves, is_found)
        .expect("the sieve draws from a range that fits")
        .map(Zeroizing::new)
        .ok_or(Error::BrokenGenerator { drawn: "prime", attempts: MAX_SIEVES })
}

/// Sieves from a limited number of starting points. A sieve finds a prime unless it starts among
/// the last numbers of its range. A generator that repeats itself could always start there.
struct BoundedSieves<H: Limbs> {
    sieves: SmallFactorsSieveFactory<H>,
    left: u32,
}

impl<H: Limbs> SieveFactory for BoundedSieves<H> {
    type Item = H;
    type Sieve = SmallFactorsSieve<H>;

    fn make_sieve<R: CryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
        previous: Option<&Self::Sieve>,
    ) -> core::result::Result<Option<Self::Sieve>, crypto_primes::Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.sieves.make_sieve(rng, previous)
    }
}

/// Maximum number of starting points in one search for a prime of 256 bits or more. No known gap
/// between primes of that size that are 3 modulo 4 reaches 2^20, so one search fails with a
/// probability below 2^-230.
const MAX_SIEVES: u32 = 2;

/// Maximum number of pairs of primes drawn for one key. In one pair, (p − 1)/2 and (q − 1)/2 have a
/// common factor with a probability of 1 − Π (1 − 1/(r − 1)²) = 0.34 over odd primes r. In all
/// pairs they have one with a probability of 0.34^90 < 2^-139.
const MAX_PAIRS: u32 = 90;

/// Maximum number of pairs that are too close. One pair is too close with a probability below
/// 2^-97.
const MAX_CLOSE_PAIRS: u32 = 2;

const PAIR: &str = "pair of primes";

/// Whether |p − q| ≥ 2^(bits − 100), for primes of `bits` bits with their top bits set.
fn far_apart<H: Limbs>(p: &H, q: &H) -> bool {
    let (whole, rest) = ((100 / Word::BITS) as usize, 100 % Word::BITS);
    debug_assert!(H::WORDS > whole + 1);
    // One of the differences wraps, to at least half of 2^bits, and therefore always has a top bit
    // set.
    let reaches_top = |a: &H, b: &H| {
        let mut difference = Zeroizing::new(*a);
        subtract(&mut *difference, b);
        let (low, top) = difference.words()[H::WORDS - 1 - whole..].split_first().expect("it is not empty");
        top.iter().fold(low >> (Word::BITS - rest), |any, word| any | word) != 0
    };
    // Whether a pair is discarded is public.
    reaches_top(p, q) & reaches_top(q, p)
}

/// Whether (p − 1)/2 and (q − 1)/2 have no common factor, for odd primes.
fn halves_coprime<H: Limbs>(p: &H, q: &H) -> bool {
    let half = |prime: &H| {
        let mut half = *prime;
        let mut carried = 0;
        for word in half.words_mut().iter_mut().rev() {
            let out = *word & 1;
            *word = (*word >> 1) | (carried << (Word::BITS - 1));
            carried = out;
        }
        Zeroizing::new(half)
    };
    let mut gcd = half(p).gcd(&*half(q));
    let coprime = bool::from(H::one().ct_eq(&gcd));
    gcd.zeroize();
    coprime
}

impl<S: KeySize> ConstantTimeEq for SecretKey<S> {
    fn ct_eq(&self, other: &Self) -> CtChoice {
        let same = |a: &S::Half, b: &S::Half| a.words().ct_eq(b.words());
        same(&self.p, &other.p) & same(&self.q, &other.q)
    }
}

impl<S: KeySize> PartialEq for SecretKey<S> {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl<S: KeySize> Eq for SecretKey<S> {}

impl<S: KeySize> fmt::Debug for SecretKey<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

impl<S: KeySize> Drop for SecretKey<S> {
    fn drop(&mut self) {
        // The engine wipes its own copies.
        self.p.zeroize();
        self.q.zeroize();
    }
}

impl<S: KeySize> ZeroizeOnDrop for SecretKey<S> {}
