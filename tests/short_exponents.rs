//! Short exponents through the interface: known answers of an unrelated library, from the bytes of
//! the generator.

mod common;

use cipherfold::{
    backend::BackendChoice,
    diagnostics::Masks,
    paillier::{Bits2048, Bits3072, Bits4096, Encryptor, Exponents, KeySize, PublicKey, SecretKey},
};
use common::{Oracle, Setup, Small, number, plaintext, value};
use num_bigint::BigUint;
use rand_core::Rng;

/// The backends for processors that can run here, and a GPU for small keys.
fn backends<S: KeySize>() -> impl Iterator<Item = BackendChoice> {
    let all = [BackendChoice::Portable, BackendChoice::Avx2, BackendChoice::Ifma, BackendChoice::Gpu];
    all.into_iter()
        .filter(|choice| *choice != BackendChoice::Gpu || S::BITS == Small::BITS)
        .filter(|choice| choice.backend_name().is_ok())
}

fn short_on<S: KeySize>(setup: &Setup<S>, choice: BackendChoice) -> (PublicKey<S>, Encryptor<S>) {
    let key = setup.public().with_backend(choice).expect("it runs here");
    let base = setup.encryptor.base().clone();
    let short = Encryptor::with_base_and_short_exponents(&key, base).expect("a good base");
    assert_eq!(short.exponents(), Exponents::Short);
    (key, short)
}

/// The exponents that an encryptor makes from a generator's output: whole bytes, the lowest first.
fn drawn<S: KeySize>(count: usize, rng: &mut impl Rng) -> Vec<BigUint> {
    let mut bytes = vec![0; S::SHORT_EXPONENT_BITS as usize / 8];
    let mut draw = || {
        rng.fill_bytes(&mut bytes);
        BigUint::from_bytes_le(&bytes)
    };
    (0..count).map(|_| draw()).collect()
}

/// `(1 + m·n)·h_s^α mod n²`.
fn by_the_book(oracle: &Oracle, base: &BigUint, m: &BigUint, exponent: &BigUint) -> BigUint {
    (number(1) + m * &oracle.n) * base.modpow(exponent, &oracle.n2) % &oracle.n2
}

fn ciphertexts_are_known<S: KeySize>(count: usize) {
    let mut setup = Setup::<S>::new(u64::from(S::BITS) + 1);
    let ms = setup.some_below_n(count);
    let base = setup.integer(setup.encryptor.base());
    let exponents = drawn::<S>(count, &mut common::rng(7));
    let expected: Vec<_> =
        ms.iter().zip(&exponents).map(|(m, e)| by_the_book(&setup.oracle, &base, m, e)).collect();
    let plaintexts: Vec<_> = ms.iter().map(plaintext).collect();
    for choice in backends::<S>() {
        let (_, short) = short_on(&setup, choice);
        let batch = short.encrypt_batch(&plaintexts, &mut common::rng(7)).expect("below n");
        let found: Vec<_> = batch.iter().map(|c| setup.integer(&c)).collect();
        assert_eq!(found, expected, "{choice:?}");
        assert_eq!(setup.decrypt_batch(&batch), ms, "{choice:?}");
    }
}

#[test]
fn ciphertexts_are_known_at_every_size() {
    ciphertexts_are_known::<Small>(40);
    ciphertexts_are_known::<Bits2048>(9);
    ciphertexts_are_known::<Bits3072>(5);
    ciphertexts_are_known::<Bits4096>(3);
}

/// For every operation, an encryptor takes this number of bytes for each randomizer from the
/// generator, and no others.
#[test]
fn all_that_an_encryptor_makes_has_its_exponents() {
    let mut setup = Setup::<Small>::new(2);
    let base = setup.integer(setup.encryptor.base());
    let ms = setup.some_below_n(5);
    let plaintexts: Vec<_> = ms.iter().map(plaintext).collect();
    let usual = setup.encrypt_batch(&ms);
    let exponents = drawn::<Small>(5, &mut common::rng(3));
    let powers: Vec<_> = exponents.iter().map(|e| base.modpow(e, &setup.oracle.n2)).collect();
    let n2 = setup.oracle.n2.clone();
    let fresh: Vec<_> =
        ms.iter().zip(&exponents).map(|(m, e)| by_the_book(&setup.oracle, &base, m, e)).collect();
    let changed: Vec<_> =
        usual.iter().zip(&powers).map(|(c, power)| setup.integer(&c) * power % &n2).collect();
    for choice in backends::<Small>() {
        let (key, short) = short_on(&setup, choice);
        let rng = || common::rng(3);
        let integers = |batch: &cipherfold::paillier::CiphertextBatch<Small>| {
            batch.iter().map(|c| setup.integer(&c)).collect::<Vec<_>>()
        };
        assert_eq!(setup.integer(&short.encrypt(&plaintexts[0], &mut rng()).unwrap()), fresh[0]);
        assert_eq!(integers(&short.encrypt_resident(&plaintexts, &mut rng()).unwrap().fetch()), fresh);
        let made = short.randomizers(5, &mut rng());
        assert_eq!(integers(&key.encrypt_batch_with(&plaintexts, made).unwrap()), fresh);
        assert_eq!(integers(&short.rerandomize_batch(&usual, &mut rng()).unwrap()), changed);
        let first = usual.get(0).unwrap();
        assert_eq!(setup.integer(&short.rerandomize(&first, &mut rng()).unwrap()), changed[0]);
        let number = key.encode_i128(5);
        let encrypted = short.encrypt_number(&number, &mut rng()).unwrap();
        let c = encrypted.ciphertext();
        assert_eq!(
            setup.integer(c),
            by_the_book(&setup.oracle, &base, &value(&setup.secret.decrypt(c).unwrap()), &exponents[0])
        );
        let masks = Masks::new(&key, 5, &mut rng()).unwrap();
        let hidden = masks.hide(&short, &usual, &mut rng()).unwrap();
        assert_eq!(masks.remove(setup.secret.decrypt_batch(&hidden).unwrap()).unwrap(), plaintexts);
    }
}

#[test]
fn both_lengths_make_ciphertexts_of_one_key() {
    let mut setup = Setup::<Small>::new(4);
    let m = setup.below_n();
    let (key, short) = short_on(&setup, BackendChoice::Auto);
    let (a, b) = (setup.encrypt(&m), short.encrypt(&plaintext(&m), &mut setup.rng).unwrap());
    assert_eq!(setup.decrypt(&key.add(&a, &b).unwrap()), &m * 2u8 % setup.n());
    assert_eq!(setup.encryptor.exponents(), Exponents::Half);
    assert_eq!(short.base(), setup.encryptor.base());
    assert_eq!(short.clone().exponents(), Exponents::Short);
    for (encryptor, name) in [(&setup.encryptor, "exponents: Half"), (&short, "exponents: Short")] {
        assert!(format!("{encryptor:?}").contains(name), "{encryptor:?}");
    }
}

#[test]
fn short_exponents_do_not_change_the_base() {
    let secret = SecretKey::<Small>::generate(&mut common::rng(5)).unwrap();
    let key = secret.public_key();
    let (usual, short) = (
        Encryptor::new(key, &mut common::rng(6)).unwrap(),
        Encryptor::with_short_exponents(key, &mut common::rng(6)).unwrap(),
    );
    assert_eq!(usual.base(), short.base());
    let one = key.ciphertext_from_integer(&[1]).unwrap();
    let refused = Encryptor::with_base_and_short_exponents(key, one).err();
    assert_eq!(refused, Some(cipherfold::paillier::Error::TrivialBase));
}

/// The table's bytes give the number of products: rows times entries times the bytes of a residue
/// in the backend's form.
#[test]
fn tables_are_made_for_the_length() {
    fn table_bytes<S: KeySize>(choice: BackendChoice) -> Option<[usize; 2]> {
        choice.backend_name().ok()?;
        let setup = Setup::<S>::new(9);
        let (key, short) = short_on(&setup, choice);
        let usual = Encryptor::with_base(&key, setup.encryptor.base().clone()).unwrap();
        Some([usual.table_bytes(), short.table_bytes()])
    }
    let table = |rows: usize, window: usize, entry: usize| (rows * entry) << window;
    if let Some(found) = table_bytes::<Bits2048>(BackendChoice::Portable) {
        assert_eq!(found, [table(171, 6, 512), table(43, 6, 512)]);
    }
    if let Some(found) = table_bytes::<Bits4096>(BackendChoice::Portable) {
        assert_eq!(found, [table(342, 6, 1024), table(48, 7, 1024)]);
    }
    if let Some(found) = table_bytes::<Bits2048>(BackendChoice::Avx2) {
        assert_eq!(found, [table(147, 7, 74 * 8), table(32, 8, 74 * 8)]);
    }
    if let Some(found) = table_bytes::<Bits2048>(BackendChoice::Ifma) {
        assert_eq!(found, [table(147, 7, 80 * 8), table(37, 7, 80 * 8)]);
    }
    if let Some(found) = table_bytes::<Bits3072>(BackendChoice::Ifma) {
        let [usual, short] = found;
        assert_eq!(usual, table(220, 7, 120 * 8));
        // A product is faster on Intel's processors, and then a shorter look-up is better.
        let windows = [table(36, 8, 120 * 8), table(42, 7, 120 * 8)];
        assert!(windows.contains(&short), "{short}");
    }
}
