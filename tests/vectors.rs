//! Vectors of python-paillier (`tests/data/python_paillier.json`): its keys and ciphertexts are
//! imported, decrypted and computed with, and exported as the same integers.

mod common;

use cipherfold::paillier::{
    Bits2048, Bits3072, Bits4096, Ciphertext, EncodedNumber, EncryptedNumber, Error, KeySize,
};
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
            // python-paillier takes the power |k| of the inverse: another ciphertext of the same
            // plaintext.
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

/// A float from the hexadecimal digits of its bits.
fn float(value: &Value) -> f64 {
    f64::from_bits(u64::from_str_radix(value.as_str().expect("digits"), 16).expect("of 64 bits"))
}

fn exponent(entry: &Value) -> i32 {
    i32::try_from(entry["exponent"].as_i64().expect("an integer")).expect("a small one")
}

/// Floats are encoded, decoded, added and multiplied as in python-paillier, bit for bit.
#[test]
fn numbers_of_python_paillier() {
    let text = include_str!("data/python_paillier_numbers.json");
    let vectors: Value = serde_json::from_str(text).expect("JSON");
    let setup = Setup::<Small>::new(512);
    let public = setup.public();
    let encoded =
        |entry: &Value| EncodedNumber::<Small>::new(plaintext(&integer(&entry["encoding"])), exponent(entry));
    for entry in list(&vectors, "encoded") {
        let value = float(&entry["value"]);
        assert_eq!(public.encode_f64_vartime(value), Ok(encoded(entry)), "{value:e}");
        assert_eq!(public.decode_f64_vartime(&encoded(entry)), Ok(value));
    }
    for entry in list(&vectors, "rounded") {
        let value = float(&entry["value"]);
        let found = public.encode_f64_at_vartime(value, exponent(entry)).expect("it fits");
        assert_eq!(found, encoded(entry), "{value:e} at {}", exponent(entry));
        if !entry["decoded"].is_null() {
            assert_eq!(public.decode_f64_vartime(&found), Ok(float(&entry["decoded"])));
        }
    }
    for entry in list(&vectors, "decoded") {
        let found = public.decode_f64_vartime(&encoded(entry)).expect("a float is as large");
        assert_eq!(found.to_bits(), float(&entry["value"]).to_bits(), "{entry}");
    }

    let import =
        |entry: &Value| EncryptedNumber::new(setup.import(&integer(&entry["ciphertext"])), exponent(entry));
    let encrypted = list(&vectors, "encrypted");
    let decrypted = |number: &EncryptedNumber<Small>| {
        public.decode_f64_vartime(&setup.secret.decrypt_number(number).expect("a good ciphertext"))
    };
    for entry in encrypted {
        assert_eq!(decrypted(&import(entry)), Ok(float(&entry["value"])));
    }
    for sum in list(&vectors, "sums") {
        let (a, b) = (import(at(sum, "a", encrypted)), import(at(sum, "b", encrypted)));
        let found = public.add_numbers(&a, &b).expect("exponents are near");
        assert_eq!(found, import(sum), "the same ciphertext and exponent");
        assert_eq!(decrypted(&found), Ok(float(&sum["value"])));
    }
    for product in list(&vectors, "products") {
        let (a, k) = (import(at(product, "a", encrypted)), float(&product["k"]));
        let k = if product["integer"] == true {
            assert_eq!(k.to_bits(), 3.0_f64.to_bits());
            public.encode_i128(3)
        } else {
            public.encode_f64_vartime(k).expect("finite")
        };
        let found = public.mul_number(&a, &k).expect("good");
        assert_eq!(found, import(product));
        assert_eq!(decrypted(&found), Ok(float(&product["value"])));
    }
}

#[test]
fn numbers_that_do_not_fit_are_errors() {
    let mut setup = Setup::<Small>::new(3);
    let public = setup.public().clone();
    let no_room = |exponent| Error::NumberRange { exponent };
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(public.encode_f64_vartime(value), Err(no_room(0)));
        assert_eq!(public.encode_f64_at_vartime(value, -3), Err(no_room(-3)));
    }
    // n has 512 bits, n/3 has 510 or 511.
    assert!(public.encode_f64_at_vartime(1.0, -127).is_ok());
    for exponent in [-128, -1000, i32::MIN] {
        assert_eq!(public.encode_f64_at_vartime(-1.0, exponent), Err(no_room(exponent)));
    }
    let zero = public.encode_f64_at_vartime(1e300, i32::MAX).expect("rounded to zero");
    assert_eq!(public.decode_f64_vartime(&zero), Ok(0.0));

    let third = setup.n() / 3u8;
    let number = |mantissa: BigUint, exponent| EncodedNumber::<Small>::new(plaintext(&mantissa), exponent);
    let decode = |mantissa| public.decode_f64_vartime(&number(mantissa, 0));
    assert!(decode(&third - 1u8).is_ok_and(|value| value > 1e150));
    assert!(decode(setup.n() - &third + 1u8).is_ok_and(|value| value < -1e150));
    for middle in
        [third.clone(), &third + 1u8, setup.n() / 2u8, setup.n() - &third, setup.n().clone(), setup.n() + 1u8]
    {
        assert_eq!(decode(middle), Err(Error::NumberOverflow));
    }
    assert_eq!(public.decode_f64_vartime(&number(&third - 1u8, 200)), Err(no_room(200)));
    assert_eq!(public.decode_f64_vartime(&number(&third - 1u8, -400)), Ok(0.0));

    let one = EncryptedNumber::new(setup.encrypt(&common::number(1)), 5);
    assert!(public.with_exponent(&one, -122).is_ok());
    for to in [-123, 6, i32::MIN, i32::MAX] {
        assert_eq!(public.with_exponent(&one, to), Err(Error::ExponentRange { from: 5, to }));
    }
    assert_eq!(public.with_exponent(&one, 5), Ok(one.clone()));
    let far = EncryptedNumber::new(one.ciphertext().clone(), i32::MIN);
    assert!(matches!(public.add_numbers(&one, &far), Err(Error::ExponentRange { .. })));
    let k = EncodedNumber::new(plaintext(&common::number(2)), i32::MAX);
    assert!(matches!(public.mul_number(&one, &k), Err(Error::ExponentRange { .. })));
}

#[test]
fn vectors_state_their_source() {
    let vectors = common::python_paillier();
    assert!(vectors["made_by"].as_str().is_some_and(|by| by.contains("(phe)")));
    assert_eq!(vectors["how"], "tests/data/python_paillier.py");
}

/// The complete encoding of a ciphertext and of keys, because other programs may read it.
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
fn encodings_are_as_documented_at_512() {
    encoding_is_as_documented::<Small>();
}

#[test]
fn encodings_are_as_documented_at_2048() {
    encoding_is_as_documented::<Bits2048>();
}

#[test]
fn encodings_are_as_documented_at_3072() {
    encoding_is_as_documented::<Bits3072>();
}

#[test]
fn encodings_are_as_documented_at_4096() {
    encoding_is_as_documented::<Bits4096>();
}
