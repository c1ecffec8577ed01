//! Shared code of the cryptosystem's tests: an oracle (textbook Paillier over an unrelated
//! big-integer library), stored keys, and conversions.

#![allow(dead_code, reason = "every test binary uses its own part of it")]

use cipherfold::paillier::{
    Ciphertext, CiphertextBatch, Encryptor, KeySize, Plaintext, PublicKey, SecretKey, hazmat::InsecureBits512,
};
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::Value;

/// The key size of tests with many cases.
pub type Small = InsecureBits512;

pub fn rng(seed: u64) -> ChaCha20Rng {
    println!("seed {seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn big(bytes_be: &[u8]) -> BigUint {
    BigUint::from_bytes_be(bytes_be)
}

pub fn number(n: u64) -> BigUint {
    BigUint::from(n)
}

/// A number below `bound`, near enough to uniform for a test.
pub fn below(bound: &BigUint, rng: &mut impl Rng) -> BigUint {
    let mut bytes = vec![0; bound.to_bytes_be().len() + 8];
    rng.fill_bytes(&mut bytes);
    big(&bytes) % bound
}

pub fn plaintext<S: KeySize>(value: &BigUint) -> Plaintext<S> {
    Plaintext::from_be_bytes(&value.to_bytes_be()).expect("a test's plaintext fits")
}

pub fn value<S: KeySize>(plaintext: &Plaintext<S>) -> BigUint {
    big(&plaintext.to_be_bytes())
}

/// Vectors of python-paillier, with keys of all sizes.
pub fn python_paillier() -> Value {
    serde_json::from_str(include_str!("../data/python_paillier.json")).expect("the file is JSON")
}

pub fn integer(value: &Value) -> BigUint {
    value.as_str().and_then(|digits| digits.parse().ok()).expect("a decimal integer")
}

/// The stored entry of a key size.
pub fn stored(bits: u32) -> Value {
    let all = python_paillier();
    let keys = all["keys"].as_array().expect("a list of keys");
    keys.iter().find(|key| key["bits"] == bits).expect("a key of every size").clone()
}

/// The primes of the stored key of a size.
pub fn stored_primes(bits: u32) -> (BigUint, BigUint) {
    let key = stored(bits);
    (integer(&key["p"]), integer(&key["q"]))
}

/// A secret key and the oracle for it, and a way to encrypt.
pub struct Setup<S: KeySize> {
    pub secret: SecretKey<S>,
    pub encryptor: Encryptor<S>,
    pub oracle: Oracle,
    pub rng: ChaCha20Rng,
}

impl<S: KeySize> Setup<S> {
    pub fn new(seed: u64) -> Self {
        let mut rng = rng(seed);
        let (p, q) = stored_primes(S::BITS);
        let secret =
            SecretKey::from_primes_be_vartime(&p.to_bytes_be(), &q.to_bytes_be()).expect("a stored key");
        let encryptor = Encryptor::new(secret.public_key(), &mut rng).unwrap();
        Self { secret, encryptor, oracle: Oracle::new(p, q), rng }
    }

    pub fn public(&self) -> &PublicKey<S> {
        self.secret.public_key()
    }

    pub fn n(&self) -> &BigUint {
        &self.oracle.n
    }

    pub fn encrypt(&mut self, m: &BigUint) -> Ciphertext<S> {
        self.encryptor.encrypt(&plaintext(m), &mut self.rng).expect("m is below n")
    }

    pub fn encrypt_batch(&mut self, ms: &[BigUint]) -> CiphertextBatch<S> {
        let ms: Vec<_> = ms.iter().map(plaintext).collect();
        self.encryptor.encrypt_batch(&ms, &mut self.rng).expect("all are below n")
    }

    /// Decrypts with this crate.
    pub fn decrypt(&self, c: &Ciphertext<S>) -> BigUint {
        value(&self.secret.decrypt(c).expect("a good ciphertext"))
    }

    pub fn decrypt_batch(&self, batch: &CiphertextBatch<S>) -> Vec<BigUint> {
        self.secret.decrypt_batch(batch).expect("good ciphertexts").iter().map(value).collect()
    }

    /// The usual integer of a ciphertext.
    pub fn integer(&self, c: &Ciphertext<S>) -> BigUint {
        big(&self.public().ciphertext_to_integer(c).expect("a good ciphertext"))
    }

    pub fn import(&self, c: &BigUint) -> Ciphertext<S> {
        self.public().ciphertext_from_integer(&c.to_bytes_be()).expect("a unit below n²")
    }

    pub fn below_n(&mut self) -> BigUint {
        below(&self.oracle.n, &mut self.rng)
    }

    pub fn some_below_n(&mut self, count: usize) -> Vec<BigUint> {
        (0..count).map(|_| self.below_n()).collect()
    }

    /// Named plaintexts, including those at the ends of the range.
    pub fn edge_plaintexts(&self) -> Vec<(&'static str, BigUint)> {
        let n = &self.oracle.n;
        vec![
            ("zero", number(0)),
            ("one", number(1)),
            ("n − 1", n - 1u8),
            ("half of n", n / 2u8),
            ("half of n and one", n / 2u8 + 1u8),
            ("all ones, one bit shorter than n", (number(1) << (S::BITS - 1)) - 1u8),
            ("a single top bit", number(1) << (S::BITS - 1)),
            ("all ones in the lower half", (number(1) << (S::BITS / 2)) - 1u8),
            ("2⁶⁴", number(1) << 64),
            ("p", self.oracle.p.clone()),
            ("q", self.oracle.q.clone()),
        ]
    }
}

/// Textbook Paillier (EUROCRYPT '99, scheme 1, with g = n + 1), from p and q alone.
pub struct Oracle {
    pub p: BigUint,
    pub q: BigUint,
    pub n: BigUint,
    pub n2: BigUint,
    lambda: BigUint,
    mu: BigUint,
}

impl Oracle {
    pub fn new(p: BigUint, q: BigUint) -> Self {
        let n = &p * &q;
        let (p1, q1) = (&p - 1u8, &q - 1u8);
        let lambda = &p1 * &q1 / gcd(p1, q1);
        // L(g^λ) = λ mod n for g = 1 + n.
        let mu = lambda.modinv(&n).expect("gcd(n, λ) = 1");
        Self { n2: &n * &n, p, q, n, lambda, mu }
    }

    /// `(1 + n)^m·r^n mod n²`.
    pub fn encrypt(&self, m: &BigUint, r: &BigUint) -> BigUint {
        (&self.n + 1u8).modpow(m, &self.n2) * r.modpow(&self.n, &self.n2) % &self.n2
    }

    /// `L(c^λ mod n²)·µ mod n`.
    pub fn decrypt(&self, c: &BigUint) -> BigUint {
        let l = (c.modpow(&self.lambda, &self.n2) - 1u8) / &self.n;
        l * &self.mu % &self.n
    }
}

pub fn gcd(mut a: BigUint, mut b: BigUint) -> BigUint {
    while b != BigUint::ZERO {
        (a, b) = (b.clone(), a % b);
    }
    a
}
