//! Keys and ciphertexts for other Paillier libraries: makes a key, encrypts, adds, and prints everything as
//! JSON with decimal integers.
//!
//! ```text
//! cargo run --example python_paillier_exchange > exchange.json
//! python tests/data/check_with_python_paillier.py exchange.json
//! ```

use cipherfold::paillier::{Bits2048, Ciphertext, Encryptor, SecretKey};
use num_bigint::BigUint;
use rand_core::{SeedableRng, UnwrapErr};
use serde_json::json;

fn main() -> cipherfold::Result<()> {
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
    let integer = |c: &Ciphertext<_>| Ok(decimal(&public.ciphertext_to_integer(c)?));
    let ciphertexts = results
        .iter()
        .map(|(name, value, c)| {
            Ok(json!({ "name": name, "value": value.to_string(), "ciphertext": integer(c)? }))
        })
        .collect::<cipherfold::Result<Vec<_>>>()?;
    let (p, q) = secret.expose_primes_be();
    let exchange = json!({
        "bits": 2048,
        "n": decimal(&public.modulus_be()),
        "p": decimal(&p),
        "q": decimal(&q),
        "ciphertexts": ciphertexts,
    });
    println!("{exchange:#}");

    for (name, value, c) in &results {
        assert_eq!(public.plaintext_to_i128(&secret.decrypt(c)?), Some(*value), "{name}");
    }
    Ok(())
}
