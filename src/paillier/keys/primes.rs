//! Random primes for a key, and the conditions on a pair of them.

use crypto_bigint::Word;
use crypto_primes::{
    Flavor,
    hazmat::{SetBits, SieveFactory, SmallFactorsSieve, SmallFactorsSieveFactory},
    is_prime, sieve_and_find,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    paillier::error::{Error, Result},
    residue::{Limbs, subtract},
    wipe::wipe_stack,
};

/// A random prime that is 3 modulo 4 and has its two top bits set.
pub(super) fn random_prime<H: Limbs>(rng: &mut (impl CryptoRng + ?Sized)) -> Result<Zeroizing<H>> {
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
pub(super) const MAX_PAIRS: u32 = 90;

/// Maximum number of pairs that are too close. One pair is too close with a probability below
/// 2^-97.
pub(super) const MAX_CLOSE_PAIRS: u32 = 2;

/// Whether |p − q| ≥ 2^(bits − 100), for primes of `bits` bits with their top bits set.
pub(super) fn are_far_apart<H: Limbs>(p: &H, q: &H) -> bool {
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
pub(super) fn are_halves_coprime<H: Limbs>(p: &H, q: &H) -> bool {
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
