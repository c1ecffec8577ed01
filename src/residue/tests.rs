//! The reference against an unrelated big-integer library, at edge cases of carries.

use crypto_bigint::{U256, U1024, U2048, U3072, Uint, Word};
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

fn big<U: Limbs>(value: &U) -> BigUint {
    let mut bytes = vec![0; U::WORDS * size_of::<Word>()];
    words_to_le_bytes(value, &mut bytes);
    BigUint::from_bytes_le(&bytes)
}

fn small<U: Limbs>(value: &BigUint) -> U {
    let mut bytes = value.to_bytes_le();
    bytes.resize(U::WORDS * size_of::<Word>(), 0);
    words_from_le_bytes(&bytes)
}

fn pair_value<U: Limbs>(pair: &Pair<U>, n: &BigUint) -> BigUint {
    big(&pair.lo) + big(&pair.hi) * n
}

fn random<U: Limbs>(rng: &mut impl Rng) -> U {
    let mut value = U::zero();
    for word in value.words_mut() {
        *word = rng.next_u64() as Word;
    }
    value
}

/// A value with one word everywhere.
fn filled<U: Limbs>(word: Word) -> U {
    let mut value = U::zero();
    value.words_mut().fill(word);
    value
}

/// Moduli by name: full and short top limbs, all-ones limbs, the smallest and the largest.
fn moduli<U: Limbs>(rng: &mut impl Rng) -> Vec<(&'static str, U)> {
    let odd = |mut n: U| {
        n.words_mut()[0] |= 1;
        n
    };
    let top = U::WORDS - 1;
    let mut full = odd(random(rng));
    full.words_mut()[top] |= 1 << (Word::BITS - 1);
    let mut short = odd(random(rng));
    short.words_mut()[top] = 5;
    let mut shorter = odd(random(rng));
    shorter.words_mut()[top] = 0;
    let mut power = U::zero();
    power.words_mut()[top] = 1 << (Word::BITS - 1);
    let mut three = U::zero();
    three.words_mut()[0] = 3;
    vec![
        ("random, full top limb", full),
        ("random, short top limb", short),
        ("random, empty top limb", shorter),
        ("all ones: R − 1", filled(Word::MAX)),
        ("just above R/2", odd(power)),
        ("three", three),
    ]
}

/// Residues modulo n by name: 0, 1, n − 1, R mod n, all-ones and alternating limbs, random.
fn digits<U: Limbs>(n: &BigUint, rng: &mut impl Rng) -> Vec<U> {
    let r = BigUint::from(1u8) << (U::WORDS * Word::BITS as usize);
    let mut values = vec![
        BigUint::from(0u8),
        BigUint::from(1u8),
        n - 1u8,
        &r % n,
        (&r - 1u8) % n,
        big(&filled::<U>(Word::MAX >> 1)) % n,
        (n - 1u8) / 2u8,
    ];
    // Low limbs all ones: a carry propagates through all of them.
    values.push(((BigUint::from(1u8) << (U::WORDS * Word::BITS as usize / 2)) - 1u8) % n);
    values.push(big(&random::<U>(rng)) % n);
    values.iter().map(small).collect()
}

fn products_match_the_oracle<U: Limbs>(seed: u64) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    for (name, n_limbs) in moduli::<U>(&mut rng) {
        let Some(modulus) = Modulus::new(n_limbs) else {
            assert!(
                U::WORDS == 1,
                "{name}: one limb that is its own empty top limb is the one that cannot be"
            );
            continue;
        };
        let n = big(&n_limbs);
        let n2 = &n * &n;
        let r = BigUint::from(1u8) << (U::WORDS * Word::BITS as usize);
        assert_eq!(pair_value(modulus.one_mont(), &n), &r % &n2, "{name}: R mod n²");
        assert_eq!(pair_value(modulus.r2(), &n), (&r * &r) % &n2, "{name}: R² mod n²");
        let digits = digits::<U>(&n, &mut rng);
        let pairs: Vec<_> =
            digits.iter().flat_map(|lo| digits.iter().map(move |hi| Pair::new(*lo, *hi))).collect();
        let reduced = |pair: &Pair<U>| big(&pair.lo) < n && big(&pair.hi) < n;
        for (i, x) in pairs.iter().enumerate() {
            let square = modulus.square(x);
            let value = pair_value(x, &n);
            assert!(reduced(&square), "{name}: square of pair {i} is not reduced");
            assert_eq!(
                pair_value(&square, &n) * &r % &n2,
                &value * &value % &n2,
                "{name}: square of pair {i}"
            );
            // All partners for small widths, a sample for wide ones.
            for (j, y) in pairs.iter().enumerate().skip(i % 7).step_by(if U::WORDS > 8 { 7 } else { 1 }) {
                let product = modulus.mul(x, y);
                assert!(reduced(&product), "{name}: pairs {i}, {j}: product is not reduced");
                assert_eq!(
                    pair_value(&product, &n) * &r % &n2,
                    &value * pair_value(y, &n) % &n2,
                    "{name}: product of pairs {i}, {j}"
                );
                let sum = modulus.add(x, y);
                assert!(reduced(&sum), "{name}: pairs {i}, {j}: sum is not reduced");
                assert_eq!(pair_value(&sum, &n), (&value + pair_value(y, &n)) % &n2, "{name}: sum {i}, {j}");
            }
        }
        for a in &digits {
            for b in &digits {
                let product = modulus.mul_single(a, b);
                assert!(big(&product) < n);
                assert_eq!(big(&product) * &r % &n, big(a) * big(b) % &n, "{name}: single product");
            }
        }
    }
}

#[test]
fn products_match_the_oracle_at_every_width() {
    products_match_the_oracle::<Uint<1>>(1);
    products_match_the_oracle::<Uint<2>>(2);
    products_match_the_oracle::<Uint<3>>(3);
    products_match_the_oracle::<U256>(4);
    products_match_the_oracle::<U1024>(5);
    products_match_the_oracle::<U2048>(6);
    products_match_the_oracle::<U3072>(7);
}

#[test]
fn powers_match_the_oracle() {
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    for (name, n_limbs) in moduli::<U256>(&mut rng) {
        let modulus = Modulus::new(n_limbs).expect("odd and above one");
        let n = big(&n_limbs);
        let n2 = &n * &n;
        let base = Pair::new(
            small(&(big(&random::<U256>(&mut rng)) % &n)),
            small(&(big(&random::<U256>(&mut rng)) % &n)),
        );
        let base_mont = modulus.to_mont(&base);
        // More than share one pass over a table.
        let mut exponents: Vec<U256> = (0..15).map(|_| random(&mut rng)).collect();
        exponents.extend([U256::ZERO, U256::ONE, U256::MAX]);
        for bits in [1, 2, 5, 16, 63, 64, 65, 130, 256] {
            let tables: Vec<_> =
                (1..=8).map(|window| FixedBase::new(&modulus, &base_mont, bits, window)).collect();
            let value = |power_mont: &Pair<U256>| pair_value(&modulus.from_mont(power_mont), &n);
            let power = |exponent: &U256| {
                let read = big(exponent) % (BigUint::from(1u8) << bits);
                let expected = pair_value(&base, &n).modpow(&read, &n2);
                let found = value(&modulus.pow(&base_mont, exponent.as_words(), bits));
                assert_eq!(found, expected, "{name}: {bits} bits");
                expected
            };
            let expected: Vec<_> = exponents.iter().map(power).collect();
            for table in &tables {
                let batch: Vec<_> = table.pow_batch(&modulus, &exponents).iter().map(value).collect();
                assert_eq!(batch, expected, "{name}: {bits} bits, {table:?}");
            }
        }
    }
}

#[test]
fn even_moduli_zero_and_one_are_refused() {
    for n in [0u64, 1, 2, 1 << 40] {
        assert!(Modulus::new(U256::from(n)).is_none(), "{n}");
    }
    assert!(Modulus::new(U256::from(3u64)).is_some());
    assert!(Modulus::new(U256::ONE.shl_vartime(255)).is_none());
}

#[test]
fn wide_products_match_the_oracle() {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    for _ in 0..50 {
        let (a, b, c): (U256, U256, U256) = (random(&mut rng), random(&mut rng), random(&mut rng));
        let (lo, hi) = mul_wide(&a, &b, &c);
        assert_eq!(big(&lo) + (big(&hi) << 256), big(&a) * big(&b) + big(&c));
    }
}

#[test]
fn debug_shows_no_digits() {
    let modulus = Modulus::new(U256::from(0xabcd_ef01_u64)).expect("odd");
    let shown = format!("{modulus:?} {:?}", modulus.r2());
    assert_eq!(shown, format!("Modulus {{ words: {}, .. }} Pair {{ .. }}", U256::WORDS));
}
