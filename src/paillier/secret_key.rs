//! Secret keys: two primes, and decryption by the Chinese remainder theorem.

use core::fmt;
use std::sync::Arc;

use crypto_bigint::Word;
use crypto_primes::{
    Flavor,
    hazmat::{SetBits, SmallFactorsSieveFactory},
    is_prime, sieve_and_find,
};
use rand_core::CryptoRng;
use subtle::{Choice as CtChoice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Bits3072, Ciphertext, CiphertextBatch, KeySize, Plaintext, PublicKey, integer};
use crate::{
    Error, Result,
    backend::{Choice, SecretEngine},
    residue::{Limbs, concat, mul_wide, subtract},
};

/// A Paillier secret key: the primes p and q, and what follows from them.
///
/// Not `Clone`, never printed, wiped on drop, compared in constant time. Decryption takes the same
/// time for every ciphertext and every key of a size.
pub struct SecretKey<S: KeySize = Bits3072> {
    public: PublicKey<S>,
    /// Boxed, like what the engine holds, so that a move leaves no copy behind unwiped.
    p: Box<S::Half>,
    q: Box<S::Half>,
    engine: Arc<dyn SecretEngine<S::Full>>,
}

impl<S: KeySize> SecretKey<S> {
    /// A new key from a cryptographic generator.
    ///
    /// n has exactly [`KeySize::BITS`] bits. p and q have half as many each, with their two top bits
    /// set; they are 3 modulo 4 with gcd(p − 1, q − 1) = 2, as Damgård, Jurik and Nielsen ask for
    /// their short exponents; and they lie 2^(bits/2 − 100) apart or more, bits those of n (FIPS 186-5, A.1.3).
    /// gcd(n, φ(n)) = 1 follows from the equal lengths. Primality is tested as [`crypto_primes::is_prime`]
    /// documents (base-2 Miller–Rabin and Lucas).
    ///
    /// # Panics
    ///
    /// If the environment variable `CIPHERFOLD_BACKEND` names a backend that does not exist or cannot run here.
    ///
    /// # Time
    ///
    /// The search takes a random time; the time says how many candidates were tried, not which.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        loop {
            let (p, q) = (random_prime::<S::Half>(rng), random_prime::<S::Half>(rng));
            let (p, q) = (Zeroizing::new(p), Zeroizing::new(q));
            if !far_apart(&*p, &*q) || !halves_coprime(&*p, &*q) {
                continue;
            }
            return Self::assemble(&p, &q, Choice::Auto).expect("two primes with their top bits set");
        }
    }

    /// The key with these primes, big-endian, as other Paillier libraries export them.
    ///
    /// Any two primes of half the key's length with a product of full length are taken, also those
    /// that are 1 modulo 4. **Time depends on the primes** while they are tested.
    ///
    /// # Errors
    ///
    /// [`Error::PrimeLength`], [`Error::EvenModulus`], [`Error::EqualPrimes`], [`Error::ClosePrimes`],
    /// [`Error::NotPrime`], [`Error::ModulusLength`].
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
        Self::assemble(&p, &q, Choice::Auto)
    }

    fn assemble(p: &S::Half, q: &S::Half, choice: Choice) -> Result<Self> {
        let (lo, hi) = mul_wide(p, q, &S::Half::default());
        let public = PublicKey::from_modulus(concat(&lo, &hi), choice)?;
        let engine = public.backend().secret(p, q);
        Ok(Self { public, p: Box::new(*p), q: Box::new(*q), engine })
    }

    /// The same key, working on another backend.
    ///
    /// # Errors
    ///
    /// Those of [`select`](crate::backend::select).
    pub fn with_backend(&self, choice: Choice) -> Result<Self> {
        Self::assemble(&self.p, &self.q, choice)
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey<S> {
        &self.public
    }

    /// The primes p and q, big-endian, for export. **They are the secret**; the buffers wipe themselves.
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

    /// Decrypts many, on all threads of the current rayon pool.
    ///
    /// # Errors
    ///
    /// Those of [`PublicKey::check_batch`]; [`Error::Decrypt`] if one of them is a residue that no
    /// encryption yields.
    pub fn decrypt_batch(&self, batch: &CiphertextBatch<S>) -> Result<Vec<Plaintext<S>>> {
        self.public.check_batch(batch)?;
        let plaintexts = self.engine.decrypt(&batch.pairs).map(Zeroizing::new).ok_or(Error::Decrypt)?;
        Ok(plaintexts.iter().map(|m| Plaintext(*m)).collect())
    }
}

/// A random prime that is 3 modulo 4 and has its two top bits set.
fn random_prime<H: Limbs>(rng: &mut (impl CryptoRng + ?Sized)) -> H {
    let bits = H::WORDS as u32 * Word::BITS;
    let sieve = SmallFactorsSieveFactory::<H>::new(Flavor::Any, bits, SetBits::TwoMsb)
        .expect("primes are longer than the sieve's smallest");
    sieve_and_find(rng, sieve, |_, candidate| {
        candidate.words()[0] & 3 == 3 && is_prime(Flavor::Any, candidate)
    })
    .expect("the sieve draws from a range that fits")
    .expect("the search goes on until there is a prime")
}

/// Whether |p − q| ≥ 2^(bits − 100), for primes of `bits` bits with their top bits set.
fn far_apart<H: Limbs>(p: &H, q: &H) -> bool {
    let (whole, rest) = ((100 / Word::BITS) as usize, 100 % Word::BITS);
    debug_assert!(H::WORDS > whole + 1);
    // One of the differences wraps, to no less than half of 2^bits, and so has a top bit set in any case.
    let reaches_top = |a: &H, b: &H| {
        let mut difference = Zeroizing::new(*a);
        subtract(&mut *difference, b);
        let (low, top) = difference.words()[H::WORDS - 1 - whole..].split_first().expect("it is not empty");
        top.iter().fold(low >> (Word::BITS - rest), |any, word| any | word) != 0
    };
    // Whether a pair is thrown away is public.
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
        (same(&self.p, &other.p) & same(&self.q, &other.q))
            | (same(&self.p, &other.q) & same(&self.q, &other.p))
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
