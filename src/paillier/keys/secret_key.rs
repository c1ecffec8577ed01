//! Secret keys: two primes, and decryption by the Chinese remainder theorem.

use core::fmt;
use std::sync::Arc;

use crypto_bigint::{CtLt, Word};
use crypto_primes::{Flavor, is_prime};
use rand_core::CryptoRng;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    foreign_modulus,
    primes::{MAX_CLOSE_PAIRS, MAX_PAIRS, are_far_apart, are_halves_coprime, random_prime},
    public_key::{PublicKey, significant_bits},
};
use crate::{
    backend::{BackendChoice, engine::SecretEngine},
    paillier::{
        error::{Error, Result},
        values::{Bits3072, Ciphertext, CiphertextBatch, KeySize, Plaintext, integer},
    },
    residue::{Limbs, concat, mul_wide},
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
    /// [`BackendChoice::backend_name`] for [`BackendChoice::Auto`].
    ///
    /// # Time
    ///
    /// The search takes a random time. The time reveals the number of candidates, but not the
    /// candidates.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Result<Self> {
        let broken = |attempts| Err(Error::BrokenGenerator { drawn: "pair of primes", attempts });
        // Primes found so far. A working generator repeats one with a probability below 2^-240.
        let mut seen: Zeroizing<Vec<S::Half>> = Zeroizing::new(Vec::with_capacity(2 * MAX_PAIRS as usize));
        let mut close_pairs = 0;
        for attempt in 1..=MAX_PAIRS {
            let p = random_prime::<S::Half>(rng)?;
            let q = random_prime::<S::Half>(rng)?;
            if !are_far_apart(&*p, &*q) {
                close_pairs += 1;
            } else if are_halves_coprime(&*p, &*q) {
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
            let wrong = Error::PrimeLength { name, expected: S::BITS / 2, found: significant_bits(bytes) };
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
        if !are_far_apart(&*p, &*q) {
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
        let swapped = !Choice::from(p.ct_lt(q));
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
    /// Those of [`BackendChoice::backend_name`].
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

impl<S: KeySize> ConstantTimeEq for SecretKey<S> {
    fn ct_eq(&self, other: &Self) -> Choice {
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
