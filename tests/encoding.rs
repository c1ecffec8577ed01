//! Data from outside: encodings survive a round trip, and every fault has its error.

mod common;

use cipherfold::{
    backend::{self, BackendChoice},
    paillier::{
        Bits2048, Ciphertext, CiphertextBatch, Encryptor, Error, Fingerprint, KeySize, Plaintext, PublicKey,
        SecretKey,
    },
};
use common::{Setup, Small, number, plaintext};
use num_bigint::BigUint;
use proptest::prelude::*;

const HEADER: usize = 20;

/// A second key of the same size.
fn other_key(seed: u64) -> SecretKey<Small> {
    SecretKey::generate(&mut common::rng(seed)).unwrap()
}

/// A ciphertext of the key with any two halves. Only bytes can create it.
fn forged(setup: &Setup<Small>, lo: &BigUint, hi: &BigUint) -> Ciphertext<Small> {
    Ciphertext::from_bytes_unchecked(&forged_bytes(setup, lo, hi)).expect("its form is good")
}

fn forged_bytes(setup: &Setup<Small>, lo: &BigUint, hi: &BigUint) -> Vec<u8> {
    let one = setup.import(&number(1)).to_bytes();
    let fixed = |x: &BigUint| {
        let digits = x.to_bytes_be();
        [vec![0; Small::BYTES - digits.len()], digits].concat()
    };
    [one[..HEADER].to_vec(), fixed(lo), fixed(hi)].concat()
}

fn forged_batch(setup: &Setup<Small>, bad: &Ciphertext<Small>, at: usize) -> CiphertextBatch<Small> {
    let good = setup.import(&number(1));
    let all = (0..at).map(|_| good.clone()).chain([bad.clone(), good.clone()]);
    CiphertextBatch::from_ciphertexts(setup.public().fingerprint(), all).expect("one key")
}

// --- round trips ---

#[test]
fn encodings_round_trip() {
    let mut setup = Setup::<Small>::new(200);
    let public = setup.public();
    assert_eq!(public.to_bytes().len(), PublicKey::<Small>::ENCODED_LEN);
    assert_eq!(PublicKey::from_bytes(&public.to_bytes()).as_ref(), Ok(public));
    assert_eq!(setup.secret.expose_bytes().len(), SecretKey::<Small>::ENCODED_LEN);
    assert_eq!(SecretKey::from_bytes_vartime(&setup.secret.expose_bytes()).as_ref(), Ok(&setup.secret));
    for len in [0, 1, 31, 32, 33] {
        let ms = setup.some_below_n(len);
        let batch = setup.encrypt_batch(&ms);
        let bytes = batch.to_bytes();
        assert_eq!(bytes.len(), CiphertextBatch::<Small>::encoded_len(len));
        assert_eq!(setup.public().batch_from_bytes(&bytes), Ok(batch.clone()), "{len} ciphertexts");
        assert_eq!(CiphertextBatch::from_bytes_unchecked(&bytes), Ok(batch.clone()));
        for c in batch.iter() {
            assert_eq!(c.to_bytes().len(), Ciphertext::<Small>::ENCODED_LEN);
            assert_eq!(setup.public().ciphertext_from_bytes(&c.to_bytes()), Ok(c));
        }
    }
    let fingerprint = setup.public().fingerprint();
    assert_eq!(Fingerprint::from_bytes(fingerprint.to_bytes()), fingerprint);
    assert_eq!(fingerprint.to_string().len(), 2 * Fingerprint::LEN);
}

#[test]
fn integers_round_trip() {
    let mut setup = Setup::<Small>::new(201);
    let n2 = setup.oracle.n2.clone();
    let n = setup.n().clone();
    let mut cases =
        vec![number(1), number(2), &n - 1u8, &n + 1u8, &n2 - 1u8, number(1) << 512, number(1) << 513];
    cases.extend((0..200).map(|_| common::below(&n2, &mut setup.rng)));
    for c in cases {
        let imported = setup.import(&c);
        assert_eq!(setup.integer(&imported), c);
        let exported = setup.public().ciphertext_to_integer(&imported).expect("a good ciphertext");
        assert_eq!(exported.len(), 2 * Small::BYTES);
        let padded = [vec![0; 100], exported].concat();
        assert_eq!(setup.public().ciphertext_from_integer(&padded), Ok(imported));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// For any bytes, reading neither panics nor accepts bytes that it would not write.
    #[test]
    fn reading_any_bytes_returns(bytes in proptest::collection::vec(any::<u8>(), 0..300), honest in any::<bool>()) {
        let mut bytes = bytes;
        if honest && bytes.len() >= 4 {
            let kind = bytes[1] % 5;
            bytes[..4].copy_from_slice(&[1, kind, 2, 0]);
        }
        if let Ok(c) = Ciphertext::<Small>::from_bytes_unchecked(&bytes) {
            prop_assert_eq!(c.to_bytes(), bytes.clone());
        }
        if let Ok(batch) = CiphertextBatch::<Small>::from_bytes_unchecked(&bytes) {
            prop_assert_eq!(batch.to_bytes(), bytes.clone());
        }
        prop_assert!(PublicKey::<Small>::from_bytes(&bytes).is_err());
        prop_assert!(SecretKey::<Small>::from_bytes_vartime(&bytes).is_err());
        let _ = PublicKey::<Small>::from_modulus_be(&bytes);
        let _ = Plaintext::<Small>::from_be_bytes(&bytes);
    }
}

// --- encodings that are refused ---

#[test]
fn every_truncation_and_extension_is_refused() {
    let mut setup = Setup::<Small>::new(210);
    let c = setup.encrypt(&number(5)).to_bytes();
    for found in (0..=c.len() + 3).filter(|found| *found != c.len()) {
        let mut bytes = c.clone();
        bytes.resize(found, 0);
        let expected = Error::EncodedLength { what: "ciphertext", expected: 148, found };
        assert_eq!(Ciphertext::<Small>::from_bytes_unchecked(&bytes), Err(expected.clone()));
        assert_eq!(setup.public().ciphertext_from_bytes(&bytes), Err(expected));
    }
    let lengths = |len: usize| [0, 1, HEADER - 1, HEADER, len - 1, len + 1];
    let (public, secret) = (setup.public().to_bytes(), setup.secret.expose_bytes());
    for found in lengths(84) {
        let mut bytes = public.clone();
        bytes.resize(found, 0);
        let expected = Error::EncodedLength { what: "public key", expected: 84, found };
        assert_eq!(PublicKey::<Small>::from_bytes(&bytes), Err(expected));
        let mut bytes = secret.to_vec();
        bytes.resize(found, 0);
        let expected = Error::EncodedLength { what: "secret key", expected: 84, found };
        assert_eq!(SecretKey::<Small>::from_bytes_vartime(&bytes), Err(expected));
    }
}

#[test]
fn a_batch_must_have_the_length_of_its_count() {
    let mut setup = Setup::<Small>::new(211);
    let bytes = setup.encrypt_batch(&[number(1), number(2)]).to_bytes();
    let read = CiphertextBatch::<Small>::from_bytes_unchecked;
    for found in 0..bytes.len() {
        // Before the end of the count, the error states the minimum length.
        let expected = if found < HEADER + 8 { HEADER + 8 } else { bytes.len() };
        let error = Error::EncodedLength { what: "ciphertext batch", expected, found };
        assert_eq!(read(&bytes[..found]), Err(error));
    }
    for count in [0, 1, 3, u64::from(u32::MAX), u64::MAX / 128, u64::MAX] {
        let mut bytes = bytes.clone();
        bytes[HEADER..HEADER + 8].copy_from_slice(&count.to_be_bytes());
        let error = read(&bytes).expect_err("another count");
        assert!(
            matches!(error, Error::EncodedLength { what: "ciphertext batch", found: 284, .. }),
            "{error}"
        );
    }
}

#[test]
fn another_version_kind_or_key_size_is_refused() {
    let mut setup = Setup::<Small>::new(212);
    let c = setup.encrypt(&number(5));
    let with = |at: usize, byte: u8| {
        let mut bytes = c.to_bytes();
        bytes[at] = byte;
        Ciphertext::<Small>::from_bytes_unchecked(&bytes)
    };
    for found in [0, 2, 255] {
        assert_eq!(with(0, found), Err(Error::EncodingVersion { expected: 1, found }));
    }
    for found in [0, 1, 2, 4, 5] {
        assert_eq!(with(1, found), Err(Error::EncodingKind { expected: "ciphertext", found }));
    }
    assert_eq!(with(2, 8), Err(Error::KeySizeMismatch { expected: 512, found: 2048 }));
    let foreign = Ciphertext::<Bits2048>::from_bytes_unchecked(&c.to_bytes());
    assert_eq!(foreign, Err(Error::KeySizeMismatch { expected: 2048, found: 512 }));

    // Every kind where each of the others is expected.
    let batch = setup.encrypt_batch(&[number(1)]);
    let (public, secret) = (setup.public().to_bytes(), setup.secret.expose_bytes());
    let wrong = |expected, found| Some(Error::EncodingKind { expected, found });
    assert_eq!(PublicKey::<Small>::from_bytes(&secret).err(), wrong("public key", 2));
    assert_eq!(PublicKey::<Small>::from_bytes(&c.to_bytes()).err(), wrong("public key", 3));
    assert_eq!(SecretKey::<Small>::from_bytes_vartime(&public).err(), wrong("secret key", 1));
    assert_eq!(
        CiphertextBatch::<Small>::from_bytes_unchecked(&c.to_bytes()).err(),
        wrong("ciphertext batch", 3)
    );
    assert_eq!(setup.public().ciphertext_from_bytes(&batch.to_bytes()).err(), wrong("ciphertext", 4));
}

#[test]
fn a_key_must_have_the_fingerprint_it_names() {
    let (setup, other) = (Setup::<Small>::new(213), other_key(214));
    let (mine, theirs) = (setup.public().fingerprint(), other.public_key().fingerprint());
    assert_ne!(mine, theirs);
    let swapped = |bytes: &[u8]| [&bytes[..4], &theirs.to_bytes(), &bytes[HEADER..]].concat();
    let mismatch = Error::KeyMismatch { expected: mine, found: theirs };
    assert_eq!(PublicKey::<Small>::from_bytes(&swapped(&setup.public().to_bytes())), Err(mismatch.clone()));
    let secret = SecretKey::<Small>::from_bytes_vartime(&swapped(&setup.secret.expose_bytes()));
    assert_eq!(secret, Err(mismatch));
}

// --- keys that are refused ---

#[test]
fn invalid_moduli_are_refused() {
    let setup = Setup::<Small>::new(220);
    let read = |n: &BigUint| PublicKey::<Small>::from_modulus_be(&n.to_bytes_be()).err();
    assert_eq!(read(&(setup.n() - 1u8)), Some(Error::EvenModulus));
    for bits in [0, 1, 8, 510, 511, 513, 514, 600, 2048] {
        let n = if bits == 0 { number(0) } else { number(1) << (bits - 1) };
        let n = if bits > 1 { n | number(1) } else { n };
        assert_eq!(read(&n), Some(Error::ModulusLength { expected: 512, found: bits }), "{bits} bits");
    }
    assert_eq!(
        PublicKey::<Small>::from_modulus_be(&[]).err(),
        Some(Error::ModulusLength { expected: 512, found: 0 })
    );
}

/// Through every entry point: the number, the encoding, text, and a message.
#[test]
fn moduli_with_visible_faults_are_refused() {
    let setup = Setup::<Small>::new(221);
    let (p, q) = setup.secret.expose_primes_be();
    let [p, q] = [p, q].map(|prime| BigUint::from_bytes_be(&prime));
    let prime = next_prime(&(&p * &q));
    let multiple = number(3) * (((number(1) << 511) / 3u8 + 2u8) | number(1));
    for (n, expected) in [
        (&p * &p, Error::ModulusPower { exponent: 2 }),
        (&q * &q, Error::ModulusPower { exponent: 2 }),
        (prime, Error::ModulusPrime),
        (number(3).pow(323), Error::ModulusSmallFactor { factor: 3 }),
        (multiple, Error::ModulusSmallFactor { factor: 3 }),
    ] {
        assert_eq!(n.bits(), 512);
        assert_eq!(PublicKey::<Small>::from_modulus_be(&n.to_bytes_be()).err(), Some(expected.clone()));
        let mut bytes = setup.public().to_bytes();
        let at = bytes.len() - 64;
        bytes[at..].copy_from_slice(&n.to_bytes_be());
        assert_eq!(PublicKey::<Small>::from_bytes(&bytes).err(), Some(expected.clone()));
        let text = bytes.iter().fold(String::from("\""), |text, byte| text + &format!("{byte:02x}")) + "\"";
        let read = serde_json::from_str::<PublicKey<Small>>(&text);
        assert!(read.unwrap_err().to_string().contains(&expected.to_string()));
    }
}

#[test]
fn invalid_primes_are_refused() {
    let setup = Setup::<Small>::new(221);
    let (p, q) = (setup.oracle.p.clone(), setup.oracle.q.clone());
    let read = |p: &BigUint, q: &BigUint| {
        SecretKey::<Small>::from_primes_be_vartime(&p.to_bytes_be(), &q.to_bytes_be()).err()
    };
    let length = |name, found| Some(Error::PrimeLength { name, expected: 256, found });
    assert_eq!(read(&(&p >> 1), &q), length("p", 255));
    assert_eq!(read(&p, &(&q >> 3)), length("q", 253));
    assert_eq!(read(&p, &((&q << 1) + 1u8)), length("q", 257));
    assert_eq!(read(&(&p << 300), &q), length("p", 556));
    assert_eq!(read(&number(0), &q), length("p", 0));
    assert_eq!(read(&number(3), &q), length("p", 2));
    assert_eq!(read(&(&p - 1u8), &q), Some(Error::EvenModulus));
    assert_eq!(read(&p, &(&q - 1u8)), Some(Error::EvenModulus));
    assert_eq!(read(&p, &p), Some(Error::EqualPrimes));
    // p ± 6 is usually not a prime; the next prime is.
    assert_eq!(read(&p, &next_prime(&p)), Some(Error::ClosePrimes));
    assert_eq!(read(&previous_prime(&q), &q), Some(Error::ClosePrimes));
    // Two lengths of 256 bits whose product is a bit short.
    let low = next_prime(&(number(1) << 255));
    let other = next_prime(&((number(1) << 255) + (number(1) << 200)));
    assert_eq!(read(&low, &other), Some(Error::ModulusLength { expected: 512, found: 511 }));
}

/// Neighbouring primes differ in their top bits if a power of two is between them. They are close
/// nevertheless.
#[test]
fn close_primes_across_a_boundary_are_refused() {
    let boundary: BigUint = number(3) << 254;
    let (p, q) = (previous_prime(&boundary), next_prime(&boundary));
    assert_ne!(&p >> 156, &q >> 156, "the 100 top bits differ");
    for (p, q) in [(&p, &q), (&q, &p)] {
        let read = SecretKey::<Small>::from_primes_be_vartime(&p.to_bytes_be(), &q.to_bytes_be());
        assert_eq!(read.err(), Some(Error::ClosePrimes));
    }
    // 2^156 is the minimum distance.
    let far = next_prime(&(&p + (number(1) << 156)));
    let near = previous_prime(&(&p + (number(1) << 156)));
    let read = |q: &BigUint| SecretKey::<Small>::from_primes_be_vartime(&p.to_bytes_be(), &q.to_bytes_be());
    assert_eq!(read(&near).err(), Some(Error::ClosePrimes));
    assert!(read(&far).is_ok());
}

#[test]
fn composites_are_refused() {
    let setup = Setup::<Small>::new(222);
    let (p, q) = (setup.oracle.p.clone(), setup.oracle.q.clone());
    let read = |p: &BigUint, q: &BigUint| {
        SecretKey::<Small>::from_primes_be_vartime(&p.to_bytes_be(), &q.to_bytes_be()).err()
    };
    let factor = next_prime(&(number(0xffff_ffff_ffff_ff00) << 64));
    let composite = &factor * next_prime(&factor);
    assert_eq!(composite.bits(), 256);
    assert_eq!(read(&composite, &q), Some(Error::NotPrime { name: "p" }));
    assert_eq!(read(&p, &composite), Some(Error::NotPrime { name: "q" }));
    // Composites that pass Fermat's test to every base: (6k + 1)(12k + 1)(18k + 1).
    let carmichael = (0u64..1 << 40)
        .map(|i| {
            let k = (number(1) << 81) + (number(1) << 80) + i;
            [&k * 6u8 + 1u8, &k * 12u8 + 1u8, &k * 18u8 + 1u8]
        })
        .find(|factors| factors.iter().all(probably_prime))
        .map(|[a, b, c]| a * b * c)
        .expect("there are such k");
    assert!(number(2).modpow(&(&carmichael - 1u8), &carmichael) == number(1), "Fermat is fooled");
    if carmichael.bits() == 256 {
        assert_eq!(read(&carmichael, &q), Some(Error::NotPrime { name: "p" }));
    } else {
        panic!("choose k for 256 bits, not {}", carmichael.bits());
    }
}

fn probably_prime(n: &BigUint) -> bool {
    [2u64, 3, 5, 7].iter().all(|base| number(*base).modpow(&(n - 1u8), n) == number(1))
}

fn next_prime(from: &BigUint) -> BigUint {
    (1u64..1 << 20).map(|i| from + i).find(probably_prime).expect("there is one")
}

fn previous_prime(from: &BigUint) -> BigUint {
    (1u64..1 << 20).map(|i| from - i).find(probably_prime).expect("there is one")
}

// --- plaintexts that are refused ---

#[test]
fn plaintexts_that_are_too_wide_are_refused() {
    let wide = [[1].as_slice(), &[0; 64]].concat();
    let expected = Error::PlaintextTooWide { key_bits: 512, found_bytes: 65 };
    assert_eq!(Plaintext::<Small>::from_be_bytes(&wide), Err(expected));
    let expected = Error::PlaintextTooWide { key_bits: 512, found_bytes: 72 };
    assert_eq!(Plaintext::<Small>::from_words(&[0; 9]), Err(expected));
    assert!(Plaintext::<Small>::from_words(&[u64::MAX; 8]).is_ok());
}

#[test]
fn plaintexts_not_below_n_are_refused_by_every_operation() {
    let mut setup = Setup::<Small>::new(230);
    let c = setup.encrypt(&number(1));
    let three = setup.encrypt_batch(&[number(1), number(2), number(3)]);
    let all_ones = (number(1) << 512) - 1u8;
    for bad in [setup.n().clone(), setup.n() + 1u8, all_ones] {
        let m = plaintext::<Small>(&bad);
        let batch = [Plaintext::zero(), m.clone(), m.clone()];
        let (first, second) =
            (Some(Error::PlaintextRange { index: 0 }), Some(Error::PlaintextRange { index: 1 }));
        let (encryptor, public) = (&setup.encryptor, setup.secret.public_key());
        assert_eq!(encryptor.encrypt(&m, &mut setup.rng).err(), first);
        assert_eq!(encryptor.encrypt_batch(&batch, &mut setup.rng).err(), second);
        let randomizer = public.randomizer_full_range(&mut setup.rng).unwrap();
        assert_eq!(public.encrypt_with(&m, randomizer).err(), first);
        let randomizers = encryptor.randomizers(3, &mut setup.rng);
        assert_eq!(public.encrypt_batch_with(&batch, randomizers).err(), second);
        assert_eq!(public.add_plain(&c, &m).err(), first);
        assert_eq!(public.add_plain_batch(&three, &batch).err(), second);
        assert_eq!(public.mul_plain(&c, &m).err(), first);
        assert_eq!(public.mul_plain_bounded(&c, &m, 512).err(), first);
        assert_eq!(public.mul_plain_batch(&three, &batch, 512).err(), second);
    }
}

#[test]
fn multipliers_longer_than_stated_are_refused_by_index() {
    let mut setup = Setup::<Small>::new(231);
    let three = setup.encrypt_batch(&[number(1), number(2), number(3)]);
    let ks = [65_535u64, 65_536, 65_537].map(Plaintext::from);
    let refused = setup.public().mul_plain_batch(&three, &ks, 16);
    assert_eq!(refused, Err(Error::MultiplierBits { index: 1, bits: 16 }));
    assert!(setup.public().mul_plain_batch(&three, &ks, 17).is_ok());
}

#[test]
fn batches_of_different_lengths_are_refused() {
    let mut setup = Setup::<Small>::new(232);
    let (two, three) = (
        setup.encrypt_batch(&[number(1), number(2)]),
        setup.encrypt_batch(&[number(1), number(2), number(3)]),
    );
    let plain = [1u64, 2, 3].map(Plaintext::from);
    let public = setup.secret.public_key();
    let wrong = Some(Error::BatchLength { expected: 2, found: 3 });
    assert_eq!(public.add_batch(&two, &three).err(), wrong);
    assert_eq!(public.sub_batch(&two, &three).err(), wrong);
    assert_eq!(public.add_plain_batch(&two, &plain).err(), wrong);
    assert_eq!(public.mul_plain_batch(&two, &plain, 8).err(), wrong);
    let randomizers = setup.encryptor.randomizers(3, &mut setup.rng);
    assert_eq!(public.rerandomize_batch(&two, randomizers).err(), wrong);
    let randomizers = setup.encryptor.randomizers(3, &mut setup.rng);
    assert_eq!(public.encrypt_batch_with(&plain[..2], randomizers).err(), wrong);
    assert_eq!(public.sum_batches([&two, &three]).err(), wrong);
}

// --- ciphertexts that are refused ---

/// All functions that take a ciphertext or a batch, with their error for a bad one at index 2.
fn refused_everywhere(setup: &mut Setup<Small>, bad: &Ciphertext<Small>, error: &dyn Fn(usize) -> Error) {
    let good = setup.encrypt(&number(1));
    let (encryptor, public, rng) = (&setup.encryptor, setup.secret.public_key(), &mut setup.rng);
    let m = Plaintext::from(3u64);
    let single = [
        ("check", public.check(bad).err()),
        ("decrypt", setup.secret.decrypt(bad).err()),
        ("add", public.add(&good, bad).err()),
        ("add", public.add(bad, &good).err()),
        ("sub", public.sub(&good, bad).err()),
        ("sub", public.sub(bad, &good).err()),
        ("negate", public.negate(bad).err()),
        ("add_plain", public.add_plain(bad, &m).err()),
        ("mul_plain", public.mul_plain(bad, &m).err()),
        ("mul_plain_bounded", public.mul_plain_bounded(bad, &m, 2).err()),
        ("rerandomize", public.rerandomize(bad, public.randomizer_full_range(rng).unwrap()).err()),
        ("sum", public.sum([&good, bad]).err()),
        ("ciphertext_to_integer", public.ciphertext_to_integer(bad).err()),
        ("ciphertext_from_bytes", public.ciphertext_from_bytes(&bad.to_bytes()).err()),
        ("with_base", Encryptor::with_base(public, bad.clone()).err()),
    ];
    for (operation, found) in single {
        assert_eq!(found, Some(error(0)), "{operation}");
    }
    // A batch that names the key of its bad item.
    let forged = [good.to_bytes(), good.to_bytes(), bad.to_bytes(), good.to_bytes()];
    let pairs: Vec<u8> = forged.iter().flat_map(|bytes| bytes[HEADER..].to_vec()).collect();
    let header = [&[1, 4, 2, 0], bad.key().to_bytes().as_slice(), &4u64.to_be_bytes()].concat();
    let batch = CiphertextBatch::<Small>::from_bytes_unchecked(&[header, pairs].concat()).expect("its form");
    let fine = CiphertextBatch::from_ciphertexts(good.key(), vec![good; 4]).expect("one key");
    let ms = vec![m; 4];
    let randomizers = encryptor.randomizers(4, rng);
    let many = [
        ("check_batch", public.check_batch(&batch).err()),
        ("decrypt_batch", setup.secret.decrypt_batch(&batch).err()),
        ("add_batch", public.add_batch(&fine, &batch).err()),
        ("add_batch", public.add_batch(&batch, &fine).err()),
        ("sub_batch", public.sub_batch(&fine, &batch).err()),
        ("sub_batch", public.sub_batch(&batch, &fine).err()),
        ("negate_batch", public.negate_batch(&batch).err()),
        ("add_plain_batch", public.add_plain_batch(&batch, &ms).err()),
        ("mul_plain_batch", public.mul_plain_batch(&batch, &ms, 2).err()),
        ("rerandomize_batch", public.rerandomize_batch(&batch, randomizers).err()),
        ("rerandomize_batch", encryptor.rerandomize_batch(&batch, rng).err()),
        ("sum_batches", public.sum_batches([&batch, &fine]).err()),
        ("sum_batches", public.sum_batches([&fine, &batch]).err()),
        ("accumulator", public.accumulator(4).add(&batch).err()),
        ("batch_from_bytes", public.batch_from_bytes(&batch.to_bytes()).err()),
    ];
    for (operation, found) in many {
        assert_eq!(found, Some(error(2)), "{operation}");
    }
}

#[test]
fn ciphertexts_out_of_range_are_refused_everywhere() {
    let mut setup = Setup::<Small>::new(240);
    let n = setup.n().clone();
    let all_ones = (number(1) << 512) - 1u8;
    let halves =
        [(&n, number(0)), (&number(1), n.clone()), (&all_ones, number(5)), (&number(1), all_ones.clone())];
    for (lo, hi) in halves {
        let bad = forged(&setup, lo, &hi);
        refused_everywhere(&mut setup, &bad, &|index| Error::CiphertextRange { index });
    }
}

#[test]
fn multiples_of_n_are_refused_everywhere() {
    let mut setup = Setup::<Small>::new(241);
    for hi in [number(0), number(1), setup.n() - 1u8] {
        let bad = forged(&setup, &number(0), &hi);
        refused_everywhere(&mut setup, &bad, &|index| Error::CiphertextZero { index });
    }
}

#[test]
fn ciphertexts_of_another_key_are_refused_everywhere() {
    let mut setup = Setup::<Small>::new(242);
    let other = other_key(243);
    let foreign = Encryptor::new(other.public_key(), &mut setup.rng).unwrap();
    let bad = foreign.encrypt(&Plaintext::from(1u64), &mut setup.rng).expect("below n");
    let (expected, found) = (setup.public().fingerprint(), bad.key());
    refused_everywhere(&mut setup, &bad, &|_| Error::KeyMismatch { expected, found });

    let mismatch = Some(Error::KeyMismatch { expected, found });
    let good = setup.encrypt(&number(1));
    let mixed = CiphertextBatch::from_ciphertexts(expected, [good.clone(), bad.clone()]);
    assert_eq!(mixed.err(), mismatch);
    let mut batch = CiphertextBatch::from_ciphertexts(expected, [good.clone()]).expect("one key");
    let theirs = CiphertextBatch::from_ciphertexts(found, [bad]).expect("one key");
    assert_eq!(batch.append(theirs).err(), mismatch);
    assert_eq!(batch.len(), 1, "nothing is appended");

    // Randomizers name their key too.
    let mut randomizer = || foreign.randomizers(1, &mut setup.rng);
    let (m, public) = (Plaintext::from(1u64), setup.secret.public_key());
    assert_eq!(public.encrypt_with(&m, randomizer().remove(0)).err(), mismatch);
    assert_eq!(public.encrypt_batch_with(&[m], randomizer()).err(), mismatch);
    assert_eq!(public.rerandomize(&good, randomizer().remove(0)).err(), mismatch);
    assert_eq!(public.rerandomize_batch(&batch, randomizer()).err(), mismatch);
}

#[test]
fn integers_that_are_not_ciphertexts_are_refused() {
    let setup = Setup::<Small>::new(244);
    let read = |c: &BigUint| setup.public().ciphertext_from_integer(&c.to_bytes_be()).err();
    let (n, n2) = (setup.n(), &setup.oracle.n2);
    let range = Some(Error::CiphertextRange { index: 0 });
    let full: BigUint = (number(1) << 1024) - 1u8;
    for c in [n2.clone(), n2 + 1u8, n2 + n, n2 * 2u8, full, number(1) << 1024, number(1) << 5000] {
        assert_eq!(read(&c), range, "{c}");
    }
    for c in [number(0), n.clone(), n * 2u8, n2 - n] {
        assert_eq!(read(&c), Some(Error::CiphertextZero { index: 0 }), "{c}");
    }
    assert_eq!(read(&(n2 - 1u8)), None);
    assert_eq!(setup.public().ciphertext_from_integer(&[]).err(), Some(Error::CiphertextZero { index: 0 }));
}

/// With n alone, a multiple of p or q looks like any ciphertext. It has no negative. The owner of
/// the key gets one error for all of them, at every index.
#[test]
fn multiples_of_a_prime_are_refused_where_it_shows() {
    let mut setup = Setup::<Small>::new(245);
    let (p, q) = (setup.oracle.p.clone(), setup.oracle.q.clone());
    for bad in [p.clone(), q.clone(), &p * &p, &q * 12_345u32, &p * &q + &p] {
        let c = setup.import(&bad);
        assert_eq!(setup.secret.decrypt(&c), Err(Error::Decrypt));
        assert_eq!(setup.public().negate(&c), Err(Error::CiphertextNotInvertible));
        let good = setup.encrypt(&number(1));
        assert_eq!(setup.public().sub(&good, &c), Err(Error::CiphertextNotInvertible));
        for at in [0, 1, 32] {
            let batch = forged_batch(&setup, &c, at);
            assert_eq!(setup.secret.decrypt_batch(&batch), Err(Error::Decrypt));
            assert_eq!(setup.public().negate_batch(&batch), Err(Error::CiphertextNotInvertible));
        }
    }
    assert_eq!(Error::Decrypt.to_string(), "decryption failed");
}

#[test]
fn bases_that_hide_nothing_are_refused() {
    let setup = Setup::<Small>::new(246);
    let (n, n2) = (setup.n(), &setup.oracle.n2);
    // 1, −1, and numbers that equal one of them modulo n. Only these two are n-th residues.
    for base in [number(1), n2 - 1u8, n + 1u8, n * 5u8 + 1u8, n - 1u8, n * 5u8 - 1u8] {
        let refused = Encryptor::with_base(setup.public(), setup.import(&base));
        assert_eq!(refused.err(), Some(Error::TrivialBase), "{base}");
    }
}

#[test]
fn unknown_backends_are_refused_by_name() {
    let error = "abacus".parse::<BackendChoice>().expect_err("no such backend");
    assert_eq!(
        error,
        backend::Error::UnknownBackend { name: "abacus".to_owned(), known: BackendChoice::NAMES }
    );
    for name in BackendChoice::NAMES {
        assert!(name.parse::<BackendChoice>().is_ok());
    }
}

// --- serde ---

mod serde {
    use super::*;
    use cipherfold::paillier::exposed;

    fn write_secret(secret: &SecretKey<Small>) -> String {
        let mut json = Vec::new();
        exposed::serialize(secret, &mut serde_json::Serializer::new(&mut json)).expect("JSON");
        String::from_utf8(json).expect("JSON is text")
    }

    fn read_secret(json: &str) -> serde_json::Result<SecretKey<Small>> {
        exposed::deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn json_round_trips() {
        let mut setup = Setup::<Small>::new(250);
        let batch = setup.encrypt_batch(&[number(1), number(2), number(3)]);
        let c = batch.get(1).expect("three");
        let json = serde_json::to_string(&c).expect("JSON");
        assert!(json.starts_with("\"01030200"), "hexadecimal text of the bytes: {json}");
        assert_eq!(serde_json::from_str::<Ciphertext<Small>>(&json).expect("its own"), c);
        let json = serde_json::to_string(&batch).expect("JSON");
        assert_eq!(serde_json::from_str::<CiphertextBatch<Small>>(&json).expect("its own"), batch);
        let json = serde_json::to_string(setup.public()).expect("JSON");
        assert_eq!(&serde_json::from_str::<PublicKey<Small>>(&json).expect("its own"), setup.public());
        let json = write_secret(&setup.secret);
        assert_eq!(read_secret(&json).expect("its own"), setup.secret);
        let fingerprint = setup.public().fingerprint();
        let json = serde_json::to_string(&fingerprint).expect("JSON");
        assert_eq!(json, format!("\"{fingerprint}\""));
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).expect("its own"), fingerprint);
    }

    #[test]
    fn corrupted_json_is_refused() {
        let mut setup = Setup::<Small>::new(251);
        let c = setup.encrypt(&number(1));
        let json = serde_json::to_string(&c).expect("JSON");
        let read = |json: &str| serde_json::from_str::<Ciphertext<Small>>(json);
        let hex = json.trim_matches('"');
        let with = |text: String| read(&format!("\"{text}\"")).expect_err("corrupted").to_string();
        assert!(with(hex[2..].to_owned()).contains("version 3"));
        assert!(with(hex[..hex.len() - 2].to_owned()).contains("148 bytes, found 147"));
        assert!(with(format!("{hex}00")).contains("148 bytes, found 149"));
        assert!(with(format!("02{}", &hex[2..])).contains("version 2"));
        assert!(with(format!("0104{}", &hex[4..])).contains("kind 4"));
        with(hex[1..].to_owned());
        with(format!("zz{}", &hex[2..]));
        for json in ["", "null", "5", "[]", "{}", "\"\""] {
            assert!(read(json).is_err(), "{json}");
        }
        let secret = write_secret(&setup.secret);
        // Another last digit: no prime, or not the primes of this fingerprint.
        let last = secret.len() - 2;
        for digit in "0123456789abcdef".chars().filter(|digit| !secret[last..].starts_with(*digit)) {
            let changed = format!("{}{digit}\"", &secret[..last]);
            assert!(read_secret(&changed).is_err(), "{digit}");
        }
        let public = serde_json::to_string(setup.public()).expect("JSON");
        let changed = public.replacen(&setup.public().fingerprint().to_string()[..4], "0000", 1);
        assert!(serde_json::from_str::<PublicKey<Small>>(&changed).is_err(), "another fingerprint");
        assert!(serde_json::from_str::<PublicKey<Bits2048>>(&public).is_err(), "another key size");
    }

    /// Reading JSON needs no key. A value out of range is refused at its first use.
    #[test]
    fn deserialised_ciphertexts_out_of_range_are_refused_by_every_operation() {
        let mut setup = Setup::<Small>::new(252);
        let through_json = |c: &Ciphertext<Small>| -> Ciphertext<Small> {
            let json = serde_json::to_string(c).expect("JSON");
            serde_json::from_str(&json).expect("its form is good")
        };
        let n = setup.n().clone();
        let bad = through_json(&forged(&setup, &n, &number(0)));
        refused_everywhere(&mut setup, &bad, &|index| Error::CiphertextRange { index });
        let bad = through_json(&forged(&setup, &number(0), &number(1)));
        refused_everywhere(&mut setup, &bad, &|index| Error::CiphertextZero { index });
    }
}
