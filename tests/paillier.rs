//! Keys, encryption and decryption through the public API, against textbook Paillier.

mod common;

use std::collections::HashSet;

use cipherfold::{
    backend::BackendChoice,
    paillier::{
        Bits2048, Bits3072, Bits4096, Encryptor, Error, KeySize, Plaintext, PublicKey, RandomizerPool,
        SecretKey,
    },
};
use common::{Setup, Small, below, big, gcd, number, plaintext, value};
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

/// Batch lengths around the size of the library's own tasks.
const LENGTHS: [usize; 5] = [0, 1, 31, 32, 33];

// --- keys ---

fn generated_key_is_sound<S: KeySize>(seed: u64) {
    let mut rng = common::rng(seed);
    let secret = SecretKey::<S>::generate(&mut rng).unwrap();
    let (p, q) = secret.expose_primes_be();
    let (p, q) = (big(&p), big(&q));
    let n = &p * &q;
    let bits = u64::from(S::BITS);
    assert_eq!(n.bits(), bits, "n has exactly the key's length");
    assert_eq!((p.bits(), q.bits()), (bits / 2, bits / 2));
    assert_eq!(big(&secret.public_key().modulus_be()), n);
    assert_ne!(p, q);
    assert_eq!((&p % 4u8, &q % 4u8), (number(3), number(3)));
    let (p1, q1) = (&p - 1u8, &q - 1u8);
    assert_eq!(gcd(p1.clone(), q1.clone()), number(2), "gcd(p − 1, q − 1) = 2");
    assert_eq!(gcd(n, p1 * q1), number(1), "gcd(n, φ(n)) = 1");
    let distance = if p > q { &p - &q } else { &q - &p };
    assert!(distance.bits() > bits / 2 - 100, "p and q are far apart");
    for prime in [p, q] {
        // An independent test of primality: Fermat to some bases.
        for base in [2u64, 3, 5, 7, 11, 13] {
            assert_eq!(number(base).modpow(&(&prime - 1u8), &prime), number(1));
        }
    }
}

#[test]
fn generated_keys_are_sound() {
    for seed in 0..40 {
        generated_key_is_sound::<Small>(seed);
    }
    generated_key_is_sound::<Bits2048>(100);
}

#[test]
fn generation_replays_from_a_seed_and_differs_otherwise() {
    let key = |seed| SecretKey::<Small>::generate(&mut common::rng(seed)).unwrap();
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
    let mut rng = common::rng(3);
    let (first, second) =
        (SecretKey::<Small>::generate(&mut rng).unwrap(), SecretKey::<Small>::generate(&mut rng).unwrap());
    assert_ne!(first, second, "two keys from one generator");
    assert_ne!(first.public_key(), second.public_key());
    assert_ne!(first.public_key().fingerprint(), second.public_key().fingerprint());
}

#[test]
fn imported_primes_give_the_same_key_in_either_order() {
    let key = SecretKey::<Small>::generate(&mut common::rng(4)).unwrap();
    let (p, q) = key.expose_primes_be();
    let same = SecretKey::from_primes_be_vartime(&p, &q).expect("its own primes");
    let swapped = SecretKey::from_primes_be_vartime(&q, &p).expect("its own primes, swapped");
    assert_eq!(key, same);
    assert_eq!(key, swapped);
    assert_eq!(key.public_key(), swapped.public_key());
    let mut setup = Setup::<Small>::new(5);
    let (p, q) = (setup.oracle.q.to_bytes_be(), setup.oracle.p.to_bytes_be());
    let swapped = SecretKey::<Small>::from_primes_be_vartime(&p, &q).expect("swapped");
    for _ in 0..20 {
        let m = setup.below_n();
        let c = setup.encrypt(&m);
        assert_eq!(value(&swapped.decrypt(&c).expect("the same key")), m);
    }
}

#[test]
fn leading_zeros_of_imported_integers_do_not_matter() {
    let setup = Setup::<Small>::new(6);
    let padded = |x: &BigUint| [vec![0; 9], x.to_bytes_be()].concat();
    let (p, q) = (padded(&setup.oracle.p), padded(&setup.oracle.q));
    assert_eq!(SecretKey::<Small>::from_primes_be_vartime(&p, &q).expect("padded primes"), setup.secret);
    let public = PublicKey::<Small>::from_modulus_be(&padded(setup.n())).expect("a padded modulus");
    assert_eq!(&public, setup.public());
    let short = Plaintext::<Small>::from_be_bytes(&[7]).expect("one byte");
    assert_eq!(Plaintext::from_be_bytes(&[[0; 200].as_slice(), &[7]].concat()).expect("padded"), short);
    assert_eq!(Plaintext::<Small>::from_be_bytes(&[]).expect("no bytes are zero"), Plaintext::zero());
}

/// Imported primes that are 1 modulo 4 work.
#[test]
fn primes_that_are_one_modulo_four_work() {
    let mut seen = HashSet::new();
    let mut rng = common::rng(7);
    let prime = |rng: &mut _, residue: u8| {
        loop {
            let candidate: BigUint = below(&(number(1) << 254), rng) | (number(3) << 254);
            if &candidate % 4u8 == number(u64::from(residue))
                && number(2).modpow(&(&candidate - 1u8), &candidate) == number(1)
                && number(3).modpow(&(&candidate - 1u8), &candidate) == number(1)
            {
                return candidate;
            }
        }
    };
    for (a, b) in [(1, 1), (1, 3), (3, 1)] {
        let (p, q) = (prime(&mut rng, a), prime(&mut rng, b));
        let secret =
            SecretKey::<Small>::from_primes_be_vartime(&p.to_bytes_be(), &q.to_bytes_be()).expect("primes");
        let encryptor = Encryptor::new(secret.public_key(), &mut rng).unwrap();
        let m = Plaintext::from(rng.next_u64());
        let c = encryptor.encrypt(&m, &mut rng).expect("below n");
        assert_eq!(secret.decrypt(&c).expect("its own"), m);
        assert!(seen.insert(secret.public_key().fingerprint()));
    }
}

#[test]
fn a_public_key_from_its_modulus_is_the_same_key() {
    let mut setup = Setup::<Small>::new(8);
    let public = PublicKey::<Small>::from_modulus_be(&setup.public().modulus_be()).expect("its own modulus");
    assert_eq!(&public, setup.public());
    assert_eq!(public.fingerprint(), setup.public().fingerprint());
    let encryptor = Encryptor::new(&public, &mut setup.rng).unwrap();
    let c = encryptor.encrypt(&Plaintext::from(5u64), &mut setup.rng).expect("below n");
    assert_eq!(setup.decrypt(&c), number(5));
}

#[test]
fn the_same_key_on_another_backend_decrypts_the_same() {
    let mut setup = Setup::<Small>::new(9);
    let m = setup.below_n();
    let c = setup.encrypt(&m);
    let secret = setup.secret.with_backend(BackendChoice::Portable).expect("portable code runs everywhere");
    assert_eq!(secret, setup.secret);
    assert_eq!(value(&secret.decrypt(&c).expect("the same key")), m);
    let public = setup.public().with_backend(BackendChoice::Portable).expect("portable code runs everywhere");
    assert_eq!(&public, setup.public());
    assert_eq!(public.backend_name(), "portable");
    assert_eq!(public.add(&c, &c), setup.public().add(&c, &c));
    assert_eq!("portable".parse(), Ok(BackendChoice::Portable));
    assert_eq!("auto".parse(), Ok(BackendChoice::Auto));
}

// --- encryption and decryption ---

fn decrypt_inverts_encrypt<S: KeySize>(seed: u64, random: usize, with_oracle: usize) {
    let mut setup = Setup::<S>::new(seed);
    let mut cases = setup.edge_plaintexts();
    cases.extend(setup.some_below_n(random).into_iter().map(|m| ("random", m)));
    for (i, (name, m)) in cases.iter().enumerate() {
        let c = setup.encrypt(m);
        assert_eq!(&setup.decrypt(&c), m, "{} bits, {name}", S::BITS);
        let full_range = setup.secret.public_key().randomizer_full_range(&mut setup.rng).unwrap();
        let d = setup.public().encrypt_with(&plaintext(m), full_range).expect("m is below n");
        assert_eq!(&setup.decrypt(&d), m, "{} bits, {name}, full-range randomizer", S::BITS);
        if i < with_oracle {
            for c in [&c, &d] {
                assert_eq!(&setup.oracle.decrypt(&setup.integer(c)), m, "{} bits, {name}: oracle", S::BITS);
            }
            let r = setup.below_n();
            let foreign = setup.import(&setup.oracle.encrypt(m, &r));
            assert_eq!(&setup.decrypt(&foreign), m, "{} bits, {name}: of the oracle", S::BITS);
        }
    }
    let ms: Vec<_> = cases.into_iter().map(|(_, m)| m).collect();
    let batch = setup.encrypt_batch(&ms);
    assert_eq!(setup.decrypt_batch(&batch), ms, "{} bits, as a batch", S::BITS);
}

#[test]
fn decrypt_inverts_encrypt_at_512() {
    decrypt_inverts_encrypt::<Small>(20, 200, usize::MAX);
}

#[test]
fn decrypt_inverts_encrypt_at_2048() {
    decrypt_inverts_encrypt::<Bits2048>(21, 3, 3);
}

#[test]
fn decrypt_inverts_encrypt_at_3072() {
    decrypt_inverts_encrypt::<Bits3072>(22, 2, 1);
}

#[test]
fn decrypt_inverts_encrypt_at_4096() {
    decrypt_inverts_encrypt::<Bits4096>(23, 1, 1);
}

#[test]
fn batches_of_every_length_agree_with_single_ones() {
    let mut setup = Setup::<Small>::new(24);
    for len in LENGTHS {
        let ms = setup.some_below_n(len);
        let batch = setup.encrypt_batch(&ms);
        assert_eq!((batch.len(), batch.is_empty()), (len, len == 0));
        assert_eq!(batch.key(), setup.public().fingerprint());
        assert_eq!(setup.decrypt_batch(&batch), ms, "{len} ciphertexts");
        let singles: Vec<_> = batch.iter().map(|c| setup.decrypt(&c)).collect();
        assert_eq!(singles, ms, "{len} ciphertexts, one by one");

        let plaintexts: Vec<_> = ms.iter().map(plaintext).collect();
        let randomizers = setup.encryptor.randomizers(len, &mut setup.rng);
        assert_eq!(randomizers.len(), len);
        let batch = setup.public().encrypt_batch_with(&plaintexts, randomizers).expect("equal lengths");
        assert_eq!(setup.decrypt_batch(&batch), ms, "{len} ciphertexts with given randomizers");
    }
}

/// The residue that hides a plaintext is an n-th power: c without its plaintext decrypts to zero,
/// and its order divides λ.
#[test]
fn randomizers_are_nth_residues() {
    let mut setup = Setup::<Small>::new(25);
    let lambda = {
        let (p1, q1) = (&setup.oracle.p - 1u8, &setup.oracle.q - 1u8);
        &p1 * &q1 / gcd(p1, q1)
    };
    let zero = Plaintext::zero();
    for _ in 0..20 {
        let full = setup.secret.public_key().randomizer_full_range(&mut setup.rng).unwrap();
        let short = setup.encryptor.randomizers(1, &mut setup.rng).remove(0);
        for randomizer in [full, short] {
            assert_eq!(randomizer.key(), setup.public().fingerprint());
            let rho = setup.public().encrypt_with(&zero, randomizer).expect("zero is below n");
            assert_eq!(setup.integer(&rho).modpow(&lambda, &setup.oracle.n2), number(1));
        }
    }
}

/// Detects a memoised key or ciphertext, and a generator that is not advanced.
#[test]
fn ciphertexts_never_repeat() {
    let mut setup = Setup::<Small>::new(26);
    let mut seen = HashSet::new();
    let m = number(7);
    for _ in 0..100 {
        let c = setup.encrypt(&m);
        assert!(seen.insert(c.to_bytes()), "a single ciphertext repeats");
        let full = setup.secret.public_key().randomizer_full_range(&mut setup.rng).unwrap();
        let c = setup.public().encrypt_with(&plaintext(&m), full).expect("below n");
        assert!(seen.insert(c.to_bytes()), "a ciphertext with full-range randomizer repeats");
    }
    for c in setup.encrypt_batch(&vec![m; 200]).iter() {
        assert!(seen.insert(c.to_bytes()), "a ciphertext of a batch repeats");
    }
    // No two have the same randomizer: it would give equal digits modulo n.
    let lows: HashSet<_> = seen.iter().map(|bytes| bytes[20..20 + Small::BYTES].to_vec()).collect();
    assert_eq!(lows.len(), seen.len());
}

#[test]
fn encryption_replays_from_a_seed() {
    let mut setup = Setup::<Small>::new(27);
    let base = setup.encryptor.base().clone();
    let again = Encryptor::with_base(setup.public(), base).expect("a good base");
    let m = plaintext(&setup.below_n());
    let encrypt = |encryptor: &Encryptor<Small>| encryptor.encrypt(&m, &mut common::rng(1)).expect("below n");
    assert_eq!(encrypt(&setup.encryptor), encrypt(&again), "the same base and the same generator");
    assert_eq!(encrypt(&setup.encryptor), encrypt(&setup.encryptor.clone()));
    let other = Encryptor::new(setup.secret.public_key(), &mut setup.rng).unwrap();
    assert_ne!(encrypt(&setup.encryptor), encrypt(&other), "another base");
    assert_ne!(setup.encryptor.base(), other.base());
    assert_eq!(setup.decrypt(&encrypt(&other)), value(&m));
}

#[test]
fn an_encryptors_base_encrypts_zero() {
    let setup = Setup::<Small>::new(28);
    assert_eq!(setup.decrypt(setup.encryptor.base()), number(0));
    assert_eq!(setup.oracle.decrypt(&setup.integer(setup.encryptor.base())), number(0));
    assert_eq!(setup.encryptor.public_key(), setup.public());
    assert!(setup.encryptor.table_bytes() > 0);
}

/// The table against the oracle's powers: c = (1 + n)^m·h^α for the generator's α.
#[test]
fn short_exponents_are_what_the_generator_gives() {
    let mut setup = Setup::<Small>::new(29);
    let base = setup.integer(setup.encryptor.base());
    let m = setup.below_n();
    for seed in 0..20 {
        let c = setup.encryptor.encrypt(&plaintext(&m), &mut common::rng(seed)).expect("below n");
        let mut alpha = vec![0; Small::BYTES / 2];
        common::rng(seed).fill_bytes(&mut alpha);
        let alpha = BigUint::from_bytes_le(&alpha);
        let (n, n2) = (setup.n(), &setup.oracle.n2);
        assert_eq!(setup.integer(&c), (number(1) + &m * n) * base.modpow(&alpha, n2) % n2);
    }
}

// --- pools ---

#[test]
fn a_pool_is_bounded_and_gives_each_randomizer_once() {
    let mut setup = Setup::<Small>::new(30);
    let pool = RandomizerPool::new(setup.encryptor.clone(), 10);
    assert!(pool.is_empty());
    assert!(pool.take().is_none());
    assert_eq!(pool.fill(4, &mut setup.rng), 4);
    assert_eq!(pool.fill(100, &mut setup.rng), 6, "no more than there is room for");
    assert_eq!(pool.fill(1, &mut setup.rng), 0);
    assert_eq!(pool.len(), 10);
    let mut seen = HashSet::new();
    while let Some(randomizer) = pool.take() {
        let c = setup.public().encrypt_with(&Plaintext::zero(), randomizer).expect("zero is below n");
        assert!(seen.insert(c.to_bytes()));
    }
    assert_eq!(seen.len(), 10);
    let empty = RandomizerPool::new(setup.encryptor.clone(), 0);
    assert_eq!(empty.fill(5, &mut setup.rng), 0);
}

#[test]
fn a_pool_uses_its_randomizers_and_makes_missing_ones() {
    let mut setup = Setup::<Small>::new(31);
    let pool = RandomizerPool::new(setup.encryptor.clone(), 10);
    for (stock, len) in [(0, 0), (0, 3), (2, 3), (3, 3), (5, 3), (10, 33)] {
        while pool.take().is_some() {}
        assert_eq!(pool.fill(stock, &mut setup.rng), stock);
        let ms = setup.some_below_n(len);
        let plaintexts: Vec<_> = ms.iter().map(plaintext).collect();
        let batch = pool.encrypt_batch(&plaintexts, &mut setup.rng).expect("below n");
        assert_eq!(setup.decrypt_batch(&batch), ms, "{len} out of a stock of {stock}");
        assert_eq!(pool.len(), stock.saturating_sub(len));
        let distinct: HashSet<_> = batch.iter().map(|c| c.to_bytes()).collect();
        assert_eq!(distinct.len(), len);
    }
}

#[test]
fn a_pool_takes_nothing_out_for_a_bad_batch() {
    let mut setup = Setup::<Small>::new(32);
    let pool = RandomizerPool::new(setup.encryptor.clone(), 4);
    pool.fill(4, &mut setup.rng);
    let ms = [Plaintext::zero(), plaintext(setup.n())];
    assert_eq!(pool.encrypt_batch(&ms, &mut setup.rng), Err(Error::PlaintextRange { index: 1 }));
    assert_eq!(pool.len(), 4);
}

#[test]
fn threads_share_a_pool_without_sharing_a_randomizer() {
    let mut setup = Setup::<Small>::new(33);
    let pool = RandomizerPool::new(setup.encryptor.clone(), 64);
    pool.fill(40, &mut setup.rng);
    let m = Plaintext::from(9u64);
    let batches: Vec<_> = std::thread::scope(|scope| {
        let work = |seed| {
            let (pool, m) = (&pool, m.clone());
            move || {
                let mut rng = common::rng(seed);
                pool.fill(20, &mut rng);
                assert!(pool.len() <= 64, "never more than its capacity");
                (0..10)
                    .map(|_| pool.encrypt_batch(&[m.clone(), m.clone()], &mut rng).expect("below n"))
                    .collect()
            }
        };
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(work(1000 + seed))).collect();
        threads.into_iter().flat_map(|thread| -> Vec<_> { thread.join().expect("no panic") }).collect()
    });
    let mut seen = HashSet::new();
    for batch in &batches {
        assert_eq!(setup.decrypt_batch(batch), [number(9), number(9)]);
        for c in batch.iter() {
            assert!(seen.insert(c.to_bytes()), "a randomizer was used twice");
        }
    }
    assert_eq!(seen.len(), 160);
}

// --- plaintexts ---

#[test]
fn signed_plaintexts_round_trip_up_to_the_extremes() {
    let mut setup = Setup::<Small>::new(40);
    let n = setup.n().clone();
    let mut cases = vec![0, 1, -1, i128::MAX, i128::MIN, i128::MAX - 1, i128::MIN + 1, 1 << 64, -(1 << 64)];
    cases.extend((0..100).map(|_| {
        let word = |rng: &mut ChaCha20Rng| i128::from(rng.next_u64());
        ((word(&mut setup.rng) << 64) | word(&mut setup.rng)) >> (setup.rng.next_u32() % 128)
    }));
    for x in cases {
        let m = setup.public().plaintext_from_i128(x);
        let magnitude = BigUint::from(x.unsigned_abs());
        assert_eq!(value(&m), if x < 0 { &n - magnitude } else { magnitude }, "{x}");
        assert_eq!(setup.public().plaintext_to_i128(&m), Some(x));
        let c = setup.encrypt(&value(&m));
        let found = setup.secret.decrypt(&c).expect("its own");
        assert_eq!(setup.public().plaintext_to_i128(&found), Some(x));
    }
}

#[test]
fn signed_plaintexts_beyond_i128_are_none() {
    let setup = Setup::<Small>::new(41);
    let n = setup.n();
    let limit: BigUint = number(1) << 127;
    let read = |m: &BigUint| setup.public().plaintext_to_i128(&plaintext(m));
    assert_eq!(read(&(&limit - 1u8)), Some(i128::MAX));
    assert_eq!(read(&limit), None);
    assert_eq!(read(&((number(1) << 128) - 1u8)), None);
    assert_eq!(read(&(number(1) << 128)), None);
    assert_eq!(read(&(n / 2u8)), None);
    assert_eq!(read(&(n - &limit)), Some(i128::MIN));
    assert_eq!(read(&(n - &limit - 1u8)), None);
    assert_eq!(read(&(n - 1u8)), Some(-1));
    // A number that is not below n represents its residue modulo n.
    assert_eq!(read(n), Some(0));
    assert_eq!(read(&(n + 5u8)), Some(5));
}

#[test]
fn plaintexts_convert_to_words_bytes_and_integers() {
    let mut setup = Setup::<Small>::new(42);
    for x in [0, 1, u64::MAX, 1 << 63] {
        let m = Plaintext::<Small>::from(x);
        assert_eq!((m.to_u64(), m.to_u128()), (Some(x), Some(u128::from(x))));
        assert_eq!(value(&m), number(x));
    }
    for x in [1u128 << 64, u128::MAX] {
        let m = Plaintext::<Small>::from(x);
        assert_eq!((m.to_u64(), m.to_u128()), (None, Some(x)));
        assert_eq!(value(&m), BigUint::from(x));
    }
    assert_eq!(plaintext::<Small>(&(number(1) << 128)).to_u128(), None);
    for _ in 0..50 {
        let x = setup.below_n();
        let mut words = x.to_u64_digits();
        let m = Plaintext::<Small>::from_words(&words).expect("as many words as n has, or fewer");
        assert_eq!(value(&m), x);
        assert_eq!(m.to_be_bytes().len(), Small::BYTES);
        words.resize(11, 0);
        let mut found = [u64::MAX; 11];
        m.write_words(&mut found);
        assert_eq!(found, *words, "words beyond the plaintext are zero");
        let mut low = [0; 2];
        m.write_words(&mut low);
        assert_eq!(low, words[..2]);
        assert_eq!(m, m.clone());
        assert_ne!(m, Plaintext::zero());
    }
}

// --- printing ---

/// The output shows no secrets: neither whole numbers nor parts of them, in either base.
#[test]
fn debug_shows_no_digits_of_secrets() {
    let mut setup = Setup::<Small>::new(50);
    let m = setup.below_n();
    let pool = RandomizerPool::new(setup.encryptor.clone(), 2);
    pool.fill(2, &mut setup.rng);
    let randomizer = setup.encryptor.randomizers(1, &mut setup.rng).remove(0);
    let fingerprint = setup.public().fingerprint().to_string();
    let shown = [
        format!("{:?} {:#?}", setup.secret, setup.secret),
        format!("{:?} {:#?}", plaintext::<Small>(&m), vec![plaintext::<Small>(&m)]),
        format!("{randomizer:?} {randomizer:#?}"),
        format!("{pool:?} {pool:#?}"),
        format!("{:?} {:#?}", setup.encryptor, setup.public()),
    ];
    for shown in &shown {
        // Allowed are names, sizes, and the fingerprint of the public key.
        let rest = shown.replace(&fingerprint, "");
        let digits: Vec<_> =
            rest.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() > 8).collect();
        assert!(digits.is_empty(), "{digits:?} in {shown}");
        for secret in [&setup.oracle.p, &setup.oracle.q, &m] {
            for digits in [secret.to_string(), secret.to_str_radix(16)] {
                let (start, end) = (&digits[..6], &digits[digits.len() - 6..]);
                assert!(
                    !rest.to_lowercase().contains(start) && !rest.to_lowercase().contains(end),
                    "{shown}"
                );
            }
        }
    }
    assert_eq!(format!("{:?}", setup.secret), "SecretKey { .. }");
    assert_eq!(format!("{randomizer:?}"), "Randomizer { .. }");
    assert_eq!(format!("{:?}", plaintext::<Small>(&m)), "Plaintext { .. }");
    // An error's message does not contain the secret either.
    let refused = setup.encryptor.encrypt(&plaintext(&(setup.n() + 1u8)), &mut setup.rng).unwrap_err();
    assert_eq!(refused.to_string(), "plaintext 0 is out of range: not below n");
}
