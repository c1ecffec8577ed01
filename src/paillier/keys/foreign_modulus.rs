//! Checks of a modulus whose primes are unknown.
//!
//! A modulus of another party is public, so the time of all checks may depend on it.

use std::{
    collections::VecDeque,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use crypto_bigint::{Limb, NonZero, Reciprocal, Word};
use crypto_primes::{Flavor, is_prime};

use crate::{
    paillier::{
        error::{Error, Result},
        values::integer,
    },
    residue::Limbs,
};

/// Refuses an odd modulus that is not a product of two large primes, as far as trial division, a
/// test for perfect powers and a primality test can detect. **Time depends on n.**
///
/// These conditions are necessary, not sufficient. A product of three large primes passes, and so
/// does a product of two badly chosen primes. A proof by the owner of the key (Goldberg, Reyzin,
/// Sagga, Baldimtsi, "Efficient noninteractive certification of RSA moduli and beyond",
/// ASIACRYPT 2019) would show more; it would be checked after this.
///
/// The moduli of the latest keys are remembered and not checked again, because many messages of one
/// process carry the same key.
pub(in crate::paillier) fn check_vartime<U: Limbs>(n: &U) -> Result<()> {
    if is_known_vartime(n) {
        return Ok(());
    }
    check_anew_vartime(n)?;
    remember(n);
    Ok(())
}

/// Remembers a modulus that was checked or has known primes.
pub(in crate::paillier) fn remember<U: Limbs>(n: &U) {
    let mut known = known();
    if known.iter().any(|known| **known == *n.words()) {
        return;
    }
    if known.len() == MAX_KNOWN {
        known.pop_front();
    }
    known.push_back(n.words().into());
}

fn is_known_vartime<U: Limbs>(n: &U) -> bool {
    known().iter().any(|known| **known == *n.words())
}

fn known() -> MutexGuard<'static, VecDeque<Box<[Word]>>> {
    // The list is valid even if another thread panicked.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_anew_vartime<U: Limbs>(n: &U) -> Result<()> {
    if let Some(factor) = small_factor_vartime(n) {
        return Err(Error::ModulusSmallFactor { factor });
    }
    if let Some(exponent) = power_vartime(n) {
        return Err(Error::ModulusPower { exponent });
    }
    if is_prime(Flavor::Any, n) {
        return Err(Error::ModulusPrime);
    }
    Ok(())
}

/// The smallest odd prime below 2¹⁶ that divides n.
fn small_factor_vartime<U: Limbs>(n: &U) -> Option<u32> {
    let TrialDivisors { primes, groups } = &*TRIAL_DIVISORS;
    let mut primes = primes.iter();
    groups.iter().find_map(|group| {
        let rest = n.rem_limb_with_reciprocal(&group.reciprocal).0;
        primes
            .by_ref()
            .take(group.len)
            .find(|prime| rest % Word::from(**prime) == 0)
            .map(|prime| u32::from(*prime))
    })
}

/// The smallest prime e for which n is the e-th power of an integer. n has no prime factor below
/// 2¹⁶, so e is at most a sixteenth of its bits.
fn power_vartime<U: Limbs>(n: &U) -> Option<u32> {
    let primes = TRIAL_DIVISORS.primes.iter().map(|prime| u32::from(*prime));
    let largest = integer::bits_vartime(n) / SMALL_BITS;
    core::iter::once(2)
        .chain(primes)
        .take_while(|exponent| *exponent <= largest)
        .find(|exponent| may_be_power_vartime(n, *exponent) && is_power_vartime(n, *exponent))
}

/// Whether n is an e-th power modulo small primes r with r ≡ 1 modulo e. Each of these primes
/// accepts one in e of the numbers that are not e-th powers.
fn may_be_power_vartime<U: Limbs>(n: &U, exponent: u32) -> bool {
    let primes = TRIAL_DIVISORS.primes.iter().map(|prime| u32::from(*prime));
    primes.filter(|r| r % exponent == 1).take(RESIDUE_TESTS).all(|r| {
        let modulus = NonZero::new(Limb(Word::from(r as u16))).expect("a prime is not zero");
        #[allow(clippy::unnecessary_cast, reason = "a word has 32 bits on some targets")]
        let residue = n.rem_limb(modulus).0 as u32;
        // a^(r − 1) for n = a^e. The residue is not zero: n has no factor r.
        pow_mod(residue, (r - 1) / exponent, r) == 1
    })
}

/// Whether n is the e-th power of an integer. Searches for the root from the top bit down.
fn is_power_vartime<U: Limbs>(n: &U, exponent: u32) -> bool {
    let mut root = U::zero();
    for bit in (0..integer::bits_vartime(n).div_ceil(exponent)).rev() {
        let mut larger = root;
        larger.words_mut()[(bit / Word::BITS) as usize] |= 1 << (bit % Word::BITS);
        match checked_pow_vartime(&larger, exponent) {
            Some(power) if power == *n => return true,
            Some(power) if power < *n => root = larger,
            _ => {}
        }
    }
    false
}

/// base^exponent, if it fits.
fn checked_pow_vartime<U: Limbs>(base: &U, exponent: u32) -> Option<U> {
    let mut power = *base;
    for bit in (0..exponent.ilog2()).rev() {
        power = power.checked_mul(&power).into_option()?;
        if exponent >> bit & 1 == 1 {
            power = power.checked_mul(base).into_option()?;
        }
    }
    Some(power)
}

/// base^exponent modulo a number below 2¹⁶.
fn pow_mod(mut base: u32, mut exponent: u32, modulus: u32) -> u32 {
    let mut power = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent >>= 1;
    }
    power
}

/// The odd primes below 2¹⁶, and groups of them whose products fit a word: one division of a long
/// number for each group.
struct TrialDivisors {
    primes: Vec<u16>,
    groups: Vec<Group>,
}

/// Consecutive primes.
struct Group {
    len: usize,
    /// The reciprocal of their product.
    reciprocal: Reciprocal,
}

static TRIAL_DIVISORS: LazyLock<TrialDivisors> = LazyLock::new(|| {
    let primes = odd_primes();
    let mut groups = Vec::new();
    let mut rest = &primes[..];
    while !rest.is_empty() {
        let (mut product, mut len): (Word, _) = (1, 0);
        while let Some(next) = rest.get(len).and_then(|prime| product.checked_mul(Word::from(*prime))) {
            (product, len) = (next, len + 1);
        }
        let product = NonZero::new(Limb(product)).expect("primes are not zero");
        groups.push(Group { len, reciprocal: Reciprocal::new(product) });
        rest = &rest[len..];
    }
    TrialDivisors { primes, groups }
});

/// The odd primes below 2¹⁶, by the sieve of Eratosthenes.
fn odd_primes() -> Vec<u16> {
    let mut is_composite = vec![false; 1 << SMALL_BITS];
    (3..=u16::MAX)
        .step_by(2)
        .filter(|candidate| {
            let prime = usize::from(*candidate);
            if is_composite[prime] {
                return false;
            }
            is_composite.iter_mut().skip(prime * prime).step_by(prime).for_each(|multiple| *multiple = true);
            true
        })
        .collect()
}

/// Moduli that need no check, the latest one last.
static KNOWN: Mutex<VecDeque<Box<[Word]>>> = Mutex::new(VecDeque::new());

/// Maximum number of remembered moduli.
const MAX_KNOWN: usize = 8;

/// Small primes are below 2 to this power.
const SMALL_BITS: u32 = 16;

/// Number of primes r for each exponent. All of them accept a number that is not a square with a
/// probability of 2^−32, and one that is not a higher power with a smaller probability. An exact
/// test then decides.
const RESIDUE_TESTS: usize = 32;

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::{
        paillier::{
            Bits2048, Bits3072, Bits4096, Encryptor, KeySize, PublicKey, SecretKey,
            hazmat::InsecureBits512 as Small, values::key_size::Widths,
        },
        test_support::replayable,
    };

    fn found<S: KeySize>(n: &BigUint) -> Option<Error> {
        PublicKey::<S>::from_modulus_be(&n.to_bytes_be()).err()
    }

    /// For at most 2048 bits, in the narrowest integers that hold them.
    fn is_prime_big(n: &BigUint) -> bool {
        fn check<U: Limbs>(n: &BigUint) -> bool {
            is_prime(Flavor::Any, &integer::from_be::<U>(&n.to_bytes_be()).expect("wide enough"))
        }
        let is_multiple = |prime: &u16| (n % *prime).bits() == 0 && n.bits() > 16;
        match n.bits() {
            _ if TRIAL_DIVISORS.primes.iter().any(is_multiple) => false,
            0..=256 => check::<<Small as Widths>::Half>(n),
            257..=512 => check::<<Small as Widths>::Full>(n),
            _ => check::<<Bits2048 as Widths>::Full>(n),
        }
    }

    /// The first prime at or above a random number of `bits` bits with its top two bits set.
    fn prime(bits: u64, rng: &mut ChaCha20Rng) -> BigUint {
        let mut bytes = vec![0; bits.div_ceil(8) as usize];
        rng.fill_bytes(&mut bytes);
        let mut n = BigUint::from_bytes_be(&bytes) >> (8 * bytes.len() as u64 - bits);
        for bit in [0, bits - 2, bits - 1] {
            n.set_bit(bit, true);
        }
        while !is_prime_big(&n) {
            n += 2_u8;
        }
        n
    }

    /// The first prime above the e-th root of 2^(bits − 1). Its e-th power has `bits` bits or one
    /// more.
    fn root_prime(bits: u32, exponent: u32) -> BigUint {
        let mut p = (BigUint::from(1_u8) << (bits - 1)).nth_root(exponent) + 1_u8;
        p.set_bit(0, true);
        while !is_prime_big(&p) {
            p += 2_u8;
        }
        p
    }

    #[test]
    fn trial_divisors_are_the_odd_primes_below_2_to_the_16() {
        let TrialDivisors { primes, groups } = &*TRIAL_DIVISORS;
        assert_eq!((primes.len(), primes[0], primes[6540]), (6541, 3, 65_521));
        assert_eq!(groups.iter().map(|group| group.len).sum::<usize>(), 6541);
        let divides = |d: u32, n: u16| u32::from(n) % d == 0;
        assert!(primes.iter().all(|&n| (2..256).all(|d| u32::from(n) == d || !divides(d, n))));
    }

    #[test]
    fn every_small_factor_is_found() {
        // A prime of 496 bits times each small prime.
        let large = prime(496, &mut ChaCha20Rng::from_seed([1; 32]));
        for factor in &TRIAL_DIVISORS.primes {
            let n = &large * *factor;
            let n: <Small as Widths>::Full = integer::from_be(&n.to_bytes_be()).unwrap();
            assert_eq!(small_factor_vartime(&n), Some(u32::from(*factor)));
        }
    }

    /// Every prime exponent with a root of more than 16 bits, at every size. The numbers next to a
    /// power are not powers.
    #[test]
    fn every_power_is_found() {
        fn check<S: KeySize>(exponents: &[u32]) {
            for &exponent in exponents {
                let n = root_prime(S::BITS, exponent).pow(exponent);
                if n.bits() == u64::from(S::BITS) {
                    assert_eq!(found::<S>(&n), Some(Error::ModulusPower { exponent }));
                }
                let [n, next] = [n.clone(), n + 2_u8]
                    .map(|n| integer::from_be::<S::Full>(&n.to_bytes_be()).expect("of the key's length"));
                assert_eq!(power_vartime(&n), Some(exponent));
                assert!(!is_power_vartime(&next, exponent));
            }
        }
        check::<Small>(&[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        check::<Bits2048>(&[2, 3, 61, 113]);
        check::<Bits3072>(&[3, 191]);
        check::<Bits4096>(&[3, 5, 251]);
        // For a composite exponent, the smallest prime factor is reported.
        let n = root_prime(512, 15).pow(15);
        assert_eq!(
            power_vartime(&integer::from_be::<<Small as Widths>::Full>(&n.to_bytes_be()).unwrap()),
            Some(3)
        );
    }

    #[test]
    fn primes_are_refused_at_every_size() {
        fn check<S: KeySize>(rng: &mut ChaCha20Rng) {
            assert_eq!(found::<S>(&prime(S::BITS.into(), rng)), Some(Error::ModulusPrime));
        }
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        check::<Small>(&mut rng);
        check::<Small>(&mut rng);
        check::<Bits2048>(&mut rng);
    }

    #[test]
    fn a_power_of_three_is_refused_and_harmless() {
        let n = BigUint::from(3_u8).pow(1292);
        assert_eq!(found::<Bits2048>(&n), Some(Error::ModulusSmallFactor { factor: 3 }));
        // Without the check, the result is an error or a useless encryptor, but no panic.
        let n = integer::from_be(&n.to_bytes_be()).unwrap();
        let key = PublicKey::<Bits2048>::from_modulus(n, crate::backend::BackendChoice::Auto).unwrap();
        for seed in 0..4 {
            let mut rng = ChaCha20Rng::from_seed([seed; 32]);
            match Encryptor::new(&key, &mut rng) {
                Ok(_) | Err(Error::TrivialBase | Error::CiphertextZero { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn keys_made_here_pass_at_every_size() {
        fn check<S: KeySize>(rng: &mut ChaCha20Rng) {
            let n = SecretKey::<S>::generate(rng).unwrap().public_key().modulus_be();
            assert_eq!(check_anew_vartime::<S::Full>(&integer::from_be(&n).unwrap()), Ok(()));
        }
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        check::<Small>(&mut rng);
        check::<Bits2048>(&mut rng);
        check::<Bits3072>(&mut rng);
    }

    /// Other tests use the list at the same time. They can remove a modulus from it, but they add
    /// no bad one.
    #[test]
    fn only_good_moduli_are_remembered() {
        let mut rng = ChaCha20Rng::from_seed([4; 32]);
        let read =
            |n: &BigUint| integer::from_be::<<Small as Widths>::Full>(&n.to_bytes_be()).expect("it fits");
        for _ in 0..2 * MAX_KNOWN {
            let good = prime(256, &mut rng) * prime(256, &mut rng);
            assert_eq!([found::<Small>(&good), found::<Small>(&good)], [None, None]);
            let bad = prime(256, &mut rng).pow(2);
            assert!([found::<Small>(&bad), found::<Small>(&bad)].iter().all(Option::is_some));
            assert!(!is_known_vartime(&read(&bad)));
            assert!(known().len() <= MAX_KNOWN);
        }
    }

    proptest! {
        #![proptest_config(replayable(40))]

        #[test]
        fn products_of_two_primes_of_half_the_length_pass(seed: [u8; 32]) {
            let mut rng = ChaCha20Rng::from_seed(seed);
            prop_assert_eq!(found::<Small>(&(prime(256, &mut rng) * prime(256, &mut rng))), None);
        }

        #[test]
        fn squares_and_multiples_of_small_primes_are_refused(seed: [u8; 32], which in 0..6541_usize, power in 1..300_u32) {
            let mut rng = ChaCha20Rng::from_seed(seed);
            let p = prime(256, &mut rng);
            prop_assert_eq!(found::<Small>(&(&p * &p)), Some(Error::ModulusPower { exponent: 2 }));
            let factor = TRIAL_DIVISORS.primes[which];
            let small = BigUint::from(factor);
            let n = &small * prime(513 - small.bits(), &mut rng);
            if n.bits() == 512 {
                prop_assert_eq!(found::<Small>(&n), Some(Error::ModulusSmallFactor { factor: factor.into() }));
            }
            // 3^k times an odd number that fills up the length.
            let three = BigUint::from(3_u8).pow(power);
            let mut odd = (BigUint::from(1_u8) << 511_u32) / &three + rng.next_u32() + 1_u8;
            odd.set_bit(0, true);
            let n = three * odd;
            prop_assert_eq!(found::<Small>(&n), Some(Error::ModulusSmallFactor { factor: 3 }));
        }

        /// Small factors only.
        #[test]
        fn smooth_numbers_are_refused(which in prop::collection::vec(0..6541_usize, 100)) {
            let mut n = BigUint::from(1_u8);
            for which in which {
                let next = &n * TRIAL_DIVISORS.primes[which];
                if next.bits() > 512 {
                    break;
                }
                n = next;
            }
            while n.bits() < 512 {
                n *= 3_u8;
            }
            prop_assume!(n.bits() == 512);
            let refused = matches!(found::<Small>(&n), Some(Error::ModulusSmallFactor { .. }));
            prop_assert!(refused);
        }
    }
}
