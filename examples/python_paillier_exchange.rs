//! Keys, ciphertexts and encrypted floats for other Paillier libraries: makes a key, encrypts,
//! adds, and prints everything as JSON with decimal integers.
//!
//! ```text
//! cargo run --example python_paillier_exchange > exchange.json
//! python tests/data/check_with_python_paillier.py exchange.json
//! ```

mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
}

use std::{io::Write, process::ExitCode};

use cipherfold::paillier::{Bits2048, Ciphertext, Encryptor, SecretKey};
use num_bigint::BigUint;
use rand_core::{SeedableRng, UnwrapErr};
use serde_json::json;

use common::cli::{Failure, Output};

/// Prints a key, ciphertexts and their plaintexts as JSON with decimal integers, for other Paillier
/// libraries.
#[derive(clap::Parser)]
#[command(name = "python_paillier_exchange")]
struct Args;

fn main() -> ExitCode {
    common::cli::run(|Args, out| exchange(out))
}

fn exchange(out: &mut Output) -> Result<(), Failure> {
    let mut rng = rand_chacha::ChaCha20Rng::from_rng(&mut UnwrapErr(getrandom::SysRng));
    let secret = SecretKey::<Bits2048>::generate(&mut rng)?;
    let public = secret.public_key();
    let encryptor = Encryptor::new(public, &mut rng)?;

    let (a, b) = ((1i128 << 126) + 7, -40_000_000_000_000_000_001);
    let mut encrypt = |value| encryptor.encrypt(&public.plaintext_from_i128(value), &mut rng);
    let (enc_a, enc_b) = (encrypt(a)?, encrypt(b)?);
    let results = [
        ("zero", 0, encrypt(0)?),
        ("minus one", -1, encrypt(-1)?),
        ("a + b", a + b, public.add(&enc_a, &enc_b)?),
        ("b - a", b - a, public.sub(&enc_b, &enc_a)?),
        ("a + 5", a + 5, public.add_plain(&enc_a, &public.plaintext_from_i128(5))?),
        ("b * -3", b * -3, public.mul_plain(&enc_b, &public.plaintext_from_i128(-3))?),
        ("a", a, enc_a),
        ("b", b, enc_b),
    ];

    let decimal = |bytes: &[u8]| BigUint::from_bytes_be(bytes).to_string();
    let integer = |c: &Ciphertext<_>| Ok::<_, cipherfold::Error>(decimal(&public.ciphertext_to_integer(c)?));
    let ciphertexts = results
        .iter()
        .map(|(name, value, c)| {
            Ok(json!({ "name": name, "value": value.to_string(), "ciphertext": integer(c)? }))
        })
        .collect::<cipherfold::Result<Vec<_>>>()?;
    // Floats have an exponent, which is sent beside the ciphertext.
    let (price, pieces) = (public.encode_f64_vartime(19.99)?, public.encode_i128(12));
    let price = encryptor.encrypt_number(&price, &mut rng)?;
    let total = public.add_numbers(&public.mul_number(&price, &pieces)?, &price)?;
    let floats = [("price", 19.99, &price), ("total", 259.87, &total)];
    let numbers = floats
        .iter()
        .map(|(name, value, number)| {
            let (ciphertext, exponent) = (integer(number.ciphertext())?, number.exponent());
            Ok(json!({ "name": name, "value": value, "ciphertext": ciphertext, "exponent": exponent }))
        })
        .collect::<cipherfold::Result<Vec<_>>>()?;

    let (p, q) = secret.expose_primes_be();
    let exchange = json!({
        "bits": 2048,
        "n": decimal(&public.modulus_be()),
        "p": decimal(&p),
        "q": decimal(&q),
        "ciphertexts": ciphertexts,
        "numbers": numbers,
    });
    writeln!(out, "{exchange:#}")?;

    for (name, value, c) in &results {
        assert_eq!(public.plaintext_to_i128(&secret.decrypt(c)?), Some(*value), "{name}");
    }
    for (name, value, number) in floats {
        let found = public.decode_f64_vartime(&secret.decrypt_number(number)?)?;
        assert!((found - value).abs() < 1e-9, "{name}: {found}");
    }
    Ok(())
}
