//! Vectors of python-paillier (`tests/data/python_paillier.json`): its keys and ciphertexts come in, are
//! decrypted and computed with, and go out again as the same integers.

mod common;

use cipherfold::paillier::{Bits2048, Bits3072, Bits4096, Ciphertext, KeySize};
use common::{Setup, Small, integer, number, plaintext};
use num_bigint::BigUint;
use serde_json::Value;

fn list<'a>(entry: &'a Value, name: &str) -> &'a [Value] {
    entry[name].as_array().expect("a list")
}

fn at<'a>(entry: &Value, name: &str, encryptions: &'a [Value]) -> &'a Value {
    &encryptions[usize::try_from(entry[name].as_u64().expect("an index")).expect("a small one")]
}

fn vectors_hold<S: KeySize>() {
    let setup = Setup::<S>::new(u64::from(S::BITS));
    let key = common::stored(S::BITS);
    let (public, n2) = (setup.public(), &setup.oracle.n2);
    assert_eq!(setup.n(), &integer(&key["n"]));
    let import = |entry: &Value| -> Ciphertext<S> { setup.import(&integer(&entry["ciphertext"])) };

    let encryptions = list(&key, "encryptions");
    assert!(encryptions.len() > 10);
    for entry in encryptions {
        let m = integer(&entry["plaintext"]);
        if let Some(signed) = entry["value"].as_str().and_then(|digits| digits.parse::<i128>().ok()) {
            assert_eq!(common::value(&public.plaintext_from_i128(signed)), m, "the usual signed encoding");
            let found = setup.secret.decrypt(&import(entry)).expect("a good ciphertext");
            assert_eq!(public.plaintext_to_i128(&found), Some(signed));
        }
        for name in ["ciphertext", "bare"] {
            let c = integer(&entry[name]);
            let imported = setup.import(&c);
            assert_eq!(setup.decrypt(&imported), m, "{name} of {m}");
            assert_eq!(setup.integer(&imported), c, "{name} of {m}, out again");
            let bytes = imported.to_bytes();
            assert_eq!(public.ciphertext_from_bytes(&bytes), Ok(imported), "{name} of {m}, through bytes");
        }
        // (1 + n)^m without obfuscation is a plaintext added to the residue 1.
        let bare = public.add_plain(&setup.import(&number(1)), &plaintext(&m)).expect("below n");
        assert_eq!(setup.integer(&bare), integer(&entry["bare"]));
    }

    for sum in list(&key, "sums") {
        let (a, b) = (import(at(sum, "a", encryptions)), import(at(sum, "b", encryptions)));
        let found = public.add(&a, &b).expect("good ciphertexts");
        assert_eq!(setup.integer(&found), integer(&sum["ciphertext"]), "the same product, bit for bit");
        assert_eq!(public.sum([&a, &b]), Ok(found.clone()));
        assert_eq!(setup.decrypt(&found), integer(&sum["plaintext"]));
    }
    for sum in list(&key, "plain_sums") {
        let (a, k) = (import(at(sum, "a", encryptions)), plaintext(&integer(&sum["k"])));
        let found = public.add_plain(&a, &k).expect("below n");
        assert_eq!(setup.integer(&found), integer(&sum["ciphertext"]));
        assert_eq!(setup.decrypt(&found), integer(&sum["plaintext"]));
    }
    for product in list(&key, "products") {
        let a = import(at(product, "a", encryptions));
        let k = product["k"].as_str().expect("a decimal integer");
        let (negative, k) =
            (k.starts_with('-'), k.trim_start_matches('-').parse::<BigUint>().expect("digits"));
        let found = if negative {
            let k = setup.n() - &k;
            public.mul_plain(&a, &plaintext(&k)).expect("below n")
        } else {
            public.mul_plain(&a, &plaintext(&k)).expect("below n")
        };
        assert_eq!(setup.decrypt(&found), integer(&product["plaintext"]));
        let theirs = import(product);
        if negative {
            // python-paillier takes the power |k| of the inverse: another ciphertext of the same plaintext.
            let same =
                public.mul_plain(&public.negate(&a).expect("a unit"), &plaintext(&k)).expect("below n");
            assert_eq!(same, theirs);
        } else {
            assert_eq!(found, theirs);
        }
        assert_eq!(setup.decrypt(&theirs), integer(&product["plaintext"]));
    }

    // All of them in one batch.
    let all = encryptions.iter().map(import);
    let batch = cipherfold::paillier::CiphertextBatch::from_ciphertexts(public.fingerprint(), all);
    let batch = batch.expect("all of one key");
    let expected: Vec<_> = encryptions.iter().map(|entry| integer(&entry["plaintext"])).collect();
    assert_eq!(setup.decrypt_batch(&batch), expected);
    let total = public.sum(&batch.iter().collect::<Vec<_>>()).expect("not empty");
    let product = encryptions.iter().fold(number(1), |x, entry| x * integer(&entry["ciphertext"]) % n2);
    assert_eq!(setup.integer(&total), product);
}

#[test]
fn python_paillier_at_2048() {
    vectors_hold::<Bits2048>();
}

#[test]
fn python_paillier_at_3072() {
    vectors_hold::<Bits3072>();
}

#[test]
fn vectors_say_where_they_come_from() {
    let vectors = common::python_paillier();
    assert!(vectors["made_by"].as_str().is_some_and(|by| by.contains("(phe)")));
    assert_eq!(vectors["how"], "tests/data/python_paillier.py");
}

/// The whole encoding of a ciphertext and of keys, spelled out: other programs may read it.
fn encoding_is_as_documented<S: KeySize>() {
    let mut setup = Setup::<S>::new(7);
    let fingerprint = setup.public().fingerprint().to_bytes();
    let header = |kind: u8| {
        let bits = u16::try_from(S::BITS).expect("key sizes are short").to_be_bytes();
        [&[1, kind], bits.as_slice(), &fingerprint].concat()
    };
    let fixed = |x: &BigUint, len: usize| {
        let digits = x.to_bytes_be();
        [vec![0; len - digits.len()], digits].concat()
    };
    let (n, half) = (setup.n().clone(), S::BYTES / 2);
    assert_eq!(setup.public().to_bytes(), [header(1), fixed(&n, S::BYTES)].concat());
    let primes = [fixed(&setup.oracle.p, half), fixed(&setup.oracle.q, half)].concat();
    assert_eq!(*setup.secret.expose_bytes(), [header(2), primes].concat());
    let ms = setup.some_below_n(2);
    let batch = setup.encrypt_batch(&ms);
    let mut pairs = Vec::new();
    for c in batch.iter() {
        let whole = setup.integer(&c);
        let halves = [fixed(&(&whole % &n), S::BYTES), fixed(&(&whole / &n), S::BYTES)].concat();
        assert_eq!(c.to_bytes(), [header(3), halves.clone()].concat());
        pairs.extend(halves);
    }
    assert_eq!(batch.to_bytes(), [header(4), 2u64.to_be_bytes().to_vec(), pairs].concat());
}

#[test]
fn encodings_are_as_documented() {
    encoding_is_as_documented::<Small>();
    encoding_is_as_documented::<Bits2048>();
    encoding_is_as_documented::<Bits3072>();
    encoding_is_as_documented::<Bits4096>();
}
